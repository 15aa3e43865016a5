"""Values that a network takes from a checkpoint in another form than they have there. Pure Python and NumPy."""

import dataclasses
from collections.abc import Callable

import numpy as np

Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Adaptation:
    """How one variable of a network is made from one of a checkpoint that has another shape or other rows.

    Attributes:
        source: name in the checkpoint.
        apply: the checkpoint's array -> the network's, of the variable's shape.
        text: what is done, for the log and the tables: `3 channels summed to 1`, `31 of 40 rows by label`.
    """

    source: str
    apply: Callable[[np.ndarray], np.ndarray]
    text: str
