"""What the user says of the examples beside the source: splits listed in files, and groups that stay together."""

import collections
import csv
import dataclasses
import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from absl import logging

from common import suggest
from common.errors import FlagError, UserError
from datasets import image_folder, splits
from datasets.findings import shown
from datasets.sources import Contents, Item

_SPLIT_NAME = re.compile(r"[A-Za-z0-9]+")  # as it stands in a shard's name
_HEADER = ("split", "set", "subset", "partition")  # what the second column may be headed
_COMMENT = "#"  # begins a line that says nothing, unless an image is called so
_CANDIDATES = 5000  # keys among which near matches of a wrong one are looked for


class _Row(NamedTuple):
    """One line of a list: a key, its split and where it says so."""

    key: str
    split: str
    where: str


def listed_splits(contents: Contents, split_file: str) -> Contents:
    """Gives items the splits that lists say; the others keep theirs.

    Args:
        contents: what there is.
        split_file: a file with lines `key,split`, or files of keys alone: `train=FILE,validation=FILE`. A key is a
            path below the source's folder, as in the files SPLIT_files.txt, with or without the suffix.

    Raises:
        UserError: a file that cannot be read, a key that is not there, or is listed for two splits.
    """
    names = _Names([*(item.key for item in contents.items), *(key for key, _ in contents.left_out)])
    said: dict[str, _Row] = {}
    unknown: list[_Row] = []
    rows = 0
    for row in _rows(split_file):
        key = names.find(row.key)
        if key is None and row.key.startswith(_COMMENT):
            continue
        rows += 1
        if key is None:
            unknown.append(row)
        elif key in said and said[key].split != row.split:
            raise UserError(f"{row.where}: {row.key!r} is listed for {row.split}, at {said[key].where} for another")
        else:
            said[key] = row
    if not rows:
        raise UserError(f"--split_file={split_file} lists no images")
    if unknown:
        first = unknown[0]
        near = suggest.near_matches(first.key, names.like(first.key))
        hint = f"; did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
        more = f" ({len(unknown)} of {rows} listed are not there)" if len(unknown) > 1 else ""
        raise UserError(f"{first.where}: there is no image {shown(first.key)!r}{hint}{more}")
    items = [item._replace(split=said[item.key].split) if item.key in said else item for item in contents.items]
    open_ = sum(item.split is None for item in items)
    if open_:
        has_validation = any(item.split == splits.VALIDATION for item in items)
        where = "go to train" if has_validation else "are dealt out to train and validation"
        logging.info("%d images are not listed in %s; they %s.", open_, split_file, where)
    return dataclasses.replace(contents, items=items)


def digest(split_file: str) -> str:
    """Returns a hex digest of what the lists say.

    Raises:
        UserError: a file that cannot be read, or a line that is no `key,split`.
    """
    sha = hashlib.sha256()
    for row in sorted(_rows(split_file)):
        sha.update(f"{row.key}\0{row.split}\n".encode("utf-8", "surrogateescape"))
    return sha.hexdigest()


def groups_by_pattern(contents: Contents, pattern: str) -> Contents:
    """Gives each item whose key a regular expression matches the group that the match's first group says.

    Raises:
        FlagError: no regular expression, or one without a group.
        UserError: it matches no key.
    """
    expression = compile_pattern(pattern)
    matches = [expression.search(item.key) for item in contents.items]
    items = [
        item._replace(group=match[1]) if match and match[1] is not None else item
        for item, match in zip(contents.items, matches, strict=True)
    ]
    count = sum(match is not None and match[1] is not None for match in matches)
    if not count:
        example = f", such as {shown(contents.items[0].key)!r}" if contents.items else ""
        raise UserError(f"--group_pattern={pattern} matches none of the {len(items)} keys{example}")
    groups = len({item.group for item in items if item.group is not None})
    rest = f"; {len(items) - count} images stand alone" if count < len(items) else ""
    logging.info("%d images in %d groups by --group_pattern%s.", count, groups, rest)
    return dataclasses.replace(contents, items=items)


