"""Inception-ResNet v2: Inception modules as residuals."""

from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from common import published
from nets import layers as slim
from nets import registry
from nets.blocks import EndPoints, Outputs, check_final_endpoint
from nets.inception_utils import (
    Branches,
    Conv,
    Module,
    Pool,
    auxiliary_classifier,
    build_branches,
    build_layer,
    classifier,
    mean_of_map,
)

Activation = Callable[[tf.Tensor], tf.Tensor]

_RELU6 = (tf.nn.relu6, tf.compat.v1.nn.relu6)  # one function, but two objects

_BLOCK35 = (
    (Conv("Conv2d_1x1", 32),),
    (Conv("Conv2d_0a_1x1", 32), Conv("Conv2d_0b_3x3", 32)),
    (Conv("Conv2d_0a_1x1", 32), Conv("Conv2d_0b_3x3", 48), Conv("Conv2d_0c_3x3", 64)),
)

_BLOCK17 = (
    (Conv("Conv2d_1x1", 192),),
    (Conv("Conv2d_0a_1x1", 128), Conv("Conv2d_0b_1x7", 160), Conv("Conv2d_0c_7x1", 192)),
)

_BLOCK8 = (
    (Conv("Conv2d_1x1", 192),),
    (Conv("Conv2d_0a_1x1", 192), Conv("Conv2d_0b_1x3", 224), Conv("Conv2d_0c_3x1", 256)),
)

_MIXED_5B = Module(
    "Mixed_5b",
    (
        (Conv("Conv2d_1x1", 96),),
        (Conv("Conv2d_0a_1x1", 48), Conv("Conv2d_0b_5x5", 64)),
        (Conv("Conv2d_0a_1x1", 64), Conv("Conv2d_0b_3x3", 96), Conv("Conv2d_0c_3x3", 96)),
        (Pool("AvgPool_0a_3x3"), Conv("Conv2d_0b_1x1", 64)),
    ),
)


def _stem(padding: str) -> tuple[Conv | Pool | Module, ...]:
    return (
        Conv("Conv2d_1a_3x3", 32, 2, padding),
        Conv("Conv2d_2a_3x3", 32, 1, padding),
        Conv("Conv2d_2b_3x3", 64),
        Pool("MaxPool_3a_3x3", 2, padding),
        Conv("Conv2d_3b_1x1", 80, 1, padding),
        Conv("Conv2d_4a_3x3", 192, 1, padding),
        Pool("MaxPool_5a_3x3", 2, padding),
        _MIXED_5B,
    )


def _mixed_6a(padding: str, stride: int) -> Module:
    return Module(
        "Mixed_6a",
        (
            (Conv("Conv2d_1a_3x3", 384, stride, padding),),
            (
                Conv("Conv2d_0a_1x1", 256),
                Conv("Conv2d_0b_3x3", 256),
                Conv("Conv2d_1a_3x3", 384, stride, padding),
            ),
            (Pool("MaxPool_1a_3x3", stride, padding),),
        ),
    )


def _mixed_7a(padding: str) -> Module:
    return Module(
        "Mixed_7a",
        (
            (Conv("Conv2d_0a_1x1", 256), Conv("Conv2d_1a_3x3", 384, 2, padding)),
            (Conv("Conv2d_0a_1x1", 256), Conv("Conv2d_1a_3x3", 288, 2, padding)),
            (
                Conv("Conv2d_0a_1x1", 256),
                Conv("Conv2d_0b_3x3", 288),
                Conv("Conv2d_1a_3x3", 320, 2, padding),
            ),
            (Pool("MaxPool_1a_3x3", 2, padding),),
        ),
    )


# What may be asked for; the sums of residuals have none of their own but PreAuxLogits.
_END_POINTS = (
    *(row.scope for row in _stem("VALID")),
    "Mixed_6a",
    "PreAuxLogits",
    "Mixed_7a",
    "Conv2d_7b_1x1",
)


