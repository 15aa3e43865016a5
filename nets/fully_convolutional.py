"""The builder of AlexNet, OverFeat and VGG: convolutions and pools from a table, then fc6, fc7, fc8 as convolutions."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from nets import layers as slim
from nets.blocks import EndPoints, Outputs, StrideBudget, squeeze_map


class Conv(NamedTuple):
    """A convolution, or with `repeat` a group of them: `conv1/conv1_1`, `conv1/conv1_2`, ..."""

    scope: str
    depth: int
    kernel: int
    stride: int = 1
    padding: str | None = None  # None: as the arg scope has it
    repeat: int | None = None


class Pool(NamedTuple):
    """A max pool with stride 2."""

    scope: str
    kernel: int


class Classifier(NamedTuple):
    """The last three layers: fc6 (kernel x kernel), fc7 (1x1, 4096), fc8 (1x1, classes)."""

    fc6_depth: int
    fc6_kernel: int
    fc6_padding: str
    options: Mapping[str, Any]  # further arguments of all three
    fc8_options: Mapping[str, Any]  # and of fc8 alone


def build(
    inputs: tf.Tensor,
    layers: Sequence[Conv | Pool],
    classifier: Classifier,
    *,
    scope: str,
    default_scope: str,
    num_classes: int | None,
    is_training: bool,
    dropout_keep_prob: float,
    spatial_squeeze: bool,
    global_pool: bool,
    reuse: bool | None = None,
    output_stride: int | None = None,
) -> Outputs:
    """Builds such a network.

    Args:
      inputs: [batch, height, width, channels].
      layers: all up to fc6.
      classifier: the rest.
      scope, default_scope, reuse: of the network's variable scope.
      num_classes: 0 or None ends with fc7.
      is_training, dropout_keep_prob: dropout after fc6 and after fc7.
      spatial_squeeze: [batch, 1, 1, num_classes] -> [batch, num_classes].
      global_pool: average fc7 over the map.
      output_stride: ratio of the image's side to fc7's; None for the network's own. Later strides become atrous rates.

    Returns:
      (logits or features, end points `<scope>/<layer>` in order of building, and `global_pool`).
    """
    with tf.compat.v1.variable_scope(scope, default_scope, [inputs], reuse=reuse) as variable_scope:
        prefix = variable_scope.name
        end_points: EndPoints = {}
        budget = StrideBudget(output_stride)
        net = _build_layers(inputs, layers, end_points, prefix, budget)
        budget.check_reached()
        with slim.arg_scope([slim.conv2d], **classifier.options):
            padding, kernel = classifier.fc6_padding, [classifier.fc6_kernel] * 2
            options = {"padding": padding, "rate": budget.spend(1)[1]}
            net = slim.conv2d(net, classifier.fc6_depth, kernel, scope="fc6", **options)
            end_points[f"{prefix}/fc6"] = net
            net = slim.dropout(net, dropout_keep_prob, is_training=is_training, scope="dropout6")
            net = end_points[f"{prefix}/fc7"] = slim.conv2d(net, 4096, [1, 1], scope="fc7")
            if global_pool:
                net = end_points["global_pool"] = tf.reduce_mean(net, [1, 2], keepdims=True, name="global_pool")
            if not num_classes:
                return net, end_points
            net = slim.dropout(net, dropout_keep_prob, is_training=is_training, scope="dropout7")
            linear = {"activation_fn": None, "normalizer_fn": None, **classifier.fc8_options}
            net = slim.conv2d(net, num_classes, [1, 1], scope="fc8", **linear)
        if spatial_squeeze:
            net = squeeze_map(net, "fc8/squeezed")
        end_points[f"{prefix}/fc8"] = net
    return net, end_points


def _build_layers(
    net: tf.Tensor, layers: Sequence[Conv | Pool], end_points: EndPoints, prefix: str, budget: StrideBudget
) -> tf.Tensor:
    for layer in layers:
        key = f"{prefix}/{layer.scope}"
        if isinstance(layer, Pool):
            net = end_points[key] = _pool(net, layer, *budget.spend(2))
            continue
        options = {} if layer.padding is None else {"padding": layer.padding}
        stride, options["rate"] = budget.spend(layer.stride)
        convolution = (layer.depth, [layer.kernel] * 2, stride)
        if layer.repeat is None:
            net = end_points[key] = slim.conv2d(net, *convolution, scope=layer.scope, **options)
            continue
        with tf.compat.v1.variable_scope(layer.scope, values=[net]):
            for i in range(1, layer.repeat + 1):
                name = f"{layer.scope}_{i}"
                net = end_points[f"{key}/{name}"] = slim.conv2d(net, *convolution, scope=name, **options)
    return net


def _pool(net: tf.Tensor, layer: Pool, stride: int, rate: int) -> tf.Tensor:
    kernel = [layer.kernel] * 2
    if stride == 2:
        return slim.max_pool2d(net, kernel, 2, scope=layer.scope)
    # All windows instead of every second one, the last ones cut off by the map's end. Padding at the end alone keeps
    # window i at pixel i.
    beyond = [0, rate * (layer.kernel - 1)]
    net = tf.pad(net, [[0, 0], beyond, beyond, [0, 0]], constant_values=net.dtype.min)
    return slim.pool(net, kernel, "MAX", dilation_rate=rate, scope=layer.scope)
