"""MobileNet v2, v3 and for the Edge TPU: what the original's unit tests fix, and the options."""

import copy

import numpy as np
import pytest
import tensorflow as tf

from nets import layers as slim
from nets import mobilenet as package
from nets import registry
from nets.mobilenet import conv_blocks, mobilenet_v2, mobilenet_v3
from nets.mobilenet import mobilenet as lib
from nets.network import Network

v1 = tf.compat.v1

VARIANTS = {
    "v2_035": mobilenet_v2.mobilenet_v2_035,
    "v3_small": mobilenet_v3.small,
    "v3_small_minimalistic": mobilenet_v3.small_minimalistic,
    "edge_tpu": mobilenet_v3.edge_tpu,
}
each_kind = pytest.mark.parametrize("name", ["v2_035", "v3_small", "edge_tpu"])


def images(*shape):
    return v1.placeholder(tf.float32, shape)


def noise(*shape):
    return tf.random.stateless_uniform(shape, [1, 2], -1.0, 1.0)


def shapes(end_points):
    return {key: value.shape.as_list() for key, value in end_points.items()}


def conv_depths(graph):
    return [op.outputs[0].shape[-1] for op in graph.get_operations() if op.type == "Conv2D"]


def lively_scope():
    """Weights large enough for a signal to reach the end; batch norm in inference mode, here the identity."""
    return lib.training_scope(is_training=False, stddev=0.3)


def test_modules_are_where_they_were():
    assert package.mobilenet_v2 is mobilenet_v2
    assert package.mobilenet_v3 is mobilenet_v3
    assert package.conv_blocks is conv_blocks
    for module in (mobilenet_v2, mobilenet_v3):
        assert module.training_scope is lib.training_scope
        assert module.mobilenet.default_image_size == 224


def test_names_and_doc_strings_of_variants():
    variants = {
        name: registry.get(f"mobilenet_{name}").function
        for name in ("v2_140", "v3_small", "v3_large_minimalistic", "edgetpu_075")
    }
    assert [function.__name__ for function in variants.values()] == [f"mobilenet_{name}" for name in variants]
    assert variants["v2_140"].__doc__ == mobilenet_v2.mobilenet.__doc__
    assert variants["edgetpu_075"].__doc__ == mobilenet_v3.mobilenet.__doc__
    assert mobilenet_v3.base is mobilenet_v3.mobilenet_base


# -- tables ----------------------------------------------------------------------------------------------------------


def test_v2_has_36_convolutions_and_blocks_with_depthwise_outputs(graph):
    _, end_points = mobilenet_v2.mobilenet(images(10, 224, 224, 16))
    assert len(conv_depths(graph)) == 36
    assert all(f"layer_{i}/depthwise_output" in end_points for i in range(2, 19))


@pytest.mark.parametrize(("size", "side"), [(224, 7), (192, 6), (160, 5), (128, 4), (96, 3)])
def test_v2_map_at_each_published_size(graph, size, side):
    _, end_points = mobilenet_v2.mobilenet(images(2, size, size, 3), depth_multiplier=0.35)
    assert end_points["layer_18/output"].shape[1:3] == [side, side]


@pytest.mark.parametrize(
    ("options", "scope", "depths"),
    [
        ({"min_depth": 32, "divisible_by": 16}, {}, {32, 64, 96, 160, 192, 320, 384, 576, 960, 1280, 1001}),
        ({"depth_multiplier": 0.1}, {"min_depth": 32}, {32, 192, 128, 1001}),
        ({"depth_multiplier": 0.01, "finegrain_classification_mode": True}, {}, {8, 48, 1280, 1001}),
        ({"depth_multiplier": 0.01}, {}, {8, 48, 16, 1001}),
        (
            {"depth_multiplier": 2.0, "finegrain_classification_mode": True},
            {},
            {64, 32, 192, 48, 288, 384, 128, 768, 1152, 320, 1920, 640, 2560, 1001},
        ),
    ],
)
def test_v2_channels(graph, options, scope, depths):
    with slim.arg_scope([lib.depth_multiplier], **scope):
        mobilenet_v2.mobilenet(images(2, 32, 32, 3), **options)
    assert set(conv_depths(graph)) == depths


def test_v2_050_is_half_as_wide_but_for_its_end(graph):
    _, end_points = mobilenet_v2.mobilenet_v2_050(images(1, 32, 32, 3))
    depths = [end_points[f"layer_{i}"].shape[-1] for i in (1, 2, 3, 5, 8, 12, 15, 18, 19)]
    assert depths == [16, 8, 16, 16, 32, 48, 80, 160, 1280]


