"""Tone and sharpness, each by a given amount: the arithmetic of Pillow's `ImageOps` and `ImageEnhance`.

That is what AutoAugment and RandAugment were published with. Images are [h, w, c] of 1 or 3 channels on the scale
0..255; what is done by table takes and gives uint8, the rest gives float32.
"""

from collections.abc import Callable

import tensorflow as tf

from preprocessing.core import as_float, shape_of, weighted_sum

Amount = tf.Tensor | float

_LUMA = (0.299, 0.587, 0.114)  # Pillow's


def as_uint8(image: tf.Tensor) -> tf.Tensor:
    """Returns uint8, rounded and clipped to 0..255."""
    return image if image.dtype == tf.uint8 else tf.cast(tf.clip_by_value(image + 0.5, 0.0, 255.0), tf.uint8)


# By table.


def posterize(image: tf.Tensor, bits: tf.Tensor | int) -> tf.Tensor:
    """Keeps the highest `bits` (0 to 8) of each value of a uint8 image."""
    shift = tf.cast(8 - bits, tf.int32)
    mask = tf.bitwise.left_shift(tf.bitwise.right_shift(255, shift), shift)
    return tf.bitwise.bitwise_and(image, tf.cast(mask, tf.uint8))


def solarize(image: tf.Tensor, threshold: Amount) -> tf.Tensor:
    """Inverts the values of a uint8 image that are `threshold` (0 to 256) or more."""
    first = tf.cast(tf.math.ceil(tf.cast(threshold, tf.float32)), tf.int32)
    # 255 - x is x with all its bits turned over; TensorFlow's select is ten times as slow.
    bits = tf.where(first > 255, tf.constant(0, tf.uint8), tf.constant(255, tf.uint8))
    chosen = image >= tf.cast(tf.minimum(first, 255), tf.uint8)
    return tf.bitwise.bitwise_xor(image, tf.cast(chosen, tf.uint8) * bits)


def autocontrast(image: tf.Tensor) -> tf.Tensor:
    """Stretches each channel of a uint8 image so that its values span 0..255; a flat channel stays as it is."""
    pixels = as_float(image)
    low, high = tf.reduce_min(pixels, axis=[0, 1]), tf.reduce_max(pixels, axis=[0, 1])
    flat = high <= low
    scale = tf.where(flat, 1.0, 255.0 / tf.maximum(high - low, 1.0))
    shift = tf.where(flat, 0.0, -low * scale)
    stretched = _by_channel(pixels, lambda rows, repeat: rows * repeat(scale) + repeat(shift))
    return tf.cast(tf.clip_by_value(stretched, 0.0, 255.0), tf.uint8)


