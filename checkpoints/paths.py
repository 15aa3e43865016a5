"""From what a user calls "the checkpoint" to its prefix."""

import os
import re

import tensorflow as tf
from absl import logging

from checkpoints import archives, folders, foreign, zoo
from common.errors import UserError
from common.suggest import near_matches

gfile = tf.io.gfile

_OF_STEP = re.compile(r"^(?P<folder>.+?)/*@(?P<step>\d+)$")


def resolve(path: str | os.PathLike[str]) -> str:
    """Returns the prefix of the checkpoint that `path` means.

    Args:
        path: a prefix; one of its files (`.index`, `.data-*`, `.meta`); a folder (its newest complete checkpoint, or
          with `FOLDER@STEP` that of a step) or its `checkpoint` file; a `.tar.gz`, `.tgz` or `.tar` file
          (`ARCHIVE/INNER` where it holds several checkpoints); a V1 checkpoint's single file; or `zoo:NAME`, a
          published checkpoint (see `zoo`). `~` is expanded; `gs://` and the like work where TensorFlow can open them.

    Raises:
        UserError: nothing there, a part of a checkpoint, or something else.
    """
    path = expand(path)
    try:
        return _resolve(path)
    except tf.errors.PermissionDeniedError:
        raise UserError(f"{path} cannot be read: permission denied") from None
    except tf.errors.OpError as error:
        raise UserError(f"{path} cannot be read: {error.message}") from None


def expand(path: str | os.PathLike[str]) -> str:
    """Returns a path with `~` replaced and without a slash at its end; for `zoo:NAME` that of the fetched archive.

    Raises:
        UserError: it is empty, or the published checkpoint cannot be had.
    """
    path = os.fspath(path)
    path = zoo.archive_of(path) if zoo.is_zoo(path) else os.path.expanduser(path)
    path = path.rstrip("/") or path
    if not path:
        raise UserError("the path of the checkpoint is empty")
    return path


def split_step(path: str) -> tuple[str, int | None]:
    """Splits `FOLDER@STEP` into the folder and the step; a path that is something else comes back with None."""
    match = _OF_STEP.match(path)
    if match and not gfile.exists(path) and gfile.isdir(match["folder"]):
        return match["folder"], int(match["step"])
    return path, None


def _resolve(path: str) -> str:
    if gfile.isdir(path):
        return _in_folder(path)
    folder, step = split_step(path)
    if step is not None:
        return _of_step(folder, step)
    archive = archives.split(path)
    if archive:
        return _in_archive(*archive)
    folder, name = os.path.split(path)
    if name == folders.STATE_FILE and gfile.exists(path):
        return _in_folder(folder or ".")
    return _at_prefix(_prefix_of(path), path)


def _prefix_of(path: str) -> str:
    match = folders.DATA_FILE.match(path)
    if match:
        return match["prefix"]
    for suffix in (".index", ".meta"):
        if path.endswith(suffix):
            return path.removesuffix(suffix)
    return path


def _at_prefix(prefix: str, path: str) -> str:
    missing = folders.missing_files(prefix)
    base = os.path.basename(prefix)
    if not missing:
        index = f"{prefix}.index"
        if not folders.has_table_magic(index):
            raise UserError(f"{index} {foreign.describe(index)}; copy or fetch the checkpoint again")
        return prefix
    if folders.is_file(prefix):
        if folders.has_table_magic(prefix):
            return prefix
        raise UserError(f"{prefix} {foreign.describe(prefix)}; {foreign.advice(prefix)}")
    wanted = {name for name in folders.listing(os.path.dirname(prefix) or ".") if name.startswith(f"{base}.")}
    has_index, has_data = f"{base}.index" in wanted, any(folders.DATA_FILE.match(name) for name in wanted)
    if has_index or has_data:
        raise UserError(
            f"the checkpoint {prefix} is not whole: {', '.join(missing)} is missing beside "
            f"{f'{base}.index' if has_index else 'its data'}; copy or fetch all its files"
        )
    raise UserError(_nothing_at(path, prefix))


