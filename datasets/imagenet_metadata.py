"""What is known of ImageNet beside its photos: synsets, names, validation labels, bounding boxes.

The lists in this folder: `imagenet_lsvrc_2015_synsets.txt` has the 1,000 synsets in the order of their classes, from 1
(TensorFlow's models, Apache-2.0); `imagenet_2012_validation_labels.txt` the class of each validation photo (worked out
from TensorFlow Datasets' list of their synsets, Apache-2.0).
"""

import collections
import os
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from xml.etree import ElementTree

from common.errors import UserError
from datasets import archives, imagenet_names

_FOLDER = os.path.dirname(__file__)
_SYNSETS_FILE = os.path.join(_FOLDER, "imagenet_lsvrc_2015_synsets.txt")
_VALIDATION_FILE = os.path.join(_FOLDER, "imagenet_2012_validation_labels.txt")
_MAX_XML_BYTES = 2**20
_XML_NAME = re.compile(r"(n\d+)_\d+\.xml")

# Boxes of an image, packed: 544,546 images have some. Each is ymin, xmin, ymax, xmax, of 0 to 1.
Boxes = Mapping[str, bytes]
_BOX = struct.Struct("<4d")


def read_synsets(path: str | None) -> list[str]:
    """Reads the synsets in the order of their classes, which count from 1; ILSVRC 2012's without a path.

    Raises:
        UserError: no such file, nothing in it, or a synset twice.
    """
    synsets = [line for _, line in _lines(path or _SYNSETS_FILE, "--labels_file")]
    twice = [synset for synset, count in collections.Counter(synsets).items() if count > 1]
    if twice or not synsets:
        found = f"{twice[0]} is there twice" if twice else "it is empty"
        raise UserError(f"--labels_file={path}: expected a synset a line, each once; {found}")
    return synsets


def read_names(synsets: Sequence[str], metadata_file: str | None) -> list[str]:
    """Returns the names for people of synsets: ILSVRC 2012's own, those of a file, else the synset itself.

    Args:
        synsets: such as n01440764.
        metadata_file: lines of synset, tab, names.
    """
    known = dict(zip(read_synsets(None), imagenet_names.class_names(1000), strict=True))
    if metadata_file:
        for number, line in _lines(metadata_file, "--imagenet_metadata_file"):
            synset, tab, names = line.partition("\t")
            if not tab:
                raise UserError(f"{metadata_file}, line {number}: expected a synset, a tab and names; found {line!r}")
            known[synset] = names.strip()
    return [known.get(synset, synset) for synset in synsets]


def read_validation_labels(path: str | None) -> list[str]:
    """Returns the synset of each validation photo, in the order of their numbers; ILSVRC 2012's without a path.

    A line is a synset, or a class number of ILSVRC 2012's (from 1).
    """
    classes, synsets = read_synsets(None), []
    for number, line in _lines(path or _VALIDATION_FILE, "--validation_labels_file"):
        if line.isdigit() and not 1 <= int(line) <= len(classes):
            raise UserError(f"{path}, line {number}: class {line}, expected 1 to {len(classes)} or a synset")
        synsets.append(classes[int(line) - 1] if line.isdigit() else line)
    return synsets


def boxes_of(boxes: Boxes, name: str) -> list[tuple[float, float, float, float]]:
    """Returns the boxes of an image by its file's name: ymin, xmin, ymax, xmax of each."""
    return list(_BOX.iter_unpack(boxes.get(name, b"")))


def read_boxes(path: str, synsets: Sequence[str]) -> dict[str, bytes]:
    """Reads bounding boxes: Slim's CSV (`NAME.JPEG,xmin,ymin,xmax,ymax`, of 0 to 1), or XML files.

    Args:
        path: of the CSV file, of an archive of XML files, or of a folder that has them at any depth.
        synsets: whose images count; a box of another synset of these than its image's is left out, as Slim did.

    Raises:
        UserError: no such file, or a line or file that holds no boxes.
    """
    if os.path.isdir(path):
        return _boxes_of_xml(_walk_xml(path), synsets, path)
    if path.lower().endswith(".csv"):
        return _boxes_of_csv(path)
    return _boxes_of_xml(archives.read_files(path, lambda name: name.endswith(".xml"), _MAX_XML_BYTES), synsets, path)


def _boxes_of_csv(path: str) -> dict[str, bytes]:
    boxes: dict[str, bytes] = {}
    for number, line in _lines(path, "--bounding_box_file"):
        name, *sides = line.split(",")
        try:
            xmin, ymin, xmax, ymax = (float(side) for side in sides)
            if not (0 <= xmin <= xmax <= 1 and 0 <= ymin <= ymax <= 1):
                raise ValueError
        except ValueError:
            expected = "NAME,xmin,ymin,xmax,ymax with shares of the image from 0 to 1"
            raise UserError(f"{path}, line {number}: expected {expected}; found {line!r}") from None
        boxes[name] = boxes.get(name, b"") + _BOX.pack(ymin, xmin, ymax, xmax)
    return boxes


def _boxes_of_xml(files: Iterator[tuple[str, bytes]], synsets: Sequence[str], path: str) -> dict[str, bytes]:
    known, boxes = set(synsets), {}
    for file_name, data in files:
        match = _XML_NAME.fullmatch(os.path.basename(file_name))
        if match and match[1] in known:
            try:
                found = _boxes_of_one(data, match[1], known)
            except (ElementTree.ParseError, ValueError, TypeError) as error:
                raise UserError(f"{path}: {file_name} holds no bounding boxes ({error}); copy it again") from error
            if found:
                boxes[os.path.basename(file_name).removesuffix("xml") + "JPEG"] = found
    return boxes


def _boxes_of_one(data: bytes, synset: str, known: set[str]) -> bytes:
    """The boxes of an XML file, packed."""
    if b"<!" in data.replace(b"<!--", b""):
        raise ValueError("it declares entities")  # which can grow without bounds
    root, packed = ElementTree.fromstring(data), b""
    width, height = (float(root.findtext(f"size/{side}")) for side in ("width", "height"))
    if not (width > 0 and height > 0):
        raise ValueError(f"its image has {width:.0f}x{height:.0f} pixels")
    for element in root.iter("object"):
        label, box = element.findtext("name"), element.find("bndbox")
        if label != synset and label in known:
            continue
        x = sorted(_share(box, side, width) for side in ("xmin", "xmax"))
        y = sorted(_share(box, side, height) for side in ("ymin", "ymax"))
        if x[0] < x[1] and y[0] < y[1]:
            # Slim's boxes went through a text of four decimals.
            packed += _BOX.pack(*(round(side, 4) for side in (y[0], x[0], y[1], x[1])))
    return packed


def _share(box: ElementTree.Element, side: str, size: float) -> float:
    return min(max(float(box.findtext(side)) / size, 0.0), 1.0)


def _walk_xml(folder: str) -> Iterator[tuple[str, bytes]]:
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name.endswith(".xml"):
                with open(os.path.join(place, name), "rb") as file:
                    yield name, file.read(_MAX_XML_BYTES)


def _lines(path: str, flag: str) -> Iterator[tuple[int, str]]:
    """(number, text) of each line of a file that is not empty."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if text := line.strip():
                    yield number, text
    except OSError as error:
        raise UserError(f"{flag}={path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{flag}={path} is not a text file ({error.reason})") from error
