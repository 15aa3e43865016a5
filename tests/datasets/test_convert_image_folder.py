import collections
import json
import os
import shutil
import threading

import pytest
import tensorflow as tf

from common.errors import FlagError, UserError
from datasets import dataset_factory, image_folder, records, targets, writer
from datasets.convert import convert


def convert_folder(folder, out, **options):
    return convert("image_folder", str(out), image_dir=str(folder), **options)


def content(folder, ignore=("conversion_report.json",)):
    """Relative path -> bytes of every file."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in ignore)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def examples(out, split):
    """(label, encoded bytes) of every record of a split, in file order."""
    files = dataset_factory.get_dataset(None, split, str(out)).files
    parsed = tf.data.TFRecordDataset(list(files)).map(records.parse)
    return [(int(example["label"]), example["encoded"]) for example in parsed.as_numpy_iterator()]


def test_folder_becomes_slims_files(photos, tmp_path):
    convert_folder(photos, tmp_path / "out")
    assert sorted(os.listdir(tmp_path / "out")) == [
        "conversion_report.json",
        "dataset.json",
        "images_train_00000-of-00001.tfrecord",
        "images_validation_00000-of-00001.tfrecord",
        "labels.txt",
        "train_files.txt",
        "validation_files.txt",
    ]
    assert (tmp_path / "out" / "labels.txt").read_text() == "0:cat\n1:dog\n2:emu\n"


def test_every_photo_is_there_once_with_its_bytes_and_label(photos, tmp_path):
    convert_folder(photos, tmp_path / "out")
    found = examples(tmp_path / "out", "train") + examples(tmp_path / "out", "validation")
    expected = [
        (label, path.read_bytes())
        for label, name in enumerate(["cat", "dog", "emu"])
        for path in (photos / name).iterdir()
    ]
    assert sorted(found) == sorted(expected)
    assert collections.Counter(label for label, _ in examples(tmp_path / "out", "validation")) == {0: 1, 1: 1, 2: 1}


def test_index_leads_from_an_example_to_its_file(photos, tmp_path):
    convert_folder(photos, tmp_path / "out", num_shards=3)
    for split in ("train", "validation"):
        names = (tmp_path / "out" / f"{split}_files.txt").read_text().splitlines()
        assert [(photos / name).read_bytes() for name in names] == [
            data for _, data in examples(tmp_path / "out", split)
        ]


def test_dataset_json_describes_the_files(photos, tmp_path):
    dataset = convert_folder(photos, tmp_path / "out", name="pets", num_shards=2, validation_count=4, seed=5)
    assert dataset == json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert (dataset["version"], dataset["name"], dataset["num_classes"], dataset["seed"]) == (1, "pets", 3, 5)
    assert dataset["class_names"] == ["cat", "dog", "emu"]
    for split, count in {"train": 11, "validation": 4}.items():
        entry = dataset["splits"][split]
        assert entry["examples"] == sum(file["examples"] for file in entry["files"]) == count
        assert sum(entry["examples_per_class"]) == count
        assert entry["image_formats"] == {"jpg": count}
        for file in entry["files"]:
            assert os.path.getsize(tmp_path / "out" / file["name"]) == file["bytes"]


def test_same_seed_same_bytes_whatever_the_threads_and_the_order_of_files(photos, tmp_path):
    copy = tmp_path / "elsewhere"
    for name in ("emu", "dog", "cat"):
        for path in sorted((photos / name).iterdir(), reverse=True):
            (copy / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy / name)
    convert_folder(photos, tmp_path / "a", num_threads=1, num_shards=3)
    convert_folder(copy, tmp_path / "b", num_threads=4, num_shards=3)
    convert_folder(photos, tmp_path / "c", num_shards=3, seed=1)
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert content(tmp_path / "a") != content(tmp_path / "c")


def test_converting_again_does_nothing(photos, tmp_path, monkeypatch):
    first = convert_folder(photos, tmp_path / "out")
    monkeypatch.setattr(writer, "_write_all", None)
    assert convert_folder(photos, tmp_path / "out") == first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "already holds data set 'images', made with other options \\(--seed\\); --overwrite replaces it"),
        ({"validation_count": 3, "num_shards": 2}, "made with other options \\(--validation_count, --num_shards\\)"),
        ({"name": "pets"}, "already holds data set 'images', made from other images"),
        ("new photo", "already holds data set 'images', made from other images"),
    ],
)
def test_other_data_never_mixes_with_what_is_there(photos, tmp_path, encoded, change, message):
    convert_folder(photos, tmp_path / "out", num_shards=1)
    before = content(tmp_path / "out", ignore=())
    if change == "new photo":
        (photos / "cat" / "new.jpg").write_bytes(encoded(77))
        change = {}
    options = {"num_shards": 1, **change}
    with pytest.raises(UserError, match=message):
        convert_folder(photos, tmp_path / "out", **options)
    assert content(tmp_path / "out", ignore=()) == before
    convert_folder(photos, tmp_path / "out", overwrite=True, **options)
    convert_folder(photos, tmp_path / "fresh", **options)
    assert content(tmp_path / "out") == content(tmp_path / "fresh")


def test_a_missing_shard_is_converted_again(photos, tmp_path):
    convert_folder(photos, tmp_path / "out")
    before = content(tmp_path / "out")
    (tmp_path / "out" / "images_train_00000-of-00001.tfrecord").unlink()
    convert_folder(photos, tmp_path / "out")
    assert content(tmp_path / "out") == before


def test_records_of_others_are_not_touched(photos, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "flowers_train_00000-of-00001.tfrecord").write_bytes(b"precious")
    for overwrite in (False, True):
        with pytest.raises(UserError, match="holds TFRecord files of other data \\(flowers_train_00000-of-00001"):
            convert_folder(photos, tmp_path / "out", overwrite=overwrite)
    assert os.listdir(tmp_path / "out") == ["flowers_train_00000-of-00001.tfrecord"]


class Killed(BaseException):
    """Stands for a signal: nothing catches it."""


def test_killed_anywhere_leaves_nothing_that_looks_finished(photos, tmp_path, monkeypatch):
    convert_folder(photos, tmp_path / "whole", num_shards=2)
    out, calls = tmp_path / "out", {"left": 0}

    def dying(function):
        def call(*args, **kwargs):
            if calls["left"] == 0:
                raise Killed
            calls["left"] -= 1
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(image_folder, "load", dying(image_folder.load))
    monkeypatch.setattr(targets.os, "replace", dying(os.replace))
    monkeypatch.setattr(writer.shutil, "rmtree", lambda *args, **kwargs: None)  # a killed process cleans nothing up
    for steps in (0, 1, 7, 14, 15, 16, 18, 20, 24):
        calls["left"] = steps
        with pytest.raises(Killed):
            convert_folder(photos, out, num_shards=2, num_threads=1)
        assert "dataset.json" not in os.listdir(out)
        with pytest.raises(UserError, match="holds a conversion that did not finish"):
            dataset_factory.get_dataset(None, "train", str(out))
    monkeypatch.undo()
    convert_folder(photos, out, num_shards=2)
    assert content(out) == content(tmp_path / "whole")


@pytest.mark.parametrize(
    ("process", "host", "at_work"), [("1", None, True), ("4194399", None, False), ("1", "elsewhere", True)]
)
def test_two_conversions_into_one_folder(photos, tmp_path, monkeypatch, process, host, at_work):
    monkeypatch.setattr(targets.os, "getpid", lambda: process)
    if host:
        monkeypatch.setattr(targets, "_host", lambda: host)
    other = targets.staging_path(str(tmp_path / "out"))
    monkeypatch.undo()
    os.makedirs(other)
    if at_work:
        with pytest.raises(UserError, match=f"another conversion is writing into .*remove {other}"):
            convert_folder(photos, tmp_path / "out")
        os.utime(other, (0, 0))
    if not at_work or host:  # dead, or from elsewhere and untouched for long
        convert_folder(photos, tmp_path / "out")
        assert not os.path.exists(other)


def test_failure_leaves_no_folder_behind_and_stops_the_other_threads(photos, tmp_path, monkeypatch):
    seen = []

    def load(path):
        seen.append(threading.get_ident())
        raise RuntimeError("defect")

    monkeypatch.setattr(image_folder, "load", load)
    with pytest.raises(RuntimeError, match="defect"):
        convert_folder(photos, tmp_path / "out", num_shards=3, num_threads=3)
    assert len(seen) <= 3
    assert not (tmp_path / "out").exists()


def test_full_disk_is_told_before_the_work(photos, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(writer.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UserError, match="about 0 MB are needed, 0 MB are free"):
        convert_folder(photos, tmp_path / "out")


def test_ready_made_splits_are_kept(photos, tmp_path):
    for folder, count in {"train": 4, "val": 2, "test": 1}.items():
        for name in ("cat", "dog"):
            (tmp_path / "ready" / folder / name).mkdir(parents=True)
            for path in sorted((photos / name).iterdir())[:count]:
                shutil.copy(path, tmp_path / "ready" / folder / name)
    dataset = convert_folder(tmp_path / "ready", tmp_path / "out")
    assert dataset["class_names"] == ["cat", "dog"]
    counts = {split: entry["examples_per_class"] for split, entry in dataset["splits"].items()}
    assert counts == {"train": [4, 4], "validation": [2, 2], "test": [1, 1]}
    shutil.rmtree(tmp_path / "ready" / "val")  # validation is then drawn from training, never from test
    dataset = convert_folder(tmp_path / "ready", tmp_path / "out2")
    counts = {split: entry["examples_per_class"] for split, entry in dataset["splits"].items()}
    assert counts == {"train": [3, 3], "validation": [1, 1], "test": [1, 1]}


@pytest.mark.parametrize("class_folders", ["top", "deepest"])
def test_a_folder_beside_ready_made_splits_does_not_make_classes_of_them(photos, tmp_path, class_folders):
    ready = tmp_path / "ready"
    for name in ("train", "val"):
        shutil.copytree(photos, ready / name)
    shutil.copytree(photos / "cat", ready / "unlabeled")
    message = "folder 'unlabeled' lies beside the splits train, val, .*; move it out of --image_dir"
    with pytest.raises(UserError, match=message):
        convert_folder(ready, tmp_path / "out", class_folders=class_folders)
    # Classes may be called like splits: these hold no class folders.
    for name in ("train", "val"):
        shutil.rmtree(ready / name)
        shutil.copytree(photos / "dog", ready / name)
    dataset = convert_folder(ready, tmp_path / "out", class_folders=class_folders)
    assert dataset["class_names"] == ["train", "unlabeled", "val"]


def test_images_outside_the_class_folders_are_told(photos, tmp_path):
    for name in ("train", "test"):
        shutil.copytree(photos, tmp_path / "ready" / name)
    reason = "it lies outside the class folders"
    for folder, keys in {photos: ["loose.jpg"], tmp_path / "ready": ["loose.jpg", "test/flat.jpg"]}.items():
        for key in keys:
            shutil.copy(photos / "cat" / "0.jpg", folder / key)
        contents = image_folder.list_folder(str(folder), "--image_dir")
        assert contents.left_out == [(key, reason) for key in keys]
        assert (contents.class_names, contents.ignored) == (["cat", "dog", "emu"], {})


def test_nested_and_linked_folders_are_searched(photos, tmp_path):
    (photos / "cat" / "deep" / "deeper").mkdir(parents=True)
    (photos / "cat" / "0.jpg").rename(photos / "cat" / "deep" / "deeper" / "0.jpg")
    (photos / "cat" / "loop").symlink_to(photos / "cat")
    (photos / "cat" / "root").symlink_to("..")
    (photos / "cat" / "deep" / "above").symlink_to(tmp_path)
    (photos / "round").symlink_to(".")
    (photos / "dog").rename(tmp_path / "dog-elsewhere")
    (photos / "dog").symlink_to(tmp_path / "dog-elsewhere")
    dataset = convert_folder(photos, tmp_path / "out", validation_count=0)
    assert dataset["splits"]["train"]["examples_per_class"] == [6, 5, 4]
    report = json.loads((tmp_path / "out" / "conversion_report.json").read_text())
    links = ("cat/deep/above", "cat/loop", "cat/root", "round")
    assert report["left_out"] == [{"file": link, "reason": "link to a folder above it"} for link in links]


def test_no_images_or_no_classes_says_what_was_expected(photos, tmp_path, encoded):
    (tmp_path / "empty").mkdir()
    (tmp_path / "one" / "inner").mkdir(parents=True)
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "a.jpg").write_bytes(encoded(1))
    for name in ("x", "y"):
        shutil.copytree(photos / "cat", tmp_path / "one" / "inner" / name)
    cases = {
        "missing": "no folder .*missing: --image_dir names a folder that has a folder of photos for each class",
        "empty": "found no images and no class folders",
        "flat": "found no images and no class folders; --image_dir names a folder that has one for each class",
        "one": "found one class folder only \\('inner'\\).*did you mean --image_dir=.*/one/inner\\?",
    }
    for name, message in cases.items():
        with pytest.raises(UserError, match=message):
            convert_folder(tmp_path / name, tmp_path / "out")
    with pytest.raises(UserError, match="--image_dir is missing"):
        convert("image_folder", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_options_of_another_data_set_are_refused(photos, tmp_path):
    with pytest.raises(FlagError, match="--shapes_task is no option of --dataset_name=image_folder"):
        convert_folder(photos, tmp_path / "out", shapes_task="source")


def test_dataset_dir_that_is_a_file(photos, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(UserError, match="out is a file; name a folder"):
        convert_folder(photos, tmp_path / "out")


def test_nested_folders_may_be_classes(photos, tmp_path):
    (photos / "animals" / "farm").mkdir(parents=True)
    for name, place in (("cat", "animals"), ("dog", "animals/farm")):
        (photos / name).rename(photos / place / name)
    dataset = convert_folder(photos, tmp_path / "top", validation_count=0)
    assert dataset["class_names"] == ["animals", "emu"]
    dataset = convert_folder(photos, tmp_path / "deepest", class_folders="deepest", validation_count=0)
    assert dataset["class_names"] == ["animals/cat", "animals/farm/dog", "emu"]
    assert dataset["splits"]["train"]["examples_per_class"] == [6, 5, 4]
    with pytest.raises(UserError, match="already holds data set 'images', made from other images"):
        convert_folder(photos, tmp_path / "deepest", validation_count=0)


def test_nested_classes_of_ready_made_splits(photos, tmp_path):
    for split in ("train", "val"):
        shutil.copytree(photos, tmp_path / "ready" / split / "animals")
        (tmp_path / "ready" / split / "animals" / "emu").rename(tmp_path / "ready" / split / "emu")
    dataset = convert_folder(tmp_path / "ready", tmp_path / "out", class_folders="deepest")
    assert dataset["class_names"] == ["animals/cat", "animals/dog", "emu"]
    assert list(dataset["splits"]) == ["train", "validation"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_folders": "all"}, r"unknown --class_folders 'all'.* Known: deepest, top"),
        ({"name": "../pets"}, r"--name=../pets: expected letters, digits and _ . - only"),
    ],
)
def test_wrong_options_are_told(photos, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        convert_folder(photos, tmp_path / "out", **options)