def _nothing_at(path: str, prefix: str) -> str:
    folder, base = os.path.split(prefix)
    folder = folder or "."
    if not gfile.isdir(folder):
        while folder not in ("", "/") and not gfile.isdir(folder):
            folder = os.path.dirname(folder)
        return f"there is no checkpoint {path}: its folder does not exist (only {folder or '.'} does)"
    present = [os.path.basename(found) for found in folders.complete(folder)]
    near = [name for name in present if name.startswith(base)] or near_matches(base, present)
    near += [name for name in folders.listing(folder) if archives.split(os.path.join(folder, name))]
    if near:
        meant = " or ".join(os.path.join(folder, name) for name in near[:3])
        return f"there is no checkpoint {path}; did you mean {meant}?"
    held = f"it holds {', '.join(present[:5])}" if present else "it holds none"
    return f"there is no checkpoint {path}, nor one of a similar name in {folder} ({held})"


def _in_folder(folder: str) -> str:
    newest = folders.newest(folder)
    if newest:
        missing = folders.current_is_missing(folder)
        if missing:
            logging.warning(
                "%s names %s, which is not (wholly) there; using %s",
                os.path.join(folder, folders.STATE_FILE),
                missing,
                newest,
            )
        return _at_prefix(newest, newest)
    found = folders.complete(folder)
    if len(found) == 1:
        return _at_prefix(found[0], found[0])
    if found:
        raise UserError(
            f"{folder} holds {len(found)} checkpoints and no word on which is newest: name one of {', '.join(found)}"
        )
    raise UserError(f"there is no checkpoint in the folder {folder}: {_what_is_in(folder)}")


def _what_is_in(folder: str) -> str:
    names = folders.listing(folder)
    parts = [name for name in names if name.endswith(".index") or folders.DATA_FILE.match(name)]
    if parts:
        prefix = os.path.join(folder, _prefix_of(parts[0]))
        return f"{prefix} is not whole, {', '.join(folders.missing_files(prefix, names))} is missing"
    tars = [os.path.join(folder, name) for name in names if archives.split(os.path.join(folder, name))]
    if tars:
        return f"give the archive in it, {' or '.join(tars)}"
    if "saved_model.pb" in names:
        return "it is a SavedModel, which is an export; give the folder of the run it was made from"
    others = [name for name in names if foreign.is_convertible(os.path.join(folder, name))]
    if others:
        path = os.path.join(folder, others[0])
        return f"it holds {others[0]}, which {foreign.describe(path)}; {foreign.advice(path)}"
    graphs = [os.path.join(folder, name) for name in names if name.endswith(".pb")]
    if graphs:
        return f"give the frozen graph in it, {' or '.join(graphs)}"
    below = [os.path.join(folder, name) for name in names if folders.complete(os.path.join(folder, name))]
    if below:
        return f"did you mean {' or '.join(below[:3])}?"
    return f"it holds {', '.join(names[:5])}" if names else "it is empty"


def _of_step(folder: str, step: int) -> str:
    """The checkpoint of a folder whose name ends in a step."""
    steps: dict[int, str] = {}
    for prefix in folders.complete(folder):
        found = folders.step_of(prefix)
        if found is not None:
            steps.setdefault(found, prefix)
    if step in steps:
        return _at_prefix(steps[step], steps[step])
    held = f"it has those of {', '.join(map(str, sorted(steps)))}" if steps else "it has none with a step in its name"
    raise UserError(f"there is no checkpoint of step {step} in {folder}: {held} (FOLDER@STEP)")


def _in_archive(archive: str, inner: str) -> str:
    if not inner:
        return archives.find(archive)
    root = archives.extract(archive)
    try:
        return _resolve(os.path.join(root, inner))
    except UserError as error:
        raise UserError(str(error).replace(root, archive)) from None
