"""Checkpoints whose names differ from the network's: `FROM:TO` as the user says, and what is known of published files.

A checkpoint is looked at through `Renamed`, under the network's names. So everything that compares, excludes or adapts
need not know that they differ.
"""

import collections
import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from checkpoints import scope_hints
from checkpoints.patterns import prefixes
from common.errors import FlagError, UserError

FLAG = "--checkpoint_rename"

# A rename that leaves more of the checkpoint unused than its heads is of a larger network (ResNet-50 is part of 101).
_LEAST_USED = 0.7

Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Rename:
    """`FROM:TO`: names that begin with the path components FROM begin with TO in their place.

    Attributes:
        old: scope or whole name in the checkpoint; "" puts TO before every name.
        new: scope or whole name in the network; "" takes FROM away.
        where: the files it is known of; "" for what the user says.
    """

    old: str
    new: str
    where: str = ""

    def apply(self, name: str) -> str | None:
        """The new name; None where it is not about this name."""
        if self.old and name != self.old and not name.startswith(f"{self.old}/"):
            return None
        rest = name[len(self.old) :].lstrip("/")
        return f"{self.new}/{rest}".strip("/") or None

    def __str__(self) -> str:
        return f"{self.old}:{self.new}"


# Slim's own networks have kept their variables' names since 2016, oddities included, because of the published files
# (https://github.com/tensorflow/models/issues/8550). What differs are files of programs that put a Slim network into
# something larger.
KNOWN = (
    # The networks in SSD detectors, e.g. FeatureExtractor/MobilenetV2/Conv/weights:
    # https://github.com/tensorflow/models/issues/3922
    Rename("FeatureExtractor", "", "SSD detectors of the Object Detection API"),
    # Faster R-CNN has the network in two halves. Inception-ResNet v2 counts its repeated units anew in the second:
    # https://github.com/tensorflow/models/pull/2053; names of the first: https://github.com/tensorflow/models/issues/2203
    Rename(
        "SecondStageFeatureExtractor/InceptionResnetV2/Repeat",
        "InceptionResnetV2/Repeat_2",
        "Faster R-CNN detectors of the Object Detection API",
    ),
    Rename("FirstStageFeatureExtractor", "", "Faster R-CNN detectors of the Object Detection API"),
    Rename("SecondStageFeatureExtractor", "", "Faster R-CNN detectors of the Object Detection API"),
)


def parse(text: str | None) -> tuple[Rename, ...]:
    """Splits `FROM:TO,FROM:TO`.

    Raises:
        FlagError: a part is not FROM:TO.
    """
    renames = []
    for part in (piece.strip() for piece in (text or "").split(",")):
        if not part:
            continue
        old, colon, new = part.partition(":")
        old, new = old.strip().strip("/"), new.strip().strip("/")
        if not colon or ":" in new or old == new:
            raise FlagError(
                f"{FLAG}: {part!r} is not FROM:TO, a scope or name in the checkpoint and what the network calls it "
                f"(FROM: takes a scope away, :TO puts one before all)"
            )
        renames.append(Rename(old, new))
    return tuple(renames)


def new_names(found: Iterable[str], renames: Sequence[Rename]) -> dict[str, str]:
    """Returns name in the checkpoint -> new name, of those that a rename is about; the first that is, counts.

    Raises:
        UserError: a rename is about no name (with near matches and the flag to use), or two names become one.
    """
    found = list(found)
    renamed: dict[str, str] = {}
    used = set()
    for name in found:
        for rename in renames:
            new = rename.apply(name)
            if new is not None:
                renamed[name] = new
                used.add(rename)
                break
    for rename in renames:
        if rename not in used:
            raise UserError(_no_match(rename, renames, found))
    _check_one_to_one(found, renamed, renames)
    return renamed


def _no_match(rename: Rename, renames: Sequence[Rename], found: Sequence[str]) -> str:
    before = [other for other in renames[: renames.index(rename)] if any(map(rename.apply, found))]
    if before:
        return f"{FLAG}: {rename} has no names left, {before[0]} before it takes them; put the longer FROM first"
    start = f"{FLAG}: the checkpoint has no {rename.old!r}"
    near = scope_hints.near_scopes(rename.old, found)
    near = [scope for scope in near if "*" not in scope]
    if not near:
        return f"{start}. {scope_hints.what_there_is(rename.old, found)}"
    meant = " or ".join(repr(scope) for scope in near)
    repaired = ",".join(f"{near[0]}:{rename.new}" if other == rename else str(other) for other in renames)
    return f"{start}; did you mean {meant}? Use {FLAG}={repaired}"


def _check_one_to_one(found: Sequence[str], renamed: Mapping[str, str], renames: Sequence[Rename]) -> None:
    taken: dict[str, str] = {}
    for name in found:
        new = renamed.get(name, name)
        if new in taken:
            text = ",".join(map(str, renames))
            raise UserError(
                f"{FLAG}={text} makes {taken[new]} and {name} of the checkpoint both {new}: rename one of them away, "
                f"such as {name if name not in renamed else taken[new]}:unused"
            )
        taken[new] = name


