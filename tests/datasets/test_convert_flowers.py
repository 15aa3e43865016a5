import hashlib
import shutil
import tarfile

import pytest

from common import downloads
from common.errors import UserError
from datasets import flowers
from datasets.convert import convert


@pytest.fixture
def archive(photos, tmp_path):
    (photos / "LICENSE.txt").write_text("CC BY")
    path = tmp_path / "flower_photos.tgz"
    with tarfile.open(path, "w:gz") as file:
        file.add(photos, "flower_photos")
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


SLIM_NAMES = [f"flowers_{split}_{k:05d}-of-00005.tfrecord" for split in ("train", "validation") for k in range(5)] + [
    "labels.txt"
]


def test_folder_archive_and_zip_give_the_same_records_under_slims_names(photos, archive, tmp_path):
    zipped = shutil.make_archive(str(tmp_path / "zipped"), "zip", photos)
    made = {
        "folder": convert("flowers", str(tmp_path / "a"), source_dir=str(photos)),
        "archive": convert("flowers", str(tmp_path / "b"), archive_path=str(archive)),
        "zip": convert("flowers", str(tmp_path / "c"), archive_path=zipped),
    }
    assert set(SLIM_NAMES) <= set(names(tmp_path / "a"))
    assert len({dataset["fingerprint"] for dataset in made.values()}) == 1
    assert made["folder"]["splits"]["train"]["examples"] == 12
    assert names(tmp_path / "b") == names(tmp_path / "a")  # nothing of the extraction is left


def test_flowers_go_350_to_validation_and_a_tenth_of_few(shared_data, tmp_path):
    dataset = convert("flowers", str(tmp_path / "out"), source_dir=str(shared_data / "flowers"))
    assert dataset["class_names"] == list(flowers.CLASSES)
    counts = {split: entry["examples_per_class"] for split, entry in dataset["splits"].items()}
    assert counts == {"train": [230] * 5, "validation": [70] * 5}


def test_download_is_used_checked_and_removed(archive, tmp_path, monkeypatch):
    asked = []

    def fetch(url, path, sha256, help, **options):
        asked.append((url, sha256))
        shutil.copy(archive, path)
        return path

    monkeypatch.setattr(downloads, "fetch", fetch)
    mirror = "http://mirror.example/flower_photos.tgz"
    convert("flowers", str(tmp_path / "out"), download_url=mirror)
    assert asked == [(mirror, None)]
    assert "flower_photos.tgz" not in names(tmp_path / "out")
    with pytest.raises(UserError, match=r"is not the flowers archive: 15 images of cat, dog, emu; expected 3670"):
        convert("flowers", str(tmp_path / "out2"))
    assert asked[1] == (flowers.URL, flowers.SHA256)


def test_an_archive_that_lies_in_the_folder_is_used_and_kept(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "fetch", None)
    (tmp_path / "out").mkdir()
    shutil.copy(archive, tmp_path / "out")
    convert("flowers", str(tmp_path / "out"), download_url="http://mirror.example/flower_photos.tgz")
    assert "flower_photos.tgz" in names(tmp_path / "out")


def test_checksum_of_an_archive_brought_by_hand(archive, tmp_path):
    right = hashlib.sha256(archive.read_bytes()).hexdigest()
    convert("flowers", str(tmp_path / "out"), archive_path=str(archive), archive_sha256=right.upper())
    with pytest.raises(UserError, match=r"flower_photos.tgz: its SHA-256 is .*, expected 1234"):
        convert("flowers", str(tmp_path / "out2"), archive_path=str(archive), archive_sha256="1234")


def test_another_archive_by_hand_is_not_taken_for_the_one_before(archive, photos, tmp_path):
    options = {"archive_dir": str(tmp_path), "check_archives": False}
    convert("flowers", str(tmp_path / "out"), **options)
    (photos / "cat" / "0.jpg").unlink()
    with tarfile.open(archive, "w:gz") as file:
        file.add(photos, "flower_photos")
    with pytest.raises(UserError, match="already holds data set 'flowers', made from other images"):
        convert("flowers", str(tmp_path / "out"), **options)


def test_a_damaged_download_is_named_and_what_to_do(tmp_path):
    (tmp_path / "f.tgz").write_bytes(b"\x1f\x8b\x08 cut")
    with pytest.raises(UserError, match=r"f.tgz is damaged .*: remove it for a download"):
        convert("flowers", str(tmp_path), download_url="http://127.0.0.1:9/f.tgz?download=1")


def test_offline_names_the_other_ways(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads.time, "sleep", lambda _: None)
    message = r"cannot download http://127.0.0.1:9/f.tgz: .*--archive_path=FILE, or --source_dir=FOLDER"
    with pytest.raises(UserError, match=message):
        convert("flowers", str(tmp_path / "out"), download_url="http://127.0.0.1:9/f.tgz")
    assert not (tmp_path / "out" / "dataset.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source_dir": "a", "archive_path": "b"}, "--source_dir and --archive_path both say where the photos are"),
        ({"archive_path": "b", "archive_dir": "c"}, "--archive_path and --archive_dir both say where"),
        ({"source_dir": "a", "archive_sha256": "0" * 64}, "--archive_sha256 is of an archive, and --source_dir is"),
        ({"source_dir": "missing"}, "no folder missing|--source_dir=missing: no such folder"),
        ({"archive_path": "missing.tgz"}, "--archive_path=missing.tgz: no such file"),
        ({"download_url": "http://host/"}, "--download_url=http://host/: expected the address of a file, such as http"),
        ({"download_url": "http://[bad/y.tgz"}, r"cannot download http://\[bad/y.tgz: expected an address that starts"),
    ],
)
def test_wrong_sources_are_named(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        convert("flowers", str(tmp_path / "out"), **options)
    assert not (tmp_path / "out").exists()


def test_files_that_slim_made_are_not_made_again(photos, tmp_path, monkeypatch):
    convert("flowers", str(tmp_path), source_dir=str(photos))
    (tmp_path / "dataset.json").unlink()
    before = names(tmp_path)
    monkeypatch.setattr(downloads, "fetch", None)
    assert convert("flowers", str(tmp_path)) == {"name": "flowers"}
    assert names(tmp_path) == before
    with pytest.raises(UserError, match=r"already holds TFRecord files of a data set 'flowers' .*--overwrite"):
        convert("flowers", str(tmp_path), download_url="http://127.0.0.1:9/f.tgz")
    (tmp_path / SLIM_NAMES[3]).unlink()
    with pytest.raises(UserError, match=r"lacks 1 of the 5 shards of split 'train'"):
        convert("flowers", str(tmp_path))
