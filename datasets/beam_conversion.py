"""The conversion past one machine: shards written by an Apache Beam pipeline (extra `beam`) instead of threads.

What goes where is decided by the same code as without Beam; a shard is then one element of the pipeline. A worker loads
and encodes its images and writes its file, as a thread would: so the files have the same bytes, images never travel
between workers, and memory stays flat. What workers need and what they did lie in a hidden folder below `dataset_dir`,
which all of them share; the files are moved to their places when the whole pipeline has succeeded.
"""

import contextlib
import errno
import functools
import io
import logging as logging_of_python
import os
import pickle
import shlex
import shutil
import socket
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from absl import logging

from common.errors import FlagError, UserError
from common.files import atomic_path
from datasets import targets, writer
from datasets.images import EncodedImage
from datasets.planning import WriteOptions
from datasets.sources import Item

_DIRECT = "DirectRunner"
_GONE = f"cannot be read: {os.strerror(errno.ENOENT)}"


def task_writer(flags: str = "") -> writer.WriteTasks:
    """Returns what writes shards by a pipeline, for `writer.write`.

    Args:
        flags: of the pipeline and its runner, as on a command line; `--runner=DirectRunner` by default.

    Raises:
        FlagError: Apache Beam is not installed, does not know the runner, or does not take the flags.
    """
    options = _pipeline_options(flags)
    _pipeline(options)  # fails now and not after the images are listed
    return functools.partial(_write_on_beam, options, flags)


def _pipeline_options(flags: str) -> Any:
    try:
        with _without_warnings():
            from apache_beam.options import pipeline_options
    except ImportError as error:
        raise FlagError(f"--beam needs Apache Beam ({error}); install it by: pip install '.[beam]'") from error
    said, parsers = io.StringIO(), []
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()), _without_warnings():
            words = shlex.split(flags)
            options = pipeline_options.PipelineOptions(words)
            options.get_all_options(add_extra_args_fn=parsers.append)  # gives the parser of all flags
            unknown = parsers[0].parse_known_args(words)[1]
    except ValueError as error:
        raise FlagError(f"--beam_options={flags}: {error}") from error
    except SystemExit as error:  # of argparse, which tells all options and, in its last line, what is wrong
        reason = said.getvalue().strip().rpartition("error: ")[2]
        reason = reason or f"expected flags of a pipeline; {_DIRECT}'s are in Beam's documentation of that runner"
        raise FlagError(f"--beam_options={flags}: {reason}") from error
    _check_unknown(flags, unknown)
    standard = options.view_as(pipeline_options.StandardOptions)
    standard.runner = standard.runner or _DIRECT
    if standard.runner == _DIRECT:
        # Other runners have flags of their own.
        if unknown := [word.partition("=")[0] for word in unknown if word.startswith("--")]:
            raise FlagError(f"--beam_options={flags}: {_DIRECT} has no {', '.join(unknown)}")
        if options.view_as(pipeline_options.DirectOptions).direct_num_workers < 0:
            raise FlagError(f"--beam_options={flags}: --direct_num_workers must be 0 (one for each core) or more")
        # Keeps to Beam's runner in Python. It would first try another one, for which it downloads a program, and which
        # does not know --direct_num_workers. There are no triggers here.
        options.view_as(pipeline_options.TypeOptions).allow_unsafe_triggers = True
        logging_of_python.getLogger("apache_beam").setLevel(logging_of_python.WARNING)
    return options


def _check_unknown(flags: str, unknown: Sequence[str]) -> None:
    """Fails on words that Beam would pass over; what looks like a flag may be one of the runner's."""
    for before, word in zip(["", *unknown], unknown, strict=False):
        if not word.startswith("--") and (not before.startswith("--") or "=" in before):
            raise FlagError(f"--beam_options={flags}: {word!r} is no flag; expected --NAME=VALUE, with two dashes")


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Of what Beam could do with Google's libraries."""
    before = logging_of_python.root.manager.disable
    logging_of_python.disable(logging_of_python.WARNING)
    try:
        yield
    finally:
        logging_of_python.disable(before)


def _pipeline(options: Any) -> Any:
    import apache_beam

    try:
        return apache_beam.Pipeline(options=options)
    except (ImportError, ValueError) as error:
        raise FlagError(f"--beam_options: {' '.join(str(error).split())}") from error


