"""Class names of a checkpoint: from a file, from what lies beside it, or ImageNet's."""

import functools
import json
import os
from collections.abc import Mapping
from typing import Any

from checkpoint_tools.labels import Match, WordNet, normalised
from checkpoint_tools.labels import match as match_by
from common.errors import UserError
from datasets import filesystem, imagenet_metadata, imagenet_names

BACKGROUND = "background"
FILE_NAME = "labels.txt"


def match(target: tuple[str, ...], source: tuple[str, ...]) -> Match:
    """As `labels.match`, with what is known of ImageNet's classes."""
    return match_by(target, source, wordnet())


@functools.cache
def wordnet() -> WordNet:
    """The 1,000 classes of ILSVRC 2012 by their WordNet ids."""
    synsets = imagenet_metadata.read_synsets(None)
    return WordNet(dict(zip(synsets, imagenet_names.class_names(len(synsets)), strict=True)))


def read(path: str, flag: str) -> tuple[str, ...]:
    """Reads class names in the order of the classes.

    Args:
        path: of a file with a name a line; Slim's `labels.txt` (`0:daisy`, in any order); or JSON: a list of names, an
            object {"0": "daisy"}, {"daisy": 0} or {"0": ["n01440764", "tench"]}, or a run.json or dataset.json.
        flag: that named it, for errors.

    Raises:
        UserError: it cannot be read, or holds no list of names.
    """
    try:
        text = filesystem.read_text(path).removeprefix("\ufeff")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{flag}={path} cannot be read: {error}") from None
    if text.lstrip()[:1] in ("[", "{"):
        return _of_json(text, f"{flag}={path}")
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise UserError(f"{flag}={path} is empty: expected the name of a class in each line")
    by_number = {number: name for number, _, name in (line.partition(":") for line in lines)}
    numbers = [str(k) for k in range(len(lines))]
    return tuple(by_number[number] for number in numbers) if by_number.keys() == set(numbers) else tuple(lines)


def _of_json(text: str, what: str) -> tuple[str, ...]:
    try:
        names = _names_in(json.loads(text))
    except ValueError as error:
        raise UserError(f"{what} is no JSON ({error}); save it again, or give a name a line") from None
    if not names:
        raise UserError(f"{what} holds no class names: expected a list of them, or an object of class number to name")
    return names


def _names_in(content: Any) -> tuple[str, ...] | None:
    """The names in the content of a JSON file; None where there are none."""
    if isinstance(content, Mapping):
        inside = [content.get("labels"), content.get("class_names"), content.get("model")]
        if found := next((names for names in map(_names_in, inside) if names), None):
            return found
        if content and all(isinstance(value, int) for value in content.values()):  # name -> number
            content = {str(number): name for name, number in content.items()}
        if content.keys() != {str(k) for k in range(len(content))}:
            return None
        content = [content[str(k)] for k in range(len(content))]
    if not isinstance(content, list):
        return None
    # Keras's list of ImageNet has the WordNet id and the name.
    names = [" ".join(entry) if _is_pair(entry) else entry for entry in content]
    return tuple(names) if names and all(isinstance(name, str) for name in names) else None


def _is_pair(entry: Any) -> bool:
    return isinstance(entry, list) and len(entry) == 2 and all(isinstance(part, str) for part in entry)


def imagenet(num_classes: int) -> tuple[str, ...] | None:
    """ImageNet's names for a head of 1001 classes (background first) or 1000; None for another."""
    return imagenet_names.class_names(num_classes)


def is_background(label: str) -> bool:
    """Whether a class is called background."""
    return normalised(label) == BACKGROUND


def fitted(names: tuple[str, ...], num_classes: int, what: str) -> tuple[str, ...]:
    """Returns names for a head of `num_classes` rows, the background class put before them or left out to fit.

    Args:
        names: in the order of the classes.
        num_classes: rows of the head.
        what: where the names are from, for the error.

    Raises:
        UserError: another number of names.
    """
    if len(names) == num_classes + 1 and is_background(names[0]):
        return names[1:]
    if (len(names), num_classes) == (1000, 1001):  # ImageNet's; of other networks the extra row may be anything
        return (BACKGROUND, *names)
    if len(names) != num_classes:
        raise UserError(f"{what} names {len(names)} classes, the checkpoint has {num_classes}: one line per class")
    return names


def beside(prefix: str, num_classes: int, run_labels: tuple[str, ...] | None) -> tuple[tuple[str, ...], str] | None:
    """Finds the class names of a checkpoint and says where: its run's, a `labels.txt` beside it, ImageNet's.

    Args:
        prefix: path of the checkpoint, without the suffixes of its files.
        num_classes: rows of its head. 1001 and 1000 are ImageNet's, with and without the background class.
        run_labels: what its run.json says.

    Returns:
        (names, where they are from), or None where none are known.
    """
    if run_labels and len(run_labels) == num_classes:
        return tuple(run_labels), "its run.json"
    path = os.path.join(os.path.dirname(prefix), FILE_NAME)
    if filesystem.is_file(path):
        return fitted(read(path, "the labels file"), num_classes, path), path
    names = imagenet(num_classes)
    return (names, "ImageNet's list") if names else None
