"""Adding classes to a trained classifier (`--extend_classes`).

The old classes keep their numbers and, at the start, their rows bit for bit; new classes of the data follow them. Which
class of a data set is which of the network goes by name, in training as in evaluation.

Training on new classes alone makes a network forget the old ones. Two remedies, alone or together: replay, a share of
old images in every batch (`training.replay`), and distillation, the network as it was as a teacher on the old classes
(`training.distillation`). What they achieve is measured before and after (`training.extension_report`).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from checkpoint_tools import label_files
from checkpoint_tools.labels import normalised
from checkpoints import reader as reader_lib
from checkpoints import writer
from common.errors import FlagError, UserError
from datasets import dataset_factory, filesystem
from datasets.dataset_factory import Dataset
from nets import registry
from nets.network import class_count
from training import class_rows, models, runs
from training.config import TrainConfig
from training.runs import ModelInfo

FLAG = "--extend_classes"
RUN_KEY = "extension"  # in run.json
_VALIDATION = ("validation", "val", "test")


@dataclasses.dataclass(frozen=True)
class OldData:
    """Where the data of the old classes is: the folder, the split that was trained on, the fold held out in it."""

    folder: str
    split: str = "train"
    fold: int | None = None


@dataclasses.dataclass(frozen=True)
class Extension:
    """The classes of an extended network, and the data of the old ones.

    Attributes:
        source: prefix of the checkpoint that is extended.
        old_labels: its classes.
        labels: all classes: the old ones, then the new ones.
        label_map: class of the new data -> class of the network, int32.
        old_offset: first classes of the old data set that the source was trained without (--labels_offset).
        old_data: the data of the old classes; None where it is not known.
        before: what the source makes of the old classes; None before it is measured, or where it cannot be.
    """

    source: str
    old_labels: tuple[str, ...]
    labels: tuple[str, ...]
    label_map: np.ndarray
    old_offset: int = 0
    old_data: "OldData | None" = None
    before: Mapping[str, Any] | None = None

    def extended(self, info: ModelInfo) -> ModelInfo:
        """The model with all classes, for the model of the new data alone."""
        return dataclasses.replace(info, num_classes=len(self.labels), labels=self.labels)

    def described(self) -> str:
        """One line for the log."""
        old, new = len(self.old_labels), self.labels[len(self.old_labels) :]
        known = sorted(int(k) for k in self.label_map if k < old)
        again = f"; the data also has {_listed([self.labels[k] for k in known])} of the old ones" if known else ""
        return f"Classes: {old} old + {len(new)} new ({_listed(new)}) = {len(self.labels)}{again}"

    def as_json(self) -> dict[str, Any]:
        """For run.json."""
        return {
            "source": self.source,
            "old_labels": list(self.old_labels),
            "new_labels": list(self.labels[len(self.old_labels) :]),
            "old_offset": self.old_offset,
            "old_data": self.old_data and self.old_data.folder,
            "old_split": self.old_data and self.old_data.split,
            "old_fold": self.old_data and self.old_data.fold,
            **({"before": self.before} if self.before else {}),
        }


def prepare(config: TrainConfig, given: frozenset[str], dataset: Dataset) -> tuple[TrainConfig, Extension | None]:
    """Works out the classes of an extended network; returns the config as it is without --extend_classes.

    Args:
        config: all settings.
        given: names of the flags that the user gave. Network, preprocessing and image size that are not are the
            source's.
        dataset: the new data.

    Raises:
        UserError: the source cannot be extended, the data has no class names or no new class, ...
    """
    if not config.extend_classes:
        return config, None
    _check_data(dataset)
    if (prefix := writer.latest(config.train_dir)) is not None:
        return _resumed(config, given, dataset, prefix)
    reader = reader_lib.open_checkpoint(config.checkpoint_path)
    run = runs.read(reader.path)
    config = _as_the_source(config, given, run, reader.path)
    old = _old_labels(config, run, reader)
    label_map, new = joined(old, names_of(dataset), dataset.name)
    if not new:
        raise UserError(
            f"{FLAG}: all {len(label_map)} classes of {dataset.name} ({_listed(names_of(dataset))}) are classes of "
            f"{reader.path} already; leave the flag out to train on"
        )
    offset = runs.model_info(run).labels_offset if run else 0
    return config, Extension(reader.path, old, (*old, *new), label_map, offset, _old_data(config, run))


def _resumed(
    config: TrainConfig, given: frozenset[str], dataset: Dataset, prefix: str
) -> tuple[TrainConfig, Extension]:
    run = runs.read(prefix)
    if not run or RUN_KEY not in run:
        raise UserError(
            f"--train_dir={config.train_dir} holds a run that was not begun with {FLAG}; name another folder"
        )
    config = _as_the_source(config, given, run, prefix)
    said = run[RUN_KEY]
    labels = (*said["old_labels"], *said["new_labels"])
    label_map, new = joined(labels, names_of(dataset), dataset.name)
    if new:
        raise UserError(
            f"--train_dir={config.train_dir} holds a run with the new classes {_listed(said['new_labels'])}; "
            f"{dataset.name} has others ({_listed(new)}): name another folder, and this run as --checkpoint_path"
        )
    folder = config.replay_dataset_dir or said["old_data"]
    extension = Extension(
        source=said["source"],
        old_labels=tuple(said["old_labels"]),
        labels=labels,
        label_map=label_map,
        old_offset=said["old_offset"],
        old_data=OldData(folder, said["old_split"], said["old_fold"]) if folder else None,
        before=said.get("before"),
    )
    return config, extension


def joined(old: Sequence[str], names: Sequence[str], what: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Joins the classes of a data set to those of a network.

    Args:
        old: classes of the network.
        names: classes of the data set.
        what: the data set's name, for errors.

    Returns:
        (int32 [classes of the data set]: class of the network, the classes that are new, in order).

    Raises:
        UserError: a name that is there twice, or that may be several of the old classes.
    """
    plain = [normalised(name) for name in names]
    if twice := [name for k, name in enumerate(names) if plain[k] in plain[:k]]:
        raise UserError(f"{what} has two classes {twice[0]!r}: their names must tell them apart; convert it again")
    match = label_files.match(tuple(names), tuple(old))
    for k in match.ambiguous:
        raise UserError(f"class {names[k]!r} of {what} may be {match.choices_text(k)} of the old ones; rename it")
    new = [k for k in range(len(names)) if k not in match.rows]
    places = dict(match.rows) | {k: len(old) + i for i, k in enumerate(new)}
    if twice := [name for k, name in enumerate(names) if places[k] in [places[i] for i in range(k)]]:
        place = places[list(names).index(twice[0])]
        raise UserError(
            f"{what}: class {twice[0]!r} and another one are both {old[place]!r} of the old ones; rename it"
        )
    return np.array([places[k] for k in range(len(names))], np.int32), tuple(names[k] for k in new)


