"""Going through a checkpoint's tensors without holding all of them, or copies of a large one, in memory."""

import math
from collections.abc import Iterable, Iterator

import numpy as np

from checkpoints.reader import Reader

_GROUP_BYTES = 128 << 20
_BLOCK = 4 << 20  # elements


def read_in_groups(reader: Reader, names: Iterable[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yields (name, array) in the order of `names`, reading about 128 MB at a time."""
    group: list[str] = []
    size = 0
    for name in names:
        bytes_of_it = math.prod(reader.shapes[name]) * (reader.dtypes[name].size or 1)
        if group and size + bytes_of_it > _GROUP_BYTES:
            yield from _read(reader, group)
            group, size = [], 0
        group.append(name)
        size += bytes_of_it
    yield from _read(reader, group)


def _read(reader: Reader, names: list[str]) -> Iterator[tuple[str, np.ndarray]]:
    values = reader.read(names)
    for name in names:
        yield name, np.asarray(values.pop(name))


def is_float(array: np.ndarray) -> bool:
    """Whether it holds floats, bfloat16 and its kind (which NumPy does not know by itself) included."""
    return array.dtype.kind == "f" or array.dtype.name.startswith(("bfloat", "float"))


def blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the elements of an array in flat pieces that are cheap to compute with in float64."""
    flat = array.reshape(-1)
    for start in range(0, flat.size, _BLOCK):
        yield flat[start : start + _BLOCK]
