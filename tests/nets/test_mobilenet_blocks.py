"""The blocks of MobileNet v2 and v3, on small pieces."""

import numpy as np
import pytest
import tensorflow as tf

from nets import layers as slim
from nets.mobilenet import conv_blocks, mobilenet_v3
from nets.mobilenet import mobilenet as lib
from nets.mobilenet.conv_blocks import expand_input_by_factor, expanded_conv, make_divisible

v1 = tf.compat.v1


def images(*shape):
    return v1.placeholder(tf.float32, shape)


def names(variables):
    return [variable.op.name for variable in variables]


# -- arithmetic ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("v", "divisor", "minimum", "expected"),
    [
        (32, 8, None, 32),
        (33.6, 8, None, 32),
        (36, 8, None, 40),  # halves go up
        (5.6, 8, None, 8),  # at least the divisor
        (0.3, 8, 0, 8),  # 0 is less than 0.9 * 0.3
        (18, 8, None, 24),  # 16 is less than 0.9 * 18
        (17, 8, None, 16),
        (10, 16, 32, 32),
        (13, 1, None, 13),
        (1280 / 0.35 * 0.35, 8, 8, 1280),
    ],
)
def test_make_divisible(v, divisor, minimum, expected):
    assert make_divisible(v, divisor, minimum) == expected
    assert lib.make_divisible is make_divisible


def test_expansion_sizes():
    assert expand_input_by_factor(6)(num_inputs=24) == 144
    assert expand_input_by_factor(184 / 80)(num_inputs=80) == 184
    assert expand_input_by_factor(1, divisible_by=1)(num_inputs=13) == 13


@pytest.mark.parametrize(
    ("channels", "ways", "divisible_by", "parts"),
    [(16, 2, 8, [8, 8]), (24, 2, 8, [16, 8]), (40, 3, 8, [16, 16, 8]), (7, 3, 1, [3, 2, 2])],
)
def test_split_sizes(channels, ways, divisible_by, parts):
    assert conv_blocks._split_divisible(channels, ways, divisible_by) == parts


def test_hard_swish_and_its_gate(graph, run):
    x = tf.constant([-4.0, -1.0, 0.0, 1.0, 4.0])
    np.testing.assert_allclose(run(mobilenet_v3.hard_swish(x)), [0, -1 / 3, 0, 2 / 3, 4], rtol=1e-6)
    np.testing.assert_allclose(run(mobilenet_v3._gate(x)), [0, 0.33334, 0.50001, 0.66668, 1.00002], rtol=1e-6)
    assert mobilenet_v3.hard_swish(tf.cast(x, tf.bfloat16)).dtype == tf.bfloat16


# -- blocks ----------------------------------------------------------------------------------------------------------


def block_of_ones(location="expansion", **options):
    """A block on an image of one pixel with 8 channels of ones, all weights one: 16 channels inside, 8 out of it."""
    with slim.arg_scope([slim.conv2d, slim.separable_conv2d], weights_initializer=v1.ones_initializer()):
        return expanded_conv(
            tf.ones([1, 1, 1, 8]),
            8,
            **{
                "expansion_size": 16,
                "kernel_size": 1,
                "depthwise_location": location,
                "inner_activation_fn": lambda x: x + 1,
                **options,
            },
        )


