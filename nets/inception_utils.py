"""What the Inception networks share: the arg scope, modules built from tables, and the ends of the networks."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Union

import tensorflow as tf

from nets import layers as slim
from nets.blocks import (
    EndPoints,
    Outputs,
    check_depth_multiplier,
    check_final_endpoint,
    reduced_kernel,
    squeeze_map,
    truncated_normal,
)

Depth = Callable[[int], int]


def inception_arg_scope(
    weight_decay: float = 0.00004,
    use_batch_norm: bool = True,
    batch_norm_decay: float = 0.9997,
    batch_norm_epsilon: float = 0.001,
    activation_fn: Callable[[tf.Tensor], tf.Tensor] = tf.nn.relu,
    batch_norm_updates_collections: str | None = tf.compat.v1.GraphKeys.UPDATE_OPS,
    batch_norm_scale: bool = False,
) -> Any:
    """Arg scope of the Inception networks v1 to v4.

    Args:
      weight_decay: L2 scale of convolutions' and fully connected layers' weights.
      use_batch_norm: whether convolutions are normalised; False gives them biases instead.
      batch_norm_decay: of the moving averages.
      batch_norm_epsilon: added to the variance.
      activation_fn: of convolutions.
      batch_norm_updates_collections: where the averages' updates go; None does them in place.
      batch_norm_scale: whether batch norm has a `gamma`.
    """
    batch_norm_params = {
        "decay": batch_norm_decay,
        "epsilon": batch_norm_epsilon,
        "updates_collections": batch_norm_updates_collections,
        "scale": batch_norm_scale,
    }
    with slim.arg_scope([slim.conv2d, slim.fully_connected], weights_regularizer=slim.l2_regularizer(weight_decay)):
        with slim.arg_scope(
            [slim.conv2d],
            weights_initializer=slim.variance_scaling_initializer(),
            activation_fn=activation_fn,
            normalizer_fn=slim.batch_norm if use_batch_norm else None,
            normalizer_params=batch_norm_params if use_batch_norm else {},
        ) as scope:
            return scope


# -- tables ----------------------------------------------------------------------------------------------------------


class Conv(NamedTuple):
    """A convolution. Its kernel is what its scope's name ends in (`Conv2d_0b_1x7`: height 1, width 7) ..."""

    scope: str
    depth: int
    stride: int = 1
    padding: str = "SAME"
    kernel: tuple[int, int] | None = None  # ... unless the published name tells it wrong
    stddev: float | None = None  # of truncated normal weights; None: the arg scope's initializer
    depthwise: int | None = None  # a depthwise convolution with at most so many filters a colour, then a 1x1 one


class Pool(NamedTuple):
    """A pool; its scope's name tells its kind and kernel (`AvgPool_0a_3x3`)."""

    scope: str
    stride: int = 1
    padding: str = "SAME"


class Fork(tuple):
    """Convolutions of the same input whose outputs are concatenated."""


Layer = Union[Conv, Pool, Fork]  # noqa: UP007 (a runtime value, documented as one)
Branches = Sequence[Sequence[Layer]]


class Module(NamedTuple):
    """An Inception module: branches of layers, concatenated; branch i has the scope `Branch_i`."""

    scope: str
    branches: Branches


def depth_function(depth_multiplier: float, min_depth: int) -> Depth:
    """Maps a table's depth to the one that a depth multiplier makes of it, `min_depth` at least.

    Raises:
      ValueError: `depth_multiplier` <= 0.
    """
    check_depth_multiplier(depth_multiplier)
    return lambda depth: max(int(depth * depth_multiplier), min_depth)


def _kernel(scope: str) -> tuple[int, int]:
    height, width = re.search(r"_(\d+)x(\d+)$", scope).groups()
    return int(height), int(width)


def _check_fits(net: tf.Tensor, kernel: tuple[int, int], scope: str) -> None:
    height, width = reduced_kernel(net, kernel)
    if (height, width) != kernel:
        raise ValueError(
            f"{net.op.name}: a map of {net.shape[1]}x{net.shape[2]} is too small for {scope}, "
            f"which needs {kernel[0]}x{kernel[1]}; use larger images"
        )


