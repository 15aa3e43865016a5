import io
import json
import os
import shutil
import tarfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from common.errors import UserError
from datasets import imagenet, imagenet_metadata, shards
from datasets.convert import convert

SYNSETS = ("n01440764", "n01443537", "n01484850")


@pytest.fixture
def archives(tmp_path, make_imagenet):
    return make_imagenet(tmp_path / "archives")


def convert_imagenet(archives, out, **options):
    options = {"num_shards": 2, "check_archives": False, "archive_dir": str(archives), **options}
    return convert("imagenet", str(out), **options)


def features(out, split):
    """Features of every record of a split, by file name."""
    found = {}
    for path in sorted(out.glob(f"{split}-*")):
        for record in tf.data.TFRecordDataset(str(path)):
            feature = tf.train.Example.FromString(record.numpy()).features.feature
            found[value(feature, "image/filename").decode()] = feature
    return found


def value(feature, key):
    values = getattr(feature[key], feature[key].WhichOneof("kind")).value
    return values[0] if len(values) == 1 else list(values)


def extract(archives, folder):
    """The archives as people extract them."""
    with tarfile.open(archives / "ILSVRC2012_img_val.tar") as archive:
        archive.extractall(folder / "validation", filter="data")
    with tarfile.open(archives / "ILSVRC2012_img_train.tar") as archive:
        for member in archive:
            with tarfile.open(fileobj=archive.extractfile(member)) as inner:
                inner.extractall(folder / "train" / member.name.removesuffix(".tar"), filter="data")
    return folder


def test_records_say_all_that_slims_did(archives, tmp_path, encoded):
    dataset = convert_imagenet(archives, tmp_path / "out")
    assert {split: entry["examples"] for split, entry in dataset["splits"].items()} == {"train": 12, "validation": 5}
    assert (dataset["num_classes"], dataset["class_names"][:2]) == (1001, ["background", "tench, Tinca tinca"])
    assert (tmp_path / "out" / "labels.txt").read_text().startswith("0:background\n1:tench, Tinca tinca\n2:goldfish")
    found = features(tmp_path / "out", "train")
    assert sorted(found) == [f"{synset}_{n}.JPEG" for synset in SYNSETS for n in range(4)]
    assert {key: value(found["n01440764_2.JPEG"], key) for key in found["n01440764_2.JPEG"]} == {
        "image/encoded": encoded(2),
        "image/format": b"JPEG",
        "image/height": 18,
        "image/width": 24,
        "image/colorspace": b"RGB",
        "image/channels": 3,
        "image/class/label": 1,
        "image/class/synset": b"n01440764",
        "image/class/text": b"tench, Tinca tinca",
        "image/object/bbox/xmin": 0.25,
        "image/object/bbox/ymin": 0.5,
        "image/object/bbox/xmax": 0.5,
        "image/object/bbox/ymax": 1.0,
        "image/object/bbox/label": 1,
        "image/filename": b"n01440764_2.JPEG",
    }
    # Its one box is of another synset of the list, so it does not count.
    assert value(found["n01443537_0.JPEG"], "image/object/bbox/xmin") == []


def test_validation_photos_have_the_labels_of_the_list(archives, tmp_path):
    convert_imagenet(archives, tmp_path / "out")
    found = features(tmp_path / "out", "validation")
    labels = [value(found[f"ILSVRC2012_val_{k:08d}.JPEG"], "image/class/label") for k in range(1, 6)]
    assert labels == [66, 971, 231, 810, 517]  # sea snake, alp, Shetland sheepdog, soup bowl, cradle
    assert value(found["ILSVRC2012_val_00000001.JPEG"], "image/class/synset") == b"n01751748"


def test_the_lists_are_complete():
    synsets = imagenet_metadata.read_synsets(None)
    assert (len(synsets), synsets[0], synsets[-1], synsets == sorted(synsets)) == (1000, "n01440764", "n15075141", True)
    labels = imagenet_metadata.read_validation_labels(None)
    assert len(labels) == 50000
    assert all(labels.count(synset) == 50 for synset in synsets[::100])


def test_folders_give_the_same_records_as_the_archives(archives, tmp_path):
    convert_imagenet(archives, tmp_path / "a")
    folder = extract(archives, tmp_path / "extracted")
    shutil.copy(archives / "ILSVRC2012_bbox_train_v2.tar.gz", folder)
    convert_imagenet(folder, tmp_path / "b")
    sorted_photos = tmp_path / "sorted"  # as Slim's scripts sort the validation photos into folders
    for name, feature in features(tmp_path / "a", "validation").items():
        target = sorted_photos / value(feature, "image/class/synset").decode()
        target.mkdir(parents=True)
        shutil.copy(folder / "validation" / name, target)
    options = {"train_directory": str(folder / "train"), "validation_directory": str(sorted_photos)}
    convert_imagenet(archives, tmp_path / "c", **options)
    for path in (tmp_path / "a").glob("*-of-00002"):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
        if path.name.startswith("train"):
            assert path.read_bytes() == (tmp_path / "c" / path.name).read_bytes()
    assert features(tmp_path / "a", "validation") == features(tmp_path / "c", "validation")


