"""Cells of NASNet-A and PNASNet-5 on their own, their parts and drop path."""

import math

import numpy as np
import pytest
import tensorflow as tf

from nets import layers as slim
from nets.nasnet import nasnet_utils, pnasnet

v1 = tf.compat.v1


def shape_of(variable):
    return {v.name: v.shape.as_list() for v in v1.global_variables()}[f"{variable}:0"]


# -- helpers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "reductions", "expected"), [(18, 2, [6, 12]), (9, 2, [3, 6]), (10, 3, [2, 5, 7]), (5, 1, [2]), (5, 0, [])]
)
def test_reductions_divide_the_cells_into_equal_parts(cells, reductions, expected):
    assert nasnet_utils.calc_reduction_layers(cells, reductions) == expected


@pytest.mark.parametrize(("data_format", "axis", "channels"), [("NHWC", 3, 40), ("NCHW", 1, 20)])
def test_layout_helpers(graph, data_format, axis, channels):
    images = v1.placeholder(tf.float32, [5, 10, 20, 10])
    assert nasnet_utils.get_channel_index(data_format) == axis
    assert nasnet_utils.get_channel_dim([10, 20, 30, 40], data_format) == channels
    assert nasnet_utils.global_avg_pool(images, data_format).shape == [5, 10]
    with slim.arg_scope([nasnet_utils.get_channel_index], data_format=data_format):
        assert nasnet_utils.get_channel_index() == axis


def test_unknown_layout_is_told(graph):
    with pytest.raises(ValueError, match="'NWHC': it has to be either NHWC or NCHW"):
        nasnet_utils.get_channel_index("NWHC")


def reduce_ones(values, stride, data_format, filters=3):
    """Factorized reduction with kernels of ones and a batch norm that changes nothing."""
    with (
        slim.arg_scope([slim.conv2d], weights_initializer=tf.ones_initializer(), activation_fn=None),
        slim.arg_scope([slim.batch_norm], is_training=False, epsilon=0.0),
    ):
        return nasnet_utils.factorized_reduction(values, filters, stride, data_format=data_format)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("data_format", ["NHWC", "NCHW"])
@pytest.mark.parametrize(
    ("height", "width", "stride", "even", "odd"),
    [
        (3, 4, 2, [[0, 2], [20, 22]], [[11, 13], [0, 0]]),
        (4, 3, 2, [[0, 2], [20, 22]], [[11, 0], [31, 0]]),
        (1, 2, 2, [[0]], [[0]]),
        (4, 5, 3, [[0, 3], [30, 33]], [[11, 14], [0, 0]]),
    ],
)
def test_factorized_reduction_reads_even_and_odd_pixels(
    graph, run, known, data_format, height, width, stride, even, odd
):
    """A pixel's value is 10 * row + column; past the edge there are zeros."""
    values = np.add.outer(10.0 * np.arange(height), np.arange(width)).reshape(1, height, width, 1)
    shape = [1, height, width, 1] if known else [None, None, None, 1]
    if data_format == "NCHW":
        values, shape = values.transpose(0, 3, 1, 2), [shape[axis] for axis in (0, 3, 1, 2)]
    images = v1.placeholder(tf.float32, shape)
    outputs = run(reduce_ones(images, stride, data_format), {images: values})
    if data_format == "NCHW":
        outputs = outputs.transpose(0, 2, 3, 1)
    np.testing.assert_allclose(outputs[0], np.stack([even, odd, odd], axis=2), rtol=1e-6)


def test_factorized_reduction_without_stride_keeps_the_size(graph):
    images = v1.placeholder(tf.float32, [5, 10, 20, 10])
    assert nasnet_utils.factorized_reduction(images, 16, 1).shape == [5, 10, 20, 16]
    assert shape_of("path_conv/weights") == [1, 1, 10, 16]
    assert shape_of("path_bn/moving_mean") == [16]


