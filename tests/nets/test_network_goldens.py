"""`Network`, inside `tf.function`, against the goldens of the original Slim."""

import json

import numpy as np
import pytest
import tensorflow as tf

from nets import registry
from nets.network import Network

NAMES = registry.names()
# One small member of each family; the others' numbers (and the families with 50 million weights and more) are slow.
FAST = {
    "linear",
    "lenet",
    "cifarnet",
    "inception_v1",
    "inception_v2",
    "inception_v3",
    "inception_resnet_v2",
    "i3d",
    "s3dg",
    "resnet_v1_50",
    "resnet_v2_50",
    "mobilenet_v1_025",
    "mobilenet_v2_035",
    "mobilenet_v3_small",
    "mobilenet_edgetpu_075",
    "nasnet_mobile",
    "pnasnet_mobile",
}

each_network = pytest.mark.parametrize("name", NAMES)
each_network_most_slow = pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
)


@pytest.fixture(scope="module")
def expected(golden_tools):
    """Reads a golden by its network's name."""
    return lambda name: json.loads((golden_tools.GOLDENS / f"{name}.json").read_text())


def make_network(golden):
    return Network(golden["network"], golden["num_classes"], weight_decay=golden["weight_decay"], **golden["kwargs"])


def described(end_points):
    return [(key, value.shape.as_list()) for key, value in end_points.items()]


@each_network
def test_specs_are_the_goldens_variables_in_its_order(name, expected):
    golden = expected(name)
    network = make_network(golden)
    described = [{"name": s.name, "shape": list(s.shape), "trainable": s.trainable} for s in network.specs]
    # A graph's global step, which drop path makes if nobody has, is none of the network's variables.
    assert described == [v for v in golden["variables"] if v["name"].rpartition("/")[2] != "global_step"]
    assert all(spec.dtype == tf.float32 for spec in network.specs)
    assert len(network.moving_statistics_names()) == golden["num_update_ops"]
    assert len([s for s in network.specs if s.regularizer is not None]) == golden["num_regularization_losses"]


@each_network_most_slow
def test_a_call_gives_the_goldens_numbers_and_end_points(name, expected, golden_tools):
    golden = expected(name)
    network = make_network(golden)
    network.initialize({name: golden_tools.weights(name, shape) for name, shape in network.shapes.items()})
    assert [variable.name for variable in network.variables_by_name.values()] == [f"{s.name}:0" for s in network.specs]
    end_points = {}

    @tf.function(autograph=False)
    def evaluate(images):
        logits, end_points["eval"] = network(images)
        return logits, network.regularization_loss()

    @tf.function(autograph=False)
    def train(images):
        end_points["train"] = network(images, training=True)[1]

    images = golden_tools.image(**golden["input"])
    logits, loss = evaluate(images)
    numbers = np.array(golden["eval_logits"])
    np.testing.assert_allclose(logits, numbers, rtol=0, atol=1e-4 * np.abs(numbers).max())
    assert float(loss) == pytest.approx(golden["regularization_loss"], rel=1e-5)
    train.get_concrete_function(tf.TensorSpec(images.shape))
    assert described(end_points["train"]) == list(golden["train_end_points"].items())
    shapes = {key: value["shape"] for key, value in golden["eval_end_points"].items()}
    assert described(end_points["eval"]) == list(shapes.items())
