"""The machinery of MobileNet v2 and v3: definitions, scopes, networks built from them."""

import copy

import numpy as np
import pytest
import tensorflow as tf

from nets import layers as slim
from nets.mobilenet import conv_blocks, mobilenet_v2, mobilenet_v3
from nets.mobilenet import mobilenet as lib
from nets.mobilenet.conv_blocks import expand_input_by_factor, expanded_conv
from nets.mobilenet.mobilenet import op

v1 = tf.compat.v1


def images(*shape):
    return v1.placeholder(tf.float32, shape)


def shapes(end_points):
    return {key: value.shape.as_list()[1:] for key, value in end_points.items()}


def small_definition(**options):
    return {
        "spec": [
            op(slim.conv2d, stride=2, num_outputs=16, kernel_size=3),
            op(expanded_conv, stride=2, num_outputs=16, expansion_size=expand_input_by_factor(2)),
            op(expanded_conv, stride=2, num_outputs=32, expansion_size=expand_input_by_factor(2)),
            op(slim.conv2d, num_outputs=64, kernel_size=[1, 1]),
        ],
        **options,
    }


def test_a_definition_of_ones_own(graph):
    net, end_points = lib.mobilenet_base(images(1, 64, 48, 3), small_definition())
    assert shapes(end_points) == {
        "layer_1": [32, 24, 16],
        "layer_2": [16, 12, 16],
        "layer_3": [8, 6, 32],
        "layer_4": [8, 6, 64],
        "layer_2/expansion_output": [32, 24, 32],
        "layer_2/depthwise_output": [16, 12, 32],
        "layer_2/output": [16, 12, 16],
        "layer_3/expansion_output": [16, 12, 32],
        "layer_3/depthwise_output": [8, 6, 32],
        "layer_3/output": [8, 6, 32],
    }
    assert end_points["layer_4"] is net
    assert end_points["layer_3/output"] is end_points["layer_3"]
    assert net.op.name == "Mobilenet/Conv_1/Relu"
    assert end_points["layer_3/depthwise_output"].op.name == "Mobilenet/expanded_conv_1/depthwise_output"


@pytest.mark.parametrize("as_pairs", [False, True])
def test_defaults_lose_against_the_layer_and_against_overrides(graph, as_pairs):
    defaults = {(slim.conv2d,): {"normalizer_fn": slim.batch_norm, "padding": "VALID"}, (slim.batch_norm,): {}}
    overrides = {(slim.conv2d,): {"padding": "SAME"}}
    definition = small_definition(
        defaults=list(defaults.items()) if as_pairs else defaults,
        overrides=list(overrides.items()) if as_pairs else overrides,
    )
    definition["spec"][3].params["normalizer_fn"] = None
    _, end_points = lib.mobilenet_base(images(1, 64, 64, 3), definition)
    assert end_points["layer_1"].shape[1:3] == [32, 32]
    assert [v.op.name for v in slim.get_variables("Mobilenet/Conv")] == [
        "Mobilenet/Conv/weights",
        "Mobilenet/Conv/BatchNorm/beta",
        "Mobilenet/Conv/BatchNorm/moving_mean",
        "Mobilenet/Conv/BatchNorm/moving_variance",
        "Mobilenet/Conv_1/weights",
        "Mobilenet/Conv_1/biases",
    ]


def inverse(params, multiplier):
    params["num_outputs"] /= multiplier


def fixed(params, multiplier):
    return {**params, "num_outputs": 24}


@pytest.mark.parametrize(
    ("function", "depth"), [(inverse, 32), (fixed, 24), (lambda params, multiplier: params, 16), (None, 8)]
)
def test_a_layers_own_multiplier_function(graph, function, depth):
    own = {} if function is None else {"multiplier_func": function}
    definition = small_definition()
    definition["spec"][0] = op(slim.conv2d, stride=2, num_outputs=16, kernel_size=(3, 3), **own)
    _, end_points = lib.mobilenet_base(images(1, 32, 32, 3), definition, multiplier=0.5)
    assert [end_points[f"layer_{i}"].shape[-1] for i in (1, 2, 3, 4)] == [depth, 8, 16, 32]
    assert definition["spec"][0].params["num_outputs"] == 16, "the definition stays as it was"


