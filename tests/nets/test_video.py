"""I3D and S3D-G: what the original's unit tests fix, and the options."""

import numpy as np
import pytest
import tensorflow as tf

from nets import i3d, i3d_utils, nets_factory, s3dg
from nets import layers as slim
from nets.network import Network

v1 = tf.compat.v1

NETWORKS = ("i3d", "s3dg")
BASES = {"i3d": i3d.i3d_base, "s3dg": s3dg.s3dg_base}
each_network = pytest.mark.parametrize("name", NETWORKS)
each_base = pytest.mark.parametrize("base", BASES.values(), ids=BASES)

END_POINTS = {  # of 64 frames of 224 pixels
    "Conv2d_1a_7x7": [32, 112, 112, 64],
    "MaxPool_2a_3x3": [32, 56, 56, 64],
    "Conv2d_2b_1x1": [32, 56, 56, 64],
    "Conv2d_2c_3x3": [32, 56, 56, 192],
    "MaxPool_3a_3x3": [32, 28, 28, 192],
    "Mixed_3b": [32, 28, 28, 256],
    "Mixed_3c": [32, 28, 28, 480],
    "MaxPool_4a_3x3": [16, 14, 14, 480],
    "Mixed_4b": [16, 14, 14, 512],
    "Mixed_4c": [16, 14, 14, 512],
    "Mixed_4d": [16, 14, 14, 512],
    "Mixed_4e": [16, 14, 14, 528],
    "Mixed_4f": [16, 14, 14, 832],
    "MaxPool_5a_2x2": [8, 7, 7, 832],
    "Mixed_5b": [8, 7, 7, 832],
    "Mixed_5c": [8, 7, 7, 1024],
}
BLOCKS = ["Conv2d_2c_3x3", *(key for key in END_POINTS if key.startswith("Mixed"))]


def clips(*shape):
    return v1.placeholder(tf.float32, shape)


def clip_values(*shape):
    return tf.random.stateless_uniform(shape, [3, 4], -1.0, 1.0)


def build(name, inputs, num_classes=3, is_training=False, weight_decay=0.0, **options):
    return nets_factory.get_network_fn(name, num_classes, weight_decay, is_training)(inputs, **options)


def small(**options):
    """Arguments of a narrow S3D-G."""
    return {"depth_multiplier": 0.05, "min_depth": 2, **options}


def names(suffix):
    return [variable.op.name for variable in slim.get_variables_by_suffix(suffix)]


# -- shapes ----------------------------------------------------------------------------------------------------------


@each_base
def test_end_points_of_64_frames(graph, base):
    _, end_points = base(clips(5, 64, 224, 224, 3))
    assert {key: value.shape.as_list()[1:] for key, value in end_points.items()} == END_POINTS
    assert list(end_points) == list(END_POINTS)


@each_base
@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 64, 112, 112, 3), [5, 8, 4, 4, 1024]),
        ((5, 10, 224, 224, 3), [5, 2, 7, 7, 1024]),
        ((2, 1, 65, 33, 3), [2, 1, 3, 2, 1024]),
        ((None, None, None, None, 3), [None, None, None, None, 1024]),
    ],
)
def test_other_clips(graph, base, shape, expected):
    net, _ = base(clips(*shape))
    assert net.shape.as_list() == expected


@each_base
@pytest.mark.parametrize("last", [0, 3, 14])
def test_base_stops_at_each_end_point(graph, base, last):
    key = list(END_POINTS)[last]
    net, end_points = base(clips(1, 64, 224, 224, 3), final_endpoint=key)
    assert list(end_points) == list(END_POINTS)[: last + 1]
    assert end_points[key] is net


@each_base
def test_unknown_final_endpoint_lists_near_matches(graph, base):
    with pytest.raises(ValueError, match=r"unknown final_endpoint 'Mixed_5d'; did you mean .*'Mixed_5c'"):
        base(clips(1, 8, 32, 32, 3), final_endpoint="Mixed_5d")
    assert v1.global_variables() == []


@each_network
@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 10, 112, 112, 3), [5, 400]),
        ((None, None, 32, 48, 3), [None, 400]),
        ((None, None, None, None, 3), [None, 400]),
    ],
)
def test_logits_and_predictions(graph, name, shape, expected):
    logits, end_points = build(name, clips(*shape), 400)
    assert logits.shape.as_list() == expected
    assert end_points["Logits"] is logits
    assert end_points["Predictions"].shape.as_list() == expected
    assert list(end_points) == [*END_POINTS, "Logits", "Predictions"]
    assert end_points["Predictions"].op.name == "InceptionV1/Logits/Predictions/Reshape_1"


