"""Groups, folds, lists and copies, from a folder of photos to records."""

import collections
import json
import os

import pytest

from common.errors import FlagError, UserError
from datasets import dataset_factory
from datasets.convert import convert


def convert_folder(folder, out, **options):
    return convert("image_folder", str(out), image_dir=str(folder), **options)


def keys(out):
    """Split -> keys."""
    return {path.name.removesuffix("_files.txt"): path.read_text().splitlines() for path in out.glob("*_files.txt")}


def findings(out):
    report = json.loads((out / "conversion_report.json").read_text())
    return {entry["kind"]: entry for entry in report["findings"]}


@pytest.fixture
def objects(tmp_path, encoded):
    """Two classes of five objects with three photos each: cat/tom_0.jpg, ..."""
    folder = tmp_path / "objects"
    for label, name in enumerate(["cat", "dog"]):
        (folder / name).mkdir(parents=True)
        for k in range(15):
            (folder / name / f"object{k // 3}_{k % 3}.jpg").write_bytes(encoded(20 * label + k))
    return folder


def test_photos_of_one_object_stay_together(objects, tmp_path):
    pattern = r"([^/]+/[^/]+)_\d[.]jpg$"
    convert_folder(objects, tmp_path / "out", group_pattern=pattern, validation_fraction=0.2)
    split_of = {key.rpartition("_")[0]: split for split, found in keys(tmp_path / "out").items() for key in found}
    counts = collections.Counter(split_of.values())
    assert counts == {"train": 8, "validation": 2}
    for key in [key for found in keys(tmp_path / "out").values() for key in found]:
        assert key in keys(tmp_path / "out")[split_of[key.rpartition("_")[0]]]
    with pytest.raises(UserError, match=r"made with other options \(--group_pattern\)"):
        convert_folder(objects, tmp_path / "out", validation_fraction=0.2)


def test_lists_decide_the_splits(photos, tmp_path):
    (tmp_path / "splits.csv").write_text("cat/0.jpg,test\ndog/1,test\nemu/2.jpg,validation\n")
    convert_folder(photos, tmp_path / "out", split_file=str(tmp_path / "splits.csv"))
    found = keys(tmp_path / "out")
    assert sorted(found["test"]) == ["cat/0.jpg", "dog/1.jpg"]
    assert found["validation"] == ["emu/2.jpg"]
    assert len(found["train"]) == 12
    # The same list goes on with the same data set; another one does not.
    convert_folder(photos, tmp_path / "out", split_file=str(tmp_path / "splits.csv"))
    (tmp_path / "splits.csv").write_text("cat/0.jpg,test\n")
    with pytest.raises(UserError, match=r"made with other options \(--split_file\)"):
        convert_folder(photos, tmp_path / "out", split_file=str(tmp_path / "splits.csv"))


def test_a_group_that_a_list_tears_is_told(photos, tmp_path, caplog):
    (tmp_path / "splits.csv").write_text("cat/0.jpg,test\ncat/1.jpg,train\n")
    convert_folder(
        photos, tmp_path / "out", split_file=str(tmp_path / "splits.csv"), group_pattern="(cat)", validation_count=0
    )
    assert findings(tmp_path / "out")["group_across_splits"]["reason"] == "cat: test, train"
    assert "THE ACCURACY WOULD BE TOO GOOD: groups in several splits (1)" in caplog.text


def test_every_photo_is_validation_in_one_fold(photos, tmp_path):
    dataset = convert_folder(photos, tmp_path / "out", num_folds=3)
    out = str(tmp_path / "out")
    assert dataset["num_folds"] == 3
    assert dataset_factory.splits(out) == ["train", "validation"]
    held_out = []
    for fold in range(3):
        train = dataset_factory.get_dataset(None, "train", out, fold=fold)
        validation = dataset_factory.get_dataset(None, "validation", out, fold=fold)
        assert train.num_samples + validation.num_samples == 15
        assert not set(train.files) & set(validation.files)
        assert len({train.fingerprint, validation.fingerprint}) == 2
        held_out += validation.files
    everything = dataset_factory.get_dataset(None, "all", out)
    assert sorted(held_out) == list(everything.files)
    assert everything.num_samples == 15
    found = [key for of_fold in keys(tmp_path / "out").values() for key in of_fold]
    assert sorted(found) == sorted(str(path.relative_to(photos)) for path in photos.glob("*/*"))


