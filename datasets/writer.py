"""The one writer behind all converters: from a `Source` to a folder that is a data set.

    NAME_SPLIT_00000-of-00005.tfrecord ...   Slim's records under Slim's names
    labels.txt                               Slim's: <id>:<class name>
    SPLIT_files.txt                          line i (from 0) is the file that example i of the split, in file order, was
    conversion_report.json                   what was kept, encoded anew, left out and why
    dataset.json                             what the data set is, for every later step; written last

All files are written into a hidden folder beside their places and renamed when they are complete, `dataset.json` last,
so that a conversion killed at any point leaves nothing that looks finished, and can be run again.
"""

import collections
import contextlib
import dataclasses
import math
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any, NamedTuple

import tensorflow as tf
from absl import logging

from common.errors import UserError
from common.files import write_json
from common.progress import Progress
from datasets import (
    conversion_report,
    copies,
    dataset_utils,
    findings,
    folders,
    images,
    index,
    pixels,
    planning,
    records,
    shards,
    targets,
)
from datasets.facts import Facts
from datasets.findings import shown
from datasets.image_headers import BadImage
from datasets.images import EncodedImage
from datasets.planning import WriteOptions
from datasets.sources import Contents, Item, Source

_SHARD_BYTES = 100e6
_FEW = 64  # images up to which one shard will do
_READERS = 4  # shards from then on, so that they can be read and written in parallel


@dataclasses.dataclass
class _Written:
    """What became of one shard's items."""

    split: str
    written: list[Item] = dataclasses.field(default_factory=list)
    formats: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    remarks: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    left_out: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    facts: Facts = dataclasses.field(default_factory=Facts)
    remarked: list[tuple[int, str]] = dataclasses.field(default_factory=list)  # example's number and the remark
    misnamed: list[tuple[int, str]] = dataclasses.field(default_factory=list)  # and what is wrong with its suffix
    shard: shards.Shard | None = None


class Task(NamedTuple):
    """A shard to write: the path of its file, its split and its items."""

    path: str
    split: str
    items: Sequence[Item]


# Writes the files of all tasks, with the items' images by the function that loads them (`Contents.load`); returns what
# became of each, in order.
WriteTasks = Callable[[Sequence[Task], Callable[[Item], EncodedImage], WriteOptions], list[_Written]]


def write(
    source: Source, dataset_dir: str, options: WriteOptions, write_tasks: WriteTasks | None = None
) -> dict[str, Any]:
    """Converts `source` into the folder `dataset_dir`; returns the content of its dataset.json.

    Does nothing where the folder already holds just that.

    Args:
        source: what is converted.
        dataset_dir: where to.
        options: how.
        write_tasks: what writes the shards; None: threads of this process.

    Raises:
        UserError: the folder holds something else, no image can be read, the disk is full.
    """
    made_from = {"source": dict(source.identity), **options.identity()}
    existing = targets.check_target(dataset_dir, source, made_from, options.overwrite)
    if existing:
        logging.info("%s already holds this data set; nothing to do (--overwrite makes it anew).", dataset_dir)
        return existing
    start = time.perf_counter()
    with _staging(dataset_dir) as staging, contextlib.ExitStack() as stack:
        contents = planning.assigned(source.open(stack), options)
        logging.info("Found %s", conversion_report.found(contents))
        _check_space(dataset_dir, contents)
        if options.looks_at_pixels and not pixels.finds_damage():
            logging.info("Damage inside JPEG data is not looked for; for that, pip install simplejpeg.")
        with images.large_images_allowed():
            contents, written = _write_all(source, contents, staging, options, write_tasks or _write_in_threads)
        dataset = _describe(source.name, contents, written, made_from)
        found = conversion_report.judged(dataset, contents, written, options)
        seconds = time.perf_counter() - start
        report = conversion_report.build(dataset, contents, written, seconds, options, found)
        _write_side_files(staging, contents, written, dataset)
        findings.write_report(os.path.join(staging, conversion_report.FILE_NAME), report, found)
        targets.publish(staging, dataset_dir, source)
    for line in conversion_report.lines(dataset, report, dataset_dir):
        logging.info("%s", line)
    problems = list(findings.lines(found, (findings.ERROR, findings.WARNING)))
    if problems:
        logging.warning("%s", "\n".join([*problems, f"  Full list: {dataset_dir}/{conversion_report.FILE_NAME}"]))
    logging.info("Train on it: %s", conversion_report.next_command(dataset, dataset_dir))
    return dataset


