"""`run.json`: what a run was, kept beside its checkpoints: its folder is all that evaluation and export need."""

import dataclasses
import hashlib
import json
import os
import platform
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from checkpoints import paths, zoo
from common.errors import UserError
from common.files import write_json

FILE_NAME = "run.json"


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """All that is needed to rebuild a run's network and feed it."""

    model_name: str
    num_classes: int
    image_size: int  # side of the square input in pixels
    channels: int
    preprocessing_name: str
    labels: tuple[str, ...] | None  # name of each class, in the order of the logits
    labels_offset: int = 0
    network_module: str | None = None
    multi_label: bool = False  # whether an image may have several classes, or none

    @property
    def labels_key(self) -> str:
        """What batches call their labels."""
        return "labels" if self.multi_label else "label"


def versions() -> dict[str, str]:
    """Versions of what computes."""
    import numpy as np

    return {"python": platform.python_version(), "tensorflow": tf.__version__, "numpy": np.__version__}


def write(folder: str, run: Mapping[str, Any]) -> None:
    """Writes `run.json` into `folder`, atomically."""
    write_json(os.path.join(folder, FILE_NAME), run)


def read(checkpoint_path: str) -> dict[str, Any] | None:
    """Reads the `run.json` beside a checkpoint or in a run's folder (`FOLDER@STEP` too); None where there is none."""
    if zoo.is_zoo(checkpoint_path):  # published files come without one
        return None
    checkpoint_path, _ = paths.split_step(checkpoint_path)
    folder = checkpoint_path if tf.io.gfile.isdir(checkpoint_path) else os.path.dirname(checkpoint_path)
    path = os.path.join(folder, FILE_NAME)
    if not tf.io.gfile.exists(path):
        return None
    try:
        with tf.io.gfile.GFile(path) as file:
            run = json.load(file)
        model_info(run)
        run["dataset"]["dir"], run["dataset"]["name"], run["dataset"]["split"]  # all that is read later
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a run description ({error!r}); remove it or restore it") from None
    return run


def model_info(run: Mapping[str, Any]) -> ModelInfo:
    """The model that a `run.json` describes."""
    fields = {field.name for field in dataclasses.fields(ModelInfo)}
    values = {name: value for name, value in run["model"].items() if name in fields}
    values["labels"] = tuple(values["labels"]) if values.get("labels") else None
    return ModelInfo(**values)


def digest(variables: Mapping[str, tf.Variable]) -> str:
    """SHA-256 over the names and bytes of variables: equal digests mean bit-identical variables."""
    sha = hashlib.sha256()
    for name, variable in variables.items():
        sha.update(name.encode())
        sha.update(variable.numpy().tobytes())
    return sha.hexdigest()
