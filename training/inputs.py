"""Joins data sets and preprocessing: files in, batches of images and labels out."""

from collections.abc import Callable

import tensorflow as tf

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
