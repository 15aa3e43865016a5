"""Reads TFRecord files that may be damaged: what is damaged is told, the rest is read."""

import mmap
from collections.abc import Iterator
from typing import NamedTuple

from datasets.shards import masked_crc32c

_LENGTH = 12  # bytes of a record's length and its checksum
_CHECKSUM = 4


class Record(NamedTuple):
    """A record's number in its file, its bytes, and what is wrong with it ('' if nothing; then `data` is whole)."""

    number: int
    data: bytes
    problem: str = ""


def read(path: str) -> Iterator[Record]:
    """Yields the records of a file. Behind a record whose length is damaged nothing can be found: it is the last.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        if not file.read(1):
            return
        check_each = not _is_intact(path)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            yield from _records(view, check_each)


def _records(view: mmap.mmap, check_each: bool) -> Iterator[Record]:
    position, number = 0, 0
    while position < len(view):
        head = view[position : position + _LENGTH]
        start = position + _LENGTH
        end = start + int.from_bytes(head[:8], "little")
        behind = f"at byte {position} of {len(view)}, and nothing behind it can be read"
        if len(head) < _LENGTH or masked_crc32c(head[:8]) != int.from_bytes(head[8:], "little"):
            what = "its length is damaged" if number else "this is no TFRecord file, or its start is damaged"
            yield Record(number, b"", f"{what}, {behind}")
            return
        if end + _CHECKSUM > len(view):
            yield Record(number, b"", f"the file is truncated inside it, {behind}")
            return
        data = view[start:end]
        wrong = check_each and masked_crc32c(data) != int.from_bytes(view[end : end + _CHECKSUM], "little")
        yield Record(number, data, "its checksum is wrong" if wrong else "")
        position, number = end + _CHECKSUM, number + 1


def _is_intact(path: str) -> bool:
    """Whether TensorFlow's reader, which checks fast, reads the whole file."""
    import tensorflow as tf

    try:
        tf.data.TFRecordDataset(path, buffer_size=1 << 20).reduce(0, lambda count, _: count + 1)
    except (tf.errors.DataLossError, tf.errors.OutOfRangeError):
        return False
    return True
