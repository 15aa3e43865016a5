"""ImageNet (ILSVRC 2012): 1,281,167 photos for training and 50,000 for validation, in 1,000 classes and background.

As Slim's builder: `train-00000-of-01024`, `validation-00000-of-00128`, classes 1 to 1000 (0 is background), the
features with synset, names and bounding boxes, and its order, if the files are listed in the order of their names. The
photos come from the official archives, read in place and not extracted, or from folders that they were extracted to.

Slim's list of photos that are not what their names say (a PNG, 22 CMYK JPEGs) is not needed: each file is looked at.
"""

import collections
import contextlib
import itertools
import os
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from common.downloads import Remote, sha256_of
from common.errors import UserError
from datasets import file_trees, image_folder, images, records, shards
from datasets import imagenet_metadata as metadata
from datasets.downloads import Shelf
from datasets.images import EncodedImage
from datasets.sources import Contents, Item, Source

# Sizes and digests as TensorFlow Datasets publishes them (imagenet2012/checksums.tsv).
TRAIN_ARCHIVE = Remote(
    "ILSVRC2012_img_train.tar", (), 147897477120, "b08200a27a8e34218a0e58fde36b0fe8f73bc377f4acea2d91602057c3ca45bb"
)
VALIDATION_ARCHIVE = Remote(
    "ILSVRC2012_img_val.tar", (), 6744924160, "c7e06a6c0baccf06d8dbeb6577d71efff84673a5dbdd50633ab44f8ea0456ae0"
)
_BOXES = ("imagenet_2012_bounding_boxes.csv", "ILSVRC2012_bbox_train_v2.tar.gz")
_TRAIN_FOLDERS = ("train", "raw-data/train")  # the second is Slim's
_VALIDATION_FOLDERS = ("validation", "val", "raw-data/validation")
_SYNSET = re.compile(r"n\d{8}")
_TRAIN_NAME = re.compile(r"(n\d+)_\d+\.\w+")
_VALIDATION_NAME = re.compile(r"ILSVRC2012_val_(\d+)\.\w+")
_SHARDS = {"train": 1024, "validation": 128}
_SLIM_SEED = 12345
_SLIM_THREADS = 8
_OTHER_SYNSETS = "photos of synsets that are not listed"


class _Photos(NamedTuple):
    """Where a split's photos are: a folder or an archive."""

    split: str
    place: str


class _Listing(NamedTuple):
    """What a split has: the photos, key and reason of what looks like one and is none, and other files by kind."""

    items: list[Item]
    left_out: list[tuple[str, str]]
    ignored: collections.Counter


