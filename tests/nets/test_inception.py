"""Inception v1, v2 and v3: what the original's unit tests fix, and the options."""

import math

import numpy as np
import pytest
import tensorflow as tf

from nets import inception, inception_utils
from nets import layers as slim

v1 = tf.compat.v1


def images(*shape):
    return v1.placeholder(tf.float32, shape)


def values_in(variables):
    return sum(math.prod(variable.shape.as_list()) for variable in variables)


def shapes(end_points):
    return {key: value.shape.as_list()[1:] for key, value in end_points.items()}


@pytest.mark.parametrize(
    ("base", "size", "values"),
    [
        (inception.inception_v1_base, 224, 5607184),
        (inception.inception_v2_base, 224, 10173112),
        (inception.inception_v3_base, 299, 21802784),
    ],
)
def test_number_of_model_variable_values(graph, base, size, values):
    with slim.arg_scope(inception.inception_v1_arg_scope()):
        base(images(5, size, size, 3))
    assert values_in(slim.get_model_variables()) == values


@pytest.mark.parametrize(
    ("base", "shape", "expected"),
    [
        (inception.inception_v1_base, (5, 112, 112, 3), [5, 4, 4, 1024]),
        (inception.inception_v2_base, (5, 112, 112, 3), [5, 4, 4, 1024]),
        (inception.inception_v2_base, (5, 33, 65, 3), [5, 2, 3, 1024]),
        (inception.inception_v3_base, (5, 150, 150, 3), [5, 3, 3, 2048]),
        (inception.inception_v3_base, (5, 330, 400, 3), [5, 8, 11, 2048]),
        (inception.inception_v1_base, (5, 113, 65, 3), [5, 4, 3, 1024]),
    ],
)
def test_other_image_sizes(graph, base, shape, expected):
    net, _ = base(images(*shape))
    assert net.shape == expected


