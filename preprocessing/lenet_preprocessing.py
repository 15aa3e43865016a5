"""Slim's lenet recipe: the middle, or padded with zeros; [-1, 0.9921875]. The same in training and evaluation."""

import tensorflow as tf

from preprocessing import colour_ops, ops
from preprocessing.core import Op, Recipe, sequence


def _steps(height: int, width: int, is_training: bool, use_grayscale: bool = False) -> tuple[Op, ...]:
    del is_training
    # Padding comes before the shift, so a padded pixel ends as -1.
    return sequence(colour_ops.grayscale() if use_grayscale else None, ops.crop_or_pad(height, width))


RECIPE = Recipe(
    name="lenet",
    steps=_steps,
    normalize=ops.scale_and_shift(scale=1.0 / 128.0, shift=-1.0),
    output_range="[-1, 0.9921875]",
)


def preprocess_image(
    image: tf.Tensor,
    output_height: int,
    output_width: int,
    is_training: bool = False,
    use_grayscale: bool = False,
    seed: tf.Tensor | None = None,
) -> tf.Tensor:
    """Slim's entry: [h, w, c] (0..255) to float32 [output_height, output_width, c]; nothing is drawn from `seed`."""
    return RECIPE(image, output_height, output_width, is_training, seed, use_grayscale=use_grayscale)


def preprocess_for_train(
    image: tf.Tensor, output_height: int, output_width: int, use_grayscale: bool = False
) -> tf.Tensor:
    """The same as `preprocess_for_eval`; Slim's lenet distorts nothing."""
    return preprocess_image(image, output_height, output_width, True, use_grayscale)


def preprocess_for_eval(
    image: tf.Tensor, output_height: int, output_width: int, use_grayscale: bool = False
) -> tf.Tensor:
    """`preprocess_image` in evaluation."""
    return preprocess_image(image, output_height, output_width, False, use_grayscale)
