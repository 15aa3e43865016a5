"""Classification metrics that merge: batches, shards and workers give the same numbers in any split."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np


@dataclasses.dataclass
class ClassificationMetrics:
    """Counts over examples, from which all metrics follow.

    Attributes:
        confusion: [K, K] int64; row: true class, column: predicted class.
        correct_in_top_5: examples whose label is among the five largest logits.
        loss_sum: sum of the examples' cross entropies, in nats.
        outside: examples whose label is not one of the K classes (they count as wrong, and in no row of `confusion`).
    """

    confusion: np.ndarray
    correct_in_top_5: int = 0
    loss_sum: float = 0.0
    outside: int = 0

    @classmethod
    def empty(cls, num_classes: int) -> "ClassificationMetrics":
        """Metrics of no examples."""
        return cls(np.zeros((num_classes, num_classes), np.int64))

    def add(self, labels: np.ndarray, predictions: np.ndarray, in_top_5: np.ndarray, losses: np.ndarray) -> None:
        """Counts a batch; all arguments [N], padding already removed."""
        known = (labels >= 0) & (labels < len(self.confusion))
        np.add.at(self.confusion, (labels[known], predictions[known]), 1)
        self.correct_in_top_5 += int(in_top_5.sum())
        self.loss_sum += float(losses.sum(dtype=np.float64))
        self.outside += int((~known).sum())

    def merge(self, other: "ClassificationMetrics") -> "ClassificationMetrics":
        """Metrics of both sets of examples."""
        return ClassificationMetrics(
            self.confusion + other.confusion,
            self.correct_in_top_5 + other.correct_in_top_5,
            self.loss_sum + other.loss_sum,
            self.outside + other.outside,
        )

    @property
    def count(self) -> int:
        """Number of examples."""
        return int(self.confusion.sum()) + self.outside

    @property
    def accuracy(self) -> float:
        """Share of examples whose label has the largest logit."""
        return int(np.trace(self.confusion)) / max(self.count, 1)

    @property
    def recall_5(self) -> float:
        """Share of examples whose label is among the five largest logits; ties count as in."""
        return self.correct_in_top_5 / max(self.count, 1)

    @property
    def loss(self) -> float:
        """Mean cross entropy in nats."""
        return self.loss_sum / max(self.count, 1)

    def headline(self) -> dict[str, float]:
        """The numbers that stand for all, by Slim's names."""
        return {"Accuracy": self.accuracy, "Recall_5": self.recall_5, "loss": self.loss}

    def per_class(self) -> list[dict[str, Any]]:
        """Per class: examples, how many were predicted so, accuracy (recall), precision; None where undefined."""
        rows = []
        for k in range(len(self.confusion)):
            examples, predicted = int(self.confusion[k].sum()), int(self.confusion[:, k].sum())
            correct = int(self.confusion[k, k])
            rows.append(
                {
                    "index": k,
                    "examples": examples,
                    "predicted": predicted,
                    "accuracy": correct / examples if examples else None,
                    "precision": correct / predicted if predicted else None,
                }
            )
        return rows


THRESHOLD = 0.5  # score from which on an example is taken to have a class


@dataclasses.dataclass
class MultiLabelMetrics:
    """Scores of examples that have any number of classes, from which all metrics follow.

    Average precision depends on the order of all scores, so they are kept: 5 bytes for each example and class.

    Attributes:
        num_classes: K.
        scores: arrays float32 [examples, K], probabilities.
        labels: arrays bool [examples, K].
        loss_sum: sum of the examples' cross entropies, each the mean over the classes, in nats.
    """

    num_classes: int
    scores: list[np.ndarray] = dataclasses.field(default_factory=list)
    labels: list[np.ndarray] = dataclasses.field(default_factory=list)
    loss_sum: float = 0.0

    @classmethod
    def empty(cls, num_classes: int) -> "MultiLabelMetrics":
        """Metrics of no examples."""
        return cls(num_classes)

    def add(self, labels: np.ndarray, scores: np.ndarray, losses: np.ndarray) -> None:
        """Counts a batch, padding already removed: [N, K] float (1: has the class), [N, K] float, [N] float."""
        self.labels.append(labels > 0.5)
        self.scores.append(scores.astype(np.float32))
        self.loss_sum += float(losses.sum(dtype=np.float64))

    def merge(self, other: "MultiLabelMetrics") -> "MultiLabelMetrics":
        """Metrics of both sets of examples."""
        return MultiLabelMetrics(
            self.num_classes, self.scores + other.scores, self.labels + other.labels, self.loss_sum + other.loss_sum
        )

    @property
    def count(self) -> int:
        """Number of examples."""
        return sum(len(part) for part in self.labels)

    @property
    def loss(self) -> float:
        """Mean cross entropy in nats."""
        return self.loss_sum / max(self.count, 1)

    def headline(self) -> dict[str, float]:
        """The numbers that stand for all.

        `mAP`: mean of the average precisions of the classes that occur. `F1`: of all answers together (micro);
        `F1_macro`: mean over the classes that occur or are predicted. `Exact_match`: share of examples all of whose
        classes are right. The last three at a score of 0.5.
        """
        rows = self.per_class()
        right, predicted, there = (sum(row[key] for row in rows) for key in ("correct", "predicted", "examples"))
        predictions, labels = (_joined(parts, self.num_classes) for parts in (self._predictions(), self.labels))
        return {
            "mAP": _mean(row["average_precision"] for row in rows),
            "F1": 2 * right / max(predicted + there, 1),
            "F1_macro": _mean(row["F1"] for row in rows),
            "Exact_match": float((predictions == labels).all(axis=1).sum()) / max(self.count, 1),
            "loss": self.loss,
        }

    def per_class(self) -> list[dict[str, Any]]:
        """Per class: examples that have it, predicted and correct at 0.5, and what follows; None where undefined."""
        labels, scores = _joined(self.labels, self.num_classes), _joined(self.scores, self.num_classes)
        rows = []
        for k in range(self.num_classes):
            examples, predicted = int(labels[:, k].sum()), int((scores[:, k] >= THRESHOLD).sum())
            correct = int((labels[:, k] & (scores[:, k] >= THRESHOLD)).sum())
            rows.append(
                {
                    "index": k,
                    "examples": examples,
                    "predicted": predicted,
                    "correct": correct,
                    "average_precision": average_precision(labels[:, k], scores[:, k]),
                    "precision": correct / predicted if predicted else None,
                    "recall": correct / examples if examples else None,
                    "F1": 2 * correct / (predicted + examples) if predicted + examples else None,
                }
            )
        return rows

    def _predictions(self) -> list[np.ndarray]:
        return [part >= THRESHOLD for part in self.scores]


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float | None:
    """Mean precision over the examples that have the class, each at the threshold that just lets it in.

    Args:
        labels: bool [N], whether an example has the class.
        scores: float [N]; examples of one score come in together.

    Returns:
        In [0, 1]; None where no example has the class.
    """
    positives = int(labels.sum())
    if not positives:
        return None
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # of each group of equal scores
    found = np.cumsum(labels[order])[last]
    return float(np.sum(np.diff(found, prepend=0) * found / (last + 1)) / positives)


def _joined(parts: list[np.ndarray], num_classes: int) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros([0, num_classes], bool)


def _mean(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else 0.0
