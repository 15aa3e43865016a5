"""Name-based checkpoints: which variables, from which file, strictly; and files that survive being killed.

scopes    which variables a text such as `head,*/BatchNorm` means
reader    opens whatever a user calls "the checkpoint"
formats   frozen graphs, SavedModels and object-based checkpoints through the same interface
restore   compares a network with a checkpoint and says exactly what to do where they differ
renames   the same under other names
first_layer  images of another number of channels
averages  moving averages in place of the variables
writer    saves, atomically
"""
