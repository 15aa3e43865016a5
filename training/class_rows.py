"""Rows of a checkpoint's classifier that a new classifier begins with, found by the names of the classes."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from checkpoint_tools import label_files
from checkpoint_tools.labels import Match
from checkpoints.adaptation import Adaptation
from checkpoints.patterns import matching
from checkpoints.reader import Reader
from checkpoints.restore import RestorePlan
from common.errors import UserError
from nets.network import Network, class_axes
from training import runs
from training.config import TrainConfig

if TYPE_CHECKING:
    from training.extending import Extension

AUTO = "auto"
FLAG = "--checkpoint_labels"
_MOST_LISTED = 3

Shapes = Mapping[str, tuple[int, ...]]


@dataclasses.dataclass(frozen=True)
class ClassRows:
    """What a network's classifier takes from a checkpoint's.

    Attributes:
        adaptations: name in the network -> how it is made; for `restore.plan`.
        match: which class is which.
        source: the checkpoint.
        labels_from: where its class names are from.
        flag: that asked for it.
    """

    adaptations: Mapping[str, Adaptation]
    match: Match
    source: str
    labels_from: str
    flag: str

    def described(self) -> list[str]:
        """Lines for the log: how many rows, and what has none."""
        total = len(self.match.target)
        line = f"Classes: {len(self.match.rows)} of {total} rows initialised from {self.source} by label"
        return [f"{line} (its names: {self.labels_from})", *(f"  new: {text}" for text in self.match.missed())]

    def as_json(self) -> dict[str, Any]:
        """For run.json."""
        copied = self.match.rows
        return {
            "rows_by_label": len(copied),
            "labels_from": self.labels_from,
            "new_rows": [label for k, label in enumerate(self.match.target) if k not in copied],
        }


def chosen(
    config: TrainConfig, network: Network, reader: Reader, labels: Sequence[str] | None, extension: Extension | None
) -> ClassRows | None:
    """The rows that the flags ask for; None where they ask for none, or the checkpoint has no classifier like it.

    Args:
        config: all settings.
        network: the network.
        reader: the checkpoint.
        labels: the network's classes.
        extension: the classes of a network that is extended.
    """
    if extension is not None:
        return first_rows(labels, extension.old_labels, network, reader)
    if config.checkpoint_labels:
        return by_label(config.checkpoint_labels, labels, network, reader)
    return None


def by_label(text: str, labels: Sequence[str] | None, network: Network, reader: Reader) -> ClassRows | None:
    """Finds the rows of `reader`'s classifier whose classes `network` has, too.

    Args:
        text: --checkpoint_labels: `auto` or a file of the checkpoint's class names.
        labels: the network's classes.
        network: the network.
        reader: the checkpoint.

    Returns:
        The rows; None where the checkpoint has no classifier of this network at all.

    Raises:
        UserError: class names are not known, or there is none in common.
    """
    if not labels:
        raise UserError(f"{FLAG}={text} goes by class names, and the data set has none: give it a labels.txt")
    axes = axes_of(network)
    num_source = source_classes(axes, network.shapes, reader.shapes)
    if num_source is None:
        return None
    names, origin = source_labels(text, reader.path, num_source)
    match = label_files.match(tuple(labels), names)
    if not match.rows:
        raise UserError(
            f"{FLAG}={text}: none of the {len(labels)} classes is one of the {num_source} of {reader.path} (names from "
            f"{origin}; {'; '.join(match.missed(_MOST_LISTED))}): leave the flag out and use "
            f"--checkpoint_exclude_scopes=head"
        )
    made = adaptations(network, axes, reader.shapes, match.rows, f"{len(match.rows)} of {len(labels)} rows by label")
    return ClassRows(made, match, reader.path, origin, f"{FLAG}={text}")


def first_rows(labels: Sequence[str], old_labels: Sequence[str], network: Network, reader: Reader) -> ClassRows | None:
    """The rows of a network whose first classes are those of the checkpoint, in order; None as in `by_label`.

    Args:
        labels: the network's classes.
        old_labels: the checkpoint's.
        network: the network.
        reader: the checkpoint.

    Raises:
        UserError: the checkpoint has another number of classes.
    """
    axes = axes_of(network)
    num_source = source_classes(axes, network.shapes, reader.shapes)
    if num_source is None:
        return None
    if num_source != len(old_labels):
        raise UserError(
            f"{reader.path} has {num_source} classes, and names of {len(old_labels)}: is its run.json of it?"
        )
    rows = {k: k for k in range(num_source)}
    text = f"{num_source} old rows, {len(labels) - num_source} new"
    made = adaptations(network, axes, reader.shapes, rows, text)
    match = Match(tuple(labels), tuple(old_labels), rows, {})
    return ClassRows(made, match, reader.path, "the run extended", "--extend_classes")


def axes_of(network: Network) -> dict[str, int]:
    """The class axis of each variable of the network that has one."""
    return class_axes(network.record.name, image_size=network.image_size, channels=network.channels)


def source_classes(axes: Mapping[str, int], wanted: Shapes, found: Shapes) -> int | None:
    """Number of classes of a checkpoint's classifier; None where it has none like the network's."""
    for name, axis in reversed(axes.items()):  # the main head is built last
        if name in found and _is_alike(wanted[name], found[name], axis):
            return found[name][axis]
    return None


def source_labels(text: str | None, prefix: str, num_classes: int) -> tuple[tuple[str, ...], str]:
    """Returns the class names of a checkpoint and where they are from.

    Args:
        text: `auto`, or a file.
        prefix: path of the checkpoint.
        num_classes: rows of its classifier.

    Raises:
        UserError: none are known, or another number.
    """
    if text not in (None, AUTO):
        return label_files.fitted(label_files.read(text, FLAG), num_classes, f"{FLAG}={text}"), text
    found = label_files.beside(prefix, num_classes, run_labels(prefix))
    if found is None:
        raise UserError(
            f"the names of the {num_classes} classes of {prefix} are not known (no run.json and no labels.txt beside "
            f"it): name a file of them, {FLAG}=FILE"
        )
    return found


def run_labels(prefix: str) -> tuple[str, ...] | None:
    """The class names in the run.json beside a checkpoint."""
    run = runs.read(prefix)
    return runs.model_info(run).labels if run else None


def adaptations(
    network: Network, axes: Mapping[str, int], found: Shapes, rows: Mapping[int, int], text: str
) -> dict[str, Adaptation]:
    """Returns how the variables of the head are made: `rows` of the checkpoint's, the others as they would begin.

    Args:
        network: the network.
        axes: `axes_of` it.
        found: shapes in the checkpoint.
        rows: class of the network -> class of the checkpoint.
        text: what is done, for the log.
    """
    names = [name for name in axes if name in found and _is_alike(network.shapes[name], found[name], axes[name])]
    initial = functools.cache(lambda: network.initial_values(names))  # when they are needed: a dry run reads nothing

    def adapt(name: str, array: np.ndarray) -> np.ndarray:
        # A copy, with the classes in front.
        value = np.moveaxis(initial()[name].numpy().copy(), axes[name], 0)
        value[list(rows)] = np.moveaxis(array, axes[name], 0)[list(rows.values())]
        return np.moveaxis(value, 0, axes[name])

    return {name: Adaptation(name, functools.partial(adapt, name), text) for name in names}


def described(
    rows: ClassRows | None, labels: Sequence[str] | None, network: Network, plan: RestorePlan, reader: Reader
) -> list[str]:
    """Returns lines for the log: the rows that are copied, else a hint where some could be.

    Raises:
        UserError: rows that were asked for are excluded.
    """
    if rows is None:
        line = hint(labels, network, reader, frozenset(plan.restored))
        return [line] if line else []
    if not rows.adaptations.keys() & plan.adapted.keys():
        raise UserError(
            f"{rows.flag} copies rows of the classifier, which --checkpoint_exclude_scopes leaves out: give one of the "
            f"two"
        )
    return rows.described() if rows.flag.startswith(FLAG) else []


def hint(
    labels: Sequence[str] | None, network: Network, reader: Reader, restored: Collection[str] = frozenset()
) -> str | None:
    """Returns a line that names the flag where it would help: the checkpoint's classifier has classes of the network.

    Args:
        labels: the network's classes.
        network: the network.
        reader: the checkpoint.
        restored: names of the variables that are restored as they are.
    """
    found = _head_rows(labels, network.shapes, network.record.head_scopes, reader.shapes) if labels else None
    if found is None:
        return None
    name, num_source = found
    try:
        known = label_files.beside(reader.path, num_source, run_labels(reader.path))
    except UserError:  # a labels.txt of something else
        return None
    rows = label_files.match(tuple(labels), known[0]).rows if known else {}
    if name in restored and known and rows != {k: k for k in range(len(labels))}:
        return (
            f"Warning: the classifier is restored row by row, but {reader.path} has other classes or another order "
            f"(names from {known[1]}): {FLAG}={AUTO} goes by name, --checkpoint_exclude_scopes=head begins anew"
        )
    if name in restored or not rows:
        return None
    names = [labels[k] for k in rows]
    listed = ", ".join(names[:_MOST_LISTED]) + (", ..." if names[_MOST_LISTED:] else "")
    return (
        f"Hint: the checkpoint's classifier knows {len(rows)} of the {len(labels)} classes ({listed}): {FLAG}={AUTO} "
        f"in place of --checkpoint_exclude_scopes begins with its rows"
    )


def with_hint(error: UserError, labels: Sequence[str] | None, network: Network, reader: Reader) -> UserError:
    """Returns the error of a checkpoint that does not fit, with a hint before its last advice where rows would help."""
    lines = str(error).splitlines()
    if len(lines) < 3 or "--checkpoint_exclude_scopes=" not in lines[-1]:
        return error
    line = hint(labels, network, reader)
    return UserError("\n".join([*lines[:-2], line, *lines[-2:]])) if line else error


def _head_rows(
    labels: Sequence[str], wanted: Shapes, head_scopes: Sequence[str], found: Shapes
) -> tuple[str, int] | None:
    """A variable of both heads and the number of the checkpoint's classes, by shapes: Slim's class axis is the last."""
    both = [name for scope in head_scopes for name in matching(wanted, scope) if wanted[name] and found.get(name)]
    sizes = {name: found[name][-1] for name in both if wanted[name][-1] == len(labels)}
    return (min(sizes), next(iter(sizes.values()))) if len(set(sizes.values())) == 1 else None


def _is_alike(ours: tuple[int, ...], theirs: tuple[int, ...], axis: int) -> bool:
    """Whether two shapes differ in the class axis at most."""
    return len(ours) == len(theirs) and all(
        a == b for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if i != axis
    )
