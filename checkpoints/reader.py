"""Opens a checkpoint, V2 or V1, and reads tensors from it."""

import functools
import math
import os
from collections.abc import Iterable

import tensorflow as tf

from checkpoints import folders
from checkpoints.paths import resolve
from common.errors import UserError

__all__ = ["CheckpointReader", "resolve"]

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


class CheckpointReader:
    """An open checkpoint.

    Attributes:
        given: the path as the user gave it.
        path: the prefix (V1: the file).
        shapes: name -> shape, sorted by name.
        dtypes: name -> dtype.
    """

    def __init__(self, path: str | os.PathLike[str]):
        """Opens what `path` means, see `resolve`. Reads the index only.

        Raises:
            UserError: nothing there, something else, or cut off (as far as sizes tell).
        """
        self.given = os.fspath(path)
        self.path = resolve(path)
        try:
            self._reader = tf.compat.v1.train.NewCheckpointReader(self.path)
            shapes = self._reader.get_variable_to_shape_map()
            dtypes = self._reader.get_variable_to_dtype_map()
        except (tf.errors.OpError, RuntimeError, ValueError, IndexError) as error:
            raise UserError(f"{self.path} cannot be opened as a checkpoint: {_reason(error)}") from None
        names = sorted(shapes)
        self.shapes: dict[str, tuple[int, ...]] = {name: tuple(shapes[name]) for name in names}
        self.dtypes: dict[str, tf.DType] = {name: dtypes[name] for name in names}
        self._check_size()

    @property
    def is_object_based(self) -> bool:
        """Whether TF2's `tf.train.Checkpoint` or Keras wrote it, with names that are paths of objects."""
        return OBJECT_GRAPH in self.shapes

    @functools.cached_property
    def step(self) -> int | None:
        """The value of `global_step`, where the checkpoint has it; else None. The file's name does not count."""
        if self.shapes.get("global_step") != ():
            return None
        return int(self.read(["global_step"])["global_step"])

    def read(self, names: Iterable[str]) -> dict[str, tf.Tensor]:
        """Reads tensors, all in one operation, into CPU memory.

        Args:
            names: keys of `shapes`; each is read once.

        Returns:
            name -> tensor with the checkpoint's own dtype.

        Raises:
            UserError: a file is cut off or damaged (V2 files carry checksums).
            KeyError: a name that the checkpoint does not have.
        """
        names = list(dict.fromkeys(names))
        unknown = [name for name in names if name not in self.shapes]
        if unknown:
            raise KeyError(f"{self.path} has no {', '.join(unknown[:5])}")
        if not names:
            return {}
        try:
            with tf.init_scope(), tf.device("cpu:0"):
                values = tf.raw_ops.RestoreV2(
                    prefix=self.path,
                    tensor_names=names,
                    shape_and_slices=[""] * len(names),
                    dtypes=[self.dtypes[name] for name in names],
                )
        except tf.errors.OpError as error:
            raise UserError(
                f"the checkpoint {self.path} is cut off or damaged ({_reason(error)}); copy or fetch it again"
            ) from None
        return dict(zip(names, values, strict=True))

    def _check_size(self) -> None:
        """Compares the size of the data files with what the index promises; strings, whose length varies, apart."""
        promised = sum(
            math.prod(shape) * self.dtypes[name].size
            for name, shape in self.shapes.items()
            if self.dtypes[name].size is not None and self.dtypes[name] != tf.string
        )
        folder, base = os.path.split(self.path)
        files = [
            os.path.join(folder, name)
            for name in folders.listing(folder or ".")
            if (match := folders.DATA_FILE.match(name)) and match["prefix"] == base
        ]
        if not files:  # V1: all in the one file, possibly compressed
            return
        size = sum(tf.io.gfile.stat(file).length for file in files)
        if size < promised:
            raise UserError(
                f"{files[0] if len(files) == 1 else self.path + '.data-*'} is cut off: {size:,} bytes where its index "
                f"promises {promised:,}; copy or fetch it again"
            )


def _reason(error: Exception) -> str:
    """TensorFlow's own words on one line, without the name of the operation that ran."""
    text = " ".join((getattr(error, "message", None) or str(error)).split())
    return text.split("}} ", 1)[-1].removesuffix(" [Op:RestoreV2]")