@pytest.mark.parametrize(
    ("definition", "depths"),
    [
        (mobilenet_v3.V3_LARGE_DETECTION, {13: 112, 14: 80, 15: 80, 16: 80, 17: 480, 19: 1280}),
        (mobilenet_v3.V3_SMALL_DETECTION, {9: 48, 10: 48, 11: 48, 12: 48, 13: 288, 15: 1024}),
    ],
)
def test_v3_detection_definitions_halve_the_last_layers(graph, definition, depths):
    _, end_points = mobilenet_v3.mobilenet_base(images(1, 32, 32, 3), conv_defs=definition)
    assert {i: end_points[f"layer_{i}"].shape[-1] for i in depths} == depths
    assert all(type(layer.params.get("num_outputs", 0)) is int for layer in definition["spec"])


@pytest.mark.parametrize(
    ("function", "layer", "shape"),
    [
        (mobilenet_v3.large, "layer_19", [1, 1, 1, 1280]),
        (mobilenet_v3.small, "layer_15", [1, 1, 1, 1024]),
        (mobilenet_v3.edge_tpu, "layer_24", [1, 7, 7, 1280]),
    ],
)
def test_v3_last_layers(graph, function, layer, shape):
    _, end_points = function(images(1, 224, 224, 3))
    assert end_points[layer].shape == shape


@pytest.mark.parametrize(
    ("function", "finegrain", "first", "last"),
    [
        (mobilenet_v3.large, True, 24, 1280),
        (mobilenet_v3.small, False, 24, 1536),
        (mobilenet_v3.edge_tpu, True, 48, 1280),
    ],
)
def test_v3_fine_grained_mode_keeps_the_last_layer_at_any_multiplier(graph, function, finegrain, first, last):
    net, end_points = function(
        images(1, 32, 32, 3), None, depth_multiplier=1.5, finegrain_classification_mode=finegrain
    )
    assert [end_points["layer_1"].shape[-1], net.shape[-1]] == [first, last]


def test_v3_minimalistic_has_small_kernels_relu_and_no_attention(graph):
    mobilenet_v3.small_minimalistic(images(1, 64, 64, 3))
    assert {op.inputs[1].shape[0] for op in graph.get_operations() if op.type.startswith("Depthwise")} == {3}
    assert not slim.get_variables(".*squeeze_excite")
    assert not [op for op in graph.get_operations() if op.type == "Relu6"]


# -- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [mobilenet_v2, mobilenet_v3])
def test_multiplier_goes_by_another_name(graph, module):
    with pytest.raises(ValueError, match="use depth_multiplier"):
        module.mobilenet(images(1, 32, 32, 3), multiplier=0.5)


@pytest.mark.parametrize("definition", [None, {**mobilenet_v2.V2_DEF, "defaults": {}}])
def test_v2_activation_fn_replaces_relu6(graph, definition):
    mobilenet_v2.mobilenet(images(1, 32, 32, 3), conv_defs=definition, activation_fn=tf.nn.elu)
    types = [op.type for op in graph.get_operations()]
    assert "Relu6" not in types
    assert "Relu" not in types
    assert types.count("Elu") == 19 + 16  # of 2 convolutions, 17 depthwise ones, 16 expansions


@pytest.mark.parametrize(
    "build",
    [
        lambda net, **options: mobilenet_v2.mobilenet_base_group_norm(net, **options),
        lambda net, **options: mobilenet_v3.mobilenet(net, 5, use_groupnorm=True, **options),
        lambda net, **options: mobilenet_v3.edge_tpu(net, 5, use_groupnorm=True, **options),
    ],
)
@pytest.mark.parametrize("groups", [8, 4])
def test_group_norm_replaces_every_batch_norm(graph, build, groups):
    with slim.arg_scope(lib.training_scope()):
        build(images(1, 32, 32, 3), **({} if groups == 8 else {"groups": groups}))
    kinds = {variable.op.name.split("/")[-2] for variable in v1.global_variables() if "beta" in variable.op.name}
    assert kinds == {"GroupNorm"}
    reshaped = next(op for op in graph.get_operations() if op.type == "Reshape" and "GroupNorm" in op.name)
    assert reshaped.outputs[0].shape[-2] == groups


