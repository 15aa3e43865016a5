import dataclasses
import shutil

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from datasets import dataset_factory, dataset_utils, records
from datasets.convert import convert


@pytest.fixture
def write_slim(encoded):
    """write_slim(folder, {file name: number of records}): files as Slim made them, without dataset.json."""

    def write(folder, files, labels=None, image_format="PNG"):
        folder.mkdir(parents=True, exist_ok=True)
        for name, count in files.items():
            with tf.io.TFRecordWriter(str(folder / name)) as file:
                for k in range(count):
                    file.write(records.encode(encoded(k, image_format), image_format.lower(), 18, 24, k % 5))
        if labels:
            dataset_utils.write_label_file(dict(enumerate(labels)), str(folder))
        return str(folder)

    return write


FLOWERS = {f"flowers_{split}_{k:05d}-of-00002.tfrecord": 3 + k for split in ("train", "validation") for k in range(2)}
NAMES = ["daisy", "dandelion", "roses", "sunflowers", "tulips"]


def test_slims_attributes_for_slims_files(write_slim, tmp_path):
    folder = write_slim(tmp_path, FLOWERS, NAMES)
    dataset = dataset_factory.get_dataset("flowers", "train", folder)
    assert dataset.data_sources == f"{folder}/flowers_train_*.tfrecord"
    assert dataset.reader is tf.data.TFRecordDataset
    assert dataset.num_samples == 7  # counted; the published number is 3320
    assert dataset.num_classes == 5
    assert dataset.labels_to_names == dict(enumerate(NAMES))
    assert list(dataset.items_to_descriptions) == dataset.decoder.list_items() == ["image", "label"]
    assert dataset.files == tuple(f"{folder}/flowers_train_0000{k}-of-00002.tfrecord" for k in range(2))
    assert (dataset.name, dataset.split, dataset.channels) == ("flowers", "train", 3)
    assert dataset.record_bytes == sum((tmp_path / name).stat().st_size for name in FLOWERS if "train" in name)


@pytest.mark.parametrize(
    ("name", "split", "files", "classes", "channels"),
    [
        ("cifar10", "test", {"cifar10_test.tfrecord": 2}, 10, 3),
        ("mnist", "train", {"mnist_train.tfrecord": 2}, 10, 1),
        ("imagenet", "validation", {"validation-00000-of-00002": 1, "validation-00001-of-00002": 1}, 1001, 3),
        ("visualwakewords", "val", {"val.record-00000-of-00001": 2}, 2, 3),
    ],
)
def test_each_of_slims_data_sets_is_read_by_name(write_slim, tmp_path, name, split, files, classes, channels):
    folder = write_slim(tmp_path / name, files)
    dataset = dataset_factory.get_dataset(name, split, folder)
    assert (dataset.num_samples, dataset.num_classes, dataset.channels) == (2, classes, channels)
    if name in ("cifar10", "mnist"):  # their files say their name
        assert dataset_factory.get_dataset(None, split, folder) == dataclasses.replace(dataset, decoder=ANY)
    label = dataset.decoder.decode(next(iter(tf.data.TFRecordDataset(list(dataset.files)))), ["label"])
    assert int(label[0]) == 0


class Any_:
    def __eq__(self, other):
        return True

    __hash__ = None


ANY = Any_()


def test_imagenet_has_names_without_a_file(write_slim, tmp_path):
    folder = write_slim(tmp_path, {"validation-00000-of-00001": 1})
    names = dataset_factory.get_dataset("imagenet", "validation", folder).labels_to_names
    assert (len(names), names[1].split(",")[0]) == (1001, "tench")


def test_folder_with_labels_needs_no_name(write_slim, tmp_path):
    folder = write_slim(tmp_path, {"my_pets_train_00000-of-00001.tfrecord": 4, "my_pets_test.tfrecord": 2}, ["a", "b"])
    dataset = dataset_factory.get_dataset(None, "train", folder)
    assert (dataset.name, dataset.num_samples, dataset.num_classes) == ("my_pets", 4, 2)
    assert dataset_factory.get_dataset("my_pets", "test", folder).num_samples == 2
    assert dataset_factory.splits(folder) == ["test", "train"]