def old_label_map(extension: Extension, dataset: Dataset) -> np.ndarray:
    """Returns int32 [classes of an old data set]: class of the network; -1: one that it was trained without.

    Raises:
        UserError: a class that the network does not have.
    """
    offset, names = extension.old_offset, names_of(dataset)
    rows = label_files.match(names[offset:], extension.labels).rows
    if unknown := [name for k, name in enumerate(names[offset:]) if k not in rows]:
        raise UserError(
            f"the old data set {dataset.name} has classes that the network does not: {_listed(unknown)}; "
            f"--replay_dataset_dir must be data of the old classes"
        )
    if all(place >= len(extension.old_labels) for place in rows.values()):
        raise UserError(
            f"the old data set {dataset.name} has none of the {len(extension.old_labels)} old classes "
            f"({_listed(extension.old_labels)}); --replay_dataset_dir must be data of the old classes"
        )
    return np.array([-1] * offset + [rows[k] for k in range(len(names) - offset)], np.int32)


def names_of(dataset: Dataset) -> tuple[str, ...]:
    """The class names of a data set, in order.

    Raises:
        UserError: it has none.
    """
    names = dataset.labels_to_names
    if not names or any(k not in names for k in range(dataset.num_classes)):
        raise UserError(f"{FLAG} goes by class names, and {dataset.name} has none: give it a labels.txt")
    return tuple(str(names[k]) for k in range(dataset.num_classes))


