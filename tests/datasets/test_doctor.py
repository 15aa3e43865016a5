"""The doctor alone: on TFRecords, ours and others', and on a folder of photos."""

import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from common.errors import FlagError, UserError
from datasets import doctor, record_files, records
from datasets.convert import convert
from datasets.doctor import InspectConfig


def inspect(folder, **options):
    """(whether it is sound, kind -> findings, what is printed)."""
    is_sound, text = doctor.inspect(InspectConfig(str(folder), **options))
    text = "".join(text)
    path = options.get("report") or text.splitlines()[-1].removeprefix("Report: ")
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    found = {}
    for entry in report["findings"]:
        found.setdefault(entry["kind"], []).append(entry)
    assert {kind: len(entries) for kind, entries in found.items()} == {
        kind: said["count"] for kind, said in report["summary"].items()
    }
    assert report["is_sound"] == is_sound
    return is_sound, found, text


@pytest.fixture
def photos(tmp_path, encoded):
    """Three class folders with 6, 5 and 4 JPEG files, no two alike."""
    random = np.random.default_rng(0)
    for name, count in {"cat": 6, "dog": 5, "emu": 4}.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(count):
            image = Image.fromarray(random.integers(0, 256, (18, 24, 3), np.uint8))
            (tmp_path / "photos" / name / f"{k}.jpg").write_bytes(encoded(image))
    return tmp_path / "photos"


def write_records(path, examples):
    with tf.io.TFRecordWriter(str(path)) as file:
        for example in examples:
            file.write(example)


@pytest.fixture
def data(photos, tmp_path):
    convert("image_folder", str(tmp_path / "data"), image_dir=str(photos), num_shards=2)
    return tmp_path / "data"


def test_a_sound_data_set(data):
    is_sound, found, text = inspect(data)
    assert (is_sound, found) == (True, {})
    assert "15 images in 3 classes" in text
    assert ["cat", "5", "1"] in [line.split() for line in text.splitlines()]
    assert "width: 24 to 24 pixels, half up to 24" in text
    assert "Nothing found that is worth a word." in text
    assert text.splitlines()[-1] == f"Report: {data}/doctor_report.json"
    convert(
        "image_folder", str(data), image_dir=str(data.parent / "photos"), num_shards=2
    )  # the report disturbs nothing


def test_a_conversion_that_was_killed_while_its_files_got_their_names(data):
    (data / "dataset.json").unlink()
    (data / ".converting-here-1-abc").mkdir()
    with pytest.raises(UserError, match="holds a conversion that did not finish"):
        inspect(data)


def change(path, position, value):
    content = bytearray(path.read_bytes())
    content[position] ^= value
    path.write_bytes(content)


def test_a_damaged_record_is_named_by_its_file_and_the_others_are_read(data):
    path = data / "images_train_00000-of-00002.tfrecord"
    all_records = list(record_files.read(str(path)))
    before = sum(len(record.data) + 16 for record in all_records[:2])
    change(path, before + 40, 1)  # inside record 2
    is_sound, found, _ = inspect(data)
    key = (data / "train_files.txt").read_text().splitlines()[2]
    assert not is_sound
    assert found["damaged_record"] == [
        {
            "kind": "damaged_record",
            "weight": "error",
            "reason": "its checksum is wrong",
            "key": key,
            "split": "train",
            "shard": path.name,
            "record": 2,
        }
    ]
    read = list(record_files.read(str(path)))
    assert [record.data for record in read[:2] + read[3:]] == [
        record.data for record in all_records[:2] + all_records[3:]
    ]
    assert [record.problem for record in read] == ["", "", "its checksum is wrong", *[""] * (len(read) - 3)]


