"""Files that Keras writes: `.keras`, `.weights.h5` and the older `.h5`."""

import contextlib
import os
import tempfile
import zipfile
from collections.abc import Iterator
from typing import Any

from absl import logging

from common.errors import UserError

ENDINGS = (".weights.h5", ".keras", ".h5")
_WEIGHTS = "model.weights.h5"  # in a .keras file, which is a zip archive

# What a file may hold beside a model's weights: the state of its optimizer, of random generators, of metrics.
_NOT_WEIGHTS = ("optimizer", "optimizer_weights", "seed_generator", "metrics", "_metrics")


def array_shapes(path: str) -> list[tuple[int, ...]]:
    """Shapes of all floating point arrays of a file, those of optimizers apart, in no certain order. Reads no data.

    Raises:
        UserError: not a file that Keras wrote, or cut off.
    """
    shapes: list[tuple[int, ...]] = []

    def visit(name: str, item: Any) -> None:
        parts = name.replace("\\", "/").split("/")
        if hasattr(item, "shape") and item.dtype.kind in "fV" and not any(part in _NOT_WEIGHTS for part in parts):
            shapes.append(tuple(item.shape))

    with _open(path) as file:
        file.visititems(visit)
    return shapes


@contextlib.contextmanager
def _open(path: str) -> Iterator[Any]:
    import h5py

    if not os.path.isfile(path):
        raise UserError(f"{path}: no such file")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive, archive.open(_WEIGHTS) as member, h5py.File(member) as file:
                yield file
        else:
            with h5py.File(path) as file:
                yield file
    except (OSError, KeyError, RuntimeError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).strip("'\"").split())
        raise UserError(
            f"{path} cannot be read as a file of Keras ({reason}); expected a .weights.h5, .keras or .h5; "
            f"if it should be one, copy or fetch it again"
        ) from None


def load(model: Any, path: str) -> None:
    """Loads a file's weights into a Keras model of the same layers.

    Raises:
        UserError: Keras finds that they do not fit.
    """
    with tempfile.TemporaryDirectory() as folder:
        # Keras goes by the ending, which may be wrong: a `.weights.h5` is often renamed to `.h5`.
        link = os.path.join(folder, f"model{_true_ending(path)}")
        os.symlink(os.path.abspath(path), link)
        try:
            model.load_weights(link)
        except (OSError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{path} does not fit {model.name} of Keras: {reason[:300]}") from None


def _true_ending(path: str) -> str:
    if zipfile.is_zipfile(path):
        return ".keras"
    with _open(path) as file:
        return ".h5" if "layer_names" in file.attrs or "model_weights" in file else ".weights.h5"


def check_ending(path: str) -> None:
    """Fails for a name that does not say in which of Keras's formats to write."""
    if not path.endswith(ENDINGS):
        raise UserError(f"{path}: a file of Keras ends in {', '.join(ENDINGS)}")


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without Keras's advice to use another format: the user has chosen one."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def save(model: Any, path: str) -> None:
    """Saves a Keras model, or with the ending `.weights.h5` its weights, whole or not at all.

    Raises:
        UserError: it cannot be written.
    """
    folder = os.path.dirname(os.path.abspath(path))
    ending = next(ending for ending in ENDINGS if path.endswith(ending))
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".keras-") as temporary:
            file = os.path.join(temporary, f"model{ending}")
            with _quietly():
                model.save_weights(file) if ending == ".weights.h5" else model.save(file)
            os.replace(file, path)
    except (OSError, RuntimeError) as error:
        raise UserError(f"cannot write {path}: {' '.join(str(error).split())}") from None