def test_definitions_stay_as_they_are(graph):
    definitions = {
        (module, name): getattr(module, name)
        for module in (mobilenet_v2, mobilenet_v3)
        for name in dir(module)
        if name.startswith(("V2_", "V3_", "DEFAULTS"))
    }
    before = {key: repr(definition) for key, definition in definitions.items()}
    options = {"depth_multiplier": 0.5, "finegrain_classification_mode": True, "use_explicit_padding": True}
    mobilenet_v2.mobilenet(images(1, 32, 32, 3), output_stride=16, activation_fn=tf.nn.relu, scope="a", **options)
    mobilenet_v2.mobilenet_base_group_norm(images(1, 32, 32, 3), groups=4, scope="b")
    mobilenet_v3.mobilenet(images(1, 32, 32, 3), use_groupnorm=True, groups=4, scope="c", **options)
    mobilenet_v3.edge_tpu_075(images(1, 32, 32, 3), output_stride=16, scope="d")
    assert {key: repr(definition) for key, definition in definitions.items()} == before


def test_v2_expansion_split_in_two(graph):
    definition = copy.deepcopy(mobilenet_v2.V2_DEF)
    definition["overrides"] = {(conv_blocks.expanded_conv,): {"split_expansion": 2}}
    _, end_points = lib.mobilenet(images(10, 64, 64, 16), conv_defs=definition)
    assert len(conv_depths(graph)) == 3 * 19 - 5
    assert list(end_points)[20:24] == [
        "layer_2/output",
        "layer_3/expand_part_0_output",
        "layer_3/expand_part_1_output",
        "layer_3/expansion_output",
    ]


def test_v2_own_multiplier_function_of_a_layer(graph):
    definition = copy.deepcopy(mobilenet_v2.V2_DEF)

    def inverse(params, multiplier):
        params["num_outputs"] /= multiplier

    definition["spec"][0] = lib.op(slim.conv2d, kernel_size=(3, 3), multiplier_func=inverse, num_outputs=16)
    mobilenet_v2.mobilenet_base(images(10, 64, 64, 16), conv_defs=definition, depth_multiplier=0.1)
    assert conv_depths(graph)[:5] == [160, 8, 48, 8, 48]


@each_kind
def test_without_classes_the_pooled_features_themselves_come_back(graph, name):
    net, end_points = VARIANTS[name](images(2, 64, 64, 3), None if name == "v3_small" else 0)
    assert end_points["global_pool"] is net
    assert list(end_points)[-1] == "global_pool"
    assert net.shape[1:3] == [1, 1]
    assert not [v for v in v1.global_variables() if "Logits" in v.op.name]


@each_kind
def test_base_only_stops_before_the_pooling(graph, name):
    net, end_points = VARIANTS[name](images(2, 64, 64, 3), base_only=True, final_endpoint="layer_9")
    assert end_points["layer_9"] is net
    assert "layer_9/output" in end_points
    assert not {"layer_10", "global_pool", "Logits"} & set(end_points)


@pytest.mark.parametrize("base", [mobilenet_v2.mobilenet_base, mobilenet_v3.mobilenet_base])
def test_base_functions_stop_at_an_end_point_and_take_unknown_sizes(graph, base):
    net, _ = base(images(None, None, None, 3), final_endpoint="layer_17")
    assert net.shape.as_list() == [None, None, None, 160 if base is mobilenet_v2.mobilenet_base else 960]
    with tf.Graph().as_default():
        net, _ = base(images(10, 224, 224, 3), final_endpoint="layer_17")
        assert net.shape[1:3] == [7, 7]


@pytest.mark.parametrize("reduce_mean", [False, True])
def test_reduce_mean_pooling_is_an_op_of_that_name(graph, reduce_mean):
    mobilenet_v3.small(images(1, 64, 64, 3), use_reduce_mean_for_pooling=reduce_mean)
    found = [op.name for op in graph.get_operations() if "ReduceMean" in op.name and op.type == "Mean"]
    assert found == (["MobilenetV3/Logits/ReduceMean"] if reduce_mean else [])


def test_names_of_ops_that_graphs_are_cut_at(graph):
    logits, end_points = mobilenet_v2.mobilenet(images(1, 64, 64, 3), 5)
    names = {key: tensor.op.name for key, tensor in end_points.items()}
    assert names["layer_1"] == "MobilenetV2/Conv/Relu6"
    assert names["layer_15/expansion_output"] == "MobilenetV2/expanded_conv_13/expansion_output"
    assert names["layer_19"] == "MobilenetV2/Conv_1/Relu6"
    assert names["global_pool"] == "MobilenetV2/Logits/AvgPool"
    assert logits.op.name == names["Logits"] == "MobilenetV2/Logits/output"
    assert names["Predictions"] == "MobilenetV2/Predictions/Reshape_1"
    for name in ("input", "embedding", "Logits/Squeeze", "Logits/Conv2d_1c_1x1/BiasAdd", "expanded_conv_3/input"):
        assert graph.get_operation_by_name(f"MobilenetV2/{name}")
    before = [v.op.name for v in v1.global_variables()]
    again, _ = mobilenet_v2.mobilenet(images(1, 64, 64, 3), 5, reuse=True)
    assert again.op.name == "MobilenetV2_1/Logits/output"
    assert [v.op.name for v in v1.global_variables()] == before


