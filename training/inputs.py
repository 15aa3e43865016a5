"""Joins data sets and preprocessing: files in, batches of images and labels out."""

from collections.abc import Callable

import tensorflow as tf

from preprocessing import encoded as encoded_lib
from preprocessing.augmentation import Augmentation


def preprocess_fn(
    recipe: str, image_size: int, channels: int, is_training: bool, augmentation: Augmentation | None = None
) -> Callable[[tf.Tensor, tf.Tensor | None], tf.Tensor]:
    """Returns the map of the input pipeline: (image, seed) -> float32 [image_size, image_size, channels].

    The image is encoded (scalar string), or decoded by `decode_fn` (uint8 [height, width, channels]). `augmentation`
    takes the place of the recipe's own random steps in training.
    """

    # Without AutoGraph: nothing here branches on tensors in Python, and converting the source costs start-up time.
    @tf.autograph.experimental.do_not_convert
    def preprocess(encoded: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        return encoded_lib.preprocess_encoded(
            encoded, recipe, image_size, image_size, is_training, channels, seed, augmentation, fuse=is_training
        )

    return preprocess


def decode_fn(channels: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns what a cache of decoded images keeps: encoded image -> uint8 [height, width, channels]."""
    return lambda encoded: encoded_lib.decode(encoded, channels)