# -- cells -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "stride", "channels"),
    [
        (nasnet_utils.NasNetANormalCell, 1, 6 * 8),
        (nasnet_utils.NasNetAReductionCell, 2, 4 * 8),
        (pnasnet.PNasNetNormalCell, 1, 5 * 8),
        (pnasnet.PNasNetNormalCell, 2, 5 * 8),
    ],
)
def test_a_cell_on_its_own(graph, cell, stride, channels):
    net = v1.placeholder(tf.float32, [2, 9, 7, 10])
    larger = v1.placeholder(tf.float32, [2, 17, 14, 6])
    build_cell = cell(4, 1.0, 20, 1000, False)
    assert build_cell(net, "a", 2.0, stride, larger, 3).shape == [2, -(-9 // stride), -(-7 // stride), channels]
    assert shape_of("a/path2_conv/weights") == [1, 1, 6, 4]
    assert build_cell(net, "b", 2.0, stride, net, 4).shape[-1] == channels
    assert shape_of("b/prev_1x1/weights") == [1, 1, 10, 8]


def test_a_cell_of_your_own_table(graph):
    """Two combinations; the current layer goes to the output too, halved."""
    cell = nasnet_utils.NasNetABaseCell(6, ["none", "max_pool_2x2", "separable_1x1_1", "none"], [0, 1, 1, 0],
                                        [0, 1, 2, 2], 1.0, 1, 1)  # fmt: skip
    assert cell(v1.placeholder(tf.float32, [2, 8, 8, 3]), "mine", stride=2).shape == [2, 4, 4, 12]
    assert shape_of("mine/cell_output/reduction_0/path1_conv/weights") == [1, 1, 6, 3]


@pytest.mark.parametrize(
    ("operations", "used", "message"),
    [
        (
            ["separable_3x5_2", "none"],
            [0, 0, 0],
            "unknown operation 'separable_3x5_2' .* none, separable_KxK_N",
        ),
        (
            ["none", "none"],
            [0, 0],
            "as many hiddenstate_indices and 3 used_hiddenstates, found 2 and 2",
        ),
    ],
)
def test_a_wrong_table_is_told(operations, used, message):
    with pytest.raises(ValueError, match=message):
        nasnet_utils.NasNetABaseCell(4, operations, used, [0, 0], 1.0, 1, 1)


def test_a_cell_with_inputs_of_unknown_size_must_be_told(graph):
    net = v1.placeholder(tf.float32, [None, None, None, 4])
    cell = nasnet_utils.NasNetANormalCell(4, 1.0, 1, 1)
    with pytest.raises(ValueError, match="unknown height or width must be told prev_is_larger"):
        cell(net, "a", prev_layer=net)
    assert cell(net, "b", prev_layer=net, prev_is_larger=False).shape.as_list() == [None, None, None, 24]


# -- drop path -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep_prob", [0.75, "tensor"])
@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
@pytest.mark.parametrize("seeded", [False, True])
def test_drop_path_drops_whole_examples(keep_prob, dtype, seeded):
    with tf.Graph().as_default(), slim.call_context(seed=tf.constant([1, 2]) if seeded else None):
        probability = tf.constant(0.75) if keep_prob == "tensor" else keep_prob
        outputs = nasnet_utils.drop_path(tf.ones([400, 2, 3, 4], dtype), probability)
        assert outputs.dtype == dtype
        with v1.Session() as session:
            outputs = session.run(tf.cast(outputs, tf.float32))
    np.testing.assert_array_equal(outputs, outputs[:, :1, :1, :1] * np.ones([1, 2, 3, 4]))
    examples = outputs[:, 0, 0, 0]
    np.testing.assert_allclose(examples[examples != 0], 1 / 0.75, rtol=1e-2)
    assert abs((examples != 0).mean() - 0.75) < 5 * math.sqrt(0.75 * 0.25 / 400)


def test_drop_path_in_inference_is_the_input(graph):
    net = tf.ones([2, 1, 1, 1])
    assert nasnet_utils.drop_path(net, 0.5, is_training=False) is net
    with slim.arg_scope([nasnet_utils.drop_path], is_training=False):
        assert nasnet_utils.drop_path(net, 0.5) is net


def test_each_drop_path_has_a_mask_of_its_own(graph, run):
    def masks(seed):
        with slim.call_context(seed=tf.constant(seed)):
            found = []
            for scope in ("cell_0/left", "cell_0/right"):
                with v1.variable_scope(scope):
                    found.append(nasnet_utils.drop_path(tf.ones([100, 1, 1, 1]), 0.5))
        return run(found)

    one, two = masks([1, 2])
    assert (one != two).any()
    np.testing.assert_array_equal(masks([1, 2]), [one, two])
    assert (masks([1, 3])[0] != one).any()


def test_the_step_is_the_callers_or_the_graphs(graph, run):
    with v1.variable_scope("here"):
        counted = nasnet_utils.TrainingClock(100).elapsed
    assert [variable.name for variable in v1.global_variables()] == ["here/global_step:0"]
    given = nasnet_utils.TrainingClock(100, current_step=25).elapsed
    with slim.call_context(step=tf.constant(75)):
        called = nasnet_utils.TrainingClock(100).elapsed
    assert run([given, called, counted]) == [0.25, 0.75, 0.0]
    assert len(v1.global_variables()) == 1


def test_where_nobody_counts_steps_training_is_at_its_end():
    uncounted = tf.function(lambda: tf.constant(nasnet_utils.TrainingClock(100).elapsed), autograph=False)
    assert float(uncounted()) == 1.0
