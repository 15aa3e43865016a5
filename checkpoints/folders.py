"""Checkpoints in a folder: which are complete, which is the newest, the `checkpoint` state file.

A V2 checkpoint with prefix P is the files P.index and P.data-00000-of-0000N ... (all N of them); a V1 checkpoint is the
one file P. Works on local paths and on whatever else `tf.io.gfile` opens.
"""

import os
import re

import tensorflow as tf

gfile = tf.io.gfile

STATE_FILE = "checkpoint"
DATA_FILE = re.compile(r"^(?P<prefix>.+)\.data-(?P<shard>\d{5})-of-(?P<count>\d{5})$")
_STEP = re.compile(r"-(\d+)(?:\.previous)?$")
_TABLE_MAGIC = bytes.fromhex("57fb808b247547db")  # the last 8 bytes of a V1 checkpoint and of a V2 index
_SIDE_FILE = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5}|pb|pbtxt|tflite|json|txt|md|gz|tgz|tar|zip|h5|keras|tmp)$")


def listing(folder: str) -> list[str]:
    """Names in a folder, sorted; none where there is no such folder."""
    if not gfile.isdir(folder):
        return []
    return sorted(name.rstrip("/") for name in gfile.listdir(folder))


def missing_files(prefix: str, names: list[str] | None = None) -> list[str]:
    """Names of the files that the V2 checkpoint `prefix` lacks; [] where it is complete.

    Args:
        prefix: folder and file prefix.
        names: `listing` of its folder, where the caller has it.
    """
    folder, base = os.path.split(prefix)
    names = listing(folder or ".") if names is None else names
    shards: dict[int, set[int]] = {}
    for name in names:
        match = DATA_FILE.match(name)
        if match and match["prefix"] == base:
            shards.setdefault(int(match["count"]), set()).add(int(match["shard"]))
    missing = [] if f"{base}.index" in names else [f"{base}.index"]
    if any(len(found) == count for count, found in shards.items()):
        return missing
    count, found = max(shards.items(), key=lambda item: len(item[1]), default=(1, set()))
    return missing + [f"{base}.data-{i:05d}-of-{count:05d}" for i in range(count) if i not in found]


def has_table_magic(path: str) -> bool:
    """Whether a file ends as a V1 checkpoint and a V2 index do; a cut-off one does not."""
    size = gfile.stat(path).length
    if size < len(_TABLE_MAGIC):
        return False
    with gfile.GFile(path, "rb") as file:
        file.seek(size - len(_TABLE_MAGIC))
        return file.read(len(_TABLE_MAGIC)) == _TABLE_MAGIC


def is_file(path: str) -> bool:
    """Whether `path` is there and no folder."""
    return gfile.exists(path) and not gfile.isdir(path)


def is_v1(path: str) -> bool:
    """Whether `path` is a whole V1 checkpoint (one file with this very name)."""
    return not _SIDE_FILE.search(path) and is_file(path) and has_table_magic(path)


def is_complete(prefix: str, names: list[str] | None = None) -> bool:
    """Whether a V2 checkpoint with all its files, or a V1 checkpoint, is there."""
    return not missing_files(prefix, names) or is_v1(prefix)


def step_of(prefix: str) -> int | None:
    """The step in a checkpoint's name: 20 of `model.ckpt-20`; None where it has none."""
    match = _STEP.search(prefix)
    return int(match[1]) if match else None


def in_state_file(folder: str) -> list[str]:
    """Complete checkpoints that the folder's `checkpoint` file lists, the current one last.

    Paths in it may be relative, or absolute from before the folder was moved or copied.
    """
    try:
        state = tf.train.get_checkpoint_state(folder)
    except (ValueError, tf.errors.OpError):  # not text at all
        state = None
    if state is None:
        return []
    names = listing(folder)
    found: dict[str, None] = {}
    for path in [*state.all_model_checkpoint_paths, state.model_checkpoint_path]:
        here = os.path.join(folder, os.path.basename(path))
        for prefix in dict.fromkeys((here, path)):  # here first: the folder may be a copy
            if is_complete(prefix, names if prefix == here else None):
                found.pop(prefix, None)
                found[prefix] = None
                break
    return list(found)


def current_is_missing(folder: str) -> str | None:
    """The checkpoint that the state file calls current, where it is not (wholly) there; else None."""
    try:
        state = tf.train.get_checkpoint_state(folder)
    except (ValueError, tf.errors.OpError):
        return None
    if state is None or not state.model_checkpoint_path:
        return None
    name = os.path.basename(state.model_checkpoint_path)
    listed = in_state_file(folder)
    return None if listed and os.path.basename(listed[-1]) == name else name


def complete(folder: str) -> list[str]:
    """All complete checkpoints of a folder, those without a step in their name first, then by step."""
    names = listing(folder)
    bases = {name.removesuffix(".index") for name in names if name.endswith(".index")}
    prefixes = [os.path.join(folder, base) for base in bases if not base.startswith(".")]
    found = [prefix for prefix in prefixes if not missing_files(prefix, names)]
    found += [
        os.path.join(folder, name)
        for name in names
        if ".ckpt" in name and not name.startswith(".") and is_v1(os.path.join(folder, name))
    ]
    return sorted(found, key=lambda prefix: (-1 if (step := step_of(prefix)) is None else step, prefix))


def newest(folder: str) -> str | None:
    """The folder's newest complete checkpoint: the state file's, else that of the highest step; None where none is.

    Checkpoints without a step in their name count only where the state file lists them: nothing says which is newer.
    """
    listed = in_state_file(folder)
    if listed:
        return listed[-1]
    with_step = [prefix for prefix in complete(folder) if step_of(prefix) is not None]
    return with_step[-1] if with_step else None
