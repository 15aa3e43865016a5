"""Names and shapes of every network's variables, stored, so that nothing is built to recognise a checkpoint.

    python -m checkpoint_tools.signatures      writes them anew (needed when a network is added or changed)

A dimension that is no fixed number is written as what it depends on: `K` the number of classes, `C` the channels of the
images (`C8` eight times as many), `S5` the size of the images (here 5 at the network's default size). Made by building
each network several times and comparing; a test holds the stored ones to the networks.
"""

import dataclasses
import functools
import gzip
import importlib.resources
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from common import files

FILE_NAME = "signatures.json.gz"

CLASSES, CHANNELS, SIZE = "K", "C", "S"

Dimension = int | str
Pattern = tuple[Dimension, ...]


@dataclasses.dataclass(frozen=True)
class Signature:
    """What tells a network's checkpoint.

    Attributes:
        model_name: the network.
        variables: name -> shape in which `K`, `C` and `S...` stand for what varies; in the network's order.
        image_size: its default, pixels.
        channels: its default.
        num_classes: that of its published checkpoint, or of its data set.
        head_scopes: classifier and auxiliary classifiers.
    """

    model_name: str
    variables: Mapping[str, Pattern]
    image_size: int
    channels: int
    num_classes: int
    head_scopes: tuple[str, ...]

    @property
    def auxiliary_scopes(self) -> tuple[str, ...]:
        """Those of `head_scopes` that are no more than a help in training."""
        return tuple(scope for scope in self.head_scopes if "aux" in scope.lower())

    def shapes(self, num_classes: int | None = None, channels: int | None = None) -> dict[str, tuple[int, ...]]:
        """Name -> shape, at the default image size."""
        values = {CLASSES: num_classes or self.num_classes, CHANNELS: channels or self.channels}
        return {
            name: tuple(number(dimension, values) for dimension in pattern) for name, pattern in self.variables.items()
        }


def number(dimension: Dimension, values: Mapping[str, int]) -> int:
    """What a dimension is for given classes and channels (keys `K`, `C`), at the default image size."""
    if isinstance(dimension, int):
        return dimension
    kind, factor = dimension[0], int(dimension[1:] or 1)
    return factor if kind == SIZE else factor * values[kind]


@functools.cache
def stored() -> tuple[Signature, ...]:
    """The built-in networks' signatures, in the zoo's order."""
    data = importlib.resources.files(__package__).joinpath(FILE_NAME).read_bytes()
    return tuple(_from_json(name, facts) for name, facts in json.loads(gzip.decompress(data)).items())


def make(name: str) -> Signature:
    """Works out the signature of a registered network, by building it five times in scratch graphs."""
    from nets import registry
    from nets.network import Network

    record = registry.get(name)
    usual = Network(name, 3).shapes
    by_classes = Network(name, 5).shapes
    by_channels = _built(name, 3, channels=record.channels + 1)
    sizes = (record.image_size // 2, record.image_size * 2 // 3, record.image_size * 3 // 2)
    by_size = [_built(name, 3, image_size=size) for size in sizes]

    def dimension(variable: str, axis: int) -> Dimension:
        value = usual[variable][axis]
        if by_classes[variable][axis] != value:
            return CLASSES
        if any(shapes.get(variable, usual[variable])[axis] != value for shapes in by_size):
            return f"{SIZE}{value}"
        if by_channels.get(variable, usual[variable])[axis] != value:
            return CHANNELS if value == record.channels else f"{CHANNELS}{value // record.channels}"
        return value

    return Signature(
        model_name=name,
        variables={name: tuple(dimension(name, axis) for axis in range(len(usual[name]))) for name in usual},
        image_size=record.image_size,
        channels=record.channels,
        num_classes=record.num_classes,
        head_scopes=record.head_scopes,
    )


def _built(name: str, num_classes: int, **options: int) -> dict[str, tuple[int, ...]]:
    """Shapes of a network's variables; none where it cannot be built so (images that are too small)."""
    from nets.network import Network

    try:
        return Network(name, num_classes, **options).shapes
    except ValueError:
        return {}


# -- the file -------------------------------------------------------------------------------------


def to_json(signature: Signature) -> dict[str, Any]:
    """A signature in types that JSON has; the variables as a tree of scopes, which is a twentieth of the list."""
    tree: dict[str, Any] = {}
    for name, pattern in signature.variables.items():
        *scopes, last = name.split("/")
        node = tree
        for scope in scopes:
            node = node.setdefault(scope, {})
        node[last] = "x".join(map(str, pattern))
    facts = {field.name: getattr(signature, field.name) for field in dataclasses.fields(signature)}
    return {**facts, "head_scopes": list(signature.head_scopes), "variables": tree}


def _from_json(name: str, facts: Mapping[str, Any]) -> Signature:
    variables = {
        variable: tuple(int(part) if part.isdecimal() else part for part in text.split("x")) if text else ()
        for variable, text in _leaves(facts["variables"], "")
    }
    return Signature(
        **{**facts, "model_name": name, "variables": variables, "head_scopes": tuple(facts["head_scopes"])}
    )


def _leaves(tree: Mapping[str, Any], scope: str) -> Iterator[tuple[str, str]]:
    for name, node in tree.items():
        if isinstance(node, str):
            yield f"{scope}{name}", node
        else:
            yield from _leaves(node, f"{scope}{name}/")


def write(path: str) -> int:
    """Writes the signatures of all built-in networks; returns how many."""
    from nets import registry

    made = {record.name: to_json(make(record.name)) for record in registry.records()}
    content = gzip.compress(json.dumps(made, separators=(",", ":")).encode(), mtime=0)
    with files.atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(content)
    return len(made)


if __name__ == "__main__":
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), FILE_NAME)
    print(f"{write(here)} networks in {here}")
