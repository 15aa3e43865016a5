"""Augmentation beyond Slim's recipes: geometry, colour, tone, covered parts.

Each op takes and gives one image [h, w, c], uint8 or float32 on the scale 0..255, of 1 or 3 channels, and keeps its
shape. `preprocessing.augmentation` names them in a text.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from preprocessing import affine, tones
from preprocessing.colour_ops import LUMA
from preprocessing.core import as_float, derive_seed, if_colour, random_op, random_pixel_op, shape_of

MEDIUM_GRAY = 127.5  # about 0 after most recipes' normalization


# Geometry.


def _draw_map(seed: tf.Tensor, degrees: float, share: float, shear: float) -> tf.Tensor:
    draws = tf.random.stateless_uniform([4], seed, -1.0, 1.0)
    return affine.inverse_map(draws[0] * degrees, draws[2:] * share, draws[1] * shear)


def _move_fused(image: tf.Tensor, inverse: tf.Tensor, **_: Any) -> tf.Tensor:
    return affine.move_by_gathering(image, inverse)


@random_pixel_op(_draw_map, _move_fused, passes=30)
def random_affine(
    image: tf.Tensor, seed: tf.Tensor, degrees: float = 0.0, share: float = 0.0, shear: float = 0.0
) -> tf.Tensor:
    """Slants, turns and moves the image in one interpolation; its mirror image fills the rim.

    Args:
      degrees: the farthest turn, either way.
      share: of height and width, the farthest move, either way.
      shear: degrees, the farthest slant of upright lines, either way.
    """
    return affine.move(as_float(image), _draw_map(seed, degrees, share, shear))


@random_op
def flip_up_down(image: tf.Tensor, seed: tf.Tensor, probability: float = 0.5) -> tf.Tensor:
    """Mirrors top and bottom with `probability`."""
    return _sometimes(image, seed, probability, lambda: tf.reverse(image, [0]))


# Colour, as one linear map of each pixel.

_LUMA = np.array(LUMA, np.float32) / np.float32(sum(LUMA))  # sums to 1, so that gray stays gray


def _hue_parts() -> tuple[np.ndarray, np.ndarray]:
    """The matrices C and S: turning the colour by an angle is `L + cos * C + sin * S`, L the projection on gray.

    Colours of one lightness are a plane, with gray where it meets the diagonal; in axes that are at right angles in YIQ
    (blue less luma, red less luma, both scaled) the turn is a rotation.
    """
    to_yiq = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
    to_yiq[0] = _LUMA
    to_yiq[1:] -= to_yiq[1:].mean(axis=1, keepdims=True)  # gray has exactly no colour
    back = np.linalg.inv(to_yiq)
    return back @ np.diag([0, 1, 1]) @ to_yiq, back @ np.array([[0, 0, 0], [0, 0, 1], [0, -1, 0]]) @ to_yiq


_TO_GRAY = np.tile(_LUMA, [3, 1])  # [to, from]
_COS, _SIN = (part.astype(np.float32) for part in _hue_parts())


def colour_map(
    brightness: tf.Tensor | float = 1.0,
    contrast: tf.Tensor | float = 1.0,
    saturation: tf.Tensor | float = 1.0,
    turn: tf.Tensor | float = 0.0,
) -> tf.Tensor:
    """Returns the map of `apply_colour_map`, float32 [4, 3]: what each of red, green, blue and 1 adds to a pixel.

    Args:
      brightness: factor of all values.
      contrast: factor of their distance from medium gray, after that.
      saturation: factor of the distance from gray of the same luma.
      turn: of the hue, in parts of the circle.
    """
    angle = tf.cast(turn, tf.float32) * (2.0 * math.pi)
    colours = tf.cast(saturation, tf.float32) * (tf.cos(angle) * _COS + tf.sin(angle) * _SIN)
    contrast = tf.cast(contrast, tf.float32)
    matrix = tf.transpose(_TO_GRAY + colours) * (brightness * contrast)
    return tf.concat([matrix, tf.fill([1, 3], MEDIUM_GRAY * (1.0 - contrast))], 0)


def apply_colour_map(image: tf.Tensor, colours: tf.Tensor) -> tf.Tensor:
    """Returns the image [h, w, c] under a `colour_map`, clipped to 0..255; a gray image stays gray."""

    def rgb(image: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.linalg.matmul(tf.reshape(image, [-1, 3]), colours[:3]), tf.shape(image)) + colours[3]

    changed = if_colour(as_float(image), rgb, lambda gray: _on_gray(gray, colours))
    changed.set_shape(image.shape)
    return tf.clip_by_value(changed, 0.0, 255.0)


def _on_gray(image: tf.Tensor, colours: tf.Tensor) -> tf.Tensor:
    return image * tf.reduce_sum(colours[:3, 0]) + colours[3, 0]


def _apply_fused(image: tf.Tensor, colours: tf.Tensor, **_: Any) -> tf.Tensor:
    """`apply_colour_map` as a compiler likes it: the same expression for each value."""
    if image.shape[-1] == 3:
        changed = sum((image[..., i : i + 1] * colours[i] for i in range(3)), colours[3])
    else:
        changed = _on_gray(image, colours)
    return tf.clip_by_value(changed, 0.0, 255.0)


def _draw_colour_map(seed: tf.Tensor, brightness: float, contrast: float, saturation: float, hue: float) -> tf.Tensor:
    draws = tf.random.stateless_uniform([4], seed, -1.0, 1.0) * [brightness, contrast, saturation, hue]
    return colour_map(1.0 + draws[0], 1.0 + draws[1], 1.0 + draws[2], draws[3])


@random_pixel_op(_draw_colour_map, _apply_fused, passes=8)
def random_colour(
    image: tf.Tensor,
    seed: tf.Tensor,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    hue: float = 0.0,
) -> tf.Tensor:
    """Changes brightness, contrast, saturation and hue at once, clipped to 0..255.

    Args:
      brightness, contrast, saturation: factors are uniform in [1 - this, 1 + this); see `colour_map`.
      hue: the turn is uniform in [-this, this), in parts of the circle.
    """
    return apply_colour_map(image, _draw_colour_map(seed, brightness, contrast, saturation, hue))


def _draw_gray_map(seed: tf.Tensor, probability: float) -> tf.Tensor:
    is_gray = tf.random.stateless_uniform([], seed) < probability
    return colour_map(saturation=tf.where(is_gray, 0.0, 1.0))


@random_pixel_op(_draw_gray_map, _apply_fused, passes=8)
def random_grayscale(image: tf.Tensor, seed: tf.Tensor, probability: float = 0.2) -> tf.Tensor:
    """Takes the colours away with `probability`; the channels stay."""
    image = as_float(image)
    return _sometimes(image, seed, probability, lambda: apply_colour_map(image, colour_map(saturation=0.0)))


# Tone.


@random_op
def random_autocontrast(image: tf.Tensor, seed: tf.Tensor, probability: float = 0.5) -> tf.Tensor:
    """Stretches each channel to 0..255 with `probability`."""
    return _tone(image, seed, probability, tones.autocontrast)


@random_op
def random_equalize(image: tf.Tensor, seed: tf.Tensor, probability: float = 0.5) -> tf.Tensor:
    """Makes each channel's values about equally frequent with `probability`."""
    return _tone(image, seed, probability, tones.equalize)


