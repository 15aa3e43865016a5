"""Optimizers move variables as TensorFlow 1's of the same names do, and keep their state under the same names."""

import numpy as np
import pytest
import tensorflow as tf

from training.config import OPTIMIZERS, TrainConfig
from training.optimizers import Optimizer

GRADIENTS = ([0.5, -2.0, 0.0], [1.0, 0.25, -0.125], [-3.0, 0.5, 0.5])
RATE = 0.1

v1 = tf.compat.v1.train
REFERENCES = {
    "adadelta": lambda c: v1.AdadeltaOptimizer(RATE, rho=c.adadelta_rho, epsilon=c.opt_epsilon),
    "adagrad": lambda c: v1.AdagradOptimizer(RATE, c.adagrad_initial_accumulator_value),
    "adam": lambda c: v1.AdamOptimizer(RATE, c.adam_beta1, c.adam_beta2, c.opt_epsilon),
    "ftrl": lambda c: v1.FtrlOptimizer(
        RATE, c.ftrl_learning_rate_power, c.ftrl_initial_accumulator_value, c.ftrl_l1, c.ftrl_l2
    ),
    "momentum": lambda c: v1.MomentumOptimizer(RATE, c.momentum),
    "rmsprop": lambda c: v1.RMSPropOptimizer(RATE, c.rmsprop_decay, c.rmsprop_momentum, c.opt_epsilon),
    "sgd": lambda c: v1.GradientDescentOptimizer(RATE),
}


def config_of(name):
    return TrainConfig(dataset_dir="d", optimizer=name, opt_epsilon=0.1, ftrl_l1=0.01, ftrl_l2=0.02)


def reference_run(config):
    """Values and state after the three gradients, by TensorFlow 1's optimizer in a graph."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variable = tf.compat.v1.get_variable("net/w", initializer=tf.constant([1.0, 2.0, 3.0]))
        gradient = tf.compat.v1.placeholder(tf.float32, [3])
        train = REFERENCES[config.optimizer](config).apply_gradients([(gradient, variable)])
        session.run(tf.compat.v1.global_variables_initializer())
        for value in GRADIENTS:
            session.run(train, {gradient: value})
        return {v.op.name: session.run(v) for v in tf.compat.v1.global_variables()}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_moves_and_state_equal_tensorflow_1(name):
    config = config_of(name)
    variable = tf.Variable([1.0, 2.0, 3.0])
    optimizer = Optimizer(config, {"net/w": variable})
    for gradient in GRADIENTS:
        optimizer.apply({"net/w": tf.constant(gradient)}, tf.constant(RATE))
    expected = reference_run(config)
    ours = {"net/w": variable} | optimizer.state
    assert set(ours) == set(expected)
    for key, value in expected.items():
        np.testing.assert_allclose(ours[key].numpy(), value, rtol=1e-6, err_msg=key)


def test_rmsprop_by_hand():
    """ms = 0.9 * 1 + 0.1 * 4 = 1.3; mom = 0.1 * 2 / sqrt(1.3 + 1.0); w = 1 - mom."""
    variable = tf.Variable([1.0])
    optimizer = Optimizer(TrainConfig(dataset_dir="d"), {"w": variable})
    optimizer.apply({"w": tf.constant([2.0])}, tf.constant(0.1))
    np.testing.assert_allclose(variable.numpy(), [1 - 0.2 / np.sqrt(2.3)], rtol=1e-6)
    np.testing.assert_allclose(optimizer.state["w/RMSProp"].numpy(), [1.3], rtol=1e-6)


def test_a_variable_without_gradient_stays():
    variable = tf.Variable([1.0])
    Optimizer(config_of("sgd"), {"w": variable}).apply({"w": None}, tf.constant(0.1))
    assert variable.numpy().tolist() == [1.0]
