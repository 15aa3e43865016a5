"""What can be wrong with the examples of a data set: each kind has a weight, a name for people and what to do.

`ERROR`: training would fail at it, or the accuracy would be wrong. `WARNING`: worth a look, results may suffer. `NOTE`:
good to know.
"""

import collections
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from common.config import option
from common.files import atomic_path

ERROR, WARNING, NOTE = "error", "warning", "note"
_HEADINGS = {
    ERROR: "PROBLEMS: training would fail at these, or its accuracy would be wrong",
    WARNING: "Worth a look:",
    NOTE: "Good to know:",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What counts as tiny, as huge and as alike: the settings of all that looks for findings."""

    tiny_side: int = option(16, "Report images whose shorter side has fewer pixels.", minimum=0)
    huge_megapixels: float = option(40.0, "Report images of more million pixels.", minimum=0.0)
    near_duplicates: int = option(
        6, "How many of 64 bits nearly equal pictures may differ in; needs --checks=pixels.", minimum=0, maximum=12
    )

    def limits(self) -> dict[str, int | float]:
        """These settings alone, by name, of whatever config they are a part of."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(Limits)}


class Kind(NamedTuple):
    """A kind of finding.

    Attributes:
        weight: `ERROR`, `WARNING` or `NOTE`.
        title: what they are.
        advice: what to do.
    """

    weight: str
    title: str
    advice: str


KINDS: Mapping[str, Kind] = {
    "unusable": Kind(
        ERROR, "Cannot be used", "remove them or put good copies in their places; conversion leaves them out"
    ),
    "damaged_file": Kind(ERROR, "TFRecord files damaged or missing", "copy or convert the data set again"),
    "damaged_image": Kind(
        ERROR, "Damaged images in records", "convert again with --checks=pixels, which leaves such images out"
    ),
    "damaged_record": Kind(ERROR, "Records that cannot be read", "convert the data set again"),
    "wrong_label": Kind(ERROR, "Labels that are no class", "convert again, or correct labels.txt"),
    "copies_across_splits": Kind(
        ERROR,
        "THE ACCURACY WOULD BE TOO GOOD: copies of a picture in several splits",
        "convert with --duplicates=together (copies go to one split) or --duplicates=leave_out",
    ),
    "copies_of_other_classes": Kind(
        ERROR,
        "Copies of a picture in several classes",
        "keep each in its right class, or convert with --duplicates=leave_out, which leaves all of these out",
    ),
    "group_across_splits": Kind(
        ERROR,
        "THE ACCURACY WOULD BE TOO GOOD: groups in several splits",
        "the split was given, by folder or list: correct it there",
    ),
    "class_names_alike": Kind(ERROR, "Class names that differ only in case or in accents", "rename or merge them"),
    "alike_across_splits": Kind(
        WARNING,
        "Nearly the same picture in several splits",
        "look at some; if they show one scene, convert with --checks=pixels --duplicates=together or --group_pattern",
    ),
    "alike_of_other_classes": Kind(
        WARNING, "Nearly the same picture in several classes", "look at them: is one label wrong?"
    ),
    "copies": Kind(WARNING, "Copies of a picture", "convert with --duplicates=leave_out"),
    "class_missing": Kind(WARNING, "Classes without an image in a split", "add images, or draw a larger split"),
    "imbalance": Kind(
        WARNING, "Classes of very different size", "add images to the small ones; look at the accuracy of each class"
    ),
    "read_differently": Kind(
        WARNING,
        "Images that training sees otherwise than people (turned, colours)",
        "convert from the files again: conversion turns and converts them",
    ),
    "size_mismatch": Kind(WARNING, "Records that say another size than their image has", "convert again"),
    "tiny": Kind(WARNING, "Tiny images", "are they thumbnails or icons? (--tiny_side sets the limit)"),
    "huge": Kind(
        NOTE, "Huge images, which slow training down", "scale them down first (--huge_megapixels sets the limit)"
    ),
    "alike": Kind(NOTE, "Nearly the same picture, in one class and split", "nothing, or keep one each"),
    "encoded_anew": Kind(NOTE, "Images that conversion encodes anew", "nothing"),
    "wrong_extension": Kind(NOTE, "Files with the name of another format", "nothing: the content counts"),
}


def shown(key: str) -> str:
    """Returns a path as text that can be printed and stored: bytes that are not UTF-8 as \\xNN."""
    return key.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class Place(NamedTuple):
    """Where an example is: its key (file), if known; its split, shard and record in it, if it is in one; its class."""

    key: str | None = None
    split: str | None = None
    shard: str | None = None
    record: int | None = None
    label: str | None = None

    def as_json(self) -> dict[str, Any]:
        """What is known of it."""
        names = {"key": self.key, "split": self.split, "shard": self.shard, "record": self.record, "class": self.label}
        return {name: value for name, value in names.items() if value is not None}

    def __str__(self) -> str:
        text = self.key or (f"{self.shard}:{self.record}" if self.record is not None else self.shard or "")
        return f"{text} ({self.split})" if self.split else text


class Finding(NamedTuple):
    """One thing found: its kind (of `KINDS`), the reason in words, and the examples it is about."""

    kind: str
    reason: str
    places: tuple[Place, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """A flat object for one example, `members` for a set."""
        said: dict[str, Any] = {"kind": self.kind, "weight": KINDS[self.kind].weight, "reason": self.reason}
        if len(self.places) == 1:
            return said | self.places[0].as_json()
        return said | ({"members": [place.as_json() for place in self.places]} if self.places else {})

    def __str__(self) -> str:
        if not self.places:
            return self.reason
        where = " = ".join(str(place) for place in self.places[:4]) + (" = ..." if len(self.places) > 4 else "")
        return f"{where}: {self.reason}" if self.reason else where


def in_order(found: Sequence[Finding]) -> list[Finding]:
    """Returns the findings by weight and kind, otherwise as they are."""
    rank = {kind: k for k, kind in enumerate(KINDS)}
    return sorted(found, key=lambda finding: rank[finding.kind])


def has_errors(found: Sequence[Finding]) -> bool:
    """Returns whether one of them is an `ERROR`."""
    return any(KINDS[finding.kind].weight == ERROR for finding in found)


def summary(found: Sequence[Finding]) -> dict[str, Any]:
    """Returns what is said of each kind, for JSON: its weight, count, meaning and advice."""
    counts = collections.Counter(finding.kind for finding in found)
    return {
        kind: {
            "weight": said.weight,
            "count": counts[kind],
            "meaning": said.title,
            "advice": said.advice,
        }
        for kind, said in KINDS.items()
        if counts[kind]
    }


def write_report(path: str, report: Mapping[str, Any], found: Sequence[Finding]) -> None:
    """Writes a report and its findings as JSON, atomically."""
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.writelines(report_text(report, found))


def report_text(report: Mapping[str, Any], found: Sequence[Finding]) -> Iterator[str]:
    """Yields the text of a report as JSON with its `findings`, each on a line; there may be as many as images."""
    yield json.dumps(report, indent=2, ensure_ascii=False).removesuffix("\n}") + ',\n  "findings": ['
    for number, finding in enumerate(found):
        yield ("," if number else "") + "\n    " + json.dumps(finding.as_json(), ensure_ascii=False)
    yield ("\n  " if found else "") + "]\n}\n"


def lines(found: Sequence[Finding], weights: Sequence[str] = (ERROR, WARNING, NOTE), shown: int = 5) -> Iterator[str]:
    """Yields the findings as lines for people: kinds by weight, a few examples of each.

    Args:
        found: findings.
        weights: those that are told.
        shown: examples of each kind.
    """
    by_kind: dict[str, list[Finding]] = collections.defaultdict(list)
    for finding in found:
        by_kind[finding.kind].append(finding)
    for weight in weights:
        kinds = [kind for kind in KINDS if KINDS[kind].weight == weight and by_kind[kind]]
        if kinds:
            yield _HEADINGS[weight]
        for kind in kinds:
            of_kind = by_kind[kind]
            yield f"  {KINDS[kind].title} ({len(of_kind)}). To do: {KINDS[kind].advice}."
            yield from (f"      {finding}" for finding in of_kind[:shown])
            if len(of_kind) > shown:
                yield f"      ... and {len(of_kind) - shown} more in the report"
