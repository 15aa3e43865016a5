"""`Network` for a user's own function: its initializers, and batch norms that are used in unusual ways."""

import numpy as np
import pytest
import tensorflow as tf

from nets import layers as slim
from nets import registry
from nets.network import Network


@pytest.fixture
def own(own_networks):
    """`own(build)`: a Network of a function `build(images, is_training) -> features`, with a classifier on top."""

    def make(build, **options):
        @registry.network("own", image_size=8, preprocessing="cifarnet", head_scopes="Own/logits")
        def function(images, num_classes=3, is_training=False):
            with tf.compat.v1.variable_scope("Own"):
                net = slim.flatten(build(images, is_training))
                logits = slim.fully_connected(net, num_classes, activation_fn=None, scope="logits")
            return logits, {"Logits": logits}

        network = Network("own", 3, **options)
        network.initialize()
        return network

    return make


IMAGES = tf.random.stateless_uniform([4, 8, 8, 3], [0, 1], -1.0, 1.0)


def train(network, **options):
    return tf.function(lambda batch: network(batch, training=True, **options)[0], autograph=False)(IMAGES)


def values_of(network):
    return {name: variable.numpy() for name, variable in network.variables_by_name.items()}


def changed(before, network):
    return [name for name, value in values_of(network).items() if value.tobytes() != before[name].tobytes()]


# -- initial values --------------------------------------------------------------------------------------------------


def own_initializer(shape, dtype=tf.float32, partition_info=None):
    return tf.random.normal(shape, 5.0, 0.1, dtype)


def conv_from(initializer):
    return lambda images, is_training: slim.conv2d(images, 4, [3, 3], scope="conv", weights_initializer=initializer)


def test_an_own_initializer_function_is_drawn_from_the_seed(own):
    network = own(conv_from(own_initializer))
    first = values_of(network)
    assert first["Own/conv/weights"].mean() == pytest.approx(5, abs=0.1)
    assert 0.05 < first["Own/conv/weights"].std() < 0.15
    network.initialize()
    assert changed(first, network) == []
    other = Network("own", 3, seed=1)
    other.initialize()
    assert "Own/conv/weights" in changed(first, other)


def test_what_a_checkpoint_gives_is_not_drawn(own):
    draws = []

    def counting(shape, dtype=tf.float32, partition_info=None):
        draws.append(shape)
        return tf.zeros(shape, dtype)

    network = own(conv_from(counting))
    assert len(draws) == 1
    network.initialize({"Own/conv/weights": np.ones([3, 3, 3, 4])})
    assert len(draws) == 1
    assert (network.variables_by_name["Own/conv/weights"].numpy() == 1).all()


@pytest.mark.parametrize(
    "value",
    [np.full([4], 2.0, np.float32), tf.fill([4], 2.0), lambda: tf.fill([4], 2.0)],
    ids=["array", "eager", "graph"],
)
def test_an_initial_value_may_be_a_constant(own, value):
    def build(images, is_training):
        initial = value() if callable(value) else value
        return slim.conv2d(images, 4, [1, 1]) * tf.compat.v1.get_variable("scale", initializer=initial)

    network = own(build)
    np.testing.assert_array_equal(network.variables_by_name["Own/scale"], np.full([4], 2.0))
    assert np.isfinite(train(network)).all()


def test_an_initial_value_that_is_computed_in_the_graph_is_refused(own):
    def build(images, is_training):
        return slim.conv2d(images, 4, [1, 1]) * tf.compat.v1.get_variable("s", initializer=tf.random.normal([4]))

    with pytest.raises(ValueError, match=r"variable 'Own/s'.*give a function initializer\(shape, dtype\)"):
        own(build)


# -- batch norm ------------------------------------------------------------------------------------------------------


def test_layers_without_names_get_the_same_ones_in_each_call(own):
    def build(images, is_training):
        net = slim.conv2d(images, 4, [1, 1], normalizer_fn=slim.batch_norm)
        return slim.conv2d(net, 4, [1, 1])

    network = own(build)
    assert "Own/Conv_1/weights" in network.shapes

    @tf.function(autograph=False)
    def twice(images):
        return network(images)[0], network(images, batch_statistics=True)[0]

    assert len(twice(IMAGES)) == 2


