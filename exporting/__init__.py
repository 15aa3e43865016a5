"""Trained networks as files that others load: TensorFlow SavedModels."""
