"""Inception v4."""

import tensorflow as tf

from common import published
from nets import layers as slim
from nets import registry
from nets.blocks import Outputs
from nets.inception_utils import (
    Branches,
    Conv,
    Fork,
    Module,
    Pool,
    auxiliary_classifier,
    build_base,
    build_branches,
    inception_arg_scope,
    mean_of_map,
)

inception_v4_arg_scope = inception_arg_scope

_INCEPTION_A = (
    (Conv("Conv2d_0a_1x1", 96),),
    (Conv("Conv2d_0a_1x1", 64), Conv("Conv2d_0b_3x3", 96)),
    (Conv("Conv2d_0a_1x1", 64), Conv("Conv2d_0b_3x3", 96), Conv("Conv2d_0c_3x3", 96)),
    (Pool("AvgPool_0a_3x3"), Conv("Conv2d_0b_1x1", 96)),
)

_REDUCTION_A = (
    (Conv("Conv2d_1a_3x3", 384, stride=2, padding="VALID"),),
    (
        Conv("Conv2d_0a_1x1", 192),
        Conv("Conv2d_0b_3x3", 224),
        Conv("Conv2d_1a_3x3", 256, stride=2, padding="VALID"),
    ),
    (Pool("MaxPool_1a_3x3", stride=2, padding="VALID"),),
)

_INCEPTION_B = (
    (Conv("Conv2d_0a_1x1", 384),),
    (Conv("Conv2d_0a_1x1", 192), Conv("Conv2d_0b_1x7", 224), Conv("Conv2d_0c_7x1", 256)),
    (
        Conv("Conv2d_0a_1x1", 192),
        Conv("Conv2d_0b_7x1", 192),
        Conv("Conv2d_0c_1x7", 224),
        Conv("Conv2d_0d_7x1", 224),
        Conv("Conv2d_0e_1x7", 256),
    ),
    (Pool("AvgPool_0a_3x3"), Conv("Conv2d_0b_1x1", 128)),
)

_REDUCTION_B = (
    (Conv("Conv2d_0a_1x1", 192), Conv("Conv2d_1a_3x3", 192, stride=2, padding="VALID")),
    (
        Conv("Conv2d_0a_1x1", 256),
        Conv("Conv2d_0b_1x7", 256),
        Conv("Conv2d_0c_7x1", 320),
        Conv("Conv2d_1a_3x3", 320, stride=2, padding="VALID"),
    ),
    (Pool("MaxPool_1a_3x3", stride=2, padding="VALID"),),
)

_INCEPTION_C = (
    (Conv("Conv2d_0a_1x1", 256),),
    (Conv("Conv2d_0a_1x1", 384), Fork([Conv("Conv2d_0b_1x3", 256), Conv("Conv2d_0c_3x1", 256)])),
    (
        Conv("Conv2d_0a_1x1", 384),
        Conv("Conv2d_0b_3x1", 448),
        Conv("Conv2d_0c_1x3", 512),
        Fork([Conv("Conv2d_0d_1x3", 256), Conv("Conv2d_0e_3x1", 256)]),
    ),
    (Pool("AvgPool_0a_3x3"), Conv("Conv2d_0b_1x1", 256)),
)

_STEM = (
    Conv("Conv2d_1a_3x3", 32, stride=2, padding="VALID"),
    Conv("Conv2d_2a_3x3", 32, padding="VALID"),
    Conv("Conv2d_2b_3x3", 64),
    Module(
        "Mixed_3a",
        (
            (Pool("MaxPool_0a_3x3", stride=2, padding="VALID"),),
            (Conv("Conv2d_0a_3x3", 96, stride=2, padding="VALID"),),
        ),
    ),
    Module(
        "Mixed_4a",
        (
            (Conv("Conv2d_0a_1x1", 64), Conv("Conv2d_1a_3x3", 96, padding="VALID")),
            (
                Conv("Conv2d_0a_1x1", 64),
                Conv("Conv2d_0b_1x7", 64),
                Conv("Conv2d_0c_7x1", 64),
                Conv("Conv2d_1a_3x3", 96, padding="VALID"),
            ),
        ),
    ),
    Module(
        "Mixed_5a",
        (
            (Conv("Conv2d_1a_3x3", 192, stride=2, padding="VALID"),),
            (Pool("MaxPool_1a_3x3", stride=2, padding="VALID"),),
        ),
    ),
)

_TABLE = (
    *_STEM,
    *(Module(f"Mixed_5{letter}", _INCEPTION_A) for letter in "bcde"),
    Module("Mixed_6a", _REDUCTION_A),
    *(Module(f"Mixed_6{letter}", _INCEPTION_B) for letter in "bcdefgh"),
    Module("Mixed_7a", _REDUCTION_B),
    *(Module(f"Mixed_7{letter}", _INCEPTION_C) for letter in "bcd"),
)


def _block(inputs: tf.Tensor, branches: Branches, scope: str | None, default_scope: str, reuse: bool | None):
    with tf.compat.v1.variable_scope(scope, default_scope, [inputs], reuse=reuse):
        return build_branches(inputs, branches)


def block_inception_a(inputs: tf.Tensor, scope: str | None = None, reuse: bool | None = None) -> tf.Tensor:
    """Inception-A: [batch, height, width, any] -> [batch, height, width, 384]. In the network at 35x35."""
    return _block(inputs, _INCEPTION_A, scope, "BlockInceptionA", reuse)


