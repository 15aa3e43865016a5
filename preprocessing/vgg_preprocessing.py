"""Slim's vgg recipe, for VGG and ResNet: aspect kept, random crop, flip; ImageNet means subtracted.

From "Very Deep Convolutional Networks for Large-Scale Image Recognition", arXiv:1409.1556.
"""

import tensorflow as tf

from common.errors import UserError
from preprocessing import colour_ops, ops
from preprocessing.core import Op, Recipe, sequence

MEANS = (123.68, 116.78, 103.94)  # RGB, of the ImageNet training set
RESIZE_SIDE_MIN = 256
RESIZE_SIDE_MAX = 512


def _steps(
    height: int,
    width: int,
    is_training: bool,
    resize_side_min: int = RESIZE_SIDE_MIN,
    resize_side_max: int = RESIZE_SIDE_MAX,
    use_grayscale: bool = False,
) -> tuple[Op, ...]:
    # The smaller side is exactly the resize side, so a crop larger than that both ways can never fit.
    if min(height, width) > resize_side_min:
        raise UserError(
            f"preprocessing 'vgg' resizes the smaller side to {resize_side_min} pixels, less than the output of "
            f"{height}x{width}: pass resize_side_min={min(height, width)} or more, an image size of at most "
            f"{resize_side_min}, or --preprocessing_name=inception"
        )
    gray = colour_ops.grayscale() if use_grayscale else None
    if not is_training:
        return sequence(ops.resize_smaller_side(resize_side_min), ops.central_window(height, width), gray)
    if resize_side_max < resize_side_min:
        raise UserError(f"resize_side_max={resize_side_max} is less than resize_side_min={resize_side_min}")
    return sequence(
        ops.random_resize_smaller_side(resize_side_min, resize_side_max),
        ops.random_crop(height, width),
        gray,
        ops.flip_left_right(),
    )


RECIPE = Recipe(
    name="vgg",
    steps=_steps,
    normalize=ops.subtract_means(MEANS),
    output_range="[-123.68, 151.06] (0..255 less the mean of the channel)",
)


def preprocess_for_train(
    image: tf.Tensor,
    output_height: int,
    output_width: int,
    resize_side_min: int = RESIZE_SIDE_MIN,
    resize_side_max: int = RESIZE_SIDE_MAX,
    use_grayscale: bool = False,
    seed: tf.Tensor | None = None,
) -> tf.Tensor:
    """Slim's function: a random crop of [h, w, c] (0..255), float32 [output_height, output_width, c], means off.

    Args:
      resize_side_min: the smaller side is first resized to a random number of pixels in [this, resize_side_max].
      seed: int [2]; None draws afresh.

    Raises:
      UserError: the crop does not fit into the resized image.
    """
    sides = {"resize_side_min": resize_side_min, "resize_side_max": resize_side_max}
    return RECIPE(image, output_height, output_width, True, seed, use_grayscale=use_grayscale, **sides)


def preprocess_for_eval(
    image: tf.Tensor, output_height: int, output_width: int, resize_side: int, use_grayscale: bool = False
) -> tf.Tensor:
    """Slim's function: smaller side resized to `resize_side`, the middle cut out, means off."""
    options = {"resize_side_min": resize_side, "use_grayscale": use_grayscale}
    return RECIPE(image, output_height, output_width, **options)


def preprocess_image(
    image: tf.Tensor,
    output_height: int,
    output_width: int,
    is_training: bool = False,
    resize_side_min: int = RESIZE_SIDE_MIN,
    resize_side_max: int = RESIZE_SIDE_MAX,
    use_grayscale: bool = False,
    seed: tf.Tensor | None = None,
) -> tf.Tensor:
    """Slim's entry: `preprocess_for_train`, or `preprocess_for_eval` with `resize_side_min`."""
    sides = {"resize_side_min": resize_side_min, "resize_side_max": resize_side_max}
    return RECIPE(image, output_height, output_width, is_training, seed, use_grayscale=use_grayscale, **sides)
