"""Evaluation: every example exactly once, and what people want to know of it."""

import dataclasses
import math
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from checkpoint_tools import label_files
from checkpoint_tools.labels import normalised
from common.errors import FlagError, UserError
from common.files import write_json
from datasets import dataset_factory, filesystem, folds, input_pipeline, skipping, splits
from datasets.dataset_factory import Dataset
from reporting.summaries import write_scalars
from training import inputs, models
from training.config import EvalConfig, require_dataset_dir
from training.evaluation import Evaluation, report
from training.losses import sigmoid_cross_entropy, softmax_cross_entropy
from training.metrics import ClassificationMetrics, MultiLabelMetrics
from training.runs import ModelInfo

METRICS_FILE = "metrics.json"


def evaluate(config: EvalConfig, given: frozenset[str] = frozenset()) -> Evaluation:
    """Evaluates a checkpoint on a split and writes metrics.json and an event file into the evaluation's folder.

    Args:
        config: all settings.
        given: names of the flags that the user gave; the others take their values from the run's `run.json`.
    """
    model = models.load(
        config.checkpoint_path, _said_of_model(config, given), _wants_averages(config, given), "--moving_average_decay"
    )
    models.check_takes_images(model.network.record)
    dataset = _open_dataset(config, given, model.run)
    offset = config.labels_offset if "labels_offset" in given or not model.run else model.info.labels_offset
    model = _check_kind_of_labels(dataset, model)
    label_map = _check_classes(dataset, model, offset)
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
    result = measure(config, model, dataset, offset, label_map)
    write_json(os.path.join(folder, METRICS_FILE), result.as_json())
    write_scalars(folder, model.step, {f"eval/{name}": value for name, value in result.metrics.headline().items()})
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
    split, fold = config.dataset_split_name, config.fold
    if run and fold is None and filesystem.absolute(dataset_dir) == run["dataset"]["dir"]:
        fold = run["dataset"].get("fold")
    pattern = config.file_pattern
    if run and not config.dataset_dir:
        pattern = pattern or run.get("flags", {}).get("file_pattern")
    if "dataset_split_name" not in given:
        split = next(filter(_is_there(dataset_dir, pattern), ("test", "validation", "val")), split)
    if run and split == splits.VALIDATION:
        folds.check_not_all(run, dataset_dir, fold, config.checkpoint_path)
        folds.check_trained_elsewhere(run, dataset_dir, fold, config.checkpoint_path)
    return dataset_factory.get_dataset(name, split, dataset_dir, pattern, fold=fold)


def _is_there(dataset_dir: str, pattern: str | None) -> Callable[[str], bool]:
    """Returns the function that tells if a data set has a split; of files named by a pattern, those that say it."""
    if not pattern:
        available = dataset_factory.splits(dataset_dir)
        return lambda split: split in available
    return lambda split: "%s" in pattern and bool(filesystem.matching(dataset_dir, pattern.replace("%s", split)))


def _check_kind_of_labels(dataset: Any, model: models.LoadedModel) -> models.LoadedModel:
    """Returns the model, of which the data set says how many classes an image has, where no run does."""
    if model.run is None:
        return dataclasses.replace(model, info=dataclasses.replace(model.info, multi_label=dataset.multi_label))
    if model.info.multi_label != dataset.multi_label:
        kinds = {True: "several classes", False: "one class"}
        raise UserError(
            f"{model.checkpoint} was trained on images of {kinds[model.info.multi_label]} each, those of "
            f"{dataset.name} have {kinds[dataset.multi_label]}; name another --dataset_dir"
        )
    return model


def _check_classes(dataset: Any, model: models.LoadedModel, offset: int) -> np.ndarray | None:
    """Fails where the data has other classes than the model; returns its class for each where the order differs."""
    classes = dataset.num_classes - offset
    label_map = _map_by_name(dataset, model.info, offset)
    if label_map is not None:
        logging.info("Classes by name: the data has %d of the network's %d", classes, model.info.num_classes)
        return label_map
    if classes == model.info.num_classes:
        _compare_names(dataset.labels_to_names or {}, model.info, offset)
        return None
    hint = ""
    names = dataset.labels_to_names or {}
    known = {normalised(label) for label in model.info.labels or ()}
    others = [str(name) for k, name in sorted(names.items()) if k >= offset and normalised(str(name)) not in known]
    if known and others and not label_files.is_background(others[0]):
        listed = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if others[3:] else "")
        hint = f": the network has no class {listed}; give --dataset_dir with data of its classes"
    elif classes == model.info.num_classes + 1:
        hint = f": the network has no background class, add --labels_offset={offset + 1}"
    raise UserError(
        f"{model.checkpoint} has {model.info.num_classes} classes, the data has {dataset.num_classes} "
        f"(less --labels_offset={offset}){hint}"
    )


