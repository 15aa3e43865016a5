"""Inception v1 and v3: what the original's unit tests fix, and the options."""

import math

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
    [(inception.inception_v1_base, 224, 5607184), (inception.inception_v3_base, 299, 21802784)],
)
def test_number_of_model_variable_values(graph, base, size, values):
    with slim.arg_scope(inception.inception_v1_arg_scope()):
        base(images(5, size, size, 3))
    assert values_in(slim.get_model_variables()) == values


@pytest.mark.parametrize(
    ("base", "shape", "expected"),
    [
        (inception.inception_v1_base, (5, 112, 112, 3), [5, 4, 4, 1024]),
        (inception.inception_v3_base, (5, 150, 150, 3), [5, 3, 3, 2048]),
        (inception.inception_v3_base, (5, 330, 400, 3), [5, 8, 11, 2048]),
        (inception.inception_v1_base, (5, 113, 65, 3), [5, 4, 3, 1024]),
    ],
)
def test_other_image_sizes(graph, base, shape, expected):
    net, _ = base(images(*shape))
    assert net.shape == expected


@pytest.mark.parametrize("base", [inception.inception_v1_base, inception.inception_v3_base])
def test_base_stops_at_each_end_point(graph, base):
    _, all_end_points = base(images(1, 299, 299, 3))
    names = list(all_end_points)
    for i in (0, 1, len(names) // 2, len(names) - 2):
        with tf.Graph().as_default():
            net, end_points = base(images(1, 299, 299, 3), final_endpoint=names[i])
            assert list(end_points) == names[: i + 1]
            assert end_points[names[i]] is net


def test_v1_base_without_root_block_takes_the_roots_output(graph):
    _, whole = inception.inception_v1_base(images(5, 224, 224, 3))
    with tf.Graph().as_default():
        _, rest = inception.inception_v1_base(images(5, 28, 28, 192), include_root_block=False)
        assert shapes(rest) == {key: shape for key, shape in shapes(whole).items() if key in rest}
        assert next(iter(rest)) == "Mixed_3b"
    with pytest.raises(ValueError, match="MaxPool_2a_3x3"):
        inception.inception_v1_base(images(5, 28, 28, 192), "MaxPool_2a_3x3", include_root_block=False)


@pytest.mark.parametrize("multiplier", [0.5, 2.0])
def test_v3_depth_multiplier_scales_every_end_point(graph, multiplier):
    _, whole = inception.inception_v3(images(5, 299, 299, 3), 1000)
    with tf.Graph().as_default():
        _, scaled = inception.inception_v3(images(5, 299, 299, 3), 1000, depth_multiplier=multiplier)
    for key in [key for key in whole if key.startswith(("Mixed", "Conv"))]:
        assert scaled[key].shape[-1] == multiplier * whole[key].shape[-1], key


def test_v3_min_depth_is_the_least_that_a_multiplier_leaves(graph):
    inception.inception_v3_base(images(1, 299, 299, 3), depth_multiplier=0.01, min_depth=12)
    assert {variable.shape[-1] for variable in slim.get_variables_by_suffix("weights")} == {12}


@pytest.mark.parametrize("multiplier", [0.0, -0.1])
def test_v3_depth_multiplier_must_be_positive(graph, multiplier):
    for function in (inception.inception_v3, inception.inception_v3_base):
        with pytest.raises(ValueError, match="depth_multiplier must be greater than zero"):
            function(images(1, 299, 299, 3), depth_multiplier=multiplier)


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


@pytest.mark.parametrize("function", [inception.inception_v1, inception.inception_v3])
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
        (inception.inception_v3, "InceptionV3/Predictions/Reshape_1"),
    ],
)
def test_prediction_op_has_the_name_that_frozen_graphs_use(graph, function, op):
    _, end_points = function(images(1, 299, 299, 3), 10, global_pool=True)
    assert end_points["Predictions"].op.name == op