def source(
    *,
    dataset_dir: str,
    archive_dir: str | None = None,
    check_archives: bool = True,
    train_directory: str | None = None,
    validation_directory: str | None = None,
    bounding_box_file: str | None = None,
    labels_file: str | None = None,
    validation_labels_file: str | None = None,
    imagenet_metadata_file: str | None = None,
    seed: int | None = None,
) -> Source:
    """Declares ImageNet; a split whose photos are nowhere is left out.

    Args:
        dataset_dir: where the records go.
        archive_dir: folder of the archives under their published names, or of folders `train` and `validation`.
        check_archives: whether the archives must have the published sizes.
        train_directory: folder of a folder of photos for each synset, instead.
        validation_directory: folder of the validation photos, flat or in a folder for each synset, instead.
        bounding_box_file: Slim's CSV, or an archive or folder of XML files; default: what lies in `archive_dir`.
        labels_file: synsets in the order of their classes, from 1.
        validation_labels_file: synset of each validation photo.
        imagenet_metadata_file: names of the synsets, for a `labels_file` with others.
        seed: of the order; None for Slim's.
    """
    shelf = Shelf(dataset_dir, archive_dir, check=check_archives)
    synsets = metadata.read_synsets(labels_file)
    names = metadata.read_names(synsets, imagenet_metadata_file)
    if bounding_box_file and not os.path.exists(bounding_box_file):
        raise UserError(f"--bounding_box_file={bounding_box_file}: no such file or folder")
    boxes_path = bounding_box_file or next(filter(None, map(shelf.find, _BOXES)), None)
    photos = [
        *_find("train", train_directory, _TRAIN_FOLDERS, TRAIN_ARCHIVE, shelf),
        *_find("validation", validation_directory, _VALIDATION_FOLDERS, VALIDATION_ARCHIVE, shelf),
    ]
    if not photos:
        raise UserError(
            f"no photos of ImageNet: put {TRAIN_ARCHIVE.name} and {VALIDATION_ARCHIVE.name} (image-net.org gives them "
            "to who has an account) into a folder and name that with --archive_dir, or name extracted folders with "
            "--train_directory and --validation_directory"
        )
    if len(photos) == 1:
        logging.warning("There are photos for split %r only; the other is left out.", photos[0].split)

    def open_photos(stack: contextlib.ExitStack) -> Contents:
        boxes = _read_boxes(boxes_path, synsets)
        trees = {split: file_trees.open_tree(place, stack) for split, place in photos}
        labels = _Labels(synsets, validation_labels_file)
        listings = [_list(split, tree, labels, seed is None) for split, tree in trees.items()]
        return _contents(listings, trees, synsets, names, boxes, in_order=seed is None)

    identity = {
        "converter": "imagenet",
        "photos": [file_trees.identity(place) for _, place in photos],
        "boxes": boxes_path and file_trees.identity(boxes_path),
        "classes": [path and sha256_of(path) for path in (labels_file, validation_labels_file, imagenet_metadata_file)],
        "order": "slim" if seed is None else "seed",
    }
    return Source("imagenet", identity, open_photos, _SHARDS, name_shard=shards.imagenet_name, deal=deal)


def _find(split: str, folder: str | None, folders: Sequence[str], archive: Remote, shelf: Shelf) -> list[_Photos]:
    """Where a split's photos are; nothing if they are nowhere."""
    if folder:
        if not os.path.isdir(folder):
            raise UserError(f"--{split}_directory={folder}: no such folder")
        return [_Photos(split, folder)]
    if place := shelf.by_hand(archive) or next(filter(None, map(shelf.find, folders)), None):
        return [_Photos(split, place)]
    return []


def _read_boxes(path: str | None, synsets: Sequence[str]) -> metadata.Boxes:
    if not path:
        logging.info("No bounding boxes (--bounding_box_file); the records have none.")
        return {}
    logging.info("Reading the bounding boxes of %s ...", path)
    return metadata.read_boxes(path, synsets)


class _Labels:
    """Tells the class of a photo from its path: by its folder, else by its name."""

    def __init__(self, synsets: Sequence[str], validation_labels_file: str | None):
        self._labels = {synset: number for number, synset in enumerate(synsets, 1)}
        self._validation_labels_file = validation_labels_file
        self._validation: list[str] | None = None

    def of(self, path: str) -> int | None:
        """Returns the class, from 1; 0 for a photo of a synset that is not listed, None for what is no photo."""
        folder, name = os.path.split(path)
        folder = os.path.basename(folder)
        if folder in self._labels or _SYNSET.fullmatch(folder):
            return self._labels.get(folder, 0)
        if match := _TRAIN_NAME.fullmatch(name):
            return self._labels.get(match[1], 0)
        match = _VALIDATION_NAME.fullmatch(name)
        return self._labels.get(self._of_validation(int(match[1]), name), 0) if match else None

    def _of_validation(self, number: int, name: str) -> str:
        if self._validation is None:
            self._validation = metadata.read_validation_labels(self._validation_labels_file)
        if not 1 <= number <= len(self._validation):
            place = self._validation_labels_file or "the list of validation labels"
            raise UserError(f"{name}: {place} has {len(self._validation)} lines, and none for it")
        return self._validation[number - 1]


