"""Where a SavedModel keeps its variables: a checkpoint in its folder `variables`."""

import os

import tensorflow as tf

from checkpoints import folders
from common.errors import UserError

FILE_NAME = "saved_model.pb"
_VARIABLES = os.path.join("variables", "variables")


def find(path: str) -> str | None:
    """Returns the folder of the SavedModel that `path` means, None where it means something else.

    It may be the folder, its `saved_model.pb`, or an export folder of numbered versions (its newest).
    """
    if os.path.basename(path) == FILE_NAME and folders.is_file(path):
        return os.path.dirname(path) or "."
    names = folders.listing(path)
    if FILE_NAME in names:
        return path
    versions = [name for name in names if name.isdecimal() and folders.is_file(os.path.join(path, name, FILE_NAME))]
    return os.path.join(path, max(versions, key=int)) if versions else None


def variables(folder: str) -> str:
    """Returns the prefix of the checkpoint in a SavedModel.

    Raises:
        UserError: it has none.
    """
    prefix = os.path.join(folder, _VARIABLES)
    if not tf.io.gfile.isdir(os.path.dirname(prefix)):
        raise UserError(
            f"{folder} is a SavedModel without a folder `variables`: it is not wholly copied, or its weights are "
            f"constants of its graph; give the checkpoint that it was made from"
        )
    return prefix