def batch_normalised(images, is_training):
    """A layer whose batch norm has no variables that are trained, one that has, and one that normalises no layer."""
    net = slim.batch_norm(images, center=False, is_training=is_training, scope="input")
    options = {"normalizer_fn": slim.batch_norm}
    net = slim.conv2d(
        net, 4, [1, 1], scope="plain", normalizer_params={"center": False, "is_training": is_training}, **options
    )
    return slim.conv2d(net, 4, [1, 1], scope="full", normalizer_params={"is_training": is_training}, **options)


PLAIN, FULL, INPUT = (
    [f"Own/{scope}/moving_{what}" for what in ("mean", "variance")]
    for scope in ("plain/BatchNorm", "full/BatchNorm", "input")
)
LOGITS = ["Own/logits/weights", "Own/logits/biases"]


@pytest.mark.parametrize(
    ("trained", "moving"),
    [
        (LOGITS, []),
        (["Own/plain/weights"], PLAIN),
        (["Own/full/weights"], []),
        (["Own/full/BatchNorm/beta"], FULL),
        (["Own/plain/weights", "Own/full/weights", "Own/full/BatchNorm/beta"], PLAIN + FULL),
        (["Own/plain/weights", "Own/full/weights", "Own/full/BatchNorm/beta", *LOGITS], INPUT + PLAIN + FULL),
    ],
)
def test_a_batch_norm_without_variables_goes_with_its_layer(own, trained, moving):
    network = own(batch_normalised)
    network.train_only(trained)
    assert network.moving_statistics_names() == moving
    before = values_of(network)
    train(network)
    assert changed(before, network) == moving


def test_a_batch_norm_that_the_network_keeps_in_inference_stays_there(own):
    def build(images, is_training):
        net = slim.conv2d(images, 4, [1, 1], scope="moves", normalizer_fn=slim.batch_norm)
        return slim.batch_norm(net, is_training=False, scope="still")

    network = own(build)
    moving = [f"Own/moves/BatchNorm/moving_{what}" for what in ("mean", "variance")]
    assert network.moving_statistics_names() == moving
    before = values_of(network)
    train(network)
    assert changed(before, network) == moving
    # Slim's default is training mode; evaluation does not depend on the network having said otherwise.
    before = values_of(network)
    network(IMAGES)
    assert changed(before, network) == []


def test_averages_that_correct_for_their_start_are_known_and_move(own):
    def build(images, is_training):
        options = {"zero_debias_moving_mean": True, "is_training": is_training}
        return slim.conv2d(images, 4, [1, 1], scope="c", normalizer_fn=slim.batch_norm, normalizer_params=options)

    network = own(build)
    extra = [f"Own/c/BatchNorm/Own/c/BatchNorm/moving_mean/{name}" for name in ("biased", "local_step")]
    assert [name for name in network.shapes if name.startswith("Own/c/BatchNorm/Own")] == extra
    assert set(extra) < set(network.moving_statistics_names())
    before = values_of(network)
    train(network, batch_statistics=None)
    assert set(changed(before, network)) == set(network.moving_statistics_names())
    assert network.variables_by_name[extra[1]].numpy() == 1
    before = values_of(network)
    network(IMAGES)
    network(IMAGES, batch_statistics=True)
    assert changed(before, network) == []
    # The correction is for the network's own decay. Another one is the whole truth: of 0, the batch's own mean.
    train(network, batch_norm_decay=lambda decay: tf.constant(0.0))
    mean = tf.reduce_mean(tf.nn.conv2d(IMAGES, network.variables_by_name["Own/c/weights"], 1, "SAME"), [0, 1, 2])
    np.testing.assert_allclose(network.variables_by_name["Own/c/BatchNorm/moving_mean"], mean, atol=1e-5)
    assert set(changed(before, network)) == {f"Own/c/BatchNorm/moving_{what}" for what in ("mean", "variance")}


def test_renormalising_averages_are_among_those_that_move(own):
    def build(images, is_training):
        return slim.batch_norm(images, renorm=True, is_training=is_training, scope="bn")

    network = own(build)
    names = {"moving_mean", "moving_variance", "moving_stddev", "renorm_mean", "renorm_stddev"}
    assert set(network.moving_statistics_names()) == {f"Own/bn/{name}" for name in names}
    before = values_of(network)
    train(network)
    assert set(changed(before, network)) == set(network.moving_statistics_names())
