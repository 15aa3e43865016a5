"""CIFAR-10 and CIFAR-100: 50,000 + 10,000 colour images of 32 x 32 pixels, from the published Python archives.

As Slim's converter: `cifar10_{train,test}.tfrecord`, one file each, PNG images in the batches' order. CIFAR-100, which
Slim did not have, likewise; its records hold the coarse class beside the fine one. The archives are read without being
extracted, and their pickles without unpickling objects (`plain_pickles`).
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from common import suggest
from common.downloads import Remote
from common.errors import UserError
from datasets import archives, plain_pickles, records, shards
from datasets.downloads import Shelf, identity_of
from datasets.images import EncodedImage
from datasets.sources import Contents, Item, Source

_TRAIN, _TEST = "train", "test"
_SIZE = 32
_ROW = 3 * _SIZE * _SIZE
_MAX_BYTES = 2**28  # of a batch; the largest, CIFAR-100's for training, has 155 MB
_PLACE = "https://www.cs.toronto.edu/~kriz/"

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
LABELS = ("fine", "coarse")


@dataclasses.dataclass(frozen=True)
class _Published:
    """How one of the two is published; digests as Keras publishes them with its own downloads."""

    remote: Remote
    folder: str
    batches: Mapping[str, tuple[str, ...]]

    @property
    def files(self) -> set[str]:
        """The names of the files that are read."""
        return {"meta", *(name for names in self.batches.values() for name in names)}


_CIFAR10 = _Published(
    Remote(
        "cifar-10-python.tar.gz",
        (_PLACE + "cifar-10-python.tar.gz",),
        sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    ),
    folder="cifar-10-batches-py",
    batches={_TRAIN: tuple(f"data_batch_{k}" for k in range(1, 6)), _TEST: ("test_batch",)},
)
_CIFAR100 = _Published(
    Remote(
        "cifar-100-python.tar.gz",
        (_PLACE + "cifar-100-python.tar.gz",),
        sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
    ),
    folder="cifar-100-python",
    batches={_TRAIN: ("train",), _TEST: ("test",)},
)


def cifar10(
    *,
    dataset_dir: str,
    archive_dir: str | None = None,
    check_archives: bool = True,
    validation_fraction: float | None = None,
    validation_count: int | None = None,
) -> Source:
    """Declares CIFAR-10.

    Args:
        dataset_dir: where the records go, and the download meanwhile.
        archive_dir: folder of the archive, or of the folder extracted from it, brought by hand.
        check_archives: whether the archive must be the published one.
        validation_fraction, validation_count: if one is given, validation images are drawn from those for training.
    """
    drawn = bool(validation_fraction or validation_count)

    def contents(files: Mapping[str, bytes]) -> Contents:
        data = {split: _batches(files, names, b"labels", 10) for split, names in _CIFAR10.batches.items()}
        return _contents(data, CIFAR10_CLASSES, drawn)

    return _source("cifar10", _CIFAR10, contents, Shelf(dataset_dir, archive_dir, check=check_archives), dataset_dir)


def cifar100(
    *,
    dataset_dir: str,
    archive_dir: str | None = None,
    check_archives: bool = True,
    cifar100_labels: str = "fine",
    validation_fraction: float | None = None,
    validation_count: int | None = None,
) -> Source:
    """Declares CIFAR-100; arguments as `cifar10`, and `cifar100_labels`, `fine` (100 classes) or `coarse` (20)."""
    if cifar100_labels not in LABELS:
        raise UserError(suggest.unknown("--cifar100_labels", cifar100_labels, LABELS))
    drawn = bool(validation_fraction or validation_count)

    def contents(files: Mapping[str, bytes]) -> Contents:
        names = {kind: _class_names(files, kind) for kind in LABELS}
        key = f"{cifar100_labels}_labels".encode()
        data, coarse = {}, {}
        for split, batches in _CIFAR100.batches.items():
            data[split] = _batches(files, batches, key, len(names[cifar100_labels]))
            coarse[split] = _batches(files, batches, b"coarse_labels", len(names["coarse"]))[1]
        return _contents(data, names[cifar100_labels], drawn, coarse)

    shelf = Shelf(dataset_dir, archive_dir, check=check_archives)
    return _source("cifar100", _CIFAR100, contents, shelf, dataset_dir, labels=cifar100_labels)


def _source(name: str, published: _Published, contents: Any, shelf: Shelf, dataset_dir: str, **identity: Any) -> Source:
    def open_files(stack: contextlib.ExitStack) -> Contents:
        return contents(_read_files(published, shelf, stack))

    # As in Slim: nothing is downloaded where all files are there already, whoever made them.
    made = all(os.path.isfile(os.path.join(dataset_dir, f"{name}_{split}.tfrecord")) for split in published.batches)
    folder, plain = _extracted(published, shelf), identity.get("labels", LABELS[0]) == LABELS[0]
    files = shelf.identity([published.remote])
    if folder:
        files = [identity_of(os.path.join(folder, file)) for file in sorted(published.files & set(os.listdir(folder)))]
    trusted = made and plain and not folder and shelf.is_published([published.remote])
    identity = {"converter": name, "files": files, **identity}
    return Source(name, identity, open_files, shards=1, trusts_files=trusted, name_shard=shards.single_name)


def _extracted(published: _Published, shelf: Shelf) -> str | None:
    """The path of the folder extracted from the archive, where that is there and the archive is not."""
    folder = None if shelf.find(published.remote.name) else shelf.find(published.folder)
    if folder and not os.path.isdir(folder):
        raise UserError(f"{folder} is a file; expected the folder that {published.remote.name} holds, or the archive")
    return folder


def _read_files(published: _Published, shelf: Shelf, stack: contextlib.ExitStack) -> dict[str, bytes]:
    """The files that are needed, by name, from the archive or from the folder that was extracted from it."""
    wanted = published.files
    if folder := _extracted(published, shelf):
        found, place = dict(_read_folder(folder, wanted)), folder
    else:
        place = shelf.get(published.remote, stack)
        found = {
            os.path.basename(name): data
            for name, data in archives.read_files(
                place, lambda name: os.path.basename(name) in wanted and published.folder in name, _MAX_BYTES
            )
        }
    missing = sorted(wanted - found.keys() - {"meta"})
    if missing:
        raise UserError(f"{place} has no {missing[0]}; expected {', '.join(sorted(wanted - {'meta'}))}")
    return found


def _read_folder(folder: str, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    for name in sorted(wanted & set(os.listdir(folder))):
        yield name, archives.read_compressed(os.path.join(folder, name), _MAX_BYTES)


def _batches(
    files: Mapping[str, bytes], names: Sequence[str], key: bytes, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """The images uint8 [n, 3, 32, 32] and the labels int64 [n] of batches, one after the other."""
    images, labels = [], []
    for name in names:
        batch = plain_pickles.loads(files[name], name)
        images.append(_images(batch, name))
        labels.append(_labels(batch, key, num_classes, len(images[-1]), name))
    return np.concatenate(images), np.concatenate(labels)


def _images(batch: Any, name: str) -> np.ndarray:
    array = batch.get(b"data") if isinstance(batch, dict) else None
    if not isinstance(array, plain_pickles.Bytes) or array.shape[1:] != (_ROW,):
        raise UserError(f"{name} is not a batch of CIFAR: expected bytes of {_ROW} for each image under 'data'")
    return np.frombuffer(array.data, np.uint8).reshape(-1, 3, _SIZE, _SIZE)


def _labels(batch: Mapping, key: bytes, num_classes: int, count: int, name: str) -> np.ndarray:
    labels, word = batch.get(key), key.decode()
    if not isinstance(labels, list) or len(labels) != count:
        raise UserError(f"{name} is not a batch of CIFAR: expected {count} numbers under {word!r}")
    if not all(isinstance(label, int) and 0 <= label < num_classes for label in labels):
        raise UserError(f"{name}: expected numbers of 0 to {num_classes - 1} under {word!r}")
    return np.array(labels, np.int64)


def _class_names(files: Mapping[str, bytes], kind: str) -> list[str]:
    meta = plain_pickles.loads(files["meta"], "meta") if "meta" in files else {}
    names = meta.get(f"{kind}_label_names".encode()) if isinstance(meta, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, bytes) for name in names):
        raise UserError(f"the archive's file `meta` has no names of the {kind} classes; download or copy it again")
    return [name.decode("ascii", "replace") for name in names]


def _contents(
    data: Mapping[str, tuple[np.ndarray, np.ndarray]],
    class_names: Sequence[str],
    drawn: bool,
    coarse: Mapping[str, np.ndarray] | None = None,
) -> Contents:
    items = [
        Item(f"{split}/{index:05d}", int(label), None if drawn and split == _TRAIN else split)
        for split, (_, labels) in data.items()
        for index, label in enumerate(labels)
    ]

    def load(item: Item) -> EncodedImage:
        split, index = item.key.split("/")
        pixels = data[split][0][int(index)].transpose(1, 2, 0)
        extra = coarse and {records.COARSE_LABEL: records.int64_feature(int(coarse[split][int(index)]))}
        # Slim's encoder, for Slim's bytes.
        return EncodedImage(tf.io.encode_png(pixels).numpy(), "png", _SIZE, _SIZE, extra=extra)

    return Contents(class_names, items, load, has_files=False, in_order=True, fixed_classes=True, validation_count=0)
