"""Visual Wake Words: COCO's photos of 2014 by whether there is a person (or another thing) in them to speak of.

As Slim's converter: `train.record-00000-of-00100`, `val.record-00000-of-00010`, photo k in shard k modulo their number,
the features with COCO's file name and number and the boxes that count. One deliberate difference: a category that COCO
does not have is an error (Slim took `person`).
"""

import contextlib
import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from absl import logging

from common import suggest
from common.downloads import Remote
from common.errors import UserError
from datasets import archives, file_trees, images, records, shards
from datasets.downloads import Shelf
from datasets.images import EncodedImage
from datasets.sources import Contents, Item, Source

_PLACE = "http://images.cocodataset.org/"
# Sizes and digests as TensorFlow Datasets publishes them (url_checksums/coco2014.txt).
_PUBLISHED = {
    "train2014.zip": ("zips/", 13510573713, "ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775"),
    "val2014.zip": ("zips/", 6645013297, "fe9be816052049c34717e077d9e34aa60814a55679f804cd043e3cbee3b9fde0"),
    "annotations_trainval2014.zip": (
        "annotations/",
        252872794,
        "031296bbc80c45a1d1f76bf9a90ead27e94e99ec629208449507a4917a3bf009",
    ),
}
_ANNOTATIONS = "annotations_trainval2014"
_SPLITS = {"train": "train2014", "val": "val2014"}
_SHARDS = {"train": 100, "val": 10}
_MAX_JSON_BYTES = 2**31
_WHITE_SPACE = re.compile(r"[ \t\r\n]*")


class _Photo(NamedTuple):
    """A photo of COCO, with the objects that make it foreground.

    Attributes:
        file_name: its file's.
        height, width: in pixels, as COCO says.
        objects: area in pixels and x, y, width, height in pixels of each.
    """

    id: int
    file_name: str
    height: int
    width: int
    objects: list[tuple[float, tuple[float, float, float, float]]]


def source(
    *,
    dataset_dir: str,
    archive_dir: str | None = None,
    check_archives: bool = True,
    foreground_class_of_interest: str = "person",
    small_object_area_threshold: float = 0.005,
    coco_dirname: str = "coco_dataset",
    coco_train_url: str | None = None,
    coco_validation_url: str | None = None,
    coco_annotations_url: str | None = None,
) -> Source:
    """Declares Visual Wake Words.

    Args:
        dataset_dir: where the records go.
        archive_dir: folder of COCO's archives, or of the folders `train2014`, `val2014` and `annotations`, brought by
            hand.
        check_archives: whether the archives must be the published ones.
        foreground_class_of_interest: COCO's category that counts.
        small_object_area_threshold: objects of at most this share of the photo's area do not count.
        coco_dirname: folder below `dataset_dir` where downloads go and stay, as in Slim.
        coco_train_url, coco_validation_url, coco_annotations_url: other places to download from.
    """
    shelf = Shelf(
        os.path.join(dataset_dir, coco_dirname), archive_dir, check=check_archives, keep=True, names=_PUBLISHED
    )
    urls = {
        "train2014": coco_train_url,
        "val2014": coco_validation_url,
        _ANNOTATIONS: coco_annotations_url,
    }
    remotes = {name: _remote(f"{name}.zip", url) for name, url in urls.items()}

    def open_photos(stack: contextlib.ExitStack) -> Contents:
        annotations = {
            split: _read_annotations(
                _annotations(name, remotes[_ANNOTATIONS], shelf, stack),
                foreground_class_of_interest,
                small_object_area_threshold,
            )
            for split, name in _SPLITS.items()
        }
        trees = {
            split: file_trees.open_tree(shelf.find(name) or shelf.get(remotes[name], stack), stack)
            for split, name in _SPLITS.items()
        }
        return _contents(annotations, trees, foreground_class_of_interest)

    extracted = [path for name in _SPLITS.values() for path in (shelf.find(name), _annotation_file(name, shelf))]
    identity = {
        "converter": "visualwakewords",
        "files": [*shelf.identity(remotes.values()), *map(file_trees.identity, filter(None, extracted))],
        "foreground": foreground_class_of_interest,
        "threshold": small_object_area_threshold,
    }
    return Source(
        "visualwakewords", identity, open_photos, _SHARDS, name_shard=shards.record_name, deal=shards.deal_in_turn
    )


def _remote(name: str, url: str | None) -> Remote:
    folder, size, sha256 = _PUBLISHED[name]
    return Remote(name, (url,)) if url else Remote(name, (f"{_PLACE}{folder}{name}",), size, sha256)


def _annotations(split_name: str, archive: Remote, shelf: Shelf, stack: contextlib.ExitStack) -> tuple[str, str]:
    """The annotations of a split: their place, for errors, and their text."""
    name = f"instances_{split_name}.json"
    if path := _annotation_file(split_name, shelf):
        with open(path, "rb") as file:
            return path, _decoded(path, file.read())
    path = shelf.get(archive, stack)
    for _, data in archives.read_files(path, lambda member: os.path.basename(member) == name, _MAX_JSON_BYTES):
        return f"{path}, {name}", _decoded(f"{path}, {name}", data)
    raise UserError(f"{path} has no {name}; download or copy it again")