def inception_resnet_v2_arg_scope(
    weight_decay: float = 0.00004,
    batch_norm_decay: float = 0.9997,
    batch_norm_epsilon: float = 0.001,
    activation_fn: Activation = tf.nn.relu,
    batch_norm_updates_collections: str | None = tf.compat.v1.GraphKeys.UPDATE_OPS,
    batch_norm_scale: bool = False,
) -> Any:
    """Arg scope of Inception-ResNet v2.

    Args:
      weight_decay: L2 scale of convolutions' and fully connected layers' weights, and of their biases.
      batch_norm_decay: of the moving averages.
      batch_norm_epsilon: added to the variance.
      activation_fn: of convolutions; that of the residual sums is an argument of the network.
      batch_norm_updates_collections: where the averages' updates go; None does them in place.
      batch_norm_scale: whether batch norm has a `gamma`.
    """
    regularizer = slim.l2_regularizer(weight_decay)
    with slim.arg_scope(
        [slim.conv2d, slim.fully_connected], weights_regularizer=regularizer, biases_regularizer=regularizer
    ):
        with slim.arg_scope(
            [slim.conv2d],
            activation_fn=activation_fn,
            normalizer_fn=slim.batch_norm,
            normalizer_params={
                "decay": batch_norm_decay,
                "epsilon": batch_norm_epsilon,
                "updates_collections": batch_norm_updates_collections,
                "scale": batch_norm_scale,
            },
        ) as scope:
            return scope


def _residual_block(
    net: tf.Tensor,
    branches: Branches,
    scale: float,
    activation_fn: Activation | None,
    scope: str | None,
    default_scope: str,
    reuse: bool | None,
) -> tf.Tensor:
    with tf.compat.v1.variable_scope(scope, default_scope, [net], reuse=reuse):
        residual = classifier(build_branches(net, branches), net.shape[3], "Conv2d_1x1", rate=1) * scale
        if activation_fn in _RELU6:
            residual = tf.clip_by_value(residual, -6.0, 6.0)  # for arithmetic with few bits
        net += residual
        return net if activation_fn is None else activation_fn(net)


_BLOCK_DOC = """{title}: the input plus a scaled residual, then the activation.

    Args:
      net: [batch, height, width, channels].
      scale: of the residual.
      activation_fn: of the sum; None for none. `tf.nn.relu6` also clips the scaled residual to [-6, 6].
      scope: variable scope; None for a unique `{scope}`.
      reuse: whether the variables exist already.

    Returns:
      A tensor of net's shape.
    """


def _make_block(name: str, title: str, branches: Branches) -> Callable[..., tf.Tensor]:
    default_scope = name.capitalize()

    def block(
        net: tf.Tensor,
        scale: float = 1.0,
        activation_fn: Activation | None = tf.nn.relu,
        scope: str | None = None,
        reuse: bool | None = None,
    ) -> tf.Tensor:
        return _residual_block(net, branches, scale, activation_fn, scope, default_scope, reuse)

    block.__name__ = block.__qualname__ = name
    block.__doc__ = _BLOCK_DOC.format(title=title, scope=default_scope)
    return block


block35 = _make_block("block35", "A residual block of the 35x35 maps", _BLOCK35)
block17 = _make_block("block17", "A residual block of the 17x17 maps", _BLOCK17)
block8 = _make_block("block8", "A residual block of the 8x8 maps", _BLOCK8)


def _repeat(
    net: tf.Tensor, scope: str, count: int, block: Callable[..., tf.Tensor], scale: float, activation_fn: Activation
) -> tf.Tensor:
    with tf.compat.v1.variable_scope(scope):
        for i in range(1, count + 1):
            net = block(net, scale, activation_fn, scope=f"{block.__name__}_{i}")
        return net


def _build(
    net: tf.Tensor, padding: str, output_stride: int, activation_fn: Activation
) -> Iterator[tuple[str, tf.Tensor]]:
    """Builds the network as far as it is asked for: yields each end point's name and tensor when it is built."""
    for row in _stem(padding):
        net = build_layer(net, row)
        yield row.scope, net
    net = _repeat(net, "Repeat", 10, block35, 0.17, activation_fn)
    # The stride that is left out becomes the rate of all that follows.
    stride, rate = (2, 1) if output_stride == 16 else (1, 2)
    net = build_layer(net, _mixed_6a(padding, stride))
    yield "Mixed_6a", net
    with slim.arg_scope([slim.conv2d], rate=rate):
        net = _repeat(net, "Repeat_1", 20, block17, 0.10, activation_fn)
    yield "PreAuxLogits", net
    net = build_layer(net, _mixed_7a(padding))
    yield "Mixed_7a", net
    net = _repeat(net, "Repeat_2", 9, block8, 0.20, activation_fn)
    net = block8(net, activation_fn=None, scope="Block8")
    yield "Conv2d_7b_1x1", build_layer(net, Conv("Conv2d_7b_1x1", 1536))


