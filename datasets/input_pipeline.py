"""From TFRecord files to batches, with tf.data.

Training batches are a pure function of (files, seed, step): every epoch's order is drawn from (seed, epoch), every
example's augmentation from (seed, number of the example since the start), and nothing depends on timing, on the number
of threads or on TensorFlow's global seed. So a run that starts again at step k gets the batches that it would have got,
bit for bit. What was trained before is skipped as bytes: whole epochs by arithmetic, the rest without decoding.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from datasets import records
from datasets.dataset_factory import Dataset

# An encoded image and its augmentation's seed (int64 [2]; None in evaluation) -> float32 [height, width, channels].
Preprocess = Callable[[tf.Tensor, "tf.Tensor | None"], tf.Tensor]

# Keeps AutoGraph out of functions that have nothing to convert: reading their source costs over a second of start-up.
_traced_as_is = tf.autograph.experimental.do_not_convert

_SHUFFLE_BYTES = 256e6  # of serialized records held to draw from; a split that fits is shuffled as a whole
_BLOCK = 16  # records read from one file before the next one's turn
_PREFETCH = 2  # batches
_GRAPH_SEED = 87654321  # any constant: it stands in for the global seed


def train_batches(
    dataset: Dataset,
    preprocess: Preprocess,
    *,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    labels_offset: int = 0,
    num_readers: int = 4,
    num_threads: int = 4,
    shuffle: bool = True,
) -> tf.data.Dataset:
    """Returns endless batches for training; a batch may span two epochs, so that every example comes once an epoch.

    Args:
        dataset: what to read.
        preprocess: see `Preprocess`; must return a static shape.
        batch_size: examples a batch.
        seed: of order and augmentation, 0 or more.
        start_step: number of the first batch: `train_batches(start_step=k)` is `train_batches().skip(k)`, sooner.
        labels_offset: subtracted from the labels.
        num_readers: files read at the same time. The order depends on it.
        num_threads: images decoded and preprocessed at the same time.
        shuffle: whether to shuffle; without it examples come in file order.

    Returns:
        Batches of `image` float32 [batch_size, height, width, channels] and `label` int32 [batch_size]. A label that is
        none of the classes (background under an offset) is -1: the loss leaves it out, as Slim's all-zero one-hot row
        did.
    """
    if not dataset.num_samples:
        raise ValueError(f"split {dataset.split!r} of {dataset.data_sources} has no examples")
    start = start_step * batch_size
    epoch, position = divmod(start, dataset.num_samples)

    @_traced_as_is
    def records_of(epoch: tf.Tensor) -> tf.data.Dataset:
        return _shuffled(dataset, seed, epoch, num_readers) if shuffle else tf.data.TFRecordDataset(list(dataset.files))

    @_traced_as_is
    def load(index: tf.Tensor, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = records.parse(serialized, dataset.default_format)
        image = preprocess(parsed["encoded"], tf.stack([tf.constant(seed, tf.int64), index]))
        return {"image": image, "label": _class_of(parsed["label"], dataset, labels_offset)}

    serialized = tf.data.Dataset.range(epoch, tf.int64.max).flat_map(records_of).skip(position)
    examples = serialized.enumerate(start).map(load, num_parallel_calls=num_threads, deterministic=True)
    _check_shape(examples)
    return examples.batch(batch_size, drop_remainder=True).prefetch(_PREFETCH)


def eval_batches(
    dataset: Dataset,
    preprocess: Preprocess,
    *,
    batch_size: int,
    labels_offset: int = 0,
    num_threads: int = 4,
) -> tf.data.Dataset:
    """Returns every example once, in file order, in batches of one size.

    Args:
        dataset: what to read.
        preprocess: see `Preprocess`; gets no seed, must return a static shape.
        batch_size: examples a batch.
        labels_offset: subtracted from the labels.
        num_threads: images decoded and preprocessed at the same time.

    Returns:
        Batches of `image` float32 [batch_size, height, width, channels], `label` int32 [batch_size] (-1: none of the
        classes), `mask` bool [batch_size], False where the last batch is filled up, and `index` int64 [batch_size], the
        example's place in the split (-1 where filled up).
    """

    @_traced_as_is
    def load(index: tf.Tensor, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = records.parse(serialized, dataset.default_format)
        label = _class_of(parsed["label"], dataset, labels_offset)
        return {"image": preprocess(parsed["encoded"], None), "label": label, "mask": True, "index": index}

    serialized = tf.data.TFRecordDataset(list(dataset.files)).enumerate()
    examples = serialized.map(load, num_parallel_calls=num_threads, deterministic=True)
    _check_shape(examples)
    filler = _filler(examples.element_spec)
    missing = -dataset.num_samples % batch_size
    examples = examples.concatenate(tf.data.Dataset.from_tensors(filler).repeat(missing))
    return examples.batch(batch_size, drop_remainder=True).prefetch(_PREFETCH)


def _shuffled(dataset: Dataset, seed: int, epoch: tf.Tensor, num_readers: int) -> tf.data.Dataset:
    """One epoch's serialized records, in an order drawn from (seed, epoch)."""
    # This runs while a function is traced, and sets the seed of that function's graph alone: without it, an operation's
    # seed is mixed with the seed that the program has set for itself (tf.random.set_seed).
    tf.random.set_seed(_GRAPH_SEED)
    epoch_seed = tf.stack([tf.constant(seed, tf.int64), epoch])
    files = tf.random.experimental.stateless_shuffle(tf.constant(dataset.files), seed=epoch_seed)
    buffer_seed = tf.random.stateless_uniform([], epoch_seed, 1, tf.int32.max, dtype=tf.int64)
    serialized = tf.data.Dataset.from_tensor_slices(files).interleave(
        tf.data.TFRecordDataset,
        cycle_length=min(num_readers, len(dataset.files)),
        block_length=_BLOCK,
        num_parallel_calls=min(num_readers, len(dataset.files)),
        deterministic=True,
    )
    mean_bytes = max(dataset.record_bytes / dataset.num_samples, 1)
    buffer = min(dataset.num_samples, max(int(_SHUFFLE_BYTES / mean_bytes), 1))
    return serialized.shuffle(buffer, seed=buffer_seed, reshuffle_each_iteration=False)


def _class_of(label: tf.Tensor, dataset: Dataset, labels_offset: int) -> tf.Tensor:
    label = label - labels_offset
    is_class = (label >= 0) & (label < dataset.num_classes - labels_offset)
    return tf.cast(tf.where(is_class, label, records.NO_LABEL), tf.int32)


def _check_shape(examples: tf.data.Dataset) -> None:
    shape = examples.element_spec["image"].shape
    if not shape.is_fully_defined():
        raise ValueError(f"preprocess must return images of one known shape; it returns {shape}")


def _filler(spec: dict[str, tf.TensorSpec]) -> dict[str, Any]:
    """What fills up the last batch of an evaluation."""
    return {
        "image": tf.zeros(spec["image"].shape, spec["image"].dtype),
        "label": tf.constant(records.NO_LABEL, tf.int32),
        "mask": tf.constant(False),
        "index": tf.constant(-1, tf.int64),
    }
