"""What the Inception networks share: the arg scope, and modules built from tables."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Union

import tensorflow as tf

from nets import layers as slim
from nets.blocks import EndPoints, Outputs, check_final_endpoint, truncated_normal

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


class Pool(NamedTuple):
    """A pool; its scope's name tells its kind and kernel (`AvgPool_0a_3x3`)."""

    scope: str
    stride: int = 1
    padding: str = "SAME"


class Fork(tuple):
    """Convolutions of the same input whose outputs are concatenated."""


Layer = Union[Conv, Pool, Fork]  # noqa: UP007 (a runtime value, documented as one)


class Module(NamedTuple):
    """An Inception module: branches of layers, concatenated; branch i has the scope `Branch_i`."""

    scope: str
    branches: tuple[tuple[Layer, ...], ...]


def _kernel(scope: str) -> tuple[int, int]:
    height, width = re.search(r"_(\d+)x(\d+)$", scope).groups()
    return int(height), int(width)


def _build_layer(net: tf.Tensor, layer: Layer, depth: Depth) -> tf.Tensor:
    if isinstance(layer, Fork):
        return tf.concat([_build_layer(net, part, depth) for part in layer], axis=3)
    if isinstance(layer, Pool):
        pool = slim.max_pool2d if layer.scope.startswith("Max") else slim.avg_pool2d
        return pool(net, _kernel(layer.scope), stride=layer.stride, padding=layer.padding, scope=layer.scope)
    return slim.conv2d(
        net,
        depth(layer.depth),
        layer.kernel or _kernel(layer.scope),
        stride=layer.stride,
        padding=layer.padding,
        scope=layer.scope,
        **({} if layer.stddev is None else {"weights_initializer": truncated_normal(layer.stddev)}),
    )


def build_module(net: tf.Tensor, module: Module, depth: Depth = int) -> tf.Tensor:
    """Builds one module in its variable scope.

    Args:
      net: [batch, height, width, channels].
      module: what to build.
      depth: maps a table's depth to the one to use (depth multipliers).
    """
    with tf.compat.v1.variable_scope(module.scope):
        outputs = []
        for i, branch in enumerate(module.branches):
            with tf.compat.v1.variable_scope(f"Branch_{i}"):
                output = net
                for layer in branch:
                    output = _build_layer(output, layer, depth)
                outputs.append(output)
        return tf.concat(outputs, axis=3)


def build_base(
    net: tf.Tensor, table: Sequence[Conv | Pool | Module], final_endpoint: str, depth: Depth = int
) -> Outputs:
    """Builds a network's table up to `final_endpoint`; each row is an end point named by its scope.

    Raises:
      ValueError: the table has no such end point; the message lists near matches.
    """
    check_final_endpoint(final_endpoint, [row.scope for row in table])
    end_points: EndPoints = {}
    for row in table:
        build = build_module if isinstance(row, Module) else _build_layer
        net = end_points[row.scope] = build(net, row, depth)
        if row.scope == final_endpoint:
            break
    return net, end_points


def classifier(net: tf.Tensor, num_classes: int, scope: str, **options: Any) -> tf.Tensor:
    """A 1x1 convolution without normalisation or activation: logits as a map, [batch, height, width, num_classes]."""
    linear: Mapping[str, Any] = {"activation_fn": None, "normalizer_fn": None, **options}
    return slim.conv2d(net, num_classes, [1, 1], scope=scope, **linear)
