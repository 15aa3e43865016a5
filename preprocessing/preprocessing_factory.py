"""Slim's factory: a name to a preprocessing function."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from preprocessing import recipes


def get_preprocessing(name: str, is_training: bool = False, use_grayscale: bool = False) -> Callable[..., tf.Tensor]:
    """Returns `fn(image, output_height, output_width, seed=None, **kwargs)`.

    Args:
      name: a recipe (cifarnet, inception, lenet, vgg) or one of Slim's network names.
      is_training: True for the random training chain.
      use_grayscale: give one channel.

    Returns:
      A function of one decoded image [h, w, c] that gives float32 [output_height, output_width, c]. `seed` int [2]
      decides every random draw. `kwargs` are the recipe's own options (`bbox`, `fast_mode`, `resize_side_min`, ...).

    Raises:
      ValueError: unknown name; the message lists near matches.
    """
    recipe = recipes.get(name)

    def preprocessing_fn(
        image: tf.Tensor, output_height: int, output_width: int, seed: tf.Tensor | None = None, **kwargs: Any
    ) -> tf.Tensor:
        if use_grayscale:
            kwargs = {"use_grayscale": True, **kwargs}
        return recipe(image, output_height, output_width, is_training, seed, **kwargs)

    return preprocessing_fn
