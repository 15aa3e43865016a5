"""Checkpoints inside `.tar.gz`, `.tgz` and `.tar` files, as Slim's were published."""

import errno
import os
import posixpath
import re
import shutil
import tarfile
import uuid
import zlib
from typing import BinaryIO

import tensorflow as tf
from absl import logging

from checkpoints import folders, zoo
from common.errors import UserError

_ARCHIVE = re.compile(r"\.(tar\.gz|tgz|tar)$", re.IGNORECASE)
_MEMBER = re.compile(r"(\.index|\.data-\d{5}-of-\d{5}|\.ckpt|\.ckpt-\d+|(^|/)checkpoint)$")
_CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


def split(path: str) -> tuple[str, str] | None:
    """Splits `DIR/x.tgz/INNER` into ("DIR/x.tgz", "INNER"); None where `path` has no archive in it."""
    head, inner = path, ""
    while head and head != os.path.dirname(head):
        if _ARCHIVE.search(head) and folders.is_file(head):
            return head, inner
        head, tail = os.path.split(head)
        inner = f"{tail}/{inner}" if inner else tail
    return None


def extract(archive: str) -> str:
    """Extracts the checkpoint files of an archive, once, and returns the folder that holds them.

    The folder is `ARCHIVE.extracted/KEY` beside the archive, or `~/.cache/tf_slim_checkpoints/...` where that cannot be
    written (`XDG_CACHE_HOME` moves it); KEY is made of the archive's size and time, so a replaced archive is extracted
    again. Only checkpoint files are taken, and they cannot leave the folder.

    Raises:
        UserError: a broken archive, or no place to write.
    """
    stat = tf.io.gfile.stat(archive)
    key = f"{stat.length:x}-{stat.mtime_nsec:x}"
    name = f"{os.path.basename(archive)}-{zlib.crc32(os.path.abspath(archive).encode()):08x}"
    beside = [] if "://" in archive else [os.path.join(f"{archive}.extracted", key)]
    places = [*beside, os.path.join(zoo.cache_folder(), name, key)]
    for place in places:
        if os.path.isdir(place):
            return place
    for place in places:
        try:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            _extract_to(archive, place)
        except OSError as error:
            if error.errno not in _CANNOT_WRITE:
                raise
            reason = error
            continue
        logging.info("Extracted the checkpoint of %s to %s", archive, place)
        return place
    raise UserError(f"cannot extract {archive}: {reason.strerror} ({places[-1]}); free space, or extract it yourself")


def _extract_to(archive: str, place: str) -> None:
    temporary = f"{place}.{uuid.uuid4().hex[:8]}.tmp"
    os.makedirs(temporary)
    try:
        with tf.io.gfile.GFile(archive, "rb") as file:
            names = _copy_members(archive, file, temporary)
        if not any(_is_checkpoint(name) for name in names[0]):
            held = ", ".join(names[1][:6]) or "nothing"
            raise UserError(f"{archive} holds no checkpoint (*.index and *.data-*, or *.ckpt); it holds {held}")
        os.replace(temporary, place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _is_checkpoint(name: str) -> bool:
    return posixpath.basename(name) != folders.STATE_FILE


def _copy_members(archive: str, file: BinaryIO, folder: str) -> tuple[list[str], list[str]]:
    """Copies the checkpoint files; returns their names and those of all files."""
    taken, everything = [], []
    try:
        with tarfile.open(fileobj=file, mode="r|*") as tar:
            for member in tar:
                if not member.isfile():  # links too: they could point anywhere
                    continue
                name = posixpath.normpath(member.name).lstrip("/")
                everything.append(name)
                if not _MEMBER.search(name) or ".." in name.split("/"):
                    continue
                path = os.path.join(folder, *name.split("/"))
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "wb") as out:
                    shutil.copyfileobj(tar.extractfile(member), out, 1 << 20)
                taken.append(name)
    except (tarfile.TarError, EOFError, zlib.error, tf.errors.OpError) as error:
        raise UserError(f"{archive} is cut off or broken ({error}); fetch it again") from None
    except OSError as error:
        if error.errno in _CANNOT_WRITE:
            raise
        raise UserError(f"{archive} is cut off or broken ({error}); fetch it again") from None
    return taken, everything


def find(archive: str) -> str:
    """Extracts an archive and returns the prefix of the one checkpoint in it.

    Raises:
        UserError: several checkpoints; lists their paths, which `reader.resolve` takes.
    """
    root = extract(archive)
    found = [prefix for folder, _, _ in os.walk(root) for prefix in folders.complete(folder)]
    if not found:
        raise UserError(f"the checkpoint in {archive} lacks files (index or data); fetch the archive again")
    if len({os.path.dirname(prefix) for prefix in found}) == 1:
        newest = found[0] if len(found) == 1 else folders.newest(os.path.dirname(found[0]))
        if newest:
            return newest
    choices = ", ".join(f"{archive}/{os.path.relpath(prefix, root)}" for prefix in sorted(found))
    raise UserError(f"{archive} holds {len(found)} checkpoints; name one of {choices}")
