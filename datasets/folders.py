"""A data set's folder and what it says of itself.

A folder describes itself by our converter's `dataset.json`, or, made by Slim, by its files' names and `labels.txt`.
"""

import itertools
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from concurrent import futures
from typing import Any, NamedTuple

from common.errors import UserError
from datasets import filesystem, shards
from datasets.image_headers import sniff
from datasets.shards import Shard

DATASET_JSON = "dataset.json"
VERSION = 1  # of the format of dataset.json
_REQUIRED = {"name", "num_classes", "class_names", "channels", "splits", "made_from"}
_WAITERS = 8  # threads for the waiting on a disk or a network, not for the cores
STAGING = ".converting-"  # first part of the name of a folder for what is not complete (`datasets.targets`)


class Split(NamedTuple):
    """One split as it lies on disk.

    Attributes:
        files: paths, sorted.
        examples: in all files.
        bytes: of all files.
        fingerprint: hex digest of the files' names, sizes and content.
        file_examples: examples of each of the files.
        class_examples: examples of each class; None where nobody counted them.
    """

    files: tuple[str, ...]
    examples: int
    bytes: int
    fingerprint: str
    file_examples: tuple[int, ...]
    class_examples: tuple[int, ...] | None = None


def split_entry(files: Sequence[Shard], **more: Any) -> dict[str, Any]:
    """Returns what dataset.json says of a split."""
    described = [
        {"name": os.path.basename(file.path), "examples": file.examples, "bytes": file.bytes, "digest": file.digest}
        for file in files
    ]
    return {
        "examples": sum(file.examples for file in files),
        "bytes": sum(file.bytes for file in files),
        "fingerprint": shards.fingerprint(files),
        **more,
        "files": described,
    }


def read_description(folder: str) -> dict[str, Any] | None:
    """Returns the content of dataset.json, None where there is none.

    Raises:
        UserError: it is damaged, or written by a later version.
    """
    path = os.path.join(folder, DATASET_JSON)
    try:
        description = json.loads(filesystem.read_text(path))
        version = description["version"]
        if version == VERSION and (missing := _REQUIRED - description.keys()):
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}); convert the data set again with --overwrite") from error
    if version != VERSION:
        raise UserError(f"{path} is of version {version}, this software reads {VERSION}; update it")
    return description


def described_split(folder: str, description: Mapping[str, Any], split: str) -> Split:
    """Returns a split that dataset.json describes, after a look at its files' sizes."""
    entry = description["splits"][split]
    files = sorted((os.path.join(folder, file["name"]), file["bytes"], file["examples"]) for file in entry["files"])
    with futures.ThreadPoolExecutor(_WAITERS) as pool:
        sizes = list(pool.map(_size, [path for path, *_ in files]))
    for (path, expected, _), size in zip(files, sizes, strict=True):
        if size is None:
            raise UserError(f"{path} is missing; copy or convert the data set again (--overwrite)")
        if size != expected:
            raise UserError(
                f"{path} has {size} bytes, {DATASET_JSON} says {expected}; "
                "copy or convert the data set again (--overwrite)"
            )
    counted = entry.get("examples_per_class")
    return Split(
        files=tuple(path for path, *_ in files),
        examples=entry["examples"],
        bytes=entry["bytes"],
        fingerprint=entry["fingerprint"],
        file_examples=tuple(examples for *_, examples in files),
        class_examples=tuple(counted) if counted else None,
    )


def _size(path: str) -> int | None:
    """Bytes of a file; None where there is none."""
    try:
        return filesystem.status(path).size
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def scanned_split(paths: Sequence[str]) -> Split:
    """Returns a split by walking its files."""
    with futures.ThreadPoolExecutor(_WAITERS) as pool:
        found = list(pool.map(shards.scan, sorted(paths)))
    return Split(
        tuple(shard.path for shard in found),
        sum(shard.examples for shard in found),
        sum(shard.bytes for shard in found),
        shards.fingerprint(found),
        tuple(shard.examples for shard in found),
    )


def named_splits(folder: str) -> dict[str, list[str]]:
    """Returns the splits that the names of the folder's files say: split -> file names."""
    result: dict[str, list[str]] = {}
    for name in sorted(listed(folder)):
        parsed = shards.parse_name(name)
        # On a network each look costs time, and no folder is named like a shard.
        if parsed and (filesystem.is_remote(folder) or os.path.isfile(os.path.join(folder, name))):
            result.setdefault(parsed.split, []).append(name)
    return result


def unfinished(folder: str) -> list[str]:
    """Returns the names of folders of conversions that are at work or were killed."""
    return [name for name in listed(folder) if name.startswith(STAGING)]


def listed(folder: str) -> list[str]:
    """Returns the names of what is in a folder; nothing if there is no folder."""
    try:
        return filesystem.names_in(folder) if filesystem.is_folder(folder) else []
    except OSError as error:
        raise UserError(f"cannot read {folder}: {error.strerror}") from error


def check_readable(folder: str, any_content: bool = False) -> None:
    """Fails for a folder that holds no finished data set; says how to make one from a folder of photos.

    Args:
        folder: the folder.
        any_content: whether it is enough that there is the folder.

    Raises:
        UserError: no such folder, empty, an unfinished conversion, or without TFRecords.
    """
    if not filesystem.is_folder(folder):
        raise UserError(f"no folder {folder}: --dataset_dir names the folder with the TFRecords")
    names = listed(folder)
    if any_content or DATASET_JSON in names:
        return
    if unfinished(folder):
        raise UserError(f"{folder} holds a conversion that did not finish; run download_and_convert_data.py again")
    if named_splits(folder):
        return
    if not filesystem.is_remote(folder) and any(_is_class_folder(os.path.join(folder, name)) for name in names):
        target = os.path.normpath(folder) + "_tfrecords"
        raise UserError(
            f"{folder} holds class folders of images, not TFRecords; convert them first: "
            f"python download_and_convert_data.py --dataset_name=image_folder --image_dir={shlex.quote(folder)} "
            f"--dataset_dir={shlex.quote(target)}"
        )
    raise UserError(
        f"{folder} {'has no TFRecord files' if names else 'is empty'}: --dataset_dir names the folder that "
        "download_and_convert_data.py wrote"
    )


def _is_class_folder(path: str, depth: int = 2) -> bool:
    """Whether a folder holds images, in itself or a level below; looks at a few files only."""
    if not os.path.isdir(path) or os.path.basename(path).startswith("."):
        return False
    try:
        with os.scandir(path) as entries:
            few = list(itertools.islice(entries, 20))
        return any(
            _is_image(entry.path) if entry.is_file() else depth > 1 and _is_class_folder(entry.path, depth - 1)
            for entry in few
        )
    except OSError:
        return False


def _is_image(path: str) -> bool:
    with open(path, "rb") as file:
        return sniff(file.read(32)) not in (None, "html", "pdf", "zip")
