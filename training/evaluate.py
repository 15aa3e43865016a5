"""Evaluation: every example exactly once, and what people want to know of it."""

import dataclasses
import math
import os
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from common.errors import FlagError, UserError
from common.files import write_json
from datasets import dataset_factory, input_pipeline
from common import tables
from reporting.summaries import write_scalars
from training import inputs, models
from training.config import EvalConfig, require_dataset_dir
from training.losses import softmax_cross_entropy
from training.metrics import ClassificationMetrics
from training.runs import ModelInfo

METRICS_FILE = "metrics.json"
_CLASSES_SHOWN = 40  # a longer per-class table is left to metrics.json
_CONFUSION_SHOWN = 12


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """An evaluation's result and what it was of."""

    metrics: ClassificationMetrics
    labels: tuple[str, ...]
    checkpoint: str
    step: int
    split: str
    dataset_dir: str
    uses_averages: bool
    is_partial: bool  # --max_num_batches left examples out
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """The content of metrics.json."""
        metrics = self.metrics
        return {
            "Accuracy": metrics.accuracy,
            "Recall_5": metrics.recall_5,
            "loss": metrics.loss,
            "examples": metrics.count,
            "examples_with_other_labels": metrics.outside,
            "is_partial": self.is_partial,
            "checkpoint": self.checkpoint,
            "step": self.step,
            "uses_moving_averages": self.uses_averages,
            "dataset_dir": self.dataset_dir,
            "split": self.split,
            "per_class": [{"name": name, **row} for name, row in zip(self.labels, metrics.per_class(), strict=True)],
            "confusion_matrix": metrics.confusion.tolist(),
            "confusion_matrix_axes": "rows: true class, columns: predicted class",
            "seconds": round(self.seconds, 2),
        }


def evaluate(config: EvalConfig, given: frozenset[str] = frozenset()) -> Evaluation:
    """Evaluates a checkpoint on a split and writes metrics.json and an event file into the evaluation's folder.

    Args:
        config: all settings.
        given: names of the flags that the user gave; the others take their values from the run's `run.json`.
    """
    model = models.load(
        config.checkpoint_path, _said_of_model(config, given), _wants_averages(config, given), "--moving_average_decay"
    )
    models.check_is_float_image_network(model.network)
    dataset = _open_dataset(config, given, model.run)
    offset = config.labels_offset if "labels_offset" in given or not model.run else model.info.labels_offset
    _check_classes(dataset, model, offset)
    logging.info(
        "Evaluating %s (step %d%s) on %d images of split %r in %s",
        model.checkpoint,
        model.step,
        ", moving averages" if model.uses_averages else "",
        dataset.num_samples,
        dataset.split,
        config.dataset_dir or model.run["dataset"]["dir"],
    )
    folder = _make_eval_dir(config, given, model, dataset.split)  # before the work: it may not be possible
    result = _evaluate(config, model, dataset, offset)
    write_json(os.path.join(folder, METRICS_FILE), result.as_json())
    scalars = {"Accuracy": result.metrics.accuracy, "Recall_5": result.metrics.recall_5, "loss": result.metrics.loss}
    write_scalars(folder, model.step, {f"eval/{name}": value for name, value in scalars.items()})
    logging.info("%s", report(result))
    logging.info("Written: %s", os.path.join(folder, METRICS_FILE))
    return result


def _said_of_model(config: EvalConfig, given: frozenset[str]) -> dict[str, Any]:
    said = {name: getattr(config, name) for name in ("model_name", "preprocessing_name", "network_module")}
    said = {name: value for name, value in said.items() if name in given and value}
    if config.eval_image_size:
        said["image_size"] = config.eval_image_size
    if config.use_grayscale:
        said["channels"] = 1
    return said


def _wants_averages(config: EvalConfig, given: frozenset[str]) -> bool | None:
    return bool(config.moving_average_decay) if "moving_average_decay" in given else None


def _open_dataset(config: EvalConfig, given: frozenset[str], run: Mapping[str, Any] | None) -> Any:
    dataset_dir = config.dataset_dir or (run and run["dataset"]["dir"])
    require_dataset_dir(dataset_dir)
    name = config.dataset_name if "dataset_name" in given else None
    if run and not config.dataset_dir:
        name = name or run["dataset"]["name"]
    split = config.dataset_split_name
    if "dataset_split_name" not in given:
        available = dataset_factory.splits(dataset_dir)
        split = next((s for s in ("test", "validation", "val") if s in available), split)
    return dataset_factory.get_dataset(name, split, dataset_dir)


def _check_classes(dataset: Any, model: models.LoadedModel, offset: int) -> None:
    classes = dataset.num_classes - offset
    if classes == model.info.num_classes:
        _compare_names(dataset.labels_to_names or {}, model.info, offset)
        return
    hint = ""
    if classes == model.info.num_classes + 1:
        hint = f": the network has no background class, add --labels_offset={offset + 1}"
    raise UserError(
        f"{model.checkpoint} has {model.info.num_classes} classes, the data has {dataset.num_classes} "
        f"(less --labels_offset={offset}){hint}"
    )


