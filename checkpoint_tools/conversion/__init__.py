"""Weights of other frameworks to Slim checkpoints and back, number for number."""
