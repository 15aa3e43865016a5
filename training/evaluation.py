"""The result of an evaluation: what of it goes to metrics.json, and how people read it in a terminal."""

import dataclasses
from typing import Any

import numpy as np

from common import tables
from training.metrics import ClassificationMetrics, MultiLabelMetrics

_CLASSES_SHOWN = 40  # a longer per-class table is left to metrics.json
_CONFUSION_SHOWN = 12


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """An evaluation's result and what it was of."""

    metrics: ClassificationMetrics | MultiLabelMetrics
    labels: tuple[str, ...]
    checkpoint: str
    step: int
    split: str
    dataset_dir: str
    uses_averages: bool
    is_partial: bool  # --max_num_batches left examples out
    seconds: float
    corrupt_records: tuple[str, ...] = ()  # those that could not be read and count in nothing

    @property
    def is_multi_label(self) -> bool:
        """Whether an image may have several classes, or none."""
        return isinstance(self.metrics, MultiLabelMetrics)

    def as_json(self) -> dict[str, Any]:
        """The content of metrics.json."""
        metrics = self.metrics
        result = {
            **metrics.headline(),
            "examples": metrics.count,
            "examples_skipped": len(self.corrupt_records),
            **({} if self.is_multi_label else {"examples_with_other_labels": metrics.outside}),
            "is_partial": self.is_partial,
            "checkpoint": self.checkpoint,
            "step": self.step,
            "uses_moving_averages": self.uses_averages,
            "dataset_dir": self.dataset_dir,
            "split": self.split,
            "per_class": [{"name": name, **row} for name, row in zip(self.labels, metrics.per_class(), strict=True)],
        }
        if self.corrupt_records:
            result["corrupt_records"] = list(self.corrupt_records)
        if not self.is_multi_label:
            result["confusion_matrix"] = metrics.confusion.tolist()
            result["confusion_matrix_axes"] = "rows: true class, columns: predicted class"
        return result | {"seconds": round(self.seconds, 2)}


def report(result: Evaluation) -> str:
    """The evaluation as people read it in a terminal."""
    notes = {"F1": "  (classes with a score of 0.5 or more)"} if result.is_multi_label else {}
    if len(result.labels) <= 5:
        notes["Recall_5"] = "  (5 classes or fewer: always 1)"
    lines = [f"eval/{key}[{value:.4f}]{notes.get(key, '')}" for key, value in result.metrics.headline().items()]
    lines += _counts(result)
    if len(result.labels) <= _CLASSES_SHOWN:
        lines += ["", _multi_label_table(result) if result.is_multi_label else _per_class_table(result)]
    if len(result.labels) <= _CONFUSION_SHOWN and not result.is_multi_label:
        lines += ["", _confusion_table(result)]
    return "\n".join(lines)


def _counts(result: Evaluation) -> list[str]:
    partial = " (a part of the split: --max_num_batches)" if result.is_partial else ", each counted once"
    lines = [f"{result.metrics.count} images in {result.seconds:.1f} s{partial}"]
    if result.corrupt_records:
        lines.append(f"Corrupt records that count in nothing: {len(result.corrupt_records)}; metrics.json names them")
    if not result.is_multi_label and result.metrics.outside:
        outside = result.metrics.outside
        lines.append(f"{outside} images have a label that the network has no class for; they count as wrong")
    return lines


def _per_class_table(result: Evaluation) -> str:
    rows = [
        [name, row["examples"], tables.percent(row["accuracy"]), tables.percent(row["precision"])]
        for name, row in zip(result.labels, result.metrics.per_class(), strict=True)
    ]
    return tables.table(["class", "images", "accuracy", "precision"], rows)


def _multi_label_table(result: Evaluation) -> str:
    columns = ("average_precision", "precision", "recall", "F1")
    rows = [
        [name, row["examples"], *(tables.percent(row[column]) for column in columns)]
        for name, row in zip(result.labels, result.metrics.per_class(), strict=True)
    ]
    return tables.table(["class", "images", "average precision", "precision", "recall", "F1"], rows)


def _confusion_table(result: Evaluation) -> str:
    confusion = np.asarray(result.metrics.confusion)
    rows = [[name, *confusion[k]] for k, name in enumerate(result.labels)]
    return tables.table(["true \\ predicted", *result.labels], rows)