def test_default_shards_are_slims(archives, tmp_path):
    source = imagenet.source(dataset_dir=str(tmp_path), archive_dir=str(archives), check_archives=False)
    assert (source.number_of_shards("train"), source.number_of_shards("validation")) == (1024, 128)
    assert source.name_shard("imagenet", "train", 0, 1024) == "train-00000-of-01024"
    assert source.owns("validation-00127-of-00128")
    assert not source.owns("flowers_train_00000-of-00005.tfrecord")


def test_order_is_slims():
    """Python 2 swapped item k with item int(random() * (k + 1)), from the last down to 1.

    For seed 12345 the numbers are 0.4166, 0.0102, 0.8252 and 0.2986 in Python 2 and 3, so that the last of five goes to
    place 2, the fourth to 0, the third stays and the second goes to 0.
    """
    items = list("abcde")
    imagenet.slim_shuffle(items)
    assert "".join(items) == "bdeac"
    many = list(range(1000))
    imagenet.slim_shuffle(many)
    assert sorted(many) == list(range(1000))


@pytest.mark.parametrize(("count", "num_shards"), [(1281167, 1024), (50000, 128), (17, 2), (3, 16), (0, 8), (100, 12)])
def test_shards_are_as_long_as_slims(count, num_shards):
    dealt = imagenet.deal(range(count), num_shards)
    assert [item for shard in dealt for item in shard] == list(range(count))
    assert len(dealt) == num_shards
    if num_shards == 1024:
        # 8 threads of 160145 or 160146 photos, each with 128 shards of 1251 or 1252.
        assert [len(dealt[0]), len(dealt[1]), sum(len(shard) for shard in dealt[:128])] == [1251, 1251, 160145]


def test_a_seed_gives_another_order(archives, tmp_path):
    convert_imagenet(archives, tmp_path / "a")
    convert_imagenet(archives, tmp_path / "b", seed=0)
    a, b = (list(features(tmp_path / name, "train")) for name in "ab")
    assert (sorted(a), a != b) == (sorted(b), True)


