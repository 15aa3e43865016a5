"""How a network of ours and one of another framework hold the same weights: a table of names and of layouts.

A framework's module makes `Pair`s; `to_slim` and `from_slim` carry the arrays across, strictly: what a file lacks, what
it has beyond the pair and what has another shape is an error that names it. Nothing is computed but reshaping,
transposing and reordering, so a way there and back gives the same bits; where a pair needs arithmetic (a batch norm's
factor, where Slim's has none: `Factor`), `Pair.notes` says so.
"""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from common.errors import UserError

Arrays = Mapping[str, np.ndarray]
Change = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Layout:
    """Two orders of the same numbers, each made from the other exactly."""

    to_slim: Change
    from_slim: Change


def axes(*order: int) -> Layout:
    """The layout whose axis i is Slim's axis i of `np.transpose(array, order)`: `axes(2, 3, 1, 0)` for OIHW."""
    back = tuple(int(i) for i in np.argsort(order))
    return Layout(lambda array: np.transpose(array, order), lambda array: np.transpose(array, back))


SAME = Layout(lambda array: array, lambda array: array)
CONV_OIHW = axes(2, 3, 1, 0)  # PyTorch's, Caffe's and MXNet's convolution
DENSE_OI = axes(1, 0)  # their fully connected layer
# A classifier that is a 1x1 convolution in Slim and a dense layer elsewhere.
DENSE_IO_AS_1X1 = Layout(lambda array: array[None, None], lambda array: array[0, 0])
DENSE_OI_AS_1X1 = Layout(lambda array: array.T[None, None], lambda array: array[0, 0].T)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One variable on both sides."""

    slim: str
    other: str
    layout: Layout = SAME


@dataclasses.dataclass(frozen=True)
class Factor:
    """A factor a channel that the other side has and Slim's network has not: its batch norms have no gamma.

    Attributes:
        other: its name there; a file may lack it, which means ones. `from_slim` writes ones.
        like: the other side's array that has its shape.
        scales: the other side's arrays that take it in, along their first axis: a convolution's weights and the moving
            mean behind it, so that the function stays. None where that framework counts the factor as one itself.
    """

    other: str
    like: str
    scales: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Pair:
    """A network of ours and of another framework that are one function of their weights.

    Attributes:
        network: `--model_name`.
        framework: `keras`, `timm`, `torchvision`, `caffe` or `mxnet`.
        other: the network's name there.
        entries: all variables of a prediction.
        preprocessing: how the other's input differs from that of our recipe; "the same" where it does not.
        exact: whether both give the same outputs up to rounding.
        optional: names of the other side that a file may have and that have no place here (training's alone).
        factors: what Slim's network has no variables for; they go into others.
        notes: what else a user should know.
    """

    network: str
    framework: str
    other: str
    entries: tuple[Entry, ...]
    preprocessing: str
    exact: bool = True
    optional: frozenset[str] = frozenset()
    notes: str = ""
    factors: tuple[Factor, ...] = ()


def to_slim(pair: Pair, arrays: Arrays, source: str) -> dict[str, np.ndarray]:
    """Returns Slim name -> array for the arrays of a file of the other framework.

    Raises:
        UserError: a variable is missing in `source`, or it has others.
    """
    names = [entry.other for entry in pair.entries]
    allowed = pair.optional.union(factor.other for factor in pair.factors)
    _check_names(names, arrays, allowed, f"{source} is not a whole {pair.other} of {pair.framework}")
    arrays = _take_in_factors(pair.factors, arrays)
    return {e.slim: _change(e.layout.to_slim, arrays[e.other], f"{source}: {e.other}", pair) for e in pair.entries}


def from_slim(pair: Pair, arrays: Arrays, source: str) -> dict[str, np.ndarray]:
    """Returns the other framework's name -> array for the variables of a Slim checkpoint; others are left out.

    Raises:
        UserError: `source` lacks a variable.
    """
    names = [entry.slim for entry in pair.entries]
    _check_names(names, arrays, frozenset(arrays), f"{source} is not a whole {pair.network}")
    written = {e.other: _change(e.layout.from_slim, arrays[e.slim], f"{source}: {e.slim}", pair) for e in pair.entries}
    ones = {factor.other: np.ones_like(written[factor.like]) for factor in pair.factors}
    return written | ones


def _take_in_factors(factors: tuple[Factor, ...], arrays: Arrays) -> Arrays:
    changed = dict(arrays)
    for factor in factors:
        values = arrays.get(factor.other)
        if values is None or (values == 1).all():  # as they are in weights that came from Slim: nothing is rounded
            continue
        for name in factor.scales:
            changed[name] = changed[name] * values.reshape(-1, *[1] * (changed[name].ndim - 1))
    return changed


def _change(change: Change, array: np.ndarray, what: str, pair: Pair) -> np.ndarray:
    try:
        return np.ascontiguousarray(change(array))
    except ValueError:  # NumPy cannot transpose or reshape it
        shape = " x ".join(map(str, array.shape)) or "a scalar"
        raise UserError(f"{what} is {shape}, which no {pair.other} of {pair.framework} has") from None


def _check_names(wanted: list[str], arrays: Arrays, optional: frozenset[str], what: str) -> None:
    missing = [name for name in wanted if name not in arrays]
    extra = [name for name in arrays if name not in set(wanted) | optional]
    problems = [
        f"{len(names)} variables {words} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for names, words in ((missing, "are missing"), (extra, "are unknown"))
        if names
    ]
    if problems:
        raise UserError(f"{what}: {' and '.join(problems)}; is --model_name right?")
