"""Slim's helpers for converters and for `labels.txt`, by Slim's names."""

import contextlib
import os
from collections.abc import Mapping

import tensorflow as tf

from common import downloads
from common.errors import UserError
from common.files import write_text
from datasets import archives, filesystem, records
from datasets.records import bytes_feature, float_feature, int64_feature

__all__ = [
    "LABELS_FILENAME",
    "bytes_feature",
    "bytes_list_feature",
    "download_and_uncompress_tarball",
    "download_and_uncompress_zipfile",
    "download_url",
    "float_feature",
    "float_list_feature",
    "has_labels",
    "image_to_tfexample",
    "int64_feature",
    "int64_list_feature",
    "open_sharded_output_tfrecords",
    "read_label_file",
    "write_label_file",
]

LABELS_FILENAME = "labels.txt"

int64_list_feature = int64_feature
float_list_feature = float_feature
bytes_list_feature = bytes_feature


def image_to_tfexample(
    image_data: bytes, image_format: bytes | str, height: int, width: int, class_id: int
) -> tf.train.Example:
    """Returns an Example of an encoded image, its size in pixels and its class."""
    return records.example(image_data, image_format, height, width, class_id)


def write_label_file(
    labels_to_class_names: Mapping[int, str], dataset_dir: str, filename: str = LABELS_FILENAME
) -> None:
    """Writes `<id>:<name>` lines in the order of the mapping."""
    lines = [f"{label}:{name}\n" for label, name in labels_to_class_names.items()]
    write_text(os.path.join(dataset_dir, filename), "".join(lines))


def has_labels(dataset_dir: str, filename: str = LABELS_FILENAME) -> bool:
    """Returns whether the folder has a file of labels."""
    return filesystem.is_file(os.path.join(dataset_dir, filename))


def read_label_file(dataset_dir: str, filename: str = LABELS_FILENAME) -> dict[int, str]:
    """Reads `labels.txt`: class id -> name, a name being all after the first colon.

    Raises:
        UserError: no such file, or a line that is not `<id>:<name>`.
    """
    path = os.path.join(dataset_dir, filename)
    try:
        text = filesystem.read_text(path).removeprefix("\ufeff").replace("\r\n", "\n")
        lines = [line for line in text.split("\n") if line.strip()]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8") from error
    labels: dict[int, str] = {}
    for number, line in enumerate(lines, 1):
        label, colon, name = line.partition(":")
        if not colon or not label.strip().isdigit():
            raise UserError(f"{path}, line {number}: expected <id>:<name>, such as 0:daisy; found {line!r}")
        labels[int(label)] = name.rstrip("\r")
    return labels


def download_url(url: str, dataset_dir: str) -> str:
    """Downloads `url` into the folder under its own name, going on where an earlier try broke off; returns the path."""
    return downloads.fetch(url, os.path.join(dataset_dir, url.rsplit("/", 1)[-1]))


def download_and_uncompress_tarball(tarball_url: str, dataset_dir: str) -> None:
    """Downloads a .tar.gz and extracts it into the folder."""
    archives.extract(download_url(tarball_url, dataset_dir), dataset_dir)


def download_and_uncompress_zipfile(zip_url: str, dataset_dir: str) -> None:
    """Downloads a .zip, unless the folder has it already, and extracts it into the folder."""
    path = os.path.join(dataset_dir, zip_url.rsplit("/", 1)[-1])
    archives.extract(path if os.path.isfile(path) else download_url(zip_url, dataset_dir), dataset_dir)


def open_sharded_output_tfrecords(
    exit_stack: contextlib.ExitStack, base_path: str, num_shards: int
) -> list[tf.io.TFRecordWriter]:
    """Opens `<base>-<i:05d>-of-<n:05d>` for writing, all i; the exit stack closes them."""
    names = [f"{base_path}-{shard:05d}-of-{num_shards:05d}" for shard in range(num_shards)]
    return [exit_stack.enter_context(tf.io.TFRecordWriter(name)) for name in names]