def compile_pattern(pattern: str) -> re.Pattern:
    """Returns the compiled --group_pattern.

    Raises:
        FlagError: no regular expression, or one without a group.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise FlagError(f"--group_pattern={pattern}: no regular expression ({error})") from None
    if not expression.groups:
        raise FlagError(
            f"--group_pattern={pattern}: it has no (group); what stands in the first parentheses names the group, as "
            "in '([^/]+)_[0-9]+[.]jpg$'"
        )
    return expression


def together(items: Sequence[Item], sets: Iterable[Iterable[str]]) -> list[Item]:
    """Returns the items, those of each set of keys (and of their groups) in one group."""
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(node: tuple[str, str]) -> tuple[str, str]:
        while parent.setdefault(node, node) != node:
            node = parent[node]
        return node

    group_of = {item.key: item.group for item in items}
    for keys in sets:
        nodes = sorted(root(_node(key, group_of[key])) for key in keys)
        for node in nodes[1:]:
            parent[node] = nodes[0]
    return [
        item._replace(group="/".join(root(node))) if (node := _node(item.key, item.group)) in parent else item
        for item in items
    ]


def _node(key: str, group: str | None) -> tuple[str, str]:
    return ("group", group) if group is not None else ("copies of", key)


def _rows(split_file: str) -> Iterator[_Row]:
    for path, split in _files(split_file):
        for number, cells in _lines(path):
            where = f"{path}, line {number}"
            if split:
                yield _Row(cells, split, where)
                continue
            key, name = _key_and_split(cells)
            if cells.startswith(_COMMENT) and not _SPLIT_NAME.fullmatch(name):
                continue
            if not key:
                raise UserError(f"{where}: expected `key,split`, found {shown(cells)!r}")
            if number == 1 and name.lower() in _HEADER:
                continue
            yield _Row(_unquoted(key), _split_name(name, where), where)


def _key_and_split(line: str) -> tuple[str, str]:
    """The parts of a line; the key is '' if it has one part alone. A tab or a comma may be of the key."""
    for separator in ("\t", ","):
        key, _, name = line.rpartition(separator)
        name = name.strip().strip('"')
        if key and (separator == "," or _SPLIT_NAME.fullmatch(name)):
            return key, name
    return "", ""


def _files(split_file: str) -> Sequence[tuple[str, str]]:
    """Each path and the split of the keys in it; '' for a file whose lines say it."""
    if "=" not in split_file or os.path.exists(split_file):
        return [(split_file, "")]
    found = []
    for part in split_file.split(","):
        split, equals, path = part.partition("=")
        if not (equals and path):
            raise FlagError(f"--split_file={split_file}: expected FILE, or SPLIT=FILE,SPLIT=FILE; found {part!r}")
        found.append((path, _split_name(split, "--split_file")))
    return found


def _split_name(name: str, where: str) -> str:
    if not _SPLIT_NAME.fullmatch(name):
        raise UserError(f"{where}: {shown(name)!r} is no name of a split; expected letters and digits, such as train")
    return image_folder.SPLIT_NAMES.get(name.lower(), name)


def _lines(path: str) -> Iterator[tuple[int, str]]:
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
            for number, line in enumerate(file, 1):
                line = line.removesuffix("\n").removesuffix("\r")
                if line.strip():
                    yield number, line
    except OSError as error:
        raise UserError(f"--split_file: cannot read {path}: {error.strerror}") from error


def _unquoted(key: str) -> str:
    return next(csv.reader([key]))[0] if key.startswith('"') else key


class _Names:
    """The keys there are, found by what people write: other accents, `./` before, no suffix."""

    def __init__(self, keys: Sequence[str]):
        self._keys = {_plain(key): key for key in keys}
        stems: dict[str, list[str]] = collections.defaultdict(list)
        for key in keys:
            stems[_plain(os.path.splitext(key)[0])].append(key)
        self._stems = {stem: found[0] for stem, found in stems.items() if len(found) == 1}

    def find(self, written: str) -> str | None:
        exact, plain = _plain(written), _plain(written.strip())
        return self._keys.get(exact) or self._keys.get(plain) or self._stems.get(plain)

    def like(self, written: str) -> list[str]:
        """Keys that may have been meant: of the same name, or in the same folder, else some."""
        folder, name = os.path.split(_plain(written))
        stem = os.path.splitext(name)[0].lower()
        near = [key for key in self._keys if stem in key.lower() or (folder and key.startswith(folder + "/"))]
        return [shown(key) for key in (near or list(self._keys))[:_CANDIDATES]]


def _plain(key: str) -> str:
    key = unicodedata.normalize("NFC", key.replace("\\", "/"))
    return key.removeprefix("./").lstrip("/")
