"""From an example of a converted data set to the file it was, and back.

`SPLIT_files.txt` has the keys of a split's examples in the order of its files; `dataset.json` says how many each file
has. Both may be large: they are read as streams.
"""

import bisect
import itertools
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from common.errors import UserError
from datasets import filesystem, folders
from datasets.findings import Place, shown

LIST_SUFFIX = "_files.txt"  # after the split's name


def keys(dataset_dir: str, split: str, positions: Collection[int]) -> dict[int, str]:
    """Returns the keys of some examples of a split, by their places in it; none where there is no index."""
    wanted = set(positions)
    return {place: shown(key) for place, key in _keys(dataset_dir, split) if place in wanted} if wanted else {}


def starts(description: Mapping[str, Any], split: str) -> tuple[list[str], list[int]]:
    """Returns a split's files and the place of each one's first example in the split; one more, the end."""
    files = description["splits"][split]["files"]
    return [file["name"] for file in files], list(itertools.accumulate((file["examples"] for file in files), initial=0))


def key_of(path: str, record: int) -> str | None:
    """Returns the key of a record of a TFRecord file; None where the file's folder does not say it.

    The folder lists the file under this name and with this size, or it may be another one's, put there later.
    """
    folder, name = os.path.split(path)
    if filesystem.is_remote(path):
        return None
    try:
        description = folders.read_description(folder) or {"splits": {}}
        size = filesystem.status(path).size
    except (UserError, OSError):
        return None
    for split, entry in description["splits"].items():
        names, begins = starts(description, split)
        file = names.index(name) if name in names else None
        if file is not None and entry["files"][file]["bytes"] == size:
            return keys(folder, split, [begins[file] + record]).get(begins[file] + record)
    return None


def find(dataset_dir: str, description: Mapping[str, Any], text: str) -> list[Place]:
    """Returns the examples that a text names.

    Args:
        dataset_dir: the folder.
        description: content of its dataset.json.
        text: `SHARD:RECORD` (records count from 0), a key, or the end of one (a file's name).
    """
    shard, colon, number = text.rpartition(":")
    found = []
    for split in description["splits"]:
        files, begins = starts(description, split)
        if colon and number.isdigit() and os.path.basename(shard) in files:
            file = files.index(os.path.basename(shard))
            place = begins[file] + int(number)
            if place < begins[file + 1]:
                key = keys(dataset_dir, split, [place]).get(place)
                found.append(Place(key, split, files[file], int(number)))
            continue
        found += [
            _place(files, begins, split, place, key)
            for place, key in _keys(dataset_dir, split)
            if key == text or shown(key) == text or shown(key).endswith("/" + text)
        ]
    return found


def _place(files: Sequence[str], begins: Sequence[int], split: str, place: int, key: str) -> Place:
    file = bisect.bisect_right(begins, place) - 1
    return Place(shown(key), split, files[file], place - begins[file])


def _keys(dataset_dir: str, split: str) -> Iterator[tuple[int, str]]:
    try:
        with open(
            os.path.join(dataset_dir, f"{split}{LIST_SUFFIX}"), encoding="utf-8", errors="surrogateescape", newline="\n"
        ) as file:
            for place, line in enumerate(file):
                yield place, line.rstrip("\n")
    except FileNotFoundError:
        return
