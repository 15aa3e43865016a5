"""Dense use of the classifiers: an answer for every place of an image of any size."""

import numpy as np
import pytest
import tensorflow as tf

from nets import fully_convolutional, nets_factory
from nets.network import Network

v1 = tf.compat.v1

RESNET = {"global_pool": False}
VGG = {"fc_conv_padding": "SAME"}


@pytest.mark.parametrize(
    ("name", "options", "image", "score_map"),
    [
        ("resnet_v1_50", {**RESNET, "output_stride": 8}, (193, 257), (25, 33)),
        ("resnet_v1_101", {**RESNET, "output_stride": 16}, (224, 320), (14, 20)),
        ("resnet_v1_50", RESNET, (224, 320), (7, 10)),
        ("resnet_v2_50", {**RESNET, "output_stride": 8}, (193, 257), (25, 33)),
        ("resnet_v2_50", {**RESNET, "output_stride": 32}, (100, 64), (4, 2)),
        ("vgg_16", VGG, (256, 320), (8, 10)),
        ("vgg_16", {**VGG, "output_stride": 8}, (256, 320), (32, 40)),
        ("vgg_16", {**VGG, "output_stride": 16}, (250, 100), (15, 6)),
        ("vgg_a", {"output_stride": 32}, (256, 320), (2, 4)),
        ("vgg_a", {"output_stride": 16}, (256, 320), (4, 8)),
        ("mobilenet_v1_025", {"output_stride": 8}, (224, 160), (28, 20)),
        ("mobilenet_v1", {"output_stride": 16}, (225, 97), (15, 7)),
        ("mobilenet_v1_025", {"output_stride": 32}, (320, 224), (10, 7)),
        ("mobilenet_v1_025", {"output_stride": 16, "global_pool": True}, (320, 224), (1, 1)),
        ("mobilenet_v2", {"output_stride": 8, "global_pool": False}, (224, 160), (28, 20)),
        ("mobilenet_v2_035", {"output_stride": 16, "global_pool": False}, (225, 97), (15, 7)),
        ("mobilenet_v2_035", {"output_stride": 16}, (225, 97), (1, 1)),
        ("mobilenet_v3_large", {"output_stride": 16, "global_pool": False}, (224, 160), (14, 10)),
        ("mobilenet_v3_small_minimalistic", {"global_pool": False}, (224, 160), (7, 5)),
        ("mobilenet_edgetpu", {"output_stride": 8, "global_pool": False}, (224, 160), (28, 20)),
    ],
)
def test_unsqueezed_logits_are_a_score_map(graph, name, options, image, score_map):
    images = v1.placeholder(tf.float32, [None, *image, 3])
    logits, _ = nets_factory.get_network_fn(name, 5)(images, spatial_squeeze=False, **options)
    assert logits.shape.as_list() == [None, *score_map, 5]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mobilenet_v1_025", {"output_stride": 16}),
        ("mobilenet_v2_035", {"output_stride": 16, "global_pool": False}),
        ("resnet_v1_50", {"output_stride": 16, "global_pool": False, "depth_multiplier": 0.125}),
    ],
)
def test_one_network_scores_images_of_several_sizes(name, options):
    network = Network(name, 3, image_size=96, spatial_squeeze=False, **options)
    network.initialize()
    for height, width in [(96, 96), (64, 128), (80, 48)]:
        scores, _ = network(tf.random.stateless_uniform([2, height, width, 3], [1, 2]))
        assert scores.shape == [2, height // 16, width // 16, 3]
        assert np.isfinite(scores).all()


@pytest.mark.parametrize("output_stride", [1, 2, 4, 8])
@pytest.mark.parametrize("fc6_padding", ["SAME", "VALID"])
def test_a_vgg_like_network_has_the_sparse_answers_among_the_dense_ones(graph, run, output_stride, fc6_padding):
    layers = [
        layer
        for i in range(1, 4)
        for layer in (
            fully_convolutional.Conv(f"conv{i}", 4, 3, padding="SAME", repeat=2),
            fully_convolutional.Pool(f"pool{i}", 2),
        )
    ]
    images = tf.random.stateless_uniform([1, 40, 48, 3], [1, 2], -1.0, 1.0)

    def scores(stride):
        logits, _ = fully_convolutional.build(
            images,
            layers,
            fully_convolutional.Classifier(8, 3, fc6_padding, {}, {}),
            scope="net",
            default_scope="net",
            num_classes=2,
            is_training=False,
            dropout_keep_prob=0.5,
            spatial_squeeze=False,
            global_pool=False,
            reuse=v1.AUTO_REUSE,
            output_stride=stride,
        )
        return logits

    sparse, dense = run([scores(None), scores(output_stride)])
    step = 8 // output_stride
    assert sparse.std() > 0
    np.testing.assert_allclose(dense[:, ::step, ::step][:, : sparse.shape[1], : sparse.shape[2]], sparse, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("vgg_a", {"output_stride": 12}, "output_stride 12 cannot be reached: the strides come to 16"),
        ("vgg_a", {"output_stride": 64}, "output_stride 64 cannot be reached: the strides come to 32"),
        ("resnet_v1_50", {"output_stride": 6}, "output_stride"),
        ("mobilenet_v1", {"output_stride": 4}, "output_stride must be 8, 16, 32 or None, not 4"),
    ],
)
def test_an_output_stride_that_cannot_be_is_told(graph, name, options, words):
    with pytest.raises(ValueError, match=words):
        nets_factory.get_network_fn(name, 5)(
            v1.placeholder(tf.float32, [1, 256, 256, 3]), spatial_squeeze=False, **options
        )