@pytest.mark.parametrize("name", [None, "", "image_folder", "images"])
def test_converted_folder_needs_no_name(photos, tmp_path, name):
    made = convert("image_folder", str(tmp_path / "out"), image_dir=str(photos))
    dataset = dataset_factory.get_dataset(name, "validation", str(tmp_path / "out"))
    assert (dataset.name, dataset.num_samples, dataset.num_classes) == ("images", 3, 3)
    assert dataset.labels_to_names == {0: "cat", 1: "dog", 2: "emu"}
    assert dataset.fingerprint == made["splits"]["validation"]["fingerprint"]
    assert dataset_factory.splits(str(tmp_path / "out")) == ["train", "validation"]


def test_without_dataset_json_the_files_say_the_same(photos, tmp_path):
    """What Slim or another reader sees in our folder."""
    convert("image_folder", str(tmp_path / "out"), image_dir=str(photos), num_shards=2)
    described = dataset_factory.get_dataset(None, "train", str(tmp_path / "out"))
    (tmp_path / "out" / "dataset.json").unlink()
    found = dataset_factory.get_dataset(None, "train", str(tmp_path / "out"))
    for field in ("files", "num_samples", "record_bytes", "fingerprint", "num_classes", "labels_to_names", "name"):
        assert getattr(found, field) == getattr(described, field), field


def test_records_decode_to_image_and_label(write_slim, tmp_path, pixels):
    dataset = dataset_factory.get_dataset("flowers", "train", write_slim(tmp_path, FLOWERS, NAMES))
    decoded = [dataset.decoder.decode(record) for record in tf.data.TFRecordDataset(dataset.files[0])]
    for k, (image, label) in enumerate(decoded):
        np.testing.assert_array_equal(image, pixels(k))
        assert label.numpy() == k


def test_unknown_split_lists_those_that_are_there(write_slim, photos, tmp_path):
    folder = write_slim(tmp_path / "slim", FLOWERS, NAMES)
    convert("image_folder", str(tmp_path / "ours"), image_dir=str(photos))
    for name, place in (("flowers", folder), (None, folder), (None, str(tmp_path / "ours"))):
        message = r"has no split 'test'.*; it has train, validation: --dataset_split_name=validation"
        with pytest.raises(UserError, match=message):
            dataset_factory.get_dataset(name, "test", place)


def test_unknown_name_lists_near_matches(write_slim, tmp_path):
    folder = write_slim(tmp_path, FLOWERS, NAMES)
    with pytest.raises(UserError, match=r"unknown data set 'flower'; did you mean 'flowers'.*Known: cifar10, cifar100"):
        dataset_factory.get_dataset("flower", "train", folder)
    with pytest.raises(UserError, match=r"no split 'train' of data set 'mnist' .*leave --dataset_name out"):
        dataset_factory.get_dataset("mnist", "train", folder)


def test_other_file_pattern(write_slim, tmp_path):
    folder = write_slim(tmp_path, {"mine_train_a": 2, "mine_train_b": 1}, NAMES)
    (tmp_path / "flowers_train_00000-of-00001.tfrecord").write_bytes(b"")
    assert dataset_factory.get_dataset("flowers", "train", folder, "mine_%s_?").num_samples == 3
    with pytest.raises(UserError, match=r"file pattern 'mine': expected one %s"):
        dataset_factory.get_dataset("flowers", "train", folder, "mine")


def test_each_folder_of_a_pattern_has_shards_of_its_own(write_slim, tmp_path):
    for folder, count in {"day-1": 1, "day-2": 3}.items():
        write_slim(tmp_path / folder, {f"flowers_train_{k:05d}-of-{count:05d}.tfrecord": 2 for k in range(count)})
    folder = write_slim(tmp_path, {}, NAMES)
    assert dataset_factory.get_dataset("flowers", "train", folder, "day-*/*_%s_*").num_samples == 8
    (tmp_path / "day-1" / "flowers_train_00000-of-00001.tfrecord").unlink()
    (tmp_path / "day-2" / "flowers_train_00001-of-00003.tfrecord").unlink()
    write_slim(tmp_path / "day-1", {f"flowers_train_{k:05d}-of-00003.tfrecord": 2 for k in range(3)})
    with pytest.raises(UserError, match=r"day-2 lacks 1 of the 3 shards of split 'train', the first is number 00001"):
        dataset_factory.get_dataset("flowers", "train", folder, "day-*/*_%s_*")


