"""A table of images as a source: a .csv, .tsv or .jsonl file that says where each image is and what it shows.

    path,label,split,group            path,labels             {"path": "1.jpg", "labels": ["cat", "dog"]}
    photos/1.jpg,cat,train,anna       1.jpg,cat|dog           {"path": "2.jpg", "labels": []}
    photos/2.jpg,dog,validation,ben   2.jpg,

`path` starts from the manifest's folder; `label` is the class, or `labels` all classes of an image that may have
several or none (`|` between them, or a JSON list); `split` and `group` may be left out or empty.
"""

import csv
import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from absl import logging

from common import suggest
from common.errors import FlagError, UserError
from datasets import dataset_utils, file_trees, image_folder, records
from datasets.conversion_report import shown
from datasets.sources import Contents, Item, Source

COLUMNS = ("path", "label", "labels", "split", "group")
_DELIMITERS = ",\t;"
_SPLIT_NAME = re.compile(r"[A-Za-z0-9]+")


class Row(NamedTuple):
    """An image of a manifest.

    Attributes:
        line: number of its line, from 1.
        path: as written.
        labels: names of its classes.
        split, group: None where they are empty.
    """

    line: int
    path: str
    labels: tuple[str, ...]
    split: str | None
    group: str | None


def source(
    *, manifest: str | None = None, image_dir: str | None = None, name: str = "images", labels_file: str | None = None
) -> Source:
    """Declares the images of a manifest.

    Args:
        manifest: the file.
        image_dir: folder that relative paths start from; default: the manifest's own.
        name: of the data set.
        labels_file: class names in the order of their numbers, one a line or as labels.txt; default: those found,
            sorted (as numbers, if all are).
    """
    if not manifest:
        raise FlagError("--manifest is missing: name a .csv, .tsv or .jsonl file with the columns path and label")
    if image_dir and not os.path.isdir(image_dir):
        raise UserError(f"--image_dir={image_dir}: no such folder")
    image_folder.check_name(name)
    folder = os.path.abspath(image_dir) if image_dir else os.path.dirname(os.path.abspath(manifest))
    multi_label, rows = read(manifest)
    class_names = _read_classes(labels_file) if labels_file else _classes(manifest, rows, multi_label)
    contents = _contents(manifest, folder, rows, class_names, multi_label, fixed_classes=bool(labels_file))
    identity = {"converter": "manifest", "rows": _digest(contents)}
    return Source(name, identity, lambda _: contents)


def read(path: str) -> tuple[bool, list[Row]]:
    """Reads a manifest; returns whether its images may have several labels, and its rows, each path once.

    Raises:
        UserError: what is wrong, and in which line.
    """
    rows: dict[str, Row] = {}
    columns: set[str] = set()
    repeated = 0
    for line, fields in _fields(path):
        columns |= fields.keys()
        _check_columns(path, line, columns)
        row = _row(path, line, fields, "labels" in columns)
        key = _key(row.path)
        before = rows.setdefault(key, row)
        if before is not row:
            repeated += 1
            _check_same(path, before, row)
    if not rows:
        raise UserError(f"{path} lists no images: expected a header (path,label) and a line for each image")
    if repeated:
        logging.warning("%s: %d lines say again what an earlier one says; each image is taken once.", path, repeated)
    return "labels" in columns, list(rows.values())


