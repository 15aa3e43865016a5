"""Class names for an export."""

from absl import logging

from checkpoint_tools import label_files
from datasets import imagenet_names
from training.runs import ModelInfo


def class_names(info: ModelInfo, labels_file: str | None) -> tuple[str, ...]:
    """Names in the order of the logits: the file's, the run's, ImageNet's where the count fits, or numbers."""
    if labels_file:
        read = label_files.read(labels_file, "--labels_file")
        return label_files.fitted(read, info.num_classes, f"--labels_file={labels_file}")
    if info.labels:
        return info.labels
    names = imagenet_names.class_names(info.num_classes)
    if names:
        logging.info("Class names: ImageNet's, for %d classes (--labels_file names others)", info.num_classes)
        return names
    logging.warning("No class names are known: answers name classes by number (--labels_file gives names)")
    return tuple(str(k) for k in range(info.num_classes))
