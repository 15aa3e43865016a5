"""What became of the old classes: accuracies of an extended network, before and after."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import logging

from common import tables
from common.errors import UserError
from datasets import dataset_factory
from datasets.dataset_factory import Dataset
from training import evaluate, extending, models, runs
from training.config import EvalConfig, TrainConfig
from training.extending import Extension
from training.runs import ModelInfo

_MOST_LISTED = 20  # classes with a line of their own


def measured_before(extension: Extension, config: TrainConfig, info: ModelInfo) -> Extension:
    """Measures the source on the old data's validation split; a data set that has none or is not known is told.

    Raises:
        UserError: the old data has a class that the network does not.
    """
    if extension.before is not None or extension.old_data is None:
        return extension
    dataset = _old_validation(extension)
    if dataset is None:
        return extension
    label_map = extending.old_label_map(extension, dataset)
    confusion = _confusion(config, extension.source, info, dataset, extension.old_labels, label_map)
    before = {"split": dataset.split, "per_class": _per_class(confusion, extension.old_labels)}
    extension = dataclasses.replace(extension, before={**before, **_totals(before["per_class"])})
    images, accuracy = extension.before["images"], extension.before["accuracy"]
    logging.info("Before: %s of %d images of the old classes are right", tables.percent(accuracy), images)
    return extension


def report(extension: Extension, config: TrainConfig, given: frozenset[str], info: ModelInfo) -> None:
    """Measures the extended network on the old data and the new, logs a table and adds it to run.json."""
    after = {}
    old_count, count = len(extension.old_labels), len(extension.labels)
    old = _old_validation(extension) if extension.old_data else None
    new = _new_validation(config, given)
    for name, dataset, classes in (("old", old, range(old_count)), ("new", new, range(old_count, count))):
        if dataset is None:
            continue
        label_map = extending.old_label_map(extension, dataset) if name == "old" else extension.label_map
        confusion = _confusion(config, config.train_dir, info, dataset, extension.labels, label_map)
        per_class = [row for k, row in enumerate(_per_class(confusion, extension.labels)) if k in classes]
        after[name] = {"split": dataset.split, "per_class": per_class, **_totals(per_class)}
        elsewhere = np.delete(confusion[list(classes)], list(classes), axis=1).sum()
        after[name]["taken_for_other_part"] = int(elsewhere) / max(after[name]["images"], 1)
    logging.info("%s", table(extension.before, after))
    run = runs.read(config.train_dir)
    run[extending.RUN_KEY] = {**run[extending.RUN_KEY], "after": after}
    runs.write(config.train_dir, run)


def table(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> str:
    """Returns the accuracies as a table: old classes together and one by one, then the new ones.

    Args:
        before: of the source: `accuracy`, `per_class`.
        after: by `old` and `new`: as `before`, with `images` and `taken_for_other_part`, the share of images that is
            taken for a class of the other part.
    """
    rows = []
    for name in ("old", "new"):
        if name not in after:
            continue
        part, known = after[name], before if name == "old" else None
        was = {row["label"]: row["accuracy"] for row in (known or {}).get("per_class", ())}
        first = [f"{name} classes", part["images"], tables.percent(known and known["accuracy"])]
        rows.append([*first, tables.percent(part["accuracy"]), tables.percent(part["taken_for_other_part"])])
        for row in part["per_class"] if len(part["per_class"]) <= _MOST_LISTED else ():
            values = [row["images"], tables.percent(was.get(row["label"])), tables.percent(row["accuracy"]), ""]
            rows.append([f"  {row['label']}", *values])
    if not rows:
        return "No accuracies: neither the old data set nor the new one has a validation split at hand"
    text = tables.table(["accuracy of the", "images", "before", "after", "taken for old/new"], rows)
    return (
        text if "old" in after else f"{text}\nThe old classes were not measured: --replay_dataset_dir names their data"
    )


def _old_validation(extension: Extension) -> Dataset | None:
    try:
        return extending.open_old_data(extension.old_data, validation=True)
    except UserError as error:
        logging.warning("The accuracy of the old classes is not measured: %s", error)
        return None


def _new_validation(config: TrainConfig, given: frozenset[str]) -> Dataset | None:
    if config.file_pattern or (split := extending.validation_split(config.dataset_dir)) is None:
        return None
    name = config.dataset_name if "dataset_name" in given else None
    return dataset_factory.get_dataset(name, split, config.dataset_dir, fold=config.fold)


def _confusion(
    config: TrainConfig,
    path: str,
    info: ModelInfo,
    dataset: Dataset,
    labels: tuple[str, ...],
    label_map: np.ndarray,
) -> np.ndarray:
    """Images of each class (rows) and what a checkpoint of `labels` takes them for: [classes, classes]."""
    names = ("model_name", "image_size", "channels", "preprocessing_name", "network_module")
    said = {name: getattr(info, name) for name in names}
    model = models.load(path, {**said, "num_classes": len(labels), "labels": labels})
    options = EvalConfig(
        batch_size=config.batch_size,
        num_preprocessing_threads=config.num_preprocessing_threads,
        max_corrupt_records=config.max_corrupt_records,
    )
    known = np.where(label_map < len(labels), label_map, -1)  # an old data set may have photos of new classes
    return evaluate.measure(options, model, dataset, 0, known, quiet=True).metrics.confusion


def _per_class(confusion: np.ndarray, labels: tuple[str, ...]) -> list[dict[str, Any]]:
    counts = zip(labels, confusion.sum(axis=1).tolist(), np.diag(confusion).tolist(), strict=True)
    return [
        {"label": label, "images": images, "accuracy": right / images if images else None}
        for label, images, right in counts
    ]


def _totals(per_class: list[dict[str, Any]]) -> dict[str, Any]:
    images = sum(row["images"] for row in per_class)
    right = sum(row["accuracy"] * row["images"] for row in per_class if row["images"])
    return {"images": images, "accuracy": right / images if images else None}
