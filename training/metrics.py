"""Classification metrics that merge: batches, shards and workers give the same numbers in any split."""

import dataclasses
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
