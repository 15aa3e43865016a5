"""What a converter declares, so that one writer serves all of them.

A converter knows where its examples come from: it lists them (`Item`: a key and a label) and says how one of them is
loaded. Splits, shards, parallel work, quarantine, reports and files are the writer's (`datasets.writer`).
"""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from datasets.images import EncodedImage
from datasets.shards import deal_rows, parse_name, shard_name


class Item(NamedTuple):
    """One example to be.

    Attributes:
        key: what identifies it on any machine: its path below the source's folder with `/`, or its number. Splits and
            order are drawn from it, the report and the index name it.
        label: class, from 0; an index into the class names.
        split: split it belongs to; None if that is to be drawn.
        bytes: size of its file, for the number of shards; 0 if not known.
        group: what it shares with other examples (one object, one patient), so that all go to one split; None if it
            stands alone.
        labels: all its classes, where an image may have several or none; None where it has the one `label`.
    """

    key: str
    label: int
    split: str | None = None
    bytes: int = 0
    group: str | None = None
    labels: tuple[int, ...] | None = None

    @property
    def classes(self) -> tuple[int, ...]:
        """All its classes: `labels`, or the one `label`."""
        return (self.label,) if self.labels is None else self.labels


@dataclasses.dataclass(frozen=True)
class Contents:
    """What a source holds.

    Attributes:
        class_names: name of each class, by label.
        items: the examples, in any order.
        load: from an item to its image; raises `BadImage` with the reason if there is none. Called by several threads.
        left_out: key and reason of what was seen to be unusable while listing.
        ignored: how many files were passed over as no images, by their extension.
        validation_count: size of the validation split if the user gives none; None for a tenth.
        examples: further image files (name -> bytes), kept beside the records to try the classifier on.
        has_files: whether keys are paths of files that the user has.
        channels: of the images, 1 or 3.
        in_order: whether the examples of a split are written in the order of `items`; else in one drawn from the seed.
        fixed_classes: whether the classes stay as they are where one has no image; else that class is left out.
        multi_label: whether images may have several classes or none (`Item.labels`).
    """

    class_names: Sequence[str]
    items: Sequence[Item]
    load: Callable[[Item], EncodedImage]
    left_out: Sequence[tuple[str, str]] = ()
    ignored: Mapping[str, int] = dataclasses.field(default_factory=dict)
    validation_count: int | None = None
    examples: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    has_files: bool = True
    channels: int = 3
    in_order: bool = False
    fixed_classes: bool = False
    multi_label: bool = False


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set that can be converted.

    Attributes:
        name: first part of the shards' names, and the name under which the data set is known.
        identity: what the records depend on (source and options), ready for JSON; two conversions with the same
            identity and the same writer options give the same records.
        open: gets the contents; what it needs while the records are written (extracted archives) it puts on the stack.
        shards: number of shards of each split, or of each by name; None: as many as the size asks for.
        trusts_files: whether a complete set of files under its names is taken for the data set, whoever made them.
        name_shard: name of a file by data set, split, number of the shard and number of shards.
        deal: how a split's examples, in order, are dealt out to that many shards.
    """

    name: str
    identity: Mapping[str, Any]
    open: Callable[[contextlib.ExitStack], Contents]
    shards: int | Mapping[str, int] | None = None
    trusts_files: bool = False
    name_shard: Callable[[str, str, int, int], str] = shard_name
    deal: Callable[[Sequence[Item], int], Sequence[Sequence[Item]]] = deal_rows

    def owns(self, file_name: str) -> bool:
        """Returns whether a file is named like one of this data set."""
        parts = parse_name(file_name)
        return bool(parts) and file_name == self.name_shard(self.name, parts.split, parts.shard, parts.num_shards)

    def number_of_shards(self, split: str) -> int | None:
        """Returns the number of shards of a split, None if it is left to its size."""
        return self.shards.get(split) if isinstance(self.shards, Mapping) else self.shards
