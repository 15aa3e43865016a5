"""From the layers of one of our networks to those of another framework's: what the tables of names share."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from checkpoint_tools.conversion.pairs import CONV_OIHW, DENSE_OI, SAME, Entry, Factor, Layout, axes

BATCH_NORM = "/BatchNorm"
DEPTHWISE_OIHW = axes(2, 3, 0, 1)  # [height, width, channels, 1] from [channels, 1, height, width]

# A pattern of a whole Slim scope, and the other's name for it.
Rules = Sequence[tuple[str, str | Callable[[re.Match], str]]]


def by_rules(rules: Rules, scope: str) -> str:
    """The other's name of a Slim scope.

    Raises:
        KeyError: no rule fits: the table forgot a layer.
    """
    for pattern, name in rules:
        if found := re.fullmatch(pattern, scope):
            return name(found) if callable(name) else found.expand(name)
    raise KeyError(scope)


def convolution_of(name: str) -> str:
    """The scope of the convolution that a Slim variable belongs to: its own, or that in front of its batch norm."""
    return name.rpartition("/")[0].removesuffix(BATCH_NORM)


# -- Inception -------------------------------------------------------------------------------------------------------


class Module(NamedTuple):
    """The names of Inception modules."""

    pattern: str  # of the Slim scope below the network's: Mixed_5b, Repeat/block35_1
    name: str | Callable[[re.Match], str]  # there, with what stands between it and a layer's name
    branches: tuple[str, ...] | None = None  # the layers of each branch, by words; None: branch0, branch1.0, branch1.1


class _Place(NamedTuple):
    module: str
    branch: int
    position: int  # among the branch's convolutions
    is_alone: bool  # in its branch
    is_after_pool: bool


def inception_layers(scopes: Iterable[str], modules: Sequence[Module], rules: Rules) -> dict[str, str]:
    """Slim scope of a convolution -> the other's name for it and its batch norm together.

    Args:
        scopes: of all convolutions, in the order of computation.
        modules: of those in branches.
        rules: of the others.
    """
    scopes = list(dict.fromkeys(scopes))
    places = _places(scopes)
    return {
        scope: _in_branch(modules, places[scope]) if scope in places else by_rules(rules, scope) for scope in scopes
    }


def _places(scopes: Sequence[str]) -> dict[str, _Place]:
    branches: dict[tuple[str, int], list[str]] = {}
    for scope in scopes:
        if found := re.fullmatch(r"\w+?/(.+)/Branch_(\d)/\w+", scope):
            branches.setdefault((found[1], int(found[2])), []).append(scope)
    return {
        # Scopes number the layers of a branch: one that starts with 0b follows a pool 0a.
        scope: _Place(module, branch, position, len(members) == 1, len(members) == 1 and "/Conv2d_0b_" in scope)
        for (module, branch), members in branches.items()
        for position, scope in enumerate(members)
    }


def _in_branch(modules: Sequence[Module], place: _Place) -> str:
    for module in modules:
        if found := re.fullmatch(module.pattern, place.module):
            name = module.name(found) if callable(module.name) else found.expand(module.name)
            if module.branches is not None:
                return name + module.branches[place.branch].split()[place.position]
            if place.is_alone and not place.is_after_pool:
                return f"{name}branch{place.branch}"
            return f"{name}branch{place.branch}.{place.position + place.is_after_pool}"
    raise KeyError(place.module)


# -- entries ---------------------------------------------------------------------------------------------------------


def entries(
    names: Mapping[str, str],
    shapes: Mapping[str, Sequence[int]],
    dense: Collection[str] = (),
) -> tuple[Entry, ...]:
    """Entries for a framework with channels first.

    Args:
        names: Slim name -> the other's.
        shapes: Slim name -> shape.
        dense: Slim scopes of convolutions over a whole map that are fully connected layers there.
    """
    return tuple(
        Entry(name, other, _layout(name, shapes[name], name.rpartition("/")[0] in dense))
        for name, other in names.items()
    )


def _layout(name: str, shape: Sequence[int], is_dense: bool) -> Layout:
    if name.endswith("depthwise_weights"):
        return DEPTHWISE_OIHW
    if len(shape) == 4:
        return _flat_kernel(*shape[:3]) if is_dense else CONV_OIHW
    return DENSE_OI if len(shape) == 2 else SAME


def _flat_kernel(height: int, width: int, channels: int) -> Layout:
    """A matrix [out, channels * height * width] over a map with the channels first, which is a convolution in Slim."""

    def to_slim(array: np.ndarray) -> np.ndarray:
        return array.reshape(len(array), channels, height, width).transpose(2, 3, 1, 0)

    return Layout(to_slim, lambda array: array.transpose(3, 2, 0, 1).reshape(array.shape[3], -1))


def missing_gammas(
    pair_entries: Iterable[Entry], gamma: Callable[[str], str], scaled: Callable[[str], tuple[str, ...]]
) -> tuple[Factor, ...]:
    """The gammas of batch norms that have none in Slim: those of a beta without a gamma beside it.

    Args:
        pair_entries: of the pair.
        gamma: the other's name of a beta -> of its gamma.
        scaled: the other's name of a beta -> the arrays that take the gamma in.
    """
    pair_entries = list(pair_entries)
    slim_names = {entry.slim for entry in pair_entries}
    betas = [
        entry.other
        for entry in pair_entries
        if entry.slim.endswith("/beta") and f"{entry.slim.removesuffix('beta')}gamma" not in slim_names
    ]
    return tuple(Factor(gamma(beta), beta, scaled(beta)) for beta in betas)
