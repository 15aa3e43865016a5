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
from collections.abc import Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any

import tensorflow as tf
from absl import logging

from common.errors import UserError
from common.files import write_json
from datasets import conversion_report, dataset_utils, folders, images, records, shards, splits, targets
from datasets.image_headers import BadImage
from datasets.progress import Progress
from datasets.sources import Contents, Item, Source

_SHARD_BYTES = 100e6
_FEW = 64  # images up to which one shard will do
_READERS = 4  # shards from then on, so that they can be read and written in parallel


@dataclasses.dataclass(frozen=True)
class WriteOptions:
    """How a data set is written, whatever it is made from.

    Attributes:
        seed: of the split and the order.
        validation_fraction: share of the images for validation; None: the source's default.
        validation_count: number of images for validation instead; None: a fraction.
        num_shards: of each split; 0: as many as the size asks for.
        num_threads: that work in parallel; 0: one for each core.
        overwrite: whether another data set in the folder may be replaced.
    """

    seed: int = 0
    validation_fraction: float | None = None
    validation_count: int | None = None
    num_shards: int = 0
    num_threads: int = 0
    overwrite: bool = False

    def identity(self) -> dict[str, Any]:
        """The options that the records depend on."""
        names = ("seed", "validation_fraction", "validation_count", "num_shards")
        return {name: getattr(self, name) for name in names}


@dataclasses.dataclass
class _Written:
    """What became of one shard's items."""

    split: str
    written: list[Item] = dataclasses.field(default_factory=list)
    formats: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    remarks: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    left_out: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    shard: shards.Shard | None = None


