"""VGG, fully convolutional."""

import pytest
import tensorflow as tf

from nets import layers as slim
from nets import vgg

v1 = tf.compat.v1


def build(function, shape, **kwargs):
    with slim.arg_scope(vgg.vgg_arg_scope()):
        return function(v1.placeholder(tf.float32, shape), 1000, **kwargs)


@pytest.mark.parametrize("name", ["vgg_a", "vgg_16", "vgg_19"])
def test_larger_images_give_a_map_of_answers(graph, name):
    logits, _ = build(getattr(vgg, name), [1, 256, 256, 3], spatial_squeeze=False)
    assert logits.shape == [1, 2, 2, 1000]


@pytest.mark.parametrize(("height", "width", "answers"), [(97, 129, [3, 4]), (255, 224, [7, 7]), (321, 65, [10, 2])])
def test_with_same_padding_odd_sizes_give_an_answer_for_every_32_pixels(graph, height, width, answers):
    logits, _ = build(vgg.vgg_16, [1, height, width, 3], spatial_squeeze=False, fc_conv_padding="SAME")
    assert logits.shape == [1, *answers, 1000]


def test_global_pool_gives_one_answer(graph):
    logits, end_points = build(vgg.vgg_16, [1, 256, 256, 3], spatial_squeeze=False, global_pool=True)
    assert logits.shape == [1, 1, 1, 1000]
    assert list(end_points)[-3:] == ["vgg_16/fc7", "global_pool", "vgg_16/fc8"]


def test_logits_op_has_slims_name(graph):
    logits, _ = build(vgg.vgg_a, [5, 224, 224, 3])
    assert logits.op.name == "vgg_a/fc8/squeezed"


def test_end_points_keep_their_keys_when_variables_are_reused(graph):
    _, first = build(vgg.vgg_a, [1, 224, 224, 3])
    _, second = build(vgg.vgg_a, [2, 224, 224, 3], reuse=True)
    assert list(first) == list(second)


def test_the_papers_names():
    assert (vgg.vgg_d, vgg.vgg_e) == (vgg.vgg_16, vgg.vgg_19)
    assert vgg.vgg_16.__name__ == "vgg_16"
