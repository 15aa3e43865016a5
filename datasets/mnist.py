"""MNIST and Fashion-MNIST: 60,000 + 10,000 gray images of 28 x 28 pixels, from the published idx files.

As Slim's converter: `mnist_{train,test}.tfrecord`, one file each, PNG images in the files' order. One deliberate
difference: class 6 is called `six` (Slim wrote `size`). Fashion-MNIST, which Slim did not have, likewise.
"""

import contextlib
import functools
import math
import os
import struct

import numpy as np
import tensorflow as tf

from common.downloads import Remote
from common.errors import UserError
from datasets import archives, shards
from datasets.downloads import Shelf, identity_of
from datasets.images import EncodedImage
from datasets.sources import Contents, Item, Source

_TRAIN, _TEST = "train", "test"
_PREFIXES = {_TRAIN: "train", _TEST: "t10k"}
_SIZE = 28
_IMAGES_MAGIC, _LABELS_MAGIC = 0x0803, 0x0801  # unsigned bytes in three dimensions, in one
_MAX_BYTES = 2**28  # of an uncompressed file; the published ones have 47 MB

CLASSES = {
    "mnist": ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    "fashion_mnist": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
}
# MNIST's first host does not serve the files any more; this is the mirror that TensorFlow Datasets takes. Sizes and
# digests are those published there (url_checksums/mnist.txt and fashion_mnist.txt).
_PLACES = {
    "mnist": "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "fashion_mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
}
_PUBLISHED = {
    "mnist": {
        "train-images-idx3-ubyte.gz": (9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        "train-labels-idx1-ubyte.gz": (28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        "t10k-images-idx3-ubyte.gz": (1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        "t10k-labels-idx1-ubyte.gz": (4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte.gz": (26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        "train-labels-idx1-ubyte.gz": (29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        "t10k-images-idx3-ubyte.gz": (4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        "t10k-labels-idx1-ubyte.gz": (5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    },
}


def remotes(name: str) -> dict[str, Remote]:
    """Returns the published files of `mnist` or `fashion_mnist` by their names."""
    return {file: Remote(file, (_PLACES[name] + file,), *known) for file, known in _PUBLISHED[name].items()}


def _source(
    name: str,
    *,
    dataset_dir: str,
    archive_dir: str | None = None,
    check_archives: bool = True,
    validation_fraction: float | None = None,
    validation_count: int | None = None,
) -> Source:
    """Declares MNIST or Fashion-MNIST.

    Args:
        name: `mnist` or `fashion_mnist`.
        dataset_dir: where the records go, and downloads meanwhile.
        archive_dir: folder of files brought by hand.
        check_archives: whether these must be the published ones; other images of 28 x 28 pixels in the same format are
            taken without.
        validation_fraction, validation_count: if one is given, validation images are drawn from those for training.
    """
    files = remotes(name)
    shelf = Shelf(dataset_dir, archive_dir, check=check_archives, names=files)
    drawn = bool(validation_fraction or validation_count)

    def open_files(stack: contextlib.ExitStack) -> Contents:
        data = {split: _read_split(split, files, shelf, stack) for split in _PREFIXES}
        return _contents(data, CLASSES[name], drawn)

    # As in Slim: nothing is downloaded where all files are there already, whoever made them.
    made = all(os.path.isfile(os.path.join(dataset_dir, f"{name}_{split}.tfrecord")) for split in _PREFIXES)
    unpacked = {file: path for file in files if (path := _unpacked(file, shelf))}
    known = [identity_of(unpacked[file]) if file in unpacked else shelf.identity([files[file]])[0] for file in files]
    identity, plain = {"converter": name, "files": known}, not unpacked and shelf.is_published(files.values())
    return Source(name, identity, open_files, shards=1, trusts_files=made and plain, name_shard=shards.single_name)


mnist = functools.partial(_source, "mnist")
fashion_mnist = functools.partial(_source, "fashion_mnist")


def _contents(data: dict[str, tuple[np.ndarray, np.ndarray]], class_names: tuple[str, ...], drawn: bool) -> Contents:
    """The contents: split -> (uint8 [n, 28, 28], uint8 [n])."""
    items = [
        Item(f"{split}/{index:05d}", int(label), None if drawn and split == _TRAIN else split)
        for split, (_, labels) in data.items()
        for index, label in enumerate(labels)
    ]

    def load(item: Item) -> EncodedImage:
        split, index = item.key.split("/")
        # Slim's encoder, for Slim's bytes.
        png = tf.io.encode_png(data[split][0][int(index)][..., None]).numpy()
        return EncodedImage(png, "png", _SIZE, _SIZE)

    return Contents(
        class_names, items, load, has_files=False, channels=1, in_order=True, fixed_classes=True, validation_count=0
    )


def _read_split(
    split: str, files: dict[str, Remote], shelf: Shelf, stack: contextlib.ExitStack
) -> tuple[np.ndarray, np.ndarray]:
    """Reads a split: images uint8 [n, 28, 28] (0 is background), labels uint8 [n] of 0 to 9."""
    images_path, labels_path = (
        _path(f"{_PREFIXES[split]}-{kind}-ubyte", files, shelf, stack) for kind in ("images-idx3", "labels-idx1")
    )
    images, labels = read_idx(images_path, _IMAGES_MAGIC), read_idx(labels_path, _LABELS_MAGIC)
    if images.shape[1:] != (_SIZE, _SIZE):
        raise UserError(f"{images_path}: images of {images.shape[2]}x{images.shape[1]} pixels, expected 28x28")
    if len(images) != len(labels):
        raise UserError(f"{images_path} has {len(images)} images, {labels_path} has {len(labels)} labels")
    if labels.max(initial=0) > 9:
        raise UserError(f"{labels_path}: found label {labels.max()}, expected 0 to 9")
    return images, labels


def _path(name: str, files: dict[str, Remote], shelf: Shelf, stack: contextlib.ExitStack) -> str:
    """The path of a file: uncompressed where that is there and the archive is not."""
    compressed = f"{name}.gz"
    return _unpacked(compressed, shelf) or shelf.get(files[compressed], stack)


def _unpacked(compressed: str, shelf: Shelf) -> str | None:
    """The path of an uncompressed file that is there while its archive is not."""
    return None if shelf.find(compressed) else shelf.find(compressed.removesuffix(".gz"))


def read_idx(path: str, magic: int) -> np.ndarray:
    """Reads a file of bytes in idx format, compressed with gzip or not: uint8 of the shape that its header says.

    Raises:
        UserError: another format, or more or fewer bytes than its header says.
    """
    data = archives.read_compressed(path, _MAX_BYTES)
    dimensions = magic & 0xFF
    header = 4 + 4 * dimensions
    if len(data) < header or struct.unpack_from(">I", data)[0] != magic:
        raise UserError(f"{path} is not an idx file of {dimensions} dimensions; download or copy it again")
    shape = struct.unpack_from(f">{dimensions}I", data, 4)
    if len(data) - header != math.prod(shape):
        raise UserError(
            f"{path} has {len(data) - header} bytes after its header, which says {math.prod(shape)}; "
            "download or copy it again"
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)
