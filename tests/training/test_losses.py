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


# -- soft labels, weights, several classes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("logits", "labels", "smoothing", "expected"),
    [
        ([LOG_3, 0.0], [1.0, 0.0], 0.0, math.log(4 / 3)),  # as the int 0
        ([LOG_3, 0.0], [0.5, 0.5], 0.0, 0.5 * math.log(4 / 3) + 0.5 * math.log(4)),
        ([LOG_3, 0.0], [0.0, 0.0], 0.0, 0.0),  # as the int -1
        ([LOG_3, 0.0], [1.0, 0.0], 0.2, 0.9 * math.log(4 / 3) + 0.1 * math.log(4)),
    ],
)
def test_softmax_cross_entropy_of_a_distribution(logits, labels, smoothing, expected):
    loss = losses.softmax_cross_entropy(tf.constant([logits]), tf.constant([labels]), smoothing)
    np.testing.assert_allclose(loss, [expected], rtol=1e-6)


# The sigmoid of log 3 is 3/4, of 0 it is 1/2; the loss is the mean over both questions.
@pytest.mark.parametrize(
    ("labels", "smoothing", "weights", "expected"),
    [
        ([1.0, 0.0], 0.0, None, (math.log(4 / 3) + LOG_2) / 2),
        ([0.0, 0.0], 0.0, None, (math.log(4) + LOG_2) / 2),
        ([1.0, 1.0], 0.0, [3.0, 5.0], (3 * math.log(4 / 3) + 5 * LOG_2) / 2),
        ([0.0, 0.0], 0.0, [3.0, 5.0], (math.log(4) + LOG_2) / 2),  # a class that is not there counts once
        # Targets 0.8 + 0.1 and 0.1.
        ([1.0, 0.0], 0.2, None, (0.9 * math.log(4 / 3) + 0.1 * math.log(4) + LOG_2) / 2),
        (0, 0.0, None, (math.log(4 / 3) + LOG_2) / 2),  # a class as a number
        (-1, 0.0, None, (math.log(4) + LOG_2) / 2),
    ],
)
def test_sigmoid_cross_entropy_of_one_example(labels, smoothing, weights, expected):
    loss = losses.sigmoid_cross_entropy(tf.constant([[LOG_3, 0.0]]), tf.constant([labels]), smoothing, weights)
    np.testing.assert_allclose(loss, [expected], rtol=1e-6)


def batch_loss(labels, **options):
    """The loss of two examples; their softmax cross entropies as class 0 are log 2 and log 4/3."""
    logits = tf.constant([[0.0, 0.0], [LOG_3, 0.0]])
    (loss,) = losses.classification_losses(logits, {}, tf.constant(labels), **options).values()
    return float(loss)


@pytest.mark.parametrize(
    ("labels", "options", "expected"),
    [
        ([0, 0], {"weights": [3.0, 1.0]}, (3 * LOG_2 + math.log(4 / 3)) / 2),
        ([0, 0], {"weights": [3.0, 0.0]}, 3 * LOG_2),  # the mean is over those that count at all
        ([0, 0], {"weights": [0.0, 0.0]}, 0.0),
        ([0, 1], {"class_weights": [2.0, 5.0]}, (2 * LOG_2 + 5 * math.log(4)) / 2),
        ([0, 1], {"class_weights": [2.0, 5.0], "weights": [0.5, 1.0]}, (LOG_2 + 5 * math.log(4)) / 2),
        ([0, -1], {"class_weights": [2.0, 5.0]}, 2 * LOG_2 / 2),  # without a class: no loss, but one of the two
        ([[1.0, 0.0], [0.5, 0.5]], {"class_weights": [2.0, 6.0]}, None),
    ],
)
def test_weights_of_examples_and_classes(labels, options, expected):
    if expected is None:  # half of class 0 and half of class 1 counts 4
        expected = (2 * LOG_2 + 4 * (0.5 * math.log(4 / 3) + 0.5 * math.log(4))) / 2
    assert batch_loss(labels, **options) == pytest.approx(expected, rel=1e-6)


def test_weights_hold_for_the_auxiliary_head_too():
    end_points = {"AuxLogits": tf.constant([[0.0, 0.0], [0.0, 0.0]])}
    result = losses.classification_losses(
        tf.constant([[LOG_3, 0.0], [0.0, 0.0]]), end_points, tf.constant([0, 1]), weights=tf.constant([1.0, 0.0])
    )
    np.testing.assert_allclose(result["aux_loss"], 0.4 * LOG_2, rtol=1e-6)
    np.testing.assert_allclose(result["softmax_cross_entropy_loss"], math.log(4 / 3), rtol=1e-6)


def test_several_classes_have_slims_name_of_the_loss():
    end_points = {"AuxLogits": tf.constant([[0.0, 0.0]])}
    labels = tf.constant([[1.0, 1.0]])
    result = losses.classification_losses(tf.constant([[LOG_3, 0.0]]), end_points, labels, multi_label=True)
    assert list(result) == ["aux_loss", "sigmoid_cross_entropy_loss"]
    np.testing.assert_allclose(result["aux_loss"], 0.4 * LOG_2, rtol=1e-6)
    np.testing.assert_allclose(result["sigmoid_cross_entropy_loss"], (math.log(4 / 3) + LOG_2) / 2, rtol=1e-6)
