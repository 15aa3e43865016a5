"""What the readers of all formats share."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from checkpoints.reader import Reader


def each_once(names: Iterable[str], known: Container[str], path: str) -> list[str]:
    """Returns the names without repetitions, for one read.

    Raises:
        KeyError: the checkpoint `path` does not have one of them.
    """
    names = list(dict.fromkeys(names))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise KeyError(f"{path} has no {', '.join(unknown[:5])}")
    return names


def global_step(reader: Reader) -> int | None:
    """Returns the value of `global_step`; None where there is no such scalar."""
    if reader.shapes.get("global_step") != ():
        return None
    return int(reader.read(["global_step"])["global_step"])