def test_depth_multiplier_leaves_other_layers_alone_and_takes_an_arg_scope():
    params = {"kernel_size": 3}
    lib.depth_multiplier(params, 0.5)
    assert params == {"kernel_size": 3}
    params = {"num_outputs": 40}
    with slim.arg_scope([lib.depth_multiplier], min_depth=32, divisible_by=16):
        lib.depth_multiplier(params, 0.5)
    assert params == {"num_outputs": 32}


def attention(net, num_outputs, stride=1):
    net = conv_blocks.name_output(slim.conv2d(net, num_outputs, 1, stride=stride), "attention_output")
    return tf.nn.relu(net)


def test_layers_of_ones_own_may_name_outputs(graph):
    definition = small_definition()
    definition["spec"][3] = op(attention, num_outputs=64)
    _, end_points = lib.mobilenet_base(images(1, 32, 32, 3), definition)
    assert list(end_points)[-1] == "layer_4/attention_output"
    assert end_points["layer_4/attention_output"].shape == [1, 4, 4, 64]


@pytest.mark.parametrize("output_stride", [1, 2, 4, 8, None])
@pytest.mark.parametrize("use_explicit_padding", [False, True])
def test_output_stride(graph, output_stride, use_explicit_padding):
    options = {"output_stride": output_stride, "use_explicit_padding": use_explicit_padding}
    net, end_points = lib.mobilenet_base(images(1, 40, 40, 3), small_definition(), **options)
    side = 40 // (output_stride or 8)
    assert net.shape == [1, side, side, 64]
    if output_stride == 2:
        # Between layers 2 and 3 the rate has become 2, and a block that lost its stride gets no residual for it.
        assert end_points["layer_2"].op.inputs[0].op.type != "AddV2"
        assert [op for op in graph.get_operations() if op.type == "SpaceToBatchND"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"multiplier": 0}, "multiplier must be greater than zero, not 0"),
        ({"multiplier": -0.5}, "multiplier must be greater than zero"),
        ({"output_stride": 0}, "output_stride must be 1, a multiple of 2 or None, not 0"),
        ({"output_stride": 3}, "output_stride must be 1, a multiple of 2 or None, not 3"),
        ({"output_stride": -2}, "output_stride must be 1, a multiple of 2 or None, not -2"),
        ({"output_stride": 6}, "output_stride 6 cannot be reached: the strides come to 8"),
        ({"final_endpoint": "layer_5"}, "unknown final_endpoint 'layer_5'; did you mean 'layer_4'"),
        ({"final_endpoint": "layer_2/output"}, "unknown final_endpoint 'layer_2/output'"),
    ],
)
def test_base_refuses(graph, options, message):
    with pytest.raises(ValueError, match=message):
        lib.mobilenet_base(images(1, 32, 32, 3), small_definition(), **options)


def test_network_refuses_inputs_of_another_rank(graph):
    with pytest.raises(ValueError, match=r"rank 4, .* found shape \(2, 3\)"):
        lib.mobilenet(images(2, 3), conv_defs=small_definition())


@pytest.mark.parametrize(
    "definition",
    [
        mobilenet_v2.V2_DEF,
        mobilenet_v2.V2_DEF_GROUP_NORM,
        mobilenet_v3.V3_LARGE,
        mobilenet_v3.V3_SMALL_MINIMALISTIC,
        mobilenet_v3.V3_EDGETPU,
    ],
)
def test_each_layer_of_a_copied_definition_can_be_changed_alone(definition):
    for i, layer in enumerate(definition["spec"]):
        changed = copy.deepcopy(definition)
        changed["spec"][i].params["stride"] = "changed"
        assert [other.params.get("stride") == "changed" for other in changed["spec"]].count(True) == 1
        assert layer.params.get("stride") != "changed"


# -- scopes ----------------------------------------------------------------------------------------------------------


def arguments(scope, function):
    return scope.get(slim.arg_scope_func_key(function), {})


