"""Moving averages of variables, by hand."""

import numpy as np
import tensorflow as tf

from training.averages import MovingAverages


def test_decay_is_capped_by_the_step():
    """Step 0: decay min(0.9, 1/10); step 1: min(0.9, 2/11)."""
    variable = tf.Variable(0.0)
    averages = MovingAverages(0.9, {"w": variable})
    variable.assign(1.0)
    averages.update(tf.constant(0, tf.int64))
    np.testing.assert_allclose(averages.state["w/ExponentialMovingAverage"].numpy(), 0.9, rtol=1e-6)
    averages.update(tf.constant(1, tf.int64))
    np.testing.assert_allclose(averages.state["w/ExponentialMovingAverage"].numpy(), 1 - 0.1 * 2 / 11, rtol=1e-6)


def test_long_runs_use_the_decay_itself():
    variable = tf.Variable(0.0)
    averages = MovingAverages(0.5, {"w": variable})
    variable.assign(1.0)
    averages.update(tf.constant(10_000, tf.int64))
    np.testing.assert_allclose(averages.state["w/ExponentialMovingAverage"].numpy(), 0.5, rtol=1e-6)
