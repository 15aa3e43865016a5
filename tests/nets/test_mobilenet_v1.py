"""MobileNet v1: what the original's unit tests fix, and the options."""

import inspect
import math

import numpy as np
import pytest
import tensorflow as tf

from nets import layers as slim
from nets import mobilenet_v1
from nets.mobilenet_v1 import Conv, DepthSepConv, mobilenet_v1_arg_scope, mobilenet_v1_base

v1 = tf.compat.v1


def images(*shape):
    return v1.placeholder(tf.float32, shape)


def shapes(end_points):
    return {key: value.shape.as_list() for key, value in end_points.items()}


def test_number_of_model_variable_values(graph):
    with slim.arg_scope([slim.conv2d, slim.separable_conv2d], normalizer_fn=slim.batch_norm):
        mobilenet_v1_base(images(5, 224, 224, 3))
    assert sum(math.prod(v.shape.as_list()) for v in slim.get_model_variables()) == 3217920


@pytest.mark.parametrize(("multiplier", "size", "parameters"), [(1.0, 224, 3185088), (0.75, 128, 1800144)])
def test_number_of_weights_that_the_paper_counts(graph, multiplier, size, parameters):
    with slim.arg_scope(mobilenet_v1_arg_scope()):
        mobilenet_v1_base(images(1, size, size, 3), depth_multiplier=multiplier)
    weights = [v for v in v1.trainable_variables() if v.name.endswith("weights:0")]
    assert sum(math.prod(v.shape.as_list()) for v in weights) == parameters


@pytest.mark.parametrize(
    ("shape", "options", "expected"),
    [
        ([5, 112, 112, 3], {}, [5, 4, 4, 1024]),
        ([5, 224, 224, 3], {"output_stride": 8}, [5, 28, 28, 1024]),
        ([5, 224, 224, 3], {"output_stride": 16}, [5, 14, 14, 1024]),
        ([5, 224, 224, 3], {"output_stride": 32}, [5, 7, 7, 1024]),
        ([5, 97, 129, 3], {"output_stride": 8}, [5, 13, 17, 1024]),
        ([5, 97, 129, 3], {"output_stride": 16}, [5, 7, 9, 1024]),
        ([5, 97, 129, 3], {}, [5, 4, 5, 1024]),
    ],
)
def test_explicit_padding_changes_no_shape(graph, shape, options, expected):
    net, end_points = mobilenet_v1_base(images(*shape), **options)
    assert net.shape == expected
    with tf.Graph().as_default():
        _, padded = mobilenet_v1_base(images(*shape), use_explicit_padding=True, **options)
        assert shapes(padded) == shapes(end_points)


@pytest.mark.parametrize("use_explicit_padding", [False, True])
def test_atrous_output_subsampled_is_the_dense_output(graph, run, use_explicit_padding):
    """At odd sizes also with SAME padding, which is symmetric there."""
    inputs = tf.random.stateless_normal([1, 65, 65, 3], [3, 4])
    with (
        slim.arg_scope(mobilenet_v1_arg_scope(is_training=False, stddev=0.3)),
        v1.variable_scope("", reuse=v1.AUTO_REUSE),
    ):
        options = {"depth_multiplier": 0.25, "scope": "net", "use_explicit_padding": use_explicit_padding}
        dense, _ = mobilenet_v1_base(inputs, **options)
        atrous, _ = mobilenet_v1_base(inputs, output_stride=8, **options)
    dense, atrous = run([dense, atrous[:, ::4, ::4]])
    assert dense.max() > 0
    np.testing.assert_allclose(dense, atrous, atol=1e-4 * dense.max())


def test_dense_answers_with_unsqueezed_logits(graph):
    logits, end_points = mobilenet_v1.mobilenet_v1(images(2, 353, 289, 3), 10, spatial_squeeze=False)
    assert end_points["Conv2d_13_pointwise"].shape[1:3] == [12, 10]
    assert logits.shape == [2, 3, 2, 10]


def test_own_conv_defs(graph):
    conv_defs = [Conv([3, 3], 2, 32), DepthSepConv([3, 3], 1, 64), Conv([5, 5], 2, 48)]
    _, end_points = mobilenet_v1.mobilenet_v1(
        images(1, 64, 64, 3), 10, conv_defs=conv_defs, depth_multiplier=0.5, global_pool=True
    )
    assert shapes(end_points) == {
        "Conv2d_0": [1, 32, 32, 16],
        "Conv2d_1_depthwise": [1, 32, 32, 16],
        "Conv2d_1_pointwise": [1, 32, 32, 32],
        "Conv2d_2": [1, 16, 16, 24],
        "global_pool": [1, 1, 1, 24],
        "Logits": [1, 10],
        "Predictions": [1, 10],
    }