def write(source: Source, dataset_dir: str, options: WriteOptions) -> dict[str, Any]:
    """Converts `source` into the folder `dataset_dir`; returns the content of its dataset.json.

    Does nothing where the folder already holds just that.

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
        contents = source.open(stack)
        logging.info("Found %s", conversion_report.found(contents))
        _check_space(dataset_dir, contents)
        with images.large_images_allowed():
            contents, written = _write_all(source, contents, staging, options)
        dataset = _describe(source.name, contents, written, made_from)
        report = conversion_report.build(dataset, contents, written, time.perf_counter() - start)
        _write_side_files(staging, contents, written, dataset, report)
        targets.publish(staging, dataset_dir, source.name)
    for line in conversion_report.lines(dataset, report, dataset_dir):
        logging.info("%s", line)
    return dataset


@contextlib.contextmanager
def _staging(dataset_dir: str) -> Iterator[str]:
    """A folder below `dataset_dir` for what is not complete; gone afterwards, whatever happens."""
    existed = os.path.isdir(dataset_dir)
    staging = targets.staging_path(dataset_dir)
    try:
        os.makedirs(staging)
    except OSError as error:
        raise UserError(f"cannot write into {dataset_dir}: {error.strerror}") from error
    targets.clear_unfinished(dataset_dir, keep=staging)
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if not existed:
            with contextlib.suppress(OSError):  # not empty: the conversion went well
                os.rmdir(dataset_dir)


def _check_space(dataset_dir: str, contents: Contents) -> None:
    needed, free = sum(item.bytes for item in contents.items), shutil.disk_usage(dataset_dir).free
    if needed > free:
        raise UserError(
            f"{dataset_dir}: about {needed / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free; "
            "free some space or name a --dataset_dir elsewhere"
        )


def _write_all(
    source: Source, contents: Contents, staging: str, options: WriteOptions
) -> tuple[Contents, list[_Written]]:
    """Writes all shards; again, without the images that could not be read, where these leave a split short."""
    left_out = list(contents.left_out)
    while True:
        fraction, count = _validation(options, contents)
        plan = splits.plan(contents.items, options.seed, fraction, count)
        written = _write_shards(plan, source, contents, staging, options)
        bad = [entry for result in written for entry in result.left_out]
        left_out += bad
        if len(bad) == len(contents.items):
            first = f"; the first: {conversion_report.shown(bad[0][0])}: {bad[0][1]}" if bad else ""
            raise UserError(f"none of the {len(bad)} images can be read{first}")
        if not _falls_short(plan, written, count):
            return dataclasses.replace(contents, left_out=sorted(left_out)), written
        contents = _without(contents, {key for key, _ in bad})


def _validation(options: WriteOptions, contents: Contents) -> tuple[float | None, int | None]:
    if options.validation_count is None and options.validation_fraction is None:
        return None, contents.validation_count
    return options.validation_fraction, options.validation_count


def _falls_short(plan: Mapping[str, Sequence[Item]], written: Sequence[_Written], count: int | None) -> bool:
    """Whether images that could not be read leave a class without any in a split, or validation short of its count."""
    got = {(result.split, item.label) for result in written for item in result.written}
    wanted = {(split, item.label) for split, items in plan.items() for item in items}
    short = any(result.left_out for result in written if result.split == splits.VALIDATION)
    return got != wanted or (count is not None and short)


def _without(contents: Contents, bad: set[str]) -> Contents:
    items = [item for item in contents.items if item.key not in bad]
    labels = sorted({item.label for item in items})
    for label in set(range(len(contents.class_names))) - set(labels):
        logging.warning("No image of class %r can be read; the class is left out.", contents.class_names[label])
    renumbered = {label: new for new, label in enumerate(labels)}
    return dataclasses.replace(
        contents,
        class_names=[contents.class_names[label] for label in labels],
        items=[item._replace(label=renumbered[item.label]) for item in items],
    )


def _write_shards(
    plan: Mapping[str, Sequence[Item]], source: Source, contents: Contents, staging: str, options: WriteOptions
) -> list[_Written]:
    """Writes every shard of every split; returns what became of each, in order."""
    tasks = []
    for split, items in plan.items():
        count = options.num_shards or source.shards or _number_of_shards(items)
        for k in range(count):
            part = items[k * len(items) // count : (k + 1) * len(items) // count]
            tasks.append((os.path.join(staging, shards.shard_name(source.name, split, k, count)), split, part))
    done, stop = [0] * len(tasks), threading.Event()
    progress = Progress("converting", sum(len(items) for items in plan.values()))
    with futures.ThreadPoolExecutor(options.num_threads or os.cpu_count() or 1) as pool:
        try:
            running = [pool.submit(_write_shard, *task, contents.load, done, k, stop) for k, task in enumerate(tasks)]
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


def _write_shard(
    path: str, split: str, items: Sequence[Item], load: Any, done: list[int], task: int, stop: threading.Event
) -> _Written:
    """Writes the items of one shard; those that cannot be loaded are left out. Ends early when `stop` is set."""
    result = _Written(split)
    try:
        with tf.io.TFRecordWriter(path) as file:
            for item in items:
                if stop.is_set():
                    break
                try:
                    image = load(item)
                except BadImage as error:
                    result.left_out.append((item.key, str(error)))
                else:
                    file.write(records.encode(image.data, image.format, image.height, image.width, item.label))
                    result.written.append(item)
                    result.formats[image.format] += 1
                    if image.remark:
                        result.remarks[image.remark] += 1
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
        labels = collections.Counter(item.label for result in results for item in result.written)
        formats = sum((result.formats for result in results), collections.Counter())
        described[split] = folders.split_entry(
            [result.shard for result in results],
            examples_per_class=[labels[label] for label in range(len(contents.class_names))],
            image_formats=dict(sorted(formats.items())),
        )
    return {
        "version": folders.VERSION,
        "name": name,
        "channels": 3,
        "num_classes": len(contents.class_names),
        "class_names": list(contents.class_names),
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
    report: Mapping[str, Any],
) -> None:
    if contents.has_files:
        for split in dataset["splits"]:
            keys = [item.key for result in written if result.split == split for item in result.written]
            path = os.path.join(staging, f"{split}_files.txt")
            with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
                file.writelines(key.replace("\n", "\\n") + "\n" for key in keys)
    for name, data in contents.examples.items():
        path = os.path.join(staging, "examples", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
    dataset_utils.write_label_file(dict(enumerate(contents.class_names)), staging)
    write_json(os.path.join(staging, conversion_report.FILE_NAME), report)
    write_json(os.path.join(staging, folders.DATASET_JSON), dataset)
