"""Archives, extracted without a file ending up outside the folder."""

import os
import shutil
import tarfile
import zipfile
import zlib

from common.errors import UserError


def extract(path: str, folder: str) -> None:
    """Extracts a .tar, .tar.gz, .tgz, .tar.bz2, .tar.xz or .zip (told by its content) into a folder.

    Raises:
        UserError: no such file, no archive, a damaged one, or one with a member that points outside the folder.
    """
    if not os.path.isfile(path):
        raise UserError(f"no such archive: {path}")
    os.makedirs(folder, exist_ok=True)
    try:
        if zipfile.is_zipfile(path):
            _extract_zip(path, folder)
        else:
            _extract_tar(path, folder)
    except (tarfile.ReadError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UserError(
            f"{path} is damaged or not a .tar.gz or .zip archive ({error}); download or copy it again"
        ) from error
    except OSError as error:
        raise UserError(f"cannot extract {path} into {folder}: {error}") from error


def _extract_tar(path: str, folder: str) -> None:
    if not hasattr(tarfile, "data_filter"):  # Python before 3.10.12 and 3.11.4
        raise UserError(
            "this Python is too old to extract archives safely; update it, or extract by hand and use --source_dir"
        )
    with tarfile.open(path, "r:*") as archive:
        try:
            archive.extractall(folder, filter="data")
        except tarfile.FilterError as error:
            raise UserError(f"{path} is not extracted: {error}") from error


def _extract_zip(path: str, folder: str) -> None:
    root = os.path.realpath(folder)
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            target = os.path.realpath(os.path.join(root, member.filename))
            if os.path.commonpath([root, target]) != root:
                raise UserError(f"{path} is not extracted: {member.filename!r} would be outside the folder")
            if member.flag_bits & 1:
                raise UserError(f"{path} is encrypted; extract it by hand and use --source_dir")
        size = sum(member.file_size for member in archive.infolist())
        if size > shutil.disk_usage(root).free:
            raise UserError(f"{path} needs {size / 1e6:.0f} MB in {folder}, more than is free there")
        archive.extractall(root)