def _build_conv(net: tf.Tensor, conv: Conv, kernel: tuple[int, int], depth: Depth) -> tf.Tensor:
    options: dict[str, Any] = {"stride": conv.stride, "padding": conv.padding, "scope": conv.scope}
    if conv.stddev is not None:
        options["weights_initializer"] = truncated_normal(conv.stddev)
    if kernel == (1, 1):
        options["rate"] = 1  # an arg scope's atrous rate means nothing to one pixel, yet it would cost
    if conv.depthwise is None:
        return slim.conv2d(net, depth(conv.depth), kernel, **options)
    filters = max(min(depth(conv.depth) // 3, conv.depthwise), 1)
    return slim.separable_conv2d(net, depth(conv.depth), kernel, depth_multiplier=filters, **options)


def build_layer(net: tf.Tensor, layer: Layer | Module, depth: Depth = int, channels_axis: int = 3) -> tf.Tensor:
    """Builds one row of a table, in a scope of the row's name.

    Args:
      net: [batch, height, width, channels].
      layer: what to build.
      depth: maps a table's depth to the one to use (depth multipliers).
      channels_axis: 1 where `net` is [batch, channels, height, width] and the arg scope says so to the layers.

    Raises:
      ValueError: the map is smaller than the window of a layer that does not pad.
    """
    if isinstance(layer, Module):
        with tf.compat.v1.variable_scope(layer.scope):
            return build_branches(net, layer.branches, depth, channels_axis)
    if isinstance(layer, Fork):
        return tf.concat([build_layer(net, part, depth, channels_axis) for part in layer], channels_axis)
    is_pool = isinstance(layer, Pool)
    kernel = (None if is_pool else layer.kernel) or _kernel(layer.scope)
    if layer.padding == "VALID":
        _check_fits(net, kernel, layer.scope)
    if not is_pool:
        return _build_conv(net, layer, kernel, depth)
    pool = slim.max_pool2d if layer.scope.startswith("Max") else slim.avg_pool2d
    return pool(net, kernel, stride=layer.stride, padding=layer.padding, scope=layer.scope)


def build_branches(net: tf.Tensor, branches: Branches, depth: Depth = int, channels_axis: int = 3) -> tf.Tensor:
    """Builds a module's branches in the present scope and concatenates them; arguments as in `build_layer`."""
    outputs = []
    for i, branch in enumerate(branches):
        with tf.compat.v1.variable_scope(f"Branch_{i}"):
            output = net
            for layer in branch:
                output = build_layer(output, layer, depth, channels_axis)
            outputs.append(output)
    return tf.concat(outputs, channels_axis)


def build_base(
    net: tf.Tensor,
    table: Sequence[Conv | Pool | Module],
    final_endpoint: str,
    depth: Depth = int,
    channels_axis: int = 3,
) -> Outputs:
    """Builds a network's table up to `final_endpoint`; each row is an end point named by its scope.

    Raises:
      ValueError: the table has no such end point; the message lists near matches. Or the image is too small.
    """
    check_final_endpoint(final_endpoint, [row.scope for row in table])
    end_points: EndPoints = {}
    for row in table:
        net = end_points[row.scope] = build_layer(net, row, depth, channels_axis)
        if row.scope == final_endpoint:
            break
    return net, end_points


# -- ends of the networks --------------------------------------------------------------------------------------------


def classifier(net: tf.Tensor, num_classes: int, scope: str, **options: Any) -> tf.Tensor:
    """A 1x1 convolution without normalisation or activation: logits as a map, [batch, height, width, num_classes]."""
    linear: Mapping[str, Any] = {"activation_fn": None, "normalizer_fn": None, **options}
    return slim.conv2d(net, num_classes, [1, 1], scope=scope, **linear)


def pooled_classifier(
    net: tf.Tensor,
    end_points: EndPoints,
    num_classes: int | None,
    *,
    window: int,
    global_pool: bool,
    global_pool_name: str,
    dropout_keep_prob: float,
    spatial_squeeze: bool,
    prediction_fn: Callable[..., tf.Tensor],
) -> tf.Tensor:
    """The end of Inception v2 and v3: mean over a window, dropout, a 1x1 convolution, in the scope `Logits`.

    Args:
      net: [batch, height, width, channels].
      end_points: gets `AvgPool_1a` or `global_pool`, then `PreLogits`, `Logits`, `Predictions`.
      num_classes: 0 or None stops after the mean.
      window: its side; a smaller map makes it smaller.
      global_pool: mean over the whole map instead.
      global_pool_name: of that mean's op.
      dropout_keep_prob: share of the features that dropout keeps.
      spatial_squeeze: drop the logits' two axes of size one.
      prediction_fn: makes probabilities of logits.

    Returns:
      Logits or features.
    """
    with tf.compat.v1.variable_scope("Logits"):
        if global_pool:
            net = end_points["global_pool"] = tf.reduce_mean(net, [1, 2], keepdims=True, name=global_pool_name)
        else:
            height, width = reduced_kernel(net, (window, window))
            # Slim's stride, 2, shows where the map is larger than the window.
            net = slim.avg_pool2d(net, [height, width], padding="VALID", scope=f"AvgPool_1a_{height}x{width}")
            end_points["AvgPool_1a"] = net
        if not num_classes:
            return net
        net = end_points["PreLogits"] = slim.dropout(net, dropout_keep_prob, scope="Dropout_1b")
        logits = classifier(net, num_classes, "Conv2d_1c_1x1")
        if spatial_squeeze:
            logits = squeeze_map(logits, "SpatialSqueeze")
    end_points["Logits"] = logits
    end_points["Predictions"] = prediction_fn(logits, scope="Predictions")
    return logits


def mean_of_map(net: tf.Tensor, scope: str) -> tf.Tensor:
    """[batch, height, width, channels] -> [batch, 1, 1, channels], by a pool called `scope` where the size is known."""
    height, width = net.shape[1:3]
    if height is None or width is None:
        return tf.reduce_mean(net, [1, 2], keepdims=True, name="global_pool")
    return slim.avg_pool2d(net, [height, width], padding="VALID", scope=scope)


def auxiliary_map(net: tf.Tensor, depth: int = 128, pool_scope: str = "AvgPool_1a_5x5") -> tf.Tensor:
    """The first half of an auxiliary classifier: a third of the height and width, `depth` channels.

    Raises:
      ValueError: the map is smaller than the pool's 5x5.
    """
    if min(reduced_kernel(net, (5, 5))) < 5:
        raise ValueError(
            f"{net.op.name}: the auxiliary classifier needs a map of 5x5 or more, found {net.shape[1]}x{net.shape[2]}; "
            f"use larger images, or create_aux_logits=False for none"
        )
    net = slim.avg_pool2d(net, [5, 5], stride=3, padding="VALID", scope=pool_scope)
    return slim.conv2d(net, depth, [1, 1], scope="Conv2d_1b_1x1")


def auxiliary_classifier(
    net: tf.Tensor, num_classes: int, *, pool_scope: str = "AvgPool_1a_5x5", conv_scope: str, logits_scope: str
) -> tf.Tensor:
    """The auxiliary classifier of Inception v4 and Inception-ResNet v2, in the scope `AuxLogits`.

    Its second convolution covers the whole map, 5x5 for images of 299 pixels; another image size has other weights
    there, so a checkpoint's auxiliary classifier fits images of its own size alone.

    Args:
      net: [batch, height, width, channels], 17x17 for images of 299 pixels.
      num_classes: width of the logits.
      pool_scope, conv_scope, logits_scope: names of the pool, the second convolution and the fully connected layer.

    Returns:
      Logits [batch, num_classes].

    Raises:
      ValueError: the map is smaller than 5x5, or its size is unknown.
    """
    if None in net.shape.as_list()[1:3]:
        raise ValueError(
            f"{net.op.name}: the auxiliary classifier needs images of known height and width, found a map of shape "
            f"{net.shape}; use create_aux_logits=False for images of any size"
        )
    with tf.compat.v1.variable_scope("AuxLogits"):
        net = auxiliary_map(net, pool_scope=pool_scope)
        net = slim.conv2d(net, 768, net.shape.as_list()[1:3], padding="VALID", scope=conv_scope)
        return slim.fully_connected(slim.flatten(net), num_classes, activation_fn=None, scope=logits_scope)
