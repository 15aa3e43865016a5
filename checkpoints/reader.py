"""Opens a checkpoint, of whatever format, and reads tensors from it."""

import functools
import math
import os
from collections.abc import Iterable, Mapping
from typing import Protocol

import tensorflow as tf
from absl import logging

from checkpoints import folders
from checkpoints.formats import common, frozen_graphs, object_graph, saved_models, views
from checkpoints.paths import expand, resolve
from common.errors import UserError

__all__ = ["CheckpointReader", "Reader", "open_checkpoint", "resolve"]

OBJECT_GRAPH = object_graph.KEY


class Reader(Protocol):
    """What every format's reader has.

    Attributes:
        given: the path as the user gave it.
        path: what was opened: a prefix, a file, the folder of a SavedModel.
        format: `V2 checkpoint`, `V1 checkpoint`, `TF2 object-based checkpoint`, `SavedModel` or `frozen graph`.
        shapes: name -> shape, sorted by name.
        dtypes: name -> dtype.
        step: the global step in it; None where it has none.
        is_object_based: whether TF2's `tf.train.Checkpoint`, Keras or `tf.saved_model.save` wrote it.
        files: paths of the files that hold it.
        notes: what a user should know of it before its weights are used.
    """

    given: str
    path: str
    format: str
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, tf.DType]
    step: int | None
    is_object_based: bool
    files: list[str]
    notes: tuple[str, ...]

    def read(self, names: Iterable[str]) -> dict[str, tf.Tensor]:
        """Returns name -> tensor with the file's own dtype; KeyError for a name that it does not have."""


def open_checkpoint(path: str | os.PathLike[str], *, warn: bool = True) -> Reader:
    """Opens weights in any format that TensorFlow writes.

    Args:
        path: what `resolve` takes; the folder of a SavedModel, its `saved_model.pb` or an export folder of numbered
          versions (its newest); a frozen graph's `.pb`.
        warn: log the reader's `notes` as warnings.

    Returns:
        A reader with Slim's names: variables of object-based checkpoints and SavedModels have their own names where
        these tell them apart (else the path of their object), those of frozen graphs the names of the nodes.

    Raises:
        UserError: nothing there, something else, or cut off.
    """
    given = os.fspath(path)
    try:
        reader = _open(given, expand(path))
    except tf.errors.PermissionDeniedError:
        raise UserError(f"{given} cannot be read: permission denied") from None
    except tf.errors.OpError as error:
        raise UserError(f"{given} cannot be read: {error.message}") from None
    for note in reader.notes if warn else ():
        logging.warning("%s: %s", reader.path, note)
    return reader


def _open(given: str, path: str) -> Reader:
    if frozen_graphs.is_one(path) and tf.io.gfile.exists(path):
        return frozen_graphs.FrozenGraphReader(path)
    saved_model = None if folders.newest(path) else saved_models.find(path)
    if saved_model:
        reader = CheckpointReader(saved_models.variables(saved_model))
        return views.View(reader, given=given, path=saved_model, format="SavedModel")
    reader = CheckpointReader(path)
    if reader.is_object_based:
        return views.View(reader, given=given, path=reader.path, format="TF2 object-based checkpoint")
    reader.given = given
    return reader


class CheckpointReader:
    """An open V2 or V1 checkpoint, with the very names in it; see `Reader`.

    Attributes:
        path: the prefix (V1: the file).
    """

    notes: tuple[str, ...] = ()

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

    @functools.cached_property
    def files(self) -> list[str]:
        """Paths of the files that hold it."""
        folder, base = os.path.split(self.path)
        data = [
            os.path.join(folder, name)
            for name in folders.listing(folder or ".")
            if (match := folders.DATA_FILE.match(name)) and match["prefix"] == base
        ]
        index = f"{self.path}.index"
        return [index, *data] if data and folders.is_file(index) else [self.path]

    @property
    def format(self) -> str:
        """`V2 checkpoint` or `V1 checkpoint`."""
        return "V1 checkpoint" if self.files == [self.path] else "V2 checkpoint"

    @property
    def is_object_based(self) -> bool:
        """Whether TF2's `tf.train.Checkpoint` or Keras wrote it, with names that are paths of objects."""
        return OBJECT_GRAPH in self.shapes

    @functools.cached_property
    def step(self) -> int | None:
        """The value of `global_step`, where the checkpoint has it; else None. The file's name does not count."""
        return common.global_step(self)

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
        names = common.each_once(names, self.shapes, self.path)
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
        files = self.files[1:]
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
