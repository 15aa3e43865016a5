"""Joins data sets and preprocessing: files in, batches of images and labels out."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import tensorflow as tf

from common.errors import UserError, tensorflow_reason
from preprocessing import encoded as encoded_lib


def preprocess_fn(
    recipe: str, image_size: int, channels: int, is_training: bool
) -> Callable[[tf.Tensor, tf.Tensor | None], tf.Tensor]:
    """Returns the map of the input pipeline: (encoded image, seed) -> float32 [image_size, image_size, channels]."""

    # Without AutoGraph: nothing here branches on tensors in Python, and converting the source costs start-up time.
    @tf.autograph.experimental.do_not_convert
    def preprocess(encoded: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        return encoded_lib.preprocess_encoded(
            encoded, recipe, image_size, image_size, is_training=is_training, channels=channels, seed=seed
        )

    return preprocess


def readable(batches: Iterable[dict[str, Any]], source: str) -> Iterator[dict[str, Any]]:
    """Yields the batches; a record of `source` that cannot be read or decoded is told as the user's to mend."""
    try:
        yield from batches
    except (tf.errors.InvalidArgumentError, tf.errors.DataLossError) as error:
        raise UserError(
            f"a record in {source} cannot be read or decoded: convert the data again. "
            f"TensorFlow says: {tensorflow_reason(error)}"
        ) from None
