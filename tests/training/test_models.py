"""From a checkpoint to a network."""

import pytest
import tensorflow as tf

from checkpoints import writer
from common.errors import UserError
from nets import layers as slim
from nets import registry
from nets.network import Network
from training import models


@pytest.fixture
def with_helper_head(own_networks):
    """A network that builds an auxiliary head in training alone, as NASNet does; its variables' values."""

    @registry.network("helped", image_size=8, preprocessing="cifarnet", head_scopes=("Main", "Aux"))
    def helped(images, num_classes, is_training=False):
        net = slim.flatten(slim.conv2d(images, 2, [3, 3], scope="conv"))
        end_points = {}
        if is_training:
            end_points["AuxLogits"] = slim.fully_connected(net, num_classes, activation_fn=None, scope="Aux")
        logits = slim.fully_connected(net, num_classes, activation_fn=None, scope="Main")
        return logits, end_points | {"Logits": logits}

    network = Network("helped", 3)
    network.initialize()
    return network


def save(network, folder, leave_out=()):
    values = {name: value for name, value in network.variables_by_name.items() if not name.startswith(leave_out or "-")}
    return writer.save(str(folder), 1, values)


def test_a_head_of_training_alone_may_be_missing(with_helper_head, tmp_path):
    save(with_helper_head, tmp_path, ("Aux/",))
    loaded = models.load(str(tmp_path), {"model_name": "helped", "num_classes": 3})
    images = tf.random.stateless_uniform([2, 8, 8, 3], [1, 2])
    tf.debugging.assert_equal(loaded.network(images)[0], with_helper_head(images)[0])


@pytest.mark.parametrize("scope", ["Main/", "conv/"])
def test_anything_else_may_not(with_helper_head, tmp_path, scope):
    save(with_helper_head, tmp_path, (scope,))
    with pytest.raises(UserError, match=f"{scope}weights"):
        models.load(str(tmp_path), {"model_name": "helped", "num_classes": 3})


def test_what_evaluation_uses_is_told_from_what_training_adds(with_helper_head):
    assert with_helper_head.evaluation_names == {"conv/weights", "conv/biases", "Main/weights", "Main/biases"}
    assert set(with_helper_head.shapes) - with_helper_head.evaluation_names == {"Aux/weights", "Aux/biases"}