def open_old_data(old_data: OldData, validation: bool) -> Dataset:
    """Opens the old data set: the split that it was trained on, or its validation split.

    Raises:
        UserError: it cannot be read, or has no such split.
    """
    split = validation_split(old_data.folder) if validation else old_data.split
    if split is None:
        have = ", ".join(dataset_factory.splits(old_data.folder))
        raise UserError(f"{old_data.folder} has no validation split to measure the old classes on; it has {have}")
    return dataset_factory.get_dataset(None, split, old_data.folder, fold=old_data.fold)


def validation_split(folder: str) -> str | None:
    """The split of a data set that accuracies are measured on; None where there is none."""
    splits = dataset_factory.splits(folder)
    return next((name for name in _VALIDATION if name in splits), None)


def _check_data(dataset: Dataset) -> None:
    if dataset.multi_label:
        raise UserError(f"{FLAG} is for images of one class each; those of {dataset.name} have several")
    names_of(dataset)


def _as_the_source(config: TrainConfig, given: frozenset[str], run: Mapping[str, Any] | None, path: str) -> TrainConfig:
    """The config with the network, preprocessing and image size of the run that is extended."""
    if run is None:
        if not config.checkpoint_labels or "model_name" not in given:
            raise UserError(
                f"{FLAG}: there is no {runs.FILE_NAME} beside {path} that says its network and classes: give "
                f"--model_name, and --checkpoint_labels=FILE with its class names (auto: ImageNet's 1000 or 1001)"
            )
        return config
    info = runs.model_info(run)
    if info.multi_label:
        raise UserError(f"{FLAG}: {path} was trained on images of several classes each; that is not supported")
    own = {
        "model_name": info.model_name,
        "preprocessing_name": info.preprocessing_name,
        "train_image_size": info.image_size,
        "network_module": info.network_module,
    }
    if "model_name" in given and config.model_name != info.model_name:
        raise FlagError(
            f"--model_name={config.model_name}: {path}, which {FLAG} extends, is of {info.model_name}; leave it out"
        )
    if config.use_grayscale and info.channels != 1:
        raise FlagError(f"--use_grayscale: {path}, which {FLAG} extends, takes images of {info.channels} channels")
    return dataclasses.replace(
        config,
        use_grayscale=info.channels == 1,
        **{name: value for name, value in own.items() if name not in given},
    )


def _old_labels(config: TrainConfig, run: Mapping[str, Any] | None, reader: Any) -> tuple[str, ...]:
    num_classes = runs.model_info(run).num_classes if run else _count_classes(config, reader)
    return class_rows.source_labels(config.checkpoint_labels, reader.path, num_classes)[0]


def _count_classes(config: TrainConfig, reader: Any) -> int:
    if config.network_module:
        registry.load_module(config.network_module)
    name = models.known("--model_name", registry.get, config.model_name).name
    num_classes = class_count(name, reader.shapes)
    if num_classes is None:
        raise UserError(f"{FLAG}: {reader.path} has no classifier of {name}: is --model_name right?")
    return num_classes


def _old_data(config: TrainConfig, run: Mapping[str, Any] | None) -> OldData | None:
    """What the user named, else what the source run was trained on."""
    of_run = (run or {}).get("dataset", {})
    own = OldData(of_run["dir"], of_run["split"], of_run.get("fold")) if of_run else None
    if config.replay_dataset_dir:
        named = filesystem.absolute(config.replay_dataset_dir)
        if not filesystem.is_folder(named):
            raise UserError(
                f"--replay_dataset_dir={config.replay_dataset_dir}: no such folder; name that of the old data"
            )
        return own if own and own.folder == named else OldData(named)
    if own and not filesystem.is_folder(own.folder):
        logging.info("The old data set is not at %s any more: --replay_dataset_dir names it", own.folder)
        return None
    return own


def _listed(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
