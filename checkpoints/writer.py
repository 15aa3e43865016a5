"""Saves checkpoints so that a process killed at any moment leaves the state before the save or the state after it.

The order of a save: all tensors go to files under a temporary name; the data file gets its final name, then the index,
which makes the checkpoint exist; then the `checkpoint` state file names it; then what is too old goes. Temporary names
carry the step, so that the next save recognises and removes what a killed one left.

The files are those of `tf.compat.v1.train.Saver` (V2): `model.ckpt-STEP.index`, `model.ckpt-STEP.data-00000-of-00001`.
"""

import contextlib
import os
import re
import uuid
from collections.abc import Collection, Mapping
from typing import Any

import tensorflow as tf
from absl import logging

from checkpoints import folders
from common.errors import UserError

gfile = tf.io.gfile

NAME = "model.ckpt"
_DATA = ".data-00000-of-00001"
_TEMPORARY = re.compile(rf"^\.{re.escape(NAME)}-(\d+)\.tmp-[0-9a-f]{{8}}(\.index|\.index\..*|\.data-.*)$")
_STATE_TEMPORARY = re.compile(rf"^\.{folders.STATE_FILE}\.tmp-[0-9a-f]{{8}}$")
_COPY = re.compile(rf"^({re.escape(NAME)}-\d+\.previous)\.(index|data-.*)$")
_OWN = re.compile(rf"^{re.escape(NAME)}-\d+(\.previous)?$")


def latest(folder: str | os.PathLike[str]) -> str | None:
    """Returns the prefix of the newest complete checkpoint in a run's folder, None where there is none (or no folder).

    The state file's current one, else the one with the highest step in its name.
    """
    return folders.newest(os.path.expanduser(folder))


def save(folder: str | os.PathLike[str], step: int, tensors: Mapping[str, Any], keep: int = 5) -> str:
    """Saves `FOLDER/model.ckpt-STEP` and deletes the oldest checkpoints beyond `keep`.

    A checkpoint of the same step with the same content is left as it is; one with other content is replaced.

    Args:
        folder: made where it is not there.
        step: global step; saved as `global_step` (int64) too where `tensors` does not have it.
        tensors: name -> tensor, variable or array.
        keep: number of checkpoints to keep, of those that the state file lists; 0 keeps all.

    Returns:
        The prefix of the checkpoint.

    Raises:
        UserError: the folder cannot be written, or the disk is full. What was there stays.
    """
    folder = os.path.expanduser(folder).rstrip("/") or "."
    prefix = os.path.join(folder, f"{NAME}-{step}")
    temporary = os.path.join(folder, f".{NAME}-{step}.tmp-{uuid.uuid4().hex[:8]}")
    try:
        gfile.makedirs(folder)
        _clean(folder)
        _write(temporary, {"global_step": tf.constant(step, tf.int64), **tensors})
        if _same(temporary, prefix):
            _remove(f"{temporary}{_DATA}", f"{temporary}.index")
        else:
            _publish(folder, temporary, prefix)
        kept, old = _sort_out(folder, prefix, keep)
        _write_state(folder, [*old, *kept])
    except (tf.errors.OpError, OSError) as error:
        _discard(temporary)
        raise _failure(prefix, error) from None
    try:
        _prune(folder, old, kept)
    except (tf.errors.OpError, OSError) as error:
        logging.warning("An old checkpoint in %s could not be deleted: %s", folder, error)
    return prefix


def write(prefix: str, tensors: Mapping[str, Any], overwrite: bool = False) -> None:
    """Writes one checkpoint under any name, whole or not at all; no state file, and nothing else is deleted.

    Args:
        prefix: its folder is made where it is not there.
        tensors: name -> tensor, variable or array.
        overwrite: replace a checkpoint of that name. It goes when the new one is wholly on the disk.

    Raises:
        UserError: there is one and it is not to be replaced, the folder cannot be written, or the disk is full.
    """
    folder, base = os.path.split(prefix)
    folder = folder or "."
    temporary, aside = (os.path.join(folder, f".{base}.tmp-{uuid.uuid4().hex[:8]}") for _ in range(2))
    try:
        gfile.makedirs(folder)
        old = sorted(parts(prefix), key=lambda name: not name.endswith(".index"))
        if old and not overwrite:
            raise UserError(f"{prefix} is there already ({', '.join(old)}): add --overwrite, or give another name")
        _write(temporary, tensors)
        for name in old:  # the index first: with it the old one stops existing
            gfile.rename(os.path.join(folder, name), aside + name.removeprefix(base))
        gfile.rename(f"{temporary}{_DATA}", f"{prefix}{_DATA}")
        gfile.rename(f"{temporary}.index", f"{prefix}.index")
        _sync(folder)
        _remove(*(aside + name.removeprefix(base) for name in old))
    except (tf.errors.OpError, OSError) as error:
        _discard(temporary)
        raise _failure(prefix, error) from None


