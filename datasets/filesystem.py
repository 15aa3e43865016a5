"""Folders and files wherever TensorFlow reads them: local ones by Python itself, the others by `tf.io.gfile`.

A path with `://` (`gs://bucket/data`, `s3://...`, `hdfs://...`, `ram://...`) is on a file system of TensorFlow's. What
goes wrong is an OSError in both cases.
"""

import contextlib
import fnmatch
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from common.errors import UserError


class Status(NamedTuple):
    """Size of a file in bytes and when it was last modified, in nanoseconds."""

    size: int
    modified: int


def is_remote(path: str) -> bool:
    """Returns whether a path is on a file system of TensorFlow's."""
    return "://" in path


def absolute(path: str) -> str:
    """Returns the absolute path; one with `://` is as it is."""
    return path if is_remote(path) else os.path.abspath(path)


def is_folder(path: str) -> bool:
    """Returns whether there is a folder of this name.

    Raises:
        UserError: TensorFlow has no file system for such addresses.
    """
    if not is_remote(path):
        return os.path.isdir(path)
    if _gfile().isdir(path):
        return True
    _check_scheme(path)
    return False


def is_file(path: str) -> bool:
    """Returns whether there is a file of this name."""
    if not is_remote(path):
        return os.path.isfile(path)
    return _gfile().exists(path) and not _gfile().isdir(path)


def names_in(folder: str) -> list[str]:
    """Returns the names of what is in a folder."""
    if not is_remote(folder):
        return os.listdir(folder)
    with _as_os_error(folder):
        return [name.rstrip("/") for name in _gfile().listdir(folder)]  # some mark folders by a slash


def status(path: str) -> Status:
    """Returns a file's size and time."""
    if not is_remote(path):
        found = os.stat(path)
        return Status(found.st_size, found.st_mtime_ns)
    with _as_os_error(path):
        found = _gfile().stat(path)
        return Status(found.length, found.mtime_nsec)


def read_text(path: str) -> str:
    """Returns the content of a UTF-8 text file."""
    with open_binary(path) as file:
        return file.read().decode("utf-8")


@contextlib.contextmanager
def open_binary(path: str) -> Iterator[Any]:
    """Opens a file for reading bytes."""
    if not is_remote(path):
        with open(path, "rb") as file:
            yield file
        return
    with _as_os_error(path), _gfile().GFile(path, "rb") as file:
        yield file


def matching(folder: str, pattern: str) -> list[str]:
    """Returns the paths that match a shell pattern below a folder, sorted; the pattern may name folders, too."""
    if "/" not in pattern:
        return [os.path.join(folder, name) for name in sorted(fnmatch.filter(names_in(folder), pattern))]
    with _as_os_error(folder):
        return sorted(_gfile().glob(escaped(folder).rstrip("/") + "/" + pattern))


def escaped(path: str) -> str:
    """Returns a pattern that TensorFlow matches with this path only."""
    return "".join(f"\\{character}" if character in "*?[]\\" else character for character in path)


@contextlib.contextmanager
def _as_os_error(path: str) -> Iterator[None]:
    import tensorflow as tf

    try:
        yield
    except tf.errors.NotFoundError as error:
        raise FileNotFoundError(2, "no such file or folder", path) from error
    except tf.errors.OpError as error:
        raise OSError(5, error.message, path) from error


def _check_scheme(path: str) -> None:
    """Fails for an address that TensorFlow cannot read at all, which `isdir` and `exists` take for nothing there."""
    import tensorflow as tf

    try:
        _gfile().stat(path)
    except tf.errors.UnimplementedError as error:
        scheme = path.partition("://")[0]
        raise UserError(
            f"{path}: TensorFlow cannot read {scheme}:// addresses; install the package that brings it the file system "
            "(tensorflow-io has several), or mount it or copy the folder"
        ) from error
    except tf.errors.OpError:
        pass  # not there, or not allowed: what is done with it says so


def _gfile() -> Any:
    import tensorflow as tf  # late: local folders are looked at without it

    return tf.io.gfile