@contextlib.contextmanager
def _staging(dataset_dir: str) -> Iterator[str]:
    """A folder below `dataset_dir` for what is not complete; gone afterwards, unless the files are half in place."""
    made = _missing_folders(dataset_dir)
    staging = targets.staging_path(dataset_dir)
    try:
        os.makedirs(staging)
    except OSError as error:
        raise UserError(f"cannot write into {dataset_dir}: {error.strerror}") from error
    targets.clear_unfinished(dataset_dir, keep=staging)
    try:
        yield staging
    finally:
        if not targets.is_half_published(staging, dataset_dir):
            shutil.rmtree(staging, ignore_errors=True)
        with contextlib.suppress(OSError):  # not empty: the conversion went well
            for folder in made:
                os.rmdir(folder)


def _missing_folders(path: str) -> list[str]:
    """The folders that making a folder makes, the deepest first."""
    missing, path = [], os.path.abspath(path)
    while not os.path.isdir(path) and path != os.path.dirname(path):
        missing.append(path)
        path = os.path.dirname(path)
    return missing


def _check_space(dataset_dir: str, contents: Contents) -> None:
    needed, free = sum(item.bytes for item in contents.items), shutil.disk_usage(dataset_dir).free
    if needed > free:
        raise UserError(
            f"{dataset_dir}: about {needed / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free; "
            "free some space or name a --dataset_dir elsewhere"
        )


def _write_all(
    source: Source, contents: Contents, staging: str, options: WriteOptions, write_tasks: WriteTasks
) -> tuple[Contents, list[_Written]]:
    """Writes all shards; again, where images that could not be read leave a split short, or copies are to be moved."""
    left_out, settled = list(contents.left_out), options.duplicates == "report"
    while True:
        plan = planning.planned(contents, options)
        written = write_tasks(_tasks(plan, source, staging, options), contents.load, options)
        bad = [entry for result in written for entry in result.left_out]
        left_out += bad
        if len(bad) == len(contents.items):
            first = f"; the first: {shown(bad[0][0])}: {bad[0][1]}" if bad else ""
            raise UserError(f"none of the {len(bad)} images can be read{first}")
        short = planning.falls_short(plan, written, planning.validation_count(contents, options))
        again, superfluous = contents, []
        if not settled:
            near = options.near_duplicates if options.looks_at_pixels else None
            again, superfluous = copies.settled(contents, written, options.duplicates, near)
            left_out += superfluous
            settled = True
        if again is contents and not superfluous and not short:
            return dataclasses.replace(contents, left_out=sorted(left_out)), written
        for result in written:
            os.remove(result.shard.path)  # there may be fewer next time
        contents = planning.without(again, {key for key, _ in [*bad, *superfluous]})


def _tasks(plan: Mapping[str, Sequence[Item]], source: Source, staging: str, options: WriteOptions) -> list[Task]:
    """The shards of every split."""
    tasks = []
    for split, items in plan.items():
        count = options.num_shards or source.number_of_shards(split) or _number_of_shards(items)
        for k, part in enumerate(source.deal(items, count)):
            name = source.name_shard(source.name, split, k, count)
            tasks.append(Task(os.path.join(staging, name), split, part))
    return tasks


def _write_in_threads(
    tasks: Sequence[Task], load: Callable[[Item], EncodedImage], options: WriteOptions
) -> list[_Written]:
    done, stop = [0] * len(tasks), threading.Event()
    progress = Progress("converting", sum(len(task.items) for task in tasks))
    with futures.ThreadPoolExecutor(options.num_threads or os.cpu_count() or 1) as pool:
        try:
            running = [pool.submit(_write_shard, *task, load, options, done, k, stop) for k, task in enumerate(tasks)]
            pending = set(running)
            while pending:
                finished, pending = futures.wait(pending, timeout=0.1, return_when=futures.FIRST_COMPLETED)
                for future in finished:
                    future.result()  # raises what went wrong
                progress.update(sum(done))
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
        finally:
            progress.close()
    return [future.result() for future in running]


