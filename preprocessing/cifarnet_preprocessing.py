"""Slim's cifarnet recipe: pad and crop, flip, brightness, contrast; each image to mean 0 and variance 1."""

import tensorflow as tf

from preprocessing import colour_ops, ops
from preprocessing.core import Op, Recipe, sequence

PADDING = 4


def _steps(
    height: int,
    width: int,
    is_training: bool,
    padding: int = PADDING,
    use_grayscale: bool = False,
    add_image_summaries: bool = False,
) -> tuple[Op, ...]:
    del add_image_summaries  # Slim's; the training loop writes a picture sheet instead.
    gray = colour_ops.grayscale() if use_grayscale else None
    if not is_training:
        return sequence(gray, ops.crop_or_pad(height, width))
    return sequence(
        gray,
        ops.pad(padding) if padding else None,
        ops.random_crop(height, width),
        ops.flip_left_right(),
        colour_ops.random_brightness(max_delta=63.0),
        colour_ops.random_contrast(lower=0.2, upper=1.8),
    )


RECIPE = Recipe(
    name="cifarnet",
    steps=_steps,
    normalize=ops.standardize(),
    output_range="each image has mean 0 and variance 1",
)


def preprocess_for_train(
    image: tf.Tensor,
    output_height: int,
    output_width: int,
    padding: int = PADDING,
    add_image_summaries: bool = True,
    use_grayscale: bool = False,
    seed: tf.Tensor | None = None,
) -> tf.Tensor:
    """Slim's function: [h, w, c] (0..255) to a random crop, float32 [output_height, output_width, c], standardized.

    Args:
      padding: zeros added on each side before the crop, in pixels.
      add_image_summaries: ignored.
      seed: int [2]; None draws afresh.
    """
    del add_image_summaries
    options = {"padding": padding, "use_grayscale": use_grayscale}
    return RECIPE(image, output_height, output_width, True, seed, **options)


def preprocess_for_eval(
    image: tf.Tensor,
    output_height: int,
    output_width: int,
    add_image_summaries: bool = True,
    use_grayscale: bool = False,
) -> tf.Tensor:
    """Slim's function: the middle of [h, w, c], or all of it padded with zeros, standardized."""
    del add_image_summaries
    return RECIPE(image, output_height, output_width, use_grayscale=use_grayscale)


def preprocess_image(
    image: tf.Tensor,
    output_height: int,
    output_width: int,
    is_training: bool = False,
    add_image_summaries: bool = True,
    use_grayscale: bool = False,
    seed: tf.Tensor | None = None,
) -> tf.Tensor:
    """Slim's entry: `preprocess_for_train` or `preprocess_for_eval`."""
    del add_image_summaries
    return RECIPE(image, output_height, output_width, is_training, seed, use_grayscale=use_grayscale)