@pytest.mark.parametrize(("name", "num_classes"), [("i3d", None), ("s3dg", 0)])
def test_without_classes_the_pooled_features_come_back(graph, name, num_classes):
    net, end_points = build(name, clips(2, 24, 224, 224, 3), num_classes, is_training=True)
    assert net.shape.as_list() == [2, 2, 1, 1, 1024]
    assert list(end_points) == [*END_POINTS, "AvgPool_0a_7x7"]
    assert end_points["AvgPool_0a_7x7"] is net
    assert not slim.get_variables("InceptionV1/Logits")


@each_network
def test_logits_are_a_map_on_request_and_must_be_one_answer_otherwise(graph, name):
    logits, end_points = build(name, clips(2, 8, 256, 320, 3), spatial_squeeze=False)
    assert logits.shape == end_points["Predictions"].shape == [2, 2, 4, 3]
    with tf.Graph().as_default():
        with pytest.raises(ValueError, match="a map of 2x4, not one answer per image; use smaller frames"):
            build(name, clips(2, 8, 256, 320, 3))


# -- the head --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [1, 2, 3, 5])
@pytest.mark.parametrize("num_classes", [None, 4])
def test_the_answer_does_not_depend_on_whether_the_graph_knows_the_number_of_frames(graph, run, frames, num_classes):
    values = clip_values(2, frames, 3, 7, 6)

    def head(net):
        return i3d_utils.build_head(net, {}, num_classes, 1.0, slim.softmax, True)[0]

    with v1.variable_scope("", reuse=v1.AUTO_REUSE):
        outputs = [head(values), head(v1.placeholder_with_default(values, [None, None, 3, 7, 6]))]
    np.testing.assert_allclose(*run(outputs), rtol=1e-4, atol=1e-6)


def test_logits_are_the_mean_over_time_of_windows_of_two_frames(graph, run):
    """Of three frames the middle one is in both windows."""
    logits, end_points = build("s3dg", clip_values(1, 24, 32, 32, 3), **small())
    assert end_points["Mixed_5c"].shape[1:4] == [3, 1, 1]
    weights, biases = slim.get_variables("InceptionV1/Logits/Conv2d_0c_1x1")
    logits, net, weights, biases = run([logits, end_points["Mixed_5c"], weights, biases])
    features = (net[0, 0, 0, 0] + 2 * net[0, 1, 0, 0] + net[0, 2, 0, 0]) / 4
    np.testing.assert_allclose(logits[0], features @ weights[0, 0, 0] + biases, rtol=1e-4, atol=1e-6)


def test_reduced_kernel_is_no_larger_than_what_is_known_of_the_map(graph):
    for shape, expected in [
        ((1, 8, 7, 7, 4), [2, 7, 7]),
        ((1, 1, 9, 3, 4), [1, 7, 3]),
        ((1, None, None, 5, 4), [2, 7, 5]),
    ]:
        assert i3d_utils.reduced_kernel_size_3d(clips(*shape), [2, 7, 7]) == expected


@each_network
def test_evaluation_reuses_the_variables_of_training_and_takes_another_prediction_function(graph, name):
    build(name, clips(2, 8, 32, 32, 3), is_training=True)
    made = len(v1.global_variables())
    _, end_points = build(name, clips(2, 8, 32, 32, 3), reuse=True, prediction_fn=lambda x, scope: tf.sigmoid(x))
    assert len(v1.global_variables()) == made
    assert end_points["Predictions"].op.type == "Sigmoid"
    with tf.Graph().as_default():
        build(name, clips(2, 8, 32, 32, 3), scope="Elsewhere")
        assert all(variable.name.startswith("Elsewhere/") for variable in v1.global_variables())


# -- options ---------------------------------------------------------------------------------------------------------


def from_block_on(start):
    return BLOCKS[BLOCKS.index(start) :] if start in BLOCKS else []


@pytest.mark.parametrize(
    ("temporal", "gating"),
    [
        ("Conv2d_2c_3x3", "Mixed_3b"),
        ("Mixed_4b", "Conv2d_2c_3x3"),
        ("Mixed_5c", None),
        (None, "Mixed_5c"),
        ("all", "MaxPool_4a_3x3"),
        ("Conv2d_2b_1x1", "Mixed"),
    ],
)
def test_temporal_kernels_and_gating_start_at_a_block_and_with_another_name_nowhere(graph, temporal, gating):
    build("s3dg", clips(1, 8, 32, 32, 3), temporal_conv_startat=temporal, gating_startat=gating)
    temporal_convs, gates = names("temporal/weights"), names("self_gating/transformer_W/weights")
    per_block = {block: 1 if block.startswith("Conv") else 2 for block in BLOCKS}
    blocks = [name.split("/")[1] for name in temporal_convs]
    assert blocks == [block for block in from_block_on(temporal) for _ in range(per_block[block])]
    assert len(names("temporal/biases")) == len(temporal_convs)
    blocks = [name.split("/")[1] for name in gates]
    assert blocks == [block for block in from_block_on(gating) for _ in range(per_block[block] ** 2)]


