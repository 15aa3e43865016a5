"""Data sets for reading: Slim's by name, and every folder that says itself what it holds."""

import dataclasses
import itertools
import os
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from absl import logging

from common import suggest
from common.errors import UserError
from datasets import dataset_utils, filesystem, folders, folds, imagenet_names, index, records, shards

_BESIDE_RECORDS = (f"/{dataset_utils.LABELS_FILENAME}", index.LIST_SUFFIX, ".json")
FOLDER = "image_folder"  # as a data set's name: whatever the folder says

_IMAGE = "A color image of varying height and width."
_BOXES = "A list of bounding boxes: ymin, xmin, ymax, xmax, each as a share of the image's side."


@dataclasses.dataclass(frozen=True)
class Spec:
    """What is known of one of Slim's data sets before its files are seen.

    Attributes:
        splits: examples of each split, as published; the files' own number wins.
        num_classes: classes.
        pattern: of the files' names, `%s` for the split.
        channels: of the images.
        image_shape: height, width and channels, where all images have the same.
        items: item name -> description.
        default_format: of records that do not say their image format.
    """

    splits: Mapping[str, int]
    num_classes: int
    pattern: str
    channels: int = 3
    image_shape: tuple[int, int, int] | None = None
    items: Mapping[str, str] = dataclasses.field(default_factory=dict)
    default_format: str = "jpeg"


SPECS: dict[str, Spec] = {
    "cifar10": Spec(
        {"train": 50000, "test": 10000},
        num_classes=10,
        pattern="cifar10_%s.tfrecord",
        image_shape=(32, 32, 3),
        items={"image": "A [32 x 32 x 3] color image.", "label": "A single integer between 0 and 9."},
    ),
    "cifar100": Spec(
        {"train": 50000, "test": 10000},
        num_classes=100,
        pattern="cifar100_%s.tfrecord",
        image_shape=(32, 32, 3),
        items={"image": "A [32 x 32 x 3] color image.", "label": "A single integer between 0 and 99."},
    ),
    "fashion_mnist": Spec(
        {"train": 60000, "test": 10000},
        num_classes=10,
        pattern="fashion_mnist_%s.tfrecord",
        channels=1,
        image_shape=(28, 28, 1),
        items={"image": "A [28 x 28 x 1] grayscale image.", "label": "A single integer between 0 and 9."},
    ),
    "flowers": Spec(
        {"train": 3320, "validation": 350},
        num_classes=5,
        pattern="flowers_%s_*.tfrecord",
        items={"image": _IMAGE, "label": "A single integer between 0 and 4."},
    ),
    "imagenet": Spec(
        {"train": 1281167, "validation": 50000},
        num_classes=1001,
        pattern="%s-*",
        items={
            "image": _IMAGE,
            "label": "The class, 1 to 1000; 0 is the background.",
            "label_text": "The text of the label.",
            "object/bbox": _BOXES,
            "object/label": "The class of each bounding box.",
        },
    ),
    "mnist": Spec(
        {"train": 60000, "test": 10000},
        num_classes=10,
        pattern="mnist_%s.tfrecord",
        channels=1,
        image_shape=(28, 28, 1),
        items={"image": "A [28 x 28 x 1] grayscale image.", "label": "A single integer between 0 and 9."},
        default_format="raw",
    ),
    "visualwakewords": Spec(
        {"train": 82783, "val": 40504},
        num_classes=2,
        pattern="%s.record-*",
        items={"image": _IMAGE, "label": "0 background, 1 foreground.", "object/bbox": _BOXES},
    ),
}


@dataclasses.dataclass(frozen=True)
class Dataset:
    """One split of a data set, ready to be read: Slim's attributes and ours.

    Attributes:
        data_sources: pattern of the files (Slim).
        reader: `tf.data.TFRecordDataset`, where Slim had a reader class.
        decoder: `records.Decoder`, from a serialized record to its items (Slim).
        num_samples: examples in the files, counted (Slim).
        items_to_descriptions: item -> description (Slim).
        num_classes: classes (Slim).
        labels_to_names: label -> class name, None if not known (Slim).
        name: of the data set.
        split: its name.
        files: paths, sorted.
        channels: of the images, 1 or 3.
        file_examples: examples of each of the files.
        class_examples: examples of each class, as the data set says itself; None if it does not.
        multi_label: whether an example may have several classes or none.
        record_bytes: size of all files.
        fingerprint: hex digest of the files' names, sizes and content.
        default_format: image format of records that do not say theirs.
    """

    data_sources: str
    reader: Any
    decoder: records.Decoder
    num_samples: int
    items_to_descriptions: Mapping[str, str]
    num_classes: int
    labels_to_names: Mapping[int, str] | None
    name: str
    split: str
    files: tuple[str, ...]
    channels: int
    record_bytes: int
    fingerprint: str
    default_format: str
    file_examples: tuple[int, ...]
    class_examples: tuple[int, ...] | None = None
    multi_label: bool = False


