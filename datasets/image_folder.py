"""A folder of class folders of images, as a source."""

import collections
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping

from common import suggest
from common.errors import FlagError, UserError
from datasets import file_trees, filesystem, images, splits
from datasets.conversion_report import shown
from datasets.image_headers import BadImage, sniff
from datasets.sources import Contents, Item, Source

# What claims to be an image by its name; if it cannot be read, the user is told. Other files are looked into, and
# passed over if they are none.
IMAGE_SUFFIXES = frozenset(
    [".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm"]
    + [".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"]
    # Rare, but Pillow reads them.
    + [".apng", ".bw", ".cur", ".dcx", ".dds", ".fli", ".flc", ".fits", ".icb", ".icns", ".ico", ".im", ".j2c", ".j2k"]
    + [".jpc", ".jpf", ".jpx", ".mpo", ".msp", ".pcx", ".pfm", ".psd", ".qoi", ".ras", ".rgb", ".rgba", ".sgi", ".vda"]
    + [".vst", ".xbm", ".xpm"]
)
_RAW_SUFFIXES = frozenset([".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf", ".pef"])
# How people call the splits, in lower case.
SPLIT_NAMES = {
    "train": splits.TRAIN,
    "training": splits.TRAIN,
    "val": splits.VALIDATION,
    "valid": splits.VALIDATION,
    "validation": splits.VALIDATION,
    "test": "test",
    "testing": "test",
}
CLASS_FOLDERS = ("top", "deepest")


def source(*, image_dir: str | None = None, name: str = "images", class_folders: str = "top") -> Source:
    """Declares a folder of photos: `image_dir/CLASS/.../photo.jpg`, or `image_dir/{train,validation,test}/CLASS/...`.

    Args:
        image_dir: the folder.
        name: of the data set.
        class_folders: `top`: a class is a folder at the top, with all that is below it. `deepest`: each folder that
            holds images is a class, named by its path (`animals/cat`).
    """
    check_name(name)
    if class_folders not in CLASS_FOLDERS:
        raise FlagError(suggest.unknown("--class_folders", class_folders, CLASS_FOLDERS))
    if not image_dir:
        raise FlagError("--image_dir is missing: name the folder that has a folder of photos for each class")
    contents = list_folder(image_dir, "--image_dir", nested=class_folders == "deepest")
    identity = {"converter": "image_folder", "files": listing_digest(contents)}
    if class_folders != "top":
        identity["class_folders"] = class_folders
    return Source(name, identity, lambda _: contents)


def check_name(name: str) -> None:
    """Fails for a data set's name that cannot be the first part of a file's name."""
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise FlagError(f"--name={name}: expected letters, digits and _ . - only; it begins the files' names")


def list_folder(folder: str, flag: str, nested: bool = False) -> Contents:
    """Lists the images of a folder of class folders; class ids are the places of the folders' names in sorted order.

    Args:
        folder: the folder.
        flag: the flag that named it, for errors.
        nested: whether each folder that holds images is a class, and not those at the top alone.

    Raises:
        UserError: no such folder, not at least two class folders with images in them, or folders beside the splits.
    """
    if filesystem.is_remote(folder):
        raise UserError(f"{flag}={folder}: photos are read from folders of this machine or mounted ones; copy it first")
    if not os.path.isdir(folder):
        raise UserError(f"no folder {folder}: {flag} names a folder that has a folder of photos for each class")
    scan = _Scan(folder, nested)
    names = scan.class_folders("")
    split_of = {name: SPLIT_NAMES.get(name.lower()) for name in names}
    _check_no_strays(folder, nested, split_of, flag)
    if None not in split_of.values() and splits.TRAIN in split_of.values():
        for top, split in split_of.items():
            for name in scan.class_folders(top):
                # Without a validation folder, validation images are drawn from those for training.
                drawn = split == splits.TRAIN and splits.VALIDATION not in split_of.values()
                scan.collect(f"{top}/{name}", name, None if drawn else split)
    else:
        for name in names:
            scan.collect(name, name, None)
    class_names = _class_names(folder, scan, names, flag)
    labels = {name: label for label, name in enumerate(class_names)}
    absolute = os.path.abspath(folder)  # images may be loaded by other processes
    items = [Item(key, labels[name], split, size) for key, name, split, size in scan.found]
    return Contents(
        class_names=[shown(name) for name in class_names],
        items=items,
        load=lambda item: load(os.path.join(absolute, item.key)),
        left_out=scan.left_out,
        ignored=scan.ignored,
    )


def load(path: str) -> images.EncodedImage:
    """Reads and prepares one image file.

    Raises:
        BadImage: with the reason.
    """
    try:
        with open(path, "rb", buffering=0) as file:  # read as a whole: a buffer only costs time
            data = file.read()
    except OSError as error:
        raise BadImage(f"cannot be read: {error.strerror}") from error
    return images.prepare(data)


