"""ResNet v1 and v2: units, atrous use, sizes, options."""

import numpy as np
import pytest
import tensorflow as tf

from nets import layers as slim
from nets import resnet_utils, resnet_v1, resnet_v2

v1 = tf.compat.v1

each_version = pytest.mark.parametrize("version", [1, 2])


def small_resnet(version, inputs, num_classes=None, **kwargs):
    """Four blocks of three (the last two) units with a bottleneck of 1, 2, 4 and 8 channels; nominal stride 32."""
    block, network = {
        1: (resnet_v1.resnet_v1_block, resnet_v1.resnet_v1),
        2: (resnet_v2.resnet_v2_block, resnet_v2.resnet_v2),
    }[version]
    blocks = [block(f"block{i}", 2 ** (i - 1), 2 if i == 4 else 3, 1 if i == 4 else 2) for i in (1, 2, 3, 4)]
    with slim.arg_scope(resnet_utils.resnet_arg_scope()):
        return network(inputs, blocks, num_classes, **{"scope": "resnet", **kwargs})


def images(*shape):
    return v1.placeholder(tf.float32, shape)


def noise(*shape):
    return tf.random.stateless_normal(shape, [3, 4])


def block_sides(end_points):
    return [end_points[f"resnet/block{i}"].shape[1] for i in (1, 2, 3, 4)]


# -- resnet_utils ----------------------------------------------------------------------------------------------------


def test_subsample_keeps_every_nth_pixel_from_the_first_on(graph, run):
    values = tf.reshape(tf.range(9.0), [1, 3, 3, 1])
    assert run(resnet_utils.subsample(values, 2)).ravel().tolist() == [0, 2, 6, 8]
    values = tf.reshape(tf.range(16.0), [1, 4, 4, 1])
    assert run(resnet_utils.subsample(values, 2)).ravel().tolist() == [0, 2, 8, 10]
    assert resnet_utils.subsample(values, 1) is values


@pytest.mark.parametrize("size", [4, 5, 12, 13])
@pytest.mark.parametrize("kernel", [3, 7])
def test_conv2d_same_is_the_dense_convolution_subsampled(graph, run, size, kernel):
    inputs = noise(1, size, size, 2)
    with v1.variable_scope("", reuse=v1.AUTO_REUSE):
        dense = slim.conv2d(inputs, 4, kernel, stride=1, activation_fn=None, scope="Conv")
        strided = resnet_utils.conv2d_same(inputs, 4, kernel, stride=2, scope="Conv")
    np.testing.assert_allclose(*run([tf.nn.relu(resnet_utils.subsample(dense, 2)), strided]), atol=1e-5)


