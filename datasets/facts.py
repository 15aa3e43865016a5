"""What is kept of each example while a data set is read, and what follows from all of it together.

An example costs 28 bytes, 100 where its pixels are looked at: a million fit into memory.
"""

import collections
import struct
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xxhash

from datasets import duplicates
from datasets.findings import Finding, Limits, Place

_DIGEST_BYTES = 16  # two pictures in 10**19 would be taken for one
_IMBALANCE = 10  # times that the largest class is as large as the smallest
_FEW = 5  # classes without an image that are reported one by one: of fixed lists a thousand may be
_SHARES = (0, 5, 50, 95, 100)  # percentiles told of sizes


class Facts:
    """A table of examples, a row for each, in the order in which they are added."""

    def __init__(self, with_thumbnails: bool = False):
        self.with_thumbnails = with_thumbnails
        # Not a struct.Struct: tables are pickled, where another process fills them.
        self._row = f"<{_DIGEST_BYTES}sIIi" + (f"{duplicates.THUMBNAIL_BYTES}s" if with_thumbnails else "")
        self._rows = bytearray()
        self._labelings: dict[tuple[int, ...], int] = {}

    def __len__(self) -> int:
        return len(self._rows) // struct.calcsize(self._row)

    def add(self, data: bytes, height: int, width: int, classes: tuple[int, ...], thumbnail: bytes | None) -> None:
        """Adds an example.

        Args:
            data: bytes of the image.
            height, width: in pixels.
            classes: all its classes.
            thumbnail: `pixels.thumbnail` of it, if the table has them.
        """
        digest = xxhash.xxh3_128_digest(data)  # 50 times as fast as SHA-256; nothing here guards against forgery
        labeling = self._labelings.setdefault(classes, len(self._labelings))
        thumbnails = (thumbnail,) if self.with_thumbnails else ()
        self._rows += struct.pack(self._row, digest, height, width, labeling, *thumbnails)

    def table(self) -> np.ndarray:
        """The rows as a structured array: `digest`, `height`, `width`, `labeling` (see `labelings`), `thumbnail`."""
        fields = [("digest", "u1", _DIGEST_BYTES), ("height", "<u4"), ("width", "<u4"), ("labeling", "<i4")]
        if self.with_thumbnails:
            fields.append(("thumbnail", "u1", (duplicates.ROWS, duplicates.COLUMNS)))
        return np.frombuffer(bytes(self._rows), fields)

    def classes(self, row: int) -> tuple[int, ...]:
        """Returns all classes of an example."""
        _, _, _, labeling, *_ = struct.unpack_from(self._row, self._rows, row * struct.calcsize(self._row))
        return self.labelings[labeling]

    def label_counts(self) -> collections.Counter:
        """Returns how many examples have each class; one of several classes counts for each."""
        counts: collections.Counter = collections.Counter()
        for number, times in enumerate(np.bincount(self.table()["labeling"], minlength=len(self._labelings)).tolist()):
            counts.update(dict.fromkeys(self.labelings[number], times))
        return counts

    @property
    def labelings(self) -> list[tuple[int, ...]]:
        """The combinations of classes that there are; a row's `labeling` is an index."""
        return list(self._labelings)


class Examples:
    """All rows of several tables, numbered through."""

    def __init__(self, parts: Sequence[Facts]):
        self._starts = np.cumsum([0, *(len(part) for part in parts)])
        self._of_part = [part.labelings for part in parts]
        self.table = np.concatenate([part.table() for part in parts]) if parts else Facts(False).table()

    def where(self, number: int) -> tuple[int, int]:
        """Returns the table of an example and its row there."""
        part = int(np.searchsorted(self._starts, number, side="right")) - 1
        return part, int(number - self._starts[part])

    def classes(self, number: int) -> tuple[int, ...]:
        """Returns all classes of an example."""
        return self._of_part[self.where(number)[0]][self.table["labeling"][number]]

    def copies(self) -> list[np.ndarray]:
        """Returns the sets of examples with the same bytes."""
        return duplicates.exact_sets(self.table["digest"])

    def alike(self, max_bits: int) -> list[duplicates.Near]:
        """Returns the sets of examples that look alike, of each set of copies the first; none without thumbnails."""
        if "thumbnail" not in self.table.dtype.names:
            return []
        first = np.ones(len(self.table), bool)
        first[[number for members in self.copies() for number in members[1:]]] = False
        numbers = np.flatnonzero(first)
        found = duplicates.near_sets(self.table["thumbnail"][numbers], max_bits)
        return [duplicates.Near(numbers[near.members], near.bits) for near in found]