def _list(split: str, tree: file_trees.Tree, labels: _Labels, slims_order: bool) -> _Listing:
    """The photos of a split: Slim listed them by class and name, and shuffled that."""
    logging.info("Listing %s ...", tree.place)
    items, left_out, ignored = listing = _Listing([], [], collections.Counter())
    for path, size in tree.files():
        suffix, key = image_folder.suffix_of(path), f"{split}/{path}"
        if not image_folder.is_visible(os.path.basename(path)):
            continue
        if suffix not in image_folder.IMAGE_SUFFIXES:
            ignored[suffix] += 1
        elif suffix not in (".jpeg", ".jpg"):
            left_out.append((key, "its name does not end in .JPEG, as those of ImageNet's photos"))
        elif (label := labels.of(path)) is None:
            left_out.append((key, "neither its folder nor its name says a synset"))
        elif not label:  # those of a subset's other synsets may be a million
            ignored[_OTHER_SYNSETS] += 1
        else:
            items.append(Item(key, label, split, size))
    left_out += [(f"{split}/{path}", reason) for path, reason in tree.left_out]
    if not items:
        raise UserError(
            f"{tree.place} has no photos of ImageNet's synsets: expected SYNSET/NAME.JPEG, such as n01440764/..."
        )
    if slims_order:
        items.sort(key=lambda item: (item.label, item.key))
        slim_shuffle(items)
    return listing


def slim_shuffle(items: list) -> None:
    """Shuffles as `random.seed(12345); random.shuffle(items)` did in Python 2, for which Slim's builder was written."""
    draw = random.Random(_SLIM_SEED).random
    for k in range(len(items) - 1, 0, -1):
        other = int(draw() * (k + 1))
        items[k], items[other] = items[other], items[k]


def deal(items: Sequence[Item], num_shards: int) -> list[Sequence[Item]]:
    """Deals photos out to shards as Slim's builder: evenly to 8 threads, each thread's evenly to its shards."""
    threads = _SLIM_THREADS if num_shards % _SLIM_THREADS == 0 else 1
    bounds = [0]
    for start, end in itertools.pairwise(np.linspace(0, len(items), threads + 1).astype(int)):
        bounds += np.linspace(start, end, num_shards // threads + 1).astype(int)[1:].tolist()
    return [items[start:end] for start, end in itertools.pairwise(bounds)]


def _contents(
    listings: Sequence[_Listing],
    trees: Mapping[str, file_trees.Tree],
    synsets: Sequence[str],
    names: Sequence[str],
    boxes: metadata.Boxes,
    in_order: bool,
) -> Contents:
    def load(item: Item) -> EncodedImage:
        split, path = item.key.split("/", 1)
        image = images.prepare_jpeg(trees[split].read(path))
        name = os.path.basename(path)
        return image._replace(extra=features(item.label, synsets, names, name, metadata.boxes_of(boxes, name)))

    return Contents(
        ["background", *names],
        [item for listing in listings for item in listing.items],
        load,
        left_out=[entry for listing in listings for entry in listing.left_out],
        ignored=sum((listing.ignored for listing in listings), collections.Counter()),
        in_order=in_order,
        fixed_classes=True,
        validation_count=0,
    )


def features(
    label: int, synsets: Sequence[str], names: Sequence[str], file_name: str, boxes: Sequence[Sequence[float]]
) -> dict[str, Any]:
    """Returns the features that Slim's records of ImageNet have beside the five of every record."""
    return {
        records.COLORSPACE: records.bytes_feature(b"RGB"),
        records.CHANNELS: records.int64_feature(3),
        records.SYNSET: records.bytes_feature(synsets[label - 1].encode()),
        records.LABEL_TEXT: records.bytes_feature(names[label - 1].encode()),
        **records.box_features(boxes),
        records.OBJECT_LABELS[1]: records.int64_feature([label] * len(boxes)),
        records.FORMAT: records.bytes_feature(b"JPEG"),
        records.FILENAME: records.bytes_feature(os.fsencode(file_name)),
    }