def _decoded(place: str, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{place} is not UTF-8 text ({error.reason}); download or copy it again") from error


def _annotation_file(split_name: str, shelf: Shelf) -> str | None:
    """The path of a split's annotations where they are extracted already."""
    name = f"instances_{split_name}.json"
    return shelf.find(name) or shelf.find(f"annotations/{name}")


def _read_annotations(annotations: tuple[str, str], category: str, threshold: float) -> list[_Photo]:
    """Reads COCO's annotations of instances: its photos in order, each with the objects that count.

    Element after element: what all of them take as Python's objects is ten times the text's size.
    """
    place, text = annotations
    photos: dict[int, _Photo] = {}
    found: list[tuple[int, int, float, tuple]] = []
    categories: dict[str, int] = {}
    try:
        for key, element in elements(text):
            if key == "images":
                photos[element["id"]] = _photo(element)
            elif key == "annotations":
                x, y, width, height = map(_number, element["bbox"])
                area = _number(element["area"])
                found.append((element["image_id"], element["category_id"], area, (x, y, width, height)))
            elif key == "categories":
                categories[element["name"]] = element["id"]
        if category not in categories:
            raise UserError(suggest.unknown("--foreground_class_of_interest", category, categories, show=100))
        for image, kind, area, box in found:
            photo = photos[image]
            if kind == categories[category] and area / (photo.height * photo.width) > threshold:
                photo.objects.append((area, box))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        what = f"{type(error).__name__}: {error}"
        raise UserError(f"{place} is not a file of COCO's instances ({what}); download or copy it again") from error
    return list(photos.values())


def _photo(element: Mapping[str, Any]) -> _Photo:
    photo = _Photo(element["id"], element["file_name"], element["height"], element["width"], [])
    if not isinstance(photo.file_name, str):
        raise TypeError(f"file_name {photo.file_name!r} is no text")
    photo.file_name.encode()  # half of a character has no bytes: ValueError
    if not all(isinstance(side, int) and side > 0 for side in (photo.height, photo.width)):
        raise ValueError(f"{photo.file_name} has {photo.width!r}x{photo.height!r} pixels")
    return photo


def _number(value: Any) -> float:
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise TypeError(f"{value!r} is no number")
    return value


def elements(text: str) -> Iterator[tuple[str, Any]]:
    """Yields (key, element) of the lists in a JSON object, one after the other, without holding them all.

    Raises:
        ValueError: it is no JSON object.
    """
    decode, position = json.JSONDecoder().raw_decode, _next(text, 0, "{")
    while _peek(text, position) != "}":
        key, position = decode(text, _space(text, position))
        position = _next(text, position, ":")
        if _peek(text, position) == "[":
            position = _next(text, position, "[")
            while _peek(text, position) != "]":
                element, position = decode(text, _space(text, position))
                yield key, element
                if _peek(text, position) == ",":
                    position = _next(text, position, ",")
            position = _next(text, position, "]")
        else:
            _, position = decode(text, _space(text, position))
        if _peek(text, position) == ",":
            position = _next(text, position, ",")


def _space(text: str, position: int) -> int:
    """The position of the next character that is no white space."""
    return _WHITE_SPACE.match(text, position).end()


def _peek(text: str, position: int) -> str:
    position = _space(text, position)
    if position == len(text):
        raise ValueError("it ends in the middle")
    return text[position]


def _next(text: str, position: int, character: str) -> int:
    """The position after a character that must come next."""
    found, position = _peek(text, position), _space(text, position)
    if found != character:
        raise ValueError(f"expected {character!r} at character {position}, found {found!r}")
    return position + 1


def _contents(
    annotations: Mapping[str, list[_Photo]], trees: Mapping[str, file_trees.Tree], foreground: str
) -> Contents:
    photos, items, paths = {}, [], {}
    for split, tree in trees.items():
        logging.info("Listing %s ...", tree.place)
        files = {os.path.basename(path): (path, size) for path, size in tree.files()}
        for photo in annotations[split]:
            key = f"{_SPLITS[split]}/{photo.file_name}"
            paths[key], size = files.get(photo.file_name, (photo.file_name, 0))
            photos[key] = photo
            items.append(Item(key, int(bool(photo.objects)), split, size))

    def load(item: Item) -> EncodedImage:
        photo, tree = photos[item.key], trees[item.split]
        image = images.prepare_jpeg(tree.read(paths[item.key]))
        return image._replace(extra=features(photo, image.data))

    return Contents(["background", foreground], items, load, in_order=True, fixed_classes=True, validation_count=0)


def features(photo: _Photo, data: bytes) -> dict[str, Any]:
    """Returns the features that Slim's records have beside encoded image and label."""
    boxes = [
        (y / photo.height, x / photo.width, (y + height) / photo.height, (x + width) / photo.width)
        for _, (x, y, width, height) in photo.objects
    ]
    return {
        records.HEIGHT: records.int64_feature(photo.height),
        records.WIDTH: records.int64_feature(photo.width),
        records.FILENAME: records.bytes_feature(photo.file_name.encode()),
        records.SOURCE_ID: records.bytes_feature(str(photo.id).encode()),
        records.SHA256: records.bytes_feature(hashlib.sha256(data).hexdigest().encode()),
        records.FORMAT: records.bytes_feature(b"jpeg"),
        records.AREA: records.float_feature([area for area, _ in photo.objects]),
        **records.box_features(boxes),
    }
