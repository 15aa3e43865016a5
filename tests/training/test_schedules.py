"""Learning rate schedules against numbers worked by hand."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from training import schedules
from training.config import TrainConfig

BASE = TrainConfig(dataset_dir="data", batch_size=10, learning_rate=0.1)  # 100 images: 10 steps an epoch


def rate(step, **changes):
    config = dataclasses.replace(BASE, **changes)
    return float(schedules.learning_rate(config, num_samples=100)(tf.constant(step, tf.int64)))


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 0.1), (19, 0.1), (20, 0.1 * 0.94), (39, 0.1 * 0.94), (40, 0.1 * 0.94**2)],  # decays every 2 epochs
)
def test_exponential_is_a_staircase(step, expected):
    assert rate(step) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("step", "expected"), [(0, 0.1), (10, 0.055), (20, 0.01), (999, 0.01)])
def test_polynomial_is_a_line_to_the_end_rate(step, expected):
    result = rate(step, learning_rate_decay_type="polynomial", end_learning_rate=0.01)
    assert result == pytest.approx(expected, rel=1e-5)


def test_fixed_stays():
    assert rate(10_000, learning_rate_decay_type="fixed") == pytest.approx(0.1)


@pytest.mark.parametrize(("step", "expected"), [(0, 0.0), (5, 0.05), (10, 0.1), (20, 0.094)])
def test_warm_up_rises_from_zero_and_never_exceeds_the_schedule(step, expected):
    assert rate(step, warmup_epochs=1.0) == pytest.approx(expected, rel=1e-5)


def test_tiny_data_sets_do_not_divide_by_zero():
    config = dataclasses.replace(BASE, num_epochs_per_decay=0.01)
    assert schedules.decay_steps(config, num_samples=3) == 1
    assert np.isfinite(float(schedules.learning_rate(config, 3)(tf.constant(5, tf.int64))))
