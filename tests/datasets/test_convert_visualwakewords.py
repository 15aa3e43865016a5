import hashlib
import json
import shutil
import zipfile

import pytest
import tensorflow as tf

from common import downloads
from common.errors import UserError
from datasets import visualwakewords
from datasets.convert import convert


@pytest.fixture
def archives(tmp_path, make_coco):
    return make_coco(tmp_path / "archives")


def convert_coco(archives, out, **options):
    options = {"num_shards": 2, "check_archives": False, "archive_dir": str(archives), **options}
    return convert("visualwakewords", str(out), **options)


def features(out, split):
    """Features of every record of a split by COCO's number, and the file each is in."""
    found, places = {}, {}
    for path in sorted(out.glob(f"{split}.record-*")):
        for record in tf.data.TFRecordDataset(str(path)):
            feature = tf.train.Example.FromString(record.numpy()).features.feature
            number = int(values(feature, "image/source_id")[0])
            found[number], places[number] = feature, path.name
    return found, places


def values(feature, key):
    return list(getattr(feature[key], feature[key].WhichOneof("kind")).value)


def test_records_say_all_that_slims_did(archives, tmp_path, encoded):
    dataset = convert_coco(archives, tmp_path / "out")
    assert (tmp_path / "out" / "labels.txt").read_text() == "0:background\n1:person\n"
    assert dataset["splits"]["train"]["examples_per_class"] == [2, 3]
    found, _ = features(tmp_path / "out", "train")
    data = encoded(3 + 5)
    assert {key: values(found[21], key) for key in found[21]} == {
        "image/encoded": [data],
        "image/format": [b"jpeg"],
        "image/height": [18],
        "image/width": [24],
        "image/filename": [b"COCO_train2014_000000000003.jpg"],
        "image/source_id": [b"21"],
        "image/key/sha256": [hashlib.sha256(data).hexdigest().encode()],
        "image/class/label": [1],
        # Two of its three people are large enough; the dog does not count.
        "image/object/area": [108.5, 108.5],
        "image/object/bbox/xmin": [0.25, 0.25],
        "image/object/bbox/ymin": [0.25, 0.25],
        "image/object/bbox/xmax": [0.75, 0.75],
        "image/object/bbox/ymax": [0.75, 0.75],
    }
    # A person of 2 of the 432 pixels is under the threshold of 0.005.
    assert [values(found[7], key) for key in ("image/class/label", "image/object/area")] == [[0], []]


def test_photos_are_dealt_out_like_cards(archives, tmp_path):
    convert_coco(archives, tmp_path / "out")
    _, places = features(tmp_path / "out", "train")
    assert places == {7 * k: f"train.record-{k % 2:05d}-of-00002" for k in range(5)}


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        ({"foreground_class_of_interest": "dog"}, [1, 1, 1, 1, 1]),
        ({"small_object_area_threshold": 0.004}, [0, 1, 1, 1, 1]),  # 2 / 432 = 0.0046
        ({"small_object_area_threshold": 2 / 432}, [0, 0, 1, 1, 1]),  # it must be larger
        ({"small_object_area_threshold": 0.9}, [0, 0, 0, 0, 0]),
    ],
)
def test_what_counts_as_foreground(archives, tmp_path, options, labels):
    dataset = convert_coco(archives, tmp_path / "out", **options)
    found, _ = features(tmp_path / "out", "train")
    assert [values(found[7 * k], "image/class/label")[0] for k in range(5)] == labels
    assert dataset["class_names"][1] == options.get("foreground_class_of_interest", "person")


def test_extracted_folders_give_the_same_records(archives, tmp_path):
    convert_coco(archives, tmp_path / "a")
    for path in archives.iterdir():
        with zipfile.ZipFile(path) as archive:
            archive.extractall(tmp_path / "extracted")
    convert_coco(tmp_path / "extracted", tmp_path / "b")
    for path in (tmp_path / "a").glob("*.record-*"):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_downloads_go_below_the_data_set_and_stay(archives, tmp_path, monkeypatch):
    asked = {}

    def fetch(url, path, sha256, **_):
        asked[url] = sha256
        (tmp_path / "out" / "coco").mkdir(exist_ok=True)
        shutil.copy(archives / path.rsplit("/", 1)[-1], path)

    monkeypatch.setattr(downloads, "fetch", fetch)
    mirror = "http://mirror.example/val2014.zip"
    convert("visualwakewords", str(tmp_path / "out"), coco_dirname="coco", coco_validation_url=mirror, num_shards=1)
    assert asked.pop(mirror) is None
    assert {url: len(sha256) for url, sha256 in asked.items()} == {
        "http://images.cocodataset.org/annotations/annotations_trainval2014.zip": 64,
        "http://images.cocodataset.org/zips/train2014.zip": 64,
    }
    assert sorted(path.name for path in (tmp_path / "out" / "coco").iterdir()) == [
        "annotations_trainval2014.zip",
        "train2014.zip",
        "val2014.zip",
    ]


