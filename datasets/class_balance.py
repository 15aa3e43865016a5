"""Drawing classes more evenly than the data has them, in epochs of as many examples as the data has.

With balance b in [0, 1] a class of n examples is drawn in proportion to n ** (1 - b): 0 leaves it as in the data, 1
draws all classes equally often. How often each example comes in an epoch is drawn from (seed, epoch): its expectation
rounded up or down, such that classes and epoch get their numbers exactly. So an epoch has a fixed length, and a run
that starts again finds its place by arithmetic.
"""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from common.errors import UserError
from datasets import arrays, reading, records
from datasets.dataset_factory import Dataset

_UNIT = 2**30


@dataclasses.dataclass(frozen=True)
class Labels:
    """The classes of a share's records, one row a class of a record.

    Attributes:
        examples: int64 [rows], place of the record in the share, ascending.
        classes: int64 [rows], as in the records.
    """

    examples: np.ndarray
    classes: np.ndarray

    def counts(self, num_classes: int, labels_offset: int = 0) -> np.ndarray:
        """Returns the examples of each class that is left after the offset: int64 [num_classes - labels_offset]."""
        found = self.classes[(self.classes >= labels_offset) & (self.classes < num_classes)] - labels_offset
        return np.bincount(found, minlength=num_classes - labels_offset)


@dataclasses.dataclass(frozen=True)
class Plan:
    """How often the examples of a share are drawn.

    Attributes:
        lengths: int64 [examples], how often an epoch is expected to draw each, in units of 1 / `_UNIT`: whole numbers
            add up to the same whatever their order. Their sum is `_UNIT` times the number of examples.
        group: int64 [examples], class (the rarest, of several; -1: none).
        drawn: float64 [classes], how many examples of each class an epoch is expected to have.
    """

    lengths: np.ndarray
    group: np.ndarray
    drawn: np.ndarray


def plan(labels: Labels, balance: float, dataset: Dataset, share: reading.Share, labels_offset: int = 0) -> Plan:
    """Works out how often examples are to be drawn.

    Examples without a class that is trained are not drawn; where an example may have several classes, or none, those
    without are taken as one more class, and the rarest class of an example decides.

    Raises:
        UserError: no example has a class.
    """
    counts = labels.counts(dataset.num_classes, labels_offset)
    if not counts.any():
        raise UserError(f"no example of {dataset.name} has a class, so that none can be drawn by its class")
    trained = (labels.classes >= labels_offset) & (labels.classes < dataset.num_classes)
    examples, classes = labels.examples[trained], labels.classes[trained] - labels_offset
    rarest_first = np.lexsort((classes, counts[classes], examples))
    has_class, first = np.unique(examples[rarest_first], return_index=True)
    group = np.full(share.count, -1, np.int64)
    group[has_class] = classes[rarest_first][first]
    sizes = np.append(counts, np.sum(group < 0)).astype(np.float64)  # the last is of those without: group -1
    weights = np.maximum(sizes, 1.0)[group] ** -balance
    if not dataset.multi_label:
        weights[group < 0] = 0.0
    lengths = np.round(weights * (_UNIT * share.count / weights.sum())).astype(np.int64)
    lengths[np.argmax(lengths)] += _UNIT * share.count - lengths.sum()  # what rounding left
    drawn = np.bincount(classes, lengths[examples] / _UNIT, minlength=len(counts))
    return Plan(lengths, group, drawn)


@reading.traced_as_is
def repeats(plan: Plan, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Returns how often each example comes in an epoch: int64 [examples]; the sum is their number.

    Examples are laid end to end in a random order, the classes one after the other, each as long as it is expected to
    be drawn; every whole number that falls into an example, counted from a random start, draws it once.
    """
    count = len(plan.lengths)
    epoch_seed = tf.stack([tf.constant(seed, tf.int64), epoch])
    order_seed, start_seed = epoch_seed + 1, epoch_seed + 2  # the order of the stream has epoch_seed itself
    order = tf.random.experimental.stateless_shuffle(tf.range(count), seed=order_seed)
    order = tf.gather(order, tf.argsort(tf.gather(tf.constant(plan.group), order), stable=True))
    start = tf.random.stateless_uniform([], start_seed, 0, _UNIT, dtype=tf.int64)
    edges = (tf.cumsum(tf.gather(tf.constant(plan.lengths), order)) + start) // _UNIT
    times = edges - tf.concat([[tf.constant(0, tf.int64)], edges[:-1]], 0)
    return tf.scatter_nd(order[:, tf.newaxis], times, [count])


def read_labels(dataset: Dataset, share: reading.Share, num_threads: int = 4) -> Labels:
    """Reads the classes of all records of a share; those that cannot be read have none."""

    @reading.traced_as_is
    def classes_of(number: tf.Tensor, serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        classes = records.parse_classes(serialized, dataset.multi_label)
        return tf.fill(tf.shape(classes), number - share.first), classes

    found = reading.records_in_order(share, tolerant=True).map(classes_of, num_parallel_calls=num_threads)
    parts = list(found.ignore_errors().unbatch().batch(4096).prefetch(2).as_numpy_iterator())
    examples, classes = (np.concatenate(column) for column in zip(*parts, strict=True)) if parts else ([], [])
    return Labels(np.asarray(examples, np.int64), np.asarray(classes, np.int64))


def remembered_labels(path: str, dataset: Dataset, share: reading.Share, num_threads: int = 4) -> Labels:
    """Reads the classes of all records once: the next time from the file `path`, as long as it is of the same data.

    Raises:
        UserError: the file cannot be written.
    """
    key = np.array([dataset.fingerprint, str(share.first), str(share.count)])
    kept = arrays.load(path)
    if kept is not None and np.array_equal(kept["key"], key):
        return Labels(kept["examples"], kept["classes"])
    logging.info("Reading the labels of %s records once", f"{share.count:,}")
    labels = read_labels(dataset, share, num_threads)
    try:
        arrays.save(path, key=key, **vars(labels))
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
    return labels


def described(plan: Plan, counts: Sequence[int], balance: float) -> str:
    """One line for the log."""
    there = [k for k, count in enumerate(counts) if count]
    low, high = min(there, key=lambda k: counts[k]), max(there, key=lambda k: counts[k])
    drawn = [plan.drawn[k] for k in there]
    return (
        f"Class balance {balance:g}: classes have {counts[low]:,} to {counts[high]:,} examples; an epoch of "
        f"{len(plan.lengths):,} draws {min(drawn):,.0f} to {max(drawn):,.0f} of each, an example of the rarest "
        f"{plan.drawn[low] / counts[low]:.2g} times, of the most frequent {plan.drawn[high] / counts[high]:.2g} times"
    )


def labels_file(folder: str, split: str) -> str:
    """Returns where `remembered_labels` keeps a run's."""
    return os.path.join(folder, f"labels_{split}.npz")
