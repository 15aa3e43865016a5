"""What a conversion does about pictures that are there more than once (`--duplicates`)."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from absl import logging

from datasets import assignments, splits
from datasets.facts import Examples
from datasets.findings import shown
from datasets.sources import Contents, Item


def settled(
    contents: Contents, written: Sequence[Any], duplicates: str, near: int | None
) -> tuple[Contents, list[tuple[str, str]]]:
    """Decides what becomes of copies.

    Args:
        contents: what is converted.
        written: the writer's account of each shard (`split`, `written`, `facts`).
        duplicates: `together`: copies get a common group; `leave_out`: one of each set is kept, none of a set that is
            of several classes.
        near: bits in which pictures of one set may differ; None for equal bytes only. Only copies with equal bytes are
            left out.

    Returns:
        The contents, the same object if nothing is to change; and key and reason of what is to be left out.
    """
    examples = Examples([result.facts for result in written])
    sets = [_items(members, examples, written) for members in examples.copies()]
    if duplicates == "leave_out":
        return contents, [entry for found in sets for entry in _superfluous(found)]
    if near is not None:
        sets += [_items(alike.members, examples, written) for alike in examples.alike(near)]
    torn = sum(_is_torn(found) for found in sets)
    if not torn:
        return contents, []
    logging.info("%d sets of copies lie in more than one split; dealing out again, with these together.", torn)
    # All sets, also those that lie in one split by chance: dealing out again must not tear them.
    keys = [[item.key for _, item in found] for found in sets]
    named = {item.key: split for found in sets if (split := _held_out(found)) for _, item in found if item.split}
    items = [item._replace(split=named.get(item.key, item.split)) for item in contents.items]
    return dataclasses.replace(contents, items=assignments.together(items, keys)), []


def _is_torn(found: Sequence[tuple[str, Item]]) -> bool:
    return len({split for split, _ in found}) > 1


def _held_out(found: Sequence[tuple[str, Item]]) -> str | None:
    """The split that all copies of a set are to go to, where the source names some: the one furthest from training."""
    order = (splits.TRAIN, splits.VALIDATION)  # any other is a test split
    named = {item.split for _, item in found if item.split}
    return max(named, key=lambda split: (order.index(split) if split in order else len(order), split), default=None)


def _items(members: Iterable[int], examples: Examples, written: Sequence[Any]) -> list[tuple[str, Item]]:
    """Split and item of each."""
    places = [examples.where(number) for number in members]
    return [(written[part].split, written[part].written[row]) for part, row in places]


def _superfluous(found: Sequence[tuple[str, Item]]) -> list[tuple[str, str]]:
    """Key and reason of those to leave out of one set of copies; one that the source wants held out is kept first."""
    items = sorted((item for _, item in found), key=lambda item: (item.split in (None, splits.TRAIN), item.key))
    if len({item.classes for item in items}) > 1:
        others = [items[1], *[items[0]] * (len(items) - 1)]
        return [
            (item.key, f"the same picture as {shown(other.key)}; they are of several classes, so which is right?")
            for item, other in zip(items, others, strict=True)
        ]
    return [(item.key, f"a copy of {shown(items[0].key)}") for item in items[1:]]
