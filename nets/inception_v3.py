"""Inception v3."""

from collections.abc import Callable

import tensorflow as tf

from common import published
from nets import layers as slim
from nets import registry
from nets.blocks import Outputs, reduced_kernel, squeeze_map, truncated_normal
from nets.inception_utils import (
    Conv,
    Depth,
    Fork,
    Module,
    Pool,
    auxiliary_map,
    build_base,
    classifier,
    depth_function,
    inception_arg_scope,
    pooled_classifier,
)

inception_v3_arg_scope = inception_arg_scope


def _module_35(scope: str, pool_depth: int, b1_names: tuple[str, str] = ("Conv2d_0a_1x1", "Conv2d_0b_5x5")) -> Module:
    return Module(
        scope,
        (
            (Conv("Conv2d_0a_1x1", 64),),
            (Conv(b1_names[0], 48), Conv(b1_names[1], 64)),
            (Conv("Conv2d_0a_1x1", 64), Conv("Conv2d_0b_3x3", 96), Conv("Conv2d_0c_3x3", 96)),
            (Pool("AvgPool_0a_3x3"), Conv("Conv2d_0b_1x1", pool_depth)),
        ),
    )


def _module_17(scope: str, depth: int) -> Module:
    return Module(
        scope,
        (
            (Conv("Conv2d_0a_1x1", 192),),
            (Conv("Conv2d_0a_1x1", depth), Conv("Conv2d_0b_1x7", depth), Conv("Conv2d_0c_7x1", 192)),
            (
                Conv("Conv2d_0a_1x1", depth),
                Conv("Conv2d_0b_7x1", depth),
                Conv("Conv2d_0c_1x7", depth),
                Conv("Conv2d_0d_7x1", depth),
                Conv("Conv2d_0e_1x7", 192),
            ),
            (Pool("AvgPool_0a_3x3"), Conv("Conv2d_0b_1x1", 192)),
        ),
    )


def _module_8(scope: str, b1_last: str) -> Module:
    return Module(
        scope,
        (
            (Conv("Conv2d_0a_1x1", 320),),
            (Conv("Conv2d_0a_1x1", 384), Fork([Conv("Conv2d_0b_1x3", 384), Conv(b1_last, 384)])),
            (
                Conv("Conv2d_0a_1x1", 448),
                Conv("Conv2d_0b_3x3", 384),
                Fork([Conv("Conv2d_0c_1x3", 384), Conv("Conv2d_0d_3x1", 384)]),
            ),
            (Pool("AvgPool_0a_3x3"), Conv("Conv2d_0b_1x1", 192)),
        ),
    )


_MIXED_6A = Module(
    "Mixed_6a",
    (  # two 3x3 convolutions are published under the name 1x1
        (Conv("Conv2d_1a_1x1", 384, stride=2, padding="VALID", kernel=(3, 3)),),
        (
            Conv("Conv2d_0a_1x1", 64),
            Conv("Conv2d_0b_3x3", 96),
            Conv("Conv2d_1a_1x1", 96, stride=2, padding="VALID", kernel=(3, 3)),
        ),
        (Pool("MaxPool_1a_3x3", stride=2, padding="VALID"),),
    ),
)

_MIXED_7A = Module(
    "Mixed_7a",
    (
        (Conv("Conv2d_0a_1x1", 192), Conv("Conv2d_1a_3x3", 320, stride=2, padding="VALID")),
        (
            Conv("Conv2d_0a_1x1", 192),
            Conv("Conv2d_0b_1x7", 192),
            Conv("Conv2d_0c_7x1", 192),
            Conv("Conv2d_1a_3x3", 192, stride=2, padding="VALID"),
        ),
        (Pool("MaxPool_1a_3x3", stride=2, padding="VALID"),),
    ),
)

_TABLE = (
    Conv("Conv2d_1a_3x3", 32, stride=2, padding="VALID"),
    Conv("Conv2d_2a_3x3", 32, padding="VALID"),
    Conv("Conv2d_2b_3x3", 64),
    Pool("MaxPool_3a_3x3", stride=2, padding="VALID"),
    Conv("Conv2d_3b_1x1", 80, padding="VALID"),
    Conv("Conv2d_4a_3x3", 192, padding="VALID"),
    Pool("MaxPool_5a_3x3", stride=2, padding="VALID"),
    _module_35("Mixed_5b", 32),
    _module_35("Mixed_5c", 64, b1_names=("Conv2d_0b_1x1", "Conv_1_0c_5x5")),  # as published
    _module_35("Mixed_5d", 64),
    _MIXED_6A,
    _module_17("Mixed_6b", 128),
    _module_17("Mixed_6c", 160),
    _module_17("Mixed_6d", 160),
    _module_17("Mixed_6e", 192),
    _MIXED_7A,
    _module_8("Mixed_7b", "Conv2d_0b_3x1"),  # as published, unlike 7c
    _module_8("Mixed_7c", "Conv2d_0c_3x1"),
)


