"""Archives: extracted without a file ending up outside the folder, or read without being extracted."""

import contextlib
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO

from common.errors import UserError

# Archives of images hardly shrink, annotations and bitmaps by a factor of ten; what grows more than this is a bomb.
_MAX_GROWTH = 200
_ALWAYS_ALLOWED = 2**30  # bytes that any archive may grow to
_MEMBER_BYTES = 512  # that a member takes beside its content, so that millions of empty ones count too
DAMAGED = (tarfile.ReadError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile)


def extract(path: str, folder: str) -> None:
    """Extracts a .tar, .tar.gz, .tgz, .tar.bz2, .tar.xz or .zip (told by its content) into a folder.

    Raises:
        UserError: no such file, no archive, a damaged one, or one that is not harmless: with a member that points
            outside the folder, a link or a device, or far more content than an archive of its size has.
    """
    if not os.path.isfile(path):
        raise UserError(f"no such archive: {path}")
    os.makedirs(folder, exist_ok=True)
    with damage_told(path):
        try:
            if zipfile.is_zipfile(path):
                _extract_zip(path, folder)
            else:
                _extract_tar(path, folder)
        except DAMAGED:
            raise
        except OSError as error:
            raise UserError(f"cannot extract {path} into {folder}: {error}") from error


def read_files(path: str, wanted: Callable[[str], bool], max_bytes: int = 2**30) -> Iterator[tuple[str, bytes]]:
    """Yields (name, content) of files in an archive, in its order; nothing is written to disk.

    Args:
        path: of a .tar (compressed or not) or .zip file.
        wanted: says of a member's name whether it is read.
        max_bytes: largest file that is expected.

    Raises:
        UserError: no such file, no archive, a damaged one, or a wanted file that is larger.
    """
    if not os.path.isfile(path):
        raise UserError(f"no such archive: {path}")
    with damage_told(path):
        if zipfile.is_zipfile(path):
            yield from _read_zip(path, wanted, max_bytes)
        else:
            yield from _read_tar(path, wanted, max_bytes)


@contextlib.contextmanager
def damage_told(path: str) -> Iterator[None]:
    """Turns what libraries raise for a damaged archive into an error for people."""
    try:
        yield
    except DAMAGED as error:
        what = str(error).partition("\n")[0].rstrip(":")  # tarfile lists all that it tried, one a line
        raise UserError(
            f"{path} is damaged or not a .tar.gz or .zip archive ({what}); download or copy it again"
        ) from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


class _Member(tarfile.TarInfo):
    """A tar's member. What is no header is damage; tarfile takes it for the end of the archive."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> tarfile.TarInfo:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # the block of zeros that ends an archive
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error} at byte {archive.offset}") from error


def open_tar(path: str | None, mode: str, fileobj: IO[bytes] | None = None) -> tarfile.TarFile:
    """Opens a tar as `tarfile.open`; one that is cut off or damaged between two members raises `tarfile.ReadError`."""
    return tarfile.open(path, mode, fileobj=fileobj, tarinfo=_Member)


def _read_tar(path: str, wanted: Callable[[str], bool], max_bytes: int) -> Iterator[tuple[str, bytes]]:
    with open_tar(path, "r:*") as archive:
        for member in archive:
            if member.isreg() and wanted(member.name):
                _check_size(path, member.name, member.size, max_bytes)
                yield member.name, archive.extractfile(member).read()
            archive.members = []  # else it remembers every member; some archives have half a million


def _read_zip(path: str, wanted: Callable[[str], bool], max_bytes: int) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.is_dir() and wanted(member.filename):
                _check_size(path, member.filename, member.file_size, max_bytes)
                yield member.filename, archive.read(member)


def _check_size(path: str, name: str, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise UserError(f"{path}: {name} has {size / 1e6:.0f} MB, at most {max_bytes / 1e6:.0f} MB are expected")


def _extract_tar(path: str, folder: str) -> None:
    if not hasattr(tarfile, "data_filter"):  # Python before 3.10.12 and 3.11.4
        raise UserError(
            "this Python is too old to extract archives safely; update it, or extract by hand and use --source_dir"
        )
    room = _Room(path, folder)
    with open_tar(path, "r:*") as archive:
        for member in archive:
            room.take(member.size)
            if member.issym() or member.islnk():
                # None of the archives that are converted has one, and every hole found in extraction filters was a
                # game with links.
                raise UserError(
                    f"{path} is not extracted: {member.name!r} is a link; extract it by hand and use --source_dir"
                )
            try:
                archive.extract(member, folder, set_attrs=False, filter="data")
            except tarfile.FilterError as error:
                raise UserError(f"{path} is not extracted: {error}") from error
            archive.members = []


def _extract_zip(path: str, folder: str) -> None:
    root, room = os.path.realpath(folder), _Room(path, folder)
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            target = os.path.realpath(os.path.join(root, member.filename))
            if os.path.commonpath([root, target]) != root:
                raise UserError(f"{path} is not extracted: {member.filename!r} would be outside the folder")
            if member.flag_bits & 1:
                raise UserError(f"{path} is encrypted; extract it by hand and use --source_dir")
            if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise UserError(
                    f"{path} is not extracted: {member.filename!r} is a link or a device; extract it by hand and use "
                    "--source_dir"
                )
            room.take(member.file_size)
        archive.extractall(root)


class _Room:
    """How much an archive may grow to when it is extracted: what is free, and what is believable."""

    def __init__(self, path: str, folder: str):
        self._path, self._folder = path, folder
        self._left_on_disk = shutil.disk_usage(folder).free
        self._left_to_believe = max(_MAX_GROWTH * os.path.getsize(path), _ALWAYS_ALLOWED)

    def take(self, size: int) -> None:
        """Counts a member of `size` bytes; fails where it is one too many."""
        self._left_on_disk -= size + _MEMBER_BYTES
        self._left_to_believe -= size + _MEMBER_BYTES
        if self._left_to_believe < 0:
            raise UserError(
                f"{self._path} is not extracted: it grows to more than {_MAX_GROWTH} times its size (a decompression "
                "bomb?); extract it by hand and use --source_dir"
            )
        if self._left_on_disk < 0:
            raise UserError(f"{self._path} needs more space than is free in {self._folder}; free some")


def read_compressed(path: str, max_bytes: int) -> bytes:
    """Returns the content of a file that may be compressed with gzip, told by its content; at most `max_bytes` + 1."""
    with damage_told(path):
        with open(path, "rb") as file:
            compressed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if compressed else open(path, "rb") as file:
            return file.read(max_bytes + 1)