def block_reduction_a(inputs: tf.Tensor, scope: str | None = None, reuse: bool | None = None) -> tf.Tensor:
    """Reduction-A: [batch, height, width, c] -> [batch, (height - 1) // 2, (width - 1) // 2, c + 640]."""
    return _block(inputs, _REDUCTION_A, scope, "BlockReductionA", reuse)


def block_inception_b(inputs: tf.Tensor, scope: str | None = None, reuse: bool | None = None) -> tf.Tensor:
    """Inception-B: [batch, height, width, any] -> [batch, height, width, 1024]. In the network at 17x17."""
    return _block(inputs, _INCEPTION_B, scope, "BlockInceptionB", reuse)


def block_reduction_b(inputs: tf.Tensor, scope: str | None = None, reuse: bool | None = None) -> tf.Tensor:
    """Reduction-B: [batch, height, width, c] -> [batch, (height - 1) // 2, (width - 1) // 2, c + 512]."""
    return _block(inputs, _REDUCTION_B, scope, "BlockReductionB", reuse)


def block_inception_c(inputs: tf.Tensor, scope: str | None = None, reuse: bool | None = None) -> tf.Tensor:
    """Inception-C: [batch, height, width, any] -> [batch, height, width, 1536]. In the network at 8x8."""
    return _block(inputs, _INCEPTION_C, scope, "BlockInceptionC", reuse)


def inception_v4_base(
    inputs: tf.Tensor,
    final_endpoint: str = "Mixed_7d",
    scope: str | tf.compat.v1.VariableScope | None = None,
) -> Outputs:
    """Inception v4 up to an end point.

    Args:
      inputs: float32 [batch, height, width, 3].
      final_endpoint: last layer to build: Conv2d_1a_3x3, Conv2d_2a_3x3, Conv2d_2b_3x3, Mixed_3a, Mixed_4a,
        Mixed_5a ... Mixed_5e, Mixed_6a ... Mixed_6h, Mixed_7a ... Mixed_7d.
      scope: variable scope.

    Returns:
      (the last layer's output, end points of all layers).

    Raises:
      ValueError: unknown `final_endpoint`, or images that are too small.
    """
    with tf.compat.v1.variable_scope(scope, "InceptionV4", [inputs]):
        return build_base(inputs, _TABLE, final_endpoint)


@registry.network(
    "inception_v4",
    image_size=299,
    preprocessing="inception",
    arg_scope=inception_v4_arg_scope,
    head_scopes=("InceptionV4/Logits", "InceptionV4/AuxLogits"),
    features="global_pool",
    checkpoint=published.get("inception_v4_2016_09_09"),
    parameters=42_649_769,
    multiply_adds=12_253_976_160,
    paper="Szegedy et al. 2016, Inception-v4, Inception-ResNet and the impact of residual connections on learning, "
    "arXiv:1602.07261",
)
def inception_v4(
    inputs: tf.Tensor,
    num_classes: int | None = 1001,
    is_training: bool = True,
    dropout_keep_prob: float = 0.8,
    reuse: bool | None = None,
    scope: str = "InceptionV4",
    create_aux_logits: bool = True,
) -> Outputs:
    """Inception v4, with an auxiliary classifier.

    80.2 % top-1, 95.2 % top-5 on ImageNet. Szegedy et al. 2016, https://arxiv.org/abs/1602.07261

    Args:
      inputs: float32 [batch, height, width, 3], 299 by default. Height and width may be unknown with
        `create_aux_logits=False`.
      num_classes: 0 or None returns the features, [batch, 1, 1, 1536], and builds no auxiliary classifier.
      is_training: dropout and batch norm in training mode.
      dropout_keep_prob: share of the features that dropout keeps.
      reuse: whether the variables exist already.
      scope: variable scope.
      create_aux_logits: whether to build the auxiliary classifier (in training and evaluation). A convolution of it
        covers its whole map, so its weights have another shape for another image size.

    Returns:
      (logits [batch, num_classes], end points by layer, `AuxLogits`, `global_pool`, `PreLogitsFlatten`, `Logits`,
      `Predictions`).

    Raises:
      ValueError: images that are too small, or of unknown size for the auxiliary classifier.
    """
    with tf.compat.v1.variable_scope(scope, "InceptionV4", [inputs], reuse=reuse) as variable_scope:
        with slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training):
            net, end_points = inception_v4_base(inputs, scope=variable_scope)
            if create_aux_logits and num_classes:
                end_points["AuxLogits"] = auxiliary_classifier(
                    end_points["Mixed_6h"], num_classes, conv_scope="Conv2d_2a", logits_scope="Aux_logits"
                )
            with tf.compat.v1.variable_scope("Logits"):
                net = end_points["global_pool"] = mean_of_map(net, "AvgPool_1a")
                if not num_classes:
                    return net, end_points
                net = slim.dropout(net, dropout_keep_prob, scope="Dropout_1b")
                net = end_points["PreLogitsFlatten"] = slim.flatten(net, scope="PreLogitsFlatten")
                logits = slim.fully_connected(net, num_classes, activation_fn=None, scope="Logits")
                end_points["Logits"] = logits
                end_points["Predictions"] = tf.nn.softmax(logits, name="Predictions")
    return logits, end_points