def _compare_names(names: Mapping[int, str], info: ModelInfo, offset: int) -> None:
    """Warns where a class has one name in the run and another in the data: are they of the same order?"""
    pairs = [(k, known, names.get(k + offset, known)) for k, known in enumerate(info.labels or ())]
    other = [pair for pair in pairs if pair[1] != pair[2]]
    if other:
        logging.warning(
            "%d of %d classes have other names in the data than in the run (class %d: %r, in the run %r): "
            "if they are other classes or in another order, the results mean nothing",
            len(other),
            info.num_classes,
            other[0][0],
            other[0][2],
            other[0][1],
        )


def _make_eval_dir(config: EvalConfig, given: frozenset[str], model: models.LoadedModel, split: str) -> str:
    folder = os.path.join(os.path.dirname(model.checkpoint), f"eval_{split}")
    if "eval_dir" in given and config.eval_dir:
        folder = config.eval_dir
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror}); name another folder with --eval_dir") from None


def _evaluate(config: EvalConfig, model: models.LoadedModel, dataset: Any, offset: int) -> Evaluation:
    info = model.info
    preprocess = inputs.preprocess_fn(info.preprocessing_name, info.image_size, info.channels, is_training=False)
    batches = input_pipeline.eval_batches(
        dataset,
        preprocess,
        batch_size=config.batch_size,
        labels_offset=offset,
        num_threads=config.num_preprocessing_threads,
    )
    total = math.ceil(dataset.num_samples / config.batch_size)
    if config.max_num_batches:
        total = min(total, config.max_num_batches)
    score = _score_fn(model.network)
    metrics = ClassificationMetrics.empty(info.num_classes)
    began = time.monotonic()
    for i, batch in enumerate(inputs.readable(batches.take(total), dataset.name), 1):
        scores = score(batch["image"], batch["label"])
        real = batch["mask"].numpy()
        metrics.add(batch["label"].numpy()[real], *(value.numpy()[real] for value in scores))
        if total < 20 or i % (total // 10) == 0 or i == total:
            logging.info("Evaluation [%d/%d]", i, total)
    labels = info.labels or tuple(
        str((dataset.labels_to_names or {}).get(k + offset, k)) for k in range(info.num_classes)
    )
    return Evaluation(
        metrics=metrics,
        labels=labels,
        checkpoint=model.checkpoint,
        step=model.step,
        split=dataset.split,
        dataset_dir=os.path.abspath(os.path.dirname(dataset.files[0])),
        uses_averages=model.uses_averages,
        is_partial=metrics.count < dataset.num_samples,
        seconds=time.monotonic() - began,
    )


def _score_fn(network: Any) -> Any:
    """Returns (images, labels) -> (predictions [N], in top 5 [N] bool, losses [N]) as a compiled function."""

    @tf.function(autograph=False)
    def score(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        logits, _ = network(images)
        if logits.shape.rank != 2:
            raise FlagError(f"the network's logits are {logits.shape}, expected [batch, classes]")
        return (
            tf.argmax(logits, axis=1),
            tf.math.in_top_k(tf.maximum(labels, 0), logits, min(5, logits.shape[1])) & (labels >= 0),
            softmax_cross_entropy(logits, labels),
        )

    return score


def report(result: Evaluation) -> str:
    """The evaluation as people read it in a terminal."""
    metrics = result.metrics
    lines = [
        f"eval/Accuracy[{metrics.accuracy:.4f}]",
        f"eval/Recall_5[{metrics.recall_5:.4f}]"
        + ("  (5 classes or fewer: always 1)" if len(result.labels) <= 5 else ""),
        f"eval/loss[{metrics.loss:.4f}]",
        f"{metrics.count} images in {result.seconds:.1f} s"
        + (" (a part of the split: --max_num_batches)" if result.is_partial else ", each counted once"),
    ]
    if metrics.outside:
        lines.append(f"{metrics.outside} images have a label that the network has no class for; they count as wrong")
    if len(result.labels) <= _CLASSES_SHOWN:
        lines += ["", _per_class_table(result)]
    if len(result.labels) <= _CONFUSION_SHOWN:
        lines += ["", _confusion_table(result)]
    return "\n".join(lines)


def _per_class_table(result: Evaluation) -> str:
    rows = [
        [name, row["examples"], tables.percent(row["accuracy"]), tables.percent(row["precision"])]
        for name, row in zip(result.labels, result.metrics.per_class(), strict=True)
    ]
    return tables.table(["class", "images", "accuracy", "precision"], rows)


def _confusion_table(result: Evaluation) -> str:
    confusion = np.asarray(result.metrics.confusion)
    rows = [[name, *confusion[k]] for k, name in enumerate(result.labels)]
    return tables.table(["true \\ predicted", *result.labels], rows)
