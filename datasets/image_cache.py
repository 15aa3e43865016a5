"""The images of a share kept at hand, encoded or decoded, in memory or in a file, from which any can be had at once.

All images lie one after the other in one row of bytes, memory or a file mapped into it. It is made whole before the
first batch. Batches then draw numbers of records in the order that they would be read in, so a cache changes nothing
but the time: neither order nor pixels, and a run may go on with another cache than it began with.
"""

import contextlib
import dataclasses
import mmap
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf
from absl import logging

from common import files
from common.errors import UserError
from datasets import arrays, memory, reading, records
from datasets.class_balance import Labels
from datasets.dataset_factory import Dataset

# From encoded bytes to uint8 [height, width, channels].
Decode = Callable[[tf.Tensor], tf.Tensor]

_SAMPLE = 64  # images decoded to estimate the size of all
_SHARE_OF_MEMORY = 0.8  # of what is available: the rest is for what else the machine does
_WRITE_BYTES = 2**24


@dataclasses.dataclass(frozen=True)
class ImageCache:
    """Images and labels of a share, by their place in it.

    Attributes:
        data: uint8 [bytes], all images one after the other.
        ends: int64 [images + 1], where each begins and the last ends; none has no bytes but one that was unreadable.
        shapes: int32 [images, 3], height, width and channels of decoded images; None where they are encoded.
        labels: of all images.
    """

    data: tf.Tensor
    ends: np.ndarray
    shapes: np.ndarray | None
    labels: Labels

    def lookup_fn(self) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        """Returns the function: place of an image in the share, int64 scalar -> what `records.parse` returns.

        It runs in the input pipeline. `encoded` is a scalar string, or uint8 [height, width, channels] where images are
        kept decoded; `label` an int64 scalar; `labels` int64 [classes of the image]. An image that could not be read
        when the cache was made is a tf.errors.InvalidArgumentError.
        """
        rows = np.searchsorted(self.labels.examples, np.arange(len(self.ends)))
        with tf.device("CPU:0"):  # tensors that functions capture: as constants they would be copied into each
            ends, rows, classes = (tf.constant(array, tf.int64) for array in (self.ends, rows, self.labels.classes))
            shapes = None if self.shapes is None else tf.constant(self.shapes)
        data = self.data

        @reading.traced_as_is
        def lookup(place: tf.Tensor) -> dict[str, tf.Tensor]:
            start, length = ends[place], ends[place + 1] - ends[place]
            check = tf.debugging.Assert(length > 0, ["the image could not be read when the cache was made"])
            with tf.control_dependencies([check]):
                row = tf.slice(data, [start], [length])
            image = _as_string(row, length) if shapes is None else tf.reshape(row, shapes[place])
            labels = classes[rows[place] : rows[place + 1]]
            label = tf.concat([labels, [tf.constant(records.NO_LABEL, tf.int64)]], 0)[0]
            return {"encoded": image, "label": label, "labels": labels}

        return lookup


