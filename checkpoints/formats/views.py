"""A checkpoint under other names than those in its files."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING

import tensorflow as tf

from checkpoints.formats import common, object_graph

if TYPE_CHECKING:
    from checkpoints.reader import CheckpointReader

STEP_NAMES = ("global_step", "iteration", "iterations", "iter", "step")


class View:
    """An open checkpoint whose variables have readable names; else as `checkpoints.reader.CheckpointReader`.

    Attributes:
        keys: name -> name in the files.
    """

    def __init__(self, reader: CheckpointReader, *, given: str, path: str, format: str):
        """Wraps `reader`; object-based names become the variables' own, see `object_graph`."""
        self._reader = reader
        self.given = given
        self.path = path
        self.format = format
        self.notes: tuple[str, ...] = ()
        self.is_object_based = reader.is_object_based
        self.keys = _readable(reader) if reader.is_object_based else {name: name for name in reader.shapes}
        self.shapes: dict[str, tuple[int, ...]] = {name: reader.shapes[key] for name, key in self.keys.items()}
        self.dtypes: dict[str, tf.DType] = {name: reader.dtypes[key] for name, key in self.keys.items()}

    @property
    def files(self) -> list[str]:
        """Paths of the files that hold it."""
        return self._reader.files

    @functools.cached_property
    def step(self) -> int | None:
        """The value of its one scalar integer that is called like a step; None where there is none, or several."""
        integers = [name for name, shape in self.shapes.items() if shape == () and self.dtypes[name].is_integer]
        for names in (
            [name for name in integers if name == STEP_NAMES[0]],
            [name for name in integers if name.split("/")[-1].lstrip("_") in STEP_NAMES],
        ):
            if len(names) == 1:
                return int(self.read(names)[names[0]])
        return None

    def read(self, names: Iterable[str]) -> dict[str, tf.Tensor]:
        """Reads tensors; see `CheckpointReader.read`."""
        names = common.each_once(names, self.keys, self.path)
        values = self._reader.read(self.keys[name] for name in names)
        return {name: values[self.keys[name]] for name in names}


def _readable(reader: CheckpointReader) -> dict[str, str]:
    try:
        names = object_graph.full_names(reader.read([object_graph.KEY])[object_graph.KEY].numpy())
    except ValueError:  # of a later TensorFlow, perhaps: the paths of the objects will do
        names = {}

    def are_equal(keys: list[str]) -> bool:
        if len({(reader.shapes[key], reader.dtypes[key]) for key in keys}) > 1:
            return False
        first, *others = reader.read(keys).values()
        content = first.numpy().tobytes()
        return all(other.numpy().tobytes() == content for other in others)

    return object_graph.readable_names(reader.shapes, names, are_equal)
