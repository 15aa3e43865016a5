"""Removes, merges and reorders the classes of a checkpoint. Pure NumPy, on arrays by their Slim names.

A class is a row of the classifier: a slice of its weights along the class axis, and a number of its biases. What stays
is copied bit for bit. Merging is the one edit that computes: with softmax, the logit of "a or b" is
log(exp(z_a) + exp(z_b)), which no row is. The merged row is the mean of the rows and log(k) is added to the mean of the
k biases: never above the exact logit, and equal to it where the classes' logits are equal. It is a start for training.
"""

import copy
import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from checkpoint_tools import label_files
from checkpoints import averages
from common import suggest
from common.errors import FlagError, UserError

BACKGROUND_BIAS = -20.0  # a probability of 1e-9 beside logits of 0
_BIASES = ("biases", "bias")
_AVERAGE = averages.SUFFIX

Arrays = Mapping[str, np.ndarray]
Rows = tuple[tuple[int, ...], ...]


@dataclasses.dataclass(frozen=True)
class ClassEdits:
    """What is done to the classes, in this order. A class is named by its label, one of its names, or its number.

    Attributes:
        remove: classes to leave out.
        merge: (new name, classes that become it); it takes the place of the first of them.
        reorder: all classes that are left, in their new order.
        background: "add" puts a background class before all others, "drop" leaves the first one out.
    """

    remove: tuple[str, ...] = ()
    merge: tuple[tuple[str, tuple[str, ...]], ...] = ()
    reorder: tuple[str, ...] = ()
    background: str | None = None

    @classmethod
    def from_flags(
        cls,
        remove: str | None = None,
        merge: str | None = None,
        reorder: str | None = None,
        background: str | None = None,
    ) -> "ClassEdits":
        """Returns what the flags of convert_checkpoint.py ask for.

        Args:
            remove: --remove_classes: `a,b`, or a file with a class a line (for names with commas).
            merge: --merge_classes: `new=a+b;other=c+d`.
            reorder: --reorder_classes: as `remove`.
            background: "add", "drop" or None.

        Raises:
            FlagError: a text that says nothing or cannot be understood.
            UserError: a file that cannot be read.
        """
        merges = tuple(_merge(part) for part in (merge or "").split(";") if part.strip())
        if merge is not None and not merges:
            raise FlagError("--merge_classes is empty: expected NEW=A+B, several of them with ; between")
        if background not in (None, "add", "drop"):
            raise ValueError(f"background must be 'add' or 'drop', found {background!r}")
        return cls(_names(remove, "--remove_classes"), merges, _names(reorder, "--reorder_classes"), background)

    def __bool__(self) -> bool:
        return bool(self.remove or self.merge or self.reorder or self.background)


@dataclasses.dataclass(frozen=True)
class Edited:
    """The classes after the edits.

    Attributes:
        labels: their names.
        rows: for each the classes that it is made of; none for a background class that is new.
    """

    labels: tuple[str, ...]
    rows: Rows


def edited(edits: ClassEdits, labels: Sequence[str]) -> Edited:
    """Works out the classes that `edits` leave of `labels`.

    Raises:
        UserError: an unknown or ambiguous class, one that is edited twice, none left, or a name that is taken.
    """
    labels = tuple(labels)
    removed = _find_all(edits.remove, labels, "--remove_classes")
    merged: dict[int, tuple[str, tuple[int, ...]]] = {}
    used = dict.fromkeys(removed, "--remove_classes")
    for name, parts in edits.merge:
        flag = f"--merge_classes={name}=..."
        places = _find_all(parts, labels, flag)
        if twice := [k for k in places if k in used]:
            raise UserError(f"{flag}: class {labels[twice[0]]!r} is in {used[twice[0]]} already")
        used |= dict.fromkeys(places, flag)
        merged[min(places)] = (name, places)
    gone = set(removed) | {k for _, places in merged.values() for k in places if k not in merged}
    result = [merged.get(k, (label, (k,))) for k, label in enumerate(labels) if k not in gone]
    _check_merged_names(result, merged)
    if edits.reorder:
        result = _reordered(edits.reorder, result)
    result = _with_background(edits.background, result)
    if not result:
        raise UserError(f"--remove_classes leaves none of the {len(labels)} classes")
    return Edited(tuple(name for name, _ in result), tuple(places for _, places in result))