def test_a_file_cut_short_a_lost_length_and_a_missing_file(data):
    cut, lost, gone = (
        data / f"images_{name}.tfrecord"
        for name in ("train_00000-of-00002", "train_00001-of-00002", "validation_00001-of-00002")
    )
    cut.write_bytes(cut.read_bytes()[:-100])
    first = next(iter(record_files.read(str(lost))))
    change(lost, len(first.data) + 16, 1)  # the length of record 1
    gone.unlink()
    is_sound, found, text = inspect(data)
    assert not is_sound
    assert {(entry["shard"], entry["reason"].split(",")[0].split(":")[0]) for entry in found["damaged_file"]} == {
        (cut.name, f"{cut} is truncated"),
        (lost.name, f"{lost} is damaged in record 1 (byte {len(first.data) + 16}); convert or copy the data set again"),
        (gone.name, "it is missing"),
    }
    reasons = {(entry["shard"], entry["record"]): entry["reason"] for entry in found["damaged_record"]}
    assert "the file is truncated inside it, at byte" in reasons[cut.name, 5]
    assert "its length is damaged, at byte" in reasons[lost.name, 1]
    assert "TFRecord files damaged or missing (3)" in text


def test_records_that_were_exchanged_since_conversion(data, photos, tmp_path):
    convert("image_folder", str(tmp_path / "other"), image_dir=str(photos), num_shards=2, seed=1)
    name = "images_train_00000-of-00002.tfrecord"
    shutil.copy(tmp_path / "other" / name, data / name)
    _, found, _ = inspect(data)
    assert [entry["reason"] for entry in found["damaged_file"]] == [
        "its records are others than those that dataset.json says"
    ]


MISFITS = [
    (records.LABEL, records.int64_feature([0, 1])),
    (records.LABEL, records.float_feature(1)),
    (records.LABEL, records.int64_feature([])),
    (records.HEIGHT, records.int64_feature([18, 18])),
    (records.FORMAT, records.int64_feature(1)),
]


def altered(record, key, value):
    """A record with another feature."""
    example = tf.train.Example.FromString(record)
    example.features.feature[key].CopyFrom(value)
    return example.SerializeToString()


@pytest.fixture
def slim(tmp_path, encoded, bomb):
    """TFRecords of another maker, with everything that can be wrong in a record."""
    (tmp_path / "slim").mkdir()

    def example(data, label=0, **more):
        return records.encode(data, "jpg", more.get("height", 18), more.get("width", 24), label)

    exif = encoded(1, exif=bytes.fromhex("457869660000 4d4d002a00000008 0001 0112 0003 00000001 00060000 00000000"))
    train = [
        example(encoded(0)),
        example(encoded(2), label=1),
        example(encoded(3), label=7),
        example(encoded(4)[:-50]),
        example(b"<!DOCTYPE html>"),
        example(bomb),
        example(encoded(5, "TIFF")),
        example(exif),
        example(encoded(6), width=48),
        b"no proto",
        records.encode(b"", "jpg", 0, 0, 0),
        tf.train.Example(
            features=tf.train.Features(feature={records.ENCODED: records.bytes_feature(encoded(7))})
        ).SerializeToString(),
        example(encoded(8, "GIF")),
        *(altered(example(encoded(9 + k)), key, value) for k, (key, value) in enumerate(MISFITS)),
        records.encode(bytes(700), "raw", 28, 28, 0),
        records.encode(bytes(784), "raw", 0, 0, 0),
    ]
    write_records(tmp_path / "slim" / "things_train_00000-of-00001.tfrecord", train)
    write_records(tmp_path / "slim" / "things_validation_00000-of-00001.tfrecord", [example(encoded(2), label=0)])
    (tmp_path / "slim" / "labels.txt").write_text("0:cat\n1:dog\n")
    return tmp_path / "slim"


