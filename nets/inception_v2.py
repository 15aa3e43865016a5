"""Inception v2 (BN-Inception): Inception v1 with two 3x3 convolutions for each 5x5 one."""

import contextlib
from collections.abc import Callable

import tensorflow as tf

from common import published
from nets import layers as slim
from nets import registry
from nets.blocks import Outputs
from nets.inception_utils import (
    Conv,
    Module,
    Pool,
    build_base,
    depth_function,
    inception_arg_scope,
    pooled_classifier,
)

inception_v2_arg_scope = inception_arg_scope


def _module(
    scope: str, b0: int, b1: tuple[int, int], b2: tuple[int, int], b3: int, pool: str = "AvgPool_0a_3x3"
) -> Module:
    return Module(
        scope,
        (
            (Conv("Conv2d_0a_1x1", b0),),
            (Conv("Conv2d_0a_1x1", b1[0], stddev=0.09), Conv("Conv2d_0b_3x3", b1[1])),
            (
                Conv("Conv2d_0a_1x1", b2[0], stddev=0.09),
                Conv("Conv2d_0b_3x3", b2[1]),
                Conv("Conv2d_0c_3x3", b2[1]),
            ),
            (Pool(pool), Conv("Conv2d_0b_1x1", b3, stddev=0.1)),
        ),
    )


def _reduction(scope: str, b0: tuple[int, int], b1: tuple[int, int]) -> Module:
    return Module(
        scope,
        (
            (Conv("Conv2d_0a_1x1", b0[0], stddev=0.09), Conv("Conv2d_1a_3x3", b0[1], stride=2)),
            (
                Conv("Conv2d_0a_1x1", b1[0], stddev=0.09),
                Conv("Conv2d_0b_3x3", b1[1]),
                Conv("Conv2d_1a_3x3", b1[1], stride=2),
            ),
            (Pool("MaxPool_1a_3x3", stride=2),),
        ),
    )


# The arg scope does not reach separable convolutions: this one has a bias, no batch norm and no weight decay.
_SEPARABLE_CONV = Conv("Conv2d_1a_7x7", 64, stride=2, stddev=1.0, depthwise=8)

_ROOT = (
    Pool("MaxPool_2a_3x3", stride=2),
    Conv("Conv2d_2b_1x1", 64, stddev=0.1),
    Conv("Conv2d_2c_3x3", 192),
    Pool("MaxPool_3a_3x3", stride=2),
)

_MODULES = (
    _module("Mixed_3b", 64, (64, 64), (64, 96), 32),
    _module("Mixed_3c", 64, (64, 96), (64, 96), 64),
    _reduction("Mixed_4a", (128, 160), (64, 96)),
    _module("Mixed_4b", 224, (64, 96), (96, 128), 128),
    _module("Mixed_4c", 192, (96, 128), (96, 128), 128),
    _module("Mixed_4d", 160, (128, 160), (128, 160), 96),
    _module("Mixed_4e", 96, (128, 192), (160, 192), 96),
    _reduction("Mixed_5a", (128, 192), (192, 256)),
    _module("Mixed_5b", 352, (192, 320), (160, 224), 128),
    _module("Mixed_5c", 352, (192, 320), (192, 224), 128, pool="MaxPool_0a_3x3"),
)


def _layout(data_format: str) -> contextlib.AbstractContextManager:
    """Tells the layers that the channels come first, where they do."""
    if data_format == "NHWC":
        return contextlib.nullcontext()
    layers = [slim.conv2d, slim.max_pool2d, slim.avg_pool2d, slim.batch_norm]
    return slim.arg_scope(layers, data_format=data_format)


