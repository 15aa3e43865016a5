"""Data sets that can be made, and the one way to make them: name + options -> source -> writer.

A further converter is one module with a function `source(**options) -> Source` and one line in `CONVERTERS`, which may
name another function of the module (`MODULE:FUNCTION`).
"""

import dataclasses
import functools
import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from common import suggest
from common.config import option
from common.errors import FlagError
from datasets import filesystem
from datasets.findings import Limits

CONVERTERS: Mapping[str, str] = {
    "cifar10": "datasets.cifar:cifar10",
    "cifar100": "datasets.cifar:cifar100",
    "fashion_mnist": "datasets.mnist:fashion_mnist",
    "flowers": "datasets.flowers",
    "image_folder": "datasets.image_folder",
    "imagenet": "datasets.imagenet",
    "manifest": "datasets.manifest",
    "mnist": "datasets.mnist:mnist",
    "shapes": "datasets.shapes",
    "visualwakewords": "datasets.visualwakewords",
}
_TFDS = "tfds"  # `tfds:NAME`: any data set that TensorFlow Datasets has prepared on this machine
_KNOWN = (*CONVERTERS, f"{_TFDS}:NAME")


@dataclasses.dataclass(frozen=True)
class ConvertConfig(Limits):
    """What `download_and_convert_data.py` does. Options of another data set than the one named are refused."""

    dataset_name: str | None = option(None, f"What to convert: {', '.join(_KNOWN)}. Required.", slim=True)
    dataset_dir: str | None = option(None, "Folder for the TFRecords. Required.", slim=True)

    archive_dir: str | None = option(
        None, "Folder of archives and files brought by hand, looked into before anything is downloaded."
    )
    check_archives: bool | None = option(
        None, "Whether files brought by hand must be the published ones, by size and SHA-256 (true)."
    )
    image_dir: str | None = option(
        None,
        "image_folder: folder that has a folder of photos for each class. manifest: folder that its paths start from, "
        "instead of its own.",
    )
    class_folders: str | None = option(
        None,
        "image_folder: which folders are classes: those at the top, with all that is below them (the default), or the "
        "deepest, each that holds images, named by its path (animals/cat).",
        choices=("top", "deepest"),
    )
    name: str | None = option(
        None, "image_folder, manifest, tfds: name of the data set, first part of its files' names (images)."
    )
    manifest: str | None = option(
        None, "manifest: .csv, .tsv or .jsonl file of images: columns path, label or labels, split, group."
    )
    labels_file: str | None = option(
        None,
        "manifest: class names in the order of their numbers, one a line or as labels.txt. imagenet: synsets in the "
        "order of their classes, from 1 (ILSVRC 2012's 1,000).",
    )
    source_dir: str | None = option(None, "flowers: folder of the photos, instead of the download.")
    archive_path: str | None = option(None, "flowers: .tgz or .zip of the photos, instead of the download.")
    archive_sha256: str | None = option(None, "flowers: SHA-256 that the archive must have.")
    download_url: str | None = option(None, "flowers: where to download the archive.")
    cifar100_labels: str | None = option(
        None, "cifar100: fine (100 classes, the default) or coarse (20).", choices=("fine", "coarse")
    )
    train_directory: str | None = option(
        None, "imagenet: folder with a folder of photos for each synset, instead of the archive.", slim=True
    )
    validation_directory: str | None = option(
        None, "imagenet: folder of the validation photos, flat or a folder for each synset.", slim=True
    )
    bounding_box_file: str | None = option(
        None, "imagenet: Slim's CSV of boxes, or the archive or folder of the XML files.", slim=True
    )
    validation_labels_file: str | None = option(
        None, "imagenet: line i is the synset (or class number) of validation photo i (ILSVRC 2012's)."
    )
    imagenet_metadata_file: str | None = option(
        None, "imagenet: lines of SYNSET, tab, names for people; needed with a --labels_file only.", slim=True
    )
    foreground_class_of_interest: str | None = option(
        None, "visualwakewords: COCO's category that makes an image foreground (person).", slim=True
    )
    small_object_area_threshold: float | None = option(
        None,
        "visualwakewords: objects of at most this share of the image's area do not count (0.005).",
        minimum=0.0,
        maximum=1.0,
        slim=True,
    )
    coco_dirname: str | None = option(
        None, "visualwakewords: folder below --dataset_dir where downloads go and stay (coco_dataset).", slim=True
    )
    coco_train_url: str | None = option(None, "visualwakewords: where to download train2014.zip.", slim=True)
    coco_validation_url: str | None = option(None, "visualwakewords: where to download val2014.zip.", slim=True)
    coco_annotations_url: str | None = option(
        None, "visualwakewords: where to download annotations_trainval2014.zip.", slim=True
    )
    data_dir: str | None = option(None, "tfds: folder of the prepared data sets (~/tensorflow_datasets).")
    image_feature: str | None = option(None, "tfds: the feature that is the image, where there are several.")
    label_feature: str | None = option(None, "tfds: the feature that is the class, where there are several.")
    shapes_task: str | None = option(None, "shapes: `source` (8 classes, the default) or `target` (4 others).")
    num_images: int | None = option(None, "shapes: how many are drawn (2400 for source, 500 for target).", minimum=1)
    image_size: int | None = option(None, "shapes: side of an image in pixels (64).", minimum=1)
    image_format: str | None = option(None, "shapes: jpg (the default) or png.")

    validation_fraction: float | None = option(
        None,
        "Share of the images for the validation split (0.1; shapes: 0.2; flowers: 350 images).",
        minimum=0.0,
        maximum=0.9,
    )
    validation_count: int | None = option(None, "Number of validation images, instead of a share.", minimum=0)
    test_fraction: float = option(0.0, "Share of the images for a split `test`.", minimum=0.0, maximum=0.9)
    num_folds: int = option(
        0,
        "Deal the images into so many folds instead of training and validation, for cross-validation: train and "
        "evaluate with --fold=0, 1, ...",
        minimum=0,
        maximum=1000,
    )
    split_file: str | None = option(
        None,
        "File with a line `path,split` for each image, or files of paths alone: train=FILE,validation=FILE. Paths are "
        "those in SPLIT_files.txt.",
    )
    group_pattern: str | None = option(
        None,
        "Regular expression on an image's path; images with the same first (group) of it go to one split: "
        "'([^/]+)_[0-9]+[.]jpg$' for all photos of one object.",
    )
    on_error: str = option(
        "quarantine",
        "A file that cannot be used is left out and listed with the reason (quarantine), or ends it all (fail).",
        choices=("quarantine", "fail"),
    )
    duplicates: str = option(
        "report",
        "Copies of one picture: listed; put together into one split; or left out but for one, and all of those that "
        "are in several classes.",
        choices=("report", "together", "leave_out"),
    )
    checks: str = option(
        "headers",
        "What is looked at: headers, which are enough to find what cannot be read; or pixels too, which finds damage "
        "inside and nearly equal pictures, and takes several times as long.",
        choices=("headers", "pixels"),
    )
    seed: int = option(0, "Of the split, the order and the drawn images.", minimum=0)
    num_shards: int = option(0, "Files of each split; 0: as many as the size asks for.", minimum=0, maximum=99999)
    num_threads: int = option(0, "Images converted in parallel; 0: one for each core.", minimum=0)
    overwrite: bool = option(False, "Replace the data set that is in --dataset_dir.")
    beam: bool = option(
        False, "Convert as an Apache Beam pipeline (extra `beam`), on one machine or many: the same files."
    )
    beam_options: str | None = option(
        None,
        "Flags of the pipeline and its runner in one string: '--runner=FlinkRunner --flink_master=HOST:8081'. Default: "
        "--runner=DirectRunner.",
    )

    def __post_init__(self):
        if not self.dataset_name or not self.dataset_dir:
            missing = "dataset_dir" if self.dataset_name else "dataset_name"
            raise FlagError(f"--{missing} is missing; data sets: {', '.join(_KNOWN)}")
        if filesystem.is_remote(self.dataset_dir):
            raise FlagError(
                f"--dataset_dir={self.dataset_dir}: records are written to a folder of this machine or a mounted one; "
                "copy it afterwards (training reads such addresses)"
            )
        if self.dataset_name not in CONVERTERS and not re.fullmatch(f"{_TFDS}:.+", self.dataset_name):
            raise FlagError(suggest.unknown("data set", self.dataset_name, _KNOWN))
        if self.validation_fraction is not None and self.validation_count is not None:
            raise FlagError("--validation_fraction and --validation_count exclude each other; give one of them")
        if (self.validation_fraction or 0) + self.test_fraction >= 1:
            raise FlagError("--validation_fraction and --test_fraction together leave nothing to train on")
        if self.num_folds == 1:
            raise FlagError("--num_folds=1: expected 2 or more; every fold is validation once")
        if self.num_folds and (self.validation_fraction is not None or self.validation_count is not None):
            raise FlagError(
                "--num_folds takes the place of --validation_fraction and --validation_count; leave them out"
            )
        if self.beam_options and not self.beam:
            raise FlagError("--beam_options are for a conversion by Apache Beam; add --beam")
        if self.beam and self.dataset_name.startswith(f"{_TFDS}:"):
            raise FlagError("--beam does not go with tfds:NAME, which is read from open files; leave --beam out")
        if self.beam and self.num_threads:
            raise FlagError(
                "--num_threads does not go with --beam, where the runner decides; DirectRunner takes "
                "--beam_options=--direct_num_workers=4"
            )