@pytest.mark.parametrize(
    "base", [inception.inception_v1_base, inception.inception_v2_base, inception.inception_v3_base]
)
def test_base_stops_at_each_end_point(graph, base):
    _, all_end_points = base(images(1, 299, 299, 3))
    names = list(all_end_points)
    for i in (0, 1, len(names) // 2, len(names) - 2):
        with tf.Graph().as_default():
            net, end_points = base(images(1, 299, 299, 3), final_endpoint=names[i])
            assert list(end_points) == names[: i + 1]
            assert end_points[names[i]] is net


@pytest.mark.parametrize("base", [inception.inception_v1_base, inception.inception_v2_base])
def test_base_without_root_block_takes_the_roots_output(graph, base):
    _, whole = base(images(5, 224, 224, 3))
    with tf.Graph().as_default():
        _, rest = base(images(5, 28, 28, 192), include_root_block=False)
        assert shapes(rest) == {key: shape for key, shape in shapes(whole).items() if key in rest}
        assert next(iter(rest)) == "Mixed_3b"
    with pytest.raises(ValueError, match="MaxPool_2a_3x3"):
        base(images(5, 28, 28, 192), "MaxPool_2a_3x3", include_root_block=False)


@pytest.mark.parametrize("multiplier", [0.5, 2.0])
@pytest.mark.parametrize(("function", "size"), [(inception.inception_v2, 224), (inception.inception_v3, 299)])
def test_depth_multiplier_scales_every_end_point(graph, function, size, multiplier):
    _, whole = function(images(5, size, size, 3), 1000)
    with tf.Graph().as_default():
        _, scaled = function(images(5, size, size, 3), 1000, depth_multiplier=multiplier)
    for key in [key for key in whole if key.startswith(("Mixed", "Conv"))]:
        assert scaled[key].shape[-1] == multiplier * whole[key].shape[-1], key


@pytest.mark.parametrize("base", [inception.inception_v2_base, inception.inception_v3_base])
def test_min_depth_is_the_least_that_a_multiplier_leaves(graph, base):
    base(images(1, 299, 299, 3), depth_multiplier=0.01, min_depth=12)
    assert {variable.shape[-1] for variable in slim.get_variables_by_suffix("/weights")} == {12}


@pytest.mark.parametrize("multiplier", [0.0, -0.1])
@pytest.mark.parametrize(
    "function",
    [inception.inception_v2, inception.inception_v2_base, inception.inception_v3, inception.inception_v3_base],
)
def test_depth_multiplier_must_be_positive(graph, function, multiplier):
    with pytest.raises(ValueError, match="depth_multiplier must be greater than zero"):
        function(images(1, 299, 299, 3), depth_multiplier=multiplier)


@pytest.mark.parametrize(
    ("options", "depthwise", "pointwise"),
    [
        ({}, [7, 7, 3, 8], [1, 1, 24, 64]),  # 64 / 3 is 21, more than the limit of 8
        ({"depth_multiplier": 0.25}, [7, 7, 3, 5], [1, 1, 15, 16]),  # 16 / 3 is 5
        ({"depth_multiplier": 0.01, "min_depth": 4}, [7, 7, 3, 1], [1, 1, 3, 4]),
        ({"depth_multiplier": 0.01, "min_depth": 2}, [7, 7, 3, 1], [1, 1, 3, 2]),  # never none at all
    ],
)
def test_v2_first_convolution_is_separable_with_bias_and_without_weight_decay(graph, options, depthwise, pointwise):
    with slim.arg_scope(inception.inception_v2_arg_scope(weight_decay=0.1)):
        inception.inception_v2_base(images(1, 224, 224, 3), "Conv2d_1a_7x7", **options)
    found = {variable.name: variable.shape.as_list() for variable in slim.get_model_variables()}
    assert found == {
        "InceptionV2/Conv2d_1a_7x7/depthwise_weights:0": depthwise,
        "InceptionV2/Conv2d_1a_7x7/pointwise_weights:0": pointwise,
        "InceptionV2/Conv2d_1a_7x7/biases:0": pointwise[-1:],
    }
    assert v1.get_collection(v1.GraphKeys.REGULARIZATION_LOSSES) == []


def test_v2_first_convolution_can_be_an_ordinary_one(graph):
    with slim.arg_scope(inception.inception_v2_arg_scope(weight_decay=0.1)):
        inception.inception_v2_base(images(1, 224, 224, 3), "Conv2d_1a_7x7", use_separable_conv=False)
    found = {v.name.removeprefix("InceptionV2/Conv2d_1a_7x7/"): v.shape.as_list() for v in slim.get_model_variables()}
    statistics = {f"BatchNorm/{name}:0": [64] for name in ("beta", "moving_mean", "moving_variance")}
    assert found == {"weights:0": [7, 7, 3, 64], **statistics}
    assert len(v1.get_collection(v1.GraphKeys.REGULARIZATION_LOSSES)) == 1


def test_v2_channels_first_has_the_variables_and_the_numbers_of_channels_last(graph, run):
    inputs = tf.random.stateless_uniform([2, 32, 48, 3], [1, 2], -1.0, 1.0)
    options = {"depth_multiplier": 0.25, "use_separable_conv": False}
    with slim.arg_scope(inception.inception_v2_arg_scope()), slim.arg_scope([slim.batch_norm], is_training=True):
        last, end_points = inception.inception_v2_base(inputs, **options)
        made = slim.get_model_variables()
        with v1.variable_scope("", reuse=True):
            first, transposed = inception.inception_v2_base(
                tf.transpose(inputs, [0, 3, 1, 2]), data_format="NCHW", scope="InceptionV2", **options
            )
    assert slim.get_model_variables() == made
    assert list(transposed) == list(end_points)
    for key, value in end_points.items():
        batch, height, width, depth = value.shape
        assert transposed[key].shape == [batch, depth, height, width], key
    early = [end_points["Mixed_4a"], tf.transpose(transposed["Mixed_4a"], [0, 2, 3, 1])]
    np.testing.assert_allclose(*run(early), rtol=1e-4, atol=1e-4)
    assert first.shape == [2, last.shape[3], 1, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data_format": "NCHW"}, "use_separable_conv=False"),
        ({"data_format": "NDHWC"}, "data_format must be NHWC or NCHW, not 'NDHWC'"),
        ({"final_endpoint": "Mixed_6a"}, "unknown final_endpoint 'Mixed_6a'; did you mean .*'Mixed_5a'"),
    ],
)
def test_v2_base_says_what_it_cannot_build(graph, options, message):
    with pytest.raises(ValueError, match=message):
        inception.inception_v2_base(images(1, 224, 224, 3), **options)
    assert v1.global_variables() == [], "found out before anything is built"


@pytest.mark.parametrize(("size", "scope"), [(224, "AvgPool_1a_7x7"), (100, "AvgPool_1a_4x4")])
def test_v2_pooling_window_shrinks_with_the_image(graph, size, scope):
    net, end_points = inception.inception_v2(images(2, size, size, 3), None)
    assert net.op.name == f"InceptionV2/Logits/{scope}/AvgPool"
    assert net.shape == end_points["AvgPool_1a"].shape == [2, 1, 1, 1024]