def edit_head(
    values: Arrays, axes: Mapping[str, int], num_classes: int, rows: Rows
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Edits the rows of the head's variables, and of their averages.

    Args:
        values: everything in a checkpoint.
        axes: name -> class axis, of the head's variables.
        num_classes: size of that axis.
        rows: as in `Edited`.

    Returns:
        All values, other variables untouched; and the names of optimizer slots of the head, which are left out: they
        belong to rows that are not there any more.

    Raises:
        UserError: the values have no head, or one of another number of classes.
    """
    head = {name: axis for name, axis in axes.items() if name in values}
    if not head:
        raise UserError(f"there is no classifier to edit ({', '.join(axes)}): is --model_name right?")
    result, dropped = {}, []
    for name, value in values.items():
        variable = name.removesuffix(_AVERAGE)
        if variable in head:
            if head[variable] >= value.ndim or value.shape[head[variable]] != num_classes:
                shape = "x".join(map(str, value.shape))
                raise UserError(f"{name} is {shape}, not of {num_classes} classes: is --model_name right?")
            result[name] = _edit(value, head[variable], rows, variable)
        elif any(name.startswith(f"{variable}/") for variable in head):
            dropped.append(name)
        else:
            result[name] = value
    return result, dropped


def apply(
    edits: ClassEdits, values: Arrays, labels: Sequence[str] | None, model_name: str, num_classes: int
) -> tuple[dict[str, np.ndarray], tuple[str, ...], list[str]]:
    """Edits the classes of a checkpoint.

    Args:
        edits: what to do.
        values: all of it, Slim name -> array.
        labels: class names; None: ImageNet's for 1000 and 1001 classes, else numbers.
        model_name: network.
        num_classes: of its head.

    Returns:
        (values, labels, lines for the log).

    Raises:
        UserError: see `edited` and `edit_head`; or labels of another number.
    """
    from nets.network import class_axes  # late: TensorFlow

    labels = tuple(labels) if labels else None
    known = labels or label_files.imagenet(num_classes) or tuple(str(k) for k in range(num_classes))
    known = label_files.fitted(known, num_classes, "the list of labels")
    result = edited(edits, known)
    values, dropped = edit_head(values, class_axes(model_name), num_classes, result.rows)
    return values, result.labels, _lines(result, known, dropped)


def edited_run(run: Mapping[str, Any], labels: Sequence[str], edits: ClassEdits) -> dict[str, Any]:
    """Returns the content of a run.json for a checkpoint with edited classes.

    Args:
        run: the content before.
        labels: the classes now.
        edits: what was done.
    """
    run = copy.deepcopy(dict(run))
    model = run["model"]
    offset = model.get("labels_offset") or 0
    shift = {"drop": 1, "add": -1, None: 0}[edits.background]
    model |= {"num_classes": len(labels), "labels": list(labels), "labels_offset": max(offset + shift, 0)}
    run["class_edits"] = [*run.get("class_edits", []), dataclasses.asdict(edits)]
    return run


# -- which classes ----------------------------------------------------------------------------------------------------


def _names(text: str | None, flag: str) -> tuple[str, ...]:
    if text is None:
        return ()
    if os.path.isfile(text):
        return label_files.read(text, flag)
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise FlagError(f"{flag} is empty: expected class names between commas, or a file with one a line")
    return names


def _merge(text: str) -> tuple[str, tuple[str, ...]]:
    name, equals, parts = text.partition("=")
    places = tuple(part.strip() for part in parts.split("+"))
    if not equals or not name.strip() or len(places) < 2 or not all(places):
        raise FlagError(
            f"--merge_classes={text}: expected NEW=A+B, such as dog=beagle+collie, several of them with ; between; a "
            "class whose name has one of =+; goes by its number"
        )
    return name.strip(), places


def _find_all(names: Sequence[str], labels: tuple[str, ...], flag: str) -> tuple[int, ...]:
    places = tuple(_place(name, labels, flag) for name in names)
    if twice := [name for k, name in enumerate(names) if places[k] in places[:k]]:
        raise UserError(f"{flag} names class {twice[0]!r} twice")
    return places


def _place(name: str, labels: tuple[str, ...], flag: str) -> int:
    """The class that a user means: its whole label, its number, or one of its names."""
    if labels.count(name) == 1:
        return labels.index(name)
    if name.isdecimal() and name not in labels:
        if int(name) < len(labels):
            return int(name)
        raise UserError(f"{flag}: class {name}, there are 0 to {len(labels) - 1}")
    found = label_files.match((name,), labels)
    if found.ambiguous:
        raise UserError(f"{flag}: {name!r} may be {found.choices_text(0)}; give its number")
    if not found.rows:
        raise UserError(f"{flag}: {suggest.unknown('class', name, labels, show=20)}")
    return found.rows[0]


def _check_merged_names(result: Sequence[tuple[str, tuple[int, ...]]], merged: Mapping[int, Any]) -> None:
    names = [name for name, _ in result]
    for name, _ in merged.values():
        if names.count(name) > 1:
            raise UserError(f"--merge_classes: there is another class {name!r}; choose a new name")


def _reordered(order: Sequence[str], result: list[tuple[str, tuple[int, ...]]]) -> list[tuple[str, tuple[int, ...]]]:
    labels = tuple(name for name, _ in result)
    places = _find_all(order, labels, "--reorder_classes")
    if missing := [label for k, label in enumerate(labels) if k not in places]:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise UserError(
            f"--reorder_classes names {len(places)} of {len(labels)} classes and lacks {', '.join(missing[:3])}{more}; "
            "name all, or remove them with --remove_classes"
        )
    return [result[k] for k in places]


def _with_background(
    background: str | None, result: list[tuple[str, tuple[int, ...]]]
) -> list[tuple[str, tuple[int, ...]]]:
    has_one = bool(result) and label_files.is_background(result[0][0])
    if background == "add":
        if has_one:
            raise UserError(f"--add_background: class 0 is {result[0][0]!r} already; leave the flag out")
        return [(label_files.BACKGROUND, ()), *result]
    if background == "drop":
        if not has_one and len(result) != 1001:
            name = result[0][0] if result else "none"
            raise UserError(
                f"--drop_background: class 0 is {name!r}, not {label_files.BACKGROUND!r}; leave the flag out, or say "
                "--remove_classes=0"
            )
        return result[1:]
    return result


# -- rows -------------------------------------------------------------------------------------------------------------


def _edit(value: np.ndarray, axis: int, rows: Rows, variable: str) -> np.ndarray:
    """The array with its slices along `axis` made of those that `rows` names."""
    is_bias = variable.rpartition("/")[2] in _BIASES

    def make(places: tuple[int, ...]) -> np.ndarray:
        if not places:
            return np.full(np.delete(value.shape, axis), BACKGROUND_BIAS if is_bias else 0.0, value.dtype)
        if len(places) == 1:
            return np.take(value, places[0], axis)
        mean = np.take(value, places, axis).astype(np.float64).mean(axis)
        return (mean + math.log(len(places)) if is_bias else mean).astype(value.dtype)

    return np.stack([make(places) for places in rows], axis)


def _lines(result: Edited, labels: tuple[str, ...], dropped: Sequence[str]) -> list[str]:
    kept = {k for places in result.rows for k in places}
    removed = [label for k, label in enumerate(labels) if k not in kept]
    lines = [f"{len(labels)} classes become {len(result.labels)}"]
    if removed:
        lines.append(f"removed: {', '.join(removed[:5])}" + (f" and {len(removed) - 5} more" if removed[5:] else ""))
    for name, places in zip(result.labels, result.rows, strict=True):
        if len(places) > 1:
            lines.append(
                f"merged into {name}: {', '.join(labels[k] for k in places)} (mean row, log({len(places)}) added to "
                "the bias: a start for training, not the exact sum)"
            )
        elif not places:
            lines.append(f"new: {name} (weights 0, bias {BACKGROUND_BIAS:g})")
    single = [places[0] for places in result.rows if len(places) == 1]
    if single != sorted(single):
        lines.append(f"order: {', '.join(result.labels[:5])}" + (", ..." if result.labels[5:] else ""))
    if dropped:
        lines.append(f"{len(dropped)} optimizer slots of the classifier left out: a run that goes on starts them anew")
    return lines
