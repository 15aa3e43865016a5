"""Edits of a checkpoint's arrays, by name, in NumPy: each takes a mapping, returns a new one and says what it did.

What an edit does not change keeps its very array, bit for bit.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from checkpoints import averages, renames, restore
from checkpoints.renames import Rename
from common.errors import UserError

Arrays = Mapping[str, np.ndarray]
STEP = "global_step"
_SHOWN = 3


def variables(values: Arrays) -> dict[str, np.ndarray]:
    """The model's own variables: no optimizer slots, averages and counters."""
    return {name: value for name, value in values.items() if not restore.is_bookkeeping(name, values)}


def strip(values: Arrays) -> tuple[dict[str, np.ndarray], str]:
    """Leaves out optimizer slots, averages and bookkeeping; `global_step` stays.

    Returns:
        (the rest, what was done).
    """
    kept = variables(values) | {name: value for name, value in values.items() if name == STEP}
    return kept, f"strip: {len(values) - len(kept)} of {len(values)} left out ({_kinds(set(values) - set(kept))})"


def _kinds(names: Iterable[str]) -> str:
    """`83 RMSProp, 83 RMSProp_1, 1 beta1_power`."""
    counts: dict[str, int] = {}
    for name in sorted(names):
        kind = name.rpartition("/")[2]
        counts[kind] = counts.get(kind, 0) + 1
    shown = [f"{count} {kind}" for kind, count in counts.items()]
    return ", ".join(shown[:6]) + (", ..." if len(shown) > 6 else "") or "there was nothing else"


def fold_averages(values: Arrays, source: str) -> tuple[dict[str, np.ndarray], str]:
    """Puts moving averages in the place of their variables; the averages go.

    Args:
        values: the checkpoint.
        source: what to call it.

    Raises:
        UserError: there are no averages, or one has another shape than its variable.
    """
    names = [name.removesuffix(averages.SUFFIX) for name in values if name.endswith(averages.SUFFIX)]
    if not names:
        raise UserError(f"{source} holds no moving averages (VARIABLE{averages.SUFFIX}): leave --fold_averages out")
    for name in names:
        if name in values and values[name].shape != values[name + averages.SUFFIX].shape:
            raise UserError(f"{source}: {name} and its average have different shapes")
    folded = {name: value for name, value in values.items() if not name.endswith(averages.SUFFIX)}
    folded |= {name: values[name + averages.SUFFIX] for name in names}
    own = variables(folded)
    without = [name for name in own if name not in set(names)]
    text = f"fold_averages: {len(names)} averages in the place of their variables"
    if without:
        text += f"; {len(without)} have none and stay as they are ({_list(without)})"
    return folded, text


def cast(values: Arrays, dtype: np.dtype, source: str) -> tuple[dict[str, np.ndarray], str]:
    """Casts all real numbers to `dtype`; integers, booleans and strings stay.

    Args:
        values: the checkpoint.
        dtype: float32, float16 or bfloat16.
        source: what to call the checkpoint.

    Raises:
        UserError: a number is too large for `dtype`.
    """
    result, count, zeros, size = {}, 0, 0, 0
    for name, value in values.items():
        if not is_real(value.dtype) or value.dtype == dtype:
            result[name] = value
            continue
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            new = value.astype(dtype)
        if np.any(np.isinf(new) & ~np.isinf(value)):
            largest = float(np.max(np.abs(np.where(np.isfinite(value), value, 0).astype(np.float64))))
            raise UserError(
                f"{source}: {name} holds {largest:.3g}, which {dtype.name} cannot hold; use --cast=bfloat16, which can"
            )
        zeros += int(np.count_nonzero((new == 0) & (value != 0)))
        count, size = count + 1, size + value.size
        result[name] = new
    text = f"cast: {count} variables to {dtype.name}, {len(values) - count} stay as they are"
    if zeros:
        text += f"; {zeros:,} of {size:,} numbers were so small that they became 0"
    return result, text


def is_real(dtype: np.dtype) -> bool:
    """Whether a type is one of floating point, bfloat16 included, which NumPy itself does not know."""
    return np.issubdtype(dtype, np.floating) or dtype.name == "bfloat16"


def rename(values: Arrays, given: Sequence[Rename], flag: str) -> tuple[dict[str, np.ndarray], str]:
    """Gives variables other names.

    Args:
        values: the checkpoint.
        given: what to rename; the first that is about a name counts.
        flag: where it comes from, for the messages.

    Raises:
        UserError: a rename is about no name, or two names become one.
    """
    try:
        new = renames.new_names(values, given)
    except UserError as error:
        raise UserError(str(error).replace(renames.FLAG, flag)) from None
    return {new.get(name, name): value for name, value in values.items()}, f"rename: {len(new)} of {len(values)} names"


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
