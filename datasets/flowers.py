"""TensorFlow's flowers: 3,670 photos of five kinds, downloaded, or from an archive or folder that is there already.

As Slim's converter: `flowers_{train,validation}_0000i-of-00005.tfrecord`, 350 photos for validation. Two deliberate
differences: the split is reproducible (Slim drew it from the operating system's order of files), and stratified.
"""

import contextlib
import dataclasses
import os
import shutil

from absl import logging

from common.downloads import Remote, name_in, sha256_of
from common.errors import FlagError, UserError
from datasets import archives, image_folder, targets
from datasets.downloads import Shelf, identity_of
from datasets.sources import Contents, Source

URL = "http://download.tensorflow.org/example_images/flower_photos.tgz"
# Published with TensorFlow Datasets (tf_flowers/checksums.tsv).
BYTES = 228813984
SHA256 = "4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c"
CLASSES = ("daisy", "dandelion", "roses", "sunflowers", "tulips")
IMAGES = 3670
VALIDATION = 350
_FEW = 1000  # of fewer photos than this a tenth is for validation
_SHARDS = 5
_ALSO = ", or use --archive_path=FILE, or --source_dir=FOLDER for the photos themselves"


def source(
    *,
    dataset_dir: str,
    archive_dir: str | None = None,
    check_archives: bool = True,
    source_dir: str | None = None,
    archive_path: str | None = None,
    archive_sha256: str | None = None,
    download_url: str | None = None,
) -> Source:
    """Declares the flowers.

    Args:
        dataset_dir: where the records go, and a download meanwhile.
        archive_dir: folder where the archive is looked for before it is downloaded.
        check_archives: whether it must be the published one there.
        source_dir: folder of class folders to take instead of a download (`flower_photos/` in it is found).
        archive_path: .tgz or .zip to take instead of a download.
        archive_sha256: hex digest that the archive must have; default: the published one, for a download from `URL`.
        download_url: another place to download from.
    """
    here = {"source_dir": source_dir, "archive_path": archive_path}
    places = [
        flag for flag, value in {**here, "download_url": download_url, "archive_dir": archive_dir}.items() if value
    ]
    if len(places) > 1 and places[0] in here:
        raise FlagError(f"--{places[0]} and --{places[1]} both say where the photos are; give one of them")
    if source_dir and archive_sha256:
        raise FlagError("--archive_sha256 is of an archive, and --source_dir is a folder; leave one out")
    if source_dir:
        contents = _contents(source_dir, "--source_dir")
        identity = {"converter": "flowers", "files": image_folder.listing_digest(contents)}
        return Source("flowers", identity, lambda _: contents, _SHARDS)
    url = download_url or URL
    if archive_path:
        if not os.path.isfile(archive_path):
            raise UserError(f"--archive_path={archive_path}: no such file")
    else:
        archive_sha256 = archive_sha256 or (SHA256 if url == URL else None)
    shelf = Shelf(dataset_dir, archive_dir, check=check_archives, also=_ALSO)
    remote = Remote(name_in(url), (url,), BYTES if url == URL else None, archive_sha256)
    if not remote.name:
        raise UserError(f"--download_url={url}: expected the address of a file, such as {URL}")
    known, published = shelf.identity([remote]), [SHA256] if url == URL else [remote.name]
    if archive_path:
        identity = {"archive": identity_of(archive_path)}
    else:
        identity = {"url": url} if known == published else {"url": url, "file": known[0]}

    def open_archive(stack: contextlib.ExitStack) -> Contents:
        path = archive_path or shelf.get(remote, stack)
        if archive_path and archive_sha256 and (found := sha256_of(path)) != archive_sha256.lower():
            raise UserError(f"{path}: its SHA-256 is {found}, expected {archive_sha256.lower()}; copy it again")
        folder = targets.staging_path(dataset_dir)  # known for what it is if the conversion is killed
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        logging.info("Extracting %s ...", path)
        _extract(path, folder, is_download=path == os.path.join(dataset_dir, remote.name))
        contents = _contents(folder, "--archive_path")
        if url == URL and not archive_path and check_archives:
            _check_is_whole(contents, path)
        return contents

    # As in Slim: nothing is downloaded where all files are there already, whoever made them.
    plain = identity == {"url": URL}
    return Source("flowers", {"converter": "flowers", **identity}, open_archive, _SHARDS, trusts_files=plain)


def _extract(path: str, folder: str, is_download: bool) -> None:
    try:
        archives.extract(path, folder)
    except UserError as error:
        if is_download and isinstance(error.__cause__, archives.DAMAGED):
            raise UserError(f"{error}; as long as {path} is there, it is taken: remove it for a download") from error
        raise


def _contents(folder: str, flag: str) -> Contents:
    if not os.path.isdir(folder):
        raise UserError(f"{flag}={folder}: no such folder")
    inner = os.path.join(folder, "flower_photos")
    contents = image_folder.list_folder(inner if os.path.isdir(inner) else folder, flag)
    return dataclasses.replace(contents, validation_count=VALIDATION if len(contents.items) >= _FEW else None)


def _check_is_whole(contents: Contents, path: str) -> None:
    if tuple(contents.class_names) != CLASSES or len(contents.items) != IMAGES:
        found = f"{len(contents.items)} images of {', '.join(contents.class_names)}"
        raise UserError(f"{path} is not the flowers archive: {found}; expected {IMAGES} of {', '.join(CLASSES)}")
