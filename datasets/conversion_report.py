"""What a conversion did, for people and for programs."""

import collections
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from datasets import facts, findings, pixels, splits
from datasets.findings import Finding, Limits, Place, shown
from datasets.sources import Contents

FILE_NAME = "conversion_report.json"
_CLASSES_SHOWN = 20
_LEFT_OUT_SHOWN = 10
# The format that a suffix says, in the words of remarks.
_FORMATS = {
    suffix: kind
    for kind, suffixes in {
        "JPEG": "jpg jpeg jpe jfif",
        "PNG": "png",
        "GIF": "gif",
        "BMP": "bmp dib",
        "TIFF": "tif tiff",
        "WEBP": "webp",
        "PPM": "ppm pgm pbm pnm",
    }.items()
    for suffix in suffixes.split()
}


def found(contents: Contents) -> str:
    """Returns what was found in words: '1500 images in 5 classes (21 MB)'."""
    size = sum(item.bytes for item in contents.items)
    text = f"{len(contents.items)} images in {len(contents.class_names)} classes"
    return text + (f" ({_megabytes(size)})." if size else ".")


def build(
    dataset: Mapping[str, Any],
    contents: Contents,
    written: Sequence[Any],
    seconds: float,
    limits: Limits,
    found: Sequence[Finding],
) -> dict[str, Any]:
    """Returns the content of conversion_report.json, but for the findings themselves.

    Args:
        dataset: content of dataset.json.
        contents: what was converted.
        written: the writer's account of each shard.
        seconds: that it took.
        limits: what was reported of sizes and of nearly equal pictures.
        found: by `judged`.
    """
    remarks = sum((result.remarks for result in written), collections.Counter())
    images = sum(split["examples"] for split in dataset["splits"].values())
    tables = [result.facts for result in written]
    looked = bool(tables) and tables[0].with_thumbnails
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
        "sizes": facts.size_summary(tables),
        "checks": {"pixels": looked, "damage_inside_jpeg": looked and pixels.finds_damage(), **limits.limits()},
        "summary": findings.summary(found),
        "seconds": round(seconds, 2),
    }


def judged(dataset: Mapping[str, Any], contents: Contents, written: Sequence[Any], limits: Limits) -> list[Finding]:
    """Returns what is to be said of the examples written, by weight; arguments as in `build`."""
    names = contents.class_names

    def place(part: int, row: int) -> Place:
        result = written[part]
        item, shard = result.written[row], os.path.basename(result.shard.path)
        return Place(shown(item.key), result.split, shard, row, ", ".join(names[label] for label in item.classes))

    found = facts.judge([result.facts for result in written], place, limits)
    counts = {split: entry["examples_per_class"] for split, entry in dataset["splits"].items()}
    found += facts.class_findings(names, counts)
    by_split = collections.defaultdict(list)
    for result in written:
        by_split[result.split] += result.written
    for group, torn in splits.torn_groups(by_split).items():
        found.append(Finding("group_across_splits", f"{shown(group)}: {', '.join(torn)}"))
    for part, result in enumerate(written):
        found += [Finding("encoded_anew", remark, (place(part, row),)) for row, remark in result.remarked]
        found += [Finding("wrong_extension", reason, (place(part, row),)) for row, reason in result.misnamed]
    return findings.in_order(found)


def wrong_suffix(key: str, remark: str) -> str:
    """Returns why a file's suffix is wrong, '' if it is not.

    Args:
        key: its path.
        remark: words that have its format's name in them.
    """
    said = _FORMATS.get(key.rpartition(".")[2].lower())
    if said is None or said in remark:
        return ""
    kind = next((kind for kind in _FORMATS.values() if kind in remark), None)
    return f"it is a {kind}" if kind else ""


def lines(dataset: Mapping[str, Any], report: Mapping[str, Any], dataset_dir: str) -> Iterator[str]:
    """Yields the report as lines for people."""
    described = dataset["splits"]
    parts = " + ".join(f"{entry['examples']} {name}" for name, entry in described.items())
    size = _megabytes(sum(entry["bytes"] for entry in described.values()))
    yield f"Wrote {parts} images to {dataset_dir} ({size}) in {report['seconds']:.1f} s."
    yield from class_table(report["classes"], list(described))
    if report["encoded_anew"]:
        kinds = ", ".join(f"{count} {remark}" for remark, count in report["encoded_anew"].items())
        yield f"Encoded anew: {kinds}; the other {report['kept_as_they_are']} images keep their bytes."
    if report["ignored_files"]:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(report["ignored_files"].items()))
        yield f"Passed over, not images of these classes: {kinds}."
    if report["left_out"]:
        count = len(report["left_out"])
        yield f"Left out ({count} {'file' if count == 1 else 'files'}):"
        for entry in report["left_out"][:_LEFT_OUT_SHOWN]:
            yield f"  {entry['file']}: {entry['reason']}"
        if count > _LEFT_OUT_SHOWN:
            yield f"  ... and {count - _LEFT_OUT_SHOWN} more in {os.path.join(dataset_dir, FILE_NAME)}"


def next_command(dataset: Mapping[str, Any], dataset_dir: str) -> str:
    """Returns the command that trains on the data set."""
    fold = "--fold=0 " if dataset.get("num_folds") else ""
    return f"python train_image_classifier.py --dataset_dir={shlex.quote(dataset_dir)} {fold}..."


def class_table(classes: Mapping[str, Mapping[str, int]], names_of_splits: Sequence[str]) -> Iterator[str]:
    """Yields a table of classes (name -> split -> images) as lines."""
    names = list(classes)[:_CLASSES_SHOWN]
    width = max(len(name) for name in [*names, "class"])
    yield f"  {'class':<{width}}" + "".join(f"  {split:>10}" for split in names_of_splits)
    for name in names:
        yield f"  {name:<{width}}" + "".join(f"  {classes[name][split]:>10}" for split in names_of_splits)
    if len(classes) > _CLASSES_SHOWN:
        yield f"  ... and {len(classes) - _CLASSES_SHOWN} more classes"


def _megabytes(size: float) -> str:
    return f"{size / 1e6:.1f} MB" if size < 1e8 else f"{size / 1e6:.0f} MB"
