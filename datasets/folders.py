"""A data set's folder: what it says of itself, and how a new one gets into place.

A folder describes itself by our converter's `dataset.json`, or, made by Slim, by its files' names and `labels.txt`.
"""

import contextlib
import itertools
import json
import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from concurrent import futures
from typing import Any, NamedTuple

from absl import logging

from common.errors import UserError
from datasets import shards
from datasets.image_headers import sniff
from datasets.shards import Shard
from datasets.sources import Source

DATASET_JSON = "dataset.json"
VERSION = 1  # of the format of dataset.json
STAGING = ".converting-"


class Split(NamedTuple):
    """One split as it lies on disk."""

    files: tuple[str, ...]
    examples: int
    bytes: int
    fingerprint: str


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
        with open(path, encoding="utf-8") as file:
            description = json.load(file)
        version = description["version"]
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
    for file in entry["files"]:
        path = os.path.join(folder, file["name"])
        if not os.path.isfile(path):
            raise UserError(f"{path} is missing; copy or convert the data set again (--overwrite)")
        if os.path.getsize(path) != file["bytes"]:
            raise UserError(
                f"{path} has {os.path.getsize(path)} bytes, {DATASET_JSON} says {file['bytes']}; "
                "copy or convert the data set again (--overwrite)"
            )
    files = tuple(os.path.join(folder, file["name"]) for file in entry["files"])
    return Split(tuple(sorted(files)), entry["examples"], entry["bytes"], entry["fingerprint"])


def scanned_split(paths: Sequence[str]) -> Split:
    """Returns a split by walking its files."""
    with futures.ThreadPoolExecutor(8) as pool:  # for the waiting on a disk or a network, not for the cores
        found = list(pool.map(shards.scan, sorted(paths)))
    return Split(
        tuple(shard.path for shard in found),
        sum(shard.examples for shard in found),
        sum(shard.bytes for shard in found),
        shards.fingerprint(found),
    )


def named_splits(folder: str) -> dict[str, list[str]]:
    """Returns the splits that the names of the folder's files say: split -> file names."""
    result: dict[str, list[str]] = {}
    for name in sorted(_listed(folder)):
        parsed = shards.parse_name(name)
        if parsed and os.path.isfile(os.path.join(folder, name)):
            result.setdefault(parsed.split, []).append(name)
    return result


def _listed(folder: str) -> list[str]:
    return os.listdir(folder) if os.path.isdir(folder) else []


def check_readable(folder: str) -> None:
    """Fails for a folder that holds no finished data set; says how to make one from a folder of photos.

    Raises:
        UserError: no such folder, empty, an unfinished conversion, or without TFRecords.
    """
    if not os.path.isdir(folder):
        raise UserError(f"no folder {folder}: --dataset_dir names the folder with the TFRecords")
    names = _listed(folder)
    if DATASET_JSON in names:
        return
    if any(name.startswith(STAGING) for name in names):
        raise UserError(f"{folder} holds a conversion that did not finish; run download_and_convert_data.py again")
    if named_splits(folder):
        return
    if any(_is_class_folder(os.path.join(folder, name)) for name in names):
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
    with os.scandir(path) as entries:
        few = sorted(itertools.islice(entries, 20), key=lambda entry: entry.name)
    for entry in few:
        if entry.is_file():
            with open(entry.path, "rb") as file:
                if sniff(file.read(32)) not in (None, "html", "pdf", "zip"):
                    return True
        elif depth > 1 and _is_class_folder(entry.path, depth - 1):
            return True
    return False


def check_target(
    dataset_dir: str, source: Source, made_from: Mapping[str, Any], overwrite: bool
) -> dict[str, Any] | None:
    """Decides whether a conversion may write into a folder.

    Returns:
        The description of the data set that is there, if it is just the one that would be written; None to go on.

    Raises:
        UserError: there is another data set, or files that would be mixed with the new ones.
    """
    if os.path.exists(dataset_dir) and not os.path.isdir(dataset_dir):
        raise UserError(f"--dataset_dir={dataset_dir} is a file; name a folder")
    names = _listed(dataset_dir)
    if DATASET_JSON in names and not overwrite:
        return _existing(dataset_dir, source.name, made_from)
    ours = old_files(dataset_dir, source.name)
    others = sorted(name for name in names if shards.parse_name(name) and name not in ours)
    if others:
        raise UserError(
            f"{dataset_dir} holds TFRecord files of other data ({others[0]}), which would be mixed with the new ones; "
            "name another --dataset_dir"
        )
    unfinished = any(name.startswith(STAGING) for name in names)
    if ours and not (overwrite or unfinished):
        raise UserError(
            f"{dataset_dir} already holds TFRecord files of a data set {source.name!r} ({min(ours)}); --overwrite "
            "replaces them, or name another --dataset_dir"
        )
    return None


def old_files(dataset_dir: str, name: str) -> set[str]:
    """Returns the files of the data set in a folder: those that its dataset.json lists, else the shards of `name`."""
    try:
        description = read_description(dataset_dir)
    except UserError:
        description = None  # damaged; it is about to be replaced
    if description is None:
        parsed = {file: shards.parse_name(file) for file in _listed(dataset_dir)}
        return {file for file, parts in parsed.items() if parts and parts.dataset == name}
    names = {file["name"] for entry in description["splits"].values() for file in entry["files"]}
    return names | {f"{split}_files.txt" for split in description["splits"]}


def _existing(dataset_dir: str, name: str, made_from: Mapping[str, Any]) -> dict[str, Any] | None:
    """The description there, if it is of the same data; None if it is, but files of it are missing."""
    description = read_description(dataset_dir)
    before = description.get("made_from", {})
    if description["name"] != name or before != json.loads(json.dumps(made_from)):
        changed = [key for key, value in made_from.items() if key != "source" and before.get(key) != value]
        what = f"with other options ({', '.join(f'--{key}' for key in changed)})" if changed else "from other images"
        raise UserError(
            f"{dataset_dir} already holds data set {description['name']!r}, made {what}; "
            "--overwrite replaces it, or name another --dataset_dir"
        )
    try:
        for split in description["splits"]:
            described_split(dataset_dir, description, split)
    except UserError as error:
        logging.warning("%s: converting again.", error)
        return None
    return description


def publish(staging: str, dataset_dir: str, name: str) -> None:
    """Moves the files of `staging` to their places, dataset.json last, and removes those of the data set before.

    Until it is done there is no dataset.json, and `staging` is there, which readers take for a conversion that did not
    finish (`check_readable`).
    """
    new = [
        os.path.relpath(os.path.join(folder, file), staging) for folder, _, files in os.walk(staging) for file in files
    ]
    old = old_files(dataset_dir, name)
    for file in [DATASET_JSON, *sorted(old - set(new))]:
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(dataset_dir, file))
    for file in sorted(new, key=lambda file: (file == DATASET_JSON, file)):
        target = os.path.join(dataset_dir, file)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.replace(os.path.join(staging, file), target)
    for file in _listed(dataset_dir):  # of conversions that were killed
        if file.startswith(STAGING):
            shutil.rmtree(os.path.join(dataset_dir, file), ignore_errors=True)
