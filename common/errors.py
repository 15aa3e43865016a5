"""The exceptions that mean "the user can fix this"."""

import re

# What TensorFlow puts around its words: functions' names, tf.data's iterator, the operation.
_NODE_NAMES = re.compile(
    r"^(\{\{.*?\}\} )+|Error in user-defined function .*? iterator: Iterator::\S+: | \[Op:\w+\].*$"
)


class UserError(Exception):
    """Bad input, told in one line: what, where, what was expected and what to do.

    Scripts print the message alone and exit with status 1 (`common.scripts.run`). Anything else that is raised is a
    defect of ours and keeps its traceback.
    """


class FlagError(UserError):
    """A flag whose value cannot be used, alone or with the others; scripts exit with status 2."""


def tensorflow_reason(error: Exception) -> str:
    """What went wrong, in TensorFlow's words on one line, without the names of graph nodes."""
    lines = [line.strip() for line in (getattr(error, "message", None) or str(error)).splitlines()]
    lines = [_NODE_NAMES.sub("", line) for line in lines]
    noise = ("Graph execution", "Detected at", "[[", "{{", "<stack")
    said = [line for line in lines if line and not line.startswith(noise)]
    return said[0] if said else type(error).__name__
