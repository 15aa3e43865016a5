"""A few encoded images on which an export is checked and warmed up."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from common.errors import UserError
from datasets import dataset_factory, records

_COUNT = 4


def encoded_images(run: Mapping[str, Any] | None, channels: int) -> list[bytes]:
    """Returns encoded images: of the run's own data where it still is there, else drawn ones."""
    return _of_dataset(run) or _drawn(channels)


def _of_dataset(run: Mapping[str, Any] | None) -> list[bytes]:
    folder = run and run["dataset"]["dir"]
    if not folder or not os.path.isdir(folder):
        return []
    try:
        dataset = dataset_factory.get_dataset(run["dataset"]["name"], run["dataset"]["split"], folder)
    except (UserError, ValueError):
        return []  # moved or changed since: the drawn images serve as well
    serialized = tf.data.TFRecordDataset(dataset.files).take(_COUNT)
    return [records.parse(record, dataset.default_format)["encoded"].numpy() for record in serialized]


def _drawn(channels: int) -> list[bytes]:
    """Smooth colour fields of different sizes, as JPEG and PNG."""
    random = np.random.default_rng(0)
    encoded = []
    for k, (height, width) in enumerate([(240, 320), (320, 240), (64, 64), (301, 299)]):
        coarse = random.uniform(0, 255, (1, 6, 8, channels)).astype(np.float32)
        image = tf.cast(tf.image.resize(coarse, (height, width), "bicubic")[0], tf.int32)
        image = tf.cast(tf.clip_by_value(image, 0, 255), tf.uint8)
        encoded.append((tf.io.encode_png if k == 2 else tf.io.encode_jpeg)(image).numpy())
    return encoded