def _write_on_beam(
    options: Any,
    flags: str,
    tasks: Sequence[writer.Task],
    load: Callable[[Item], EncodedImage],
    write_options: WriteOptions,
) -> list[Any]:
    """Writes the shards of `tasks`; returns the writer's account of each, in order."""
    import apache_beam

    dataset_dir = os.path.dirname(os.path.dirname(os.path.abspath(tasks[0].path)))
    folder = targets.staging_path(dataset_dir)
    os.makedirs(folder)
    try:
        _write_job(folder, tasks, load, write_options)
        pipeline = _pipeline(options)
        _ = (
            pipeline
            # Numbers only: runners limit the size of a pipeline.
            | "shards" >> apache_beam.Create(range(len(tasks)))
            | "deal out" >> apache_beam.Reshuffle()
            | "write" >> apache_beam.Map(_write_part, folder)
        )
        runner = options.get_all_options()["runner"]
        logging.info("Converting %d shards by Apache Beam's %s ...", len(tasks), runner)
        _run(pipeline, runner, flags, folder)
        return [_collect(folder, number, task) for number, task in enumerate(tasks)]
    finally:
        _job.cache_clear()
        shutil.rmtree(folder, ignore_errors=True)


def _run(pipeline: Any, runner: str, flags: str, folder: str) -> None:
    try:
        state = pipeline.run().wait_until_finish()
    except Exception as error:
        if os.path.exists(_failure(folder)):  # a worker has said what is wrong
            raise _read(_failure(folder)) from None
        if runner == _DIRECT and (not flags or os.path.exists(_defect(folder))):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        if runner == _DIRECT:  # no shard is to blame, so the flags are
            raise UserError(f"--beam_options={flags}: {runner} failed ({reason}); change or leave out flags") from error
        raise UserError(f"the pipeline failed on {runner}: {reason}") from error
    if state not in (None, "DONE"):  # some runners do not say
        raise UserError(f"the pipeline ended as {state} on {runner}; the runner's own log says why")


def _write_job(
    folder: str, tasks: Sequence[writer.Task], load: Callable[[Item], EncodedImage], options: WriteOptions
) -> None:
    """Writes what the workers need."""
    from apache_beam.internal import cloudpickle_pickler

    try:
        # For `load`, which is a closure. Beam's own, so that all workers have it, too.
        job = cloudpickle_pickler.dumps((load, options))
    except (TypeError, pickle.PicklingError) as error:
        raise UserError(
            "--beam: this data set is read from open archives, which cannot be handed to workers; extract them and "
            "name the folders, or leave --beam out"
        ) from error
    _write(_job_path(folder), job)
    for number, task in enumerate(tasks):
        _write(_task_path(folder, number), pickle.dumps(task))


def _write_part(number: int, folder: str) -> None:
    """Writes one shard; runs on a worker, again or twice at once where the runner thinks it should."""
    if not os.path.isdir(folder):
        raise UserError(
            f"there is no {folder} on worker {socket.gethostname()}; --dataset_dir must be one folder for all workers"
        )
    try:
        load, options = _job(folder)
        task = _read(_task_path(folder, number))
        path = os.path.join(folder, f"{number:05d}-{uuid.uuid4().hex}.part")
        result = writer.write_shard(task._replace(path=path), load, options)
        if task.items and [reason for _, reason in result.left_out] == [_GONE] * len(task.items):
            raise UserError(
                f"{result.left_out[0][0]} and the other images of its shard are not there on worker "
                f"{socket.gethostname()}; the folder of the images must have the same path on all workers"
            )
        _write(_result_path(folder, number), pickle.dumps(result))
    except UserError as error:
        _write(_failure(folder), pickle.dumps(error))
        raise
    except Exception:
        with contextlib.suppress(OSError):
            _write(_defect(folder), b"")  # keeps its traceback: no flag is to blame
        raise


@functools.lru_cache(maxsize=1)
def _job(folder: str) -> tuple[Callable[[Item], EncodedImage], WriteOptions]:
    from apache_beam.internal import cloudpickle_pickler
    from PIL import Image

    # `images.prepare` has a limit of its own. Not set back: this process is a worker's, or the writer's, which does it.
    Image.MAX_IMAGE_PIXELS = None
    with open(_job_path(folder), "rb") as file:
        return cloudpickle_pickler.loads(file.read())


def _collect(folder: str, number: int, task: writer.Task) -> Any:
    """Moves a shard to its place; returns the writer's account of it."""
    result = _read(_result_path(folder, number))
    os.replace(result.shard.path, task.path)
    result.shard = result.shard._replace(path=task.path)
    return result


def _job_path(folder: str) -> str:
    return os.path.join(folder, "job")


def _task_path(folder: str, number: int) -> str:
    return os.path.join(folder, f"{number:05d}.task")


def _result_path(folder: str, number: int) -> str:
    return os.path.join(folder, f"{number:05d}.result")


def _failure(folder: str) -> str:
    return os.path.join(folder, "failure")


def _defect(folder: str) -> str:
    return os.path.join(folder, "defect")


def _write(path: str, data: bytes) -> None:
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(data)


def _read(path: str) -> Any:
    """Reads what this module has written."""
    with open(path, "rb") as file:
        return pickle.load(file)
