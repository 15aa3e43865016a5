"""Metrics by hand, merged in any split."""

import numpy as np
import pytest

from training import metrics as metrics_lib
from training.metrics import ClassificationMetrics, MultiLabelMetrics


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


# -- several classes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "scores", "expected"),
    [
        ([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1], (1 / 1 + 2 / 3) / 2),
        ([0, 1], [0.9, 0.8], 1 / 2),
        ([1, 1], [0.3, 0.2], 1.0),
        ([0, 0], [0.3, 0.2], None),
        ([1, 0, 1], [0.5, 0.5, 0.2], (1 / 2 + 2 / 3) / 2),  # examples of one score come in together
        ([0, 1], [0.5, 0.5], 1 / 2),
        ([1, 0], [0.5, 0.5], 1 / 2),  # in whatever order
    ],
)
def test_average_precision_by_hand(labels, scores, expected):
    got = metrics_lib.average_precision(np.array(labels, bool), np.array(scores, np.float32))
    assert got == (None if expected is None else pytest.approx(expected))


LABELS = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0]], np.float32)
SCORES = np.array([[0.9, 0.6, 0.1], [0.4, 0.7, 0.2], [0.5, 0.1, 0.3], [0.2, 0.3, 0.4]], np.float32)


def several(rows=slice(None)):
    metrics = MultiLabelMetrics.empty(3)
    metrics.add(LABELS[rows], SCORES[rows], np.arange(4, dtype=np.float32)[rows])
    return metrics


def test_several_classes_by_hand():
    """At 0.5 class 0 is said of examples 0 and 2, class 1 of 0 and 1, class 2 of none."""
    metrics = several()
    first, second, third = metrics.per_class()
    assert first == {
        "index": 0,
        "examples": 2,
        "predicted": 2,
        "correct": 1,
        "average_precision": pytest.approx((1 / 1 + 2 / 3) / 2),
        "precision": 0.5,
        "recall": 0.5,
        "F1": 0.5,
    }
    assert second["average_precision"] == pytest.approx((1 / 1 + 2 / 3) / 2)  # 0.7 right, 0.6 wrong, 0.3 right
    assert (second["precision"], second["recall"], second["F1"]) == (0.5, 0.5, 0.5)
    assert [third[key] for key in ("average_precision", "precision", "recall", "F1")] == [None] * 4
    assert metrics.headline() == {
        "mAP": pytest.approx(5 / 6),
        "F1": 2 * 2 / (4 + 4),
        "F1_macro": 0.5,
        "Exact_match": 0.0,
        "loss": 1.5,
    }


def test_exact_match_needs_all_classes_right():
    metrics = MultiLabelMetrics.empty(2)
    metrics.add(np.array([[1, 0], [1, 1], [0, 0]], np.float32), np.array([[0.5, 0.4], [0.9, 0.1], [0, 0]]), np.zeros(3))
    assert metrics.headline()["Exact_match"] == pytest.approx(2 / 3)


def test_merging_parts_of_several_classes_equals_counting_all():
    merged = several(slice(0, 1)).merge(several(slice(1, None)))
    assert merged.headline() == several().headline()
    assert merged.per_class() == several().per_class()
    assert merged.count == 4


def test_no_examples_of_several_classes_is_zero_not_an_error():
    assert set(MultiLabelMetrics.empty(2).headline().values()) == {0.0}
