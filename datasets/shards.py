"""TFRecord files: their names, and what can be known of them without reading the records.

A TFRecord file is a row of records, each `length (uint64), masked CRC-32C of the length, data, masked CRC-32C of the
data`, little endian (TensorFlow's `tf.io.TFRecordWriter`). Walking the lengths counts the records; the checksums on the
way identify the content, so that a fingerprint of a data set needs 16 bytes a record and not the records.
"""

import contextlib
import functools
import hashlib
import itertools
import mmap
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from common.errors import UserError
from datasets import filesystem

T = TypeVar("T")

_WINDOW_BYTES = 2**23


def shard_name(dataset: str, split: str, shard: int, num_shards: int) -> str:
    """Returns Slim's file name: `flowers_train_00000-of-00005.tfrecord`."""
    return f"{dataset}_{split}_{shard:05d}-of-{num_shards:05d}.tfrecord"


def single_name(dataset: str, split: str, shard: int, num_shards: int) -> str:
    """Returns Slim's name for a split in one file, `mnist_train.tfrecord`; that of a shard where there are several."""
    return f"{dataset}_{split}.tfrecord" if num_shards == 1 else shard_name(dataset, split, shard, num_shards)


def imagenet_name(_: str, split: str, shard: int, num_shards: int) -> str:
    """Returns the name that Slim's ImageNet builder gave: `train-00000-of-01024`."""
    return f"{split}-{shard:05d}-of-{num_shards:05d}"


def record_name(_: str, split: str, shard: int, num_shards: int) -> str:
    """Returns the name that Slim's wake words have: `val.record-00000-of-00010`."""
    return f"{split}.record-{shard:05d}-of-{num_shards:05d}"


def deal_rows(items: Sequence[T], num_shards: int) -> list[Sequence[T]]:
    """Deals items out to shards: each gets a row of neighbours."""
    bounds = [k * len(items) // num_shards for k in range(num_shards + 1)]
    return [items[start:end] for start, end in itertools.pairwise(bounds)]


def deal_in_turn(items: Sequence[T], num_shards: int) -> list[Sequence[T]]:
    """Deals items out to shards as cards: item i goes to shard i modulo their number."""
    return [items[k::num_shards] for k in range(num_shards)]


class ShardName(NamedTuple):
    """What a file name says; `dataset` is '' and the numbers are 0 of 1 where it does not say them."""

    dataset: str
    split: str
    shard: int
    num_shards: int


_WITH_SHARDS = re.compile(
    r"(?:(?P<dataset>.+)[_-])?(?P<split>[A-Za-z0-9]+)(?:\.tfrecords?|\.record)?"
    r"[_-](?P<shard>\d{5})-of-(?P<num_shards>\d{5})(?:\.tfrecords?|\.record)?"
)
_WITHOUT_SHARDS = re.compile(r"(?:(?P<dataset>.+)[_-])?(?P<split>[A-Za-z0-9]+)\.tfrecords?")


def parse_name(name: str) -> ShardName | None:
    """Reads the names that Slim's converters (and most others) give: None for a file that is not named like a shard.

    `flowers_train_00000-of-00005.tfrecord`, `cifar10_test.tfrecord`, `train-00000-of-01024`,
    `val.record-00000-of-00010`.
    """
    match = _WITH_SHARDS.fullmatch(name)
    if match:
        return ShardName(match["dataset"] or "", match["split"], int(match["shard"]), int(match["num_shards"]))
    match = _WITHOUT_SHARDS.fullmatch(name)
    return ShardName(match["dataset"] or "", match["split"], 0, 1) if match else None


class Shard(NamedTuple):
    """A TFRecord file: its path, how many records and bytes it has, and a digest of its content."""

    path: str
    examples: int
    bytes: int
    digest: str


def scan(path: str) -> Shard:
    """Walks a TFRecord file.

    Raises:
        UserError: the file is no TFRecord file, is damaged or ends inside a record.
    """
    try:
        return _scan(path, *filesystem.status(path))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


@functools.lru_cache(maxsize=4096)
def _scan(path: str, size: int, _modified: int) -> Shard:
    digest, examples, position = hashlib.sha256(), 0, 0
    if size == 0:
        return Shard(path, 0, 0, digest.hexdigest())
    with _viewed(path, size) as view:
        while position < size:
            head = view[position : position + 12]
            end = position + 16 + int.from_bytes(head[:8], "little")
            if len(head) < 12 or masked_crc32c(head[:8]) != int.from_bytes(head[8:], "little"):
                what = f"is damaged in record {examples} (byte {position})" if examples else "is not a TFRecord file"
                raise UserError(f"{path} {what}; convert or copy the data set again")
            if end > size:
                raise UserError(
                    f"{path} is truncated: record {examples} ends at byte {end}, the file at byte {size}; "
                    "convert or copy the data set again"
                )
            digest.update(head)
            digest.update(view[end - 4 : end])
            examples += 1
            position = end
    return Shard(path, examples, size, digest.hexdigest())


@contextlib.contextmanager
def _viewed(path: str, size: int) -> Iterator["mmap.mmap | _Window"]:
    """A file as bytes that can be sliced."""
    with filesystem.open_binary(path) as file:
        if filesystem.is_remote(path):
            yield _Window(file, size)
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            if hasattr(view, "madvise") and hasattr(mmap, "MADV_RANDOM"):
                view.madvise(mmap.MADV_RANDOM)  # no read-ahead: 16 bytes in a record are looked at
            yield view


class _Window:
    """A file that is read in pieces of some megabytes, one after the other: over a network every read costs time."""

    def __init__(self, file: Any, size: int):
        self._file, self._size = file, size
        self._start, self._bytes = 0, b""

    def __getitem__(self, part: slice) -> bytes:
        if part.start < self._start or part.stop > self._start + len(self._bytes):
            self._file.seek(part.start)
            self._start = part.start
            self._bytes = self._file.read(min(max(_WINDOW_BYTES, part.stop - part.start), self._size - part.start))
        return self._bytes[part.start - self._start : part.stop - self._start]


def fingerprint(shards: Sequence[Shard]) -> str:
    """Returns a hex digest of the files' names, sizes and content, in any order of the files."""
    lines = sorted(f"{os.path.basename(shard.path)} {shard.bytes} {shard.digest}\n" for shard in shards)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def joined_fingerprint(fingerprints: Iterable[str]) -> str:
    """Returns the fingerprint of several sets of files together, in any order."""
    return hashlib.sha256("".join(f"{one}\n" for one in sorted(fingerprints)).encode()).hexdigest()


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)  # Castagnoli's polynomial, reversed
        table.append(value)
    return table


_CRC_TABLE = _crc_table()


def masked_crc32c(data: bytes) -> int:
    """Returns the checksum that TFRecord files use; in plain Python, for the 8 bytes of a length."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def check_complete(names: Sequence[str], folder: str) -> None:
    """Fails where a shard of a split is missing, or shards of two different conversions lie side by side."""
    parsed = [parse for name in names if (parse := parse_name(name))]
    totals = sorted({name.num_shards for name in parsed})
    if len(totals) > 1:
        raise UserError(
            f"{folder} mixes two conversions of split {parsed[0].split!r}: files of {totals[0]} and of {totals[1]} "
            "shards; remove one of them"
        )
    missing = sorted(set(range(totals[0])) - {name.shard for name in parsed}) if totals else []
    if missing:
        raise UserError(
            f"{folder} lacks {len(missing)} of the {totals[0]} shards of split {parsed[0].split!r}, "
            f"the first is number {missing[0]:05d}; copy or convert the data set again"
        )