def is_own(prefix: str) -> bool:
    """Whether a checkpoint has the name that `save` gives: `model.ckpt-STEP`."""
    return bool(_OWN.match(os.path.basename(prefix)))


def parts(prefix: str) -> list[str]:
    """Names of the files of a checkpoint."""
    folder, base = os.path.split(prefix)
    return [name for name in folders.listing(folder or ".") if _belongs(name, base) or name == f"{base}.index"]


def remove(folder: str, prefixes: Collection[str]) -> None:
    """Deletes checkpoints of a run's folder, and only then takes them off the state file.

    Args:
        folder: the run's.
        prefixes: checkpoints in it; not its newest.

    Raises:
        UserError: one cannot be deleted.
        ValueError: the newest is among them.
    """
    newest = folders.newest(folder)
    if newest in prefixes:
        raise ValueError(f"{newest} is the newest checkpoint")
    listed = _listed(folder)
    try:
        for prefix in prefixes:
            _remove_checkpoint(prefix)
        if left := [path for path in listed if path not in prefixes]:
            _write_state(folder, left)
    except (tf.errors.OpError, OSError) as error:
        raise UserError(f"cannot delete a checkpoint in {folder}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    text = " ".join((getattr(error, "message", None) or str(error)).split())
    return text.split("}} ", 1)[-1].removesuffix(" [Op:SaveV2]")


def _failure(prefix: str, error: Exception) -> UserError:
    return UserError(f"cannot save the checkpoint {prefix}: {_reason(error)}; free space or give another folder")


def _write(prefix: str, tensors: Mapping[str, Any]) -> None:
    with tf.init_scope(), tf.device("cpu:0"):
        tf.raw_ops.SaveV2(
            prefix=prefix,
            tensor_names=list(tensors),
            shape_and_slices=[""] * len(tensors),
            tensors=[tf.convert_to_tensor(value) for value in tensors.values()],
        )
    _sync(f"{prefix}{_DATA}")
    _sync(f"{prefix}.index")


def _same(temporary: str, prefix: str) -> bool:
    """Whether the checkpoint is there already: an index holds the checksum of every tensor."""
    if not all(gfile.exists(prefix + end) for end in (".index", _DATA)):
        return False
    sizes = [gfile.stat(path + _DATA).length for path in (temporary, prefix)]
    return sizes[0] == sizes[1] and _bytes(f"{temporary}.index") == _bytes(f"{prefix}.index")


def _publish(folder: str, temporary: str, prefix: str) -> None:
    replaced = None if folders.missing_files(prefix) else _set_aside(folder, prefix)
    gfile.rename(f"{temporary}{_DATA}", f"{prefix}{_DATA}", overwrite=True)
    gfile.rename(f"{temporary}.index", f"{prefix}.index", overwrite=True)
    _sync(folder)
    if replaced:
        _make_current(folder, prefix, instead_of=replaced)
        _remove_checkpoint(replaced)


def _set_aside(folder: str, prefix: str) -> str:
    """Copies a checkpoint that is to be replaced, makes the copy the current one, and deletes the original."""
    copy = f"{prefix}.previous"
    _make_current(folder, prefix, instead_of=copy)
    _remove_checkpoint(copy)
    names = [name for name in folders.listing(folder) if name.startswith(os.path.basename(prefix) + ".data-")]
    for name in names:
        end = name.removeprefix(os.path.basename(prefix))
        gfile.copy(prefix + end, copy + end, overwrite=True)
    partial = os.path.join(folder, f".{os.path.basename(prefix)}.tmp-{uuid.uuid4().hex[:8]}.index")
    gfile.copy(f"{prefix}.index", partial, overwrite=True)
    gfile.rename(partial, f"{copy}.index", overwrite=True)
    _make_current(folder, copy, instead_of=prefix)
    _remove_checkpoint(prefix)
    return copy


def _make_current(folder: str, prefix: str, instead_of: str) -> None:
    others = [path for path in _listed(folder) if path not in (prefix, instead_of)]
    _write_state(folder, [*others, prefix])


def _listed(folder: str) -> list[str]:
    """The checkpoints in the state file that are in this folder, oldest first."""
    return [path for path in folders.in_state_file(folder) if os.path.dirname(path) == folder]


def _sort_out(folder: str, prefix: str, keep: int) -> tuple[list[str], list[str]]:
    """Returns the checkpoints to keep, oldest first, and those to delete.

    Only what the state file lists is ever deleted, and what a killed save left between the last one listed and this.
    """
    listed = [path for path in _listed(folder) if path != prefix]
    after, before = (folders.step_of(listed[-1]) if listed else None), folders.step_of(prefix)
    if after is not None:
        own = [path for path in folders.complete(folder) if _OWN.match(os.path.basename(path))]
        listed += [path for path in own if after < folders.step_of(path) < before and path not in listed]
    everything = [*listed, prefix]
    kept = everything[-keep:] if keep > 0 else everything
    return kept, [path for path in everything if path not in kept and _OWN.match(os.path.basename(path))]


def _write_state(folder: str, prefixes: list[str]) -> None:
    """Writes the `checkpoint` file, the last of `prefixes` being the current one; paths are relative."""
    names = [os.path.basename(prefix) for prefix in prefixes]
    lines = [f'model_checkpoint_path: "{names[-1]}"', *[f'all_model_checkpoint_paths: "{name}"' for name in names]]
    temporary = os.path.join(folder, f".{folders.STATE_FILE}.tmp-{uuid.uuid4().hex[:8]}")
    with gfile.GFile(temporary, "w") as file:
        file.write("\n".join(lines) + "\n")
    _sync(temporary)
    gfile.rename(temporary, os.path.join(folder, folders.STATE_FILE), overwrite=True)
    _sync(folder)


def _prune(folder: str, old: list[str], kept: list[str]) -> None:
    """Deletes the old checkpoints, and only then forgets them: the save after a killed one still knows them."""
    for prefix in old:
        _remove_checkpoint(prefix)
    if old:
        _write_state(folder, kept)


def _remove_checkpoint(prefix: str) -> None:
    """Deletes a checkpoint: it stops existing with its index, which waits under a temporary name until all is gone."""
    folder, step = os.path.dirname(prefix), folders.step_of(prefix)
    tombstone = os.path.join(folder, f".{NAME}-{step}.tmp-{uuid.uuid4().hex[:8]}.index")
    if gfile.exists(f"{prefix}.index"):
        gfile.rename(f"{prefix}.index", tombstone, overwrite=True)
    _remove(*(os.path.join(folder, name) for name in parts(prefix)), tombstone)


def _belongs(name: str, base: str) -> bool:
    match = folders.DATA_FILE.match(name)
    return name in (base, f"{base}.meta") or bool(match and match["prefix"] == base)


def _clean(folder: str) -> None:
    """Removes what killed saves left: temporary files, and data files whose index never came or is gone already."""
    names = folders.listing(folder)
    temporaries = {name: match for name in names if (match := _TEMPORARY.match(name))}
    dead = {f"{NAME}-{match[1]}" for match in temporaries.values() if match[2] == ".index"}
    for base in dead:
        if f"{base}.index" not in names and not folders.is_v1(os.path.join(folder, base)):
            _remove(*(os.path.join(folder, part) for part in names if _belongs(part, base)))
    current = {os.path.basename(path) for path in _listed(folder)}
    copies = {match[1] for name in names if (match := _COPY.match(name))}
    for base in copies - current:
        _remove_checkpoint(os.path.join(folder, base))
    # The indices last: they are what tells that their data files are rubbish.
    for name in sorted(temporaries, key=lambda name: name.endswith(".index")):
        _remove(os.path.join(folder, name))
    _remove(*(os.path.join(folder, name) for name in names if _STATE_TEMPORARY.match(name)))


def _discard(temporary: str) -> None:
    with contextlib.suppress(tf.errors.OpError, OSError):  # the error that led here says more
        if gfile.exists(f"{temporary}.index") and not gfile.exists(f"{temporary}{_DATA}"):
            return  # the data file has its final name already: the next save finds it by this index
        folder, base = os.path.split(temporary)
        _remove(*(os.path.join(folder, name) for name in folders.listing(folder) if name.startswith(base)))


def _remove(*paths: str) -> None:
    for path in paths:
        if gfile.exists(path):
            gfile.remove(path)


def _bytes(path: str) -> bytes:
    with gfile.GFile(path, "rb") as file:
        return file.read()


def _sync(path: str) -> None:
    """Makes sure that a local file or folder is on the disk, so that a power cut cannot reorder what we did."""
    if "://" in path:
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