def test_v2_larger_images_give_a_map_of_logits_or_with_global_pool_one_answer(graph):
    logits, end_points = inception.inception_v2(images(2, 448, 320, 3), 10, spatial_squeeze=False)
    assert end_points["Mixed_5c"].shape == [2, 14, 10, 1024]
    assert logits.shape == [2, 4, 2, 10]  # the window of 7x7 has Slim's stride of 2
    with tf.Graph().as_default():
        logits, end_points = inception.inception_v2(images(2, 448, 320, 3), 10, global_pool=True)
        assert logits.shape == [2, 10]
        assert end_points["global_pool"].op.name == "InceptionV2/Logits/global_pool"
        assert "AvgPool_1a" not in end_points
    with tf.Graph().as_default(), pytest.raises(ValueError, match="a map of 4x2, not one answer per image"):
        inception.inception_v2(images(2, 448, 320, 3), 10)


def test_v3_auxiliary_logits_and_prelogits(graph):
    _, end_points = inception.inception_v3(images(5, 299, 299, 3), 1000)
    assert end_points["AuxLogits"].shape == [5, 1000]
    assert end_points["PreLogits"].shape == [5, 1, 1, 2048]
    with tf.Graph().as_default():
        _, end_points = inception.inception_v3(images(5, 299, 299, 3), 1000, create_aux_logits=False)
        assert "AuxLogits" not in end_points
        assert not slim.get_variables("InceptionV3/AuxLogits")


def test_v3_auxiliary_kernel_shrinks_with_the_image_and_its_scope_says_so(graph):
    inception.inception_v3(images(1, 150, 150, 3), 10)
    assert slim.get_variables("InceptionV3/AuxLogits/Conv2d_2a_1x1")


def test_v3_images_can_be_too_small_for_the_auxiliary_classifier_or_for_all(graph):
    with pytest.raises(ValueError, match=r"5x5 or more, found 4x4; .*create_aux_logits=False"):
        inception.inception_v3(images(1, 106, 106, 3), 10)
    with tf.Graph().as_default(), pytest.raises(ValueError, match="a map of 2x2 is too small for Conv2d_1a_3x3"):
        inception.inception_v3_base(images(1, 74, 74, 3))


@pytest.mark.parametrize("function", [inception.inception_v1, inception.inception_v2, inception.inception_v3])
@pytest.mark.parametrize("scale", [False, True])
def test_gamma_on_request_one_for_each_batch_norm(graph, function, scale):
    with slim.arg_scope(inception.inception_v3_arg_scope(batch_norm_scale=scale)):
        function(images(1, 299, 299, 3), 10, global_pool=True)
    gammas, betas = (len(slim.get_variables_by_suffix(suffix)) for suffix in ("gamma", "beta"))
    assert gammas == (betas if scale else 0)
    assert betas > 50


def test_arg_scope_without_batch_norm_makes_biases(graph):
    with slim.arg_scope(inception.inception_v1_arg_scope(use_batch_norm=False)):
        inception.inception_v1_base(images(1, 224, 224, 3), "Conv2d_2b_1x1")
    assert [v.name.split("/")[-1] for v in slim.get_model_variables()] == ["weights:0", "biases:0"] * 2


def test_arg_scope_with_updates_in_place_leaves_none_in_the_collection(graph):
    with slim.arg_scope(inception.inception_v1_arg_scope(batch_norm_updates_collections=None)):
        inception.inception_v1(images(2, 224, 224, 3), 10, is_training=True)
    assert v1.get_collection(v1.GraphKeys.UPDATE_OPS) == []


def test_arg_scope_activation_and_epsilon_reach_the_convolutions():
    scope = inception_utils.inception_arg_scope(
        activation_fn=tf.nn.elu, batch_norm_epsilon=0.1, batch_norm_decay=0.5, weight_decay=0.1
    )
    arguments = scope[slim.arg_scope_func_key(slim.conv2d)]
    assert arguments["activation_fn"] is tf.nn.elu
    assert (arguments["normalizer_params"]["epsilon"], arguments["normalizer_params"]["decay"]) == (0.1, 0.5)


@pytest.mark.parametrize(
    ("function", "op"),
    [
        (inception.inception_v1, "InceptionV1/Logits/Predictions/Reshape_1"),
        (inception.inception_v2, "InceptionV2/Predictions/Reshape_1"),
        (inception.inception_v3, "InceptionV3/Predictions/Reshape_1"),
    ],
)
def test_prediction_op_has_the_name_that_frozen_graphs_use(graph, function, op):
    _, end_points = function(images(1, 299, 299, 3), 10, global_pool=True)
    assert end_points["Predictions"].op.name == op