@pytest.mark.parametrize(
    ("options", "value"),
    [
        # expansion 8 + 1, depthwise 9 + 1, projection 16 * 10, residual + 1
        ({}, 161),
        ({"residual": False}, 160),
        ({"residual": lambda input_tensor, output_tensor: output_tensor - 2 * input_tensor}, 158),
        ({"depthwise_activation_fn": lambda x: x + 5}, 16 * 14 + 1),
        ({"project_activation_fn": tf.nn.relu6}, 7),
        ({"depthwise_channel_multiplier": 2}, 32 * 10 + 1),
        # without activation before the expansion or after the projection
        ({"location": "input"}, 16 * 9 + 1),
        ({"location": "output"}, 16 * 9 + 1),
        ({"location": None}, 16 * 9 + 1),
        ({"fused": True}, 16 * 9 + 1),
        # nothing to expand: depthwise 1 + 1
        ({"expansion_size": 8}, 8 * 2 + 1),
        ({"expansion_size": 8, "fused": True}, 8 + 1),
        ({"expansion_size": lambda num_inputs: num_inputs * 4}, 32 * 10 + 1),
        ({"expansion_transform": lambda expansion_tensor, input_tensor: expansion_tensor + input_tensor[..., :1]}, 177),
        ({"split_expansion": 2, "split_divisible_by": 4}, 16 * (4 + 1 + 1) + 1),
        ({"split_projection": 2, "split_divisible_by": 4}, 8 * 10 + 1),
    ],
)
def test_a_block_worked_by_hand(graph, run, options, value):
    np.testing.assert_array_equal(run(block_of_ones(**options)), np.full([1, 1, 1, 8], value))


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ({}, ["expansion_output", "depthwise_output", "projection_output"]),
        ({"location": "input"}, ["depthwise_output", "expansion_output", "projection_output"]),
        ({"location": "output"}, ["expansion_output", "projection_output", "depthwise_output"]),
        ({"location": None}, ["expansion_output", "projection_output"]),
        ({"fused": True}, ["expansion_output", "projection_output"]),
        ({"expansion_size": 8}, ["depthwise_output", "projection_output"]),
    ],
)
def test_endpoints_of_a_block(graph, options, keys):
    endpoints = {}
    block_of_ones(**options, endpoints=endpoints)
    assert list(endpoints) == keys
    for key in keys:
        if key != "projection_output":
            assert endpoints[key].op.name == f"expanded_conv/{key}"


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, [9, 7]),
        ({"stride": 2}, [5, 4]),
        ({"stride": 2, "use_explicit_padding": True}, [5, 4]),
        ({"rate": 2, "use_explicit_padding": True}, [9, 7]),
        ({"padding": "VALID"}, [5, 5]),
        ({"padding": "VALID", "rate": 2}, [1, 3]),
    ],
)
def test_sizes_of_a_block(graph, fused, options, shape):
    net = expanded_conv(images(1, 9, 7, 8), 16, kernel_size=(5, 3), fused=fused, **options)
    assert net.shape == [1, *shape, 16]


@pytest.mark.parametrize("fused", [False, True])
def test_explicit_padding_sees_the_pixels_that_same_padding_sees_at_odd_sizes(graph, run, fused):
    inputs = tf.random.stateless_normal([1, 9, 7, 8], [1, 2])
    options = {"kernel_size": (5, 3), "stride": 2, "fused": fused, "scope": "block"}
    with v1.variable_scope("", reuse=v1.AUTO_REUSE):
        same = expanded_conv(inputs, 16, **options)
        explicit = expanded_conv(inputs, 16, use_explicit_padding=True, **options)
    same, explicit = run([same, explicit])
    np.testing.assert_allclose(explicit, same, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"location": "middle"}, "depthwise_location must be input, output, expansion or None, not 'middle'"),
        ({"use_explicit_padding": True, "padding": "VALID"}, "use_explicit_padding stands in for SAME"),
        ({"fused": True, "expansion_size": 8, "stride": 2}, "a fused block with nothing to expand"),
    ],
)
def test_a_block_refuses(graph, options, message):
    with pytest.raises(ValueError, match=message):
        block_of_ones(**options)


def test_split_convolution_connects_each_group_with_its_own_alone(graph, run):
    inputs = tf.constant([[[[1.0] * 16 + [0.0] * 8]]])
    net = conv_blocks.split_conv(inputs, 24, num_ways=2, scope="split", activation_fn=None)
    assert names(slim.get_variables_by_suffix("weights")) == ["split_part_0/weights", "split_part_1/weights"]
    assert [v.shape[2:] for v in slim.get_variables_by_suffix("weights")] == [[16, 16], [8, 8]]
    np.testing.assert_array_equal(run(net)[0, 0, 0] != 0, [True] * 16 + [False] * 8)


def test_split_convolution_of_few_channels_is_a_plain_one(graph):
    conv_blocks.split_conv(images(1, 4, 4, 8), 64, num_ways=2, scope="plain")
    assert names(slim.get_variables_by_suffix("weights")) == ["plain/weights"]
    with pytest.raises(ValueError, match="20 channels cannot be split: they are not a multiple of 8"):
        conv_blocks.split_conv(images(1, 4, 4, 20), 64, num_ways=2, scope="odd")


@pytest.mark.parametrize(("scope", "prefix"), [(None, "separable/"), ("x", "x_")])
def test_split_separable_convolution(graph, scope, prefix):
    endpoints = {}
    options = {"scope": scope, "normalizer_fn": slim.batch_norm, "stride": 2, "endpoints": endpoints}
    net = conv_blocks.split_separable_conv2d(images(1, 9, 9, 4), 6, use_explicit_padding=True, **options)
    assert net.shape == [1, 5, 5, 6]
    assert names(slim.get_variables_by_suffix("weights")) == [
        f"{prefix}depthwise/depthwise_weights",
        f"{prefix}pointwise/weights",
    ]
    assert {key: value.shape[-1] for key, value in endpoints.items()} == {
        f"{prefix.removeprefix('separable/')}depthwise": 4,
        f"{prefix.removeprefix('separable/')}pointwise": 6,
    }


