"""Colour: Slim's distortion and its parts, on the scale 0..255.

An `amount` is a scalar tensor or a float.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from preprocessing.core import as_float, derive_seed, if_colour, op, random_op, random_pixel_op, weighted_sum


def adjust_brightness(image: tf.Tensor, amount: tf.Tensor | float) -> tf.Tensor:
    """Adds `amount` (scale 0..255)."""
    return as_float(image) + amount


def adjust_saturation(image: tf.Tensor, amount: tf.Tensor | float) -> tf.Tensor:
    """Multiplies the HSV saturation by `amount` and clips it to [0, 1]; gray images stay as they are.

    The values are `tf.image.adjust_saturation`'s, also for pixels outside 0..255, but the time does not depend on the
    picture (that kernel needs four times as long for noise as for sky): hue and value are kept, so no conversion to HSV
    is needed, and each channel moves along the line to the largest one.
    """

    def saturate(image: tf.Tensor) -> tf.Tensor:
        red, green, blue = tf.unstack(image, axis=-1)  # Planes: TensorFlow is slow where the last axis is short.
        top = tf.maximum(red, tf.maximum(green, blue))
        bottom = tf.minimum(red, tf.minimum(green, blue))
        # Saturation is (top - bottom) / top, and 0 where top <= 0; it reaches 1 at a factor of top / (top - bottom).
        factor = tf.maximum(tf.minimum(tf.math.divide_no_nan(top, top - bottom), amount), 0.0)
        rest = top * (1.0 - factor)
        planes = tf.stack([red * factor + rest, green * factor + rest, blue * factor + rest])
        return tf.transpose(planes, [1, 2, 0])

    return if_colour(as_float(image), saturate)


def _saturate_fused(image: tf.Tensor, amount: tf.Tensor | float) -> tf.Tensor:
    """`adjust_saturation` as a compiler likes it: one expression, the same for each value, one division."""
    if image.shape[-1] != 3:
        return image
    red, green, blue = (image[..., i : i + 1] for i in range(3))
    top = tf.maximum(red, tf.maximum(green, blue))
    bottom = tf.minimum(red, tf.minimum(green, blue))
    factor = tf.where(top > 0.0, top * amount / tf.maximum((top - bottom) * amount, top), 0.0)
    return top - (top - image) * factor


def adjust_hue(image: tf.Tensor, amount: tf.Tensor | float) -> tf.Tensor:
    """Turns the hue by `amount`, a part of the full circle in [-1, 1]; gray images stay as they are."""
    return if_colour(as_float(image), lambda image: tf.image.adjust_hue(image, amount))


def adjust_contrast(image: tf.Tensor, amount: tf.Tensor | float) -> tf.Tensor:
    """Returns `(x - mean) * amount + mean` with each channel's own mean."""
    return tf.image.adjust_contrast(as_float(image), amount)


_ADJUST: dict[str, Callable[..., tf.Tensor]] = {
    "brightness": adjust_brightness,
    "saturation": adjust_saturation,
    "hue": adjust_hue,
    "contrast": adjust_contrast,
}
# Slim's ranges, brightness on the scale 0..255, and its orders.
COLOUR_RANGES: dict[str, tuple[float, float]] = {
    "brightness": (-32.0, 32.0),
    "saturation": (0.5, 1.5),
    "hue": (-0.2, 0.2),
    "contrast": (0.5, 1.5),
}
LUMA = (0.2989, 0.5870, 0.1140)  # what red, green and blue count in gray
FAST_ORDERS = (("brightness", "saturation"), ("saturation", "brightness"))
SLOW_ORDERS = (
    ("brightness", "saturation", "hue", "contrast"),
    ("saturation", "brightness", "contrast", "hue"),
    ("contrast", "hue", "brightness", "saturation"),
    ("hue", "saturation", "contrast", "brightness"),
)


