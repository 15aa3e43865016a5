"""RandAugment and TrivialAugment: operations drawn from a list of 14.

RandAugment (Cubuk et al. 2020, arXiv:1909.13719) does N operations, each drawn uniformly, at one magnitude M for all.
Its scale is AutoAugment's: 10 is the end of each operation's range, 0 (nearly) no change; M may go beyond 10, as the
paper's does for large networks. What can be done in two directions takes one at random. Posterize and solarize get
stronger with M, and the enhancing operations move away from "no change" with M, where the paper's own code runs from
one extreme to the other.

TrivialAugment (Mueller and Hutter 2021, arXiv:2103.10158) does one of the same operations at a magnitude drawn
uniformly, over the paper's wide ranges.
"""

import dataclasses

import tensorflow as tf

from preprocessing import affine, fused, tones
from preprocessing.augmentation_ops import MEDIUM_GRAY
from preprocessing.core import as_float, derive_seed, random_op, traced_as_is

# In this order; the last five move pixels and share a kernel.
OPERATIONS = (
    "identity",
    "autocontrast",
    "equalize",
    "solarize",
    "posterize",
    "colour",
    "contrast",
    "brightness",
    "sharpness",
    "rotate",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
)
_MOVING = OPERATIONS[-5:]


@dataclasses.dataclass(frozen=True)
class Ranges:
    """The ends of the operations' ranges."""

    rotate: float  # degrees
    shear: float  # pixels to the side for each pixel down, or the other way round
    translate: float  # share of the side
    enhance: float  # factors of colour, contrast, brightness and sharpness are 1 - this or 1 + this
    posterize: int  # bits kept


RANDAUGMENT = Ranges(rotate=30.0, shear=0.3, translate=150 / 331, enhance=0.9, posterize=4)
# 32 pixels of the 224 of the paper's ImageNet runs.
TRIVIALAUGMENT = Ranges(rotate=135.0, shear=0.99, translate=32 / 224, enhance=0.99, posterize=2)


def distort(
    image: tf.Tensor, operation: tf.Tensor | int, strength: tf.Tensor | float, ranges: Ranges = RANDAUGMENT
) -> tf.Tensor:
    """Does one operation.

    Args:
      image: uint8 [h, w, c], c 1 or 3.
      operation: its number in `OPERATIONS`.
      strength: from -1 to 1, 1 the end of the range; the sign is the direction, where there are two. Beyond 1 goes
        farther.
      ranges: the ends of the ranges.

    Returns:
      uint8 [h, w, c]; what is moved in from outside is gray.
    """
    strength = tf.cast(strength, tf.float32)
    size = tf.abs(strength)
    factor = tf.maximum(1.0 + strength * ranges.enhance, 0.0)
    bits = 8 - tf.cast(tf.round(size * (8 - ranges.posterize)), tf.int32)

    def moved() -> tf.Tensor:
        amount = tf.one_hot(operation - (len(OPERATIONS) - len(_MOVING)), len(_MOVING)) * strength
        degrees, shear_x, shear_y, across, down = tf.unstack(amount)
        share = tf.stack([across, down]) * ranges.translate
        slant = tf.stack([[0.0, shear_x * ranges.shear, 0.0], [shear_y * ranges.shear, 0.0, 0.0]])
        inverse = affine.inverse_map(degrees * ranges.rotate, share, 0.0) + slant
        return fused.call(_move_fused, _move, image, inverse)

    branches = [
        lambda: image,
        lambda: tones.autocontrast(image),
        lambda: tones.equalize(image),
        lambda: tones.solarize(image, 256.0 * (1.0 - size)),
        lambda: tones.posterize(image, tf.maximum(bits, 1)),
        *(
            lambda enhance=enhance: tones.as_uint8(enhance(image, factor))
            for enhance in (tones.colour, tones.contrast, tones.brightness, tones.sharpness)
        ),
        moved,
    ]
    distorted = tf.switch_case(tf.minimum(operation, len(branches) - 1), branches)
    distorted.set_shape(image.shape)
    return distorted


def _move(image: tf.Tensor, inverse: tf.Tensor) -> tf.Tensor:
    return tones.as_uint8(affine.move(as_float(image), inverse, MEDIUM_GRAY))


def _move_fused(image: tf.Tensor, inverse: tf.Tensor) -> tf.Tensor:
    return tones.as_uint8(affine.move_by_gathering(as_float(image), inverse, MEDIUM_GRAY))


@random_op
def randaugment(image: tf.Tensor, seed: tf.Tensor, layers: int = 2, magnitude: float = 9.0) -> tf.Tensor:
    """Does `layers` operations at `magnitude` (10: the end of the ranges); gives float32, whole numbers."""
    operations = tf.random.stateless_uniform(
        [layers], derive_seed(seed, "operations"), 0, len(OPERATIONS), dtype=tf.int32
    )
    signs = tf.sign(tf.random.stateless_uniform([layers], derive_seed(seed, "signs"), -1.0, 1.0))
    strengths = signs * (magnitude / 10.0)
    image = tones.as_uint8(image)

    # Traced once, whatever the number of layers: the graph of all operations is not small.
    @tf.function(autograph=False)
    @traced_as_is
    def layer(image: tf.Tensor, operation: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
        return distort(image, operation, strength)

    for number in range(layers):
        shape = image.shape
        image = layer(image, operations[number], strengths[number])
        image.set_shape(shape)
    return as_float(image)


@random_op
def trivialaugment(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Does one operation at a random strength, over the wide ranges; gives float32, whole numbers."""
    operation = tf.random.stateless_uniform([], derive_seed(seed, "operations"), 0, len(OPERATIONS), dtype=tf.int32)
    strength = tf.random.stateless_uniform([], derive_seed(seed, "strengths"), -1.0, 1.0)
    return as_float(distort(tones.as_uint8(image), operation, strength, TRIVIALAUGMENT))
