"""Data sets on file systems of TensorFlow's. `ram://` is one that every TensorFlow has."""

import json
import pathlib
import uuid

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from datasets import dataset_factory, doctor, filesystem, input_pipeline, shards
from datasets.convert import convert


@pytest.fixture
def remote():
    """The name of a new folder in memory; with brackets, which patterns must not read as one of their own."""
    return f"ram://{uuid.uuid4().hex}/data[1]"


def copied(folder, remote):
    """Copies a folder's files."""
    tf.io.gfile.makedirs(remote)
    for path in pathlib.Path(folder).iterdir():
        if path.is_file():
            with tf.io.gfile.GFile(f"{remote}/{path.name}", "wb") as file:
                file.write(path.read_bytes())
    return remote


def plain(encoded, seed=None):
    image = tf.image.resize(tf.io.decode_image(encoded, channels=3, expand_animations=False), [2, 3])
    return tf.ensure_shape(image, [2, 3, 3])


def test_a_converted_folder_is_the_same_there_as_here(photos, tmp_path, remote):
    convert("image_folder", str(tmp_path / "out"), image_dir=str(photos))
    here = dataset_factory.get_dataset(None, "train", str(tmp_path / "out"))
    there = dataset_factory.get_dataset(None, "train", copied(tmp_path / "out", remote))
    assert there.data_sources == f"{remote}/images_train_*.tfrecord"
    assert there.files == tuple(f"{remote}/{pathlib.Path(file).name}" for file in here.files)
    for name in ("num_samples", "fingerprint", "file_examples", "class_examples", "labels_to_names"):
        assert getattr(there, name) == getattr(here, name), name
    assert dataset_factory.splits(remote) == ["train", "validation"]
    batches = [
        next(iter(input_pipeline.train_batches(dataset, plain, batch_size=6, seed=1))) for dataset in (here, there)
    ]
    np.testing.assert_array_equal(*[batch["image"] for batch in batches])


def test_slims_folder_is_walked_there_as_here(write_numbers, tmp_path, remote, monkeypatch):
    """Without dataset.json every record's length is looked at, in windows of whatever size."""
    monkeypatch.setattr(shards, "_WINDOW_BYTES", 300)
    here, there = write_numbers(tmp_path), write_numbers(remote)
    for name in ("num_samples", "fingerprint", "file_examples", "record_bytes", "num_classes"):
        assert getattr(there, name) == getattr(here, name), name


def test_patterns_may_name_folders(write_numbers, tmp_path, remote):
    for folder in (str(tmp_path), remote):
        write_numbers(f"{folder}/day-1", counts=(2, 3))
        write_numbers(f"{folder}/day-2", counts=(4, 1))
        with tf.io.gfile.GFile(f"{folder}/labels.txt", "w") as file:
            file.write("0:a\n1:b\n2:c\n3:d\n")
        dataset = dataset_factory.get_dataset(None, "train", folder, "day-*/numbers_%s_*.tfrecord")
        assert (dataset.num_samples, dataset.file_examples) == (10, (2, 3, 4, 1))
        assert dataset_factory.get_dataset(None, "train", folder, "day-[2-9]/*_%s_*").num_samples == 5
        with pytest.raises(UserError, match=r"has no file that matches night-\*/\*_train_\*$"):
            dataset_factory.get_dataset(None, "train", folder, "night-*/*_%s_*")


def test_what_is_wrong_is_told_as_of_local_files(write_numbers, remote):
    with pytest.raises(
        UserError, match=rf"no folder {remote[:8]}.*: --dataset_dir names the folder with the TFRecords"
    ):
        dataset_factory.get_dataset(None, "train", remote)
    tf.io.gfile.makedirs(remote)
    with tf.io.gfile.GFile(f"{remote}/notes.txt", "w") as file:
        file.write("x")
    with pytest.raises(UserError, match=r"has no TFRecord files"):
        dataset_factory.get_dataset(None, "train", remote)
    write_numbers(remote)
    path = f"{remote}/numbers_train_00001-of-00003.tfrecord"
    with tf.io.gfile.GFile(path, "rb") as file:
        content = file.read()
    tf.io.gfile.remove(path)  # files in memory are only ever appended to
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(content[:-3])
    with pytest.raises(UserError, match=r"numbers_train_00001-of-00003.tfrecord is truncated: record 7 ends at"):
        dataset_factory.get_dataset(None, "train", remote)


def test_addresses_that_tensorflow_cannot_read_are_told():
    with pytest.raises(UserError, match=r"nosuch://b/x: TensorFlow cannot read nosuch:// addresses; install"):
        dataset_factory.get_dataset(None, "train", "nosuch://b/x")


def test_photos_and_the_doctor_are_of_this_machine(tmp_path, remote):
    with pytest.raises(
        UserError, match=r"--image_dir=ram://.*: photos are read from folders of this machine or mounted"
    ):
        convert("image_folder", str(tmp_path / "out"), image_dir=remote)
    with pytest.raises(UserError, match=r"ram://.*: folders of this machine or mounted ones are looked through"):
        doctor.inspect(doctor.InspectConfig(dataset_dir=remote))


def test_a_missing_shard_of_a_described_folder_is_told(photos, tmp_path, remote):
    convert("image_folder", str(tmp_path / "out"), image_dir=str(photos))
    copied(tmp_path / "out", remote)
    tf.io.gfile.remove(f"{remote}/images_train_00000-of-00001.tfrecord")
    with pytest.raises(UserError, match=r"images_train_00000-of-00001.tfrecord is missing"):
        dataset_factory.get_dataset(None, "train", remote)
    tf.io.gfile.remove(f"{remote}/dataset.json")
    with tf.io.gfile.GFile(f"{remote}/dataset.json", "w") as file:
        file.write("{")
    with pytest.raises(UserError, match=r"dataset.json is damaged"):
        dataset_factory.get_dataset(None, "train", remote)


@pytest.mark.parametrize("where", ["here", "there"])
def test_each_question_is_answered_alike(tmp_path, remote, where):
    folder = str(tmp_path) if where == "here" else remote
    tf.io.gfile.makedirs(f"{folder}/sub")
    with tf.io.gfile.GFile(f"{folder}/a.json", "w") as file:
        file.write(json.dumps("ä"))
    assert sorted(filesystem.names_in(folder)) == ["a.json", "sub"]
    assert [filesystem.is_folder(f"{folder}/{name}") for name in ("a.json", "sub", "x")] == [False, True, False]
    assert [filesystem.is_file(f"{folder}/{name}") for name in ("a.json", "sub", "x")] == [True, False, False]
    assert filesystem.status(f"{folder}/a.json").size == 8
    assert json.loads(filesystem.read_text(f"{folder}/a.json")) == "ä"
    assert filesystem.absolute(folder) == folder
    for question in (filesystem.names_in, filesystem.status, filesystem.read_text):
        with pytest.raises(FileNotFoundError) as failure:
            question(f"{folder}/x")
        assert failure.value.filename == f"{folder}/x"
