"""Looks at TFRecords: files against dataset.json, records against their features, images as training would."""

import collections
import dataclasses
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from common.errors import UserError
from common.progress import Progress
from datasets import (
    dataset_factory,
    dataset_utils,
    findings,
    folders,
    image_headers,
    imagenet_names,
    images,
    index,
    inspection,
    pixels,
    record_files,
    records,
    shards,
)
from datasets.facts import Facts
from datasets.findings import Finding, Place
from datasets.image_headers import BadImage
from datasets.inspection import Inspection, Part

_CHUNK, _CHUNK_BYTES = 64, 4e6  # records that a thread looks at in one go
_DECODED_BY_TENSORFLOW = frozenset(["jpeg", "png", "gif", "bmp", "webp"])
_RAW_CHANNELS = (1, 2, 3, 4)  # that the PNG may have which training makes of raw pixels
# What `records.parse` asks of a feature: one value of this kind.
_VALUES = {records.ENCODED: "bytes", records.FORMAT: "bytes", records.HEIGHT: "int64", records.WIDTH: "int64"}
_HEADERS = {"jpeg": image_headers.read_jpeg, "png": image_headers.read_png}


@dataclasses.dataclass(frozen=True)
class _Shape:
    """What is known of a data set before its records are read.

    Attributes:
        files: split -> names.
        class_names: by class; names are numbers where there are none.
        has_classes: whether the number of classes is known.
        multi_label: whether examples may have several.
        default_format: of records that do not say theirs.
    """

    files: Mapping[str, Sequence[str]]
    class_names: Sequence[str]
    has_classes: bool
    multi_label: bool = False
    default_format: str = "jpeg"


def look(config: Any) -> Inspection:
    """Looks through a folder of TFRecords; see `inspection.look`."""
    folder, with_pixels = config.dataset_dir, config.checks == "pixels"
    description = folders.read_description(folder)
    shape = _shape(folder, description, config.dataset_name)
    found = list(_file_findings(folder, description, shape))
    total = sum(entry["examples"] for entry in description["splits"].values()) if description else None
    progress = Progress("looking at", total)

    def look_at(chunk: tuple[str, str, list[record_files.Record]]) -> Part:
        split, shard, some = chunk
        part = Part(split, shard, Facts(with_pixels))
        for record in some:
            if record.problem:
                part.say(record.number, "damaged_record", record.problem)
            else:
                _look_at_record(record, part, shape, with_pixels)
        return part

    try:
        parts = list(inspection.in_threads(look_at, _chunks(folder, shape), config.num_threads, progress))
    finally:
        progress.close()
    counts = {split: collections.Counter() for split in shape.files}
    for part in parts:
        counts[part.split].update(part.facts.label_counts())
    class_names = shape.class_names
    if not shape.has_classes:
        last = max((label for count in counts.values() for label in count), default=-1)
        class_names = [str(label) for label in range(last + 1)]

    def place(part: Part, number: int) -> Place:
        label = None
        if number in part.numbers:
            classes = part.facts.classes(part.numbers.index(number))
            label = ", ".join(class_names[k] if 0 <= k < len(class_names) else str(k) for k in classes)
        return Place(None, part.split, part.shard, number, label)

    found += inspection.findings_of(parts, place, config)
    found += inspection.class_findings(class_names, counts, shape.has_classes)
    return Inspection(
        "records",
        folder,
        class_names,
        counts,
        parts,
        findings.in_order(_with_keys(found, folder, description)),
        config,
        with_pixels,
        {},
    )