@pytest.mark.parametrize(
    ("function", "args", "options"),
    [
        (mobilenet_v3.large, (), {"scope": "mine"}),
        (mobilenet_v3.edge_tpu, (5, 0.5, "mine"), {}),
        (mobilenet_v2.mobilenet_v2_035, (5, 0.5, "mine"), {}),
    ],
)
def test_scope_can_be_another(graph, function, args, options):
    function(images(1, 32, 32, 3), *args, **options)
    assert all(v.op.name.startswith("mine/") for v in v1.global_variables())


def test_prediction_fn_is_called_with_logits_and_scope_by_position(graph):
    def sigmoid(values, name):
        return tf.sigmoid(values, name=name)

    logits, end_points = mobilenet_v2.mobilenet(images(1, 32, 32, 3), 5, prediction_fn=sigmoid)
    assert end_points["Predictions"].op.inputs[0] is logits
    with tf.Graph().as_default():
        _, end_points = mobilenet_v3.small(images(1, 32, 32, 3), 5, prediction_fn=None)
        assert list(end_points)[-1] == "Logits"


# -- sizes, strides and padding --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("output_stride", "side"), [(8, 28), (16, 14), (32, 7), (None, 7)])
@pytest.mark.parametrize("use_explicit_padding", [False, True])
def test_v2_output_stride(graph, output_stride, side, use_explicit_padding):
    net, end_points = lib.mobilenet_base(
        images(1, 224, 224, 16),
        conv_defs=mobilenet_v2.V2_DEF,
        output_stride=output_stride,
        use_explicit_padding=use_explicit_padding,
        scope="MobilenetV2",
    )
    assert net.shape[1:3] == [side, side]
    assert end_points["layer_4"].shape[1:3] == [56, 56]


@each_kind
@pytest.mark.parametrize(("size", "output_stride"), [((65, 96), None), ((64, 64), 8)])
def test_explicit_padding_changes_no_shape(graph, name, size, output_stride):
    with v1.variable_scope("", reuse=v1.AUTO_REUSE):
        _, end_points = VARIANTS[name](images(1, *size, 3), 5, output_stride=output_stride)
        _, padded = VARIANTS[name](images(1, *size, 3), 5, output_stride=output_stride, use_explicit_padding=True)
    assert shapes(padded) == shapes(end_points)


@each_kind
def test_explicit_padding_changes_no_number_where_same_padding_is_symmetric(graph, run, name):
    """At 65 pixels, whose maps have odd sides: 33, 17, 9, 5, 3."""
    with slim.arg_scope(lively_scope()), v1.variable_scope("", reuse=v1.AUTO_REUSE):
        options = {"depth_multiplier": 0.35, "scope": "net"}
        same, _ = VARIANTS[name](noise(1, 65, 65, 3), 5, **options)
        explicit, _ = VARIANTS[name](noise(1, 65, 65, 3), 5, use_explicit_padding=True, **options)
    same, explicit = run([same, explicit])
    assert np.ptp(same) > 0
    np.testing.assert_allclose(explicit, same, atol=1e-4 * np.abs(same).max())


@pytest.mark.parametrize(
    ("name", "output_stride", "layer"),
    [
        ("v2_035", 8, "layer_19"),
        ("v2_035", 2, "layer_19"),  # layer 3 loses its stride and must not get a residual
        ("v3_small_minimalistic", 16, "layer_13"),
        ("v3_small_minimalistic", 2, "layer_13"),  # so does layer 2
        ("edge_tpu", 8, "layer_24"),
        ("edge_tpu", 2, "layer_24"),  # fused blocks become atrous
    ],
)
def test_atrous_output_subsampled_is_the_dense_output(graph, run, name, output_stride, layer):
    with slim.arg_scope(lively_scope()), v1.variable_scope("", reuse=v1.AUTO_REUSE):
        options = {"depth_multiplier": 0.35, "scope": "net", "base_only": True, "final_endpoint": layer}
        dense, _ = VARIANTS[name](noise(1, 65, 65, 3), **options)
        atrous, _ = VARIANTS[name](noise(1, 65, 65, 3), output_stride=output_stride, **options)
    step = 32 // output_stride
    dense, atrous = run([dense, atrous[:, ::step, ::step]])
    assert dense.max() > 0
    np.testing.assert_allclose(atrous, dense, atol=1e-4 * dense.max())