def _fields(path: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(number, column -> value) of each line."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            start = file.readline()
            if start.lstrip().startswith("["):
                raise UserError(f"{path}, line 1: a JSON list; expected a table, or an object a line without [ and ]")
            file.seek(0)
            yield from _json_lines(path, file) if start.lstrip().startswith("{") else _table(path, file, start)
    except OSError as error:
        raise UserError(f"--manifest={path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8") from error


def _table(path: str, file: Any, header: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    delimiter = max(_DELIMITERS, key=header.count)
    reader = csv.reader(file, delimiter=delimiter, skipinitialspace=delimiter != "\t", strict=True)
    begin = 1  # line where the row begins; quoted fields may have several
    try:
        columns = [column.strip() for column in next(reader, [])]
        _check_columns(path, 1, columns)
        begin = reader.line_num + 1
        for values in reader:
            begin = reader.line_num + 1
            if not any(values):
                continue
            if len(values) != len(columns):
                raise UserError(
                    f"{path}, line {reader.line_num}: {len(values)} fields, the header has {len(columns)} "
                    f'({delimiter.join(columns)}); a field that holds {delimiter!r} needs quotes: "..."'
                )
            yield reader.line_num, dict(zip(columns, values, strict=True))
    except csv.Error as error:
        if reader.line_num > begin or "unexpected end" in str(error):
            raise UserError(
                f'{path}, line {begin}: a field begins with a quote (") that is not closed; close it, and double the '
                "quotes that belong to the text"
            ) from error
        raise UserError(f"{path}, line {begin}: {error}") from error


def _json_lines(path: str, file: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}, line {number}: not JSON ({error}); expected an object a line") from error
        if not isinstance(fields, dict):
            raise UserError(f'{path}, line {number}: expected an object such as {{"path": "1.jpg", "label": "cat"}}')
        yield number, fields


def _check_columns(path: str, line: int, columns: Sequence[str] | set[str]) -> None:
    for column in columns:
        if column not in COLUMNS:
            raise UserError(f"{path}, line {line}: {suggest.unknown('column', column, COLUMNS)}")
    if len(set(columns)) < len(columns):
        raise UserError(f"{path}, line {line}: a column is there twice ({', '.join(columns)})")
    if "path" not in columns or not {"label", "labels"} & set(columns):
        found = ", ".join(sorted(columns)) or "none"
        raise UserError(f"{path}, line {line}: expected the columns path and label (or labels), found {found}")
    if {"label", "labels"} <= set(columns):
        raise UserError(f"{path}, line {line}: the columns label and labels exclude each other; keep one of them")


def _row(path: str, line: int, fields: Mapping[str, Any], multi_label: bool) -> Row:
    where = f"{path}, line {line}"
    image = fields.get("path")
    if not isinstance(image, str) or not image.strip() or "\0" in image:
        raise UserError(f"{where}: no path")
    _check_encodes(where, image, "path", "surrogateescape")  # a name that is not UTF-8 is written so
    value = fields.get("labels" if multi_label else "label")
    labels = _labels(where, value)
    if not multi_label and len(labels) != 1:
        if labels:
            raise UserError(
                f"{where}: several labels ({value!r}); for images of several classes call the column labels"
            )
        raise UserError(f"{where}: no label")
    split, group = (_text(where, fields.get(column), column) or None for column in ("split", "group"))
    if split:
        split = image_folder.SPLIT_NAMES.get(split.lower(), split)
        if not _SPLIT_NAME.fullmatch(split):
            raise UserError(f"{where}: split {split!r}: expected letters and digits, such as train or validation")
    return Row(line, image, labels, split, group)


def _labels(where: str, value: Any) -> tuple[str, ...]:
    """The names in a field, each once: 'cat|dog', '["cat", "dog"]', a list, a number."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{where}: labels {value[:80]!r} are not a JSON list ({error})") from error
    parts = value if isinstance(value, list) else (_text(where, value, "label") or "").split("|")
    names = [name for part in parts if (name := _text(where, part, "label"))]
    for name in names:
        if "\n" in name or "\r" in name:
            raise UserError(f"{where}: label {name!r} has a line break")
    return tuple(dict.fromkeys(names))


def _text(where: str, value: Any, column: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise UserError(f"{where}: {column} {value!r}: expected a text")
    text = str(value).strip()
    _check_encodes(where, text, column)
    return text


def _check_encodes(where: str, text: str, column: str, errors: str = "strict") -> None:
    try:
        text.encode("utf-8", errors)
    except UnicodeEncodeError as error:
        raise UserError(
            f"{where}: {column} {text!r} has half of a character at {error.start}; write the whole one"
        ) from error


def _key(path: str) -> str:
    return os.path.normpath(path)


def _check_same(path: str, before: Row, row: Row) -> None:
    for field in ("labels", "split", "group"):
        old, new = getattr(before, field), getattr(row, field)
        if old != new:
            old, new = ("|".join(value) if field == "labels" else value for value in (old, new))
            word = "label" if field == "labels" else field
            raise UserError(
                f"{path}, line {row.line}: {shown(row.path)} has {word} {new!r} here and {old!r} in line "
                f"{before.line}; keep one of them"
            )


def _classes(path: str, rows: Sequence[Row], multi_label: bool) -> list[str]:
    lines: dict[str, int] = {}
    for row in rows:
        for name in row.labels:
            lines.setdefault(name, row.line)
    names = sorted(lines, key=int) if all(re.fullmatch(r"\d+", name) for name in lines) else sorted(lines)
    alike: dict[str, str] = {}
    for name in names:
        other = alike.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            raise UserError(
                f"{path}, line {lines[name]}: class {name!r} differs from {other!r} (line {lines[other]}) only in case "
                "or in how accents are written; write them alike"
            )
    if len(names) < (1 if multi_label else 2):
        raise UserError(f"{path} has {len(names)} classes ({', '.join(names)}), expected at least two")
    return names


def _read_classes(path: str) -> list[str]:
    """Class names: one a line, or `<id>:<name>` as in labels.txt, with ids from 0."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.strip() for line in file if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--labels_file={path} cannot be read: {error}") from error
    names = lines
    if lines and all(re.match(r"\d+:", line) for line in lines):
        by_id = dataset_utils.read_label_file(os.path.dirname(path), os.path.basename(path))
        if sorted(by_id) != list(range(len(lines))):
            raise UserError(f"--labels_file={path}: expected the ids 0 to {len(lines) - 1}, each once")
        names = [by_id[label] for label in range(len(lines))]
    if not names or len(set(names)) < len(names):
        raise UserError(f"--labels_file={path}: expected class names, each once")
    return names


def _contents(
    path: str, folder: str, rows: Sequence[Row], class_names: Sequence[str], multi_label: bool, fixed_classes: bool
) -> Contents:
    numbers = {name: number for number, name in enumerate(class_names)}
    items, left_out, taken = [], [], {}
    for row in rows:
        strange = [name for name in row.labels if name not in numbers]
        if strange:
            raise UserError(f"{path}, line {row.line}: {suggest.unknown('class', strange[0], class_names)}")
        key = _found(folder, _key(row.path))
        before = taken.setdefault(key, row)
        if before is not row:  # the same file, written in another way
            _check_same(path, before, row)
            continue
        try:
            status = os.stat(os.path.join(folder, key))
            reason = file_trees.why_no_image(status)
        except (OSError, ValueError) as error:
            reason = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        if reason:
            left_out.append((key, f"{reason} (line {row.line} of {os.path.basename(path)})"))
            continue
        labels = tuple(numbers[name] for name in row.labels)
        first = labels[0] if labels else records.NO_LABEL
        items.append(Item(key, first, row.split, status.st_size, row.group, labels if multi_label else None))
    if not items:
        raise UserError(
            f"none of the {len(rows)} images of {path} is there; the first: "
            f"{shown(os.path.join(folder, left_out[0][0]))}. "
            "--image_dir names the folder that its paths start from"
        )
    return Contents(
        class_names,
        items,
        load=lambda item: image_folder.load(os.path.join(folder, item.key)),
        left_out=left_out,
        multi_label=multi_label,
        fixed_classes=fixed_classes,
    )


def _found(folder: str, key: str) -> str:
    """The path as it is; where there is no such file, without spaces around it, with Windows' separators turned."""
    if ("\\" in key or key != key.strip()) and not os.path.lexists(os.path.join(folder, key)):
        return os.path.normpath(key.strip().replace("\\", "/"))
    return key


def _digest(contents: Contents) -> str:
    digest = hashlib.sha256("\0".join(contents.class_names).encode())
    for item in sorted(contents.items, key=lambda item: item.key):
        digest.update(repr(tuple(item)).encode("utf-8", "backslashreplace"))
    return digest.hexdigest()