def _shape(folder: str, description: Mapping[str, Any] | None, name: str | None) -> _Shape:
    if description:
        files = {split: [file["name"] for file in entry["files"]] for split, entry in description["splits"].items()}
        return _Shape(files, description["class_names"], True, bool(description.get("multi_label")))
    files = folders.named_splits(folder)
    if not name:
        named = {parsed.dataset for names in files.values() for one in names if (parsed := shards.parse_name(one))}
        name = named.pop() if len(named) == 1 else ""
    spec = dataset_factory.SPECS.get(name)
    number = spec.num_classes if spec else 0
    names = list(imagenet_names.class_names(number) or ())
    if dataset_utils.has_labels(folder):
        by_label = dataset_utils.read_label_file(folder)
        number = max(number, max(by_label, default=-1) + 1)
        names = [by_label.get(label, str(label)) for label in range(number)]
    names = names or [str(label) for label in range(number)]
    return _Shape(files, names, bool(number), default_format=spec.default_format if spec else "jpeg")


def _file_findings(folder: str, description: Mapping[str, Any] | None, shape: _Shape) -> Iterator[Finding]:
    """What is wrong with the files as such."""
    for split, names in shape.files.items():
        if not description:
            try:
                shards.check_complete(names, folder)
            except UserError as error:
                yield Finding("damaged_file", str(error))
            continue
        for file in description["splits"][split]["files"]:
            reason = _file_reason(os.path.join(folder, file["name"]), file)
            if reason:
                yield Finding("damaged_file", reason, (Place(split=split, shard=file["name"]),))


def _file_reason(path: str, said: Mapping[str, Any]) -> str:
    try:
        shard = shards.scan(path)
    except UserError as error:
        return "it is missing" if not os.path.exists(path) else str(error)
    if shard.examples != said["examples"]:
        return f"it has {shard.examples} records, {folders.DATASET_JSON} says {said['examples']}"
    if shard.digest != said["digest"]:
        return f"its records are others than those that {folders.DATASET_JSON} says"
    return ""


def _chunks(folder: str, shape: _Shape) -> Iterator[tuple[str, str, list[record_files.Record]]]:
    """Split, file and some records, of all files."""
    for split, names in shape.files.items():
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.isfile(path):
                continue
            some, size = [], 0
            for record in record_files.read(path):
                some.append(record)
                size += len(record.data)
                if len(some) >= _CHUNK or size >= _CHUNK_BYTES:
                    yield split, name, some
                    some, size = [], 0
            if some:
                yield split, name, some


def _look_at_record(record: record_files.Record, part: Part, shape: _Shape, with_pixels: bool) -> None:
    try:
        features = tf.train.Example.FromString(record.data).features.feature
    except Exception:  # google.protobuf's DecodeError, and what its implementations raise besides
        part.say(record.number, "damaged_record", "it is no tf.train.Example")
        return
    data = _first(features, records.ENCODED, b"")
    if not data:
        part.say(record.number, "damaged_record", f"it has no {records.ENCODED}")
        return
    misfits = (_misfit(features, key, kind) for key, kind in _VALUES.items())
    if misfit := next(filter(None, misfits), None):
        part.say(record.number, "damaged_record", misfit)
        return
    classes = _classes(features, record.number, part, shape)
    height, width = _first(features, records.HEIGHT, 0), _first(features, records.WIDTH, 0)
    thumbnail = b""
    if _first(features, records.FORMAT, shape.default_format.encode()).lower() == b"raw":
        if height < 1 or width < 1 or len(data) not in [height * width * channels for channels in _RAW_CHANNELS]:
            reason = f"{len(data)} bytes of raw pixels, expected 1 to 4 for each of {width}x{height}"
            part.say(record.number, "damaged_image", reason)
            return
        if with_pixels:
            thumbnail = pixels.plain_thumbnail()
    else:
        try:
            found_height, found_width, remark = _image_size(data)
            thumbnail = pixels.thumbnail(data) if with_pixels else b""
        except BadImage as error:
            part.say(record.number, "damaged_image", str(error))
            return
        if remark:
            part.say(record.number, "read_differently", remark)
        if (height or width) and (height, width) != (found_height, found_width):
            reason = f"it says {width}x{height} pixels, the image has {found_width}x{found_height}"
            part.say(record.number, "size_mismatch", reason)
        height, width = found_height, found_width
    part.facts.add(data, height, width, classes, thumbnail)
    part.numbers.append(record.number)


