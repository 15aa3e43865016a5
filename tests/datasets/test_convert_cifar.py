import pickle
import tarfile

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from datasets.convert import convert


@pytest.fixture
def cifar10(tmp_path, make_cifar):
    return make_cifar(tmp_path / "archives")


def convert_cifar(archives, out, name="cifar10", **options):
    return convert(name, str(out), archive_dir=str(archives), check_archives=False, **options)


def features(path):
    return [
        tf.train.Example.FromString(record.numpy()).features.feature for record in tf.data.TFRecordDataset(str(path))
    ]


def test_batches_come_in_order_with_their_pixels(cifar10, tmp_path):
    dataset = convert_cifar(cifar10, tmp_path / "out")
    assert dataset["class_names"][:3] == ["airplane", "automobile", "bird"]
    train = features(tmp_path / "out" / "cifar10_train.tfrecord")
    assert [feature["image/class/label"].int64_list.value[0] for feature in train] == list(range(10))
    for number, feature in enumerate(train):
        image = tf.io.decode_png(feature["image/encoded"].bytes_list.value[0]).numpy()
        planes = ((np.arange(3072) + number % 2) % 256).reshape(3, 32, 32)
        np.testing.assert_array_equal(image, planes.transpose(1, 2, 0))


def test_extracted_folder_gives_the_same_records(cifar10, tmp_path):
    convert_cifar(cifar10, tmp_path / "a")
    with tarfile.open(cifar10 / "cifar-10-python.tar.gz") as archive:
        archive.extractall(tmp_path / "extracted", filter="data")
    convert_cifar(tmp_path / "extracted", tmp_path / "b")
    a, b = ((tmp_path / name / "cifar10_train.tfrecord").read_bytes() for name in "ab")
    assert a == b
    batch = tmp_path / "extracted" / "cifar-10-batches-py" / "test_batch"
    batch.write_bytes(batch.read_bytes()[:-1])
    with pytest.raises(UserError, match="already holds data set 'cifar10', made from other images"):
        convert_cifar(tmp_path / "extracted", tmp_path / "b")


def test_a_file_where_the_extracted_folder_should_be(tmp_path):
    (tmp_path / "cifar-10-batches-py").write_text("")
    with pytest.raises(UserError, match=r"cifar-10-batches-py is a file; expected the folder that cifar-10-python.tar"):
        convert_cifar(tmp_path, tmp_path / "out")


@pytest.mark.parametrize(("kind", "classes", "labels"), [("fine", 100, [5, 6]), ("coarse", 20, [5, 6])])
def test_cifar100_has_both_kinds_of_classes(tmp_path, make_cifar, kind, classes, labels):
    archives = make_cifar(tmp_path / "archives", 100)
    dataset = convert_cifar(archives, tmp_path / "out", "cifar100", cifar100_labels=kind)
    assert (dataset["num_classes"], dataset["class_names"][7]) == (classes, f"{kind} 7")
    found = features(tmp_path / "out" / "cifar100_test.tfrecord")
    assert [feature["image/class/label"].int64_list.value[0] for feature in found] == labels
    assert [feature["image/class/coarse_label"].int64_list.value[0] for feature in found] == [5, 6]
    with pytest.raises(UserError, match=r"unknown --cifar100_labels 'rough'"):
        convert_cifar(archives, tmp_path / "out2", "cifar100", cifar100_labels="rough")


def test_archive_without_a_batch(tmp_path, make_tar):
    make_tar(tmp_path / "archives" / "cifar-10-python.tar.gz", {"cifar-10-batches-py/data_batch_1": b""}, "w:gz")
    with pytest.raises(UserError, match=r"cifar-10-python.tar.gz has no data_batch_2; expected data_batch_1, "):
        convert_cifar(tmp_path / "archives", tmp_path / "out")


class RunsACommand:
    def __reduce__(self):
        return exec, ("open('pwned', 'w')",)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({b"data": RunsACommand()}, r"data_batch_1 is not read: it names __builtin__.exec"),
        ({b"data": [1, 2], b"labels": [1]}, r"data_batch_1 is not a batch of CIFAR: expected bytes of 3072"),
        ({b"data": np.zeros((2, 5), np.uint8), b"labels": [1, 1]}, r"expected bytes of 3072"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}, r"expected 2 numbers under 'labels'"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, 10]}, r"numbers of 0 to 9 under 'labels'"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, b"2"]}, r"numbers of 0 to 9 under 'labels'"),
        (
            {b"data": np.zeros((2, 3072), np.float32), b"labels": [1, 1]},
            r"damaged \(an array in it is not one of unsigned",
        ),
        ([1], r"data_batch_1 is not a batch of CIFAR"),
    ],
)
def test_bad_batches_are_told_and_nothing_runs(tmp_path, make_tar, monkeypatch, batch, message):
    monkeypatch.chdir(tmp_path)
    names = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]
    data = {f"cifar-10-batches-py/{name}": pickle.dumps(batch, 2) for name in names}
    make_tar(tmp_path / "archives" / "cifar-10-python.tar.gz", data, "w:gz")
    with pytest.raises(UserError, match=message):
        convert_cifar(tmp_path / "archives", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["archives"]
