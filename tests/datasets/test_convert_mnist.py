import gzip
import io
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from common import downloads
from common.errors import UserError
from datasets import dataset_factory, mnist
from datasets.convert import convert


@pytest.fixture
def archives(tmp_path, make_mnist):
    return make_mnist(tmp_path / "archives")


def convert_mnist(archives, out, name="mnist", **options):
    return convert(name, str(out), archive_dir=str(archives), check_archives=False, **options)


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "conversion_report.json"}


def test_images_are_gray_pngs_in_the_files_order(archives, tmp_path):
    dataset = convert_mnist(archives, tmp_path / "out")
    assert (dataset["channels"], dataset["class_names"][6]) == (1, "six")
    assert (tmp_path / "out" / "labels.txt").read_text().startswith("0:zero\n1:one\n")
    records = tf.data.TFRecordDataset(str(tmp_path / "out" / "mnist_train.tfrecord"))
    for number, record in enumerate(records):
        feature = tf.train.Example.FromString(record.numpy()).features.feature
        image = Image.open(io.BytesIO(feature["image/encoded"].bytes_list.value[0]))
        assert (image.mode, image.size) == ("L", (28, 28))
        assert np.unique(np.asarray(image)).tolist() == [number]
        assert feature["image/class/label"].int64_list.value[:] == [number % 10]


def test_bytes_are_those_of_slims_encoder(archives, tmp_path):
    convert_mnist(archives, tmp_path / "out")
    record = next(iter(tf.data.TFRecordDataset(str(tmp_path / "out" / "mnist_test.tfrecord"))))
    encoded = tf.train.Example.FromString(record.numpy()).features.feature["image/encoded"].bytes_list.value[0]
    assert encoded == tf.io.encode_png(np.zeros([28, 28, 1], np.uint8)).numpy()


def test_fashion_has_its_own_classes(archives, tmp_path):
    dataset = convert_mnist(archives, tmp_path / "out", "fashion_mnist")
    assert dataset["class_names"][:2] == ["T-shirt/top", "Trouser"]
    assert dataset_factory.get_dataset(None, "test", str(tmp_path / "out")).name == "fashion_mnist"


def test_unpacked_files_give_the_same_records(archives, tmp_path):
    convert_mnist(archives, tmp_path / "a")
    for path in archives.iterdir():
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    convert_mnist(archives, tmp_path / "b")
    for name in ("mnist_train.tfrecord", "mnist_test.tfrecord"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_validation_is_drawn_on_request_only(archives, tmp_path):
    dataset = convert_mnist(archives, tmp_path / "out", validation_count=7)
    counts = {split: entry["examples"] for split, entry in dataset["splits"].items()}
    assert counts == {"test": 6, "train": 18, "validation": 7}
    assert (tmp_path / "out" / "mnist_validation.tfrecord").exists()


def test_again_gives_the_same_bytes(archives, tmp_path):
    for name in ("a", "b"):
        convert_mnist(archives, tmp_path / name)
    assert content(tmp_path / "a") == content(tmp_path / "b")
    convert_mnist(archives, tmp_path / "a", overwrite=True)
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_files_that_slim_made_are_not_made_again(archives, tmp_path):
    convert_mnist(archives, tmp_path / "out")
    (tmp_path / "out" / "dataset.json").unlink()
    before = content(tmp_path / "out")
    assert convert("mnist", str(tmp_path / "out")) == {"name": "mnist"}
    assert content(tmp_path / "out") == before
    for options in ({"validation_count": 10}, {"archive_dir": str(archives), "check_archives": False}):
        with pytest.raises(UserError, match=r"already holds TFRecord files of a data set 'mnist' .*--overwrite"):
            convert("mnist", str(tmp_path / "out"), **options)
    test = tmp_path / "out" / "mnist_test.tfrecord"
    for damaged, message in ((test.read_bytes()[:-1], "is truncated"), (b"", "has no records; --overwrite")):
        test.write_bytes(damaged)
        with pytest.raises(UserError, match=rf"mnist_test.tfrecord {message}"):
            convert("mnist", str(tmp_path / "out"))


def test_unpacked_files_that_changed_are_not_taken_for_those_before(archives, tmp_path):
    for path in archives.iterdir():
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    dataset = convert_mnist(archives, tmp_path / "out")
    assert convert_mnist(archives, tmp_path / "out") == dataset
    labels = archives / "t10k-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1] + b"\x00")
    with pytest.raises(UserError, match="already holds data set 'mnist', made from other images"):
        convert_mnist(archives, tmp_path / "out")


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("train-images-idx3-ubyte", lambda data: data[:-1], "has 19599 bytes after its header, which says 19600"),
        ("train-images-idx3-ubyte", lambda data: b"<html>", "is not an idx file of 3 dimensions"),
        ("train-images-idx3-ubyte", lambda data: b"\0\0\x0d" + data[3:], "is not an idx file of 3 dimensions"),
        ("t10k-labels-idx1-ubyte", lambda data: data[:7] + b"\5" + data[8:13], "has 6 images, .* has 5 labels"),
        ("t10k-labels-idx1-ubyte", lambda data: data[:-1] + b"\x0b", "found label 11, expected 0 to 9"),
        (
            "t10k-images-idx3-ubyte",
            lambda data: data[:11] + b"\x0e" + data[12:15] + b"\x38" + data[16:],
            "56x14 pixels",
        ),
    ],
)
def test_damaged_files_are_told(archives, tmp_path, file, change, message):
    path = archives / f"{file}.gz"
    path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()))))
    with pytest.raises(UserError, match=message):
        convert_mnist(archives, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_truncated_archive_is_told(archives, tmp_path):
    path = archives / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte.gz is damaged"):
        convert_mnist(archives, tmp_path / "out")


def test_files_by_hand_must_be_the_published_ones(archives, tmp_path):
    message = r"train-images-idx3-ubyte.gz has \d+ bytes, the published file has 9912422; copy it again, or .*--nocheck"
    with pytest.raises(UserError, match=message):
        convert("mnist", str(tmp_path / "out"), archive_dir=str(archives))


def test_what_is_missing_is_downloaded_and_removed(archives, tmp_path, monkeypatch):
    asked = []

    def fetch(url, path, sha256, **_):
        asked.append((url, sha256))
        shutil.copy(archives / path.rsplit("/", 1)[-1], path)

    monkeypatch.setattr(downloads, "fetch", fetch)
    convert("mnist", str(tmp_path / "out"))
    assert [url for url, _ in asked] == [remote.urls[0] for remote in mnist.remotes("mnist").values()]
    assert all(len(sha256) == 64 for _, sha256 in asked)
    assert not list((tmp_path / "out").glob("*.gz"))


def test_offline_says_which_file_to_bring(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "_PLACES", dict.fromkeys(mnist.CLASSES, "http://127.0.0.1:9/"))
    monkeypatch.setattr(downloads.time, "sleep", lambda _: None)
    with pytest.raises(
        UserError, match=r"bring train-images-idx3-ubyte.gz, train-labels-idx1-.* by hand: .*--archive_dir"
    ):
        convert("mnist", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match=r"--archive_dir=nowhere: no such folder"):
        convert("mnist", str(tmp_path / "out"), archive_dir="nowhere")
