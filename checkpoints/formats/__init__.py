"""Weights in other containers than Slim's name-based checkpoints, read through the same interface.

common         what all readers share
object_graph   the names that an object-based TF2 checkpoint gives its variables
views          a checkpoint under other names: object-based checkpoints, SavedModels
saved_models   where a SavedModel keeps its variables
frozen_graphs  constants of a GraphDef (`.pb`) that are a network's weights
"""