@pytest.mark.parametrize(
    ("split", "fold", "message"),
    [
        ("train", None, "is in 3 folds: name the one that is held out for validation, --fold=0 to 2; or take all, --d"),
        ("validation", 3, "--fold=3: .* has the folds 0 to 2"),
        ("tests", 0, "has no split 'tests'; it has train, validation"),
    ],
)
def test_a_fold_must_be_named_and_be_there(photos, tmp_path, split, fold, message):
    convert_folder(photos, tmp_path / "out", num_folds=3)
    with pytest.raises(UserError, match=message):
        dataset_factory.get_dataset(None, split, str(tmp_path / "out"), fold=fold)


def test_a_fold_of_data_without_folds(photos, tmp_path):
    convert_folder(photos, tmp_path / "out")
    with pytest.raises(UserError, match=r"--fold=1: .* is not divided into folds; leave the flag out, or convert"):
        dataset_factory.get_dataset(None, "train", str(tmp_path / "out"), fold=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_folds": 1}, "--num_folds=1: expected 2 or more"),
        ({"num_folds": 3, "validation_fraction": 0.1}, "--num_folds takes the place of --validation_fraction"),
        ({"test_fraction": 0.5, "validation_fraction": 0.5}, "together leave nothing to train on"),
        ({"group_pattern": "("}, "no regular expression"),
    ],
)
def test_wishes_that_exclude_each_other(photos, tmp_path, options, message):
    with pytest.raises(FlagError, match=message):
        convert_folder(photos, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        (
            ["cat/0.jpg,val"],
            {"validation_fraction": 0.3},
            "validation_fraction=0.3: 1 images are in validation already",
        ),
        (["cat/0.jpg,val"], {"validation_count": 2}, "--validation_count=2: 1 images are in validation already"),
        (["cat/0.jpg,test"], {"test_fraction": 0.2}, "--test_fraction=0.2: 1 images are in test already"),
        ("train", {"validation_fraction": 0.2}, r"all 15 images are in a split already \(train\), so none are drawn"),
        (["cat/0.jpg,all"], {}, "split 'all': that is a part of every data set in folds; call the split otherwise"),
        (["cat/0.jpg,fold1"], {"num_folds": 3}, "split 'fold1': that is a part of every data set in folds"),
        (["cat/0.jpg,mine", "cat/1.jpg,Mine"], {}, "splits 'Mine' and 'mine' differ only in case"),
    ],
)
def test_a_split_that_is_there_is_not_drawn(photos, tmp_path, lines, options, message):
    if lines == "train":
        lines = [f"{path.parent.name}/{path.name},train" for path in photos.glob("*/*.jpg")]
    (tmp_path / "splits.csv").write_text("\n".join(lines))
    with pytest.raises(UserError, match=message):
        convert_folder(photos, tmp_path / "out", split_file=str(tmp_path / "splits.csv"), **options)
    assert not (tmp_path / "out").exists()


def test_a_split_without_images_is_told(photos, tmp_path, caplog):
    convert_folder(photos, tmp_path / "one", group_pattern="([.])")  # all in one group
    assert "No validation split: no class has two images (or groups of images)" in caplog.text
    lines = [f"{path.parent.name}/{path.name},validation" for path in photos.glob("*/*.jpg")]
    (tmp_path / "splits.csv").write_text("\n".join(lines))
    convert_folder(photos, tmp_path / "two", split_file=str(tmp_path / "splits.csv"))
    assert "No image is left to train on; there are validation." in caplog.text


