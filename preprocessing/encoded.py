"""From encoded bytes to a network's input.

Where a recipe starts with a crop, a JPEG is cropped while it is decoded.
"""

from typing import Any

import tensorflow as tf

from preprocessing import augmented, core, fused, recipes
from preprocessing.augmentation import Augmentation
from preprocessing.colour_ops import LUMA
from preprocessing.core import Op, byte_range, cut_window, op_seeds, traced_as_is, weighted_sum

# A JPEG's colour is stored at half resolution and smoothed as it is scaled up, so a pixel at the rim of a decoded
# window needs the one beside it to come out as it does in the whole image.
_JPEG_MARGIN = 1
_PNG_START = b"\x89PNG"


@traced_as_is
def decode(encoded: tf.Tensor, channels: int = 3) -> tf.Tensor:
    """Decodes an image.

    Args:
      encoded: scalar string: JPEG, PNG, BMP or GIF (its first frame); WebP where TensorFlow reads it.
      channels: 1 or 3; the image is converted.

    Returns:
      uint8 [h, w, channels].

    Raises:
      tf.errors.InvalidArgumentError: the bytes cannot be decoded; the message is TensorFlow's.
    """
    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 or 3, found {channels}")
    encoded = tf.convert_to_tensor(encoded)
    if channels == 3:
        image = _decode(encoded, 3)
    else:
        image = tf.cond(_decodes_to_gray(encoded), lambda: _decode(encoded, 1), lambda: _to_gray(_decode(encoded, 3)))
    image.set_shape([None, None, channels])
    return image


def _decode(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    return tf.io.decode_image(encoded, channels=channels, expand_animations=False)


def _decodes_to_gray(encoded: tf.Tensor) -> tf.Tensor:
    """Tells if TensorFlow gives one channel on its own: JPEG other than CMYK, and PNG."""
    return tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.io.extract_jpeg_shape(encoded)[2] <= 3,
        lambda: tf.strings.substr(encoded, 0, len(_PNG_START)) == _PNG_START,
    )


def _to_gray(image: tf.Tensor) -> tf.Tensor:
    gray = weighted_sum(tf.cast(image, tf.float32), LUMA)
    return tf.cast(tf.round(gray), tf.uint8)


@traced_as_is
def decode_window(encoded: tf.Tensor, channels: int, op: Op, seed: tf.Tensor | None = None) -> tf.Tensor:
    """Decodes what `op`, an op that cuts a window, would leave of the image; pixel for pixel the same.

    Args:
      encoded: scalar string; of a JPEG only the window is decoded, anything else is decoded whole and cut.
      channels: 1 or 3.
      op: an op with a window (`distorted_crop`, `central_crop`, ...).
      seed: int [2] for the op's draw.

    Returns:
      uint8 [window height, window width, channels].
    """
    encoded = tf.convert_to_tensor(encoded)

    def jpeg() -> tf.Tensor:
        shape = tf.io.extract_jpeg_shape(encoded)
        y, x, height, width = tf.unstack(op.window(shape, seed))
        left = tf.maximum(x - _JPEG_MARGIN, 0)
        right = tf.minimum(x + width + _JPEG_MARGIN, shape[1])
        image = tf.io.decode_and_crop_jpeg(encoded, tf.stack([y, left, height, right - left]), channels=channels)
        return cut_window(image, tf.stack([0, x - left, height, width]))

    def other() -> tf.Tensor:
        return op(decode(encoded, channels), seed)

    crops = tf.io.is_jpeg(encoded) if channels == 3 else _is_gray_jpeg(encoded)
    image = tf.cond(crops, jpeg, other)
    image.set_shape([None, None, channels])
    return image


def _is_gray_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    """Tells a JPEG that TensorFlow decodes to one channel."""
    return tf.logical_and(tf.io.is_jpeg(encoded), _decodes_to_gray(encoded))


@traced_as_is
def preprocess_encoded(
    encoded: tf.Tensor,
    name: str,
    height: int,
    width: int,
    is_training: bool = False,
    channels: int = 3,
    seed: tf.Tensor | None = None,
    augmentation: Augmentation | None = None,
    fuse: bool = False,
    **options: Any,
) -> tf.Tensor:
    """Decodes and preprocesses one image: the same as `decode` and then the recipe, with less decoding.

    Args:
      encoded: scalar string, see `decode`; or what `decode` made of it, uint8 [h, w, channels].
      name: a recipe or one of Slim's network names.
      height: output height in pixels.
      width: output width in pixels.
      is_training: True for the random training chain.
      channels: 1 or 3, of the decoded image.
      seed: int [2] that decides every random draw; None draws afresh.
      augmentation: what training does instead of the recipe's own random steps; None leaves them.
      fuse: compile what can be (`preprocessing.fused`): faster, and equal up to float32's rounding.
      **options: the recipe's own, and without `augmentation` also `extra_ops` (`Recipe.ops`).

    Returns:
      float32 [height, width, channels] in the recipe's range.

    Raises:
      tf.errors.InvalidArgumentError: the bytes cannot be decoded; the message is TensorFlow's.
    """
    recipe = recipes.get(name)
    if is_training and augmentation is not None:
        ops = augmented.chain(recipe, augmentation, height, width, **options)
    else:
        ops = recipe.ops(height, width, is_training, **options)
    seeds = op_seeds(ops, seed)
    run = fused.run if fuse else core.run
    encoded = tf.convert_to_tensor(encoded)
    if encoded.dtype == tf.uint8:
        return run(ops, tf.ensure_shape(encoded, [None, None, channels]), seeds)
    if ops[0].find_window is None:
        return run(ops, byte_range(decode(encoded, channels), recipe.unit_floats), seeds)
    return run(ops[1:], decode_window(encoded, channels, ops[0], seeds[0]), seeds[1:])
