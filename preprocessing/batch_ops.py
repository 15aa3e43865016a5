"""Mixup and cutmix: operations on a batch, which change images and labels together.

They are done in the training step, on the device that trains: the pipeline then makes single images as ever, and what
measures images as they are (batch norm's averages) gets them unmixed. An example's partner is the next one of the
batch, whose order is random already.
"""

from collections.abc import Sequence

import tensorflow as tf

from preprocessing.augmentation import Step
from preprocessing.core import derive_seed


def mix(
    steps: Sequence[Step], images: tf.Tensor, labels: tf.Tensor, num_classes: int, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Does one of `steps`, drawn uniformly for the batch, to each image with the step's probability.

    Args:
      steps: the batch stage of an augmentation; none leave everything as it is.
      images: float [N, H, W, C].
      labels: int [N], -1 none of the classes, or float [N, K].
      num_classes: K.
      seed: int [2] that decides everything: (seed of the run, step).

    Returns:
      Images as given and, where there are steps, labels as float32 [N, K]: an example's classes count by their shares.
    """
    if not steps:
        return images, labels
    if not labels.dtype.is_floating:
        labels = tf.one_hot(labels, num_classes)
    functions = {"mixup": mixup, "cutmix": cutmix}
    branches = [
        lambda step=step: functions[step.operation.name](images, labels, seed, **step.arguments) for step in steps
    ]
    if len(branches) == 1:
        return branches[0]()
    choice = tf.random.stateless_uniform([], derive_seed(seed, "mix"), 0, len(branches), dtype=tf.int32)
    mixed, shared = tf.switch_case(choice, branches)
    mixed.set_shape(images.shape)
    shared.set_shape(labels.shape)
    return mixed, shared


def mixup(
    images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, alpha: float = 0.2, probability: float = 1.0
) -> tuple[tf.Tensor, tf.Tensor]:
    """Blends each example with its partner (Zhang et al. 2018, arXiv:1710.09412).

    Args:
      images: float [N, H, W, C].
      labels: float [N, K].
      seed: int [2].
      alpha: an example keeps a share drawn from Beta(alpha, alpha), its own for each.
      probability: of an example to be blended at all.

    Returns:
      Images and labels, shapes and types as given.
    """
    seed = derive_seed(seed, "mixup")
    share = shares(images, seed, alpha, probability)
    return _blend(images, share), _blend(labels, share)


def cutmix(
    images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, alpha: float = 1.0, probability: float = 1.0
) -> tuple[tf.Tensor, tf.Tensor]:
    """Pastes a rectangle of each example's partner over it (Yun et al. 2019, arXiv:1905.04899).

    The rectangle has the image's shape, an area of 1 less a share from Beta(alpha, alpha), and its middle anywhere.
    What lies outside the image is cut off, and the labels are shared by the areas that are seen.

    Args: see `mixup`.
    """
    seed = derive_seed(seed, "cutmix")
    share = shares(images, seed, alpha, probability)
    size = tf.cast(tf.shape(images)[1:3], tf.float32)
    extent = tf.round(size * tf.sqrt(1.0 - share)[:, tf.newaxis])  # [N, 2]
    middle = tf.random.stateless_uniform(tf.shape(extent), derive_seed(seed, "middle")) * size
    start = tf.round(middle - extent / 2.0)
    first, last = tf.clip_by_value(start, 0.0, size), tf.clip_by_value(start + extent, 0.0, size)
    y, x = (tf.range(size[i])[tf.newaxis] for i in (0, 1))
    in_y = tf.cast((y >= first[:, :1]) & (y < last[:, :1]), images.dtype)
    in_x = tf.cast((x >= first[:, 1:]) & (x < last[:, 1:]), images.dtype)
    # By arithmetic and with all channels of a row at once: select, and a last axis of 3, are slow on the CPU.
    pasted = in_y[:, :, tf.newaxis] * tf.repeat(in_x, tf.shape(images)[3], axis=1)[:, tf.newaxis]
    pasted = tf.reshape(pasted, tf.shape(images))
    covered = tf.reduce_prod(last - first, axis=1) / tf.reduce_prod(size)
    return images * (1.0 - pasted) + _partners(images) * pasted, _blend(labels, 1.0 - covered)


def shares(images: tf.Tensor, seed: tf.Tensor, alpha: float, probability: float) -> tf.Tensor:
    """Returns float32 [N], what each example keeps of itself: from Beta(alpha, alpha), or 1 where it is left alone."""
    count = tf.shape(images)[:1]
    # A beta variate is made of two gamma variates. In float64: those of a small alpha are often below float32's range.
    gammas = tf.random.stateless_gamma(
        tf.concat([[2], count], 0), derive_seed(seed, "share"), tf.constant(alpha, tf.float64), dtype=tf.float64
    )
    share = tf.cast(tf.math.divide_no_nan(gammas[0], gammas[0] + gammas[1]), tf.float32)
    if probability < 1.0:
        chosen = tf.random.stateless_uniform(count, derive_seed(seed, "chosen")) < probability
        share = tf.where(chosen, share, 1.0)
    return share


def _partners(values: tf.Tensor) -> tf.Tensor:
    return tf.roll(values, -1, axis=0)


def _blend(values: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """`share` [N] of each value and the rest of its partner's."""
    share = tf.reshape(tf.cast(share, values.dtype), [-1] + [1] * (values.shape.rank - 1))
    return values * share + _partners(values) * (1.0 - share)
