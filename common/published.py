"""The catalogue of published ImageNet checkpoints: every file of TF-Slim's README, each fact written once.

    published.find("inception_v3")               # by the network's name: its default file
    published.find("mobilenet_v1_0.25_128")      # by key: the archive's name without its suffix

The networks' records (`nets.registry`), `zoo:` paths (`checkpoints.zoo`) and `fetch_checkpoint.py` read it. Its rows
are in `published_files`. Pure Python.
"""

import dataclasses
import fnmatch
import functools
import re
from collections.abc import Mapping
from typing import Any

from common import suggest
from common.errors import UserError

MODELS_URL = "http://download.tensorflow.org/models/"

# Where a folder of the README is served directly and over https; the second is behind a sign-in page where it is.
_DIRECT = (
    ("http://download.tensorflow.org/", "https://storage.googleapis.com/download.tensorflow.org/"),
    ("https://storage.cloud.google.com/", "https://storage.googleapis.com/"),
)


@dataclasses.dataclass(frozen=True)
class PublishedCheckpoint:
    """An ImageNet checkpoint that a network's authors published.

    Attributes:
        archive: file name, a .tar.gz or .tgz.
        num_classes: width of its classifier.
        label_offset: what to subtract from a label that counts the background class as 0 (`--labels_offset`).
        folder: where the archive is, with a final slash.
        preprocessing: recipe it was trained with; None: the network's.
        image_size: side in pixels it was trained with; None: the network's.
        network: `--model_name`; None where no network of that width is registered.
        family: the registered network that it is another width of, where `network` is None.
        options: arguments of the family's function that make that width.
        top1, top5: ImageNet validation accuracy in percent, single crop, as published.
        quantized: trained with simulated 8-bit arithmetic: it restores, its accuracy is that of the 8-bit network.
        sha256: of the archive; None where nobody published it.
        bytes: size of the archive; None where nobody published it.
    """

    archive: str
    num_classes: int = 1001
    label_offset: int = 0
    folder: str = MODELS_URL
    preprocessing: str | None = None
    image_size: int | None = None
    network: str | None = None
    family: str | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    top1: float | None = None
    top5: float | None = None
    quantized: bool = False
    sha256: str | None = None
    bytes: int | None = None

    @property
    def key(self) -> str:
        """What `zoo:` calls it: the archive's name without its suffix."""
        return re.sub(r"\.(tar\.gz|tgz)$", "", self.archive)

    @property
    def url(self) -> str:
        """Where the README has it."""
        return self.folder + self.archive

    @property
    def urls(self) -> tuple[str, ...]:
        """Where to download it, the best place first."""
        direct = [self.url.replace(page, place, 1) for page, place in _DIRECT if self.url.startswith(page)]
        return (*direct, self.url)

    def text(self) -> str:
        """What it is, for people, in a line."""
        what = self.network or f"a width of {self.family} that is not registered ({_arguments(self.options)})"
        parts = [what, f"{self.num_classes} classes"]
        if self.image_size:
            parts.append(f"trained at {self.image_size} pixels with {self.preprocessing} preprocessing")
        if self.top1:
            parts.append(f"top-1 {self.top1} %" + (f", top-5 {self.top5} %" if self.top5 else ""))
        return ", ".join(parts + (["8-bit training"] if self.quantized else []))


def _arguments(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items())


@functools.cache
def catalogue() -> tuple[PublishedCheckpoint, ...]:
    """All published checkpoints; of each network its default file first."""
    from common import published_files

    return published_files.rows()


def get(key: str) -> PublishedCheckpoint:
    """Returns the checkpoint of a key.

    Raises:
        KeyError: there is none.
    """
    return {entry.key: entry for entry in catalogue()}[key]


def of_network(name: str) -> PublishedCheckpoint | None:
    """Returns a network's default file, None where none is published."""
    return next((entry for entry in catalogue() if entry.network == name), None)


def find(name: str, said: str = "") -> PublishedCheckpoint:
    """Returns the checkpoint that a user means: by key, archive name or network; case does not count.

    Args:
        name: what the user wrote.
        said: how he wrote it, for the message: `--checkpoint_path=zoo:`.

    Raises:
        UserError: nothing is called so; near matches are listed.
    """
    wanted = name.strip().lower()
    for entry in catalogue():
        if wanted in (entry.key.lower(), entry.archive.lower()):
            return entry
    found = of_network(wanted)
    if found is None:
        raise UserError(f"{said}{name}: {_unknown(wanted)}; fetch_checkpoint.py --list shows the catalogue")
    return found


def matching(pattern: str) -> tuple[PublishedCheckpoint, ...]:
    """Returns the checkpoints whose key or network a shell-style glob matches.

    Raises:
        UserError: there is none.
    """
    found = tuple(
        entry
        for entry in catalogue()
        if fnmatch.fnmatchcase(entry.key.lower(), pattern.lower())
        or fnmatch.fnmatchcase(entry.network or entry.family or "", pattern.lower())
    )
    if not found:
        raise UserError(f"{pattern}: {_unknown(pattern)}; fetch_checkpoint.py --list shows the catalogue")
    return found


def _unknown(name: str) -> str:
    names = dict.fromkeys([*(entry.network for entry in catalogue() if entry.network), *(e.key for e in catalogue())])
    begun = [known for known in names if known.lower().startswith(name)]
    near = list(dict.fromkeys([*suggest.near_matches(name, names), *begun]))[:4]
    hint = f"did you mean {' or '.join(near)}?" if near else "nothing is called nearly so"
    return f"no published checkpoint, and no network that has one, is called so; {hint}"
