"""What every script does around its `main`: flags from a config, errors in one line, the right exit status."""

import dataclasses
import gc
import logging as stdlib_logging
import os
import sys
import tempfile
import textwrap
from collections.abc import Callable
from typing import Any, TypeVar

from absl import app, flags, logging

from common import config as config_lib
from common.errors import FlagError, UserError

FLAG_ERROR = 2
USER_ERROR = 1
INTERRUPTED = 130

Config = TypeVar("Config")

_defined: list[str] = []  # names of the flags made from configs, in order

_DEFINERS = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_boolean,
}


def define_flags(config: type) -> None:
    """Defines one absl flag for each field of a config class (see `common.config.option`)."""
    # What a script has in common with others comes last in its --help.
    for field in sorted(dataclasses.fields(config), key=lambda field: field.name not in config.__annotations__):
        kind = config_lib.value_type(config, field)
        meta = field.metadata
        if meta["choices"]:
            flags.DEFINE_enum(field.name, field.default, list(meta["choices"]), meta["help"])
        elif kind in (int, float):
            _DEFINERS[kind](
                field.name, field.default, meta["help"], lower_bound=meta["minimum"], upper_bound=meta["maximum"]
            )
        else:
            _DEFINERS[kind](field.name, field.default, meta["help"])
        _defined.append(field.name)


def config_from_flags(config: type[Config]) -> tuple[Config, frozenset[str]]:
    """Returns the config that the parsed flags say, and the names of the flags that the user gave."""
    names = [field.name for field in dataclasses.fields(config)]
    values: dict[str, Any] = {name: flags.FLAGS[name].value for name in names}
    given = frozenset(name for name in names if flags.FLAGS[name].present)
    for name in names:
        if values[name] != values[name]:  # not a number, which absl's bounds let pass
            raise FlagError(f"--{name}={values[name]}: expected a number")
    return config(**values), given


def _parser(positional: bool) -> Callable[[list[str]], list[str]]:
    def parse(argv: list[str]) -> list[str]:
        if {"--help", "-help", "-h", "-?"} & set(argv[1:]):
            print(_help())
            sys.exit(0)
        try:
            rest = flags.FLAGS(argv)
        except flags.Error as error:
            _fail(argv[0], f"{error} (--help lists the flags)", FLAG_ERROR)
        if len(rest) > 1 and not positional:
            _fail(argv[0], f"unexpected argument {rest[1]!r}; flags are written --name=value", FLAG_ERROR)
        return rest

    return parse


def _help() -> str:
    """The script's description and its flags, in the order in which they are defined."""
    lines = [(sys.modules["__main__"].__doc__ or "").strip(), "", "Flags:"]
    for name in _defined:
        flag = flags.FLAGS[name]
        choices = f" One of: {', '.join(flag.parser.enum_values)}." if hasattr(flag.parser, "enum_values") else ""
        default = "" if flag.default in (None, "") else f" (default: {flag.default})"
        lines += [
            f"  --{name}{default}",
            *textwrap.wrap(flag.help + choices, 100, initial_indent="      ", subsequent_indent="      "),
        ]
    return "\n".join(lines)


def _fail(script: str, message: str, status: int) -> None:
    folder, name = os.path.split(script)
    # `python -m PACKAGE` runs its __main__.py, which says nothing to the user.
    shown = os.path.basename(folder) if name == "__main__.py" else name
    print(f"{shown}: error: {message}", file=sys.stderr)
    sys.exit(status)


def start_tensorflow() -> None:
    """Imports TensorFlow without its start-up lines (oneDNN, missing GPU drivers), which would bury ours.

    They come from C++ before any log level counts, so standard error is held back meanwhile; it is shown where the
    import fails. A TF_CPP_MIN_LOG_LEVEL that is set leaves everything as it comes.
    """
    # Importing TensorFlow and tracing make a million objects that stay; Python's collector would walk them all again
    # and again (an eighth of the time to the first step).
    gc.set_threshold(100_000, 50, 50)
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            import tensorflow as tf

            tf.get_logger().setLevel("WARNING")
            tf.config.list_physical_devices()  # looks for GPUs, and says so, at its first call
        except BaseException:
            held_back.seek(0)
            os.write(stderr, held_back.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


class _PlainFormatter(stdlib_logging.Formatter):
    """Messages as they are; what is not plain information says so."""

    def format(self, record: stdlib_logging.LogRecord) -> str:
        message = super().format(record)
        return message if record.levelno <= stdlib_logging.INFO else f"{record.levelname.lower()}: {message}"


def _set_up_logging() -> None:
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.INFO)
    logging.get_absl_handler().setFormatter(_PlainFormatter())


def run(main: Callable[[list[str]], None], *, positional: bool = False) -> None:
    """Runs `main(arguments)` as a script.

    A `UserError` becomes one line on standard error and exit status 1, a `FlagError` and a flag that cannot be parsed
    status 2; `--verbosity=1` shows the traceback. `positional` allows arguments that are not flags.
    """

    def guarded(argv: list[str]) -> int:
        _set_up_logging()
        try:
            main(argv[1:])
        except UserError as error:
            if logging.get_verbosity() >= logging.DEBUG:
                raise
            status = FLAG_ERROR if isinstance(error, FlagError) else USER_ERROR
            _fail(argv[0], str(error), status)
        except BrokenPipeError:  # what reads our output (`| head`) has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except KeyboardInterrupt:
            _fail(argv[0], "interrupted", INTERRUPTED)
        return 0

    app.run(guarded, flags_parser=_parser(positional))
