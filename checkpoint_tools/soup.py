"""Averages of several checkpoints ("model soups", Wortsman et al. 2022, https://arxiv.org/abs/2203.05482)."""

import fnmatch
import os
from collections.abc import Mapping, Sequence

import numpy as np

from checkpoint_tools import edit
from checkpoints import averages, folders
from common.errors import UserError

_SHOWN = 3


def paths(text: str, last: int | None = None) -> list[str]:
    """Returns the checkpoints that --checkpoint_path means.

    Args:
        text: paths with commas between; a glob stands for the complete checkpoints that it matches, by step.
        last: the newest so many of the folder `text`.

    Raises:
        UserError: a glob matches nothing, or the folder has fewer.
    """
    if last is not None:
        return _newest(text, last)
    parts = [text] if folders.gfile.exists(text) else [part.strip() for part in text.split(",") if part.strip()]
    return [path for part in parts for path in (_matches(part) if _is_glob(part) else [part])]


def _is_glob(path: str) -> bool:
    return any(sign in path for sign in "*?[") and not folders.gfile.exists(path)


def _matches(pattern: str) -> list[str]:
    folder, name = os.path.split(pattern)
    complete = folders.complete(folder or ".")
    found = [prefix for prefix in complete if fnmatch.fnmatchcase(os.path.basename(prefix), name)]
    if not found:
        held = ", ".join(os.path.basename(prefix) for prefix in complete[-_SHOWN:]) or "no checkpoint"
        raise UserError(f"--checkpoint_path={pattern} matches no whole checkpoint; {folder or '.'} holds {held}")
    return found


def _newest(folder: str, count: int) -> list[str]:
    folder = os.path.expanduser(folder).rstrip("/")
    if not folders.gfile.isdir(folder):
        raise UserError(f"--last={count} takes checkpoints of a run's folder; --checkpoint_path={folder} is none")
    found = [prefix for prefix in folders.complete(folder) if folders.step_of(prefix) is not None]
    if len(found) < count:
        raise UserError(
            f"{folder} holds {len(found)} whole checkpoints: "
            + (f"use --last={len(found)}" if len(found) > 1 else "there is nothing to average")
        )
    return found[-count:]


class Soup:
    """A weighted mean of checkpoints, added one by one so that only one of them is in memory.

    Sums are float64 and become each variable's own type at the end. Integers must be equal, but for the step: that of
    the last one counts. Optimizer slots and moving averages are left out: their mean means nothing.
    """

    def __init__(self) -> None:
        self._sums: dict[str, np.ndarray] = {}
        self._kept: dict[str, np.ndarray] = {}
        self._types: dict[str, np.dtype] = {}
        self._step: np.ndarray | None = None
        self._first = ""
        self._count = 0
        self._with_averages = 0

    def add(self, values: Mapping[str, np.ndarray], weight: float, source: str) -> None:
        """Adds a checkpoint.

        Raises:
            UserError: its variables are others than those of the first, by name, shape or type.
        """
        own = edit.variables(values)
        if not self._count:
            self._first = source
            self._types = {name: value.dtype for name, value in own.items()}
        else:
            self._check(own, source)
        for name, value in own.items():
            if not edit.is_real(value.dtype):
                self._kept[name] = value
            elif name in self._sums:
                self._sums[name] += weight * value.astype(np.float64)
            else:
                self._sums[name] = weight * value.astype(np.float64)
        self._step = values.get(edit.STEP, self._step)
        self._count += 1
        self._with_averages += any(name.endswith(averages.SUFFIX) for name in values)

    def _check(self, own: Mapping[str, np.ndarray], source: str) -> None:
        shapes = {name: value.shape for name, value in {**self._sums, **self._kept}.items()}
        missing = [name for name in shapes if name not in own]
        extra = [name for name in own if name not in shapes]
        other = [
            f"{name} {_shape(shapes[name])} and {_shape(value.shape)}"
            for name, value in own.items()
            if name in shapes and value.shape != shapes[name]
        ]
        problems = [
            f"{len(found)} {what} ({', '.join(found[:_SHOWN])}{', ...' if len(found) > _SHOWN else ''})"
            for found, what in ((missing, "missing"), (extra, "more"), (other, "of another shape"))
            if found
        ]
        if problems:
            raise UserError(
                f"{source} cannot be averaged with {self._first}, it is another network or has other classes: "
                f"{'; '.join(problems)}; leave it out of --checkpoint_path"
            )
        for name, value in own.items():
            if name in self._kept and not np.array_equal(self._kept[name], value):
                raise UserError(f"{name}, which is no real number, differs between {self._first} and {source}")

    def result(self) -> tuple[dict[str, np.ndarray], list[str]]:
        """Returns the mean, and what to say of it."""
        values = {
            name: (self._sums[name].astype(kind) if name in self._sums else self._kept[name])
            for name, kind in self._types.items()
        }
        if self._step is not None:
            values[edit.STEP] = self._step
        lines = [f"average: {len(self._sums)} variables of {self._count} checkpoints; slots and averages left out"]
        if self._with_averages:
            lines.append("  the checkpoints have moving averages, too: --fold_averages averages these instead")
        if any("moving_mean" in name or "moving_variance" in name for name in self._sums):
            lines.append(
                "  batch norm's statistics are averaged as well; computing them anew is better: train one step with "
                "--learning_rate=0 --batch_norm=recomputed"
            )
        return values, lines


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "scalar"
