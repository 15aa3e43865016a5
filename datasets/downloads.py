"""A converter's archives: brought by hand, or downloaded (`common.downloads`)."""

import contextlib
import os
import tarfile
import zipfile
from collections.abc import Iterable

from common.downloads import Remote, fetch_any, sha256_of
from common.errors import UserError
from datasets import archives
from datasets.image_headers import sniff

_LARGEST_CHECKED = 2**30  # bytes of a file brought by hand
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")  # first bytes


class Shelf:
    """Where a converter's archives are: a folder of files brought by hand, the data set's own folder, or the net.

    Args:
        dataset_dir: folder of the data set; a download goes there.
        archive_dir: folder where files brought by hand are looked for first.
        check: whether a file brought by hand must be the published one.
        keep: whether a download stays; else it is removed after a conversion.
        names: of all files that are needed, so that an error names all that are missing.
        also: what else the user can do where a file cannot be had, for the error.
    """

    def __init__(
        self,
        dataset_dir: str,
        archive_dir: str | None,
        *,
        check: bool = True,
        keep: bool = False,
        names: Iterable[str] = (),
        also: str = "",
    ):
        if archive_dir and not os.path.isdir(archive_dir):
            raise UserError(f"--archive_dir={archive_dir}: no such folder")
        self._dataset_dir, self._archive_dir = dataset_dir, archive_dir
        self._check, self._keep, self._names, self._also = check, keep, tuple(names), also
        self._checked: set[str] = set()

    def find(self, name: str) -> str | None:
        """Returns the path of a file or folder that is there, None if there is none."""
        for folder in (self._archive_dir, self._dataset_dir):
            if folder and os.path.exists(os.path.join(folder, name)):
                return os.path.join(folder, name)
        return None

    def identity(self, remotes: Iterable[Remote]) -> list[str]:
        """Returns what tells these files from others, ready for JSON; of those that nobody checks a digest is taken."""
        known = []
        for remote in remotes:
            path = self.find(remote.name)
            # What lies in the data set's own folder may be a download that a killed conversion left.
            here = path == os.path.join(self._dataset_dir, remote.name)
            if not path or (self._check and (remote.sha256 or here)):
                known.append(remote.sha256 or remote.name)
                continue
            found = identity_of(path)
            known.append(remote.sha256 if remote.sha256 and found.endswith(f" {remote.sha256}") else found)
        return known

    def is_published(self, remotes: Iterable[Remote]) -> bool:
        """Returns whether all these files are the published ones, or will be downloaded."""
        remotes = list(remotes)
        return self.identity(remotes) == [remote.sha256 or remote.name for remote in remotes]

    def by_hand(self, remote: Remote) -> str | None:
        """Returns the path of a file that is there, None if there is none.

        Raises:
            UserError: it is another file than the published one.
        """
        path = self.find(remote.name)
        if path and self._check and path not in self._checked:
            _check_published(path, remote)
            self._checked.add(path)
        return path

    def get(self, remote: Remote, stack: contextlib.ExitStack) -> str:
        """Returns the path of a file, downloaded if it is not there.

        Args:
            remote: the file.
            stack: closed without an error when the conversion is done; a download is removed then.

        Raises:
            UserError: it cannot be had, or is another file than the published one.
        """
        if path := self.by_hand(remote):
            return path
        by_hand = self._remedy(remote)
        if not remote.urls:
            raise UserError(f"{remote.name} cannot be downloaded without an account; {by_hand}")
        path = os.path.join(self._dataset_dir, remote.name)
        fetch_any(remote, path, by_hand)
        if not remote.sha256 and not _is_archive(path):
            _refuse(path, remote, by_hand)
        self._checked.add(path)
        if not self._keep:
            stack.push(lambda error, *_: None if error else os.remove(path))
        return path

    def _remedy(self, remote: Remote) -> str:
        """What to do where a file cannot be downloaded."""
        others = (name for name in self._names if name != remote.name and not self.find(name))
        missing = [remote.name, *others]
        if self._archive_dir:
            return f"put {', '.join(missing)} into --archive_dir={self._archive_dir}{self._also}"
        them = "it" if len(missing) == 1 else "them"
        return (
            f"bring {', '.join(missing)} by hand: put {them} into a folder and name that with --archive_dir{self._also}"
        )


def identity_of(path: str) -> str:
    """Returns what tells a file that is taken as it is from others: its name, size and, up to 1 GB, SHA-256."""
    size = os.path.getsize(path)
    if not os.path.isfile(path) or size > _LARGEST_CHECKED:
        return f"{os.path.basename(path)} {size}"
    with archives.damage_told(path):
        return f"{os.path.basename(path)} {size} {sha256_of(path)}"


def _is_archive(path: str) -> bool:
    with open(path, "rb") as file:
        compressed = file.read(8).startswith(_COMPRESSED)
    return compressed or zipfile.is_zipfile(path) or tarfile.is_tarfile(path)


def _refuse(path: str, remote: Remote, help: str) -> None:
    """Removes a download that is no archive: the next conversion would take it for one brought by hand."""
    with open(path, "rb") as file:
        what = "an HTML page" if sniff(file.read(32)) == "html" else "something else"
    os.remove(path)
    raise UserError(f"{' or '.join(remote.urls)} sent no archive but {what}, which is not kept; {help}")


def _check_published(path: str, remote: Remote) -> None:
    size, remedy = os.path.getsize(path), "copy it again, or take it as it is with --nocheck_archives"
    if remote.bytes is not None and size != remote.bytes:
        raise UserError(f"{path} has {size} bytes, the published file has {remote.bytes}; {remedy}")
    # What is larger has checksums of its own inside, or is read piece by piece; reading it twice would take hours.
    if remote.sha256 and size <= _LARGEST_CHECKED and (found := sha256_of(path)) != remote.sha256:
        raise UserError(f"{path}: its SHA-256 is {found}, the published file's is {remote.sha256}; {remedy}")
