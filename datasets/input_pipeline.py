"""From TFRecord files to batches, with tf.data.

Training batches are a pure function of (files, seed, step): every epoch's order is drawn from (seed, epoch), every
example's augmentation from (seed, number of the example since the start), and nothing depends on timing, on the number
of threads, readers or on TensorFlow's global seed, nor on whether images come from a cache. So a run that starts again
at step k gets the batches that it would have got, bit for bit. What was trained before is skipped as bytes: whole
epochs by arithmetic, the rest without decoding.

A record that cannot be read or decoded raises TensorFlow's error, unless the batches are made `tolerant`: they then say
which one it was, and stay as they would be otherwise (`datasets.skipping`).
"""

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from datasets import class_balance, reading, records
from datasets.dataset_factory import Dataset
from datasets.image_cache import ImageCache
from datasets.reading import traced_as_is

# An encoded image (scalar string) or a decoded one (uint8 [height, width, channels]), and its augmentation's seed
# (int64 [2]; None in evaluation) -> float32 [height, width, channels].
Preprocess = Callable[[tf.Tensor, "tf.Tensor | None"], tf.Tensor]

_PREFETCH = 2  # batches


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
    num_workers: int = 1,
    worker_index: int = 0,
    cache: ImageCache | None = None,
    balance: class_balance.Plan | None = None,
    deterministic: bool = True,
    tolerant: bool = False,
) -> tf.data.Dataset:
    """Returns endless batches for training; a batch may span two epochs, so that every example comes once an epoch.

    Args:
        dataset: what to read.
        preprocess: see `Preprocess`; must return a static shape.
        batch_size: examples a batch, of this worker.
        seed: of order and augmentation, 0 or more.
        start_step: number of the first batch: `train_batches(start_step=k)` is `train_batches().skip(k)`, sooner.
        labels_offset: subtracted from the labels.
        num_readers: files read at the same time.
        num_threads: images decoded and preprocessed at the same time.
        shuffle: whether to shuffle; without it examples come in file order.
        num_workers: that train on the split together. Each has examples of its own, one more or less than the others.
        worker_index: number of this one, from 0.
        cache: where images are taken from instead of the files; of this worker's share.
        balance: how often examples are drawn, instead of once an epoch; of this worker's share.
        deterministic: False takes examples as they arrive: a run cannot be repeated then.
        tolerant: put up with records that cannot be read or decoded.

    Returns:
        Batches of `image` float32 [batch_size, height, width, channels] and `label` int32 [batch_size]. A label that is
        none of the classes (background under an offset) is -1: the loss leaves it out, as Slim's all-zero one-hot row
        did. Of a data set whose examples may have several classes, `labels` float32 [batch_size, classes] instead, 1
        for each that an example has.

        Tolerant batches have `number` int64 [batch_size], the record of each example, and `ok` bool [batch_size], False
        where it was unreadable: the example is then the next good one of the batch (zeros if there is none).
    """
    if balance is not None and not shuffle:
        raise ValueError("drawing by classes needs shuffle")
    share = reading.share(dataset, num_workers, worker_index)
    start = start_step * batch_size
    epoch, position = divmod(start, share.count)

    if shuffle:
        read = reading.numbers_of(share) if cache else reading.kept_records_of(share, dataset, tolerant=tolerant)

    @traced_as_is
    def records_of(epoch: tf.Tensor) -> tf.data.Dataset:
        if not shuffle:
            return reading.numbers_in_order(share) if cache else reading.records_in_order(share, tolerant=tolerant)
        return reading.shuffled(
            share,
            dataset,
            read,
            seed=seed,
            epoch=epoch,
            num_readers=None if cache else num_readers,
            deterministic=deterministic,
            repeats=None if balance is None else class_balance.repeats(balance, seed, epoch),
        )

    parse = _parse_fn(dataset, share, cache)

    @traced_as_is
    def load(slot: tf.Tensor, element: reading.Element) -> dict[str, tf.Tensor]:
        parsed = parse(*element)
        image_seed = tf.stack([tf.constant(seed, tf.int64), slot * num_workers + worker_index])
        return {"image": preprocess(parsed["encoded"], image_seed), **_label_of(parsed, dataset, labels_offset)}

    elements = tf.data.Dataset.range(epoch, tf.int64.max).flat_map(records_of).skip(position).enumerate(start)
    examples = _loaded(elements, load, num_threads, deterministic, tolerant)
    batches = examples.batch(batch_size, drop_remainder=True)
    return (batches.map(_filled_up) if tolerant else batches).prefetch(_PREFETCH)


