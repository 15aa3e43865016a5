"""Configs as frozen dataclasses whose fields say all about themselves, and the flags made from them.

A field is written once, `rate: float = option(0.01, "Initial learning rate.")`; `common.scripts` turns it into the
absl flag `--rate` with the same default, help, choices and bounds. So a script has no list of flags of its own and a
config no list of comments.
"""

import dataclasses
import types
import typing
from collections.abc import Sequence
from typing import Any

from common.errors import FlagError


def option(
    default: Any,
    help: str,
    *,
    choices: Sequence[str] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    slim: bool = False,
) -> Any:
    """Declares one config field.

    Args:
        default: its default; None for "not set".
        help: what it is, with its unit; shown by `--help`.
        choices: the strings allowed.
        minimum: smallest number allowed.
        maximum: largest number allowed.
        slim: whether it is a flag of the original Slim script, by its name and with its default.
    """
    metadata = {"help": help, "choices": choices, "minimum": minimum, "maximum": maximum, "slim": slim}
    return dataclasses.field(default=default, metadata=metadata)


def value_type(config: type, field: dataclasses.Field) -> type:
    """Returns the plain type of a field: `int` for `int` and for `int | None`."""
    annotation = typing.get_type_hints(config)[field.name]
    if isinstance(annotation, types.UnionType):
        (annotation,) = (part for part in typing.get_args(annotation) if part is not type(None))
    return annotation


def check_local(**paths: str | None) -> None:
    """Fails where a path that is written to, given by its flag, is on another machine (`gs://...`).

    Raises:
        FlagError: which.
    """
    for flag, path in paths.items():
        if path and "://" in path:
            raise FlagError(
                f"--{flag}={path}: this is written to a folder of this machine or a mounted one; copy it afterwards"
            )
