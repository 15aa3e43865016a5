"""The arithmetic of batch normalisation: the fused op, and the same composed of plain ops."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf


class Call(NamedTuple):
    """One call's variables and settings."""

    gamma: Any  # None: 1
    beta: Any  # None: 0
    moving_mean: Any
    moving_variance: Any
    channels: int
    epsilon: float
    decay: Any  # float, or scalar tensor
    is_training: Any  # bool, or bool tensor
    training: bool | None  # what the graph building knows of is_training
    channels_first: bool


class Moments(NamedTuple):
    """The statistics before a call (`old_...`, one read of each variable) and what to move them to.

    `mixed`: `mean` and `variance` are already the new moving averages; otherwise they are those of the batch (equal to
    the old ones in inference mode).
    """

    old_mean: tf.Tensor
    old_variance: tf.Tensor
    mean: tf.Tensor
    variance: tf.Tensor
    mixed: bool


@functools.cache
def _constant(value: float, channels: int) -> np.ndarray:
    # Becomes one Const node of the fused op, where tf.ones would make three for a wide layer.
    return np.full([channels], value, np.float32)


def fused(inputs: tf.Tensor, call: Call, mix: bool) -> tuple[tf.Tensor, Moments | None]:
    """The fused op on rank 2, 4 or 5. The batch variance that comes out is Bessel-corrected, as cuDNN gives it.

    Args:
      inputs: float32 or half-precision.
      mix: let the op itself compute the moving averages, where the decay is a plain number.

    Returns:
      The normalised inputs, and the moments (None in inference mode).
    """
    if inputs.shape.rank == 2:
        layout, shaped = "NHWC", tf.reshape(inputs, [-1, 1, 1, call.channels])
    else:
        layout = {4: ("NHWC", "NCHW"), 5: ("NDHWC", "NCDHW")}[inputs.shape.rank][call.channels_first]
        shaped = inputs
    scale = _constant(1.0, call.channels) if call.gamma is None else call.gamma
    offset = _constant(0.0, call.channels) if call.beta is None else call.beta
    old_mean = tf.convert_to_tensor(call.moving_mean)
    old_variance = tf.convert_to_tensor(call.moving_variance)
    mix = mix and not tf.is_tensor(call.decay)

    def run(training: bool) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        results = tf.raw_ops.FusedBatchNormV3(
            x=shaped,
            scale=scale,
            offset=offset,
            mean=old_mean,
            variance=old_variance,
            epsilon=call.epsilon,
            exponential_avg_factor=1.0 - call.decay if mix and training else 1.0,
            data_format=layout,
            is_training=training,
        )
        if training:
            return results.y, results.batch_mean, results.batch_variance
        return results.y, old_mean, old_variance

    if call.training is None:
        outputs, mean, variance = tf.cond(call.is_training, lambda: run(True), lambda: run(False))
    else:
        outputs, mean, variance = run(call.training)
    if shaped is not inputs:
        outputs = tf.reshape(outputs, [-1, call.channels])
        outputs.set_shape(inputs.shape)
    return outputs, None if call.training is False else Moments(old_mean, old_variance, mean, variance, mix)


def _broadcast(value: Any, shape: Sequence[int] | None) -> Any:
    return value if shape is None or value is None else tf.reshape(value, shape)


def composed(
    inputs: tf.Tensor, call: Call, batch_weights: Any = None, transform: Any = None
) -> tuple[tf.Tensor, Moments | None]:
    """The same of plain ops for any rank from 2; the variance is the biased one throughout.

    Args:
      inputs: floating tensor; half precision is computed in the parameters' type.
      batch_weights: None, or a tensor of shape [batch] (broadcast over the other axes) weighing the examples.
      transform: None, or called with the batch's mean and variance; returns a factor and an offset [channels] for the
        normalised values (batch renormalisation).

    Returns:
      The normalised inputs, and the moments (None in inference mode).
    """
    rank = inputs.shape.rank
    old_mean = tf.convert_to_tensor(call.moving_mean)
    old_variance = tf.convert_to_tensor(call.moving_variance)
    values = tf.cast(inputs, old_mean.dtype)
    axes = [0, *range(2, rank)] if call.channels_first else list(range(rank - 1))
    shape = [1, call.channels, *([1] * (rank - 2))] if call.channels_first and rank > 2 else None

    def batch() -> tuple[tf.Tensor, tf.Tensor]:
        if batch_weights is None:
            return tf.nn.moments(values, axes)
        weights = tf.cast(tf.convert_to_tensor(batch_weights), values.dtype)
        return tf.nn.weighted_moments(values, axes, tf.reshape(weights, [-1] + [1] * (rank - 1)))

    if call.training is None:
        mean, variance = tf.cond(call.is_training, batch, lambda: (old_mean, old_variance))
    else:
        mean, variance = batch() if call.training else (old_mean, old_variance)
    gamma, beta = call.gamma, call.beta
    if transform is not None and call.training is not False:
        factor, offset = transform(mean, variance)
        gamma, beta = _compose(gamma, beta, factor, offset)
    outputs = tf.nn.batch_normalization(
        values,
        _broadcast(mean, shape),
        _broadcast(variance, shape),
        _broadcast(beta, shape),
        _broadcast(gamma, shape),
        call.epsilon,
    )
    outputs = tf.cast(outputs, inputs.dtype)
    outputs.set_shape(inputs.shape)
    return outputs, None if call.training is False else Moments(old_mean, old_variance, mean, variance, False)


def _compose(gamma: Any, beta: Any, factor: tf.Tensor, offset: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """gamma and beta of (x * factor + offset) * gamma + beta."""
    if gamma is not None:
        offset = offset * gamma
        factor = factor * gamma
    return factor, offset if beta is None else offset + beta
