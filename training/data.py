"""What a run trains on: its batches, from files or a cache, and the weights of its classes."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from datasets import class_balance, image_cache, input_pipeline, reading, skipping
from datasets.class_balance import Labels
from datasets.dataset_factory import Dataset
from training import class_weights, inputs
from training.config import TrainConfig
from training.runs import ModelInfo

_LABELS_LOOKED_AT = 256


class TrainData:
    """A split, ready to be trained on.

    Args:
        config: all settings.
        info: the model.
        dataset: the split.
        known: the unreadable records that the same run told before it started again.
    """

    def __init__(self, config: TrainConfig, info: ModelInfo, dataset: Dataset, known: Sequence[str] = ()):
        self._config, self._info, self._dataset = config, info, dataset
        self._share = reading.share(dataset)
        self._preprocess = inputs.preprocess_fn(
            info.preprocessing_name, info.image_size, info.channels, True, config.parsed_augmentation()
        )
        self.unreadable = skipping.Unreadable(dataset, self._preprocess, config.max_corrupt_records, known)
        self._cache = self._make_cache()
        self._labels: Labels | None = None
        self._warn_of_other_labels()
        self._balance = self._make_balance()
        self.class_weights = self._make_class_weights()

    def batches(self, first_step: int, seed: int) -> skipping.Batches:
        """Returns the batches from step `first_step` on: `image` and `label`, or `labels` of a multi-label data set."""

        def make(step: int, tolerant: bool) -> tf.data.Dataset:
            batches = input_pipeline.train_batches(
                self._dataset,
                self._preprocess,
                batch_size=self._config.batch_size,
                seed=seed,
                start_step=step,
                labels_offset=self._config.labels_offset,
                num_readers=self._config.num_readers,
                num_threads=self._config.num_preprocessing_threads,
                cache=self._cache,
                balance=self._balance,
                deterministic=self._config.deterministic,
                tolerant=tolerant,
            )
            return _on_device(_started_early(batches))

        return skipping.Batches(make, self.unreadable, first_step)

    def _warn_of_other_labels(self) -> None:
        """Looks at some records of a data set whose classes nobody has counted: others than its own are not trained."""
        dataset, offset = self._dataset, self._config.labels_offset
        if dataset.class_examples is not None:
            return
        some = reading.sample(self._share, _LABELS_LOOKED_AT)
        labels = class_balance.read_labels(dataset, some).classes
        other = labels[labels >= dataset.num_classes]
        if len(other):
            logging.warning(
                "%d of %d records looked at have a label above %d, the last of the %d classes: nothing is learned from "
                "such images. Are labels.txt and --labels_offset=%d right?",
                len(other),
                sum(piece.count for piece in some.pieces),
                dataset.num_classes - 1,
                dataset.num_classes - offset,
                offset,
            )

    def _make_cache(self) -> image_cache.ImageCache | None:
        config = self._config
        if config.cache == "none":
            return None
        return image_cache.build(
            self._dataset,
            self._share,
            config.cache,
            config.cache_images,
            inputs.decode_fn(self._info.channels),
            channels=self._info.channels,
            folder=config.cache_dir or os.path.join(config.train_dir, "cache"),
            num_threads=config.num_preprocessing_threads,
        )

    def _make_balance(self) -> class_balance.Plan | None:
        config, dataset = self._config, self._dataset
        if not config.class_balance:
            return None
        labels = self._read_labels()
        plan = class_balance.plan(labels, config.class_balance, dataset, self._share, config.labels_offset)
        counts = labels.counts(dataset.num_classes, config.labels_offset)
        logging.info("%s", class_balance.described(plan, counts, config.class_balance))
        return plan

    def _make_class_weights(self) -> np.ndarray | None:
        text = self._config.class_weights
        if not text:
            return None
        names = self._info.labels or tuple(map(str, range(self._info.num_classes)))
        drawn = self._drawn() if text == class_weights.BALANCED else None
        weights = class_weights.parse(text, names, drawn)
        logging.info("%s", class_weights.described(weights, names))
        return weights

    def _drawn(self) -> np.ndarray:
        """How many examples of each class an epoch draws."""
        if self._balance is not None:
            return self._balance.drawn
        offset = self._config.labels_offset
        if self._dataset.class_examples:
            return np.array(self._dataset.class_examples[offset:], np.float64)
        return self._read_labels().counts(self._dataset.num_classes, offset).astype(np.float64)

    def _read_labels(self) -> Labels:
        if self._cache is not None:
            return self._cache.labels
        if self._labels is None:
            path = class_balance.labels_file(self._config.train_dir, self._dataset.split)
            threads = self._config.num_preprocessing_threads
            self._labels = class_balance.remembered_labels(path, self._dataset, self._share, threads)
        return self._labels


def _started_early(batches: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.experimental_warm_start = True  # start at iter(), not when the first batch is asked for
    return batches.with_options(options)


def _on_device(batches: tf.data.Dataset) -> Any:
    """Copies the next batches to the GPU while a step runs, where there is one."""
    devices = tf.config.list_logical_devices("GPU")
    if not devices:
        return batches
    return batches.apply(tf.data.experimental.prefetch_to_device(devices[0].name))