@each_version
def test_atrous_output_subsampled_is_the_dense_output(graph, run, version):
    inputs = noise(2, 81, 81, 3)
    kwargs = {"is_training": False, "global_pool": False, "reuse": v1.AUTO_REUSE}
    dense, _ = small_resnet(version, inputs, **kwargs)
    assert dense.shape[1] == 3
    for output_stride, side in ((4, 21), (8, 11), (16, 6), (32, 3)):
        atrous, _ = small_resnet(version, inputs, output_stride=output_stride, **kwargs)
        assert atrous.shape[1] == side
        expected, found = run([dense, resnet_utils.subsample(atrous, 32 // output_stride)])
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_blocks_are_collected_and_named_by_their_scopes(graph):
    def unit(net, stride, rate, name):
        return tf.identity(net[:, ::stride, ::stride], name=f"{name}_rate_{rate}")

    blocks = [
        resnet_utils.Block("first", unit, [{"stride": 1, "name": "a"}, {"stride": 2, "name": "b"}]),
        resnet_utils.Block("second", unit, [{"stride": 2, "name": "c"}, {"stride": 2, "name": "d"}]),
    ]
    net = resnet_utils.stack_blocks_dense(noise(1, 16, 16, 1), blocks, output_stride=2, outputs_collections="out")
    assert net.shape == [1, 8, 8, 1]
    assert net.op.name == "second/unit_2/d_rate_2"
    assert list(slim.utils.convert_collection_to_dict("out")) == ["first", "second"]


# -- networks --------------------------------------------------------------------------------------------------------


@each_version
@pytest.mark.parametrize(
    ("side", "options", "expected"),
    [
        (224, {}, [28, 14, 7, 7]),
        (321, {}, [41, 21, 11, 11]),
        (321, {"output_stride": 8}, [41, 41, 41, 41]),
        (128, {"include_root_block": False}, [64, 32, 16, 16]),
        (97, {"output_stride": 16}, [13, 7, 7, 7]),
    ],
)
def test_sides_of_the_blocks(graph, version, side, options, expected):
    _, end_points = small_resnet(version, images(2, side, side, 3), global_pool=False, **options)
    assert block_sides(end_points) == expected


@each_version
def test_dense_answers_at_odd_sizes(graph, version):
    logits, end_points = small_resnet(
        version, images(2, 81, 65, 3), 10, global_pool=False, spatial_squeeze=False, output_stride=8
    )
    assert logits.shape == [2, 11, 9, 10]
    assert end_points["predictions"].shape == [2, 11, 9, 10]
    assert "global_pool" not in end_points


@each_version
def test_classification_end_points(graph, version):
    logits, end_points = small_resnet(version, images(2, 224, 224, 3), 10)
    assert logits.shape == [2, 10]
    assert end_points["resnet/logits"].shape == [2, 1, 1, 10]
    assert list(end_points)[-4:] == ["global_pool", "resnet/logits", "resnet/spatial_squeeze", "predictions"]
    assert end_points["predictions"].op.name == "resnet/predictions/Reshape_1"


@each_version
def test_unknown_sizes_and_features(graph, version):
    pooled, _ = small_resnet(version, images(None, None, None, 3))
    assert pooled.shape.as_list() == [None, 1, 1, 32]
    features, _ = small_resnet(version, images(None, None, None, 3), global_pool=False, reuse=True)
    assert features.shape.as_list() == [None, None, None, 32]


@each_version
@pytest.mark.parametrize("output_stride", [3, 12, 64])
def test_output_stride_that_cannot_be_reached_is_refused(graph, version, output_stride):
    with pytest.raises(ValueError, match="output_stride"):
        small_resnet(version, images(1, 64, 64, 3), output_stride=output_stride)


def test_stored_activations_are_those_before_the_stride(graph):
    net, end_points = small_resnet(1, images(2, 224, 224, 3), global_pool=False, store_non_strided_activations=True)
    assert block_sides(end_points) == [56, 28, 14, 7]
    assert net.shape[1] == 7


@pytest.mark.parametrize("output_stride", [None, 8])
def test_storing_activations_changes_no_output(graph, run, output_stride):
    outputs = [
        small_resnet(
            1,
            noise(1, 65, 65, 3),
            is_training=False,
            global_pool=False,
            output_stride=output_stride,
            store_non_strided_activations=store,
            reuse=v1.AUTO_REUSE,
        )[0]
        for store in (False, True)
    ]
    np.testing.assert_allclose(*run(outputs), atol=1e-4)


@pytest.mark.parametrize(("multiplier", "minimum"), [(0.25, 8), (0.25, 20), (0, 16)])
def test_v1_depth_multiplier_scales_the_bottlenecks_down_to_the_least(graph, multiplier, minimum):
    _, end_points = resnet_v1.resnet_v1_50(
        images(1, 64, 64, 3), depth_multiplier=multiplier, min_base_depth=minimum, scope="resnet"
    )
    depths = [end_points[f"resnet/block{i}"].shape[-1] for i in (1, 2, 3, 4)]
    assert depths == [4 * max(int(base * multiplier), minimum) for base in (64, 128, 256, 512)]
    assert end_points["resnet/conv1"].shape[-1] == 64, "the root keeps its depth"


def test_v1_is_training_none_leaves_the_mode_to_an_outer_scope(graph):
    for is_training, scope, updates in ((None, True, True), (None, False, False), (True, False, True)):
        with tf.Graph().as_default(), slim.arg_scope([slim.batch_norm], is_training=scope):
            # Without resnet_arg_scope no convolution would be normalised.
            with slim.arg_scope([slim.conv2d], normalizer_fn=slim.batch_norm):
                blocks = [resnet_v1.resnet_v1_block("block1", 1, 1, 1)]
                resnet_v1.resnet_v1(images(2, 32, 32, 3), blocks, is_training=is_training)
            assert bool(v1.get_collection(v1.GraphKeys.UPDATE_OPS)) == updates


def test_v1_bounded_activations_stay_within_six(graph, run):
    inputs = 100 * noise(1, 9, 9, 4)
    free = resnet_v1.bottleneck(inputs, 8, 2, 1, scope="unit")
    with slim.arg_scope([resnet_v1.bottleneck], use_bounded_activations=True), v1.variable_scope("", reuse=True):
        bounded = resnet_v1.bottleneck(inputs, 8, 2, 1, scope="unit")
    free, bounded = run([free, bounded])
    assert free.max() > 6 >= bounded.max()
    assert bounded.min() >= 0


def test_v2_projects_the_normalised_input_and_adds_to_the_raw_one(graph, run):
    inputs = noise(2, 5, 5, 4)
    with slim.arg_scope(resnet_utils.resnet_arg_scope()), slim.arg_scope([slim.batch_norm], is_training=False):
        same = resnet_v2.bottleneck(inputs, 4, 2, 1, scope="same")
        resnet_v2.bottleneck(inputs, 8, 2, 2, scope="wider")
    zeroed = [v.assign(tf.zeros_like(v)) for v in slim.get_variables("same/conv3")]
    run(zeroed)
    np.testing.assert_allclose(*run([same, inputs]))
    names = [v.name for v in slim.get_variables("wider") if "preact" not in v.name and "BatchNorm" not in v.name]
    linear = [f"wider/{layer}/{kind}:0" for layer in ("shortcut", "conv3") for kind in ("weights", "biases")]
    assert set(linear) <= set(names)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_arg_scope_options(graph, version):
    module = {"v1": resnet_v1, "v2": resnet_v2}[version]
    with slim.arg_scope(module.resnet_arg_scope(use_batch_norm=False, batch_norm_scale=False, weight_decay=0.1)):
        module.bottleneck(images(1, 8, 8, 4), 8, 2, 1, scope="unit")
    names = [v.name for v in slim.get_variables("unit")]
    assert "unit/conv1/biases:0" in names
    assert not any("gamma" in name or "BatchNorm" in name for name in names)
    assert len(v1.get_collection(v1.GraphKeys.REGULARIZATION_LOSSES)) == 4