def inception_v2_base(
    inputs: tf.Tensor,
    final_endpoint: str = "Mixed_5c",
    min_depth: int = 16,
    depth_multiplier: float = 1.0,
    use_separable_conv: bool = True,
    data_format: str = "NHWC",
    include_root_block: bool = True,
    scope: str | tf.compat.v1.VariableScope | None = None,
) -> Outputs:
    """Inception v2 up to an end point.

    Args:
      inputs: float32 [batch, height, width, 3]; without the root block what `MaxPool_3a_3x3` gives, an eighth of the
        image's height and width with 192 channels.
      final_endpoint: last layer to build: Conv2d_1a_7x7, MaxPool_2a_3x3, Conv2d_2b_1x1, Conv2d_2c_3x3, MaxPool_3a_3x3,
        Mixed_3b, Mixed_3c, Mixed_4a ... Mixed_4e, Mixed_5a ... Mixed_5c.
      min_depth: a depth multiplier leaves each convolution at least so many channels.
      depth_multiplier: of every convolution's channels, > 0.
      use_separable_conv: whether the first convolution is a depthwise and a 1x1 one; published checkpoints have that.
      data_format: NHWC; or NCHW for inputs and end points [batch, channels, height, width].
      include_root_block: False leaves out all before Mixed_3b.
      scope: variable scope.

    Returns:
      (the last layer's output, end points of all layers).

    Raises:
      ValueError: unknown `final_endpoint` or `data_format`, NCHW with `use_separable_conv`, or `depth_multiplier` <= 0.
    """
    depth = depth_function(depth_multiplier, min_depth)
    if data_format not in ("NHWC", "NCHW"):
        raise ValueError(f"data_format must be NHWC or NCHW, not {data_format!r}")
    if data_format == "NCHW" and use_separable_conv:
        raise ValueError("data_format NCHW: no separable convolution is made for it; use use_separable_conv=False")
    table = _MODULES
    if include_root_block:
        first = _SEPARABLE_CONV if use_separable_conv else _SEPARABLE_CONV._replace(depthwise=None)
        table = (first, *_ROOT, *_MODULES)
    with tf.compat.v1.variable_scope(scope, "InceptionV2", [inputs]), _layout(data_format):
        return build_base(inputs, table, final_endpoint, depth, channels_axis=data_format.index("C"))


@registry.network(
    "inception_v2",
    image_size=224,
    preprocessing="inception",
    arg_scope=inception_v2_arg_scope,
    head_scopes="InceptionV2/Logits",
    features="AvgPool_1a",
    checkpoint=published.get("inception_v2_2016_08_28"),
    parameters=11_179_361,
    multiply_adds=1_934_858_240,
    paper="Ioffe, Szegedy 2015, Batch normalization: accelerating deep network training by reducing internal covariate "
    "shift, arXiv:1502.03167",
)
def inception_v2(
    inputs: tf.Tensor,
    num_classes: int | None = 1000,
    is_training: bool = True,
    dropout_keep_prob: float = 0.8,
    min_depth: int = 16,
    depth_multiplier: float = 1.0,
    prediction_fn: Callable[..., tf.Tensor] = slim.softmax,
    spatial_squeeze: bool = True,
    reuse: bool | None = None,
    scope: str = "InceptionV2",
    global_pool: bool = False,
) -> Outputs:
    """Inception v2, whose first convolution is a separable one.

    73.9 % top-1, 91.8 % top-5 on ImageNet. Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167

    Args:
      inputs: float32 [batch, height, width, 3], 224 by default; larger ones need `global_pool`.
      num_classes: 0 or None returns the features, [batch, 1, 1, 1024].
      is_training: dropout and batch norm in training mode.
      dropout_keep_prob: share of the features that dropout keeps.
      min_depth: a depth multiplier leaves each convolution at least so many channels.
      depth_multiplier: of every convolution's channels, > 0.
      prediction_fn: makes probabilities of logits.
      spatial_squeeze: drop the logits' two axes of size one.
      reuse: whether the variables exist already.
      scope: variable scope.
      global_pool: average over the whole map rather than a window of 7x7 at most; takes any input size.

    Returns:
      (logits [batch, num_classes], end points by layer, `AvgPool_1a` or `global_pool`, `PreLogits`, `Logits`,
      `Predictions`).

    Raises:
      ValueError: `depth_multiplier` <= 0, or images too large for these arguments.
    """
    with tf.compat.v1.variable_scope(scope, "InceptionV2", [inputs], reuse=reuse) as variable_scope:
        with slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training):
            net, end_points = inception_v2_base(
                inputs, min_depth=min_depth, depth_multiplier=depth_multiplier, scope=variable_scope
            )
            net = pooled_classifier(
                net,
                end_points,
                num_classes,
                window=7,
                global_pool=global_pool,
                global_pool_name="global_pool",
                dropout_keep_prob=dropout_keep_prob,
                spatial_squeeze=spatial_squeeze,
                prediction_fn=prediction_fn,
            )
    return net, end_points
