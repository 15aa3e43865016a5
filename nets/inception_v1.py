"""Inception v1 (GoogLeNet) with batch normalization."""

from collections.abc import Callable

import tensorflow as tf

from common import published
from nets import layers as slim
from nets import registry
from nets.blocks import Outputs, squeeze_map, truncated_normal
from nets.inception_utils import Conv, Module, Pool, build_base, classifier, inception_arg_scope

inception_v1_arg_scope = inception_arg_scope


def _module(
    scope: str, b0: int, b1: tuple[int, int], b2: tuple[int, int], b3: int, b2_name: str = "Conv2d_0b_3x3"
) -> Module:
    return Module(
        scope,
        (
            (Conv("Conv2d_0a_1x1", b0),),
            (Conv("Conv2d_0a_1x1", b1[0]), Conv("Conv2d_0b_3x3", b1[1])),
            (Conv("Conv2d_0a_1x1", b2[0]), Conv(b2_name, b2[1])),
            (Pool("MaxPool_0a_3x3"), Conv("Conv2d_0b_1x1", b3)),
        ),
    )


_ROOT = (
    Conv("Conv2d_1a_7x7", 64, stride=2),
    Pool("MaxPool_2a_3x3", stride=2),
    Conv("Conv2d_2b_1x1", 64),
    Conv("Conv2d_2c_3x3", 192),
    Pool("MaxPool_3a_3x3", stride=2),
)

_MODULES = (
    _module("Mixed_3b", 64, (96, 128), (16, 32), 32),
    _module("Mixed_3c", 128, (128, 192), (32, 96), 64),
    Pool("MaxPool_4a_3x3", stride=2),
    _module("Mixed_4b", 192, (96, 208), (16, 48), 64),
    _module("Mixed_4c", 160, (112, 224), (24, 64), 64),
    _module("Mixed_4d", 128, (128, 256), (24, 64), 64),
    _module("Mixed_4e", 112, (144, 288), (32, 64), 64),
    _module("Mixed_4f", 256, (160, 320), (32, 128), 128),
    Pool("MaxPool_5a_2x2", stride=2),
    _module("Mixed_5b", 256, (160, 320), (32, 128), 128, b2_name="Conv2d_0a_3x3"),  # as published
    _module("Mixed_5c", 384, (192, 384), (48, 128), 128),
)


def inception_v1_base(
    inputs: tf.Tensor,
    final_endpoint: str = "Mixed_5c",
    include_root_block: bool = True,
    scope: str | tf.compat.v1.VariableScope | None = "InceptionV1",
) -> Outputs:
    """Inception v1 up to an end point.

    Args:
      inputs: float32 [batch, height, width, 3]; without the root block what `MaxPool_3a_3x3` gives.
      final_endpoint: last layer to build: Conv2d_1a_7x7, MaxPool_2a_3x3, Conv2d_2b_1x1, Conv2d_2c_3x3, MaxPool_3a_3x3,
        Mixed_3b, Mixed_3c, MaxPool_4a_3x3, Mixed_4b ... Mixed_4f, MaxPool_5a_2x2, Mixed_5b, Mixed_5c.
      include_root_block: False leaves out all before Mixed_3b.
      scope: variable scope.

    Returns:
      (the last layer's output, end points of all layers).

    Raises:
      ValueError: unknown `final_endpoint`.
    """
    table = (*_ROOT, *_MODULES) if include_root_block else _MODULES
    with tf.compat.v1.variable_scope(scope, "InceptionV1", [inputs]):
        with slim.arg_scope([slim.conv2d, slim.fully_connected], weights_initializer=truncated_normal(0.01)):
            return build_base(inputs, table, final_endpoint)


@registry.network(
    "inception_v1",
    image_size=224,
    preprocessing="inception",
    arg_scope=inception_v1_arg_scope,
    head_scopes="InceptionV1/Logits",
    features="AvgPool_0a_7x7",
    checkpoint=published.get("inception_v1_2016_08_28"),
    parameters=6_618_649,
    multiply_adds=1_498_377_216,
    paper="Szegedy et al. 2015, Going deeper with convolutions, arXiv:1409.4842",
)
def inception_v1(
    inputs: tf.Tensor,
    num_classes: int | None = 1000,
    is_training: bool = True,
    dropout_keep_prob: float = 0.8,
    prediction_fn: Callable[..., tf.Tensor] = slim.softmax,
    spatial_squeeze: bool = True,
    reuse: bool | None = None,
    scope: str = "InceptionV1",
    global_pool: bool = False,
) -> Outputs:
    """GoogLeNet with batch normalization and without auxiliary classifiers.

    69.8 % top-1, 89.6 % top-5 on ImageNet. Szegedy et al. 2015, https://arxiv.org/abs/1409.4842

    Args:
      inputs: float32 [batch, height, width, 3], 224 by default; smaller ones need `global_pool`.
      num_classes: 0 or None returns the features, [batch, 1, 1, 1024].
      is_training: dropout and batch norm in training mode.
      dropout_keep_prob: share of the features that dropout keeps.
      prediction_fn: makes probabilities of logits.
      spatial_squeeze: drop the logits' two axes of size one.
      reuse: whether the variables exist already.
      scope: variable scope.
      global_pool: average over the whole map rather than a 7x7 window; takes any input size.

    Returns:
      (logits [batch, num_classes], end points by layer, `AvgPool_0a_7x7` or `global_pool`, `Logits`, `Predictions`).
    """
    with tf.compat.v1.variable_scope(scope, "InceptionV1", [inputs], reuse=reuse) as variable_scope:
        with slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training):
            net, end_points = inception_v1_base(inputs, scope=variable_scope)
            with tf.compat.v1.variable_scope("Logits"):
                if global_pool:
                    net = end_points["global_pool"] = tf.reduce_mean(net, [1, 2], keepdims=True, name="global_pool")
                else:
                    net = slim.avg_pool2d(net, [7, 7], stride=1, padding="VALID", scope="AvgPool_0a_7x7")
                    end_points["AvgPool_0a_7x7"] = net
                if not num_classes:
                    return net, end_points
                net = slim.dropout(net, dropout_keep_prob, scope="Dropout_0b")
                logits = classifier(net, num_classes, "Conv2d_0c_1x1")
                if spatial_squeeze:
                    logits = squeeze_map(logits, "SpatialSqueeze")
                end_points["Logits"] = logits
                end_points["Predictions"] = prediction_fn(logits, scope="Predictions")
    return logits, end_points
