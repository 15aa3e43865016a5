"""Published checkpoints by name: `zoo:inception_v3_2016_08_28`, or `zoo:inception_v3` for the network's default file.

A file is looked for in the folder that TF_SLIM_ZOO names (files brought by hand, for machines without a network), then
in the cache; else it is downloaded into the cache. It must have the SHA-256 of the catalogue; where that has none, the
one that the first fetch found and recorded, so that a file that changes later is not taken silently. Pure Python.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator

from absl import logging

from common import downloads, files, published
from common.errors import UserError

SCHEME = "zoo:"
FOLDER_VARIABLE = "TF_SLIM_ZOO"  # a folder with files brought by hand
MIRROR_VARIABLE = "TF_SLIM_ZOO_MIRROR"  # an address below which all archives lie, in place of the published ones
_RETRIES = 2
_GZIP = b"\x1f\x8b"


def is_zoo(path: str) -> bool:
    """Whether a path is the name of a published checkpoint."""
    return path.startswith(SCHEME)


def cache_folder() -> str:
    """Where downloads and extracted archives are kept: `~/.cache/tf_slim_checkpoints`; XDG_CACHE_HOME moves it."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(cache, "tf_slim_checkpoints")


def archive_of(path: str, flag: str = "--checkpoint_path=") -> str:
    """Returns the file that a `zoo:` path means, fetched where it is not on this machine.

    Raises:
        UserError: no such checkpoint, it cannot be had, or it is another file than the published one.
    """
    entry = published.find(path.removeprefix(SCHEME), f"{flag}{SCHEME}")
    archive = fetch(entry)
    logging.info("%s is %s: %s", path, archive, entry.text())
    return archive


@dataclasses.dataclass(frozen=True)
class _Record:
    """What is known of an archive on this machine: its checksum, and at which file that was found."""

    sha256: str
    checked: tuple[str, int, int] | None = None  # path, size, time of last change in ns


def fetch(
    entry: published.PublishedCheckpoint,
    folder: str | None = None,
    *,
    by_hand: str | None = None,
    mirror: str | None = None,
    sha256: str | None = None,
) -> str:
    """Returns the path of a published archive, downloaded if it is not there.

    Args:
        entry: which one.
        folder: where downloads go; None for the cache.
        by_hand: folder with files brought by hand; None for what TF_SLIM_ZOO says, if anything.
        mirror: address to download from in place of the published ones; None for what TF_SLIM_ZOO_MIRROR says, if
          anything.
        sha256: what the file's must be, in place of the catalogue's and the recorded one.

    Raises:
        UserError: it cannot be had, or is another file than the published one.
    """
    folder = os.path.expanduser(folder) if folder else cache_folder()
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot make the folder {folder} for downloads: {error.strerror}; set XDG_CACHE_HOME to another place"
        ) from None
    note = os.path.join(folder, f"{entry.archive}.sha256.json")
    record = _read(note)
    expected = sha256 or (record.sha256 if record else entry.sha256)
    with _alone(os.path.join(folder, f".{entry.archive}.lock")):
        path = _on_this_machine(entry, folder, by_hand)
        fetched = path is None
        if path is None:
            path = os.path.join(folder, entry.archive)
            mirror = mirror or os.environ.get(MIRROR_VARIABLE)
            urls = (f"{mirror.rstrip('/')}/{entry.archive}",) if mirror else entry.urls
            remote = downloads.Remote(entry.archive, urls, entry.bytes, expected)
            downloads.fetch_any(remote, path, _remedy(entry, folder), retries=_RETRIES)
        _check(path, record, expected, note, fetched)
    return path


def _on_this_machine(entry: published.PublishedCheckpoint, folder: str, by_hand: str | None) -> str | None:
    brought = by_hand or os.environ.get(FOLDER_VARIABLE)
    if brought and not os.path.isdir(brought):
        raise UserError(f"{FOLDER_VARIABLE}={brought}: no such folder")
    places = [os.path.join(place, entry.archive) for place in (brought, folder) if place]
    return next((path for path in places if os.path.isfile(path)), None)


def _remedy(entry: published.PublishedCheckpoint, folder: str) -> str:
    return (
        f"without a network, put {entry.archive} into {folder}, or into another folder and set {FOLDER_VARIABLE} to "
        f"that; {MIRROR_VARIABLE} names another address to download from"
    )


def _check(path: str, record: _Record | None, expected: str | None, note: str, fetched: bool) -> None:
    """Compares a file with what it must be, and records what it is."""
    stat = os.stat(path)
    here = (os.path.abspath(path), stat.st_size, stat.st_mtime_ns)
    if record and record.checked == here and record.sha256 == expected:
        return
    with open(path, "rb") as file:
        if file.read(2) != _GZIP:
            if fetched:
                os.remove(path)
            raise UserError(
                f"{path} is no archive (a page of a proxy?): it does not begin as a .tar.gz does; fetch it again"
            )
    found = downloads.sha256_of(path)
    if expected and found != expected.lower():
        raise UserError(
            f"{path} is not the file that was published: its SHA-256 is {found}, expected {expected.lower()}"
            f"{f' ({note})' if record else ''}; remove it to fetch it again, or, if you trust it, say "
            f"fetch_checkpoint.py --sha256={found}"
        )
    if not expected:
        logging.info("%s: SHA-256 %s. None is published; later fetches are held to this one", path, found)
    with contextlib.suppress(OSError):  # a folder that is only read: the next time it is checked again
        files.write_json(note, {"sha256": found, "checked": list(here)})


def _read(note: str) -> _Record | None:
    try:
        with open(note, encoding="utf-8") as file:
            known = json.load(file)
        return _Record(known["sha256"], tuple(known["checked"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextlib.contextmanager
def _alone(path: str) -> Iterator[None]:
    """Holds a lock meanwhile: two runs that start together download a file once."""
    try:
        import fcntl

        file = open(path, "w")  # noqa: SIM115
    except (ImportError, OSError):  # no such locks on this system, or nothing can be written: go on without
        yield
        return
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logging.info("Waiting for another process that fetches the same file")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        file.close()
