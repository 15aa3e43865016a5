"""Weights of the classes in the loss."""

import math
import os
from collections.abc import Sequence

import numpy as np

from common import suggest
from common.errors import FlagError, UserError

BALANCED = "balanced"
_ALL_ZERO = "all weights are 0, so that nothing would be learned; give at least one class a weight above 0"


def parse(text: str, names: Sequence[str], drawn: np.ndarray | None) -> np.ndarray:
    """Returns the weight of each class: float32 [classes].

    Args:
        text: `balanced`: all classes count alike, whatever the number of their examples; weights between commas, in the
            order of the classes; or a file with a line `CLASS: WEIGHT` for each class whose weight is not 1, the class
            by its name or number.
        names: of the classes.
        drawn: how many examples of each class training draws, in any unit; needed for `balanced`.

    Raises:
        FlagError: another number of weights, or one that is no number.
        UserError: the file cannot be read, or has a wrong line.
    """
    if text == BALANCED:
        return balanced(drawn)
    if os.path.isfile(text):
        return _read(text, names)
    try:
        weights = np.array([_weight(part) for part in text.split(",")], np.float32)
    except ValueError as error:
        no_file = "" if "," in text and os.sep not in text else ", and there is no such file"
        raise FlagError(
            f"--class_weights={text}: {error}{no_file}; give {BALANCED!r}, weights between commas, or a file with "
            "lines CLASS: WEIGHT"
        ) from None
    if len(weights) != len(names):
        raise FlagError(f"--class_weights names {len(weights)} weights, there are {len(names)} classes")
    if not weights.any():
        raise FlagError(f"--class_weights={text}: {_ALL_ZERO}")
    return weights


def balanced(drawn: np.ndarray) -> np.ndarray:
    """Returns the weights under which all classes that are drawn count alike, 1 in the mean over what is drawn."""
    there = drawn > 0
    weights = np.ones(len(drawn), np.float32)
    weights[there] = drawn.sum() / (there.sum() * drawn[there])
    return weights


def described(weights: np.ndarray, names: Sequence[str]) -> str:
    """One line for the log."""
    low, high = int(np.argmin(weights)), int(np.argmax(weights))
    return f"Class weights: {weights[low]:.3g} ({names[low]}) to {weights[high]:.3g} ({names[high]})"


def _read(path: str, names: Sequence[str]) -> np.ndarray:
    weights = np.ones(len(names), np.float32)
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--class_weights={path} cannot be read: {error}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, _, weight = (part.strip() for part in line.rpartition(":"))
        try:
            weights[_index(name, names)] = _weight(weight)
        except ValueError as error:
            raise UserError(f"{path}, line {number}: {error}; expected CLASS: WEIGHT, such as daisy: 2.5") from None
    if not weights.any():
        raise UserError(f"--class_weights={path}: {_ALL_ZERO}")
    return weights


def _index(name: str, names: Sequence[str]) -> int:
    if name in names:
        return list(names).index(name)
    if name.isdecimal() and int(name) < len(names):
        return int(name)
    raise ValueError(suggest.unknown("class", name, names))


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not 0 <= weight < math.inf:
        raise ValueError(f"{text.strip()!r} is no weight of 0 or more")
    return weight
