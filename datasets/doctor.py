"""Looks through a data set, converted or still a folder of photos, for what training would trip over."""

import dataclasses
import os
import time
from collections.abc import Iterator

from common.config import option
from common.errors import FlagError, UserError
from datasets import filesystem
from datasets.findings import Limits

REPORT = "doctor_report.json"


@dataclasses.dataclass(frozen=True)
class InspectConfig(Limits):
    """What `inspect_dataset.py` does."""

    dataset_dir: str | None = option(None, "Folder of TFRecords, or of a folder of photos for each class. Required.")
    dataset_name: str | None = option(None, "Data set, where TFRecords do not say what they hold (imagenet).")
    checks: str = option(
        "pixels",
        "What is looked at: pixels (every image is decoded: damage inside, nearly equal pictures), or headers only, "
        "several times as fast.",
        choices=("pixels", "headers"),
    )
    class_folders: str = option(
        "top",
        "Photos: which folders are classes, those at the top or the deepest (animals/cat).",
        choices=("top", "deepest"),
    )
    report: str | None = option(
        None, f"File for the JSON report; default: {REPORT} beside the TFRecords, PHOTOS_{REPORT} beside the photos."
    )
    json: bool = option(False, "Print the JSON report instead of the summary.")
    find: str | None = option(
        None,
        "Only say where an example is: SHARD:RECORD (from 0) leads to its file, a file's name or path to its record.",
    )
    num_threads: int = option(0, "Images looked at in parallel; 0: one for each core.", minimum=0)

    def __post_init__(self):
        if not self.dataset_dir:
            raise FlagError("--dataset_dir is missing: name a folder with TFRecords, or with class folders of photos")


def inspect(config: InspectConfig) -> tuple[bool, Iterator[str]]:
    """Looks through a data set and writes the JSON report.

    Returns:
        Whether no finding is an error; and what to print: a summary for people, or with `--json` the report.

    Raises:
        UserError: there is no data set in the folder, or the report cannot be written.
    """
    from datasets import findings, inspection

    if filesystem.is_remote(config.dataset_dir):
        raise UserError(
            f"{config.dataset_dir}: folders of this machine or mounted ones are looked through; copy it first"
        )
    if not os.path.isdir(config.dataset_dir):
        raise UserError(f"no folder {config.dataset_dir}: --dataset_dir names a folder with TFRecords or with photos")
    start = time.perf_counter()
    result = inspection.look(config)
    path = config.report or _default_report(config.dataset_dir, result.kind)
    report = result.report(time.perf_counter() - start)
    try:
        findings.write_report(path, report, result.found)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; name another file with --report") from None
    if config.json:
        return report["is_sound"], findings.report_text(report, result.found)
    return report["is_sound"], (f"{line}\n" for line in [*result.lines(report), f"Report: {path}"])


def find(config: InspectConfig) -> list[str]:
    """Returns a line for each example that `--find` names.

    Raises:
        UserError: none, or the folder has no index.
    """
    from datasets import folders, index

    description = folders.read_description(config.dataset_dir)
    if description is None:
        raise UserError(f"{config.dataset_dir} has no {folders.DATASET_JSON}: only what is converted here has an index")
    places = index.find(config.dataset_dir, description, config.find)
    if not places:
        raise UserError(
            f"--find={config.find}: {config.dataset_dir} has no such example; expected SHARD:RECORD with a record from "
            "0, or a path or name as in SPLIT_files.txt"
        )
    return [f"{place.shard}:{place.record}  {place.split}  {place.key or '(not from a file)'}" for place in places]


def _default_report(dataset_dir: str, kind: str) -> str:
    if kind == "photos":
        return f"{os.path.abspath(dataset_dir)}_{REPORT}"  # `.` and `..` are no names
    return os.path.join(dataset_dir, REPORT)