@pytest.mark.parametrize("separable", [False, True])
def test_i3d_separates_its_convolutions_on_request(graph, separable):
    with slim.arg_scope(i3d.i3d_arg_scope(separable_conv3d=separable)):
        i3d.i3d_base(clips(1, 8, 32, 32, 3))
    shapes = {v.op.name: v.shape.as_list() for v in slim.get_variables_by_suffix("weights")}
    assert shapes["InceptionV1/Conv2d_1a_7x7/weights"] == [7, 7, 7, 3, 64]
    assert shapes["InceptionV1/Conv2d_2c_3x3/weights"] == [1 if separable else 3, 3, 3, 64, 192]
    assert shapes.get("InceptionV1/Conv2d_2c_3x3/temporal/weights") == ([3, 1, 1, 192, 192] if separable else None)
    assert len(shapes) == 57 + (19 if separable else 0)
    assert not names("transformer_W/weights")


@pytest.mark.parametrize("size", [1, 3, 5, 7])
def test_first_temporal_kernel_size(graph, size):
    s3dg.s3dg_base(clips(1, 8, 32, 32, 3), first_temporal_kernel_size=size, final_endpoint="Conv2d_1a_7x7")
    assert slim.get_model_variables()[0].shape == [size, 7, 7, 3, 64]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"first_temporal_kernel_size": 2}, "first_temporal_kernel_size can only be 1, 3, 5 or 7, not 2"),
        ({"first_temporal_kernel_size": 9}, "first_temporal_kernel_size can only be 1, 3, 5 or 7, not 9"),
        ({"depth_multiplier": 0}, "depth_multiplier must be greater than zero"),
        ({"depth_multiplier": -0.5}, "depth_multiplier must be greater than zero"),
        ({"data_format": "NHWC"}, "invalid data_format 'NHWC': it has to be either NDHWC or NCDHW"),
    ],
)
def test_wrong_options_are_told_before_anything_is_built(graph, options, message):
    for function in (s3dg.s3dg_base, s3dg.s3dg):
        with pytest.raises(ValueError, match=message):
            function(clips(1, 8, 32, 32, 3), **options)
    assert v1.global_variables() == []


def test_a_kernel_has_three_sides(graph):
    with pytest.raises(ValueError, match=r"kernel_size must be \(frames, height, width\)"):
        i3d_utils.conv3d_spatiotemporal(clips(1, 8, 32, 32, 3), 4, [3, 3], scope="conv")


@pytest.mark.parametrize("multiplier", [0.5, 1.5])
def test_depth_multiplier_scales_every_end_point(graph, multiplier):
    _, end_points = s3dg.s3dg_base(clips(1, 8, 32, 32, 3), depth_multiplier=multiplier, min_depth=1)
    expected = {key: multiplier * shape[-1] for key, shape in END_POINTS.items()}
    assert {key: value.shape[-1] for key, value in end_points.items()} == expected


def test_min_depth_is_the_least_that_a_multiplier_leaves(graph):
    s3dg.s3dg_base(clips(1, 8, 32, 32, 3), depth_multiplier=0.01, min_depth=12)
    assert {variable.shape[-1] for variable in slim.get_variables_by_suffix("weights")} == {12}


def test_classifier_on_an_earlier_end_point(graph):
    logits, end_points = build("s3dg", clips(1, 8, 32, 64, 3), final_endpoint="Mixed_4c")
    assert list(end_points)[-3:] == ["Mixed_4c", "Logits", "Predictions"]
    assert logits.shape == [1, 3]
    assert slim.get_variables("InceptionV1/Logits/Conv2d_0c_1x1")[0].shape == [1, 1, 1, 512, 3]