def known(wanted: Iterable[str], found: Iterable[str]) -> tuple[Rename, ...]:
    """Returns the renames of `KNOWN` that give the network names that it misses.

    Args:
        wanted: the network's names.
        found: the checkpoint's.
    """
    missing, found = set(wanted) - set(found), list(found)
    if not missing:
        return ()
    candidates = tuple(rename for rename in KNOWN if any(map(rename.apply, found)))
    try:
        renamed = new_names(found, candidates)
    except UserError:  # not such a file after all
        return ()
    return candidates if missing & set(renamed.values()) else ()


def sources(wanted: Iterable[str], found: Iterable[str], text: str | None = None) -> dict[str, str]:
    """Returns name in the network -> name in the checkpoint, of the network's variables that are renamed.

    Args:
        wanted: the network's names.
        found: the checkpoint's.
        text: --checkpoint_rename; None and empty: what is known.

    Raises:
        UserError: as `new_names`.
    """
    wanted, found = list(wanted), list(found)
    renamed = new_names(found, parse(text) or known(wanted, found))
    by_new = {new: old for old, new in renamed.items()}
    return {name: by_new[name] for name in wanted if name in by_new}


class Renamed:
    """A checkpoint under other names; all else (`path`, `step`, `format`, ...) is the reader's own.

    Attributes:
        shapes: new name -> shape.
        original_names: new name -> name in the file, of those that differ.
    """

    def __init__(self, reader: Any, renames: Sequence[Rename]):
        """Looks at `reader` through `renames`.

        Raises:
            UserError: as `new_names`.
        """
        self._reader = reader
        renamed = new_names(reader.shapes, renames)
        self.original_names = {new: old for old, new in renamed.items()}
        self.shapes: dict[str, Shape] = {renamed.get(name, name): shape for name, shape in reader.shapes.items()}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def read(self, names: Iterable[str]) -> dict[str, Any]:
        """As the reader's own, by the new names."""
        names = list(dict.fromkeys(names))
        read = self._reader.read([self.original_names.get(name, name) for name in names])
        return {name: read[self.original_names.get(name, name)] for name in names}


def renamed(reader: Any, wanted: Iterable[str], text: str | None = None) -> tuple[Any, tuple[Rename, ...]]:
    """Returns the checkpoint under the network's names, and the renames that were applied.

    Args:
        reader: an open checkpoint.
        wanted: the network's names.
        text: --checkpoint_rename; None and empty: what is known.

    Raises:
        UserError: as `new_names`.
    """
    renames = parse(text) or known(wanted, reader.shapes)
    return (Renamed(reader, renames), renames) if renames else (reader, ())


def describe(renames: Sequence[Rename], count: int) -> str:
    """One line for the log: what was renamed, and of which files that is known."""
    told = [
        f"{rename.old or 'every name'} "
        + (f"-> {rename.new}" if rename.new else "taken away")
        + (f" (as in {rename.where})" if rename.where else "")
        for rename in renames
    ]
    return f"{count} names of the checkpoint: {', '.join(told)}"


def suggestion(wanted: Mapping[str, Shape], found: Mapping[str, Shape], share: float = 0.95) -> Rename | None:
    """Returns the one rename that gives nearly all of the network's variables, name and shape; None: there is none.

    Args:
        wanted: the network's variables, name -> shape, without those that need not fit.
        found: the checkpoint's, without optimizer slots and the like.
        share: of `wanted` that must then be there.
    """
    needed = max(1, math.ceil(share * len(wanted)))
    ours, theirs = (_scopes_of(names, needed) for names in (wanted, found))
    for old, new in itertools.product(theirs, ours):
        rename = Rename(old, new)
        names = {name: shape for before, shape in found.items() if (name := rename.apply(before)) is not None}
        fitting = sum(tuple(names.get(name, ())) == tuple(shape) for name, shape in wanted.items())
        if old != new and fitting >= max(needed, _LEAST_USED * len(names)):
            return _shortest(rename)
    return None


def _shortest(rename: Rename) -> Rename:
    """The same without what both sides end in: `module/Net:Net` is `module:`."""
    old, new = rename.old.split("/"), rename.new.split("/")
    while old and new and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    return Rename("/".join(old), "/".join(new))


def _scopes_of(names: Iterable[str], count: int) -> list[str]:
    """The scopes that hold `count` of the names or more, innermost first; the last is "", the whole."""
    names = list(names)
    held = collections.Counter(scope for name in names for scope in prefixes(name)[:-1])
    scopes = sorted((scope for scope, n in held.items() if n >= count), key=lambda scope: -scope.count("/"))
    return [*scopes, ""] if len(names) >= count else []