def test_records_of_others(slim):
    is_sound, found, text = inspect(slim, checks="headers")
    assert not is_sound
    by_record = {
        (entry["kind"], entry["record"]): entry["reason"]
        for kind in found
        for entry in found[kind]
        if "record" in entry
    }
    assert by_record == {
        ("wrong_label", 2): "label 7, expected 0 to 1",
        ("damaged_image", 3): "truncated JPEG: the end of the image is missing",
        ("damaged_image", 4): "not an image but an HTML page",
        ("damaged_image", 5): "30000x30000 pixels: more than 134 million (a decompression bomb?)",
        ("damaged_image", 6): "TIFF, which training cannot read",
        ("read_differently", 7): "rotated by EXIF",
        ("size_mismatch", 8): "it says 48x18 pixels, the image has 24x18",
        ("damaged_record", 9): "it is no tf.train.Example",
        ("damaged_record", 10): "it has no image/encoded",
        ("wrong_label", 11): "it has no image/class/label",
        ("wrong_label", 13): "its image/class/label has 2 values of int64, expected one of int64",
        ("wrong_label", 14): "its image/class/label has 1 value of float, expected one of int64",
        ("wrong_label", 15): "its image/class/label has 0 values of int64, expected one of int64",
        ("damaged_record", 16): "its image/height has 2 values of int64, expected one of int64",
        ("damaged_record", 17): "its image/format has 1 value of int64, expected one of bytes",
        ("damaged_image", 18): "700 bytes of raw pixels, expected 1 to 4 for each of 28x28",
        ("damaged_image", 19): "784 bytes of raw pixels, expected 1 to 4 for each of 0x0",
    }
    both = {"copies_across_splits", "copies_of_other_classes"}
    assert both <= found.keys()
    members = found["copies_across_splits"][0]["members"]
    assert [(member["split"], member["record"], member["class"]) for member in members] == [
        ("train", 1, "dog"),
        ("validation", 0, "cat"),
    ]
    assert "things_train_00000-of-00001.tfrecord:1 (train) = things_validation_00000-of-00001.tfrecord:0" in text
    assert "Not looked for: damage inside images, nearly equal pictures (--checks=pixels)." in text


def test_damage_that_only_pixels_show(photos, tmp_path, encoded):
    pytest.importorskip("simplejpeg", reason="finds damage inside JPEG data: pip install simplejpeg")
    data = encoded(50, quality=100)
    (photos / "cat" / "half.jpg").write_bytes(data[: len(data) * 2 // 3] + b"\xff\xd9")
    convert("image_folder", str(tmp_path / "data"), image_dir=str(photos))
    assert inspect(tmp_path / "data", checks="headers")[1] == {}
    _, found, _ = inspect(tmp_path / "data")
    assert [entry["key"] for entry in found["damaged_image"]] == ["cat/half.jpg"]
    _, found, _ = inspect(photos)
    assert [(entry["key"], entry["reason"].split(":")[0]) for entry in found["unusable"]] == [
        ("cat/half.jpg", "damaged JPEG")
    ]
    convert("image_folder", str(tmp_path / "pixels"), image_dir=str(photos), checks="pixels")
    assert inspect(tmp_path / "pixels")[1] == {}


def test_photos_before_conversion(photos, encoded, monkeypatch):
    (photos / "cat" / "page.jpg").write_bytes(b"<html>")
    (photos / "dog" / "cat.jpg").write_bytes((photos / "cat" / "0.jpg").read_bytes())
    (photos / "emu" / "really.jpg").write_bytes(encoded(60, "PNG"))
    (photos / "emu" / "readme.txt").write_text("")
    before = sorted(photos.rglob("*"))
    is_sound, found, text = inspect(photos)
    assert not is_sound
    assert sorted(photos.rglob("*")) == before  # nothing is written among the photos
    report = f"{photos}_doctor_report.json"
    assert os.path.exists(report)
    os.remove(report)
    monkeypatch.chdir(photos)
    inspect(".")
    assert os.path.exists(report)
    assert found["unusable"][0] == {
        "kind": "unusable",
        "weight": "error",
        "reason": "not an image but an HTML page",
        "key": "cat/page.jpg",
        "class": "cat",
    }
    assert {member["class"] for member in found["copies_of_other_classes"][0]["members"]} == {"cat", "dog"}
    assert found["wrong_extension"][0]["key"] == "emu/really.jpg"
    assert "17 images in 3 classes" in text
    assert "Passed over, no images: 1 .txt" in text


def test_the_report_goes_where_it_is_told_and_is_printed_on_request(data, tmp_path):
    _, _, text = inspect(data, report=str(tmp_path / "here.json"), json=True)
    assert json.loads(text) == json.loads((tmp_path / "here.json").read_text())
    with pytest.raises(UserError, match=r"cannot write .*; name another file with --report"):
        inspect(data, report=str(data / "dataset.json" / "x.json"))


@pytest.mark.parametrize("checks", ["headers", "pixels"])
def test_slims_raw_pixels(tmp_path, checks):
    (tmp_path / "mnist").mkdir()
    pictures = [bytes([k]) * (28 * 28) for k in range(5)]
    examples = [records.encode(data, "raw", 28, 28, k) for k, data in enumerate(pictures)]
    write_records(tmp_path / "mnist" / "mnist_train.tfrecord", examples)
    assert inspect(tmp_path / "mnist", checks=checks)[0]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["cat", "dog", "zebra"], ["'zebra' has none at all"]),
        (["cat", "dog"], []),
        (["background", "cat", "dog"], ["'dog' has none at all"]),  # nothing is of ImageNet's class 0
        (
            [f"c{k}" for k in range(100)],
            ["98 of 100 classes have none at all: 'c2', 'c3', 'c4', 'c5', 'c6', ..."],
        ),
    ],
)
def test_classes_without_any_image_are_named_or_summed_up(tmp_path, encoded, names, expected):
    labels = [1, 1] if names[0] == "background" else [0, 1]
    examples = [records.encode(encoded(k), "jpg", 18, 24, label) for k, label in enumerate(labels)]
    write_records(tmp_path / "things_train_00000-of-00001.tfrecord", examples)
    (tmp_path / "labels.txt").write_text("".join(f"{k}:{name}\n" for k, name in enumerate(names)))
    is_sound, found, _ = inspect(tmp_path, checks="headers")
    assert is_sound
    assert [entry["reason"] for entry in found.get("class_missing", [])] == expected
    (tmp_path / "labels.txt").unlink()
    assert "class_missing" not in inspect(tmp_path, checks="headers")[1]


