"""Training and evaluation: joins data, preprocessing, networks and checkpoints."""
