"""Files in a folder, in a .zip or in a .tar, read where they are: an archive of 140 GB need not be extracted."""

import array
import bisect
import contextlib
import hashlib
import os
import stat
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Sequence

from common.errors import UserError
from datasets import archives
from datasets.image_headers import BadImage

MAX_BYTES = 2**29  # of a file; no image of at most images.MAX_PIXELS pixels is that large
LOOP = "link to a folder above it"


class Tree:
    """Files under paths with `/`; listed once, then read by several threads.

    Attributes:
        place: the folder or archive.
        left_out: path and reason of what `files` could not list.
    """

    place: str
    left_out: Sequence[tuple[str, str]] = ()

    def files(self) -> Iterator[tuple[str, int]]:
        """Yields path and size in bytes of each file, in order."""
        raise NotImplementedError

    def read(self, path: str) -> bytes:
        """Returns the content of a file.

        Raises:
            BadImage: it cannot be read; the message is the reason.
        """
        raise NotImplementedError


def open_tree(place: str, stack: contextlib.ExitStack) -> Tree:
    """Opens a folder, a .zip or an uncompressed .tar; `stack` closes it.

    Raises:
        UserError: there is none, or it is damaged or of another kind.
    """
    if os.path.isdir(place):
        return _Folder(place)
    if not os.path.isfile(place):
        raise UserError(f"no such folder or archive: {place}")
    with archives.damage_told(place):
        if zipfile.is_zipfile(place):
            return _Zip(place, stack)
        if _is_plain_tar(place):
            return _Tar(place, stack)
    raise UserError(f"{place} is not an uncompressed .tar or a .zip archive; extract it, or copy it again")