def test_a_plain_convolution_after_the_output_stride_becomes_atrous(graph):
    conv_defs = [Conv([3, 3], 2, 8)] * 3 + [Conv([3, 3], 2, 8), DepthSepConv([3, 3], 1, 8)]
    net, _ = mobilenet_v1_base(images(1, 64, 64, 3), "Conv2d_4_pointwise", conv_defs=conv_defs, output_stride=8)
    assert net.shape == [1, 8, 8, 8]


def test_conv_defs_of_another_kind_are_refused(graph):
    with pytest.raises(ValueError, match=r"conv_defs\[1\]: expected a Conv or a DepthSepConv"):
        mobilenet_v1_base(images(1, 64, 64, 3), conv_defs=[Conv([3, 3], 2, 8), "conv"])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"depth_multiplier": 0}, "depth_multiplier"), ({"output_stride": 12}, "output_stride must be 8, 16, 32")],
)
def test_wrong_options_are_refused(graph, options, message):
    with pytest.raises(ValueError, match=message):
        mobilenet_v1_base(images(1, 64, 64, 3), **options)


def test_images_must_have_rank_four(graph):
    with pytest.raises(ValueError, match=r"rank 4.*\(2, 3\)"):
        mobilenet_v1.mobilenet_v1(images(2, 3))


def test_channels_are_cut_not_rounded_and_have_a_least(graph):
    _, end_points = mobilenet_v1_base(images(1, 64, 64, 3), depth_multiplier=0.2, min_depth=10)
    assert [end_points[f"Conv2d_{i}_pointwise"].shape[-1] for i in (1, 2, 4, 6, 13)] == [12, 25, 51, 102, 204]
    assert end_points["Conv2d_0"].shape[-1] == 10


def test_no_prediction_fn_makes_no_predictions(graph):
    _, end_points = mobilenet_v1.mobilenet_v1(images(1, 224, 224, 3), 10, prediction_fn=None)
    assert list(end_points)[-1] == "Logits"


@pytest.mark.parametrize("is_training", [True, False, None])
def test_arg_scope_sets_the_mode_unless_told_not_to(is_training):
    scope = mobilenet_v1_arg_scope(is_training=is_training)
    arguments = scope[slim.arg_scope_func_key(slim.batch_norm)]
    assert arguments.get("is_training", "unset") == ("unset" if is_training is None else is_training)


@pytest.mark.parametrize(("regularize_depthwise", "losses"), [(False, 14), (True, 27)])
def test_depthwise_weights_are_regularised_on_request(graph, regularize_depthwise, losses):
    with slim.arg_scope(mobilenet_v1_arg_scope(regularize_depthwise=regularize_depthwise)):
        mobilenet_v1_base(images(1, 64, 64, 3))
    assert len(v1.get_collection(v1.GraphKeys.REGULARIZATION_LOSSES)) == losses


def test_normalizer_fn_none_makes_biases(graph):
    with slim.arg_scope(mobilenet_v1_arg_scope(normalizer_fn=None)):
        mobilenet_v1_base(images(1, 64, 64, 3), "Conv2d_1_depthwise")
    kinds = [v.name.removeprefix("MobilenetV1/") for v in slim.get_model_variables()]
    assert kinds == [
        "Conv2d_0/weights:0",
        "Conv2d_0/biases:0",
        "Conv2d_1_depthwise/depthwise_weights:0",
        "Conv2d_1_depthwise/biases:0",
    ]


def test_width_variants_are_named_functions(graph):
    assert mobilenet_v1.mobilenet_v1_075.__name__ == "mobilenet_v1_075"
    _, end_points = mobilenet_v1.mobilenet_v1_050(images(1, 224, 224, 3), 10)
    assert end_points["Conv2d_13_pointwise"].shape[-1] == 512
    assert end_points["Predictions"].op.name == "MobilenetV1/Predictions/Reshape_1"


def test_what_tf_function_reads_off_a_narrow_network_is_its_width():
    assert inspect.signature(mobilenet_v1.mobilenet_v1_025).parameters["depth_multiplier"].default == 0.25