@random_op
def random_posterize(image: tf.Tensor, seed: tf.Tensor, bits: int = 4, probability: float = 0.5) -> tf.Tensor:
    """Keeps the highest `bits` of each value with `probability`."""
    return _tone(image, seed, probability, lambda pixels: tones.posterize(pixels, bits))


@random_op
def random_solarize(image: tf.Tensor, seed: tf.Tensor, threshold: float = 128, probability: float = 0.5) -> tf.Tensor:
    """Inverts the values from `threshold` on with `probability`."""
    return _tone(image, seed, probability, lambda pixels: tones.solarize(pixels, threshold))


def _tone(image: tf.Tensor, seed: tf.Tensor, probability: float, change: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """Does `change`, which takes and gives uint8, with `probability`; gives float32, otherwise unrounded."""
    image = as_float(image)
    return _sometimes(image, seed, probability, lambda: as_float(change(tones.as_uint8(image))))


@random_op
def random_sharpness(image: tf.Tensor, seed: tf.Tensor, strength: float = 0.5) -> tf.Tensor:
    """Multiplies the difference to a smoothed image by a factor uniform in [1 - strength, 1 + strength)."""
    return tones.sharpness(as_float(image), tf.random.stateless_uniform([], seed, 1.0 - strength, 1.0 + strength))


@random_op
def random_blur(image: tf.Tensor, seed: tf.Tensor, sigma: float = 2.0, probability: float = 0.5) -> tf.Tensor:
    """Blurs with `probability` by a Gaussian of standard deviation uniform in (0, sigma) pixels, rims mirrored."""
    image = as_float(image)
    drawn = tf.random.stateless_uniform([], derive_seed(seed, "sigma"), 0.05, sigma)
    radius = math.ceil(2.5 * sigma)
    return _sometimes(image, seed, probability, lambda: tones.blur(image, drawn, radius))


# Covered parts.


def _draw_square(seed: tf.Tensor, **_: Any) -> tf.Tensor:
    """Returns float32 [3], uniform: whether to cover, and where the middle is."""
    return tf.random.stateless_uniform([3], seed)


def _square(image: tf.Tensor, draws: tf.Tensor, share: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns where a square starts (y, x) and how large it is, both float32 [2]."""
    size = tf.cast(shape_of(image)[:2], tf.float32)
    side = tf.round(share * tf.reduce_min(size))
    return tf.round(draws[1:] * size - side / 2.0), tf.stack([side, side])


def _cutout_fused(image: tf.Tensor, draws: tf.Tensor, share: float, probability: float) -> tf.Tensor:
    start, extent = _square(image, draws, share)
    in_y, in_x = _inside(shape_of(image), start, tf.where(draws[0] < probability, extent, 0.0))
    return tf.where((in_y[:, tf.newaxis] & in_x[tf.newaxis])[..., tf.newaxis], MEDIUM_GRAY, image)


@random_pixel_op(_draw_square, _cutout_fused, passes=3)
def cutout(image: tf.Tensor, seed: tf.Tensor, share: float = 0.25, probability: float = 1.0) -> tf.Tensor:
    """Covers a gray square with its middle anywhere (DeVries and Taylor 2017, arXiv:1708.04552).

    Args:
      share: side of the square, of the image's smaller side; what lies outside is cut off.
    """
    image, draws = as_float(image), _draw_square(seed)
    start, extent = _square(image, draws, share)
    covered = tf.cond(draws[0] < probability, lambda: cover(image, start, extent, MEDIUM_GRAY), lambda: image)
    covered.set_shape(image.shape)
    return covered


@random_op
def random_erase(
    image: tf.Tensor,
    seed: tf.Tensor,
    probability: float = 0.25,
    smallest: float = 0.02,
    largest: float = 0.33,
    aspect: float = 10 / 3,
) -> tf.Tensor:
    """Covers a rectangle inside the image with noise (random erasing, Zhong et al. 2017, arXiv:1708.04896).

    Args:
      smallest, largest: area, as a share of the image's.
      aspect: the largest ratio of height and width, or of width and height.
    """
    image = as_float(image)

    def covered() -> tf.Tensor:
        size = tf.cast(shape_of(image)[:2], tf.float32)
        area, shape, y, x = tf.unstack(tf.random.stateless_uniform([4], derive_seed(seed, "rectangle")))
        side = tf.sqrt((smallest + (largest - smallest) * area) * tf.reduce_prod(size))
        stretch = tf.exp((2.0 * shape - 1.0) * (0.5 * math.log(aspect)))
        extent = tf.minimum(tf.round(tf.stack([side * stretch, side / stretch])), size)
        start = tf.floor(tf.stack([y, x]) * (size - extent + 1.0))
        rims = tf.cast(tf.stack([start, size - start - extent], axis=1), tf.int32)  # before and after, y and x
        patch = tf.concat([tf.cast(extent, tf.int32), tf.shape(image)[2:]], 0)
        noise = tf.random.stateless_uniform(patch, derive_seed(seed, "noise"), 0.0, 255.0)
        return cover(image, start, extent, tf.pad(noise, tf.concat([rims, [[0, 0]]], 0)))

    return _sometimes(image, seed, probability, covered)


def cover(image: tf.Tensor, start: tf.Tensor, extent: tf.Tensor, what: tf.Tensor | float) -> tf.Tensor:
    """Puts `what` in place of the part of `image` [h, w, c] from `start` for `extent` pixels (y, x; float32 [2]).

    By arithmetic: TensorFlow's select is several times as slow.
    """
    in_y, in_x = (tf.cast(inside, tf.float32) for inside in _inside(shape_of(image), start, extent))
    in_x = tf.repeat(in_x, tf.shape(image)[2])  # of one row, all channels
    covered = tf.reshape(in_y[:, tf.newaxis] * in_x[tf.newaxis], tf.shape(image))
    result = image * (1.0 - covered) + what * covered
    result.set_shape(image.shape)
    return result


def _inside(shape: tf.Tensor, start: tf.Tensor, extent: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns bool [h] and [w], True for the rows and columns from `start` for `extent` pixels."""
    places = [tf.range(tf.cast(shape[i], tf.float32)) for i in (0, 1)]
    return tuple((place >= start[i]) & (place < start[i] + extent[i]) for i, place in enumerate(places))


# What the ops share.


def _sometimes(image: tf.Tensor, seed: tf.Tensor, probability: float, change: Callable[[], tf.Tensor]) -> tf.Tensor:
    """Returns `change()` with `probability`, which is not computed otherwise; else `image`."""
    if probability >= 1.0:
        return change()
    changed = tf.cond(tf.random.stateless_uniform([], seed) < probability, change, lambda: image)
    changed.set_shape(image.shape)
    return changed