def identity(place: str) -> str:
    """Returns what tells a folder (by its files' paths and sizes) or a file (by name and size) from others."""
    if not os.path.isdir(place):
        return f"{os.path.basename(place)} {os.path.getsize(place)}"
    digest = hashlib.sha256()
    for path, size in _Folder(place).files():
        digest.update(f"{path}\0{size}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def why_no_image(status: os.stat_result) -> str:
    """Returns why what has this status is not read as an image: no file (a named pipe would never end), or too large.

    '' if it may be one.
    """
    if stat.S_ISDIR(status.st_mode):
        return "a folder, not a file"
    if not stat.S_ISREG(status.st_mode):
        return "a named pipe, a socket or a device, not a file"
    return _too_large(status.st_size)


def identity_of(folder: str) -> tuple[int, int]:
    """Returns what tells a folder from all others of this machine, whatever links lead to it."""
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def folders_above(folder: str) -> frozenset[tuple[int, int]]:
    """Returns the identities of all folders that a folder is in, where links to them would lead round and round."""
    above, folder = set(), os.path.realpath(folder)
    while (parent := os.path.dirname(folder)) != folder:
        folder = parent
        with contextlib.suppress(OSError):  # one that may not be looked at leads nowhere
            above.add(identity_of(folder))
    return frozenset(above)


def _too_large(size: int) -> str:
    return f"{size / 1e6:.0f} MB: too large for an image" if size > MAX_BYTES else ""


def _check_size(size: int) -> None:
    if reason := _too_large(size):
        raise BadImage(reason)


class _Folder(Tree):
    def __init__(self, place: str):
        self.place = place
        self._absolute = os.path.abspath(place)  # other processes may read

    def files(self) -> Iterator[tuple[str, int]]:
        self.left_out = []
        try:
            yield from self._walk("", folders_above(self.place))
        except OSError as error:
            raise UserError(f"cannot read folder {error.filename}: {error.strerror}") from error

    def _walk(self, top: str, above: frozenset[tuple[int, int]]) -> Iterator[tuple[str, int]]:
        """The files of a folder, then those of the folders in it."""
        folder = os.path.join(self.place, top)
        here = identity_of(folder)
        if here in above:
            self.left_out.append((top.removesuffix("/"), LOOP))
            return
        folders = []
        for name in sorted(os.listdir(folder)):
            try:
                status = os.stat(os.path.join(folder, name))
            except OSError:  # a broken link; `read` says why
                yield top + name, 0
                continue
            if stat.S_ISDIR(status.st_mode):
                folders.append(name)
            else:
                yield top + name, status.st_size
        for name in folders:
            yield from self._walk(f"{top}{name}/", above | {here})

    def read(self, path: str) -> bytes:
        path = os.path.join(self._absolute, path)
        try:
            if reason := why_no_image(os.stat(path)):
                raise BadImage(reason)
            with open(path, "rb") as file:
                return file.read()
        except OSError as error:
            raise BadImage(f"cannot be read: {error.strerror}") from error


class _Zip(Tree):
    def __init__(self, place: str, stack: contextlib.ExitStack):
        self.place = place
        self._zip = stack.enter_context(zipfile.ZipFile(place))  # reading is safe among threads

    def files(self) -> Iterator[tuple[str, int]]:
        members = (member for member in self._zip.infolist() if not member.is_dir())
        for member in sorted(members, key=lambda member: member.filename):
            yield member.filename, member.file_size

    def read(self, path: str) -> bytes:
        try:
            _check_size(self._zip.getinfo(path).file_size)
            return self._zip.read(path)
        except KeyError:
            raise BadImage(f"{os.path.basename(self.place)} has no such file") from None
        except (OSError, RuntimeError, NotImplementedError, *archives.DAMAGED) as error:  # RuntimeError: encrypted
            raise BadImage(f"cannot be read from {os.path.basename(self.place)}: {error}") from error


def _is_plain_tar(place: str) -> bool:
    try:
        tarfile.open(place, "r:").close()  # one that is compressed cannot be read in the middle
    except tarfile.ReadError:
        return False
    return True


class _Tar(Tree):
    """A tar archive and the tars in it (`n01440764.tar` is the folder `n01440764`): where each file's bytes are."""

    def __init__(self, place: str, stack: contextlib.ExitStack):
        self.place = place
        self._file = stack.enter_context(open(place, "rb"))  # noqa: SIM115
        self._lock = threading.Lock()
        # A million of files: the paths, and two numbers for each.
        self._paths: list[str] = []
        self._offsets, self._sizes = array.array("q"), array.array("q")

    def files(self) -> Iterator[tuple[str, int]]:
        if not self._paths:
            with archives.damage_told(self.place):
                found = sorted(self._members())
            self._paths = [path for path, _, _ in found]
            self._offsets.extend(offset for _, offset, _ in found)
            self._sizes.extend(size for _, _, size in found)
        yield from zip(self._paths, self._sizes, strict=True)

    def _members(self) -> Iterator[tuple[str, int, int]]:
        """Path, offset and size of every file."""
        with archives.open_tar(self.place, "r:") as outer:
            for member in outer:
                outer.members = []  # else it remembers every member
                if not member.isreg() or member.issparse():
                    continue
                if not member.name.endswith(".tar"):
                    yield os.path.normpath(member.name), member.offset_data, member.size
                    continue
                top = os.path.normpath(member.name.removesuffix(".tar"))
                with archives.open_tar(None, "r:", outer.extractfile(member)) as inner:
                    for file in inner:
                        inner.members = []
                        if file.isreg() and not file.issparse():
                            path = f"{top}/{os.path.normpath(file.name)}"
                            yield path, member.offset_data + file.offset_data, file.size

    def read(self, path: str) -> bytes:
        place = bisect.bisect_left(self._paths, path)
        if place == len(self._paths) or self._paths[place] != path:
            raise BadImage(f"{os.path.basename(self.place)} has no such file")
        _check_size(self._sizes[place])
        with self._lock:
            self._file.seek(self._offsets[place])
            data = self._file.read(self._sizes[place])
        if len(data) != self._sizes[place]:
            raise BadImage(f"{os.path.basename(self.place)} ends inside it")
        return data
