"""MobileNet v1: depthwise separable convolutions."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from common import published
from nets import layers as slim
from nets import registry
from nets.blocks import (
    EndPoints,
    Outputs,
    StrideBudget,
    check_depth_multiplier,
    check_final_endpoint,
    pad_explicitly,
    reduced_kernel,
    squeeze_map,
    truncated_normal,
)
from nets.inception_utils import classifier


class Conv(NamedTuple):
    """A convolution, `Conv2d_<i>`."""

    kernel: Sequence[int]
    stride: int
    depth: int


class DepthSepConv(NamedTuple):
    """A depthwise convolution `Conv2d_<i>_depthwise` with the stride, then a 1x1 one, `Conv2d_<i>_pointwise`."""

    kernel: Sequence[int]
    stride: int
    depth: int


MOBILENETV1_CONV_DEFS = [
    Conv(kernel=[3, 3], stride=2, depth=32),
    *(
        DepthSepConv(kernel=[3, 3], stride=stride, depth=depth)
        for stride, depth in (
            (1, 64),
            (2, 128),
            (1, 128),
            (2, 256),
            (1, 256),
            (2, 512),
            *[(1, 512)] * 5,
            (2, 1024),
            (1, 1024),
        )
    ),
]


def mobilenet_v1_arg_scope(
    is_training: bool | None = True,
    weight_decay: float = 0.00004,
    stddev: float = 0.09,
    regularize_depthwise: bool = False,
    batch_norm_decay: float = 0.9997,
    batch_norm_epsilon: float = 0.001,
    batch_norm_updates_collections: str | None = tf.compat.v1.GraphKeys.UPDATE_OPS,
    normalizer_fn: Callable[..., tf.Tensor] | None = slim.batch_norm,
) -> Any:
    """Arg scope of MobileNet v1.

    Args:
      is_training: batch norm in training mode; None leaves it unset.
      weight_decay: L2 scale of convolutions' weights.
      stddev: of the truncated normal that weights start from.
      regularize_depthwise: whether depthwise weights have L2, too; they are so few that they do not need it.
      batch_norm_decay: of the moving averages.
      batch_norm_epsilon: added to the variance.
      batch_norm_updates_collections: where the averages' updates go; None does them in place.
      normalizer_fn: of all convolutions.
    """
    batch_norm_params = {
        "center": True,
        "scale": True,
        "decay": batch_norm_decay,
        "epsilon": batch_norm_epsilon,
        "updates_collections": batch_norm_updates_collections,
    }
    if is_training is not None:
        batch_norm_params["is_training"] = is_training
    regularizer = slim.l2_regularizer(weight_decay)
    with slim.arg_scope(
        [slim.conv2d, slim.separable_conv2d],
        weights_initializer=truncated_normal(stddev),
        activation_fn=tf.nn.relu6,
        normalizer_fn=normalizer_fn,
    ):
        with slim.arg_scope([slim.batch_norm], **batch_norm_params):
            with slim.arg_scope([slim.conv2d], weights_regularizer=regularizer):
                depthwise_regularizer = regularizer if regularize_depthwise else None
                with slim.arg_scope([slim.separable_conv2d], weights_regularizer=depthwise_regularizer) as scope:
                    return scope


def _end_point_names(conv_defs: Sequence[Conv | DepthSepConv]) -> list[str]:
    names = []
    for i, definition in enumerate(conv_defs):
        if isinstance(definition, DepthSepConv):
            names += [f"Conv2d_{i}_depthwise", f"Conv2d_{i}_pointwise"]
        elif isinstance(definition, Conv):
            names.append(f"Conv2d_{i}")
        else:
            raise ValueError(f"conv_defs[{i}]: expected a Conv or a DepthSepConv, found {definition!r}")
    return names


def mobilenet_v1_base(
    inputs: tf.Tensor,
    final_endpoint: str = "Conv2d_13_pointwise",
    min_depth: int = 8,
    depth_multiplier: float = 1.0,
    conv_defs: Sequence[Conv | DepthSepConv] | None = None,
    output_stride: int | None = None,
    use_explicit_padding: bool = False,
    scope: str | tf.compat.v1.VariableScope | None = None,
) -> Outputs:
    """MobileNet v1 up to an end point.

    Args:
      inputs: float32 [batch, height, width, 3].
      final_endpoint: last layer to build: Conv2d_0, Conv2d_1_depthwise, Conv2d_1_pointwise ... Conv2d_13_pointwise.
      min_depth: a depth multiplier leaves each convolution at least so many channels.
      depth_multiplier: of every convolution's channels, > 0; the product is cut to an integer.
      conv_defs: the layers; None for `MOBILENETV1_CONV_DEFS`.
      output_stride: ratio of the image's side to the last map's, 8, 16 or 32; None for the network's own. Later strides
        become atrous rates.
      use_explicit_padding: pad by hand and convolve VALID, so that a map's pixels lie on the same image pixels for even
        and odd sizes.
      scope: variable scope.

    Returns:
      (the last layer's output, end points of all layers).

    Raises:
      ValueError: unknown `final_endpoint`, `depth_multiplier` <= 0, or another `output_stride`.
    """
    check_depth_multiplier(depth_multiplier)
    if output_stride not in (None, 8, 16, 32):
        raise ValueError(f"output_stride must be 8, 16, 32 or None, not {output_stride}")
    conv_defs = MOBILENETV1_CONV_DEFS if conv_defs is None else conv_defs
    check_final_endpoint(final_endpoint, _end_point_names(conv_defs))

    net, end_points, budget = inputs, EndPoints(), StrideBudget(output_stride)
    with (
        tf.compat.v1.variable_scope(scope, "MobilenetV1", [inputs]),
        slim.arg_scope([slim.conv2d, slim.separable_conv2d], padding="VALID" if use_explicit_padding else "SAME"),
    ):
        for i, definition in enumerate(conv_defs):
            stride, rate = budget.spend(definition.stride)
            depth = max(int(definition.depth * depth_multiplier), min_depth)
            if use_explicit_padding:
                net = pad_explicitly(net, tuple(definition.kernel), rate)
            name = f"Conv2d_{i}"
            if isinstance(definition, Conv):
                net = slim.conv2d(net, depth, definition.kernel, stride=stride, rate=rate, scope=name)
            else:
                name += "_depthwise"
                # Without outputs of its own it is the depthwise half alone, with a normalization of its own.
                net = slim.separable_conv2d(
                    net, None, definition.kernel, depth_multiplier=1, stride=stride, rate=rate, scope=name
                )
                end_points[name] = net
                if name == final_endpoint:
                    break
                name = f"Conv2d_{i}_pointwise"
                net = slim.conv2d(net, depth, [1, 1], stride=1, scope=name)
            end_points[name] = net
            if name == final_endpoint:
                break
    return net, end_points


def mobilenet_v1(
    inputs: tf.Tensor,
    num_classes: int | None = 1000,
    dropout_keep_prob: float = 0.999,
    is_training: bool = True,
    min_depth: int = 8,
    depth_multiplier: float = 1.0,
    conv_defs: Sequence[Conv | DepthSepConv] | None = None,
    prediction_fn: Callable[..., tf.Tensor] | None = slim.softmax,
    spatial_squeeze: bool = True,
    reuse: bool | None = None,
    scope: str = "MobilenetV1",
    global_pool: bool = False,
    output_stride: int | None = None,
) -> Outputs:
    """MobileNet v1.

    70.9 % top-1, 89.9 % top-5 on ImageNet at 224 pixels with 4.2 million parameters and 570 million multiply-adds.
    Howard et al. 2017, https://arxiv.org/abs/1704.04861

    Args:
      inputs: float32 [batch, height, width, 3], 224 by default.
      num_classes: 0 or None returns the features, [batch, 1, 1, 1024 * depth_multiplier].
      dropout_keep_prob: share of the features that dropout keeps.
      is_training: dropout and batch norm in training mode.
      min_depth: a depth multiplier leaves each convolution at least so many channels.
      depth_multiplier: of every convolution's channels, > 0.
      conv_defs: the layers; None for `MOBILENETV1_CONV_DEFS`.
      prediction_fn: makes probabilities of logits; None makes none.
      spatial_squeeze: drop the logits' two axes of size one.
      reuse: whether the variables exist already.
      scope: variable scope.
      global_pool: average over the whole map rather than a window of 7x7 at most; takes any input size.
      output_stride: for dense use, with `spatial_squeeze=False` (not in the original): ratio of the image's side to
        the last map's, 8, 16 or 32. Unless `global_pool` is asked for, nothing is pooled and the classifier answers for
        every pixel of that map. None for the network's own stride and pooling.

    Returns:
      (logits [batch, num_classes], end points by layer, `AvgPool_1a` or `global_pool`, `Logits`, `Predictions`).

    Raises:
      ValueError: inputs not of rank 4, `depth_multiplier` <= 0, or another `output_stride`.
    """
    if inputs.shape.rank != 4:
        raise ValueError(f"expected images of rank 4, [batch, height, width, channels], found shape {inputs.shape}")
    last = _end_point_names(MOBILENETV1_CONV_DEFS if conv_defs is None else conv_defs)[-1]
    with tf.compat.v1.variable_scope(scope, "MobilenetV1", [inputs], reuse=reuse) as variable_scope:
        with slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training):
            net, end_points = mobilenet_v1_base(
                inputs,
                final_endpoint=last,
                min_depth=min_depth,
                depth_multiplier=depth_multiplier,
                conv_defs=conv_defs,
                output_stride=output_stride,
                scope=variable_scope,
            )
            with tf.compat.v1.variable_scope("Logits"):
                if global_pool:
                    net = end_points["global_pool"] = tf.reduce_mean(net, [1, 2], keepdims=True, name="global_pool")
                elif output_stride is None:
                    net = slim.avg_pool2d(net, reduced_kernel(net, (7, 7)), padding="VALID", scope="AvgPool_1a")
                    end_points["AvgPool_1a"] = net
                if not num_classes:
                    return net, end_points
                net = slim.dropout(net, dropout_keep_prob, scope="Dropout_1b")
                logits = classifier(net, num_classes, "Conv2d_1c_1x1")
                if spatial_squeeze:
                    logits = squeeze_map(logits, "SpatialSqueeze")
            end_points["Logits"] = logits
            if prediction_fn:
                end_points["Predictions"] = prediction_fn(logits, scope="Predictions")
    return logits, end_points


def _register(name: str, depth_multiplier: float, **facts: Any) -> Callable[..., Outputs]:
    function = mobilenet_v1
    if depth_multiplier != 1.0:
        function = functools.wraps(mobilenet_v1)(functools.partial(mobilenet_v1, depth_multiplier=depth_multiplier))
        function.__name__ = name
        del function.__wrapped__  # through it tf.function would find, and fill in, the full width
    return registry.network(
        name,
        image_size=224,
        preprocessing="inception",
        arg_scope=mobilenet_v1_arg_scope,
        head_scopes="MobilenetV1/Logits",
        features="AvgPool_1a",
        checkpoint=published.get(f"mobilenet_v1_{depth_multiplier}_224"),
        paper="Howard et al. 2017, MobileNets: efficient convolutional networks for mobile vision, arXiv:1704.04861",
        **facts,
    )(function)


_register("mobilenet_v1", 1.0, parameters=4_233_001, multiply_adds=568_741_376)
mobilenet_v1_075 = _register("mobilenet_v1_075", 0.75, parameters=2_586_329, multiply_adds=325_401_216)
mobilenet_v1_050 = _register("mobilenet_v1_050", 0.5, parameters=1_332_105, multiply_adds=149_497_600)
mobilenet_v1_025 = _register("mobilenet_v1_025", 0.25, parameters=470_329, multiply_adds=41_030_528)