def equalize(image: tf.Tensor) -> tf.Tensor:
    """Makes the values of each channel of a uint8 image about equally frequent."""
    channels = tf.shape(image)[-1]
    # One histogram and one table of 256 for each channel, one after the other.
    places = _by_channel(tf.cast(image, tf.int32), lambda rows, repeat: rows + repeat(256 * tf.range(channels)))
    counts = tf.math.bincount(places, minlength=256 * channels, maxlength=256 * channels)
    counts = tf.reshape(counts, [channels, 256])
    values = tf.range(256)
    last = tf.reduce_max(tf.where(counts > 0, values, 0), axis=1)
    of_last = tf.gather(counts, last, batch_dims=1)
    step = ((tf.reduce_sum(counts, axis=1) - of_last) // 255)[:, tf.newaxis]
    table = (tf.cumsum(counts, axis=1, exclusive=True) + step // 2) // tf.maximum(step, 1)
    table = tf.where(step > 0, tf.minimum(table, 255), values)
    equal = tf.gather(tf.reshape(tf.cast(table, tf.uint8), [-1]), places)
    equal.set_shape(image.shape)
    return equal


# By blending with something plainer: a factor of 0 gives the plain one, 1 the image, 2 the opposite of the plain one.


def brightness(image: tf.Tensor, factor: Amount) -> tf.Tensor:
    """Blends with black."""
    return _clipped(as_float(image) * factor)


def contrast(image: tf.Tensor, factor: Amount) -> tf.Tensor:
    """Blends with the gray of the image's mean luma."""
    image = as_float(image)
    mean = tf.floor(tf.reduce_mean(_luma(image)) + 0.5)
    return _clipped(mean + (image - mean) * factor)


def colour(image: tf.Tensor, factor: Amount) -> tf.Tensor:
    """Blends with the image in gray; a gray image stays as it is."""
    image = as_float(image)
    gray = _luma(image)
    return _clipped(gray + (image - gray) * factor)


def sharpness(image: tf.Tensor, factor: Amount) -> tf.Tensor:
    """Blends with the image smoothed over 3 x 3 pixels, but for the rim of one pixel; a smaller image stays."""
    image = as_float(image)
    if any(side is not None and side < 3 for side in image.shape[:2]):
        return image
    channels = image.shape[-1] or tf.shape(image)[-1]
    weights = tf.constant([[1.0, 1.0, 1.0], [1.0, 5.0, 1.0], [1.0, 1.0, 1.0]]) / 13.0
    kernel = tf.tile(weights[..., tf.newaxis, tf.newaxis], [1, 1, channels, 1])
    size = shape_of(image)[:2]

    def sharpened() -> tf.Tensor:
        smooth = tf.nn.depthwise_conv2d(image[tf.newaxis], kernel, [1, 1, 1, 1], "VALID")[0]
        rim = tf.pad(image[1:-1, 1:-1] - smooth, [[1, 1], [1, 1], [0, 0]])  # the difference is 0 there
        return _clipped(image + rim * (factor - 1.0))

    result = tf.cond(tf.reduce_all(size >= 3), sharpened, lambda: image)
    result.set_shape(image.shape)
    return result


def blur(image: tf.Tensor, sigma: Amount, radius: int) -> tf.Tensor:
    """Blurs by a Gaussian of standard deviation `sigma` pixels, cut off at `radius` pixels; the rims are mirrored."""
    image = as_float(image)
    channels = image.shape[-1] or tf.shape(image)[-1]
    distance = tf.range(-radius, radius + 1, dtype=tf.float32)
    weights = tf.nn.softmax(-0.5 * (distance / sigma) ** 2)
    padded = _mirrored(_mirrored(image, radius, 0), radius, 1)
    for shape in ([-1, 1, 1, 1], [1, -1, 1, 1]):
        kernel = tf.tile(tf.reshape(weights, shape), [1, 1, channels, 1])
        padded = tf.nn.depthwise_conv2d(padded[tf.newaxis], kernel, [1, 1, 1, 1], "VALID")[0]
    padded.set_shape(image.shape)
    return padded


def _mirrored(image: tf.Tensor, radius: int, axis: int) -> tf.Tensor:
    """Adds `radius` rows or columns on both sides, mirrored as often as it takes (`tf.pad` needs a larger image)."""
    size = shape_of(image)[axis]
    place = tf.range(-radius, size + radius) % (2 * size)
    return tf.gather(image, tf.minimum(place, 2 * size - 1 - place), axis=axis)


def _by_channel(image: tf.Tensor, function: Callable[..., tf.Tensor]) -> tf.Tensor:
    """Returns `function(rows, repeat)`, `rows` [h, w * c] and `repeat` from a value for each channel to one of a row.

    TensorFlow broadcasts slowly where the last axis is as short as an image's.
    """
    shape, width = tf.shape(image), tf.shape(image)[1]
    rows = tf.reshape(image, [shape[0], -1])
    result = tf.reshape(function(rows, lambda values: tf.tile(values, [width])), shape)
    result.set_shape(image.shape)
    return result


def _luma(image: tf.Tensor) -> tf.Tensor:
    """Returns float32 [h, w, 1], rounded."""
    if image.shape[-1] == 1:
        return image
    if image.shape[-1] is None:  # 1 or 3: a gray image counts as three equal channels
        image = tf.gather(image, tf.minimum(tf.range(3), tf.shape(image)[-1] - 1), axis=-1)
    return tf.floor(weighted_sum(image, _LUMA) + 0.5)


def _clipped(image: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(image, 0.0, 255.0)
