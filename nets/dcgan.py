"""DCGAN: a generator of square images from vectors, and the discriminator that it is trained against.

Radford et al. 2016, Unsupervised representation learning with deep convolutional generative adversarial networks,
https://arxiv.org/abs/1511.06434
"""

import math
from typing import Any

import tensorflow as tf

from nets import layers as slim
from nets.blocks import EndPoints, Outputs


def _halvings(size: int) -> int | None:
    """How often a power of two can be halved before it is 1; None for any other size."""
    exponent = round(math.log2(size)) if size > 0 else 0
    return exponent if 2**exponent == size else None


def _layers_for(inputs: tf.Tensor) -> int:
    """How many convolutions reduce square images to one place; ValueError unless the side is a power of two."""
    if inputs.shape.rank != 4 or None in inputs.shape[1:3].as_list():
        raise ValueError(
            f"the discriminator's images must be [batch, height, width, channels] with known sides, got {inputs.shape}"
        )
    height, width = inputs.shape[1:3]
    layers = _halvings(height)
    if height != width or layers is None:
        raise ValueError(
            f"the discriminator's images must be square with a power of two as side, got {height}x{width}; resize them"
        )
    return layers


def _batch_norm(is_training: Any, fused: bool) -> Any:
    return slim.arg_scope([slim.batch_norm], is_training=is_training, zero_debias_moving_mean=True, fused=fused)


def discriminator(
    inputs: tf.Tensor,
    depth: int = 64,
    is_training: bool = True,
    reuse: bool | None = None,
    scope: str = "Discriminator",
    fused_batch_norm: bool = False,
) -> Outputs:
    """DCGAN's discriminator: strided convolutions until one place is left.

    Args:
      inputs: float32 [batch, side, side, channels]; the side is a power of two.
      depth: channels of the first convolution; each further one has twice as many.
      is_training: batch norm in training mode.
      reuse: whether the variables exist already.
      scope: variable scope.
      fused_batch_norm: use the fused op, which is faster and averages the Bessel-corrected variance.

    Returns:
      (logits [batch, 1], positive for images taken for real; end points `conv1` ... `conv<log2(side)>`, `logits`).

    Raises:
      ValueError: unknown sides, or images that are not square with a power of two as side.
    """
    layers = _layers_for(inputs)
    end_points: EndPoints = {}
    with tf.compat.v1.variable_scope(scope, values=[inputs], reuse=reuse):
        with _batch_norm(is_training, fused_batch_norm):
            net = inputs
            for i in range(layers):
                name = f"conv{i + 1}"
                net = end_points[name] = slim.conv2d(
                    net,
                    depth * 2**i,
                    [4, 4],
                    stride=2,
                    activation_fn=tf.nn.leaky_relu,
                    normalizer_fn=slim.batch_norm if i else None,
                    scope=name,
                )
            logits = slim.conv2d(net, 1, [1, 1], padding="VALID", activation_fn=None, normalizer_fn=None)
            end_points["logits"] = tf.reshape(logits, [-1, 1])
    return end_points["logits"], end_points


def generator(
    inputs: tf.Tensor,
    depth: int = 64,
    final_size: int = 32,
    num_outputs: int = 3,
    is_training: bool = True,
    reuse: bool | None = None,
    scope: str = "Generator",
    fused_batch_norm: bool = False,
) -> Outputs:
    """DCGAN's generator: transposed convolutions, from a vector to an image.

    Args:
      inputs: float32 [batch, numbers], random vectors.
      depth: channels of the last transposed convolution; each one before has twice as many.
      final_size: side of the images, a power of two, at least 8.
      num_outputs: channels of the images.
      is_training: batch norm in training mode.
      reuse: whether the variables exist already.
      scope: variable scope.
      fused_batch_norm: use the fused op, which is faster and averages the Bessel-corrected variance.

    Returns:
      (images [batch, final_size, final_size, num_outputs], not confined to any range: apply tanh where the real ones
      are in [-1, 1]; end points `deconv1` ... `deconv<log2(final_size) - 1>`, `logits`).

    Raises:
      ValueError: inputs of another rank, or a `final_size` that is below 8 or no power of two.
    """
    if inputs.shape.rank != 2:
        raise ValueError(f"the generator's inputs must be [batch, numbers], got {inputs.shape}")
    halvings = _halvings(final_size)
    if halvings is None or final_size < 8:
        raise ValueError(f"final_size must be a power of two and at least 8, not {final_size}")
    layers = halvings - 1
    end_points: EndPoints = {}
    with tf.compat.v1.variable_scope(scope, values=[inputs], reuse=reuse):
        with _batch_norm(is_training, fused_batch_norm):
            net = inputs[:, tf.newaxis, tf.newaxis]
            for i in range(1, layers + 1):
                name = f"deconv{i}"
                first, last = i == 1, i == layers
                net = end_points[name] = slim.conv2d_transpose(
                    net,
                    depth * 2 ** (layers - i),
                    [4, 4],
                    stride=1 if first else 2,
                    padding="VALID" if first else "SAME",
                    activation_fn=None if last else tf.nn.relu,
                    normalizer_fn=None if last else slim.batch_norm,
                    scope=name,
                )
            end_points["logits"] = slim.conv2d(
                net, num_outputs, [1, 1], padding="VALID", activation_fn=None, normalizer_fn=None, scope="logits"
            )
    return end_points["logits"], end_points
