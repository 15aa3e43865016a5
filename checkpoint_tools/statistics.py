"""What the numbers in a checkpoint look like: moments, what is not finite, filters that are dead."""

import dataclasses
import math
from collections.abc import Iterable, Iterator

import numpy as np

from checkpoint_tools import arrays
from checkpoints import averages
from checkpoints.reader import Reader
from checkpoints.restore_messages import text as shape_text
from common import tables

# What counts as nothing: a filter beside the median one of its layer; a gamma; a variance beside batch norm's epsilon
# (1e-3, or 1e-5 in the ResNets).
DEAD_FILTER = 1e-4
ZERO_GAMMA = 1e-4
ZERO_VARIANCE = 1e-8
HUGE = 1e4

_DEPTHWISE = "depthwise_weights"


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something suspicious about a variable.

    Attributes:
        name: of the variable.
        kind: key for programs: `not_finite`, `negative_variance`, `constant`, `huge`, `dead_filters`, `zero_gamma` or
            `zero_variance`; the first ones weigh more.
        count: how many elements or channels.
        total: of how many.
        text: what it is, in words.
    """

    name: str
    kind: str
    count: int
    total: int
    text: str


KINDS = ("not_finite", "negative_variance", "constant", "huge", "dead_filters", "zero_gamma", "zero_variance")


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Of one variable; the moments are of its finite elements, None where it has none."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    mean: float | None
    std: float | None
    minimum: float | None
    maximum: float | None
    nan: int
    inf: int
    findings: tuple[Finding, ...]


def measure(reader: Reader, names: Iterable[str] | None = None) -> Iterator[Statistics]:
    """Yields the statistics of the numeric variables, in the order of `names` (by default all)."""
    names = list(reader.shapes if names is None else names)
    numeric = [name for name in names if reader.dtypes[name].is_floating or reader.dtypes[name].is_integer]
    for name, array in arrays.read_in_groups(reader, numeric):
        yield of_array(name, array)


def of_array(name: str, array: np.ndarray) -> Statistics:
    """The statistics of one variable; its name says what its axes are, and what it should be."""
    count, total, squares, low, high, nan, inf = 0, 0.0, 0.0, math.inf, -math.inf, 0, 0
    for block in arrays.blocks(array):
        values = block.astype(np.float64)
        if not np.isfinite(values.sum()):
            nan += int(np.isnan(values).sum())
            inf += int(np.isinf(values).sum())
            values = values[np.isfinite(values)]
        if not values.size:
            continue
        # Chan's way of joining the moments of parts, which does not cancel.
        mean = values.mean()
        part = ((values - mean) ** 2).sum()
        delta = mean - (total / count if count else 0.0)
        squares += part + (delta**2 * count * values.size / (count + values.size) if count else 0.0)
        count, total = count + values.size, total + values.sum()
        low, high = min(low, values.min()), max(high, values.max())
    return Statistics(
        name=name,
        shape=tuple(array.shape),
        dtype=array.dtype.name,
        mean=float(total / count) if count else None,
        std=math.sqrt(squares / count) if count else None,
        minimum=float(low) if count else None,
        maximum=float(high) if count else None,
        nan=nan,
        inf=inf,
        findings=tuple(_findings(name, array, nan + inf, low, high)),
    )


def _findings(name: str, array: np.ndarray, not_finite: int, low: float, high: float) -> Iterator[Finding]:
    if not_finite:
        text = f"{not_finite:,} of {array.size:,} elements are not finite"
        yield Finding(name, "not_finite", not_finite, array.size, text)
    if not arrays.is_float(array) or not array.size or not_finite == array.size:
        return
    role = name.removesuffix(averages.SUFFIX).rsplit("/", 1)[-1]
    if role == "moving_variance":
        yield from _about(name, array, "negative_variance", array < 0, "channels have a negative variance")
        constant = (array >= 0) & (array <= ZERO_VARIANCE)
        yield from _about(name, array, "zero_variance", constant, f"channels never vary (variance {ZERO_VARIANCE:g})")
    elif role == "gamma":
        off = np.abs(array) <= ZERO_GAMMA
        yield from _about(name, array, "zero_gamma", off, f"channels are switched off (gamma {ZERO_GAMMA:g})")
    elif array.ndim >= 2 and _is_kernel(role):
        if low == high and array.size > 1:
            yield Finding(name, "constant", array.size, array.size, f"all {array.size:,} elements are {low:g}")
            return
        if max(-low, high) > HUGE:
            yield Finding(name, "huge", 1, array.size, f"elements up to {max(-low, high):.3g}")
        dead = dead_filters(role, array)
        yield from _about(name, dead, "dead_filters", dead, "filters are dead (all but zero)")


def _about(name: str, array: np.ndarray, kind: str, mask: np.ndarray, words: str) -> Iterator[Finding]:
    count = int(np.count_nonzero(mask))
    if count:
        yield Finding(name, kind, count, array.size, f"{count} of {array.size} {words}")


def _is_kernel(role: str) -> bool:
    """Slim's and Keras's names of kernels: `weights`, `depthwise_weights`, `kernel`, ..."""
    return "weights" in role or "kernel" in role


def dead_filters(role: str, array: np.ndarray) -> np.ndarray:
    """Which output channels of a kernel are all but zero beside the median one: bool [channels].

    Args:
        role: last part of the variable's name; a depthwise kernel [..., in, multiplier] has in * multiplier channels.
        array: [..., in, out].
    """
    channels = array.shape[-2] * array.shape[-1] if role == _DEPTHWISE else array.shape[-1]
    largest = np.abs(array.reshape(-1, channels)).max(axis=0).astype(np.float64)
    return largest <= DEAD_FILTER * np.median(largest)


# -- words ----------------------------------------------------------------------------------------


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """The weightiest findings first."""
    return sorted(findings, key=lambda finding: (KINDS.index(finding.kind), -finding.count / finding.total))


def report(measured: list[Statistics], most: int = 30) -> str:
    """What is suspicious, worst first, then a table of all variables."""
    findings = ranked(finding for statistics in measured for finding in statistics.findings)
    lines = [f"{len(findings)} suspicious variables of {len(measured)}:" if findings else "Nothing suspicious."]
    lines += [f"  {finding.name}: {finding.text}" for finding in findings[:most]]
    if len(findings) > most:
        lines.append(f"  ... and {len(findings) - most} more (--json has all)")
    header = ("variable", "shape", "mean", "std", "min", "max", "not finite")
    rows = [
        (
            s.name,
            shape_text(s.shape),
            *(_number(value) for value in (s.mean, s.std, s.minimum, s.maximum)),
            s.nan + s.inf or "",
        )
        for s in measured
    ]
    return "\n".join([*lines, "", tables.table(header, rows, left=("variable", "shape"))])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
