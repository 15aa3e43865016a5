"""Slim's inception recipe: random area and aspect crop, flip, colour; [-1, 1]. Also MobileNet's and NASNet's."""

from typing import Any

import tensorflow as tf

from preprocessing import colour_ops, ops
from preprocessing.core import Op, Recipe, sequence

CENTRAL_FRACTION = 0.875  # of each side, so 76.6 % of the area


def _steps(
    height: int,
    width: int,
    is_training: bool,
    bbox: tf.Tensor | None = None,
    fast_mode: bool = True,
    crop_image: bool = True,
    use_grayscale: bool = False,
    central_fraction: float = CENTRAL_FRACTION,
    add_image_summaries: bool = False,
) -> tuple[Op, ...]:
    del add_image_summaries  # Slim's; the training loop writes a picture sheet instead.
    gray = colour_ops.grayscale() if use_grayscale else None
    if is_training:
        return sequence(
            ops.distorted_crop(bbox=bbox) if crop_image else None,
            ops.resize(height, width) if fast_mode else ops.random_method_resize(height, width),
            ops.flip_left_right(),
            colour_ops.distort_color(fast_mode=fast_mode),
            gray,
        )
    return sequence(
        ops.central_crop(central_fraction) if crop_image else None,
        gray,
        ops.resize(height, width) if height and width else None,
    )


RECIPE = Recipe(
    name="inception",
    steps=_steps,
    normalize=ops.scale_and_shift(scale=2.0 / 255.0, shift=-1.0),
    output_range="[-1, 1]",
    unit_floats=True,
)


def preprocess_for_train(
    image: tf.Tensor,
    height: int,
    width: int,
    bbox: tf.Tensor | None = None,
    fast_mode: bool = True,
    scope: str | None = None,
    add_image_summaries: bool = True,
    random_crop: bool = True,
    use_grayscale: bool = False,
    seed: tf.Tensor | None = None,
) -> tf.Tensor:
    """Slim's function: [h, w, c] (uint8, or float in [0, 1]) to float32 [height, width, c] in [-1, 1], at random.

    Args:
      bbox: float32 [1, N, 4] boxes (ymin, xmin, ymax, xmax) in [0, 1] that the crop should touch; None: the image.
      fast_mode: False also varies hue, contrast, the order of the colour steps and the resizing method.
      scope: name scope.
      add_image_summaries: ignored.
      random_crop: False resizes the whole image.
      seed: int [2]; None draws afresh.
    """
    del add_image_summaries
    with tf.name_scope(scope or "distort_image"):
        return RECIPE(
            image,
            height,
            width,
            True,
            seed,
            bbox=bbox,
            fast_mode=fast_mode,
            crop_image=random_crop,
            use_grayscale=use_grayscale,
        )


def preprocess_for_eval(
    image: tf.Tensor,
    height: int | None,
    width: int | None,
    central_fraction: float = CENTRAL_FRACTION,
    scope: str | None = None,
    central_crop: bool = True,
    use_grayscale: bool = False,
) -> tf.Tensor:
    """Slim's function: the middle of [h, w, c], resized to [height, width, c] where both are given, in [-1, 1]."""
    with tf.name_scope(scope or "eval_image"):
        return RECIPE(
            image,
            height,
            width,
            crop_image=bool(central_crop and central_fraction),
            central_fraction=central_fraction,
            use_grayscale=use_grayscale,
        )


def preprocess_image(
    image: tf.Tensor,
    height: int,
    width: int,
    is_training: bool = False,
    bbox: tf.Tensor | None = None,
    fast_mode: bool = True,
    add_image_summaries: bool = True,
    crop_image: bool = True,
    use_grayscale: bool = False,
    seed: tf.Tensor | None = None,
) -> tf.Tensor:
    """Slim's entry: `preprocess_for_train` or `preprocess_for_eval`."""
    del add_image_summaries
    options: dict[str, Any] = {"bbox": bbox, "fast_mode": fast_mode, "crop_image": crop_image}
    return RECIPE(image, height, width, is_training, seed, use_grayscale=use_grayscale, **options)