@pytest.mark.parametrize("is_training", [False, True])
def test_channels_first_gives_the_same_numbers(graph, run, is_training):
    """Frames, height and width all differ, so that no two axes can be taken for each other."""
    values = clip_values(2, 12, 32, 64, 3)
    options = small(dropout_keep_prob=1.0, is_training=is_training, final_endpoint="Mixed_4b")
    with v1.variable_scope("", reuse=v1.AUTO_REUSE), slim.arg_scope(s3dg.s3dg_arg_scope()):
        last, last_end_points = s3dg.s3dg(values, 3, **options)
        made = len(v1.global_variables())
        transposed = tf.transpose(values, [0, 4, 1, 2, 3])
        first, first_end_points = s3dg.s3dg(transposed, 3, data_format="NCDHW", **options)
    assert len(v1.global_variables()) == made
    for key in ("Conv2d_1a_7x7", "MaxPool_4a_3x3", "Mixed_4b"):
        sizes = last_end_points[key].shape.as_list()
        assert first_end_points[key].shape.as_list() == [sizes[0], sizes[4], *sizes[1:4]]
    (last, first), variables = run([[last, first], v1.global_variables()])
    assert all(np.isfinite(variable).all() for variable in variables)
    np.testing.assert_allclose(first, last, rtol=1e-3, atol=1e-5)


# -- layers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data_format", ["NDHWC", "NCDHW"])
def test_gating_by_hand_on_a_map_of_three_different_sides(graph, run, data_format):
    """gate = sigmoid(means of all places times W); the original swapped height and width when it tiled."""
    inputs = tf.reshape(tf.range(2.0 * 2 * 3 * 4 * 2), [2, 2, 3, 4, 2]) / 10
    first = data_format == "NCDHW"
    given = tf.transpose(inputs, [0, 4, 1, 2, 3]) if first else inputs
    gated = s3dg.self_gating(given, "layer", data_format)
    (weights,) = v1.global_variables()
    assert weights.op.name == "layer/self_gating/transformer_W/weights"
    outputs, inputs, weights = run([tf.transpose(gated, [0, 2, 3, 4, 1]) if first else gated, inputs, weights])
    gates = 1 / (1 + np.exp(-inputs.mean(axis=(1, 2, 3)) @ weights[0, 0, 0]))
    np.testing.assert_allclose(outputs, inputs * gates[:, None, None, None], rtol=1e-5)
    assert np.abs(weights).max() <= 0.02, "a normal distribution of deviation 0.01, cut at two deviations"


