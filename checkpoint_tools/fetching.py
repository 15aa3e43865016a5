"""Lists and fetches published checkpoints: what `fetch_checkpoint.py` does. Needs no TensorFlow."""

import dataclasses
import json
import os
import re
from collections.abc import Sequence

from checkpoints import zoo
from common import downloads, published
from common.config import option
from common.errors import FlagError
from common.published import PublishedCheckpoint
from common.tables import table

_HEADER = ("zoo:", "--model_name", "classes", "pixels", "top-1", "top-5", "MB", "SHA-256")


@dataclasses.dataclass(frozen=True)
class FetchConfig:
    """What `fetch_checkpoint.py` does."""

    list: bool = option(False, "Print the catalogue, or what the globs after the flags match, as a table.")
    json: bool = option(False, "With --list: print JSON with all that is known of each file.")
    name: str | None = option(None, "Checkpoint to fetch: a name of --list, or a network's for its default file.")
    all_of: str | None = option(None, "Fetch all that a glob matches: a network's name or names of --list.")
    output_dir: str | None = option(None, "Folder for the archives; default: the cache that zoo: paths use.")
    archive_dir: str | None = option(None, f"Folder with archives brought by hand; default: ${zoo.FOLDER_VARIABLE}.")
    mirror: str | None = option(
        None, f"Address below which all archives lie, to download from; default: ${zoo.MIRROR_VARIABLE}."
    )
    sha256: str | None = option(
        None, "SHA-256 that the file must have, in place of the catalogue's and of the one that the first fetch found."
    )

    def __post_init__(self):
        if sum((self.list, bool(self.name), bool(self.all_of))) != 1:
            raise FlagError("say one of --list, --name=NAME and --all_of=GLOB, such as --name=inception_v3")
        if self.sha256 and not self.name:
            raise FlagError("--sha256 is that of one file: say which with --name")
        if self.sha256 and not re.fullmatch(r"[0-9a-fA-F]{64}", self.sha256):
            raise FlagError(f"--sha256={self.sha256} is no SHA-256: expected 64 digits of 0-9 and a-f")
        if self.archive_dir and not os.path.isdir(self.archive_dir):
            raise FlagError(f"--archive_dir={self.archive_dir}: no such folder")


def listing(patterns: Sequence[str], as_json: bool = False) -> str:
    """Returns the catalogue, or what globs match of it, as a table or as JSON.

    Raises:
        UserError: a glob matches nothing.
    """
    entries = published.catalogue()
    if patterns:
        chosen = {entry.key for pattern in patterns for entry in published.matching(pattern)}
        entries = tuple(entry for entry in entries if entry.key in chosen)
    if as_json:
        return json.dumps([{"key": e.key, "urls": e.urls, **dataclasses.asdict(e)} for e in entries], indent=2)
    lines = [table(_HEADER, [_row(entry) for entry in entries], left=("zoo:", "--model_name", "SHA-256"))]
    lines.append(f"{len(entries)} published checkpoints. (NAME): another width of that network, see docs/zoo.md.")
    return "\n".join(lines)


def _row(entry: PublishedCheckpoint) -> tuple[str, ...]:
    return (
        entry.key,
        entry.network or f"({entry.family})",
        str(entry.num_classes),
        str(entry.image_size or ""),
        f"{entry.top1:.1f}" if entry.top1 else "",
        f"{entry.top5:.1f}" if entry.top5 else "",
        f"{entry.bytes / 1e6:.0f}" if entry.bytes else "",
        f"{entry.sha256[:12]}..." if entry.sha256 else "of the first fetch",
    )


def fetch(config: FetchConfig) -> list[str]:
    """Fetches what the config says; returns lines for the user.

    Raises:
        UserError: an unknown name, or a file that cannot be had or is not the published one.
    """
    entries = (published.find(config.name, "--name="),) if config.name else published.matching(config.all_of)
    lines = []
    for entry in entries:
        path = zoo.fetch(
            entry, config.output_dir, by_hand=config.archive_dir, mirror=config.mirror, sha256=config.sha256
        )
        lines += [f"{path}", f"  {entry.text()}", f"  SHA-256 {downloads.sha256_of(path)}"]
        if entry.label_offset:
            lines.append(f"  no background class: evaluate it on ImageNet with --labels_offset={entry.label_offset}")
        lines.append(f"  use it: {_use(entry, config, path)}")
    return lines


def _use(entry: PublishedCheckpoint, config: FetchConfig, path: str) -> str:
    where = path if config.output_dir or config.archive_dir else f"{zoo.SCHEME}{entry.key}"
    name = entry.network or f"... (register {entry.family} with {dict(entry.options)}, see docs/zoo.md)"
    return f"--checkpoint_path={where} --model_name={name}"
