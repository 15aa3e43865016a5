"""The stages of a network in the order in which it computes: what `last:N` counts.

A stage is what people count when they say "the last two blocks": ResNet's blocks, Inception's modules, MobileNet's
layers (depthwise and pointwise together), NASNet's cells, VGG's groups of convolutions. It is read off the variables'
names, so a network of one's own has stages too. Pure Python.
"""

import re
from collections.abc import Iterable, Sequence

HEAD = "head"

# Layers of one step under two names: MobileNet v1's Conv2d_1_depthwise and Conv2d_1_pointwise.
_PART = re.compile(r"_(depthwise|pointwise)$")
_OF_NORMALISATION = {"gamma", "beta", "moving_mean", "moving_variance"}

Stage = tuple[str, tuple[str, ...]]


def stages(names: Iterable[str], head_scopes: Sequence[str] = ()) -> tuple[Stage, ...]:
    """Returns the stages of a network, first to last.

    Args:
        names: its variables in the order in which it makes them, which is the order of computation but for auxiliary
            classifiers.
        head_scopes: its classifier and auxiliary classifiers; together they are the last stage, `head`.

    Returns:
        (name, scopes) of each stage. The scopes are whole path components, and each variable is in one stage's.
    """
    names = list(names)
    heads = tuple(scope for scope in head_scopes if any(_within(name, scope) for name in names))
    body = [name for name in names if not any(_within(name, scope) for scope in heads)]
    depth = _depth([*body, *heads])
    members: dict[str, list[str]] = {}
    for name in body:
        members.setdefault("/".join(name.split("/")[: depth + 1]), []).append(name)
    found: dict[str, list[str]] = {}
    for scope, inside in members.items():
        stage = _PART.sub("", scope.rpartition("/")[2])
        # A normalisation by itself (ResNet v2's postnorm, NASNet's conv0_bn) is no step of its own: it ends the one
        # before it.
        if found and {name.rpartition("/")[2] for name in inside} <= _OF_NORMALISATION:
            stage = next(reversed(found))
        found.setdefault(stage, []).append(scope)
    listed = [(stage, tuple(scopes)) for stage, scopes in found.items()]
    return tuple([*listed, (HEAD, heads)] if heads else listed)


def _within(name: str, scope: str) -> bool:
    return name == scope or name.startswith(f"{scope}/")


def _depth(paths: Sequence[str]) -> int:
    """How many scopes are around the whole network."""
    scopes = [path.split("/")[:-1] for path in paths]
    depth = 0
    for level in zip(*scopes, strict=False):
        if len(set(level)) > 1:
            break
        depth += 1
    one_layer = all(len(parts) == depth for parts in scopes)
    return max(0, depth - one_layer)