@pytest.mark.parametrize("is_training", [True, False, None])
def test_training_scope_leaves_none_unset(is_training):
    scope = lib.training_scope(is_training=is_training, dropout_keep_prob=0.7, bn_decay=0.9)
    mode = {} if is_training is None else {"is_training": is_training}
    assert arguments(scope, slim.batch_norm) == {"decay": 0.9, **mode}
    assert arguments(scope, slim.dropout) == {"keep_prob": 0.7, **mode}
    for function in (lib.mobilenet, lib.mobilenet_base):
        assert arguments(scope, function) == {"is_training": is_training}
    bare = lib.training_scope(None, None, None, None, None)
    assert arguments(bare, slim.conv2d) == {"normalizer_fn": slim.batch_norm}
    assert arguments(bare, slim.dropout) == arguments(bare, slim.batch_norm) == {}


def test_training_scope_defaults():
    scope = lib.training_scope()
    assert arguments(scope, slim.batch_norm) == {"decay": 0.997, "is_training": True}
    assert arguments(scope, slim.dropout) == {"keep_prob": 0.8, "is_training": True}
    assert arguments(scope, slim.conv2d)["weights_initializer"].stddev == 0.09
    assert arguments(scope, slim.conv2d)["weights_regularizer"] is not None
    assert arguments(scope, slim.separable_conv2d)["weights_regularizer"] is None
    assert "weights_regularizer" not in arguments(scope, slim.fully_connected)
    xavier = arguments(lib.training_scope(stddev=-1), slim.conv2d)["weights_initializer"]
    assert isinstance(xavier, type(slim.xavier_initializer()))


def test_safe_arg_scope_leaves_none_out():
    with lib.safe_arg_scope([slim.dropout], keep_prob=0.3, is_training=None):
        assert arguments(slim.current_arg_scope(), slim.dropout) == {"keep_prob": 0.3}
    with lib.safe_arg_scope([slim.dropout], keep_prob=None):
        assert arguments(slim.current_arg_scope(), slim.dropout) == {}


@pytest.mark.parametrize(
    ("scoped", "given", "moves"),
    [
        ("no scope", {}, False),
        ("no scope", {"is_training": True}, True),
        ("no scope", {"is_training": None}, True),  # left to batch norm's own default
        (True, {}, True),
        (True, {"is_training": False}, False),
        (False, {}, False),
        (False, {"is_training": True}, True),
        (None, {}, True),
    ],
)
def test_mode_is_the_arguments_then_the_scopes_then_inference(graph, run, scoped, given, moves):
    definition = small_definition(defaults={(slim.conv2d,): {"normalizer_fn": slim.batch_norm}})
    scope = {} if scoped == "no scope" else lib.training_scope(is_training=scoped)
    with slim.arg_scope(scope):
        logits, _ = lib.mobilenet(tf.ones([2, 32, 32, 3]), 5, conv_defs=definition, **given)
    assert bool(v1.get_collection(v1.GraphKeys.UPDATE_OPS)) == moves
    assert any("Dropout/dropout" in operation.name for operation in graph.get_operations()) == moves
    assert np.isfinite(run(logits)).all()


def test_wrapped_partial_keeps_the_doc_and_lets_calls_win():
    def function(a, b=1, c=2, **rest):
        """Its doc."""
        return a, b, c, rest

    wrapped = lib.wrapped_partial(function, {"b": 10}, c=20)
    assert wrapped.__doc__ == "Its doc."
    assert wrapped(0) == (0, 10, 20, {})
    assert wrapped(0, 5) == (0, 5, 20, {})
    assert wrapped(0, 5, 6, d=7) == (0, 5, 6, {"d": 7})
    assert wrapped(0, c=None) == (0, 10, None, {})


@pytest.mark.parametrize("autograph", [False, True])
def test_wrapped_partial_is_not_seen_through_by_tf_function(autograph):
    @slim.add_arg_scope
    def function(x, factor=1.0):
        return x * factor

    wrapped = lib.wrapped_partial(function, factor=5.0)
    assert tf.function(wrapped, autograph=autograph)(tf.constant(2.0)) == 10.0