# -- squeeze and excitation, pooling ---------------------------------------------------------------------------------


def test_squeeze_excite_worked_by_hand(graph, run):
    """Mean 2 in each of 8 channels; 8 between of 16 + bias; gates sigmoid(0.01 * 8 * 16)."""
    inputs = tf.reshape(tf.constant([1.0, 3.0]), [1, 1, 2, 1]) * tf.ones([1, 1, 2, 8])
    with slim.arg_scope([slim.conv2d], weights_initializer=v1.ones_initializer()):
        outputs = conv_blocks.squeeze_excite(inputs, gating_fn=lambda x: tf.sigmoid(0.01 * x))
    gate = 1 / (1 + np.exp(-1.28))
    np.testing.assert_allclose(run(outputs)[0, 0, :, 0], [gate, 3 * gate], rtol=1e-6)
    assert names(v1.trainable_variables()) == [
        f"squeeze_excite/{layer}/{kind}" for layer in ("Conv", "Conv_1") for kind in ("weights", "biases")
    ]


@pytest.mark.parametrize(("channels", "factor", "between"), [(72, 4, 24), (120, 4, 32), (16, 4, 8), (96, 3, 32)])
def test_squeeze_excite_channels_between(graph, channels, factor, between):
    conv_blocks.squeeze_excite(images(1, 4, 4, channels), squeeze_factor=factor)
    assert slim.get_variables("squeeze_excite/Conv/weights")[0].shape == [1, 1, channels, between]


@pytest.mark.parametrize("size", [(6, 8), (None, None)])
@pytest.mark.parametrize("pool", [2, (6, 8)])
def test_squeeze_excite_with_a_window_gates_each_place(graph, run, size, pool):
    inputs = images(1, *size, 8)
    outputs = conv_blocks.squeeze_excite(inputs, pool=pool)
    assert outputs.shape.as_list() == [1, *size, 8]
    value = np.random.RandomState(1).uniform(0.5, 1.5, [1, 6, 8, 8])
    gates = run(outputs, {inputs: value}) / value
    same_gates_everywhere = np.ptp(gates, axis=(1, 2)).max() < 1e-6
    assert same_gates_everywhere == (pool == (6, 8))


@pytest.mark.parametrize("pool", [None, 2])
def test_squeeze_excite_may_look_at_another_map_and_stays_in_bfloat16(graph, run, pool):
    other = tf.zeros([1, 5, 5, 24], tf.bfloat16)
    outputs = conv_blocks.squeeze_excite(tf.ones([1, 3, 3, 8], tf.bfloat16), squeeze_input_tensor=other, pool=pool)
    assert outputs.dtype == tf.bfloat16
    np.testing.assert_array_equal(run(tf.cast(outputs, tf.float32)), np.full([1, 3, 3, 8], 0.5))


@pytest.mark.parametrize(
    ("shape", "options", "expected"),
    [
        ([7, 7], {}, [1, 1]),
        ([10, 10], {}, [1, 1]),
        ([3, 3], {}, [1, 1]),
        ([7, 10], {}, [1, 4]),
        ([5, 10], {}, [1, 4]),
        ([8, 10], {"default_size": 5}, [4, 6]),
        ([None, None], {}, [None, None]),
        ([7, 10], {"skip": True}, [7, 10]),
        ([7, 7], {"rate": 2, "use_explicit_padding": True}, [1, 1]),
    ],
)
def test_reduce_to_1x1(graph, shape, options, expected):
    assert conv_blocks.reduce_to_1x1(images(2, *shape, 4), **options).shape.as_list() == [2, *expected, 4]


@pytest.mark.parametrize("size", [(3, 5), (None, None)])
def test_global_pool_is_the_mean_at_any_size(graph, run, size):
    inputs = images(None, *size, 4)
    value = np.random.RandomState(1).uniform(size=[2, 3, 5, 4])
    for reduce_mean in (False, True):
        net = lib.global_pool(inputs, reduce_mean)
        assert net.shape.as_list() == [None, 1, 1, 4]
        assert net.op.name == ("ReduceMean" if reduce_mean else "AvgPool")
        np.testing.assert_allclose(run(net, {inputs: value}), value.mean((1, 2), keepdims=True), rtol=1e-5)


def test_global_pool_with_another_pooling_function(graph, run):
    value = np.random.RandomState(1).uniform(size=[2, 3, 5, 4])
    net = lib.global_pool(tf.constant(value), pool_op=tf.nn.max_pool2d)
    np.testing.assert_allclose(run(net), value.max((1, 2), keepdims=True))
    with pytest.raises(ValueError, match="pool_op needs a map of known size"):
        lib.global_pool(images(1, None, None, 4), pool_op=tf.nn.max_pool2d)
