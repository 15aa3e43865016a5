"""ImageNet's class names, as the published checkpoints number them.

The list (`imagenet_1001_labels.txt`, background first) is TensorFlow's, Apache-2.0.
"""

import os

_FILE = os.path.join(os.path.dirname(__file__), "imagenet_1001_labels.txt")


def class_names(num_classes: int) -> tuple[str, ...] | None:
    """Names in the order of the logits of an ImageNet network: 1001 with background, 1000 without; else None."""
    if num_classes not in (1000, 1001):
        return None
    with open(_FILE, encoding="utf-8") as file:
        names = tuple(file.read().splitlines())
    return names[-num_classes:]
