"""Geometry and normalization: each op takes and gives one image, uint8 or float32 on the scale 0..255.

Resizing is TensorFlow 1's: output pixel i samples source coordinate `i * in / out`, no half-pixel offset, no
antialiasing. Published weights were trained and evaluated that way; `tf.image.resize` samples elsewhere.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from common.errors import UserError
from preprocessing.core import as_float, if_colour, op, pixel_op, random_op, random_pixel_op, shape_of, window_op

WHOLE_IMAGE = ((0.0, 0.0, 1.0, 1.0),)
_RESIZE_KERNELS: dict[str, Callable[..., tf.Tensor]] = {
    "bilinear": tf.raw_ops.ResizeBilinear,
    "nearest": tf.raw_ops.ResizeNearestNeighbor,
    "bicubic": tf.raw_ops.ResizeBicubic,
    "area": tf.raw_ops.ResizeArea,
}


# Geometry.


@window_op(random=True)
def distorted_crop(
    shape: tf.Tensor,
    seed: tf.Tensor,
    bbox: tf.Tensor | None = None,
    min_object_covered: float = 0.1,
    aspect_ratio_range: tuple[float, float] = (0.75, 1.33),
    area_range: tuple[float, float] = (0.05, 1.0),
    max_attempts: int = 100,
) -> tf.Tensor:
    """Cuts a random window of random area and aspect (Szegedy et al. 2014, arXiv:1409.4842; Slim's inception).

    Args:
      bbox: float32 [1, N, 4] of (ymin, xmin, ymax, xmax) in [0, 1]; None is one box that covers the image.
      min_object_covered: the least part of some box that the window holds.
      aspect_ratio_range: width / height.
      area_range: of the window, as a part of the image.
      max_attempts: after as many the whole image is taken.
    """
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        shape,
        tf.constant([WHOLE_IMAGE]) if bbox is None else bbox,
        seed,
        min_object_covered=min_object_covered,
        aspect_ratio_range=aspect_ratio_range,
        area_range=area_range,
        max_attempts=max_attempts,
        use_image_if_no_bounding_boxes=True,
    )
    return tf.concat([begin[:2], size[:2]], 0)


@window_op(random=False)
def central_crop(shape: tf.Tensor, _seed: None, fraction: float = 0.875) -> tf.Tensor:
    """Cuts the middle, `fraction` of each side; the offset is `int((side - side * fraction) / 2)`."""
    if not 0.0 < fraction <= 1.0:
        raise ValueError(f"central_crop: fraction must be in (0, 1], found {fraction}")
    size = tf.cast(shape[:2], tf.float64)
    offset = tf.cast((size - size * fraction) / 2.0, tf.int32)
    return tf.concat([offset, shape[:2] - 2 * offset], 0)


@window_op(random=False)
def central_window(shape: tf.Tensor, _seed: None, height: int, width: int) -> tf.Tensor:
    """Cuts the middle height x width; an image that is smaller is an error."""
    with tf.control_dependencies(_check_fits(shape, height, width)):
        return tf.concat([(shape[:2] - [height, width]) // 2, [height, width]], 0)


@window_op(random=True)
def random_crop(shape: tf.Tensor, seed: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Cuts height x width at an offset uniform over all that fit; an image that is smaller is an error."""
    with tf.control_dependencies(_check_fits(shape, height, width)):
        room = tf.cast(shape[:2] - [height, width] + 1, tf.float32)
    # The largest draw is 1 - 2**-23, so the product stays below `room` after rounding.
    offset = tf.cast(tf.random.stateless_uniform([2], seed) * room, tf.int32)
    return tf.concat([offset, [height, width]], 0)


def _check_fits(shape: tf.Tensor, height: int, width: int) -> list[tf.Operation]:
    """Raises, now or when the graph runs, if an image of `shape` is smaller than height x width."""
    message = (
        f"the image is smaller than the {height}x{width} crop (height x width): use a smaller output size, larger "
        "images, or for vgg a larger resize_side_min. Image shape:"
    )
    known = tf.get_static_value(shape)
    if known is None:
        return [tf.debugging.Assert(tf.reduce_all(shape[:2] >= [height, width]), [message, shape])]
    if known[0] < height or known[1] < width:
        raise UserError(f"{message} {known.tolist()}")
    return []


@op
def crop_or_pad(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Crops the middle or pads with zeros, each side on its own.

    The offset is `(in - out) // 2` for a crop and `(out - in) // 2` on top and left for padding.
    """
    shape = shape_of(image)
    target = tf.constant([height, width, 0]) + shape * [0, 0, 1]
    offset = tf.maximum((shape - target) // 2, 0)
    middle = tf.slice(image, offset, tf.minimum(shape, target))
    before = tf.maximum((target - shape) // 2, 0)
    after = tf.maximum(target - shape, 0) - before
    padded = tf.pad(middle, tf.stack([before, after], axis=1))
    padded.set_shape([height, width, image.shape[-1]])
    return padded


@op
def pad(image: tf.Tensor, padding: int) -> tf.Tensor:
    """Adds `padding` rows and columns of zeros on every side."""
    return tf.pad(image, [[padding, padding], [padding, padding], [0, 0]])


def _resize(image: tf.Tensor, size: tf.Tensor | tuple[int, int], method: str = "bilinear") -> tf.Tensor:
    # As float where the kernel keeps the type it is given, and where it would convert each pixel once for every pixel
    # that reads it.
    if method in ("nearest", "bilinear"):
        image = as_float(image)
    options = {} if method == "area" else {"half_pixel_centers": False}
    return _RESIZE_KERNELS[method](images=image[tf.newaxis], size=size, align_corners=False, **options)[0]


@op
def resize(image: tf.Tensor, height: int, width: int, method: str = "bilinear") -> tf.Tensor:
    """Resizes to height x width by TensorFlow 1's kernel; `method`: bilinear, nearest, bicubic (a = -0.75) or area."""
    if method not in _RESIZE_KERNELS:
        raise ValueError(f"resize: unknown method {method!r}; known: {', '.join(_RESIZE_KERNELS)}")
    return _resize(image, (height, width), method)


@random_op
def random_method_resize(image: tf.Tensor, seed: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Resizes to height x width by one of the four methods of `resize`, each with probability 1/4."""
    branches = [lambda method=method: _resize(image, (height, width), method) for method in _RESIZE_KERNELS]
    choice = tf.random.stateless_uniform([], seed, minval=0, maxval=len(branches), dtype=tf.int32)
    return tf.switch_case(choice, branches)


def _resize_smaller_side(image: tf.Tensor, side: tf.Tensor | int) -> tf.Tensor:
    size = tf.cast(shape_of(image)[:2], tf.float32)
    scale = tf.cast(side, tf.float32) / tf.reduce_min(size)
    resized = _resize(image, tf.cast(tf.round(size * scale), tf.int32))
    resized.set_shape([None, None, image.shape[-1]])
    return resized


@op
def resize_smaller_side(image: tf.Tensor, side: int) -> tf.Tensor:
    """Resizes so that the smaller side is `side` pixels; the other is rounded half to even (Slim's vgg)."""
    return _resize_smaller_side(image, side)


@random_op
def random_resize_smaller_side(image: tf.Tensor, seed: tf.Tensor, min_side: int, max_side: int) -> tf.Tensor:
    """Resizes the smaller side to a whole number of pixels uniform in [min_side, max_side] (VGG, arXiv:1409.1556)."""
    side = tf.random.stateless_uniform([], seed, minval=min_side, maxval=max_side + 1, dtype=tf.int32)
    return _resize_smaller_side(image, side)


def _draw_uniform(seed: tf.Tensor, **_: Any) -> tf.Tensor:
    return tf.random.stateless_uniform([], seed)


def _flip_fused(image: tf.Tensor, draw: tf.Tensor, probability: float) -> tf.Tensor:
    return tf.where(draw < probability, tf.reverse(image, [1]), image)


@random_pixel_op(_draw_uniform, _flip_fused, passes=1)
def flip_left_right(image: tf.Tensor, seed: tf.Tensor, probability: float = 0.5) -> tf.Tensor:
    """Mirrors the image with `probability`."""
    flipped = tf.cond(_draw_uniform(seed) < probability, lambda: tf.reverse(image, [1]), lambda: image)
    flipped.set_shape(image.shape)
    return flipped


# Normalization: float 0..255 [..., h, w, c] -> a network's range.


@pixel_op
def scale_and_shift(image: tf.Tensor, scale: float, shift: float) -> tf.Tensor:
    """Returns `image * scale + shift`."""
    return as_float(image) * scale + shift


@pixel_op
def subtract_means(image: tf.Tensor, means: tuple[float, float, float]) -> tf.Tensor:
    """Subtracts one mean per channel; from a gray image the mean of the three, where Slim fails."""
    return if_colour(as_float(image), lambda rgb: rgb - list(means), lambda gray: gray - sum(means) / len(means))


@op
def standardize(image: tf.Tensor) -> tf.Tensor:
    """Returns `(x - mean) / max(stddev, 1 / sqrt(n))` over the n values of each image."""
    return tf.image.per_image_standardization(image)