@pytest.fixture
def copies(photos):
    """photos, with a copy of every cat in its class and one of a dog among the emus."""
    for path in sorted((photos / "cat").iterdir()):
        (photos / "cat" / f"again_{path.name}").write_bytes(path.read_bytes())
    (photos / "emu" / "dog.jpg").write_bytes((photos / "dog" / "2.jpg").read_bytes())
    return photos


def test_copies_across_splits_are_told_loudly(copies, tmp_path, caplog):
    convert_folder(copies, tmp_path / "out", validation_fraction=0.4)
    across = findings(tmp_path / "out")["copies_across_splits"]
    assert across["weight"] == "error"
    first, second = across["members"]
    assert {first["split"], second["split"]} == {"train", "validation"}
    assert (copies / first["key"]).read_bytes() == (copies / second["key"]).read_bytes()
    conflict = findings(tmp_path / "out")["copies_of_other_classes"]
    assert {member["key"]: member["class"] for member in conflict["members"]} == {
        "dog/2.jpg": "dog",
        "emu/dog.jpg": "emu",
    }
    assert "THE ACCURACY WOULD BE TOO GOOD: copies of a picture in several splits" in caplog.text
    assert "Copies of a picture in several classes (1)" in caplog.text


def test_copies_are_put_together_on_request(copies, tmp_path):
    convert_folder(copies, tmp_path / "out", validation_fraction=0.4, duplicates="together")
    split_of = {key: split for split, found in keys(tmp_path / "out").items() for key in found}
    assert len(split_of) == 22
    for k in range(6):
        assert split_of[f"cat/{k}.jpg"] == split_of[f"cat/again_{k}.jpg"]
    assert split_of["dog/2.jpg"] == split_of["emu/dog.jpg"]
    assert "copies_across_splits" not in findings(tmp_path / "out")
    assert sum(split.startswith("validation") for split in split_of.values()) in range(7, 11)


def test_copies_follow_the_one_that_a_folder_holds_out(photos, tmp_path):
    """Copies of a validation photo leave the folder `train`, those of a test photo the other two."""
    for split, numbers in {"train": (0, 1, 2, 3), "val": (1, 2), "test": (2,)}.items():
        for label in ("cat", "dog"):
            (tmp_path / "ready" / split / label).mkdir(parents=True)
            for k in numbers:
                data = (photos / label / f"{k}.jpg").read_bytes()
                (tmp_path / "ready" / split / label / f"{k}.jpg").write_bytes(data)
    convert_folder(tmp_path / "ready", tmp_path / "out", duplicates="together")
    found = {split: sorted(key[:-4] for key in of_split) for split, of_split in keys(tmp_path / "out").items()}
    assert found["train"] == ["train/cat/0", "train/cat/3", "train/dog/0", "train/dog/3"]
    assert found["validation"] == ["train/cat/1", "train/dog/1", "val/cat/1", "val/dog/1"]
    assert len(found["test"]) == 6
    assert not {"copies_across_splits", "group_across_splits"} & set(findings(tmp_path / "out"))


def test_copies_are_put_into_one_fold(copies, tmp_path):
    convert_folder(copies, tmp_path / "out", num_folds=4, duplicates="together")
    assert "copies_across_splits" not in findings(tmp_path / "out")


def test_copies_are_left_out_on_request(copies, tmp_path):
    (copies / "emu" / "zero.jpg").write_bytes(b"")
    convert_folder(copies, tmp_path / "out", duplicates="leave_out")
    kept = sorted(key for found in keys(tmp_path / "out").values() for key in found)
    assert kept == [*(f"cat/{k}.jpg" for k in range(6)), *(f"dog/{k}.jpg" for k in (0, 1, 3, 4))] + [
        f"emu/{k}.jpg" for k in range(4)
    ]
    report = json.loads((tmp_path / "out" / "conversion_report.json").read_text())
    reasons = {entry["file"]: entry["reason"] for entry in report["left_out"]}
    assert len(reasons) == len(report["left_out"]) == 9
    assert reasons["cat/again_3.jpg"] == "a copy of cat/3.jpg"
    assert reasons["emu/dog.jpg"].startswith("the same picture as dog/2.jpg; they are of several classes")
    assert reasons["emu/zero.jpg"] == "empty file"