def get_dataset(
    name: str | None,
    split_name: str,
    dataset_dir: str,
    file_pattern: str | None = None,
    reader: Any = None,
    fold: int | None = None,
) -> Dataset:
    """Returns the descriptor of a split.

    Args:
        name: one of `SPECS`, or None or `image_folder` for what the folder itself says (its `dataset.json`, else its
            `labels.txt` and the names of its files).
        split_name: name of the split.
        dataset_dir: folder with the TFRecords, on any file system that TensorFlow reads.
        file_pattern: other names of the files than the data set's own, below the folder: with one `%s` for the split,
            and `*`, `?` and `[abc]` as in a shell, in folders too.
        reader: kept in the descriptor, as Slim did; `tf.data.TFRecordDataset` by default.
        fold: number of the fold held out, of a data set in folds: `validation` is that one, `train` the others.

    Raises:
        UserError: unknown name or split; no such folder or no TFRecords in it; damaged or missing files.
    """
    folders.check_readable(dataset_dir, any_content=bool(file_pattern))
    description = folders.read_description(dataset_dir)
    own_names = [description["name"]] if description else _names_by_files(dataset_dir)
    if name in (None, "", FOLDER):
        name = _only(own_names, dataset_dir)
    elif name not in (*own_names, *SPECS):
        raise UserError(suggest.unknown("data set", name, {*own_names, *SPECS, FOLDER}))
    spec = _spec(name, description)
    if description and name in own_names and not file_pattern:
        parts = folds.parts(description, split_name, fold, dataset_dir)
        split = _described_split(dataset_dir, description, parts)
        names = dict(enumerate(description["class_names"]))
        spec = dataclasses.replace(spec, num_classes=description["num_classes"], channels=description["channels"])
        pattern = spec.pattern or f"{name}_%s_*.tfrecord"
        sources = ",".join(os.path.join(dataset_dir, pattern % part) for part in parts)
    else:
        folds.parts(None, split_name, fold, dataset_dir)
        pattern = file_pattern or spec.pattern
        if file_pattern and not _matching(dataset_dir, _pattern_of(file_pattern, split_name)):
            raise UserError(f"{dataset_dir} has no file that matches {_pattern_of(file_pattern, split_name)}")
        split, sources = _found_split(dataset_dir, name, split_name, pattern)
        names = _label_names(dataset_dir, name)
        spec = dataclasses.replace(spec, num_classes=spec.num_classes or _count_classes(dataset_dir, names))
        _compare(name, split_name, spec, split)
    return Dataset(
        data_sources=sources,
        reader=reader or tf.data.TFRecordDataset,
        decoder=records.Decoder(spec.channels, spec.image_shape, tuple(spec.items), spec.default_format),
        num_samples=split.examples,
        items_to_descriptions=spec.items,
        num_classes=spec.num_classes,
        labels_to_names=names,
        name=name,
        split=split_name,
        files=split.files,
        channels=spec.channels,
        record_bytes=split.bytes,
        fingerprint=split.fingerprint,
        default_format=spec.default_format,
        file_examples=split.file_examples,
        class_examples=split.class_examples,
        multi_label=bool((description or {}).get("multi_label")),
    )


def splits(dataset_dir: str) -> list[str]:
    """Returns the names of the splits that a folder has, sorted.

    Raises:
        UserError: no such folder, or no TFRecords in it.
    """
    folders.check_readable(dataset_dir)
    description = folders.read_description(dataset_dir)
    return folds.names(description) if description else sorted(folders.named_splits(dataset_dir))


def _spec(name: str, description: Mapping[str, Any] | None) -> Spec:
    """What is known of a data set by its name, unless other images were converted under that name."""
    made_from = (description or {}).get("made_from", {}).get("source", {})
    if name in SPECS and (not description or description["name"] != name or made_from.get("converter") == name):
        return SPECS[name]
    return Spec({}, 0, "", items={"image": _IMAGE, "label": "The class, from 0."})