def test_a_pattern_passes_over_what_a_converter_writes_beside_the_records(photos, tmp_path):
    folder = str(tmp_path / "out")
    convert("image_folder", folder, image_dir=str(photos))
    (tmp_path / "out" / "train.json").write_text("{}")
    for pattern in ("*%s*", "../out/*%s*"):
        dataset = dataset_factory.get_dataset(None, "train", folder, pattern)
        assert [file.rpartition("/")[2] for file in dataset.files] == ["images_train_00000-of-00001.tfrecord"]


def test_two_data_sets_in_a_folder_are_told_apart(write_slim, tmp_path):
    folder = write_slim(tmp_path, {"a_train.tfrecord": 2, "b_train.tfrecord": 1}, NAMES)
    with pytest.raises(UserError, match=r"holds files of 2 data sets \(a, b\)"):
        dataset_factory.get_dataset(None, "train", folder)
    assert dataset_factory.get_dataset("b", "train", folder).num_samples == 1


def test_no_data_set_says_what_to_do(photos, tmp_path, write_slim):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("x")
    split_photos = tmp_path / "ready made"
    shutil.copytree(photos, split_photos / "train")
    command = r"python download_and_convert_data.py --dataset_name=image_folder --image_dir={0} --dataset_dir={1}$"
    cases = {
        "missing": r"no folder .*missing: --dataset_dir names the folder with the TFRecords",
        "empty": r"empty is empty: --dataset_dir names",
        "other": r"other has no TFRecord files: --dataset_dir names",
        "photos": command.format(photos, f"{photos}_tfrecords"),
        "ready made": command.format(f"'{split_photos}'", f"'{split_photos}_tfrecords'"),
    }
    for name, message in cases.items():
        with pytest.raises(UserError, match=message):
            dataset_factory.get_dataset(None, "train", str(tmp_path / name))
        with pytest.raises(UserError, match=message):
            dataset_factory.splits(str(tmp_path / name))
    with pytest.raises(UserError, match=r"neither dataset.json nor labels.txt.*write a labels.txt"):
        dataset_factory.get_dataset(None, "train", write_slim(tmp_path / "x", {"pets_train.tfrecord": 1}))


def test_damaged_files_are_named(photos, tmp_path, write_slim):
    folder = write_slim(tmp_path / "slim", FLOWERS, NAMES)
    path = tmp_path / "slim" / "flowers_train_00001-of-00002.tfrecord"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(UserError, match=r"flowers_train_00001-of-00002.tfrecord is truncated"):
        dataset_factory.get_dataset("flowers", "train", folder)
    path.unlink()
    with pytest.raises(UserError, match=r"lacks 1 of the 2 shards of split 'train'"):
        dataset_factory.get_dataset("flowers", "train", folder)

    convert("image_folder", str(tmp_path / "ours"), image_dir=str(photos))
    path = tmp_path / "ours" / "images_train_00000-of-00001.tfrecord"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(UserError, match=r"images_train_00000-of-00001.tfrecord has \d+ bytes, dataset.json says \d+"):
        dataset_factory.get_dataset(None, "train", str(tmp_path / "ours"))
    path.unlink()
    with pytest.raises(UserError, match=r"images_train_00000-of-00001.tfrecord is missing"):
        dataset_factory.get_dataset(None, "train", str(tmp_path / "ours"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "dataset.json is damaged"),
        ("[]", "dataset.json is damaged"),
        ('{"version": 1}', "it lacks channels, class_names"),
        ('{"version": 99}', "is of version 99"),
    ],
)
def test_damaged_dataset_json(tmp_path, content, message):
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(UserError, match=message):
        dataset_factory.get_dataset(None, "train", str(tmp_path))
