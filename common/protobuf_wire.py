"""Reads Protocol Buffers messages without their classes: numbers of fields and their bytes. Pure Python.

The format: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def fields(message: bytes | memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yields (field number, value) in the order of the message.

    The value is an int for a varint, and the bytes of anything else: a string, a message within (to be read by
    `fields` again), packed numbers, a fixed32 or fixed64 number.

    Raises:
        ValueError: it is no such message, or it is cut off.
    """
    view = memoryview(message)
    position = 0
    while position < len(view):
        key, position = _varint(view, position)
        kind = key & 7
        if kind == _VARINT:
            value, position = _varint(view, position)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, position = _varint(view, position)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"no Protocol Buffers message: wire type {kind} at byte {position}")
        if position + length > len(view):
            raise ValueError(f"cut off: a field of {length} bytes at byte {position} of {len(view)}")
        yield key >> 3, view[position : position + length]
        position += length


def _varint(view: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(view) and shift < 64:
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError(f"cut off, or no Protocol Buffers message: a number that does not end at byte {position}")