@each_kind
def test_height_and_width_may_be_unknown(graph, run, name):
    inputs = images(None, None, None, 3)
    with v1.variable_scope("", reuse=v1.AUTO_REUSE):
        logits, end_points = VARIANTS[name](inputs, 5, depth_multiplier=0.35, scope="net")
        known, _ = VARIANTS[name](noise(1, 200, 200, 3), 5, depth_multiplier=0.35, scope="net")
    assert logits.shape.as_list() == [None, 5]
    assert end_points["global_pool"].shape.as_list()[:3] == [None, 1, 1]
    known = run(known)
    np.testing.assert_allclose(
        run(logits, {inputs: run(noise(1, 200, 200, 3))}), known, atol=1e-5 * np.abs(known).max()
    )


# -- maps of answers -------------------------------------------------------------------------------------------------

DENSE = {"spatial_squeeze": False, "global_pool": False}


@each_kind
@pytest.mark.parametrize(("output_stride", "expected"), [(None, [3, 5]), (8, [9, 17])])
def test_a_map_of_answers_at_any_size(graph, name, output_stride, expected):
    logits, end_points = VARIANTS[name](images(2, 65, 129, 3), 7, output_stride=output_stride, **DENSE)
    assert logits.shape == [2, *expected, 7]
    assert end_points["Logits"] is logits
    assert end_points["Predictions"].shape == [2, *expected, 7]
    assert "global_pool" not in end_points
    last = [key for key in end_points if key.startswith("layer") and "/" not in key][-1]
    assert end_points[last].shape[1:3] == expected


def test_a_map_of_answers_of_unknown_size_or_of_features(graph):
    logits, _ = mobilenet_v3.small(images(None, None, None, 3), 7, output_stride=16, **DENSE)
    assert logits.shape.as_list() == [None, None, None, 7]
    with v1.variable_scope("", reuse=True):
        net, end_points = mobilenet_v3.small(images(1, 64, 64, 3), None, output_stride=16, **DENSE)
    assert net.shape == [1, 4, 4, 1024]
    assert "global_pool" not in end_points


@pytest.mark.parametrize("name", ["v2_035", "edge_tpu"])
def test_the_mean_of_a_map_of_answers_is_the_answer(graph, run, name):
    """Pooling and the classifier are both linear."""
    with slim.arg_scope(lively_scope()), v1.variable_scope("", reuse=v1.AUTO_REUSE):
        options = {"depth_multiplier": 0.35, "scope": "net"}
        answer, _ = VARIANTS[name](noise(2, 65, 97, 3), 5, **options)
        dense, _ = VARIANTS[name](noise(2, 65, 97, 3), 5, **DENSE, **options)
    answer, dense = run([answer, dense])
    np.testing.assert_allclose(dense.mean((1, 2)), answer, atol=1e-4 * np.abs(answer).max())


def test_v3_answers_the_same_for_a_map_of_one_pixel(graph, run):
    with slim.arg_scope(lively_scope()), v1.variable_scope("", reuse=v1.AUTO_REUSE):
        answer, _ = mobilenet_v3.small(noise(2, 32, 32, 3), 5, scope="net")
        unsqueezed, _ = mobilenet_v3.small(noise(2, 32, 32, 3), 5, scope="net", spatial_squeeze=False)
        dense, _ = mobilenet_v3.small(noise(2, 32, 32, 3), 5, scope="net", **DENSE)
    answer, unsqueezed, dense = run([answer, unsqueezed, dense])
    assert unsqueezed.shape == dense.shape == (2, 1, 1, 5)
    np.testing.assert_allclose(unsqueezed[:, 0, 0], answer)
    np.testing.assert_allclose(dense[:, 0, 0], answer, rtol=1e-5)


def test_a_map_of_answers_is_not_squeezed_in_silence(graph):
    with pytest.raises(ValueError, match="a map of 2x3, not one answer per image; use global_pool=True"):
        mobilenet_v2.mobilenet(images(1, 64, 96, 3), 5, global_pool=False)


def test_a_map_of_answers_in_a_network_object():
    network = Network("mobilenet_v3_small", 7, image_size=64, depth_multiplier=0.35, output_stride=8, **DENSE)
    network.initialize()
    logits, end_points = network(noise(2, 64, 64, 3))
    assert logits.shape == [2, 8, 8, 7]
    assert end_points["layer_12/expansion_output"].shape[1:3] == [8, 8]