def inception_v3_base(
    inputs: tf.Tensor,
    final_endpoint: str = "Mixed_7c",
    min_depth: int = 16,
    depth_multiplier: float = 1.0,
    scope: str | tf.compat.v1.VariableScope | None = None,
) -> Outputs:
    """Inception v3 up to an end point.

    Args:
      inputs: float32 [batch, height, width, 3].
      final_endpoint: last layer to build: Conv2d_1a_3x3, Conv2d_2a_3x3, Conv2d_2b_3x3, MaxPool_3a_3x3, Conv2d_3b_1x1,
        Conv2d_4a_3x3, MaxPool_5a_3x3, Mixed_5b ... Mixed_5d, Mixed_6a ... Mixed_6e, Mixed_7a ... Mixed_7c.
      min_depth: a depth multiplier leaves each convolution at least so many channels.
      depth_multiplier: of every convolution's channels, > 0.
      scope: variable scope.

    Returns:
      (the last layer's output, end points of all layers).

    Raises:
      ValueError: unknown `final_endpoint`, `depth_multiplier` <= 0, or images that are too small.
    """
    depth = depth_function(depth_multiplier, min_depth)
    with tf.compat.v1.variable_scope(scope, "InceptionV3", [inputs]):
        return build_base(inputs, _TABLE, final_endpoint, depth)


def _auxiliary_logits(net: tf.Tensor, num_classes: int, depth: Depth, spatial_squeeze: bool) -> tf.Tensor:
    """[batch, 17, 17, 768] -> [batch, num_classes].

    The name of its second convolution tells the kernel, which is smaller for small images: a checkpoint made at 299
    pixels has `Conv2d_2a_5x5`, so an auxiliary classifier at another size may have to start anew.
    """
    with tf.compat.v1.variable_scope("AuxLogits"):
        net = auxiliary_map(net, depth(128))
        height, width = reduced_kernel(net, (5, 5))
        net = slim.conv2d(
            net,
            depth(768),
            [height, width],
            weights_initializer=truncated_normal(0.01),
            padding="VALID",
            scope=f"Conv2d_2a_{height}x{width}",
        )
        logits = classifier(net, num_classes, "Conv2d_2b_1x1", weights_initializer=truncated_normal(0.001))
        if spatial_squeeze:
            logits = squeeze_map(logits, "SpatialSqueeze", "create_aux_logits=False for none")
        return logits


@registry.network(
    "inception_v3",
    image_size=299,
    preprocessing="inception",
    arg_scope=inception_v3_arg_scope,
    head_scopes=("InceptionV3/Logits", "InceptionV3/AuxLogits"),
    features="AvgPool_1a",
    checkpoint=published.get("inception_v3_2016_08_28"),
    parameters=23_819_401,
    multiply_adds=5_713_218_144,
    paper="Szegedy et al. 2016, Rethinking the Inception architecture for computer vision, arXiv:1512.00567",
)
def inception_v3(
    inputs: tf.Tensor,
    num_classes: int | None = 1000,
    is_training: bool = True,
    dropout_keep_prob: float = 0.8,
    min_depth: int = 16,
    depth_multiplier: float = 1.0,
    prediction_fn: Callable[..., tf.Tensor] = slim.softmax,
    spatial_squeeze: bool = True,
    reuse: bool | None = None,
    create_aux_logits: bool = True,
    scope: str = "InceptionV3",
    global_pool: bool = False,
) -> Outputs:
    """Inception v3, with an auxiliary classifier.

    78.0 % top-1, 93.9 % top-5 on ImageNet. Szegedy et al. 2016, https://arxiv.org/abs/1512.00567

    Args:
      inputs: float32 [batch, height, width, 3], 299 by default. Larger ones need `global_pool`, and from 363 pixels on
        also `create_aux_logits=False`.
      num_classes: 0 or None returns the features, [batch, 1, 1, 2048], and builds no auxiliary classifier.
      is_training: dropout and batch norm in training mode.
      dropout_keep_prob: share of the features that dropout keeps.
      min_depth: a depth multiplier leaves each convolution at least so many channels.
      depth_multiplier: of every convolution's channels, > 0.
      prediction_fn: makes probabilities of logits.
      spatial_squeeze: drop the logits' two axes of size one.
      reuse: whether the variables exist already.
      create_aux_logits: whether to build the auxiliary classifier (in training and evaluation).
      scope: variable scope.
      global_pool: average over the whole map rather than a window of 8x8 at most.

    Returns:
      (logits [batch, num_classes], end points by layer, `AuxLogits`, `AvgPool_1a` or `global_pool`, `PreLogits`,
      `Logits`, `Predictions`).

    Raises:
      ValueError: `depth_multiplier` <= 0; images too small or too large for these arguments.
    """
    depth = depth_function(depth_multiplier, min_depth)
    with tf.compat.v1.variable_scope(scope, "InceptionV3", [inputs], reuse=reuse) as variable_scope:
        with slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training):
            net, end_points = inception_v3_base(
                inputs, min_depth=min_depth, depth_multiplier=depth_multiplier, scope=variable_scope
            )
            if create_aux_logits and num_classes:
                auxiliary = _auxiliary_logits(end_points["Mixed_6e"], num_classes, depth, spatial_squeeze)
                end_points["AuxLogits"] = auxiliary
            net = pooled_classifier(
                net,
                end_points,
                num_classes,
                window=8,
                global_pool=global_pool,
                global_pool_name="GlobalPool",
                dropout_keep_prob=dropout_keep_prob,
                spatial_squeeze=spatial_squeeze,
                prediction_fn=prediction_fn,
            )
    return net, end_points
