"""Arrays kept in a file between runs: either whole or taken for not there."""

import zipfile

import numpy as np

from common import files


def save(path: str, **arrays: np.ndarray) -> None:
    """Writes arrays by their names into a file, atomically."""
    with files.atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def load(path: str) -> dict[str, np.ndarray] | None:
    """Reads what `save` wrote; None where there is no such file, or a damaged one."""
    try:
        with open(path, "rb") as file, np.load(file) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
