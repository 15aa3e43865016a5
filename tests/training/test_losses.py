"""Losses against numbers worked by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from training import losses

LOG_2, LOG_3 = math.log(2), math.log(3)


@pytest.mark.parametrize(
    ("logits", "label", "smoothing", "expected"),
    [
        ([0.0, 0.0], 1, 0.0, LOG_2),  # uniform over two
        ([0.0, 0.0, 0.0], 0, 0.0, LOG_3),
        ([LOG_3, 0.0], 0, 0.0, -math.log(3 / 4)),  # softmax is [3/4, 1/4]
        # Targets [0.9, 0.1]: 0.9 * log(4/3) + 0.1 * log(4).
        ([LOG_3, 0.0], 0, 0.2, 0.9 * math.log(4 / 3) + 0.1 * math.log(4)),
        ([LOG_3, 0.0], -1, 0.0, 0.0),  # a label outside has an all-zero target
        ([LOG_3, 0.0], 2, 0.0, 0.0),
    ],
)
def test_softmax_cross_entropy_of_one_example(logits, label, smoothing, expected):
    loss = losses.softmax_cross_entropy(tf.constant([logits]), tf.constant([label]), smoothing)
    np.testing.assert_allclose(loss.numpy(), [expected], rtol=1e-6)


def test_main_loss_is_the_mean_over_the_batch():
    logits = tf.constant([[0.0, 0.0], [LOG_3, 0.0]])
    result = losses.classification_losses(logits, {}, tf.constant([0, 0]))
    assert list(result) == ["softmax_cross_entropy_loss"]
    np.testing.assert_allclose(result["softmax_cross_entropy_loss"], (LOG_2 + math.log(4 / 3)) / 2, rtol=1e-6)


def test_auxiliary_head_counts_four_tenths_and_comes_first():
    end_points = {"AuxLogits": tf.constant([[0.0, 0.0]])}
    result = losses.classification_losses(tf.constant([[LOG_3, 0.0]]), end_points, tf.constant([0]))
    assert list(result) == ["aux_loss", "softmax_cross_entropy_loss"]
    np.testing.assert_allclose(result["aux_loss"], 0.4 * LOG_2, rtol=1e-6)


def test_loss_of_half_precision_logits_is_float32():
    loss = losses.softmax_cross_entropy(tf.constant([[1.0, 2.0]], tf.bfloat16), tf.constant([0]))
    assert loss.dtype == tf.float32
