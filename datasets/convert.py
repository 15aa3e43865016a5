"""Data sets that can be made, and the one way to make them: name + options -> source -> writer.

A further converter is one module with a function `source(**options) -> Source` and one line in `CONVERTERS`.
"""

import dataclasses
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from common import suggest
from common.config import option
from common.errors import FlagError

CONVERTERS: Mapping[str, str] = {
    "flowers": "datasets.flowers",
    "image_folder": "datasets.image_folder",
    "shapes": "datasets.shapes",
}


@dataclasses.dataclass(frozen=True)
class ConvertConfig:
    """What `download_and_convert_data.py` does. Options of another data set than the one named are refused."""

    dataset_name: str | None = option(None, f"What to convert: {', '.join(CONVERTERS)}. Required.", slim=True)
    dataset_dir: str | None = option(None, "Folder for the TFRecords. Required.", slim=True)

    image_dir: str | None = option(None, "image_folder: folder that has a folder of photos for each class.")
    name: str | None = option(None, "image_folder: name of the data set, first part of its files' names (images).")
    source_dir: str | None = option(None, "flowers: folder of the photos, instead of the download.")
    archive_path: str | None = option(None, "flowers: .tgz or .zip of the photos, instead of the download.")
    archive_sha256: str | None = option(None, "flowers: SHA-256 that the archive must have.")
    download_url: str | None = option(None, "flowers: where to download the archive.")
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
    seed: int = option(0, "Of the split, the order and the drawn images.", minimum=0)
    num_shards: int = option(0, "Files of each split; 0: as many as the size asks for.", minimum=0, maximum=99999)
    num_threads: int = option(0, "Images converted in parallel; 0: one for each core.", minimum=0)
    overwrite: bool = option(False, "Replace the data set that is in --dataset_dir.")

    def __post_init__(self):
        if not self.dataset_name or not self.dataset_dir:
            missing = "dataset_dir" if self.dataset_name else "dataset_name"
            raise FlagError(f"--{missing} is missing; data sets: {', '.join(CONVERTERS)}")
        if self.dataset_name not in CONVERTERS:
            raise FlagError(suggest.unknown("data set", self.dataset_name, CONVERTERS))
        if self.validation_fraction is not None and self.validation_count is not None:
            raise FlagError("--validation_fraction and --validation_count exclude each other; give one of them")


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

    make_source = importlib.import_module(CONVERTERS[name]).source
    shared = {field.name for field in dataclasses.fields(writer.WriteOptions)}
    write_options = writer.WriteOptions(**{key: value for key, value in options.items() if key in shared})
    own = _own_options(name, make_source, dataset_dir, options, shared)
    return writer.write(make_source(**own), dataset_dir, write_options)


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
