"""Inception v4 and Inception-ResNet v2: what the original's unit tests fix, and the options."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from nets import inception, inception_resnet_v2, inception_utils, inception_v4
from nets import layers as slim

v1 = tf.compat.v1

# function: (base, its last end point, the end point that the auxiliary classifier reads, arg scope)
NETWORKS = {
    inception.inception_v4: (inception.inception_v4_base, "Mixed_7d", "Mixed_6h", inception.inception_v4_arg_scope),
    inception.inception_resnet_v2: (
        inception.inception_resnet_v2_base,
        "Conv2d_7b_1x1",
        "PreAuxLogits",
        inception.inception_resnet_v2_arg_scope,
    ),
}

each_network = pytest.mark.parametrize("function", NETWORKS)


def images(*shape):
    return v1.placeholder(tf.float32, shape)


@pytest.fixture(scope="module")
def built(request):
    """A network in training and, on the same variables, in evaluation, at the smallest size for all of its parts."""
    function, (_, _, _, arg_scope) = request.param, NETWORKS[request.param]
    with tf.Graph().as_default() as graph, slim.arg_scope(arg_scope(batch_norm_scale=True)):
        training = function(images(2, 107, 107, 3), 7)
        variables = v1.global_variables()
        evaluation = function(images(2, 107, 107, 3), 7, is_training=False, reuse=True)
        assert v1.global_variables() == variables
        yield function, graph, training, evaluation


each_built = pytest.mark.parametrize("built", NETWORKS, indirect=True)


@each_built
def test_heads_of_training_and_evaluation(built):
    function, _, *modes = built
    _, last, auxiliary, _ = NETWORKS[function]
    for logits, end_points in modes:
        assert end_points["Logits"] is logits
        assert logits.shape == end_points["AuxLogits"].shape == end_points["Predictions"].shape == [2, 7]
        assert end_points[auxiliary].shape[1:3] == [5, 5]
        assert end_points[last].shape[1:] == [2, 2, 1536]
        assert end_points["PreLogitsFlatten"].shape == [2, 1536]


@each_built
def test_gamma_on_request_one_for_each_batch_norm(built):
    with built[1].as_default():
        gammas, betas = (len(slim.get_variables_by_suffix(suffix)) for suffix in ("gamma", "beta"))
    assert gammas == betas > 100


@each_built
def test_ops_have_the_names_that_frozen_graphs_use(built):
    function, _, (logits, end_points), _ = built
    name, pool = {
        inception.inception_v4: ("InceptionV4", "AvgPool_1a"),
        inception.inception_resnet_v2: ("InceptionResnetV2", "AvgPool_1a_8x8"),
    }[function]
    assert end_points["Predictions"].op.name == f"{name}/Logits/Predictions"
    assert logits.op.name == f"{name}/Logits/Logits/BiasAdd"
    assert end_points["global_pool"].op.name == f"{name}/Logits/{pool}/AvgPool"


@each_network
def test_base_at_150_pixels_and_up_to_each_end_point(graph, function):
    base, last, auxiliary, _ = NETWORKS[function]
    net, end_points = base(images(5, 150, 150, 3))
    names = list(end_points)
    assert names[-1] == last
    assert net.shape == [5, 3, 3, 1536]
    assert end_points[auxiliary].shape[1:3] == [7, 7]
    for count in (1, 3, 9):
        with tf.Graph().as_default():
            net, end_points = base(images(5, 150, 150, 3), final_endpoint=names[count - 1])
            assert list(end_points) == names[:count]
            assert end_points[names[count - 1]] is net


@each_network
def test_base_lists_near_matches_of_an_unknown_end_point(graph, function):
    with pytest.raises(ValueError, match=r"unknown final_endpoint 'Mixed_5x'; did you mean .*'Mixed_5.'"):
        NETWORKS[function][0](images(1, 299, 299, 3), "Mixed_5x")
    assert v1.global_variables() == []


@each_network
def test_base_tells_that_images_are_too_small(graph, function):
    with pytest.raises(ValueError, match="a map of 1x1 is too small for Conv2d_2a_3x3, which needs 3x3; use larger"):
        NETWORKS[function][0](images(1, 4, 4, 3))


@each_network
def test_height_and_width_may_be_unknown_without_auxiliary_classifier(graph, function):
    logits, end_points = function(images(None, None, None, 3), 7, create_aux_logits=False)
    assert logits.shape.as_list() == [None, 7]
    assert end_points["global_pool"].op.name.endswith("/Logits/global_pool")
    assert end_points["PreLogitsFlatten"].shape.as_list() == [None, 1536]
    assert "AuxLogits" not in end_points
    assert not [variable for variable in v1.global_variables() if "/AuxLogits/" in variable.name]


@pytest.mark.parametrize(
    ("height", "width", "message"),
    [
        (4, 17, "needs a map of 5x5 or more, found 4x17; use larger images, or create_aux_logits=False"),
        (17, 4, "needs a map of 5x5 or more, found 17x4"),
        (None, None, "needs images of known height and width, .*; use create_aux_logits=False"),
        (17, None, "needs images of known height and width"),
    ],
)
def test_auxiliary_classifier_of_no_size_that_it_knows(graph, height, width, message):
    net = images(2, height, width, 32)
    with pytest.raises(ValueError, match=f"the auxiliary classifier {message}") as info:
        inception_utils.auxiliary_classifier(net, 7, conv_scope="Conv2d_2a", logits_scope="Aux_logits")
    assert "\n" not in str(info.value)
    assert v1.global_variables() == []


@pytest.mark.parametrize(
    ("side", "kernel"),
    [((5, 5), [1, 1]), ((7, 8), [1, 2]), ((17, 17), [5, 5]), ((17, 10), [5, 2]), ((20, 21), [6, 6])],
)
def test_auxiliary_convolution_covers_its_map(graph, side, kernel):
    logits = inception_utils.auxiliary_classifier(
        images(None, *side, 32), 7, conv_scope="Conv2d_2a", logits_scope="Aux_logits"
    )
    assert logits.shape.as_list() == [None, 7]
    (weights,) = slim.get_variables("AuxLogits/Conv2d_2a/weights")
    assert weights.shape == [*kernel, 128, 768]


def test_mean_of_map_is_the_same_whether_the_size_is_known_or_not(graph, run):
    values = np.random.RandomState(1).uniform(size=(2, 3, 5, 4)).astype(np.float32)
    unknown = images(2, None, None, 4)
    pooled, mean = (inception_utils.mean_of_map(net, "AvgPool") for net in (tf.constant(values), unknown))
    for found in run([pooled, mean], {unknown: values}):
        np.testing.assert_allclose(found, values.mean((1, 2), keepdims=True), rtol=1e-6)
    assert (pooled.op.type, mean.op.type) == ("AvgPool", "Mean")


def test_variables_stay_on_the_device_that_was_asked_for(graph):
    with tf.device("/cpu:0"):
        inception.inception_v4_base(images(1, 107, 107, 3), "Mixed_5a")
    assert {variable.device for variable in v1.global_variables()} == {"/device:CPU:0"}


# -- Inception v4 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block", "scope", "shape", "expected", "weights"),
    [
        (inception_v4.block_inception_a, "BlockInceptionA", (2, 35, 33, 7), [2, 35, 33, 384], 7),
        (inception_v4.block_reduction_a, "BlockReductionA", (2, 35, 34, 7), [2, 17, 16, 640 + 7], 4),
        (inception_v4.block_inception_b, "BlockInceptionB", (2, 17, 16, 7), [2, 17, 16, 1024], 10),
        (inception_v4.block_reduction_b, "BlockReductionB", (2, 17, 16, 7), [2, 8, 7, 512 + 7], 6),
        (inception_v4.block_inception_c, "BlockInceptionC", (2, 8, 7, 7), [2, 8, 7, 1536], 10),
    ],
)
def test_v4_blocks_work_alone(graph, block, scope, shape, expected, weights):
    assert block(images(*shape)).shape == expected
    made = v1.global_variables()
    assert all(variable.name.startswith(f"{scope}/Branch_") for variable in made)
    assert len([variable for variable in made if variable.name.endswith("weights:0")]) == weights
    block(images(*shape), scope=scope, reuse=True)
    assert v1.global_variables() == made
    block(images(*shape), "mine")
    assert len(slim.get_variables("mine/")) == len(made)


# -- Inception-ResNet v2 ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def aligned():
    """The base with options that do not meet: aligned maps, and another activation."""
    with tf.Graph().as_default() as graph:
        _, end_points = inception.inception_resnet_v2_base(
            images(5, 299, 130, 3), align_feature_maps=True, activation_fn=tf.nn.relu6
        )
        yield graph, end_points


def test_aligned_maps_have_the_images_side_over_their_stride(aligned):
    assert {key: tuple(value.shape[1:3]) for key, value in aligned[1].items()} == {
        "Conv2d_1a_3x3": (150, 65),
        "Conv2d_2a_3x3": (150, 65),
        "Conv2d_2b_3x3": (150, 65),
        "MaxPool_3a_3x3": (75, 33),
        "Conv2d_3b_1x1": (75, 33),
        "Conv2d_4a_3x3": (75, 33),
        "MaxPool_5a_3x3": (38, 17),
        "Mixed_5b": (38, 17),
        "Mixed_6a": (19, 9),
        "PreAuxLogits": (19, 9),
        "Mixed_7a": (10, 5),
        "Conv2d_7b_1x1": (10, 5),
    }


def test_activation_fn_is_that_of_the_sums_alone(aligned):
    types = [op.type for op in aligned[0].get_operations()]
    assert types.count("Relu6") == 10 + 20 + 9, "the last block has none"


@pytest.mark.parametrize(
    ("final_endpoint", "options", "side"),
    [("PreAuxLogits", {}, 33), ("Mixed_6a", {"align_feature_maps": True}, 38)],
)
def test_output_stride_8_keeps_the_stems_maps(graph, final_endpoint, options, side):
    net, end_points = inception.inception_resnet_v2_base(
        images(5, 299, 299, 3), final_endpoint, output_stride=8, **options
    )
    assert net.shape == end_points["Mixed_6a"].shape == [5, side, side, 1088]


def test_output_stride_8_is_the_dense_form_of_16(graph, run):
    """With the same weights every second pixel of the larger map is one of the smaller map."""
    inputs = tf.random.stateless_uniform([1, 91, 75, 3], [1, 2], -1.0, 1.0)
    base = functools.partial(inception.inception_resnet_v2_base, inputs, "PreAuxLogits", scope="InceptionResnetV2")
    with v1.variable_scope("", reuse=v1.AUTO_REUSE):
        with (
            slim.arg_scope(inception.inception_resnet_v2_arg_scope()),
            slim.arg_scope([slim.batch_norm], is_training=False),
        ):
            (coarse, _), (dense, _) = base(), base(output_stride=8)
    assert (coarse.shape, dense.shape) == ([1, 4, 3, 1088], [1, 7, 5, 1088])
    coarse, dense = run([coarse, dense])
    np.testing.assert_allclose(dense[:, ::2, ::2], coarse, rtol=1e-3, atol=1e-3 * np.abs(coarse).max())
    assert np.abs(coarse).max() > 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_stride": 32}, "output_stride must be 8 or 16, not 32"),
        ({"output_stride": 8}, "output_stride 8 goes up to PreAuxLogits, not to Conv2d_7b_1x1"),
        ({"output_stride": 8, "final_endpoint": "Mixed_7a"}, "not to Mixed_7a"),
    ],
)
def test_output_stride_says_what_it_can_be(graph, options, message):
    with pytest.raises(ValueError, match=message):
        inception.inception_resnet_v2_base(images(1, 299, 299, 3), **options)
    assert v1.global_variables() == [], "found out before anything is built"


BLOCKS = {
    "Block35": (inception_resnet_v2.block35, 6, (2, 35, 34, 320)),
    "Block17": (inception_resnet_v2.block17, 4, (2, 17, 16, 1088)),
    "Block8": (inception_resnet_v2.block8, 4, (2, 8, 7, 2080)),
}
each_block = pytest.mark.parametrize("scope", BLOCKS)


@each_block
def test_residual_blocks_work_alone(graph, scope):
    block, convolutions, shape = BLOCKS[scope]
    with slim.arg_scope(inception.inception_resnet_v2_arg_scope()):
        assert block(images(*shape)).shape == shape
        made = v1.global_variables()
        assert all(variable.name.startswith(f"{scope}/") for variable in made)
        assert len([v for v in made if v.name.endswith("BatchNorm/beta:0")]) == convolutions
        assert [v.name for v in made if v.name.endswith("biases:0")] == [f"{scope}/Conv2d_1x1/biases:0"]
        block(images(*shape), scope=scope, reuse=True)
        assert v1.global_variables() == made
        assert block.__name__ == scope.lower()


@each_block
@pytest.mark.parametrize(
    ("bias", "scale", "activation_fn", "expected"),
    [  # the input is 10 everywhere, the residual is the bias times the scale
        (-100.0, 0.5, tf.nn.relu, 0.0),
        (-100.0, 0.5, None, -40.0),
        (-100.0, 0.05, tf.nn.relu, 5.0),
        (100.0, 0.17, tf.nn.relu, 27.0),
        (100.0, 1.0, tf.nn.relu, 110.0),
        (-100.0, 0.5, tf.nn.relu6, 4.0),
        (-100.0, 0.5, v1.nn.relu6, 4.0),
        (-100.0, 0.05, tf.nn.relu6, 5.0),
        (100.0, 0.5, tf.nn.relu6, 6.0),
        (-100.0, 0.5, tf.nn.elu, np.expm1(-40.0)),
    ],
)
def test_residual_is_scaled_clipped_for_relu6_and_added(graph, run, scope, bias, scale, activation_fn, expected):
    block = BLOCKS[scope][0]
    with slim.arg_scope(
        [slim.conv2d],
        weights_initializer=v1.zeros_initializer(),
        biases_initializer=v1.constant_initializer(bias),
    ):
        net = block(tf.fill([1, 2, 3, 4], 10.0), scale, activation_fn)
    np.testing.assert_allclose(run(net), np.full([1, 2, 3, 4], expected), rtol=1e-6)


def test_arg_scope_decays_weights_and_biases(graph):
    with slim.arg_scope(inception.inception_resnet_v2_arg_scope(weight_decay=0.5)):
        net = inception_resnet_v2.block8(images(1, 3, 3, 4), scope="block")
        slim.fully_connected(net, 2, scope="fc")
    losses = [loss.op.name for loss in v1.get_collection(v1.GraphKeys.REGULARIZATION_LOSSES)]
    assert len(losses) == 5 + 1 + 2
    assert sorted(name for name in losses if "bias" in name) == [
        "block/Conv2d_1x1/bias/Regularizer/l2_regularizer",
        "fc/bias/Regularizer/l2_regularizer",
    ]


def test_arg_scope_options_reach_the_convolutions():
    scope = inception.inception_resnet_v2_arg_scope(0.1, 0.5, 0.25, tf.nn.elu, None, True)
    arguments = scope[slim.arg_scope_func_key(slim.conv2d)]
    assert arguments["activation_fn"] is tf.nn.elu
    assert arguments["normalizer_fn"] is slim.batch_norm
    assert arguments["normalizer_params"] == {
        "decay": 0.5,
        "epsilon": 0.25,
        "updates_collections": None,
        "scale": True,
    }
    assert "weights_initializer" not in arguments, "Xavier's, the layers' own"
