"""What a conversion did, for people and for programs."""

import collections
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from datasets.sources import Contents

FILE_NAME = "conversion_report.json"
_CLASSES_SHOWN = 20
_LEFT_OUT_SHOWN = 10


def shown(key: str) -> str:
    """Returns a path as text that can be printed and stored: bytes that are not UTF-8 as \\xNN."""
    return key.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def found(contents: Contents) -> str:
    """Returns what was found in words: '1500 images in 5 classes (21 MB)'."""
    size = sum(item.bytes for item in contents.items)
    text = f"{len(contents.items)} images in {len(contents.class_names)} classes"
    return text + (f" ({_megabytes(size)})." if size else ".")


def build(dataset: Mapping[str, Any], contents: Contents, written: Sequence[Any], seconds: float) -> dict[str, Any]:
    """Returns the content of conversion_report.json.

    Args:
        dataset: content of dataset.json.
        contents: what was converted.
        written: the writer's account of each shard.
        seconds: that it took.
    """
    remarks = sum((result.remarks for result in written), collections.Counter())
    images = sum(split["examples"] for split in dataset["splits"].values())
    return {
        "images": images,
        "kept_as_they_are": images - sum(remarks.values()),
        "encoded_anew": dict(remarks.most_common()),
        "left_out": [{"file": shown(key), "reason": reason} for key, reason in contents.left_out],
        "ignored_files": dict(contents.ignored),
        "classes": {
            name: {split: entry["examples_per_class"][label] for split, entry in dataset["splits"].items()}
            for label, name in enumerate(dataset["class_names"])
        },
        "seconds": round(seconds, 2),
    }


def lines(dataset: Mapping[str, Any], report: Mapping[str, Any], dataset_dir: str) -> Iterator[str]:
    """Yields the report as lines for people."""
    splits = dataset["splits"]
    parts = " + ".join(f"{entry['examples']} {name}" for name, entry in splits.items())
    size = _megabytes(sum(entry["bytes"] for entry in splits.values()))
    yield f"Wrote {parts} images to {dataset_dir} ({size}) in {report['seconds']:.1f} s."
    yield from _class_table(report["classes"], list(splits))
    if report["encoded_anew"]:
        kinds = ", ".join(f"{count} {remark}" for remark, count in report["encoded_anew"].items())
        yield f"Encoded anew: {kinds}; the other {report['kept_as_they_are']} images keep their bytes."
    if report["ignored_files"]:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(report["ignored_files"].items()))
        yield f"Not images, passed over: {kinds}."
    if report["left_out"]:
        count = len(report["left_out"])
        yield f"Left out, cannot be used ({count} {'file' if count == 1 else 'files'}):"
        for entry in report["left_out"][:_LEFT_OUT_SHOWN]:
            yield f"  {entry['file']}: {entry['reason']}"
        if count > _LEFT_OUT_SHOWN:
            yield f"  ... and {count - _LEFT_OUT_SHOWN} more in {os.path.join(dataset_dir, FILE_NAME)}"
    yield f"Train on it: python train_image_classifier.py --dataset_dir={shlex.quote(dataset_dir)} ..."


def _class_table(classes: Mapping[str, Mapping[str, int]], splits: Sequence[str]) -> Iterator[str]:
    names = list(classes)[:_CLASSES_SHOWN]
    width = max(len(name) for name in [*names, "class"])
    yield f"  {'class':<{width}}" + "".join(f"  {split:>10}" for split in splits)
    for name in names:
        yield f"  {name:<{width}}" + "".join(f"  {classes[name][split]:>10}" for split in splits)
    if len(classes) > _CLASSES_SHOWN:
        yield f"  ... and {len(classes) - _CLASSES_SHOWN} more classes"


def _megabytes(size: float) -> str:
    return f"{size / 1e6:.1f} MB" if size < 1e8 else f"{size / 1e6:.0f} MB"
