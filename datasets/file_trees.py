"""Files in a folder, in a .zip or in a .tar, read where they are: an archive of 140 GB need not be extracted."""

import array
import bisect
import contextlib
import hashlib
import os
import tarfile
import threading
import zipfile
from collections.abc import Iterator

from common.errors import UserError
from datasets import archives
from datasets.image_headers import BadImage

MAX_BYTES = 2**29  # of a file; no image that is converted is that large


class Tree:
    """Files under paths with `/`; listed once, then read by several threads.

    Attributes:
        place: the folder or archive.
    """

    place: str

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


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise BadImage(f"{size / 1e6:.0f} MB: too large for an image")


class _Folder(Tree):
    def __init__(self, place: str):
        self.place = place
        self._absolute = os.path.abspath(place)  # other processes may read

    def files(self) -> Iterator[tuple[str, int]]:
        def fail(error: OSError) -> None:
            raise UserError(f"cannot read folder {error.filename}: {error.strerror}") from error

        for folder, folders, names in os.walk(self.place, onerror=fail, followlinks=True):
            folders.sort()
            top = os.path.relpath(folder, self.place).replace(os.sep, "/")
            for name in sorted(names):
                path = os.path.join(folder, name)
                yield name if top == "." else f"{top}/{name}", os.path.getsize(path) if os.path.exists(path) else 0

    def read(self, path: str) -> bytes:
        path = os.path.join(self._absolute, path)
        try:
            _check_size(os.path.getsize(path))
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
        with tarfile.open(self.place, "r:") as outer:
            for member in outer:
                outer.members = []  # else it remembers every member
                if not member.isreg() or member.issparse():
                    continue
                if not member.name.endswith(".tar"):
                    yield os.path.normpath(member.name), member.offset_data, member.size
                    continue
                top = os.path.normpath(member.name.removesuffix(".tar"))
                with tarfile.open(fileobj=outer.extractfile(member), mode="r:") as inner:
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