def test_no_shard_of_the_first_attempt_is_left(photos, tmp_path, encoded):
    """66 images take four shards, the 33 that are left take one."""
    for k in range(18):
        (photos / "cat" / f"more{k}.jpg").write_bytes(encoded(100 + k))
    for path in sorted(photos.glob("*/*.jpg")):
        path.with_name(f"again_{path.name}").write_bytes(path.read_bytes())
    convert_folder(photos, tmp_path / "out", duplicates="leave_out", validation_count=0)
    assert [path.name for path in (tmp_path / "out").glob("*.tfrecord")] == ["images_train_00000-of-00001.tfrecord"]


def test_a_copy_in_training_goes_where_the_other_is_held_out(photos, tmp_path):
    for split, name in {"train": "a.jpg", "test": "z.jpg"}.items():
        for label in ("cat", "dog"):
            (tmp_path / "ready" / split / label).mkdir(parents=True)
            for k in range(3):
                source = photos / label / f"{k + (3 if split == 'test' and label == 'cat' else 0)}.jpg"
                if not (label == "dog" and split == "test" and k):
                    (tmp_path / "ready" / split / label / f"{k}{name}").write_bytes(source.read_bytes())
    convert_folder(tmp_path / "ready", tmp_path / "out", duplicates="leave_out", validation_count=0)
    report = json.loads((tmp_path / "out" / "conversion_report.json").read_text())
    assert report["left_out"] == [{"file": "train/dog/0a.jpg", "reason": "a copy of test/dog/0z.jpg"}]


def test_pixels_find_nearly_equal_pictures_too(tmp_path, encoded):
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for k in range(8):
            image = Image.fromarray(random.integers(0, 256, (6, 8, 3), np.uint8)).resize((160, 120))
            (tmp_path / "photos" / label / f"{k}.jpg").write_bytes(encoded(image))
            small = encoded(image.resize((100, 75)), "PNG")
            (tmp_path / "photos" / label / f"{k}_small.png").write_bytes(small)
    convert_folder(tmp_path / "photos", tmp_path / "headers", validation_fraction=0.4)
    assert findings(tmp_path / "headers") == {}
    convert_folder(tmp_path / "photos", tmp_path / "pixels", validation_fraction=0.4, checks="pixels")
    assert findings(tmp_path / "pixels")["alike_across_splits"]["weight"] == "warning"
    convert_folder(
        tmp_path / "photos", tmp_path / "together", validation_fraction=0.4, checks="pixels", duplicates="together"
    )
    assert set(findings(tmp_path / "together")) == {"alike"}
    assert os.path.getsize(tmp_path / "together" / "dataset.json")


def test_the_report_says_sizes_classes_and_what_was_looked_for(photos, tmp_path, encoded, pixels):
    from PIL import Image

    for k in range(40):
        (photos / "cat" / f"more{k}.jpg").write_bytes(encoded(Image.fromarray(pixels(100 + k, height=90, width=120))))
    convert_folder(photos, tmp_path / "out", tiny_side=20, huge_megapixels=0.01)
    report = json.loads((tmp_path / "out" / "conversion_report.json").read_text())
    assert report["sizes"]["width"] == {"smallest": 24, "5%": 24, "50%": 120, "95%": 120, "largest": 120}
    assert report["checks"] == {
        "pixels": False,
        "damage_inside_jpeg": False,
        "tiny_side": 20,
        "huge_megapixels": 0.01,
        "near_duplicates": 6,
    }
    counts = {kind: said["count"] for kind, said in report["summary"].items()}
    assert counts == {"imbalance": 1, "tiny": 15, "huge": 40}
    found = findings(tmp_path / "out")
    assert found["imbalance"]["reason"] == "'cat' has 46 images, 'emu' 4"
    assert found["huge"]["reason"] == "120x90 pixels"
