"""Metrics by hand, merged in any split."""

import numpy as np
import pytest

from training.metrics import ClassificationMetrics


def counted(labels, predictions, in_top_5=None, losses=None, num_classes=3):
    metrics = ClassificationMetrics.empty(num_classes)
    n = len(labels)
    metrics.add(
        np.array(labels),
        np.array(predictions),
        np.array([True] * n if in_top_5 is None else in_top_5),
        np.array([1.0] * n if losses is None else losses, np.float32),
    )
    return metrics


def test_counts_by_hand():
    metrics = counted([0, 0, 1, 2], [0, 1, 1, 0], [True, True, True, False], [0.5, 1.5, 0.25, 1.75])
    assert metrics.confusion.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert metrics.accuracy == 0.5
    assert metrics.recall_5 == 0.75
    assert metrics.loss == 1.0
    first = metrics.per_class()[0]
    assert (first["examples"], first["predicted"], first["accuracy"], first["precision"]) == (2, 2, 0.5, 0.5)


def test_a_class_without_examples_has_no_accuracy():
    assert counted([0], [0]).per_class()[2]["accuracy"] is None


def test_labels_outside_the_classes_count_as_wrong():
    metrics = counted([0, -1, 3], [0, 0, 0], [True, False, False])
    assert (metrics.count, metrics.outside) == (3, 2)
    assert metrics.accuracy == pytest.approx(1 / 3)


def test_merging_parts_equals_counting_all():
    labels, predictions = [0, 1, 2, 1, 0], [0, 2, 2, 1, 1]
    whole = counted(labels, predictions)
    merged = counted(labels[:2], predictions[:2]).merge(counted(labels[2:], predictions[2:]))
    assert merged.confusion.tolist() == whole.confusion.tolist()
    assert (merged.accuracy, merged.recall_5, merged.loss) == (whole.accuracy, whole.recall_5, whole.loss)


def test_no_examples_is_zero_not_an_error():
    assert ClassificationMetrics.empty(2).accuracy == 0.0
