"""Class names for an export."""

from absl import logging

from common.errors import UserError
from datasets import imagenet_names
from training.runs import ModelInfo


def class_names(info: ModelInfo, labels_file: str | None) -> tuple[str, ...]:
    """Names in the order of the logits: the file's, the run's, ImageNet's where the count fits, or numbers."""
    if labels_file:
        return _read(labels_file, info.num_classes)
    if info.labels:
        return info.labels
    names = imagenet_names.class_names(info.num_classes)
    if names:
        logging.info("Class names: ImageNet's, for %d classes (--labels_file names others)", info.num_classes)
        return names
    logging.warning("No class names are known: answers name classes by number (--labels_file gives names)")
    return tuple(str(k) for k in range(info.num_classes))


def _read(path: str, num_classes: int) -> tuple[str, ...]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [line for line in file.read().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--labels_file={path} cannot be read: {error}") from None
    by_key = {line.partition(":")[0]: line.partition(":")[2] for line in lines}
    numbers = [str(k) for k in range(len(lines))]
    if by_key.keys() == set(numbers):  # Slim's labels.txt: NUMBER:NAME, in any order
        lines = [by_key[number] for number in numbers]
    if len(lines) != num_classes:
        raise UserError(
            f"--labels_file={path} names {len(lines)} classes, the checkpoint has {num_classes}: one line per class"
        )
    return tuple(lines)
