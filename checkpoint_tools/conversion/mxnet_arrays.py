"""MXNet's parameter files: lists of arrays with names, to NumPy and back, without MXNet.

The format (mxnet/src/ndarray/ndarray.cc), all little-endian: a magic number of 64 bits, 64 bits of zeros; the number of
arrays (64 bits) and the arrays; the number of names (64 bits) and the names, each with its length (64 bits) before it.
An array is: its version; from version 2 on how it is stored; its shape; its device (two times 32 bits); its type; its
numbers. Three versions are told by magic numbers; in the oldest form the number of axes stands in their place.
"""

import math
import struct
from collections.abc import Mapping

import numpy as np

from common.errors import UserError

_LIST = 0x112
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_DENSE, _STORAGES = 0, {1: "row sparse", 2: "compressed sparse row"}
_CPU = (1, 0)
_MOST_AXES = 32
# By their numbers in a file; bfloat16 (12) is widened.
_TYPES = [np.dtype(kind) for kind in ("<f4", "<f8", "<f2", "u1", "<i4", "i1", "<i8", "?", "<i2", "<u2", "<u4", "<u8")]
_BFLOAT16 = 12


class _Cursor:
    """Reads from the front of bytes, and never past their end."""

    def __init__(self, content: bytes, source: str):
        self._content, self._source, self._at = memoryview(content), source, 0

    def take(self, count: int) -> memoryview:
        if count > len(self._content) - self._at:
            raise UserError(f"{self._source} is cut off, or no parameter file of MXNet; copy or fetch it again")
        self._at += count
        return self._content[self._at - count : self._at]

    def numbers(self, kind: str, count: int = 1) -> tuple[int, ...]:
        layout = struct.Struct(f"<{count}{kind}")
        return layout.unpack(self.take(layout.size))

    def number(self, kind: str) -> int:
        return self.numbers(kind)[0]


def decode(content: bytes, source: str) -> dict[str, np.ndarray]:
    """Name -> array; numbers of 16 bits become float32, exactly. Names are as in the file (`arg:fc1_weight`).

    Raises:
        UserError: cut off, no such file, sparse arrays, or arrays without names.
    """
    cursor = _Cursor(content, source)
    if len(content) < 16 or cursor.numbers("Q", 2)[0] != _LIST:
        raise UserError(f"{source} is no parameter file of MXNet: it does not start with the number {_LIST:#x}")
    arrays = []
    for _ in range(_count(cursor, len(content), source)):
        arrays.append(_array(cursor, f"{source}: array {len(arrays)}"))
    names = []
    for _ in range(_count(cursor, len(content), source)):
        names.append(bytes(cursor.take(cursor.number("Q"))).decode("utf-8", "replace"))
    if len(names) != len(arrays):
        raise UserError(f"{source} has {len(arrays)} arrays and {len(names)} names: save it from a dictionary")
    if len(set(names)) != len(names):
        raise UserError(f"{source} has two arrays of one name")
    return dict(zip(names, arrays, strict=True))


def _count(cursor: _Cursor, size: int, source: str) -> int:
    count = cursor.number("Q")
    if count * 8 > size:  # no array, nor a name, is shorter
        raise UserError(f"{source} is damaged: it says that it has {count:,} entries")
    return count


def _array(cursor: _Cursor, what: str) -> np.ndarray:
    version = cursor.number("I")
    if version in (_V2, _V3) and (storage := cursor.number("i")) != _DENSE:
        kind = _STORAGES.get(storage, f"of the unknown storage {storage}")
        raise UserError(f"{what} is {kind}: store it dense, by array.tostype('default')")
    is_old = version not in (_V1, _V2, _V3)  # then it is the number of axes
    axes = version if is_old else cursor.number("i")
    if not 0 <= axes <= _MOST_AXES:
        raise UserError(f"{what} is damaged, or of a newer format: {axes} axes")
    shape = cursor.numbers("I" if is_old else "q", axes)
    if axes == 0 and version != _V3:
        raise UserError(f"{what} is empty")
    cursor.numbers("i", 2)
    kind = cursor.number("i")
    dtype = np.dtype("<u2") if kind == _BFLOAT16 else _TYPES[kind] if 0 <= kind < len(_TYPES) else None
    if dtype is None or min(shape, default=0) < 0:
        raise UserError(f"{what} is damaged, or of a newer format: shape {shape}, type {kind}")
    values = np.frombuffer(cursor.take(math.prod(shape) * dtype.itemsize), dtype).reshape(shape)
    if kind == _BFLOAT16:
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32) if dtype == np.float16 else values


def encode(arrays: Mapping[str, np.ndarray]) -> bytes:
    """A parameter file with these arrays, each in version 2. float32."""
    parts = [struct.pack("<QQQ", _LIST, 0, len(arrays))]
    for array in arrays.values():
        parts.append(struct.pack(f"<Iii{array.ndim}q", _V2, _DENSE, array.ndim, *array.shape))
        parts.append(struct.pack("<iii", *_CPU, 0))
        parts.append(np.ascontiguousarray(array, "<f4").tobytes())
    parts.append(struct.pack("<Q", len(arrays)))
    for name in arrays:
        text = name.encode()
        parts.append(struct.pack("<Q", len(text)) + text)
    return b"".join(parts)