def _as_string(data: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Returns uint8 [length] as a scalar string: a serialized tensor ends in its bytes."""
    return tf.strings.substr(tf.io.serialize_tensor(data), -length, length)


def build(
    dataset: Dataset,
    share: reading.Share,
    place: str,
    kind: str,
    decode: Decode,
    *,
    channels: int = 3,
    folder: str = "",
    num_threads: int = 4,
) -> ImageCache:
    """Reads all images of a share, and decodes them if they are to be kept decoded.

    Args:
        dataset: what to read.
        share: the records to keep.
        place: `memory` or `disk`.
        kind: `encoded` or `decoded`.
        decode: for `decoded`.
        channels: of what `decode` returns.
        folder: for `disk`: where the file goes, and is found by the next run.
        num_threads: images decoded at the same time.

    Raises:
        UserError: memory or disk would not hold it.
    """
    what = f"{share.count:,} {kind} images"
    path = os.path.join(folder, _file_name(dataset, share, kind, channels))
    if place == "disk" and (kept := _open_file(path)):
        logging.info("Cache: %s, kept in %s by a run before", what, path)
        return kept
    estimate = _estimate(dataset, share, kind, decode, num_threads)
    images = _images(dataset, share, kind, decode, num_threads)
    if place == "memory":
        limit = _check_memory(what, estimate)
        logging.info("Cache: keeping %s in memory, about %s", what, _size(estimate))
        return _filled(_MemoryRow(estimate, limit), images, share, kind)
    _check_disk(folder, what, estimate)
    logging.info("Cache: keeping %s in %s, about %s", what, path, _size(estimate))
    with files.atomic_path(path) as temporary, contextlib.closing(_FileRow(temporary)) as row:
        cache = _filled(row, images, share, kind)
    shapes = {} if cache.shapes is None else {"shapes": cache.shapes}
    arrays.save(_index_path(path), ends=cache.ends, **vars(cache.labels), **shapes)
    return cache


def _filled(
    row: "_MemoryRow | _FileRow",
    images: Iterable[tuple[int, np.ndarray | bytes, np.ndarray]],
    share: reading.Share,
    kind: str,
) -> ImageCache:
    """Puts all images into a row."""
    began = time.monotonic()
    lengths = np.zeros(share.count, np.int64)
    shapes = np.zeros([share.count, 3], np.int32) if kind == "decoded" else None
    examples, classes = [], []
    for number, image, labels in images:
        k = number - share.first
        if shapes is not None:
            shapes[k] = image.shape
        lengths[k] = row.append(image)
        examples += [k] * len(labels)
        classes += labels.tolist()
    ends = np.concatenate([[0], np.cumsum(lengths)])
    missing = int(np.sum(lengths == 0))
    if missing:
        logging.warning("Cache: %d of %d images could not be read; see --max_corrupt_records", missing, share.count)
    logging.info("Cache: done, %s in %.1f s", _size(int(ends[-1])), time.monotonic() - began)
    return ImageCache(row.tensor(), ends, shapes, Labels(np.asarray(examples, np.int64), np.asarray(classes, np.int64)))


def _images(
    dataset: Dataset, share: reading.Share, kind: str, decode: Decode, num_threads: int
) -> Iterator[tuple[int, np.ndarray | bytes, np.ndarray]]:
    """Yields (number, pixels or encoded bytes, classes) of all images that can be read, by their numbers."""

    @reading.traced_as_is
    def load(number: tf.Tensor, serialized: tf.Tensor) -> tuple[tf.Tensor, ...]:
        parsed = records.parse(serialized, dataset.default_format, dataset.multi_label)
        labels = parsed["labels"] if dataset.multi_label else parsed["label"][tf.newaxis]
        return number, decode(parsed["encoded"]) if kind == "decoded" else parsed["encoded"], labels

    images = reading.records_in_order(share, tolerant=True)
    images = images.map(load, num_parallel_calls=num_threads, deterministic=True).ignore_errors().prefetch(num_threads)
    for number, image, labels in images.as_numpy_iterator():
        yield int(number), image, labels


class _MemoryRow:
    """A growing row of bytes in memory."""

    def __init__(self, estimate: int, limit: int | None):
        # Memory is taken page by page as it is written to, so what is asked for too much costs nothing.
        self._memory = mmap.mmap(-1, max(int(1.25 * estimate), mmap.PAGESIZE))
        self._used, self._limit = 0, limit

    def append(self, data: np.ndarray | bytes) -> int:
        """Appends bytes; returns how many."""
        view = memoryview(data).cast("B")
        end = self._used + len(view)
        if self._limit is not None and end > self._limit:
            raise UserError(
                f"--cache=memory: the images turn out larger than estimated, {_size(end)} so far do not fit into "
                "memory; use --cache=disk, or --cache_images=encoded"
            )
        if end > len(self._memory):
            larger = mmap.mmap(-1, int(1.5 * end))
            larger[: self._used] = self._memory[: self._used]
            self._memory = larger
        self._memory[self._used : end] = view
        self._used = end
        return len(view)

    def tensor(self) -> tf.Tensor:
        """Returns all bytes, without copying them."""
        return _as_tensor(np.frombuffer(self._memory, np.uint8, max(self._used, 1)))


class _FileRow:
    """A growing row of bytes in a file."""

    def __init__(self, path: str):
        self._path = path
        self._file = open(path, "wb", buffering=_WRITE_BYTES)  # noqa: SIM115 (closed when it is complete)

    def append(self, data: np.ndarray | bytes) -> int:
        """Appends bytes; returns how many."""
        view = memoryview(data).cast("B")
        try:
            self._file.write(view)
        except OSError as error:
            raise UserError(f"--cache=disk: {self._path} cannot be written: {error.strerror}") from error
        return len(view)

    def tensor(self) -> tf.Tensor:
        """Returns all bytes; they are read from the file when they are used."""
        self.close()
        return _mapped(self._path)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _mapped(path: str) -> tf.Tensor:
    return _as_tensor(np.memmap(path, np.uint8, mode="c") if os.path.getsize(path) else np.zeros(1, np.uint8))


def _as_tensor(row: np.ndarray) -> tf.Tensor:
    """Returns a row of bytes, which must begin at a page of memory, as a tensor that shares it."""
    return tf.experimental.dlpack.from_dlpack(row.__dlpack__())


def _file_name(dataset: Dataset, share: reading.Share, kind: str, channels: int) -> str:
    kind = f"decoded{channels}" if kind == "decoded" else kind
    part = "" if share.is_whole else f"_{share.first}-{share.first + share.count}"
    return f"{dataset.name}_{dataset.split}_{kind}_{dataset.fingerprint[:16]}{part}.cache"


def _index_path(path: str) -> str:
    return f"{path}.index.npz"


def _open_file(path: str) -> ImageCache | None:
    """Returns the cache that a run before has left, None where there is none or it is not complete."""
    index = arrays.load(_index_path(path))
    if index is None or not os.path.isfile(path) or os.path.getsize(path) != index["ends"][-1]:
        return None
    labels = Labels(index["examples"], index["classes"])
    return ImageCache(_mapped(path), index["ends"], index.get("shapes"), labels)


def _estimate(dataset: Dataset, share: reading.Share, kind: str, decode: Decode, num_threads: int) -> int:
    """About how many bytes the images take."""
    if kind == "encoded":
        return int(dataset.record_bytes * share.count / dataset.num_samples)
    some = reading.sample(share, _SAMPLE)
    sizes = [image.nbytes for _, image, _ in _images(dataset, some, kind, decode, num_threads)]
    return int(np.mean(sizes or [0]) * share.count)


def _check_memory(what: str, estimate: int) -> int | None:
    available = memory.available()
    if available is None:
        return None
    limit = int(_SHARE_OF_MEMORY * available)
    if estimate > limit:
        raise UserError(
            f"--cache=memory: {what} take about {_size(estimate)}, {_size(available)} of memory are available; "
            "use --cache=disk" + (", or --cache_images=encoded" if "decoded" in what else "")
        )
    return limit


def _check_disk(folder: str, what: str, estimate: int) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise UserError(f"--cache=disk: {folder} cannot be written: {error.strerror}") from error
    if estimate > free:
        raise UserError(
            f"--cache=disk: {what} take about {_size(estimate)}, {folder} has {_size(free)} free; "
            "name another --cache_dir"
        )


def _size(number: int) -> str:
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= unit:
            return f"{number / unit:.1f} {name}"
    return f"{number} B"