def test_photos_that_are_missing_or_damaged_are_left_out(archives, tmp_path):
    with zipfile.ZipFile(archives / "train2014.zip") as archive:
        photos = {name: archive.read(name) for name in archive.namelist()}
    names = sorted(photos)
    photos[names[0]] = photos[names[0]][:-50]
    del photos[names[4]]
    with zipfile.ZipFile(archives / "train2014.zip", "w") as archive:
        for name, data in photos.items():
            archive.writestr(name, data)
    dataset = convert_coco(archives, tmp_path / "out")
    assert dataset["splits"]["train"]["examples_per_class"] == [1, 2]
    report = json.loads((tmp_path / "out" / "conversion_report.json").read_text())
    reasons = {entry["file"]: entry["reason"] for entry in report["left_out"]}
    assert reasons == {
        "train2014/COCO_train2014_000000000000.jpg": "truncated JPEG: the end of the image is missing",
        "train2014/COCO_train2014_000000000004.jpg": "train2014.zip has no such file",
    }


def test_a_category_that_is_not_there(archives, tmp_path):
    with pytest.raises(UserError, match=r"unknown --foreground_class_of_interest 'dogs'; did you mean 'dog'"):
        convert_coco(archives, tmp_path / "out", foreground_class_of_interest="dogs")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it ends in the middle"),
        ("<html>", "expected '{' at character 0, found '<'"),
        ('{"images": [{"id": 1}]}', "KeyError"),
        ('{"images": [1]}', "TypeError"),
        ('{"images": [{}', "KeyError|ends in the middle"),
        pytest.param('{"images": ' + "[" * 100_000, "RecursionError", id="deep"),
        ('{"images": [{"id": 1, "file_name": 7, "height": 1, "width": 1}]}', "file_name 7 is no text"),
        ('{"images": [{"id": 1, "file_name": "\\ud800", "height": 1, "width": 1}]}', "UnicodeEncodeError"),
        ('{"images": [{"id": 1, "file_name": "a", "height": "1", "width": 0}]}', "a has 0x'1' pixels"),
        ('{"annotations": [{"image_id": 1, "category_id": 1, "area": 1, "bbox": "abcd"}]}', "'a' is no number"),
        ('{"annotations": [{"image_id": 1, "category_id": 1, "area": NaN, "bbox": [0, 0, 1, 1]}]}', "nan is no number"),
    ],
)
def test_damaged_annotations_are_told(archives, tmp_path, text, message):
    (archives / "annotations").mkdir()
    (archives / "annotations" / "instances_train2014.json").write_text(text)
    with pytest.raises(UserError, match=rf"instances_train2014.json is not a file of COCO's instances \(.*({message})"):
        convert_coco(archives, tmp_path / "out")


def test_annotations_that_are_not_utf_8_are_told(archives, tmp_path):
    (archives / "instances_train2014.json").write_bytes(b'{"info": "\xff"}')
    with pytest.raises(UserError, match=r"instances_train2014.json is not UTF-8 text .*; download or copy it again"):
        convert_coco(archives, tmp_path / "out")


def test_elements_are_those_of_the_json():
    content = {"info": {"a": [1, {"b": 2}]}, "x": [{"k": [1]}, 2, "]"], "empty": [], "n": 3.5, "y": [None]}
    expected = [("x", {"k": [1]}), ("x", 2), ("x", "]"), ("y", None)]
    for indent in (None, 2):
        assert list(visualwakewords.elements(" " + json.dumps(content, indent=indent) + "\n")) == expected
    assert list(visualwakewords.elements("{}")) == []
