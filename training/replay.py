"""Batches with a share of old images in them: new data and replayed data side by side, labels by name."""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from datasets.dataset_factory import Dataset
from datasets.skipping import Batch, Batches
from training import extending
from training.config import TrainConfig
from training.data import TrainData
from training.extending import Extension
from training.runs import ModelInfo


def extended_data(
    config: TrainConfig, info: ModelInfo, dataset: Dataset, extension: Extension, known: Sequence[str] = ()
) -> "ReplayData":
    """Returns what an extended network trains on: the new data, and the old where it is to be replayed.

    Args:
        config: all settings.
        info: the model, of all classes.
        dataset: the split of the new data.
        extension: the classes.
        known: lines about unreadable records that the same run told before it started again.
    """
    replayed = config.num_replayed
    alone = {"replay_dataset_dir": None, "replay_share": 0.5}
    new = dataclasses.replace(config, batch_size=config.batch_size - replayed, **alone)
    parts = [Part(TrainData(new, info, dataset, told_of(dataset, known)), extension.label_map)]
    if replayed:
        old_dataset = extending.open_old_data(extension.old_data, validation=False)
        old = dataclasses.replace(
            config,
            batch_size=replayed,
            dataset_dir=extension.old_data.folder,
            train_dir=os.path.join(config.train_dir, "replay"),  # a cache of its own
            cache_dir=config.cache_dir and os.path.join(config.cache_dir, "replay"),
            class_weights=None,
            **alone,
        )
        label_map = extending.old_label_map(extension, old_dataset)
        parts.append(Part(TrainData(old, info, old_dataset, told_of(old_dataset, known)), label_map))
        logging.info(
            "Replay: %d of %d images in a batch are of %s (%d images)",
            replayed,
            config.batch_size,
            extension.old_data.folder,
            old_dataset.num_samples,
        )
    return ReplayData(parts)


class Part:
    """The images of one data set in the batches of an extended network.

    Args:
        data: the data set, ready to be trained on.
        label_map: int32 [classes of the data set], class of the network for each; -1: none.
    """

    def __init__(self, data: TrainData, label_map: np.ndarray):
        self.data = data
        # Last in the table: what is no class of the data set (-1) is none of the network either.
        self._label_map = tf.constant(np.append(label_map, -1), tf.int32)

    def labelled(self, batch: Batch) -> Batch:
        """The batch with the network's labels."""
        return {**batch, "label": tf.gather(self._label_map, batch["label"] % self._label_map.shape[0])}


class ReplayData:
    """As `TrainData`, of several data sets: every batch has images of each, the first one's first.

    Args:
        parts: the data sets; the number of images of each in a batch is its own batch size.
    """

    def __init__(self, parts: Sequence[Part]):
        self._parts = tuple(parts)
        self.unreadable = _Unreadable([part.data for part in self._parts])
        self.class_weights = self._parts[0].data.class_weights

    def batches(self, first_step: int, seed: int) -> "ReplayBatches":
        """Returns the batches from step `first_step` on: `image` and `label`."""
        return ReplayBatches(self._parts, [part.data.batches(first_step, seed) for part in self._parts])


class ReplayBatches(Iterator[Batch]):
    """The joined batches of several data sets."""

    def __init__(self, parts: Sequence[Part], batches: Sequence[Batches]):
        self._parts, self._batches = parts, batches

    @property
    def element_spec(self) -> Any:
        """Types and shapes of a batch."""
        specs = [batches.element_spec for batches in self._batches]
        size = sum(spec["label"].shape[0] for spec in specs)
        return {
            name: tf.TensorSpec([size, *specs[0][name].shape[1:]], specs[0][name].dtype) for name in ("image", "label")
        }

    def __next__(self) -> Batch:
        """Returns the next batch."""
        found = [part.labelled(next(batches)) for part, batches in zip(self._parts, self._batches, strict=True)]
        return {name: tf.concat([batch[name] for batch in found], axis=0) for name in ("image", "label")}


class _Unreadable:
    """What could not be read, of all the data sets."""

    def __init__(self, data: Sequence[TrainData]):
        self._data = data

    @property
    def told(self) -> list[str]:
        return [text for data in self._data for text in data.unreadable.told]


def told_of(dataset: Dataset, told: Sequence[str]) -> list[str]:
    """Those of the lines about unreadable records that are about this data set."""
    return [text for text in told if text.startswith(tuple(f"{path}, " for path in dataset.files))]