class _Scan:
    """Walks a folder; gathers images (key, class folder, split, bytes) and what is no image."""

    def __init__(self, folder: str, nested: bool = False):
        self._folder, self._nested = folder, nested
        self._above = file_trees.folders_above(folder) | {file_trees.identity_of(folder)}
        self.found: list[tuple[str, str, str | None, int]] = []
        self.left_out: list[tuple[str, str]] = []
        self.ignored: collections.Counter = collections.Counter()

    def class_folders(self, top: str) -> list[str]:
        """Names of the folders right below `top`; images there are left out, for they have no class."""
        names = []
        for entry in self._entries(top):
            key = os.path.join(top, entry.name)
            if _is_folder(entry):
                names.append(entry.name)
            elif self._is_image(key, entry):
                self.left_out.append((key, "it lies outside the class folders"))
        return names

    def collect(self, key: str, class_folder: str, split: str | None) -> None:
        """Gathers the images below a folder, at any depth."""
        before = len(self.found), len(self.left_out)
        prefix = key.removesuffix(class_folder)
        for file_key, entry in self.files(key):
            if self._is_image(file_key, entry):
                name = os.path.dirname(file_key).removeprefix(prefix) if self._nested else class_folder
                self.found.append((file_key, name, split, entry.stat().st_size))
        if before == (len(self.found), len(self.left_out)):
            self.left_out.append((key, "no images in this folder"))

    def holds_classes(self, top: str) -> bool:
        """Returns whether folders right below `top` have an image."""
        files = (file for name in self.class_folders(top) for file in self.files(f"{top}/{name}"))
        return any(self._is_image(key, entry) for key, entry in files)

    def files(self, key: str) -> Iterator[tuple[str, os.DirEntry]]:
        """Yields key and entry of what is below a class folder, at any depth, but for folders."""
        around = file_trees.identity_of(os.path.join(self._folder, os.path.dirname(key)))
        yield from self._files(key, self._above | {around})

    def _files(self, key: str, above: frozenset[tuple[int, int]]) -> Iterator[tuple[str, os.DirEntry]]:
        here = file_trees.identity_of(os.path.join(self._folder, key))
        if here in above:
            self.left_out.append((key, file_trees.LOOP))
            return
        for entry in self._entries(key):
            if _is_folder(entry):
                yield from self._files(f"{key}/{entry.name}", above | {here})
            else:
                yield f"{key}/{entry.name}", entry

    def _entries(self, key: str) -> list[os.DirEntry]:
        try:
            with os.scandir(os.path.join(self._folder, key)) as entries:
                return sorted((entry for entry in entries if is_visible(entry.name)), key=lambda entry: entry.name)
        except OSError as error:
            self.left_out.append((key or ".", f"folder cannot be read: {error.strerror}"))
            return []

    def _is_image(self, key: str, entry: os.DirEntry) -> bool:
        """Whether a file is an image to convert; what is none is noted."""
        reason = _why_not(entry)
        if reason:
            self.left_out.append((key, reason))
        elif reason is not None:
            self.ignored[suffix_of(entry.name)] += 1
        return reason is None


def _why_not(entry: os.DirEntry) -> str | None:
    """None for an image to convert, a reason for one that cannot be, '' for what is no image."""
    try:
        status = entry.stat()
    except OSError as error:
        return "broken link" if entry.is_symlink() else f"cannot be read: {error.strerror}"
    suffix = suffix_of(entry.name)
    if suffix in _RAW_SUFFIXES:
        return "camera raw file; export it as JPEG"
    if reason := file_trees.why_no_image(status):
        return reason if suffix in IMAGE_SUFFIXES or not stat.S_ISREG(status.st_mode) else ""
    if suffix in IMAGE_SUFFIXES:
        return None
    try:
        with open(entry.path, "rb") as file:
            return "" if sniff(file.read(32)) in (None, "html", "pdf", "zip", "ppm") else None
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link round in circles
        return False


def _check_no_strays(folder: str, nested: bool, split_of: Mapping[str, str | None], flag: str) -> None:
    """Fails for a folder beside ready-made splits: all of them would be taken for classes."""
    stray = [name for name, split in split_of.items() if split is None]
    named = [name for name, split in split_of.items() if split]
    if not stray or splits.TRAIN not in split_of.values() or len(named) < 2:
        return
    scan = _Scan(folder, nested)  # what it notes is for nobody
    ready = [name for name in named if scan.holds_classes(name)]
    if len(ready) >= 2:
        raise UserError(
            f"{folder}: folder {shown(stray[0])!r} lies beside the splits {', '.join(ready)}, which have class folders "
            f"of their own; move it out of {flag}, or rename those if they are classes"
        )


def is_visible(name: str) -> bool:
    """Returns whether a file or folder of this name is looked at: not what is hidden or a system's own."""
    return not name.startswith(".") and name not in ("__MACOSX", "Thumbs.db", "desktop.ini")


def suffix_of(name: str) -> str:
    """Returns a file's suffix in lower case, or words for none."""
    return os.path.splitext(name)[1].lower() or "without suffix"


def _class_names(folder: str, scan: _Scan, tops: list[str], flag: str) -> list[str]:
    names = sorted({name for _, name, _, _ in scan.found})
    for name in names:
        if "\n" in name or "\r" in name:
            raise UserError(f"{folder}: the name of class folder {name!r} has a line break; rename it")
    if len(names) >= 2:
        return names
    if not names:
        found = f"in {len(tops)} folders" if tops else "and no class folders"
        first = f"; {shown(scan.left_out[0][0])}: {scan.left_out[0][1]}" if scan.left_out else ""
        raise UserError(f"{folder}: found no images {found}; {flag} names a folder that has one for each class{first}")
    inner = sorted({key.split("/")[1] for key, _, _, _ in scan.found if key.count("/") > 1})
    hint = f"; did you mean {flag}={os.path.join(folder, names[0])}?" if len(inner) > 1 else ""
    raise UserError(f"{folder}: found one class folder only ({shown(names[0])!r}), expected at least two{hint}")


def listing_digest(contents: Contents) -> str:
    """Returns a hex digest of the files' paths and sizes, in any order."""
    digest = hashlib.sha256()
    for item in sorted(contents.items):
        digest.update(f"{item.key}\0{item.bytes}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
