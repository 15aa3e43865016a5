"""Turning, slanting and moving an image about its middle, with bilinear interpolation.

Twice: by TensorFlow's kernel, and in plain arithmetic, which takes a quarter of the time once it is compiled (the
kernel works out for each value anew where its pixels lie). The results are the same up to rounding.
"""

import math

import tensorflow as tf

from preprocessing.core import shape_of


def inverse_map(degrees: tf.Tensor | float, share: tf.Tensor, shear: tf.Tensor | float) -> tf.Tensor:
    """Returns where the pixels of an image that is slanted, turned and then moved come from.

    Args:
      degrees: counter-clockwise.
      share: float32 [2], the way to move right and down, as shares of width and height.
      shear: degrees by which upright lines lean to the right.

    Returns:
      float32 [2, 3]: a matrix by which the output's pixels (x, y relative to the middle, once moved back) are
      multiplied, and `share`.
    """
    angle = tf.cast(degrees, tf.float32) * (math.pi / 180.0)
    cos, sin, slant = tf.cos(angle), tf.sin(angle), tf.tan(tf.cast(shear, tf.float32) * (math.pi / 180.0))
    turn = tf.stack([tf.stack([cos + slant * sin, slant * cos - sin]), tf.stack([sin, cos])])
    return tf.concat([turn, tf.reshape(share, [2, 1])], 1)


def move(image: tf.Tensor, inverse: tf.Tensor, fill: float | None = None) -> tf.Tensor:
    """Moves the pixels of `image` [h, w, c], uint8 or float32.

    Args:
      inverse: see `inverse_map`.
      fill: what comes in from outside; None: the image's mirror image.
    """
    shape = shape_of(image)
    size = tf.cast(tf.stack([shape[1], shape[0]]), tf.float32)
    matrix, middle = inverse[:, :2], (size - 1.0) / 2.0
    offset = middle - tf.linalg.matvec(matrix, middle + inverse[:, 2] * size)
    rows = tf.concat([matrix, offset[:, tf.newaxis]], 1)
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=image[tf.newaxis],
        transforms=tf.concat([tf.reshape(rows, [1, 6]), tf.zeros([1, 2])], 1),
        output_shape=shape[:2],
        fill_value=fill or 0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT" if fill is None else "CONSTANT",
    )[0]
    moved.set_shape(image.shape)
    return moved


def move_by_gathering(image: tf.Tensor, inverse: tf.Tensor, fill: float | None = None) -> tf.Tensor:
    """Does what `move` does, for a float32 image of known shape, in operations that XLA compiles."""
    height, width, channels = image.shape
    pixels = tf.reshape(image, [-1, channels])
    y = tf.range(height, dtype=tf.float32)[:, tf.newaxis] - (height - 1) / 2 - inverse[1, 2] * height
    x = tf.range(width, dtype=tf.float32)[tf.newaxis] - (width - 1) / 2 - inverse[0, 2] * width
    from_x = inverse[0, 0] * x + inverse[0, 1] * y + (width - 1) / 2
    from_y = inverse[1, 0] * x + inverse[1, 1] * y + (height - 1) / 2
    left, top = tf.floor(from_x), tf.floor(from_y)

    def values(row: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
        if fill is None:
            return tf.gather(pixels, _mirrored(row, height) * width + _mirrored(column, width))
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        place = tf.where(inside, tf.cast(row, tf.int32) * width + tf.cast(column, tf.int32), 0)
        return tf.where(inside[..., tf.newaxis], tf.gather(pixels, place), fill)

    right_share, lower_share = (from_x - left)[..., tf.newaxis], (from_y - top)[..., tf.newaxis]
    upper = values(top, left) * (1.0 - right_share) + values(top, left + 1.0) * right_share
    lower = values(top + 1.0, left) * (1.0 - right_share) + values(top + 1.0, left + 1.0) * right_share
    return upper * (1.0 - lower_share) + lower * lower_share


def _mirrored(place: tf.Tensor, size: int) -> tf.Tensor:
    """The row or column in the image of one that may be outside: ... 1 0 | 0 1 ... size-1 | size-1 ..."""
    place = place - 2.0 * size * tf.floor(place / (2.0 * size))
    return tf.cast(tf.where(place >= size, 2.0 * size - 1.0 - place, place), tf.int32)