def test_temporal_kernels_start_as_the_identity():
    network = Network("s3dg", 3, image_size=32)
    network.initialize()
    temporal = {name: v for name, v in network.variables_by_name.items() if name.endswith("temporal/weights")}
    assert len(temporal) == 19
    for variable in temporal.values():
        frames, _, _, channels, _ = variable.shape
        expected = np.zeros(variable.shape)
        expected[frames // 2, 0, 0] = np.eye(channels)
        np.testing.assert_array_equal(variable, expected)


def test_initial_values_follow_from_the_seed():
    def drawn(seed):
        network = Network("s3dg", 3, image_size=32, seed=seed, **small())
        network.initialize()
        return {name: variable.numpy() for name, variable in network.variables_by_name.items()}

    first, again, other = drawn(1), drawn(1), drawn(2)
    differ = [name for name in first if (first[name] != other[name]).any()]
    assert all((first[name] == again[name]).all() for name in first)
    assert differ == [name for name in first if name.endswith("weights") and "/temporal/" not in name]
    deviations = {name: first[name].std() for name in differ if first[name].size > 1000 and "Logits" not in name}
    assert len(deviations) > 1
    assert all(0.007 < value < 0.0105 for value in deviations.values()), "0.0088 is expected"


@pytest.mark.parametrize(
    ("stride", "expected"), [(1, [5, 7, 9]), (2, [3, 4, 5]), ([1, 2, 2], [5, 4, 5]), ((2, 1, 3), [3, 7, 3])]
)
@pytest.mark.parametrize("separable", [False, True])
def test_strides_are_split_between_space_and_time(graph, stride, expected, separable):
    net = i3d_utils.conv3d_spatiotemporal(clips(1, 5, 7, 9, 2), 4, [3, 3, 3], stride, separable=separable, scope="conv")
    assert net.shape.as_list()[1:4] == expected


def test_a_separated_convolution_is_at_first_the_one_in_space_alone(graph, run):
    """The temporal one has bias and activation and no normalizer; its identity leaves what relu has let through."""
    options = {"activation_fn": tf.nn.relu, "normalizer_fn": slim.batch_norm}
    both = i3d_utils.conv3d_spatiotemporal(
        clip_values(1, 4, 5, 5, 2), 3, [3, 3, 3], separable=True, scope="conv", **options
    )
    space = graph.get_operation_by_name("conv/Relu").outputs[0]
    assert [variable.op.name for variable in v1.global_variables()] == [
        "conv/weights",
        "conv/BatchNorm/beta",
        "conv/BatchNorm/moving_mean",
        "conv/BatchNorm/moving_variance",
        "conv/temporal/weights",
        "conv/temporal/biases",
    ]
    both, space = run([both, space])
    assert space.max() > 0
    np.testing.assert_allclose(both, space, rtol=1e-6)


def test_module_stands_alone(graph):
    """Without any arg scope, and with other depths: pools and convolutions keep the map's size."""
    net = i3d_utils.inception_block_v1_3d(clips(2, 3, 5, 7, 4), 1, 2, 3, 4, 5, 6, temporal_kernel_size=5, scope="m")
    assert net.shape == [2, 3, 5, 7, 1 + 3 + 5 + 6]
    assert slim.get_variables("m/Branch_2/Conv2d_0b_3x3/weights")[0].shape == [5, 3, 3, 4, 5]


# -- arg scopes ------------------------------------------------------------------------------------------------------


@each_network
def test_moving_statistics_are_in_a_collection_of_their_own(graph, name):
    build(name, clips(1, 8, 32, 32, 3), is_training=True)
    moving = [variable.op.name for variable in v1.get_collection("moving_vars")]
    assert len(moving) == 2 * 57
    assert {name.rpartition("/")[2] for name in moving} == {"moving_mean", "moving_variance"}


def test_the_variance_that_moves_is_the_biased_one(graph, run):
    """One step from 1 with decay 0.9: 0.9 + 0.1 variance."""
    values = clip_values(1, 2, 8, 8, 3)
    with slim.arg_scope(i3d.i3d_arg_scope(batch_norm_decay=0.9, use_renorm=False)):
        slim.conv3d(values, 4, [1, 1, 1], scope="conv")
    updates = v1.get_collection(v1.GraphKeys.UPDATE_OPS)
    convolved = graph.get_operation_by_name("conv/Conv3D").outputs[0]
    expected = 0.9 + 0.1 * run(convolved).var(axis=(0, 1, 2, 3))
    run(updates)
    (moved,) = slim.get_variables_by_suffix("moving_variance")
    np.testing.assert_allclose(run(moved), expected, rtol=1e-5)


@pytest.mark.parametrize("function", [i3d.i3d_arg_scope, s3dg.s3dg_arg_scope])
def test_arg_scope_arguments_reach_the_convolutions(function):
    scope = function(weight_decay=0.1, batch_norm_decay=0.5, batch_norm_epsilon=0.25)
    for layer in (slim.conv3d, i3d_utils.conv3d_spatiotemporal):
        arguments = scope[slim.arg_scope_func_key(layer)]
        params = arguments["normalizer_params"]
        assert (params["decay"], params["epsilon"], params["fused"]) == (0.5, 0.25, False)
        assert arguments["weights_regularizer"] is not None
    separable = scope[slim.arg_scope_func_key(i3d_utils.conv3d_spatiotemporal)]["separable"]
    assert separable == (function is s3dg.s3dg_arg_scope)


def test_batch_renormalization_on_request(graph, run):
    with slim.arg_scope(i3d.i3d_arg_scope(use_renorm=True)):
        net, _ = i3d.i3d_base(clip_values(2, 4, 16, 16, 3), "Conv2d_1a_7x7")
    assert names("renorm_mean") == ["InceptionV1/Conv2d_1a_7x7/BatchNorm/renorm_mean"]
    run(v1.get_collection(v1.GraphKeys.UPDATE_OPS))
    assert np.isfinite(run(net)).all()


# -- training --------------------------------------------------------------------------------------------------------


def test_a_training_step_in_bfloat16_is_finite_and_reaches_every_variable_at_any_length_of_clip():
    """9 frames are 2 in the last layers, where the CPU's own half-precision gradient is wrong."""
    network = Network("s3dg", 3, image_size=16, compute_dtype=tf.bfloat16, **small(depth_multiplier=0.1))
    network.initialize()
    before = {name: network.variables_by_name[name].numpy() for name in network.moving_statistics_names()}

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([4, None, 16, 16, 3])])
    def gradients(inputs):
        with tf.GradientTape() as tape:
            logits, _ = network(inputs, training=True, seed=tf.constant([1, 2]))
            labels = tf.constant([0, 1, 2, 0])
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
        return tape.gradient(loss, {name: network.variables_by_name[name] for name in network.trained_names})

    for frames in (9, 4):
        norms = {name: tf.norm(g).numpy() for name, g in gradients(clip_values(4, frames, 16, 16, 3)).items()}
        assert [name for name, norm in norms.items() if not (np.isfinite(norm) and norm > 0)] == []
    assert all((network.variables_by_name[name].numpy() != before[name]).any() for name in before)