def judge(parts: Sequence[Facts], place: Callable[[int, int], Place], limits: Limits) -> list[Finding]:
    """Returns what is found by comparing examples, and their sizes.

    Args:
        parts: tables of the examples, all with thumbnails or none.
        place: from a table's number and a row's to where the example is.
        limits: what counts as what.
    """
    examples = Examples(parts)

    def places(members: Sequence[int]) -> tuple[Place, ...]:
        return tuple(place(*examples.where(number)) for number in members)

    found = [
        Finding(kind, f"{width}x{height} pixels", places([number]))
        for kind, number, width, height in _odd_sizes(examples.table, limits)
    ]
    for members in examples.copies():
        found += _of_set(places(members), {examples.classes(number) for number in members}, "copies", "")
    for near in examples.alike(limits.near_duplicates):
        classes = {examples.classes(number) for number in near.members}
        found += _of_set(places(near.members), classes, "alike", f"differ in {near.bits} of 64 bits")
    return found


def names_alike(class_names: Sequence[str]) -> list[str]:
    """Returns the sets of names that differ only in case or in how accents are written, each as `'Cat' and 'cat'`."""
    alike = collections.defaultdict(list)
    for name in class_names:
        alike[unicodedata.normalize("NFC", name).casefold()].append(name)
    return [" and ".join(map(repr, names)) for names in alike.values() if len(set(names)) > 1]


def class_findings(
    class_names: Sequence[str], counts: Mapping[str, Sequence[int]], are_known: bool = True
) -> list[Finding]:
    """Returns what is wrong with the classes: names alike, none in a split or at all, sizes that differ much.

    Args:
        class_names: by class.
        counts: of each split, the number of examples by class.
        are_known: whether somebody said which classes there are; else there are those that have examples.
    """
    found = [Finding("class_names_alike", names) for names in names_alike(class_names)]
    total = [sum(values) for values in zip(*counts.values(), strict=True)]
    for label, name in enumerate(class_names):
        without = [split for split, values in counts.items() if not values[label] and sum(values)]
        if without and total[label]:
            found.append(Finding("class_missing", f"{name!r} has none in {', '.join(without)}"))
    found += _without_any(class_names, total) if are_known and any(total) else []
    some = [(number, name) for number, name in zip(total, class_names, strict=False) if number]
    if some and max(some)[0] >= _IMBALANCE * min(some)[0]:
        (most, largest), (least, smallest) = max(some), min(some)
        found.append(Finding("imbalance", f"{largest!r} has {most} images, {smallest!r} {least}"))
    return found


def _without_any(class_names: Sequence[str], total: Sequence[int]) -> list[Finding]:
    # ImageNet's class 0 is never anything's.
    is_reserved = len(class_names) > 2 and class_names[0] == "background"
    empty = [name for label, name in enumerate(class_names) if not total[label] and (label or not is_reserved)]
    if len(empty) <= _FEW:
        return [Finding("class_missing", f"{name!r} has none at all") for name in empty]
    some = ", ".join(map(repr, empty[:_FEW]))
    return [Finding("class_missing", f"{len(empty)} of {len(class_names)} classes have none at all: {some}, ...")]


def size_summary(parts: Sequence[Facts]) -> dict[str, Any]:
    """Returns how large the images are, for JSON: percentiles of width and height in pixels, and of million pixels."""
    table = np.concatenate([part.table()[["height", "width"]] for part in parts]) if parts else Facts(False).table()
    if not len(table):
        return {}
    values = {
        "width": table["width"],
        "height": table["height"],
        "megapixels": table["width"].astype(np.float64) * table["height"] / 1e6,
    }
    names = ["smallest" if share == 0 else "largest" if share == 100 else f"{share}%" for share in _SHARES]
    return {
        name: dict(zip(names, np.percentile(column, _SHARES).round(3).tolist(), strict=True))
        for name, column in values.items()
    }


def _of_set(places: tuple[Place, ...], classes: set[tuple[int, ...]], kind: str, reason: str) -> list[Finding]:
    """The findings that a set of copies is: across splits, of several classes, or of no harm."""
    found = []
    if len({place.split for place in places}) > 1:
        found.append(Finding(f"{kind}_across_splits", reason, places))
    if len(classes) > 1:
        named = " and ".join(dict.fromkeys(str(place.label) for place in places))
        said = f"{reason}, are {named}" if reason else f"are {named}"
        found.append(Finding(f"{kind}_of_other_classes", said, places))
    return found or [Finding(kind, reason, places)]


def _odd_sizes(table: np.ndarray, limits: Limits) -> Iterator[tuple[str, int, int, int]]:
    """Kind, number, width and height of the examples that are tiny or huge."""
    height, width = table["height"].astype(np.int64), table["width"].astype(np.int64)
    is_tiny = np.minimum(height, width) < limits.tiny_side
    is_huge = height * width > limits.huge_megapixels * 1e6
    for kind, is_odd in (("tiny", is_tiny), ("huge", is_huge)):
        for number in np.flatnonzero(is_odd):
            yield kind, int(number), int(width[number]), int(height[number])