def _number_of_shards(items: Sequence[Item]) -> int:
    by_size = math.ceil(sum(item.bytes for item in items) / _SHARD_BYTES)
    return max(by_size, 1 if len(items) <= _FEW else _READERS)


def write_shard(task: Task, load: Callable[[Item], EncodedImage], options: WriteOptions) -> _Written:
    """Writes one shard; returns what became of its items. Needs `images.large_images_allowed`.

    Raises:
        UserError: the file cannot be written; with `--on_error=fail`, an image cannot be used.
    """
    return _write_shard(*task, load, options, [0], 0, threading.Event())


def _write_shard(
    path: str,
    split: str,
    items: Sequence[Item],
    load: Any,
    options: WriteOptions,
    done: list[int],
    task: int,
    stop: threading.Event,
) -> _Written:
    """Writes the items of one shard; those that cannot be loaded are left out. Ends early when `stop` is set."""
    result = _Written(split, facts=Facts(options.looks_at_pixels))
    try:
        with tf.io.TFRecordWriter(path) as file:
            for item in items:
                if stop.is_set():
                    break
                try:
                    image = load(item)
                    thumbnail = pixels.thumbnail(image.data) if options.looks_at_pixels else None
                except BadImage as error:
                    if options.on_error == "fail":
                        raise planning.failed(item.key, str(error)) from error
                    result.left_out.append((item.key, str(error)))
                else:
                    file.write(records.encode_item(item, image))
                    result.facts.add(image.data, image.height, image.width, item.classes, thumbnail)
                    result.formats[image.format] += 1
                    if image.remark:
                        result.remarks[image.remark] += 1
                        result.remarked.append((len(result.written), image.remark))
                    kind = image.remark or ("PNG" if image.format == "png" else "JPEG")
                    if wrong := conversion_report.wrong_suffix(item.key, kind):
                        result.misnamed.append((len(result.written), wrong))
                    result.written.append(item)
                done[task] += 1
    except BaseException as error:
        stop.set()
        if isinstance(error, tf.errors.OpError):
            raise UserError(f"cannot write {os.path.dirname(os.path.dirname(path))}: {error.message}") from error
        raise
    result.shard = shards.scan(path)
    return result


def _describe(
    name: str, contents: Contents, written: Sequence[_Written], made_from: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of dataset.json."""
    by_split: dict[str, list[_Written]] = collections.defaultdict(list)
    for result in written:
        by_split[result.split].append(result)
    described = {}
    for split, results in by_split.items():
        labels = collections.Counter(label for result in results for item in result.written for label in item.classes)
        formats = sum((result.formats for result in results), collections.Counter())
        described[split] = folders.split_entry(
            [result.shard for result in results],
            examples_per_class=[labels[label] for label in range(len(contents.class_names))],
            image_formats=dict(sorted(formats.items())),
        )
    return {
        "version": folders.VERSION,
        "name": name,
        "channels": contents.channels,
        "num_classes": len(contents.class_names),
        "class_names": list(contents.class_names),
        **({"multi_label": True} if contents.multi_label else {}),
        **({"num_folds": made_from["num_folds"]} if made_from.get("num_folds") else {}),
        "seed": made_from["seed"],
        "fingerprint": shards.fingerprint([result.shard for result in written]),
        "splits": described,
        "made_from": made_from,
    }


def _write_side_files(
    staging: str,
    contents: Contents,
    written: Sequence[_Written],
    dataset: Mapping[str, Any],
) -> None:
    if contents.has_files:
        for split in dataset["splits"]:
            keys = [item.key for result in written if result.split == split for item in result.written]
            path = os.path.join(staging, f"{split}{index.LIST_SUFFIX}")
            with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
                file.writelines(key.replace("\n", "\\n") + "\n" for key in keys)
    for name, data in contents.examples.items():
        path = os.path.join(staging, "examples", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
    dataset_utils.write_label_file(dict(enumerate(contents.class_names)), staging)
    write_json(os.path.join(staging, folders.DATASET_JSON), dataset)
