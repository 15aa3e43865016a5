"""What is to be written: the options of a conversion, and which examples go where."""

import collections
import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from absl import logging

from common.errors import UserError
from datasets import assignments, folds, records, splits
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
        UserError: with `--on_error=fail`, there are files that cannot be used; a split is asked for that cannot be
            drawn, or is named as no split may be.
    """
    if options.on_error == "fail" and contents.left_out:
        raise failed(*contents.left_out[0])
    if options.on_error == "fail" and (alike := names_alike(contents.class_names)):
        raise UserError(f"class names {alike[0]} differ only in case or in accents; rename or merge them")
    if options.split_file:
        contents = assignments.listed_splits(contents, options.split_file)
    _check_names({item.split for item in contents.items if item.split}, options)
    _check_draws(contents.items, options)
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
    _warn_of_missing(plan, options)
    return plan


def _check_names(names: Collection[str], options: WriteOptions) -> None:
    """Fails where a split has a name that means something else, or two names differ only in case."""
    reserved = {folds.ALL} | {splits.fold_name(number) for number in range(options.num_folds)}
    if taken := sorted(reserved & set(names)):
        raise UserError(f"split {taken[0]!r}: that is a part of every data set in folds; call the split otherwise")
    by_case = {name.lower(): name for name in sorted(names)}
    if alike := sorted(set(names) - set(by_case.values())):
        other = by_case[alike[0].lower()]
        raise UserError(f"splits {alike[0]!r} and {other!r} differ only in case; call them the same")


def _check_draws(items: Sequence[Item], options: WriteOptions) -> None:
    """Fails where the user asks for a draw that is not made: of a split that is there, or from nothing."""
    asked = {
        "validation_fraction": splits.VALIDATION,
        "validation_count": splits.VALIDATION,
        "test_fraction": splits.TEST,
    }
    said = collections.Counter(item.split for item in items)
    for flag, split in asked.items():
        value = getattr(options, flag)
        if not value:
            continue
        if said[split]:
            what = f"{said[split]} images are in {split} already, so none are drawn for it"
        elif not said[None] and not options.num_folds:
            what = f"all {len(items)} images are in a split already ({', '.join(sorted(said))}), so none are drawn"
        else:
            continue
        raise UserError(f"--{flag}={value}: {what}; leave the flag out, or the splits out of the source")


def _warn_of_missing(plan: Mapping[str, Sequence[Item]], options: WriteOptions) -> None:
    """Says which split that is expected has no images."""
    if options.num_folds:
        return
    if splits.TRAIN not in plan:
        logging.warning("No image is left to train on; there are %s.", ", ".join(plan) or "none at all")
    wants = options.validation_count != 0 and options.validation_fraction != 0
    if wants and not {splits.VALIDATION, splits.TEST} & set(plan):
        logging.warning(
            "No validation split: no class has two images (or groups of images), one to train on and one to hold out."
        )


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
