"""AlexNet and OverFeat, fully convolutional."""

import pytest
import tensorflow as tf

from nets import alexnet, overfeat
from nets import layers as slim

v1 = tf.compat.v1

NETWORKS = {
    "alexnet_v2": (alexnet.alexnet_v2, alexnet.alexnet_v2_arg_scope),
    "overfeat": (overfeat.overfeat, overfeat.overfeat_arg_scope),
}


def build(name, shape, **kwargs):
    function, arg_scope = NETWORKS[name]
    with slim.arg_scope(arg_scope()):
        return function(v1.placeholder(tf.float32, shape), 1000, **kwargs)


def default_shape(name, batch=1):
    size = NETWORKS[name][0].default_image_size
    return [batch, size, size, 3]


@pytest.mark.parametrize(
    ("name", "shape", "answers"),
    [("alexnet_v2", [1, 300, 400, 3], [1, 4, 7, 1000]), ("overfeat", [1, 281, 281, 3], [1, 2, 2, 1000])],
)
def test_larger_images_give_a_map_of_answers(graph, name, shape, answers):
    logits, end_points = build(name, shape, spatial_squeeze=False)
    assert logits.shape == answers
    assert end_points[f"{name}/fc8"] is logits


@pytest.mark.parametrize(("name", "size"), [("alexnet_v2", 256), ("overfeat", 281)])
def test_global_pool_gives_one_answer(graph, name, size):
    logits, end_points = build(name, [1, size, size, 3], spatial_squeeze=False, global_pool=True)
    assert logits.shape == [1, 1, 1, 1000]
    assert list(end_points)[-3:] == [f"{name}/fc7", "global_pool", f"{name}/fc8"]


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_op_has_slims_name(graph, name):
    logits, _ = build(name, default_shape(name, batch=5))
    assert logits.op.name == f"{name}/fc8/squeezed"
    assert logits.shape == [5, 1000]


@pytest.mark.parametrize("name", NETWORKS)
def test_initial_biases(graph, name):
    """0.1 where a dead ReLU would cost most, zero for the classifier."""
    build(name, default_shape(name))
    expected = {"fc6": 0.1, "fc7": 0.1, "fc8": 0.0, "conv1": 0.1 if name == "alexnet_v2" else 0.0}
    with v1.Session() as session:
        for layer, value in expected.items():
            (biases,) = slim.get_variables(f"{name}/{layer}/biases")
            assert session.run(biases.initializer.inputs[1]).tolist() == pytest.approx([value] * biases.shape[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_default_weight_decay_is_on_all_weights(graph, name):
    build(name, default_shape(name))
    assert len(v1.get_collection(v1.GraphKeys.REGULARIZATION_LOSSES)) == 8
