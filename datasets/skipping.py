"""Going on past records that cannot be read or decoded: named, counted, and up to a limit.

Batches are read plainly until TensorFlow fails. Then they are made anew from the same step, `tolerant` from there on
(`datasets.input_pipeline`): that costs nothing while all is well, and a tenth to a fifth more work afterwards. A
tolerant batch says which of its examples could not be had, and has another good one of the batch in its place. All
other examples stay where they were, so that a run that starts again behind a damaged record gets the batches that it
would have got.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf
from absl import logging

from common.errors import UserError, tensorflow_reason
from datasets import filesystem, index, reading, records
from datasets.dataset_factory import Dataset

Batch = dict[str, tf.Tensor]

# (number of the first batch, whether they are tolerant) -> batches.
MakeBatches = Callable[[int, bool], tf.data.Dataset]

# TensorFlow puts a record that is no Example into its message, which Python then cannot read.
_OF_RECORDS = (tf.errors.InvalidArgumentError, tf.errors.DataLossError, UnicodeDecodeError)
_NEVER_SHOWN = ("ok", "number")


class Unreadable:
    """The records of a run or an evaluation that could not be read or decoded.

    Args:
        dataset: what is read.
        preprocess: how images are decoded, to tell why one cannot be: (encoded, seed) -> image.
        limit: how many are put up with.
        known: those that the same run told before it started again; they count.
    """

    def __init__(self, dataset: Dataset, preprocess: Callable[..., Any], limit: int = 0, known: Sequence[str] = ()):
        self._dataset, self._preprocess, self._limit = dataset, preprocess, limit
        self._numbers: set[int] = set()
        self.told = list(known)  # where each is, and what is wrong with it

    def add(self, number: int) -> None:
        """Names a record, once.

        Raises:
            UserError: it is one too many.
        """
        if number in self._numbers:
            return
        self._numbers.add(number)
        where = name(self._dataset, number)
        told = next((text for text in self.told if text.startswith(f"{where}: ")), None)
        if told is None:
            told = f"{where}: {reason(self._dataset, number, self._preprocess).rstrip('.')}"
            self.told.append(told)
            if len(self.told) <= self._limit:
                logging.warning("skipped a corrupt record (%d of at most %d): %s", len(self.told), self._limit, told)
        if len(self.told) <= self._limit:
            return
        if not self._limit:
            lost = lost_with(self._dataset, number)
            what = f"the {lost} records of the file that cannot be read" if lost > 1 else "it"
            raise UserError(
                f"corrupt record: {told}. Convert or copy the data again, or skip {what}: --max_corrupt_records={lost}"
            )
        raise UserError(
            f"{len(self.told)} corrupt records, more than --max_corrupt_records={self._limit}; the last: {told}. "
            "Convert or copy the data again"
        )

    def all_failed(self, count: int) -> UserError:
        """Returns what to say where no example is left to go on with.

        Args:
            count: records that were tried in vain.
        """
        return UserError(
            f"none of the {count} records of split {self._dataset.split!r} of {self._dataset.data_sources} can be "
            f"read; the last: {self.told[-1]}. Convert or copy the data again"
        )

    def failed(self, error: Exception) -> UserError:
        """Returns what to say where it is not a record that is wrong."""
        return UserError(f"cannot read {self._dataset.data_sources}: {tensorflow_reason(error)}")

    def is_epoch(self, examples: int) -> bool:
        """Whether so many examples in a row, from wherever in an epoch, have all of a whole one."""
        return examples >= 2 * self._dataset.num_samples


class Batches(Iterator[Batch]):
    """The batches of a run or of an evaluation, without the records that are unreadable.

    Args:
        make: makes them.
        unreadable: told what cannot be read.
        first: number of the first batch.
    """

    def __init__(self, make: MakeBatches, unreadable: Unreadable, first: int = 0):
        self._make, self._unreadable, self._next = make, unreadable, first
        self._tolerant = False
        self._waiting: list[Batch] = []
        self._batches = iter(make(first, False))

    @property
    def element_spec(self) -> Any:
        """Types and shapes of a batch."""
        return {k: spec for k, spec in self._batches.element_spec.items() if k not in _NEVER_SHOWN}

    def __next__(self) -> Batch:
        """Returns the next batch.

        Raises:
            UserError: more records than the limit are unreadable, all of them are, or the files cannot be read.
        """
        batch = self._waiting.pop() if self._waiting else self._good()
        self._next += 1
        return {name: value for name, value in batch.items() if name not in _NEVER_SHOWN}

    def _good(self) -> Batch:
        """The next batch that has a good example; it comes again for every batch before it that has none."""
        without, tried = 0, set()
        while True:
            batch = self._read()
            if not self._tolerant:
                return batch
            ok = batch["ok"].numpy()
            for number in batch["number"].numpy()[~ok].tolist():
                self._unreadable.add(number)
            if ok.any() or "mask" in batch:
                self._waiting = [batch] * without
                return batch
            without += 1
            tried.update(batch["number"].numpy().tolist())
            if self._unreadable.is_epoch(without * len(ok)):
                raise self._unreadable.all_failed(len(tried))

    def _read(self) -> Batch:
        try:
            return next(self._batches)
        except _OF_RECORDS as error:
            if self._tolerant:
                raise self._unreadable.failed(error) from None
        except tf.errors.OpError as error:
            raise self._unreadable.failed(error) from None
        self._batches, self._tolerant = None, True  # first: what the old ones hold is not to be held twice
        self._batches = iter(self._make(self._next, True))
        return self._read()


def name(dataset: Dataset, number: int) -> str:
    """Returns where a record is, and the image file that it was made from where that is known."""
    path, place = reading.place_of(dataset, number)
    made_from = index.key_of(path, place)
    return f"{path}, record {place}" + (f" ({made_from})" if made_from else "")


def reason(dataset: Dataset, number: int, preprocess: Callable[..., Any]) -> str:
    """Returns why a record is unreadable, by reading it once more."""
    path, place = reading.place_of(dataset, number)
    try:
        # Not skip(): it goes by the lengths alone, past a wrong checksum that reading stops at.
        read = tf.data.TFRecordDataset(path).take(place + 1).reduce((0, b""), lambda state, data: (state[0] + 1, data))
        if read[0].numpy() <= place:
            return "the file ends before it"
        encoded = records.parse(read[1], dataset.default_format, dataset.multi_label)["encoded"]
        if not encoded.numpy():
            return f"it has no {records.ENCODED}"
        tf.io.decode_image(encoded, expand_animations=False)
        preprocess(encoded, tf.zeros([2], tf.int64))
    except tf.errors.DataLossError as error:
        return f"{tensorflow_reason(error)}; the file cannot be read from there on"
    except UnicodeDecodeError:
        return "it is no tf.train.Example"
    except (tf.errors.OpError, UserError, ValueError) as error:  # the last two: of recipes that see the image's size
        return tensorflow_reason(error)
    return "it can be read now: the file system failed for a moment, or the image fails in the augmentation only"


def lost_with(dataset: Dataset, number: int) -> int:
    """Returns how many records are lost with an unreadable one: 1, or those of its file that cannot be reached."""
    path, place = reading.place_of(dataset, number)
    # matching_files: opening a file that is gone fails for ever, which ignore_errors() would wait for.
    reached = tf.data.TFRecordDataset(tf.io.matching_files(filesystem.escaped(path))).ignore_errors().take(place + 1)
    count = int(reached.reduce(0, lambda count, _: count + 1).numpy())
    return 1 if place < count else dataset.file_examples[dataset.files.index(path)] - count