def inception_resnet_v2_base(
    inputs: tf.Tensor,
    final_endpoint: str = "Conv2d_7b_1x1",
    output_stride: int = 16,
    align_feature_maps: bool = False,
    scope: str | tf.compat.v1.VariableScope | None = None,
    activation_fn: Activation = tf.nn.relu,
) -> Outputs:
    """Inception-ResNet v2 up to an end point.

    Args:
      inputs: float32 [batch, height, width, 3].
      final_endpoint: last layer to build: Conv2d_1a_3x3, Conv2d_2a_3x3, Conv2d_2b_3x3, MaxPool_3a_3x3, Conv2d_3b_1x1,
        Conv2d_4a_3x3, MaxPool_5a_3x3, Mixed_5b, Mixed_6a, PreAuxLogits, Mixed_7a, Conv2d_7b_1x1.
      output_stride: ratio of the image's side to that of `PreAuxLogits`, 16; or 8 for a map twice as large from atrous
        convolutions, up to that end point.
      align_feature_maps: pad everywhere, so that each map's side is the image's side divided by its stride, rounded up.
      scope: variable scope.
      activation_fn: of the sums of residuals. `tf.nn.relu6` also clips the scaled residuals to [-6, 6].

    Returns:
      (the last layer's output, end points of all layers).

    Raises:
      ValueError: unknown `final_endpoint`, another `output_stride`, one of 8 after `PreAuxLogits`, or images that are
        too small.
    """
    check_final_endpoint(final_endpoint, _END_POINTS)
    if output_stride not in (8, 16):
        raise ValueError(f"output_stride must be 8 or 16, not {output_stride}")
    if output_stride == 8 and final_endpoint in _END_POINTS[_END_POINTS.index("PreAuxLogits") + 1 :]:
        raise ValueError(
            f"output_stride 8 goes up to PreAuxLogits, not to {final_endpoint}; use final_endpoint='PreAuxLogits' "
            f"or one before it"
        )
    padding = "SAME" if align_feature_maps else "VALID"
    end_points: EndPoints = {}
    with tf.compat.v1.variable_scope(scope, "InceptionResnetV2", [inputs]):
        for name, net in _build(inputs, padding, output_stride, activation_fn):
            end_points[name] = net
            if name == final_endpoint:
                break
    return net, end_points


@registry.network(
    "inception_resnet_v2",
    image_size=299,
    preprocessing="inception",
    arg_scope=inception_resnet_v2_arg_scope,
    head_scopes=("InceptionResnetV2/Logits", "InceptionResnetV2/AuxLogits"),
    features="global_pool",
    checkpoint=published.get("inception_resnet_v2_2016_08_30"),
    parameters=55_814_729,
    multiply_adds=13_155_795_552,
    paper="Szegedy et al. 2016, Inception-v4, Inception-ResNet and the impact of residual connections on learning, "
    "arXiv:1602.07261",
)
def inception_resnet_v2(
    inputs: tf.Tensor,
    num_classes: int | None = 1001,
    is_training: bool = True,
    dropout_keep_prob: float = 0.8,
    reuse: bool | None = None,
    scope: str = "InceptionResnetV2",
    create_aux_logits: bool = True,
    activation_fn: Activation = tf.nn.relu,
) -> Outputs:
    """Inception-ResNet v2, with an auxiliary classifier.

    80.4 % top-1, 95.3 % top-5 on ImageNet. Szegedy et al. 2016, https://arxiv.org/abs/1602.07261

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
      activation_fn: of the sums of residuals. `tf.nn.relu6` also clips the scaled residuals to [-6, 6].

    Returns:
      (logits [batch, num_classes], end points by layer, `AuxLogits`, `global_pool`, `PreLogitsFlatten`, `Logits`,
      `Predictions`).

    Raises:
      ValueError: images that are too small, or of unknown size for the auxiliary classifier.
    """
    with tf.compat.v1.variable_scope(scope, "InceptionResnetV2", [inputs], reuse=reuse) as variable_scope:
        with slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training):
            net, end_points = inception_resnet_v2_base(inputs, scope=variable_scope, activation_fn=activation_fn)
            if create_aux_logits and num_classes:
                end_points["AuxLogits"] = auxiliary_classifier(
                    end_points["PreAuxLogits"],
                    num_classes,
                    pool_scope="Conv2d_1a_3x3",  # as published
                    conv_scope="Conv2d_2a_5x5",
                    logits_scope="Logits",
                )
            with tf.compat.v1.variable_scope("Logits"):
                net = end_points["global_pool"] = mean_of_map(net, "AvgPool_1a_8x8")
                if not num_classes:
                    return net, end_points
                net = slim.dropout(slim.flatten(net), dropout_keep_prob, scope="Dropout")
                end_points["PreLogitsFlatten"] = net
                logits = slim.fully_connected(net, num_classes, activation_fn=None, scope="Logits")
                end_points["Logits"] = logits
                end_points["Predictions"] = tf.nn.softmax(logits, name="Predictions")
    return logits, end_points
