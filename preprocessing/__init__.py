"""From a decoded or encoded image to what a network reads: ops, Slim's four recipes, and the factory."""