def eval_batches(
    dataset: Dataset,
    preprocess: Preprocess,
    *,
    batch_size: int,
    start_step: int = 0,
    labels_offset: int = 0,
    num_threads: int = 4,
    num_workers: int = 1,
    worker_index: int = 0,
    tolerant: bool = False,
) -> tf.data.Dataset:
    """Returns every example once, in file order, in batches of one size; all workers get the same number of batches.

    Args:
        dataset: what to read.
        preprocess: see `Preprocess`; gets no seed, must return a static shape.
        batch_size: examples a batch.
        start_step: number of the first batch.
        labels_offset: subtracted from the labels.
        num_threads: images decoded and preprocessed at the same time.
        num_workers: that evaluate the split together, each examples of its own.
        worker_index: number of this one, from 0.
        tolerant: put up with records that cannot be read or decoded.

    Returns:
        Batches of `image` float32 [batch_size, height, width, channels], `label` int32 [batch_size] (-1: none of the
        classes) or `labels` float32 [batch_size, classes] as in training, `mask` bool [batch_size], False where the
        last batch is filled up, and `index` int64 [batch_size], the example's place in the split (-1 where filled up).

        Tolerant batches have `number` int64 [batch_size], the record of each example (-1 where filled up), and `ok`
        bool [batch_size], False where it was unreadable; `mask` is False there, too.
    """
    share = reading.share(dataset, num_workers, worker_index)
    parse = _parse_fn(dataset, share, None)

    @traced_as_is
    def load(slot: tf.Tensor, element: reading.Element) -> dict[str, tf.Tensor]:
        parsed = parse(*element)
        labels = _label_of(parsed, dataset, labels_offset)
        return {"image": preprocess(parsed["encoded"], None), **labels, "mask": True, "index": element[0]}

    elements = reading.records_in_order(share, tolerant=tolerant).enumerate().skip(start_step * batch_size)
    examples = _loaded(elements, load, num_threads, True, tolerant)
    batches = math.ceil(math.ceil(dataset.num_samples / num_workers) / batch_size)
    missing = batches * batch_size - share.count
    filler = _filler(examples.element_spec) | ({"ok": True} if tolerant else {})
    examples = examples.concatenate(tf.data.Dataset.from_tensors(filler).repeat(missing))
    return examples.batch(batch_size, drop_remainder=True).prefetch(_PREFETCH)


def _parse_fn(dataset: Dataset, share: reading.Share, cache: ImageCache | None) -> Callable[..., dict[str, tf.Tensor]]:
    """Returns the function: what a stream yields of a record -> `encoded`, `label`, `labels`."""
    if cache is not None:
        lookup = cache.lookup_fn()
        return lambda number: lookup(number - share.first)
    return lambda number, serialized: records.parse(serialized, dataset.default_format, dataset.multi_label)


def _loaded(
    elements: tf.data.Dataset,
    load: Callable[..., dict[str, tf.Tensor]],
    num_threads: int,
    deterministic: bool,
    tolerant: bool,
) -> tf.data.Dataset:
    """Applies `load` to each element; tolerant, its errors become examples of zeros that are not `ok`."""
    examples = elements.map(load, num_parallel_calls=num_threads, deterministic=deterministic)
    shape = examples.element_spec["image"].shape
    if not shape.is_fully_defined():
        raise ValueError(f"preprocess must return images of one known shape; it returns {shape}")
    if not tolerant:
        return examples
    unreadable = tf.data.Dataset.from_tensors({**_filler(examples.element_spec), "ok": False})

    @traced_as_is
    def load_well(slot: tf.Tensor, element: reading.Element) -> dict[str, tf.Tensor]:
        return {**load(slot, element), "ok": True}

    @traced_as_is
    def carefully(slot: tf.Tensor, element: reading.Element) -> dict[str, tf.Tensor]:
        # TensorFlow's graphs cannot catch an error, but a data set of one element can leave it out.
        one = tf.data.Dataset.from_tensors((slot, element)).map(load_well).ignore_errors()
        return {**one.concatenate(unreadable).take(1).get_single_element(), "number": element[0]}

    return elements.map(carefully, num_parallel_calls=num_threads, deterministic=deterministic)


@traced_as_is
def _filled_up(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Puts the next good example of a batch (of the first ones, at its end) in the place of each that is not `ok`."""
    ok = batch["ok"]
    size = ok.shape[0]

    def replace() -> list[tf.Tensor]:
        place = tf.range(size)
        distance = (place[tf.newaxis] - place[:, tf.newaxis]) % size + tf.where(ok, 0, size)[tf.newaxis]
        source = tf.argmin(distance, axis=1)
        return [tf.gather(value, source) for value in contents.values()]

    contents = {name: value for name, value in batch.items() if name not in ("ok", "number")}
    values = tf.cond(tf.reduce_all(ok), lambda: list(contents.values()), replace)
    for value, before in zip(values, contents.values(), strict=True):
        value.set_shape(before.shape)
    return {**batch, **dict(zip(contents, values, strict=True))}


def _label_of(parsed: dict[str, tf.Tensor], dataset: Dataset, labels_offset: int) -> dict[str, tf.Tensor]:
    num_classes = dataset.num_classes - labels_offset
    if dataset.multi_label:  # classes that are not trained have a row of zeros
        rows = tf.one_hot(parsed["labels"] - labels_offset, num_classes)
        return {"labels": tf.reduce_max(tf.concat([rows, tf.zeros([1, num_classes])], 0), axis=0)}
    label = parsed["label"] - labels_offset
    is_class = (label >= 0) & (label < num_classes)
    return {"label": tf.cast(tf.where(is_class, label, records.NO_LABEL), tf.int32)}


def _filler(spec: dict[str, tf.TensorSpec]) -> dict[str, Any]:
    """An example of zeros without a label, that no mask shows."""
    none = {"label": records.NO_LABEL, "index": -1, "number": -1}
    return {name: tf.fill(part.shape, tf.cast(none.get(name, 0), part.dtype)) for name, part in spec.items()}