def _first(features: Mapping[str, Any], key: str, default: Any) -> Any:
    if key not in features:
        return default
    kind = features[key].WhichOneof("kind")
    values = getattr(features[key], kind).value if kind else ()
    return values[0] if values and isinstance(values[0], type(default)) else default


def _misfit(features: Mapping[str, Any], key: str, wanted: str, many: bool = False) -> str:
    """Why training cannot parse a feature; '' if it can, as where it is missing or has no value of any kind."""
    kind = features[key].WhichOneof("kind") if key in features else None
    if kind is None:
        return ""
    count = len(getattr(features[key], kind).value)
    found = f"{count} {'value' if count == 1 else 'values'} of {kind.removesuffix('_list')}"
    fits = kind == f"{wanted}_list" and (many or count == 1)
    return "" if fits else f"its {key} has {found}, expected {'values' if many else 'one'} of {wanted}"


def _classes(features: Mapping[str, Any], number: int, part: Part, shape: _Shape) -> tuple[int, ...]:
    key = records.LABELS if shape.multi_label else records.LABEL
    classes = tuple(features[key].int64_list.value) if key in features else ()
    misfits = [_misfit(features, records.LABEL, "int64")]
    misfits += [_misfit(features, records.LABELS, "int64", many=True)] if shape.multi_label else []
    if misfit := next(filter(None, misfits), None):
        part.say(number, "wrong_label", misfit)
    elif not classes and not shape.multi_label:
        part.say(number, "wrong_label", f"it has no {records.LABEL}")
    for label in classes:
        if label < 0 or (shape.has_classes and label >= len(shape.class_names)):
            many = f"0 to {len(shape.class_names) - 1}" if shape.has_classes else "0 or more"
            part.say(number, "wrong_label", f"label {label}, expected {many}")
    return classes


def _image_size(data: bytes) -> tuple[int, int, str]:
    """Height, width, and how training sees it otherwise than people."""
    kind = image_headers.sniff(data)
    if kind in _HEADERS:
        header = _HEADERS[kind](data)
        images.check_size(header.width, header.height)
        if "arithmetic" in header.remark:
            raise BadImage(f"{header.remark}, which training cannot read")
        return header.height, header.width, "" if "-bit PNG" in header.remark else header.remark
    if kind not in _DECODED_BY_TENSORFLOW:
        is_image = kind not in (None, "html", "pdf", "zip")
        stranger = image_headers.describe_stranger(data)
        raise BadImage(f"{kind.upper()}, which training cannot read" if is_image else stranger)
    from PIL import Image

    try:
        width, height = Image.open(io.BytesIO(data)).size
    except Exception as error:  # whatever a decoder makes of garbage
        raise BadImage(f"damaged {kind.upper()}: its header cannot be read") from error
    images.check_size(width, height)
    return height, width, ""


def _with_keys(found: Sequence[Finding], folder: str, description: Mapping[str, Any] | None) -> list[Finding]:
    """The findings with the files that the examples were, where the data set has an index."""
    if not description:
        return list(found)
    begins = {}
    for split in description["splits"]:
        names, starts = index.starts(description, split)
        begins |= {(split, name): start for name, start in zip(names, starts, strict=False)}
    wanted: dict[str, set[int]] = collections.defaultdict(set)
    for finding in found:
        for place in finding.places:
            if place.record is not None:
                wanted[place.split].add(begins[place.split, place.shard] + place.record)
    keys = {split: index.keys(folder, split, positions) for split, positions in wanted.items()}

    def named(place: Place) -> Place:
        if place.record is None:
            return place
        return place._replace(key=keys[place.split].get(begins[place.split, place.shard] + place.record))

    return [finding._replace(places=tuple(map(named, finding.places))) for finding in found]
