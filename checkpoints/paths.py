"""From what a user calls "the checkpoint" to its prefix."""

import os

import tensorflow as tf
from absl import logging

from checkpoints import archives, folders, foreign
from common.errors import UserError
from common.suggest import near_matches

gfile = tf.io.gfile


def resolve(path: str | os.PathLike[str]) -> str:
    """Returns the prefix of the checkpoint that `path` means.

    Args:
        path: a prefix; one of its files (`.index`, `.data-*`, `.meta`); a folder (its newest complete checkpoint) or
          its `checkpoint` file; a `.tar.gz`, `.tgz` or `.tar` file (`ARCHIVE/INNER` where it holds several
          checkpoints); or a V1 checkpoint's single file. `~` is expanded; `gs://` and the like work where TensorFlow
          can open them.

    Raises:
        UserError: nothing there, a part of a checkpoint, or something else.
    """
    path = os.path.expanduser(os.fspath(path))
    path = path.rstrip("/") or path
    if not path:
        raise UserError("the path of the checkpoint is empty")
    try:
        return _resolve(path)
    except tf.errors.PermissionDeniedError:
        raise UserError(f"{path} cannot be read: permission denied") from None
    except tf.errors.OpError as error:
        raise UserError(f"{path} cannot be read: {error.message}") from None


def _resolve(path: str) -> str:
    if gfile.isdir(path):
        return _in_folder(path)
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
        kind = foreign.describe(prefix)
        raise UserError(f"{prefix} {kind}; give a TensorFlow checkpoint: prefix, folder, .tar.gz or V1 file")
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
    below = [os.path.join(folder, name) for name in names if folders.complete(os.path.join(folder, name))]
    if below:
        return f"did you mean {' or '.join(below[:3])}?"
    return f"it holds {', '.join(names[:5])}" if names else "it is empty"


def _in_archive(archive: str, inner: str) -> str:
    if not inner:
        return archives.find(archive)
    root = archives.extract(archive)
    try:
        return _resolve(os.path.join(root, inner))
    except UserError as error:
        raise UserError(str(error).replace(root, archive)) from None