def _map_by_name(dataset: Dataset, info: ModelInfo, offset: int) -> np.ndarray | None:
    """The model's class of each class of the data, where all are the model's but in another order or number.

    So it is with an extended network, whose run.json names the new classes' data, and with classes in a new order.
    """
    names = dataset.labels_to_names or {}
    of_data = tuple(str(names.get(k, "")) for k in range(offset, dataset.num_classes))
    if info.multi_label or not info.labels or of_data == info.labels:
        return None
    rows = label_files.match(of_data, info.labels).rows
    if not of_data or len(set(rows.values())) < len(of_data):
        return None
    places = [rows[k] for k in range(len(of_data))]
    return None if places == list(range(info.num_classes)) else np.array(places, np.int32)


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
    if filesystem.is_remote(folder):
        raise FlagError(f"{config.checkpoint_path} is not on this machine: name a folder for the metrics, --eval_dir")
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror}); name another folder with --eval_dir") from None


def measure(
    config: EvalConfig,
    model: models.LoadedModel,
    dataset: Dataset,
    offset: int,
    label_map: np.ndarray | None = None,
    quiet: bool = False,
) -> Evaluation:
    """Evaluates a model on a split.

    Args:
        config: how: batch size, threads, how much, corrupt records put up with.
        model: the network.
        dataset: the split.
        offset: subtracted from the labels.
        label_map: int32 [classes of the data, less the offset]: class of the model, -1: none; None: they are the same.
        quiet: leave out the lines on how far it is.
    """
    info = model.info
    # Last in the table: what is no class of the data (-1) is none of the model either.
    table = None if label_map is None else np.append(label_map, -1).astype(np.int32)
    preprocess = inputs.preprocess_fn(info.preprocessing_name, info.image_size, info.channels, is_training=False)

    def make(step: int, tolerant: bool) -> tf.data.Dataset:
        return input_pipeline.eval_batches(
            dataset,
            preprocess,
            batch_size=config.batch_size,
            start_step=step,
            labels_offset=offset,
            num_threads=config.num_preprocessing_threads,
            tolerant=tolerant,
        ).take(total - step)

    unreadable = skipping.Unreadable(dataset, preprocess, config.max_corrupt_records)
    all_batches = math.ceil(dataset.num_samples / config.batch_size)
    total = min(all_batches, config.max_num_batches or all_batches)
    kind = MultiLabelMetrics if info.multi_label else ClassificationMetrics
    metrics, score = kind.empty(info.num_classes), _score_fn(model.network, info.multi_label)
    began = time.monotonic()
    for i, batch in enumerate(skipping.Batches(make, unreadable), 1):
        labels = batch[info.labels_key]
        if table is not None:
            labels = tf.gather(table, labels % len(table))
        scores = score(batch["image"], labels)
        real = batch["mask"].numpy()
        metrics.add(labels.numpy()[real], *(value.numpy()[real] for value in scores))
        if not quiet and (total < 20 or i % (total // 10) == 0 or i == total):
            logging.info("Evaluation [%d/%d]", i, total)
    if unreadable.told and not metrics.count:
        raise unreadable.all_failed(len(unreadable.told))
    labels = info.labels or tuple(
        str((dataset.labels_to_names or {}).get(k + offset, k)) for k in range(info.num_classes)
    )
    return Evaluation(
        metrics=metrics,
        labels=labels,
        checkpoint=model.checkpoint,
        step=model.step,
        split=dataset.split,
        dataset_dir=filesystem.absolute(os.path.dirname(dataset.files[0])),
        uses_averages=model.uses_averages,
        is_partial=total < all_batches,
        seconds=time.monotonic() - began,
        corrupt_records=tuple(unreadable.told),
    )


def _score_fn(network: Any, multi_label: bool) -> Any:
    """Returns a compiled function of images and labels.

    Its results are predictions int64 [N], in top 5 bool [N] and losses float32 [N]; for several classes scores float32
    [N, K] and losses.
    """

    @tf.function(autograph=False)
    def score(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, ...]:
        logits, _ = network(images)
        if logits.shape.rank != 2:
            raise FlagError(f"the network's logits are {logits.shape}, expected [batch, classes]")
        if multi_label:
            return tf.sigmoid(tf.cast(logits, tf.float32)), sigmoid_cross_entropy(logits, labels)
        return (
            tf.argmax(logits, axis=1),
            tf.math.in_top_k(tf.maximum(labels, 0), logits, min(5, logits.shape[1])) & (labels >= 0),
            softmax_cross_entropy(logits, labels),
        )

    return score
