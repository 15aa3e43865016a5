"""Every layer beside tf-slim's own: variables, collections, losses, aliases, values and gradients."""

import inspect
import warnings
import zlib

import numpy as np
import pytest
import tensorflow as tf
import tf_slim

from nets import layers

v1 = tf.compat.v1

IMAGE, VIDEO, SEQUENCE, ROWS = (2, 9, 8, 4), (2, 5, 7, 6, 4), (2, 9, 4), (3, 4)


def weights(name, shape):
    """Values that depend on the variable's name alone, none of them zero."""
    return np.random.RandomState(zlib.crc32(name.encode())).uniform(0.2, 1.0, shape).astype(np.float32)


def build(slim, call, shape):
    """What a layer leaves in a graph: (structure, values)."""
    collections = ["out", "all", "w", "b", v1.GraphKeys.MODEL_VARIABLES, v1.GraphKeys.TRAINABLE_VARIABLES]
    collections += [v1.GraphKeys.GLOBAL_VARIABLES, v1.GraphKeys.REGULARIZATION_LOSSES]
    with tf.Graph().as_default(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tf-slim's layers use deprecated parts of TensorFlow
        inputs = tf.constant(np.random.RandomState(1).uniform(-1, 1, shape).astype(np.float32))
        with v1.variable_scope("net"):
            outputs = call(slim, inputs)
        structure = {key: sorted(item.name for item in v1.get_collection(key)) for key in collections}
        structure["out"] = [slim.utils.get_tensor_aliases(tensor) for tensor in v1.get_collection("out")]
        structure["shape"] = outputs.shape.as_list()
        structure["variables"] = {v.op.name: (v.shape.as_list(), v.dtype) for v in v1.global_variables()}
        losses = [tf.convert_to_tensor(loss) for loss in v1.get_collection(v1.GraphKeys.REGULARIZATION_LOSSES)]
        gradient = v1.gradients(outputs * outputs, inputs)
        with v1.Session() as session:
            session.run([v.assign(weights(v.op.name, v.shape.as_list())) for v in v1.global_variables()])
            return structure, session.run([outputs, losses, gradient])


def l2(slim):
    return slim.l2_regularizer(0.1)


CASES = {
    "conv2d": (IMAGE, lambda s, x: s.conv2d(x, 3, 3)),
    "conv2d window, stride, VALID": (IMAGE, lambda s, x: s.conv2d(x, 3, [3, 1], stride=[2, 1], padding="VALID")),
    "conv2d lower-case padding": (IMAGE, lambda s, x: s.conv2d(x, 3, 3, stride=2, padding="same")),
    "conv2d rate": (IMAGE, lambda s, x: s.conv2d(x, 3, 3, rate=2)),
    "conv2d two rates": (IMAGE, lambda s, x: s.conv2d(x, 3, 3, rate=(1, 2), padding="VALID")),
    "conv2d linear without bias": (
        IMAGE,
        lambda s, x: s.conv2d(x, 3, 3, activation_fn=None, biases_initializer=None, scope="c"),
    ),
    "conv2d collections": (
        IMAGE,
        lambda s, x: s.conv2d(
            x, 3, 3, variables_collections={"weights": ["w"], "biases": ["b", "all"]}, outputs_collections="out"
        ),
    ),
    "conv2d collection list": (
        IMAGE,
        lambda s, x: s.conv2d(x, 3, 3, variables_collections=["all", "w"], outputs_collections=["out"], scope="c"),
    ),
    "conv2d regularized": (
        IMAGE,
        lambda s, x: s.conv2d(x, 3, 3, weights_regularizer=l2(s), biases_regularizer=s.l1_regularizer(0.2)),
    ),
    "conv2d weight decay zero": (IMAGE, lambda s, x: s.conv2d(x, 3, 3, weights_regularizer=s.l2_regularizer(0.0))),
    "conv2d not trained": (IMAGE, lambda s, x: s.conv2d(x, 3, 3, trainable=False, normalizer_fn=s.layer_norm)),
    "conv2d normalizer": (
        IMAGE,
        lambda s, x: s.conv2d(
            x, 4, 3, normalizer_fn=s.group_norm, normalizer_params={"groups": 2}, biases_regularizer=l2(s)
        ),
    ),
    "conv2d reused": (
        IMAGE,
        lambda s, x: [
            s.conv2d(x, 3, 3, scope="c", weights_regularizer=l2(s), outputs_collections="out", reuse=reuse)
            for reuse in (None, True)
        ][1],
    ),
    "conv2d default scopes": (IMAGE, lambda s, x: s.conv2d(s.conv2d(s.conv2d(x, 3, 3), 3, 1), 2, 1)),
    "convolution 1-D": (SEQUENCE, lambda s, x: s.convolution(x, 3, 3)),
    "convolution 3-D": (VIDEO, lambda s, x: s.convolution(x, 3, 3)),
    "conv1d": (SEQUENCE, lambda s, x: s.conv1d(x, 3, 3, stride=2, weights_regularizer=l2(s))),
    "conv3d": (VIDEO, lambda s, x: s.conv3d(x, 3, [1, 3, 3], stride=[2, 1, 1], weights_regularizer=l2(s))),
    "conv3d rate": (VIDEO, lambda s, x: s.conv3d(x, 3, [2, 3, 3], rate=[1, 2, 2])),
    "conv2d_transpose": (IMAGE, lambda s, x: s.conv2d_transpose(x, 3, 3, 2, weights_regularizer=l2(s))),
    "conv2d_transpose VALID": (
        IMAGE,
        lambda s, x: s.conv2d_transpose(x, 3, [5, 2], [2, 3], "VALID", outputs_collections="out"),
    ),
    "conv3d_transpose": (VIDEO, lambda s, x: s.conv3d_transpose(x, 3, 3, [1, 2, 2], outputs_collections="out")),
    "conv3d_transpose VALID": (VIDEO, lambda s, x: s.conv3d_transpose(x, 3, 3, 2, "VALID")),
    "conv2d_in_plane": (
        IMAGE,
        lambda s, x: s.conv2d_in_plane(x, [3, 1], 2, weights_regularizer=l2(s), outputs_collections="out"),
    ),
    "separable_conv2d": (
        IMAGE,
        lambda s, x: s.separable_conv2d(
            x, 5, 3, 2, weights_regularizer=l2(s), biases_regularizer=l2(s), variables_collections={"weights": ["w"]}
        ),
    ),
    "separable_conv2d stride": (IMAGE, lambda s, x: s.separable_conv2d(x, 5, [3, 5], 1, [2, 2], "VALID")),
    "separable_conv2d rate": (IMAGE, lambda s, x: s.separable_conv2d(x, 5, 3, 2, rate=2)),
    "depthwise": (
        IMAGE,
        lambda s, x: s.separable_conv2d(
            x, None, 3, 2, weights_regularizer=l2(s), biases_regularizer=l2(s), variables_collections=["w"]
        ),
    ),
    "depthwise stride": (IMAGE, lambda s, x: s.separable_conv2d(x, None, 3, stride=2, outputs_collections="out")),
    "depthwise two rates": (IMAGE, lambda s, x: s.separable_conv2d(x, None, 3, rate=(2, 1), padding="VALID")),
    "fully_connected": (
        ROWS,
        lambda s, x: s.fully_connected(
            x, 5, weights_regularizer=l2(s), biases_regularizer=l2(s), outputs_collections="out"
        ),
    ),
    "fully_connected of maps": (IMAGE, lambda s, x: s.fully_connected(x, 5, activation_fn=None)),
    "linear": (ROWS, lambda s, x: s.linear(x, 5, scope="l")),
    "elu": (ROWS, lambda s, x: s.elu(x, 5)),
    "relu6": (ROWS, lambda s, x: s.relu6(x, 5)),
    "bias_add": (
        IMAGE,
        lambda s, x: s.bias_add(x, tf.nn.relu, regularizer=l2(s), variables_collections=["b"], scope="b"),
    ),
    "bias_add NCHW": (IMAGE, lambda s, x: s.bias_add(x, data_format="NCHW", outputs_collections="out")),
    "layer_norm": (IMAGE, lambda s, x: s.layer_norm(x, variables_collections=["all"], outputs_collections="out")),
    "layer_norm axes": (IMAGE, lambda s, x: s.layer_norm(x, scale=False, begin_norm_axis=2, begin_params_axis=1)),
    "instance_norm": (
        IMAGE,
        lambda s, x: s.instance_norm(x, variables_collections=["all"], outputs_collections="out"),
    ),
    "instance_norm NCHW": (IMAGE, lambda s, x: s.instance_norm(x, center=False, epsilon=0.1, data_format="NCHW")),
    "group_norm": (
        IMAGE,
        lambda s, x: s.group_norm(x, 2, variables_collections=["all"], outputs_collections="out"),
    ),
    "group_norm near zero": (IMAGE, lambda s, x: s.group_norm(x, 4, scale=False, mean_close_to_zero=True)),
    "group_norm channels first": (
        (2, 4, 5, 6),
        lambda s, x: s.group_norm(x, 2, channels_axis=-3, reduction_axes=(-2, -1), activation_fn=tf.nn.relu),
    ),
    "unit_norm": (IMAGE, lambda s, x: s.unit_norm(x, 1)),
    "max_pool2d": (IMAGE, lambda s, x: s.max_pool2d(x, 3, outputs_collections="out")),
    "max_pool2d SAME": (IMAGE, lambda s, x: s.max_pool2d(x, [3, 2], [1, 2], "SAME", scope="p")),
    "avg_pool2d": (IMAGE, lambda s, x: s.avg_pool2d(x, [2, 3], stride=1, outputs_collections=["out"])),
    "avg_pool2d SAME": (IMAGE, lambda s, x: s.avg_pool2d(x, 3, padding="SAME")),
    "max_pool3d": (VIDEO, lambda s, x: s.max_pool3d(x, [1, 3, 3], outputs_collections="out")),
    "avg_pool3d": (VIDEO, lambda s, x: s.avg_pool3d(x, 2, padding="SAME", outputs_collections="out")),
    "pool": (IMAGE, lambda s, x: s.pool(x, 3, "AVG", "SAME", outputs_collections="out")),
    "pool rate": (IMAGE, lambda s, x: s.pool(x, [3, 2], "MAX", dilation_rate=[1, 2])),
    "dropout off": (IMAGE, lambda s, x: s.dropout(x, is_training=False, outputs_collections="out")),
    "flatten": (IMAGE, lambda s, x: s.flatten(x, outputs_collections="out")),
    "flatten vector": ((3,), lambda s, x: s.flatten(x)),
    "softmax": (IMAGE, lambda s, x: s.softmax(x)),
    "one_hot_encoding": (
        ROWS,
        lambda s, x: s.one_hot_encoding(tf.constant([[2, 5], [-1, 0]]), 3, 0.9, 0.1, "out") * x[0, 0],
    ),
    "repeat": (IMAGE, lambda s, x: s.repeat(x, 2, s.conv2d, 4, [3, 3], scope="conv1")),
    "repeat named after the layer": (IMAGE, lambda s, x: s.repeat(s.repeat(x, 2, s.conv2d, 4, 1), 1, s.linear, 4)),
    "repeat never": (IMAGE, lambda s, x: s.repeat(x, 0, s.conv2d, 4, 1)),
    "stack": (IMAGE, lambda s, x: s.stack(x, s.conv2d, [(4, 3), (2, 1)], scope="st", padding="VALID")),
    "stack of numbers": (ROWS, lambda s, x: s.stack(x, s.fully_connected, [3, 2])),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.replace(" ", "_"))
def test_layer_is_slims(case):
    shape, call = CASES[case]
    ours, our_values = build(layers, call, shape)
    theirs, their_values = build(tf_slim, call, shape)
    assert ours == theirs
    for mine, slims in zip(our_values, their_values, strict=True):
        np.testing.assert_allclose(np.ravel(mine), np.ravel(slims), rtol=2e-5, atol=2e-5)


REFUSED = {
    "stride and rate": lambda x: layers.conv2d(x, 3, 3, stride=2, rate=2),
    "depthwise stride and rate": lambda x: layers.separable_conv2d(x, None, 3, stride=2, rate=2),
    "depthwise unequal strides": lambda x: layers.separable_conv2d(x, 3, 3, stride=(1, 2)),
    "rank": lambda x: layers.conv3d(x, 3, 3),
    "rank of pool": lambda x: layers.max_pool2d(x[0], 3),
    "rank of fully_connected": lambda x: layers.fully_connected(x[0, 0, 0], 3),
    "layout": lambda x: layers.conv2d(x, 3, 3, data_format="NWHC"),
    "layout of pool": lambda x: layers.avg_pool2d(x, 3, data_format="NDHWC"),
    "three kernel sizes": lambda x: layers.conv2d(x, 3, [3, 3, 3]),
    "unknown channels": lambda x: layers.conv2d(v1.placeholder(tf.float32, [2, 9, 9, None]), 3, 3),
    "float outputs": lambda x: layers.fully_connected(x, 5.0),
    "groups that do not divide": lambda x: layers.group_norm(x, 3),
    "more groups than channels": lambda x: layers.group_norm(x),
    "channels among reduced axes": lambda x: layers.group_norm(x, 2, channels_axis=-2),
    "axis outside": lambda x: layers.unit_norm(x, 4),
    "stack of no list": lambda x: layers.stack(x, layers.conv2d, 3),
    "adjustment": lambda x: layers.batch_norm(x, adjustment=lambda shape: (1.0, 0.0)),
    "renorm with zero debias": lambda x: layers.batch_norm(x, renorm=True, zero_debias_moving_mean=True),
    "layout of batch_norm": lambda x: layers.batch_norm(x, data_format="NHCW"),
    "renorm clipping key": lambda x: layers.batch_norm(x, renorm=True, renorm_clipping={"max": 1.0}),
    "variable twice": lambda x: [layers.conv2d(x, 3, 3, scope="c") for _ in range(2)],
}


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.replace(" ", "_"))
def test_layer_refuses(case):
    with tf.Graph().as_default(), pytest.raises(ValueError):  # noqa: PT011
        REFUSED[case](v1.placeholder(tf.float32, IMAGE))


LAYERS = [name for name in tf_slim.layers.__all__ if name not in ("GDN", "gdn")]


@pytest.mark.parametrize("name", [*LAYERS, "instance_norm", "group_norm"])
def test_every_slim_layer_has_slims_arguments_and_defaults(name):
    def arguments(function):
        result = {}
        for argument in inspect.signature(function).parameters.values():
            default = argument.default
            plain = default is None or isinstance(default, str | int | float | tuple)
            result[argument.name] = default if plain else callable(default)
        return result

    ours, theirs = arguments(getattr(layers, name)), arguments(getattr(tf_slim, name))
    theirs.pop("conv_dims", None)
    if name in ("repeat", "stack"):  # theirs take the scope out of **kwargs
        ours.pop("scope")
    assert ours == theirs
