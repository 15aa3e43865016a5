"""Reading records: which ones a worker gets, in which order, and what becomes of those that cannot be read.

Every record of a split has a number: its place in the files, taken in the order of their names. Streams carry it along,
so that a record can be named, looked up in a cache and told how often it is drawn.

The order of an epoch is drawn from (seed, epoch) alone. Up to 16 files are read in turn, however many at the same time,
and a buffer of fixed length is drawn from; so a stream of bare numbers, which costs no reading, has the same order.
"""

import bisect
import dataclasses
import itertools
from collections.abc import Callable

import tensorflow as tf

from common.errors import UserError
from datasets import filesystem
from datasets.dataset_factory import Dataset

# Keeps AutoGraph out of functions that have nothing to convert: reading their source costs over a second of start-up.
traced_as_is = tf.autograph.experimental.do_not_convert

SHUFFLE_BYTES = 256e6  # of serialized records held to draw from; a split that fits is shuffled as a whole
_FILES_KEPT = 64  # whose records are kept in memory: each takes milliseconds to set up
_FILES_IN_TURN = 16
_BLOCK = 8  # records taken from one file before the next one's turn
_GRAPH_SEED = 87654321  # any constant: it stands in for the global seed

# (number of the record) or (number, serialized record), as one element of a stream.
Element = tuple[tf.Tensor, ...]
# From the place of a piece in its share, int64 scalar, to the elements of its records.
Read = Callable[[tf.Tensor], tf.data.Dataset]


@dataclasses.dataclass(frozen=True)
class Piece:
    """Neighbouring records of one file.

    Attributes:
        path: of the file.
        number: of the first record.
        skip: records of the file before it.
        count: records.
    """

    path: str
    number: int
    skip: int
    count: int


@dataclasses.dataclass(frozen=True)
class Share:
    """The records of one worker, of all if there is one: neighbours, about as many for each.

    Attributes:
        pieces: where they are.
        first: number of the first.
        count: records.
        is_whole: whether the pieces are whole files.
    """

    pieces: tuple[Piece, ...]
    first: int
    count: int
    is_whole: bool