def test_photos_that_are_not_what_their_names_say(archives, tmp_path, encoded, pixels, make_tar):
    """ImageNet has a PNG and 22 CMYK JPEGs; rotated ones stay as they are, as do gray ones."""
    exif = Image.Exif()
    exif[0x0112] = 6
    photos = {
        "png": encoded(3, "PNG"),
        "cmyk": encoded(Image.fromarray(pixels(5) // 2 + 60).convert("CMYK"), quality=100),
        "turned": encoded(6, exif=exif),
        "gray": encoded(Image.fromarray(pixels(7)).convert("L")),
    }
    members = {f"n01440764_{name}.JPEG".replace(name, str(k)): data for k, (name, data) in enumerate(photos.items())}
    inner = make_tar(tmp_path / "n01440764.tar", members)
    make_tar(archives / "ILSVRC2012_img_train.tar", {"n01440764.tar": inner.read_bytes()})
    convert_imagenet(archives, tmp_path / "out")
    found = features(tmp_path / "out", "train")
    stored = [value(found[f"n01440764_{k}.JPEG"], "image/encoded") for k in range(4)]
    assert stored[2:] == [photos["turned"], photos["gray"]]
    for data, expected, tolerance in ((stored[0], pixels(3), 12), (stored[1], pixels(5) // 2 + 60, 20)):
        image = Image.open(io.BytesIO(data))
        assert (image.format, image.mode) == ("JPEG", "RGB")
        np.testing.assert_allclose(np.asarray(image).astype(int), expected.astype(int), atol=tolerance)
    assert value(found["n01440764_2.JPEG"], "image/width") == 24  # as stored, not as turned


def test_a_bad_photo_is_left_out_and_classes_stay(archives, tmp_path, make_tar, encoded):
    photos = {f"n01443537_{k}.JPEG": encoded(k)[: -100 if k else None] for k in range(2)}
    inner = make_tar(tmp_path / "n01443537.tar", photos)
    make_tar(
        archives / "ILSVRC2012_img_train.tar",
        {"n01443537.tar": inner.read_bytes(), "n99999999.tar": inner.read_bytes()},
    )
    dataset = convert_imagenet(archives, tmp_path / "out")
    assert (dataset["num_classes"], dataset["splits"]["train"]["examples_per_class"][2]) == (1001, 1)
    assert list(features(tmp_path / "out", "train")) == ["n01443537_0.JPEG"]


def test_what_is_passed_over_is_told(archives, tmp_path, encoded):
    folder = extract(archives, tmp_path / "extracted")
    synset = folder / "train" / SYNSETS[0]
    (synset / "loop").symlink_to("..")
    (synset / "drawing.png").write_bytes(encoded(0, "PNG"))
    (folder / "train" / "loose.JPEG").write_bytes(encoded(0))
    (folder / "train" / "list.txt").write_text("")
    (folder / "train" / ".hidden").write_text("")
    os.mkfifo(synset / "n01440764_9.JPEG")
    shutil.copytree(folder / "train" / SYNSETS[1], folder / "train" / "n99999999")
    (tmp_path / "validation.txt").write_text("n01440764\n" * 3 + "n99999999\n" * 2)
    dataset = convert_imagenet(folder, tmp_path / "out", validation_labels_file=str(tmp_path / "validation.txt"))
    assert {split: entry["examples"] for split, entry in dataset["splits"].items()} == {"train": 12, "validation": 3}
    report = json.loads((tmp_path / "out" / "conversion_report.json").read_text())
    assert {entry["file"]: entry["reason"] for entry in report["left_out"]} == {
        "train/loose.JPEG": "neither its folder nor its name says a synset",
        "train/n01440764/drawing.png": "its name does not end in .JPEG, as those of ImageNet's photos",
        "train/n01440764/loop": "link to a folder above it",
        "train/n01440764/n01440764_9.JPEG": "a named pipe, a socket or a device, not a file",
    }
    assert report["ignored_files"] == {".txt": 1, "photos of synsets that are not listed": 4 + 2}


def test_one_split_alone(archives, tmp_path):
    (archives / "ILSVRC2012_img_train.tar").unlink()
    assert list(convert_imagenet(archives, tmp_path / "out")["splits"]) == ["validation"]
    (archives / "ILSVRC2012_img_val.tar").unlink()
    with pytest.raises(UserError, match=r"no photos of ImageNet: put ILSVRC2012_img_train.tar and .*--archive_dir"):
        convert_imagenet(archives, tmp_path / "out2")


def test_own_synsets_and_names(archives, tmp_path):
    (tmp_path / "synsets.txt").write_text("\ufeffn01484850\nn01440764\n", encoding="utf-8")  # with a BOM
    (tmp_path / "names.txt").write_text("n01440764\ta fish\n")
    options = {"labels_file": str(tmp_path / "synsets.txt"), "imagenet_metadata_file": str(tmp_path / "names.txt")}
    (tmp_path / "validation.txt").write_text("n01440764\n2\n3\nn01484850\n1\n")
    dataset = convert_imagenet(
        archives, tmp_path / "out", validation_labels_file=str(tmp_path / "validation.txt"), **options
    )
    shark = "great white shark, white shark, man-eater, man-eating shark, Carcharodon carcharias"
    assert dataset["class_names"] == ["background", shark, "a fish"]
    assert dataset["splits"]["train"]["examples_per_class"] == [0, 4, 4]
    # Numbers are classes of ILSVRC 2012: 1 is n01440764, 3 is n01484850; 2 is not of the two.
    assert dataset["splits"]["validation"]["examples_per_class"] == [0, 2, 2]


def test_boxes_of_csv_and_of_xml_are_alike(archives, tmp_path):
    convert_imagenet(archives, tmp_path / "a")
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("n01440764_2.JPEG,0.2500,0.5000,0.5000,1.0000\n")
    convert_imagenet(archives, tmp_path / "b", bounding_box_file=str(boxes))
    assert features(tmp_path / "a", "train") == features(tmp_path / "b", "train")


def box_xml(boxes, size=(200, 100)):
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><xmax>{box[2]}</xmax>"
        f"<ymax>{box[3]}</ymax></bndbox></object>"
        for name, *box in boxes
    )
    return f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>{objects}</annotation>"


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([("n1", 20, 10, 60, 90)], [(0.1, 0.1, 0.9, 0.3)]),
        ([("n1", 60, 90, 20, 10)], [(0.1, 0.1, 0.9, 0.3)]),  # corners the wrong way round
        ([("n1", -9, 10, 300, 90)], [(0.1, 0.0, 0.9, 1.0)]),  # beyond the image
        ([("n1", 20, 10, 20, 90), ("n1", 0, 100, 9, 120)], []),  # empty, and empty once clamped
        ([("dog", 0, 0, 200, 100)], [(0.0, 0.0, 1.0, 1.0)]),  # a name that is no synset of the list
        ([("n2", 0, 0, 200, 100)], []),  # another synset of the list
        ([("n1", 1, 1, 2, 2)], [(0.01, 0.005, 0.02, 0.01)]),
        ([("n1", 1, 1, 33, 34)], [(0.01, 0.005, 0.34, 0.165)]),
    ],
)
def test_boxes(tmp_path, boxes, expected):
    (tmp_path / "n1").mkdir()
    (tmp_path / "n1" / "n1_7.xml").write_text(box_xml(boxes))
    (tmp_path / "n1" / "other.xml").write_text("not looked at")
    found = imagenet_metadata.read_boxes(str(tmp_path), ["n1", "n2"])
    # ymin, xmin, ymax, xmax
    assert imagenet_metadata.boxes_of(found, "n1_7.JPEG") == expected


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>' + box_xml([])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("n1_7.xml", "<annotation>", "n1_7.xml holds no bounding boxes"),
        ("n1_7.xml", BOMB, "it declares entities"),
        ("n1_7.xml", box_xml([], (0, 5)), "its image has 0x5 pixels"),
        ("n1_7.xml", box_xml([("n1", "a", 1, 2, 3)]), "n1_7.xml holds no bounding boxes"),
    ],
)
def test_bad_boxes_are_named(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        imagenet_metadata.read_boxes(str(tmp_path), ["n1"])


@pytest.mark.parametrize("sides", ["0,0,1", "0,0,1,x", "nan,5,0.3,-1", "0,0,1,inf", "0.5,0,0.4,1", "0,0,1,1.1"])
def test_bad_lines_of_boxes_are_named(tmp_path, sides):
    (tmp_path / "boxes.csv").write_text(f"a.JPEG,0,0,1,1\nb.JPEG,{sides}\n")
    with pytest.raises(UserError, match=rf"boxes.csv, line 2: expected NAME,xmin,.* 0 to 1; found 'b.JPEG,{sides}'"):
        imagenet_metadata.read_boxes(str(tmp_path / "boxes.csv"), ["n1"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_directory": "missing"}, "--train_directory=missing: no such folder"),
        ({"bounding_box_file": "missing"}, "--bounding_box_file=missing: no such file or folder"),
        ({"labels_file": "missing"}, "--labels_file=missing cannot be read: No such file"),
        ({"check_archives": True}, r"ILSVRC2012_img_train.tar has \d+ bytes, the published file has 147897477120"),
        ({"train_directory": "archives"}, "archives has no photos of ImageNet's synsets: expected SYNSET/NAME.JPEG"),
    ],
)
def test_wrong_options_are_named(archives, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        convert_imagenet(archives, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_wrong_lists_are_named(archives, tmp_path):
    path = tmp_path / "list.txt"
    cases = [
        ("labels_file", "n1\nn2\nn1\n", r"expected a synset a line, each once; n1 is there twice"),
        ("labels_file", "\n", r"expected a synset a line, each once; it is empty"),
        ("imagenet_metadata_file", "n1 no tab\n", r"line 1: expected a synset, a tab and names"),
        ("validation_labels_file", "n1\n1001\n", r"line 2: class 1001, expected 1 to 1000 or a synset"),
        ("validation_labels_file", "1\n2\n", r"ILSVRC2012_val_00000003.JPEG: .*list.txt has 2 lines, and none for it"),
    ]
    for option, text, message in cases:
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            convert_imagenet(archives, tmp_path / "out", **{option: str(path)})


def test_a_truncated_archive_is_told(archives, tmp_path):
    path = archives / "ILSVRC2012_img_train.tar"
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(UserError, match=r"ILSVRC2012_img_train.tar is damaged"):
        convert_imagenet(archives, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_conversion_that_was_killed_is_run_again(archives, tmp_path, monkeypatch):
    """ImageNet's file names do not say the data set's name: those of a killed conversion are known all the same."""
    convert_imagenet(archives, tmp_path / "whole")
    out = tmp_path / "out"
    out.mkdir()
    staging = out / ".converting-elsewhere-1-00000000"
    staging.mkdir()
    (out / shards.imagenet_name("", "train", 0, 2)).write_bytes(b"half")
    os.utime(staging, (0, 0))
    convert_imagenet(archives, out)
    for path in (tmp_path / "whole").glob("*-of-*"):
        assert path.read_bytes() == (out / path.name).read_bytes()
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in (tmp_path / "whole").iterdir())
