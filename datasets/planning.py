"""What is to be written: the options of a conversion, and which examples go where."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging

from common.errors import UserError
from datasets import assignments, records, splits
from datasets.facts import names_alike
from datasets.findings import Limits, shown
from datasets.sources import Contents, Item


@dataclasses.dataclass(frozen=True)
class WriteOptions(Limits):
    """How a data set is written, whatever it is made from.

    Attributes:
        seed: of the split and the order.
        validation_fraction: share of the images for validation; None: the source's default.
        validation_count: number of images for validation instead; None: a fraction.
        test_fraction: share of the images for a test split.
        num_folds: number of folds the images are dealt into, instead of training and validation; 0 for none.
        split_file: lists of the images of each split, see `assignments.listed_splits`.
        group_pattern: regular expression whose first group, found in a key, names the example's group.
        on_error: `quarantine` leaves out what cannot be used and reports it, `fail` stops at the first.
        duplicates: what becomes of copies: `report`, `together` (into one split) or `leave_out` (all but one).
        checks: `headers`, or `pixels`: every image is decoded, and nearly equal ones are found too.
        num_shards: of each split; 0: as many as the size asks for.
        num_threads: that work in parallel; 0: one for each core.
        overwrite: whether another data set in the folder may be replaced.
    """

    seed: int = 0
    validation_fraction: float | None = None
    validation_count: int | None = None
    test_fraction: float = 0.0
    num_folds: int = 0
    split_file: str | None = None
    group_pattern: str | None = None
    on_error: str = "quarantine"
    duplicates: str = "report"
    checks: str = "headers"
    num_shards: int = 0
    num_threads: int = 0
    overwrite: bool = False

    def identity(self) -> dict[str, Any]:
        """The options that the records depend on."""
        names = ("seed", "validation_fraction", "validation_count", "num_shards")
        said = {name: getattr(self, name) for name in names}
        more = ["test_fraction", "num_folds", "group_pattern", "duplicates", "checks"]
        if self.looks_at_pixels and self.duplicates != "report":
            more.append("near_duplicates")
        said |= {name: getattr(self, name) for name in more if getattr(self, name) != getattr(WriteOptions, name)}
        return said | ({"split_file": assignments.digest(self.split_file)} if self.split_file else {})

    @property
    def looks_at_pixels(self) -> bool:
        """Whether every image is decoded."""
        return self.checks == "pixels"


def assigned(contents: Contents, options: WriteOptions) -> Contents:
    """Returns the contents with the splits and groups that the user said.

    Raises:
        UserError: with `--on_error=fail`, there are files that cannot be used.
    """
    if options.on_error == "fail" and contents.left_out:
        raise failed(*contents.left_out[0])
    if options.on_error == "fail" and (alike := names_alike(contents.class_names)):
        raise UserError(f"class names {alike[0]} differ only in case or in accents; rename or merge them")
    if options.split_file:
        contents = assignments.listed_splits(contents, options.split_file)
    return assignments.groups_by_pattern(contents, options.group_pattern) if options.group_pattern else contents


def planned(contents: Contents, options: WriteOptions) -> dict[str, list[Item]]:
    """Returns the examples of each split, in the order in which they are written."""
    plan = splits.plan(
        contents.items,
        options.seed,
        options.validation_fraction,
        validation_count(contents, options),
        test_fraction=options.test_fraction,
        num_folds=options.num_folds,
    )
    if contents.in_order:
        place = {item.key: k for k, item in enumerate(contents.items)}
        plan = {split: sorted(items, key=lambda item: place[item.key]) for split, items in plan.items()}
    return plan


def validation_count(contents: Contents, options: WriteOptions) -> int | None:
    """Returns the number of validation images, None where a share or folds are wanted."""
    if options.validation_count is None and options.validation_fraction is None and not options.num_folds:
        return contents.validation_count
    return options.validation_count


def failed(key: str, reason: str) -> UserError:
    """Returns the error of `--on_error=fail` for an example that cannot be used."""
    return UserError(f"{shown(key)}: {reason} (--on_error=quarantine leaves such files out and lists them)")


def falls_short(plan: Mapping[str, Sequence[Item]], written: Sequence[Any], count: int | None) -> bool:
    """Returns whether images that could not be read leave a class without any in a split, or validation short.

    Args:
        plan: the examples of each split.
        written: the writer's account of each shard.
        count: number of validation images wanted; None for a share.
    """
    got = {(result.split, label) for result in written for item in result.written for label in item.classes}
    wanted = {(split, label) for split, items in plan.items() for item in items for label in item.classes}
    short = any(result.left_out for result in written if result.split == splits.VALIDATION)
    return got != wanted or (count is not None and short)


def without(contents: Contents, bad: set[str]) -> Contents:
    """Returns the contents less some keys, and less the classes that then have no image."""
    items = [item for item in contents.items if item.key not in bad]
    if contents.fixed_classes:
        return dataclasses.replace(contents, items=items)
    labels = sorted({label for item in items for label in item.classes})
    for label in set(range(len(contents.class_names))) - set(labels):
        logging.warning("No image of class %r can be read; the class is left out.", contents.class_names[label])
    new = {label: new for new, label in enumerate(labels)} | {records.NO_LABEL: records.NO_LABEL}
    return dataclasses.replace(
        contents,
        class_names=[contents.class_names[label] for label in labels],
        items=[
            item._replace(label=new[item.label], labels=item.labels and tuple(new[label] for label in item.labels))
            for item in items
        ],
    )