def share(dataset: Dataset, num_workers: int = 1, worker_index: int = 0) -> Share:
    """Returns the records that a worker reads; those of all workers are the split, each record once.

    Raises:
        ValueError: no such worker.
        UserError: more workers than records.
    """
    if not 0 <= worker_index < num_workers:
        raise ValueError(f"worker_index must be 0 to {num_workers - 1} (num_workers - 1), found {worker_index}")
    total = dataset.num_samples
    if total < num_workers:
        what = f"{total} examples for {num_workers} workers" if total else "no examples"
        raise UserError(f"split {dataset.split!r} of {dataset.data_sources} has {what}")
    start, end = (total * k // num_workers for k in (worker_index, worker_index + 1))
    pieces = []
    for path, number, count in zip(dataset.files, _first_numbers(dataset), dataset.file_examples, strict=True):
        low, high = max(start, number), min(end, number + count)
        if low < high:
            pieces.append(Piece(path, low, low - number, high - low))
    return Share(tuple(pieces), start, end - start, num_workers == 1)


def sample(share: Share, count: int) -> Share:
    """Returns about `count` records of a share, some of many files: a file may hold images of one kind."""
    some = share.pieces[:: max(len(share.pieces) // count, 1)]
    each = max(count // len(some), 1)
    return dataclasses.replace(
        share, pieces=tuple(dataclasses.replace(piece, count=min(each, piece.count)) for piece in some)
    )


def place_of(dataset: Dataset, number: int) -> tuple[str, int]:
    """Returns the path of the file of a record, and its place in it, from 0."""
    firsts = _first_numbers(dataset)
    file = bisect.bisect_right(firsts, number) - 1  # the last of several where some are empty
    return dataset.files[file], number - firsts[file]


def _first_numbers(dataset: Dataset) -> list[int]:
    return [0, *itertools.accumulate(dataset.file_examples)][:-1]


def records_in_order(share: Share, *, tolerant: bool = False) -> tf.data.Dataset:
    """Returns (number int64, serialized string) of a share, in the order of the files.

    Args:
        share: what to read.
        tolerant: see `records_of`.
    """
    return tf.data.Dataset.range(len(share.pieces)).flat_map(records_of(share, tolerant=tolerant))


def numbers_in_order(share: Share) -> tf.data.Dataset:
    """Returns the numbers (int64,) of a share's records."""
    return tf.data.Dataset.zip((tf.data.Dataset.range(share.first, share.first + share.count),))


def shuffled(
    share: Share,
    dataset: Dataset,
    read: Read,
    *,
    seed: int,
    epoch: tf.Tensor,
    num_readers: int | None = None,
    deterministic: bool = True,
    repeats: tf.Tensor | None = None,
) -> tf.data.Dataset:
    """Returns one epoch's elements in an order drawn from (seed, epoch); to be called while a function is traced.

    Args:
        share: what to read.
        dataset: what it is a share of.
        read: `records_of(share)`, or `numbers_of(share)` to leave the records unread: the order is the same.
        seed: of the order, 0 or more.
        epoch: int64 scalar.
        num_readers: pieces read at the same time, None for one after the other; changes nothing in the order.
        deterministic: False takes records as they arrive.
        repeats: int64 [share.count], how often each record comes; None for once.
    """
    # This sets the seed of the traced function's graph alone: without it, an operation's seed is mixed with the seed
    # that the program has set for itself (tf.random.set_seed).
    tf.random.set_seed(_GRAPH_SEED)
    epoch_seed = tf.stack([tf.constant(seed, tf.int64), epoch])
    order = tf.random.experimental.stateless_shuffle(tf.range(len(share.pieces), dtype=tf.int64), seed=epoch_seed)
    buffer_seed = tf.random.stateless_uniform([], epoch_seed, 1, tf.int32.max, dtype=tf.int64)
    in_turn = min(_FILES_IN_TURN, len(share.pieces))
    elements = tf.data.Dataset.from_tensor_slices(order).interleave(
        read,
        cycle_length=in_turn,
        block_length=_BLOCK,
        num_parallel_calls=num_readers and min(num_readers, in_turn),
        deterministic=deterministic if num_readers else None,
    )
    if repeats is not None:
        elements = elements.flat_map(_repeater(share, repeats))
    return elements.shuffle(_buffer(dataset), seed=buffer_seed, reshuffle_each_iteration=False)


def _buffer(dataset: Dataset) -> int:
    return min(dataset.num_samples, max(int(SHUFFLE_BYTES / _mean_bytes(dataset)), 1))


def _bytes(share: Share, dataset: Dataset) -> float:
    return share.count * _mean_bytes(dataset)


def _mean_bytes(dataset: Dataset) -> float:
    return max(dataset.record_bytes / dataset.num_samples, 1)


def records_of(share: Share, *, tolerant: bool = False) -> Read:
    """Returns the function that reads (number int64, serialized string) of a piece's records.

    A file that ends too early goes on with empty records, which nothing can parse: so every record keeps its number and
    its place in the order, and errors come where records are parsed. `tolerant` treats a file that cannot be read on
    (a wrong checksum: where the next record starts is not known any more) or is gone the same way.
    """
    paths = tf.constant([filesystem.escaped(p.path) if tolerant else p.path for p in share.pieces])
    numbers, skips, counts = (
        tf.constant([getattr(piece, name) for piece in share.pieces], tf.int64) for name in ("number", "skip", "count")
    )

    @traced_as_is
    def read(k: tf.Tensor) -> tf.data.Dataset:
        if tolerant:
            # Opening a file that is gone fails for ever, which ignore_errors() would wait for; no file does not.
            records = tf.data.TFRecordDataset(tf.io.matching_files(paths[k])).ignore_errors()
        else:
            records = tf.data.TFRecordDataset(paths[k])
        records = records.concatenate(tf.data.Dataset.from_tensors(tf.constant(b"")).repeat())
        if not share.is_whole:
            records = records.skip(skips[k])
        return tf.data.Dataset.zip((tf.data.Dataset.range(numbers[k], numbers[k] + counts[k]), records))

    return read


def kept_records_of(share: Share, dataset: Dataset, *, tolerant: bool = False) -> Read:
    """Returns `records_of(share)`; of a small share, a function that reads each record once and then remembers it.

    A small share lies in the shuffle buffer as a whole, so memory it takes anyway; without remembering, training would
    wait at the beginning of every epoch until all of it has been read. Not to be called while a function is traced.
    """
    read = records_of(share, tolerant=tolerant)
    if _bytes(share, dataset) > SHUFFLE_BYTES or len(share.pieces) > _FILES_KEPT:
        return read
    spec = (tf.TensorSpec([], tf.int64), tf.TensorSpec([], tf.string))

    @tf.function(autograph=False)  # traced once: a TFRecordDataset made eagerly takes ten milliseconds
    def piece(place: tf.Tensor) -> tf.Tensor:
        return tf.data.experimental.to_variant(read(place))

    def kept(place: int) -> tf.Tensor:
        records = tf.data.experimental.from_variant(piece(tf.constant(place, tf.int64)), spec)
        return tf.data.experimental.to_variant(records.cache())

    with tf.device("CPU:0"):
        # A data set in memory is a tensor, by which the functions of all epochs refer to the same one.
        variants = tf.stack([kept(place) for place in range(len(share.pieces))])

    @traced_as_is
    def recall(place: tf.Tensor) -> tf.data.Dataset:
        return tf.data.experimental.from_variant(variants[place], spec)

    return recall


def numbers_of(share: Share) -> Read:
    """Returns the function that gives the numbers (int64,) of a piece's records."""
    numbers = tf.constant([piece.number for piece in share.pieces], tf.int64)
    counts = tf.constant([piece.count for piece in share.pieces], tf.int64)

    @traced_as_is
    def read(k: tf.Tensor) -> tf.data.Dataset:
        return tf.data.Dataset.zip((tf.data.Dataset.range(numbers[k], numbers[k] + counts[k]),))

    return read


def _repeater(share: Share, repeats: tf.Tensor) -> Callable[..., tf.data.Dataset]:
    @traced_as_is
    def repeat(number: tf.Tensor, *rest: tf.Tensor) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensors((number, *rest)).repeat(repeats[number - share.first])

    return repeat
