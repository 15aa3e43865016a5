"""linear, LeNet and CifarNet: initial distributions, what is regularised, ops that frozen graphs name."""

import numpy as np
import pytest
import tensorflow as tf

from nets import cifarnet, lenet, linear
from nets import layers as slim

v1 = tf.compat.v1


def build_cifarnet():
    with slim.arg_scope(cifarnet.cifarnet_arg_scope()):
        return cifarnet.cifarnet(v1.placeholder(tf.float32, [1, 32, 32, 3]), is_training=True)


def test_cifarnet_regularises_its_two_hidden_fully_connected_layers(graph):
    build_cifarnet()
    losses = v1.get_collection(v1.GraphKeys.REGULARIZATION_LOSSES)
    assert [loss.name.split("/")[1] for loss in losses] == ["fc3", "fc4"]


@pytest.mark.parametrize(
    ("layer", "stddev", "bias"),
    [("conv1", 0.05, 0.0), ("conv2", 0.05, 0.0), ("fc3", 0.04, 0.1), ("fc4", 0.04, 0.1), ("logits", 1 / 192, 0.0)],
)
def test_cifarnet_initial_values(graph, run, layer, stddev, bias):
    build_cifarnet()
    weights, biases = run(slim.get_variables(f"CifarNet/{layer}"))
    # What is left of a normal distribution cut at two deviations has 0.88 of the deviation.
    assert weights.std() == pytest.approx(0.88 * stddev, rel=0.1)
    assert np.abs(weights).max() <= 2 * stddev
    assert biases == pytest.approx(bias)


def test_lenet_initial_values(graph, run):
    with slim.arg_scope(lenet.lenet_arg_scope(weight_decay=0.1)):
        _, end_points = lenet.lenet(v1.placeholder(tf.float32, [1, 28, 28, 1]))
    weights, biases = run(slim.get_variables("LeNet/fc3"))
    assert weights.std() == pytest.approx(0.088, rel=0.01)
    assert not biases.any()
    assert len(v1.get_collection(v1.GraphKeys.REGULARIZATION_LOSSES)) == 4
    assert end_points["Predictions"].op.name.startswith("Predictions")


def test_dropout_keeps_what_it_is_told_to(graph, run):
    _, end_points = lenet.lenet(tf.ones([1, 28, 28, 1]), is_training=True, dropout_keep_prob=1.0)
    np.testing.assert_array_equal(*run([end_points["dropout3"], end_points["fc3"]]))


def test_linear_starts_undecided_and_is_linear(graph, run):
    images = tf.random.stateless_uniform([4, 8, 6, 3], [1, 2])
    with slim.arg_scope(linear.linear_arg_scope(weight_decay=0.1)):
        logits, end_points = linear.linear(images, 5)
    np.testing.assert_allclose(run(end_points["Predictions"]), np.full([4, 5], 0.2), rtol=1e-6)
    assert [v.name for v in v1.global_variables()] == ["Linear/logits/weights:0", "Linear/logits/biases:0"]
    assert len(v1.get_collection(v1.GraphKeys.REGULARIZATION_LOSSES)) == 1
    assert v1.global_variables()[0].shape == [8 * 6 * 3, 5]
    assert end_points["Logits"] is logits
