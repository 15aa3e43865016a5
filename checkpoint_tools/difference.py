"""What differs between two checkpoints: names, shapes, types, bits, and by how much."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from checkpoint_tools import arrays
from checkpoints.reader import Reader
from checkpoints.restore_messages import text as shape_text
from common import tables


@dataclasses.dataclass(frozen=True)
class Change:
    """A variable with the same name and shape and other values.

    Attributes:
        name: of the variable.
        shape: of the variable.
        max_absolute: largest difference of an element; infinite where one is finite and the other is not.
        max_relative: that, by the largest magnitude of an element of either.
        count: how many elements differ.
        dtypes: (here, there) where they differ in type; else None.
    """

    name: str
    shape: tuple[int, ...]
    max_absolute: float
    max_relative: float
    count: int
    dtypes: tuple[str, str] | None = None


@dataclasses.dataclass(frozen=True)
class Difference:
    """How checkpoint `here` and checkpoint `there` compare."""

    here: str
    there: str
    only_here: tuple[str, ...]
    only_there: tuple[str, ...]
    other_shape: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]
    changed: tuple[Change, ...]  # the largest relative difference first
    equal: int  # variables with equal bits and type

    @property
    def is_none(self) -> bool:
        """Whether both hold the same."""
        return not (self.only_here or self.only_there or self.other_shape or self.changed)


def compare(here: Reader, there: Reader) -> Difference:
    """Compares two checkpoints, variable by variable, in float64."""
    common = [name for name in here.shapes if name in there.shapes]
    alike = [name for name in common if here.shapes[name] == there.shapes[name]]
    changed, equal = [], 0
    pairs = zip(arrays.read_in_groups(here, alike), arrays.read_in_groups(there, alike), strict=True)
    for (name, a), (_, b) in pairs:
        change = compare_arrays(name, a, b)
        if change is None:
            equal += 1
        else:
            changed.append(change)
    return Difference(
        here=here.path,
        there=there.path,
        only_here=tuple(name for name in here.shapes if name not in there.shapes),
        only_there=tuple(name for name in there.shapes if name not in here.shapes),
        other_shape={name: (here.shapes[name], there.shapes[name]) for name in common if name not in set(alike)},
        changed=tuple(sorted(changed, key=lambda change: (-change.max_relative, change.name))),
        equal=equal,
    )


def compare_arrays(name: str, a: np.ndarray, b: np.ndarray) -> Change | None:
    """Compares two arrays of one shape; None where type and bits are the same."""
    dtypes = None if a.dtype == b.dtype else (a.dtype.name, b.dtype.name)
    if dtypes is None and a.tobytes() == b.tobytes():
        return None
    if a.dtype.kind in "OSU" or b.dtype.kind in "OSU":
        return Change(name, a.shape, float("inf"), float("inf"), int(np.count_nonzero(a != b)), dtypes)
    largest, magnitude, count = 0.0, 0.0, 0
    for block_a, block_b in zip(arrays.blocks(a), arrays.blocks(b), strict=True):
        x, y = block_a.astype(np.float64), block_b.astype(np.float64)
        with np.errstate(invalid="ignore"):
            gap = np.abs(x - y)
        same = (x == y) | (np.isnan(x) & np.isnan(y))
        gap = np.where(same, 0.0, np.where(np.isnan(gap), np.inf, gap))
        count += int(np.count_nonzero(~same))
        largest = max(largest, float(gap.max(initial=0.0)))
        finite = [np.abs(values[np.isfinite(values)]).max(initial=0.0) for values in (x, y)]
        magnitude = max(magnitude, *map(float, finite))
    relative = largest / magnitude if magnitude else (float("inf") if largest else 0.0)
    return Change(name, a.shape, largest, relative, count, dtypes)


def report(difference: Difference) -> str:
    """The difference in words, the largest changes first."""
    lines = [f"- {difference.here}", f"+ {difference.there}"]
    lines += [f"  - {name}: only in the first" for name in difference.only_here]
    lines += [f"  + {name}: only in the second" for name in difference.only_there]
    lines += [
        f"  ! {name}: {shape_text(a)} in the first, {shape_text(b)} in the second"
        for name, (a, b) in difference.other_shape.items()
    ]
    if difference.changed:
        header = ("changed", "shape", "elements", "max absolute", "max relative", "type")
        rows = [
            (
                change.name,
                shape_text(change.shape),
                change.count,
                f"{change.max_absolute:.3g}",
                f"{change.max_relative:.3g}",
                " -> ".join(change.dtypes or ()),
            )
            for change in difference.changed
        ]
        lines += ["", tables.table(header, rows, left=("changed", "shape", "type")), ""]
    totals = [
        (difference.equal, "with equal bits"),
        (len(difference.changed), "changed"),
        (len(difference.other_shape), "of another shape"),
        (len(difference.only_here), "only in the first"),
        (len(difference.only_there), "only in the second"),
    ]
    return "\n".join([*lines, ", ".join(f"{count} {words}" for count, words in totals)])