def test_imagenet_is_named(tmp_path, encoded):
    (tmp_path / "folder").mkdir()
    examples = [records.encode(encoded(k), "jpg", 18, 24, label) for k, label in enumerate([1000, 1001])]
    write_records(tmp_path / "folder" / "train-00000-of-00001", examples)
    _, found, _ = inspect(tmp_path / "folder", dataset_name="imagenet")
    assert [entry["reason"] for entry in found["wrong_label"]] == ["label 1001, expected 0 to 1000"]


def test_the_index_leads_both_ways(data):
    keys = (data / "train_files.txt").read_text().splitlines()
    second = 6  # records in the first of two files
    line = f"images_train_00001-of-00002.tfrecord:1  train  {keys[second + 1]}"
    for text in ("images_train_00001-of-00002.tfrecord:1", keys[second + 1]):
        assert doctor.find(InspectConfig(str(data), find=text)) == [line]
    assert len(doctor.find(InspectConfig(str(data), find="0.jpg"))) == 3
    for text in ("images_train_00001-of-00002.tfrecord:6", "frog.jpg"):
        with pytest.raises(UserError, match=f"--find={text}: .* has no such example; expected SHARD:RECORD"):
            doctor.find(InspectConfig(str(data), find=text))


def test_nothing_to_look_at(tmp_path, photos):
    with pytest.raises(FlagError, match="--dataset_dir is missing"):
        InspectConfig()
    with pytest.raises(
        UserError, match=r"no folder .*gone: --dataset_dir names a folder with TFRecords or with photos"
    ):
        inspect(tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="found no images and no class folders"):
        inspect(tmp_path / "empty")
    with pytest.raises(UserError, match=r"has no dataset.json: only what is converted here has an index"):
        doctor.find(InspectConfig(str(photos), find="x"))
    (tmp_path / "empty" / ".converting-here-1-abc").mkdir()
    with pytest.raises(UserError, match="holds a conversion that did not finish"):
        inspect(tmp_path / "empty")