def _names_by_files(dataset_dir: str) -> list[str]:
    """The data sets that the files' names say; the folder's name for files that say none (`train-00000-of-01024`)."""
    folder = os.path.basename(os.path.abspath(dataset_dir))
    named = [shards.parse_name(name) for names in folders.named_splits(dataset_dir).values() for name in names]
    return sorted({parsed.dataset or folder for parsed in named if parsed}) or [folder]


def _only(names: list[str], dataset_dir: str) -> str:
    if len(names) > 1:
        raise UserError(
            f"{dataset_dir} holds files of {len(names)} data sets ({', '.join(names)}); put each into a folder of its "
            "own, or choose one with --dataset_name"
        )
    return names[0]


def _described_split(dataset_dir: str, description: Mapping[str, Any], parts: Sequence[str]) -> folders.Split:
    for split in parts:
        if split not in description["splits"]:
            raise _unknown_split(dataset_dir, split)
    return folds.joined(dataset_dir, description, parts)


def _found_split(dataset_dir: str, name: str, split: str, pattern: str) -> tuple[folders.Split, str]:
    """The files of a split by a pattern or, without one, by what their names say."""
    if pattern:
        pattern = _pattern_of(pattern, split)
        paths = _matching(dataset_dir, pattern)
    else:
        candidates = folders.named_splits(dataset_dir).get(split, [])
        of_name = [file for file in candidates if shards.parse_name(file).dataset == name]
        paths, pattern = [os.path.join(dataset_dir, file) for file in of_name or candidates], f"*{split}*"
    if not paths:
        raise _unknown_split(dataset_dir, split, f"of data set {name!r} (files {pattern})")
    _check_complete(paths, dataset_dir)
    return folders.scanned_split(paths), os.path.join(dataset_dir, pattern)


def _check_complete(paths: Sequence[str], dataset_dir: str) -> None:
    """Fails where shards are missing: of one set that lies in several folders, or of the set in each folder."""
    names = [os.path.basename(path) for path in paths]
    totals = {parsed.num_shards for name in names if (parsed := shards.parse_name(name))}
    if len(set(names)) == len(names) and len(totals) == 1:
        shards.check_complete(names, dataset_dir)
        return
    for folder, of_folder in itertools.groupby(sorted(paths, key=os.path.dirname), os.path.dirname):
        shards.check_complete([os.path.basename(path) for path in of_folder], folder)


def _pattern_of(pattern: str, split: str) -> str:
    if pattern.count("%s") != 1:
        raise UserError(f"file pattern {pattern!r}: expected one %s, for the split's name")
    return pattern.replace("%s", split)


def _matching(dataset_dir: str, pattern: str) -> list[str]:
    """The files that match, without what a conversion writes beside its TFRecords."""
    try:
        return [path for path in filesystem.matching(dataset_dir, pattern) if not path.endswith(_BESIDE_RECORDS)]
    except OSError as error:
        raise UserError(f"cannot read {dataset_dir}: {error.strerror}") from error


def _unknown_split(dataset_dir: str, split: str, what: str = "") -> UserError:
    have = splits(dataset_dir)
    if split in have:
        return UserError(
            f"{dataset_dir} has no split {split!r} {what}, but one of another data set; leave --dataset_name out"
        )
    return UserError(
        f"{dataset_dir} has no split {split!r}{what and ' ' + what}; it has {', '.join(have)}: "
        f"--dataset_split_name={have[-1]}"
    )


def _label_names(dataset_dir: str, name: str) -> dict[int, str] | None:
    if dataset_utils.has_labels(dataset_dir):
        return dataset_utils.read_label_file(dataset_dir)
    return dict(enumerate(imagenet_names.class_names(1001))) if name == "imagenet" else None


def _count_classes(dataset_dir: str, names: Mapping[int, str] | None) -> int:
    if not names:
        raise UserError(
            f"{dataset_dir} has neither dataset.json nor labels.txt, so that its classes are not known; write a "
            f"labels.txt with a line <id>:<name> for each class, or name one of {', '.join(SPECS)} with --dataset_name"
        )
    return max(names) + 1


def _compare(name: str, split_name: str, spec: Spec, split: folders.Split) -> None:
    published = spec.splits.get(split_name)
    if published and published != split.examples:
        logging.info("%s %s: %d examples in the files (published: %d).", name, split_name, split.examples, published)