def convert(name: str, dataset_dir: str, /, **options: Any) -> dict[str, Any]:
    """Makes a data set.

    Args:
        name: of a converter, see `CONVERTERS`.
        dataset_dir: folder for the TFRecords; made if missing.
        options: fields of `ConvertConfig`; those of another converter are refused.

    Returns:
        The content of the data set's dataset.json.

    Raises:
        UserError: bad options or input, or the folder holds other data.
    """
    ConvertConfig(name, dataset_dir, **options)  # checks them

    from datasets import writer  # imports TensorFlow

    beam, beam_options = options.pop("beam", False), options.pop("beam_options", None)
    write_tasks = None
    if beam:
        from datasets import beam_conversion

        write_tasks = beam_conversion.task_writer(beam_options or "")
    make_source = _maker(name)
    shared = {field.name for field in dataclasses.fields(writer.WriteOptions)}
    write_options = writer.WriteOptions(**{key: value for key, value in options.items() if key in shared})
    own = _own_options(name, make_source, dataset_dir, options, shared)
    return writer.write(make_source(**own), dataset_dir, write_options, write_tasks)


def _maker(name: str) -> Callable:
    """The function that makes a data set's source from its options."""
    kind, _, argument = name.partition(":")
    if kind == _TFDS:
        return functools.partial(importlib.import_module("datasets.tfds").source, argument)
    module, _, function = CONVERTERS[name].partition(":")
    return getattr(importlib.import_module(module), function or "source")


def _own_options(
    name: str, make_source: Callable, dataset_dir: str, options: Mapping[str, Any], shared: set[str]
) -> dict[str, Any]:
    known = set(inspect.signature(make_source).parameters)
    strange = sorted(key for key in options if key not in known | shared)
    if strange:
        takes = ", ".join(f"--{key}" for key in sorted(known - shared - {"dataset_dir"}))
        raise FlagError(f"--{strange[0]} is no option of --dataset_name={name}; its own are {takes}")
    own = {key: value for key, value in options.items() if key in known and value is not None}
    return own | ({"dataset_dir": dataset_dir} if "dataset_dir" in known else {})