def colour_order(ordering: int, fast_mode: bool) -> tuple[str, ...]:
    """Returns the names of the colour steps of Slim's `ordering`, first to last."""
    if fast_mode:
        return FAST_ORDERS[0 if ordering == 0 else 1]
    if not 0 <= ordering < len(SLOW_ORDERS):
        raise ValueError(f"colour ordering must be 0 to {len(SLOW_ORDERS) - 1}, found {ordering}")
    return SLOW_ORDERS[ordering]


def adjust_colour(image: tf.Tensor, order: tuple[str, ...], amounts: dict[str, tf.Tensor | float]) -> tf.Tensor:
    """Applies the steps `order` by `amounts` and clips once, at the end, to 0..255."""
    for step in order:
        image = _ADJUST[step](image, amounts[step])
    return tf.clip_by_value(image, 0.0, 255.0)


def _draw_amounts(seed: tf.Tensor, fast_mode: bool, **_: Any) -> tf.Tensor:
    """Returns float32 [2 or 4], the amounts of the steps in the order of the first of Slim's orders."""
    names = FAST_ORDERS[0] if fast_mode else SLOW_ORDERS[0]
    low, high = zip(*(COLOUR_RANGES[name] for name in names), strict=True)
    span = [b - a for a, b in zip(low, high, strict=True)]
    return tf.random.stateless_uniform([len(names)], seed) * span + low


def _distort_fused(image: tf.Tensor, draws: tf.Tensor, ordering: int | None, **_: Any) -> tf.Tensor:
    amounts = dict(zip(FAST_ORDERS[0], tf.unstack(draws), strict=True))
    adjust = {"brightness": adjust_brightness, "saturation": _saturate_fused}
    for step in colour_order(ordering or 0, fast_mode=True):
        image = adjust[step](image, amounts[step])
    return tf.clip_by_value(image, 0.0, 255.0)


@random_pixel_op(_draw_amounts, _distort_fused, passes=8, where=lambda arguments: arguments["fast_mode"])
def distort_color(image: tf.Tensor, seed: tf.Tensor, fast_mode: bool = True, ordering: int | None = None) -> tf.Tensor:
    """Slim's colour distortion: brightness and saturation in fast mode, else hue and contrast as well; clipped once.

    Args:
      ordering: which order the steps take; None is 0 in fast mode and otherwise one of four at random.
    """
    image = as_float(image)
    names = FAST_ORDERS[0] if fast_mode else SLOW_ORDERS[0]
    amounts = dict(zip(names, tf.unstack(_draw_amounts(seed, fast_mode)), strict=True))
    if fast_mode or ordering is not None:
        return adjust_colour(image, colour_order(ordering or 0, fast_mode), amounts)
    branches = [lambda order=order: adjust_colour(image, order, amounts) for order in SLOW_ORDERS]
    choice = tf.random.stateless_uniform([], derive_seed(seed, "ordering"), 0, len(branches), dtype=tf.int32)
    return tf.switch_case(choice, branches)


@random_op
def random_brightness(image: tf.Tensor, seed: tf.Tensor, max_delta: float) -> tf.Tensor:
    """Adds one number uniform in [-max_delta, max_delta) (scale 0..255); not clipped."""
    return adjust_brightness(image, tf.random.stateless_uniform([], seed, -max_delta, max_delta))


@random_op
def random_contrast(image: tf.Tensor, seed: tf.Tensor, lower: float, upper: float) -> tf.Tensor:
    """Scales the contrast by a factor uniform in [lower, upper); not clipped."""
    return adjust_contrast(image, tf.random.stateless_uniform([], seed, lower, upper))


@op
def grayscale(image: tf.Tensor) -> tf.Tensor:
    """Returns one channel, 0.2989 red + 0.5870 green + 0.1140 blue, as float32; a gray image stays as it is."""
    gray = if_colour(as_float(image), lambda rgb: weighted_sum(rgb, LUMA))
    gray.set_shape([*image.shape[:-1], 1])
    return gray
