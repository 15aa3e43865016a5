"""The folder that a conversion writes into: whether it may, and how what it wrote gets into place.

Everything is written into a hidden folder inside, and renamed when all is complete, `dataset.json` last. As long as the
hidden folder is there and `dataset.json` is not, readers take the data set for unfinished (`folders.check_readable`).
Before the first file is touched, the hidden folder gets a list of all that will be: by it the next conversion finds
what one that was killed meanwhile left, of the data set before and of the new one, and removes it.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import time
import uuid
from collections.abc import Mapping
from typing import Any

from absl import logging

from common.errors import UserError
from common.files import write_json
from datasets import dataset_utils, doctor, folders, index, shards
from datasets.planning import WriteOptions
from datasets.sources import Source

_TOUCHED = "touched.json"  # in a staging folder: the files that `publish` removes or puts into place
_AT_WORK_SECONDS = 600.0  # a conversion on another machine that wrote nothing for so long is taken for dead


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
    names, unfinished = folders.listed(dataset_dir), folders.unfinished(dataset_dir)
    for path in (os.path.join(dataset_dir, name) for name in unfinished):
        if _is_at_work(path):
            raise UserError(
                f"another conversion is writing into {dataset_dir}; wait for it, name another --dataset_dir or, "
                f"if there is none, remove {path}"
            )
    if folders.DATASET_JSON in names and not overwrite:
        return _existing(dataset_dir, source.name, made_from)
    ours = old_files(dataset_dir, source) | _half_published(dataset_dir)
    others = sorted(name for name in names if shards.parse_name(name) and name not in ours)
    if others:
        raise UserError(
            f"{dataset_dir} holds TFRecord files of other data ({others[0]}), which would be mixed with the new ones; "
            "name another --dataset_dir"
        )
    if ours and not (overwrite or unfinished):
        if source.trusts_files and dataset_utils.has_labels(dataset_dir) and _is_plain(made_from):
            _check_whole(dataset_dir)
            return {"name": source.name}
        raise UserError(
            f"{dataset_dir} already holds TFRecord files of a data set {source.name!r} ({min(ours)}); --overwrite "
            "replaces them, or name another --dataset_dir"
        )
    return None


def _is_plain(made_from: Mapping[str, Any]) -> bool:
    """Whether the options are those by default, which is what files of another maker can be the answer to."""
    return {**made_from, "source": None} == {**WriteOptions().identity(), "source": None}


def _check_whole(dataset_dir: str) -> None:
    """Fails where the files of a data set without dataset.json are not all there, or one of them is cut or empty."""
    for names in folders.named_splits(dataset_dir).values():
        shards.check_complete(names, dataset_dir)
        found = [shards.scan(os.path.join(dataset_dir, name)) for name in names]
        empty, examples = [shard.path for shard in found if not shard.examples], sum(shard.examples for shard in found)
        if empty and (not examples or examples >= len(found)):  # else there are too few for all files
            raise UserError(f"{empty[0]} has no records; --overwrite makes the data set anew")


def staging_path(dataset_dir: str) -> str:
    """Returns the path of a new folder for what is being written; its name tells by which process."""
    return os.path.join(dataset_dir, f"{folders.STAGING}{_host()}-{os.getpid()}-{uuid.uuid4().hex[:8]}")


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname())


def clear_unfinished(dataset_dir: str, keep: str) -> None:
    """Removes what killed conversions left; `keep` is the folder of the one at work."""
    for file in _half_published(dataset_dir):
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(dataset_dir, file))
    for name in folders.unfinished(dataset_dir):
        if os.path.join(dataset_dir, name) != keep:
            shutil.rmtree(os.path.join(dataset_dir, name), ignore_errors=True)


def is_half_published(staging: str, dataset_dir: str) -> bool:
    """Returns whether `publish` began with a staging folder and did not come to its end."""
    return not os.path.exists(os.path.join(dataset_dir, folders.DATASET_JSON)) and os.path.exists(
        os.path.join(staging, _TOUCHED)
    )


def _half_published(dataset_dir: str) -> set[str]:
    """The files of a data set that killed conversions were about to remove or had put into place."""
    touched: set[str] = set()
    for name in folders.unfinished(dataset_dir):
        staging = os.path.join(dataset_dir, name)
        if is_half_published(staging, dataset_dir):
            with open(os.path.join(staging, _TOUCHED), encoding="utf-8") as file:
                touched.update(json.load(file))
    return {file for file in touched if not os.path.isabs(file) and os.pardir not in file.split(os.sep)}


def _is_at_work(path: str) -> bool:
    host, process = (os.path.basename(path).removeprefix(folders.STAGING).rsplit("-", 2) + ["", ""])[:2]
    if host != _host() or not process.isdigit() or os.name != "posix":
        # It cannot be asked. One at work writes all the time.
        newest = max(entry.stat().st_mtime for entry in [*pathlib.Path(path).iterdir(), pathlib.Path(path)])
        return time.time() - newest < _AT_WORK_SECONDS
    if int(process) == os.getpid():
        return False  # this one's own, from a call that failed
    try:
        os.kill(int(process), 0)  # asks only
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def old_files(dataset_dir: str, source: Source) -> set[str]:
    """Returns the files of the data set in a folder: those that its dataset.json lists, else `source`'s shards."""
    try:
        description = folders.read_description(dataset_dir)
    except UserError:
        description = None  # damaged; it is about to be replaced
    if description is None:
        return {file for file in folders.listed(dataset_dir) if source.owns(file)}
    names = {os.path.basename(file["name"]) for entry in description["splits"].values() for file in entry["files"]}
    return names | {f"{split}{index.LIST_SUFFIX}" for split in description["splits"]} | {doctor.REPORT}


def _existing(dataset_dir: str, name: str, made_from: Mapping[str, Any]) -> dict[str, Any] | None:
    """The description there, if it is of the same data; None if it is, but files of it are missing."""
    description = folders.read_description(dataset_dir)
    before = description.get("made_from", {})
    if description["name"] != name or before != json.loads(json.dumps(made_from)):
        both = {**made_from, **before}
        changed = [key for key in both if key != "source" and before.get(key) != made_from.get(key)]
        what = f"with other options ({', '.join(f'--{key}' for key in changed)})" if changed else "from other images"
        raise UserError(
            f"{dataset_dir} already holds data set {description['name']!r}, made {what}; "
            "--overwrite replaces it, or name another --dataset_dir"
        )
    try:
        for split in description["splits"]:
            folders.described_split(dataset_dir, description, split)
    except UserError as error:
        logging.warning("%s: converting again.", error)
        return None
    return description


def publish(staging: str, dataset_dir: str, source: Source) -> None:
    """Moves the files of `staging` to their places, dataset.json last, and removes those of the data set before.

    Until it is done there is no dataset.json, and `staging` is there, which readers take for a conversion that did not
    finish (`check_readable`).
    """
    new = [
        os.path.relpath(os.path.join(folder, file), staging) for folder, _, files in os.walk(staging) for file in files
    ]
    old = old_files(dataset_dir, source)
    write_json(os.path.join(staging, _TOUCHED), sorted(old | set(new) - {folders.DATASET_JSON}))
    for file in [folders.DATASET_JSON, *sorted(old - set(new))]:
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(dataset_dir, file))
    for file in sorted(new, key=lambda file: (file == folders.DATASET_JSON, file)):
        target = os.path.join(dataset_dir, file)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.replace(os.path.join(staging, file), target)
