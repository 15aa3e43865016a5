import os
import pathlib

import pytest
import tensorflow as tf

from common.errors import UserError
from datasets import shards
from datasets.sources import Source


def write(path, *records):
    with tf.io.TFRecordWriter(str(path)) as file:
        for record in records:
            file.write(record)
    return str(path)


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("flowers_train_00003-of-00005.tfrecord", ("flowers", "train", 3, 5)),
        ("my_own-set_validation_00000-of-00001.tfrecord", ("my_own-set", "validation", 0, 1)),
        ("cifar10_test.tfrecord", ("cifar10", "test", 0, 1)),
        ("train-00007-of-01024", ("", "train", 7, 1024)),
        ("val.record-00009-of-00010", ("", "val", 9, 10)),
        ("train-00000-of-00002.tfrecord", ("", "train", 0, 2)),
        ("train.tfrecords", ("", "train", 0, 1)),
        ("labels.txt", None),
        ("model.ckpt-100.data-00000-of-00001", None),
        ("dataset.json", None),
    ],
)
def test_names_of_slim_and_others_are_understood(name, parsed):
    assert shards.parse_name(name) == parsed


def test_own_names_are_slims():
    name = shards.shard_name("flowers", "train", 3, 5)
    assert name == "flowers_train_00003-of-00005.tfrecord"
    assert shards.parse_name(name) == ("flowers", "train", 3, 5)


def test_checksum_is_the_one_of_tensorflow(tmp_path):
    data = pathlib.Path(write(tmp_path / "x", b"abc")).read_bytes()
    assert shards.masked_crc32c(data[:8]) == int.from_bytes(data[8:12], "little")
    assert shards.masked_crc32c(b"abc") == int.from_bytes(data[-4:], "little")


def test_records_are_counted_without_reading_them(tmp_path):
    shard = shards.scan(write(tmp_path / "x", b"a" * 5, b"", b"c" * 70000))
    assert (shard.examples, shard.bytes) == (3, 3 * 16 + 70005)
    assert shards.scan(write(tmp_path / "empty")).examples == 0


def test_fingerprint_tells_content_name_and_order_of_records(tmp_path):
    def fingerprint(name, *records):
        return shards.fingerprint([shards.scan(write(tmp_path / name, *records))])

    first = fingerprint("x", b"one", b"two")
    assert fingerprint("x", b"two", b"one") != first
    assert fingerprint("x", b"one", b"twO") != first
    assert fingerprint("y", b"one", b"two") != first
    assert fingerprint("x", b"one", b"two") == first


def test_truncated_file_is_named(tmp_path):
    path = pathlib.Path(write(tmp_path / "x", b"a" * 40, b"b" * 40))
    whole = path.read_bytes()
    for size in (57, 60, 70, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match=r"x (is truncated: record 1 ends at byte 112|is damaged in record 1)"):
            shards.scan(str(path))


def test_other_files_are_no_tfrecords(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"\xff\xd8\xff not records at all")
    with pytest.raises(UserError, match=r"x is not a TFRecord file"):
        shards.scan(str(path))
    with pytest.raises(UserError, match=r"cannot read .*missing: No such file"):
        shards.scan(os.fspath(tmp_path / "missing"))


def test_missing_and_mixed_shards_are_found():
    shards.check_complete(["a_train_00000-of-00002.tfrecord", "a_train_00001-of-00002.tfrecord"], "DIR")
    with pytest.raises(UserError, match=r"DIR lacks 1 of the 3 shards of split 'train', the first is number 00001"):
        shards.check_complete(["a_train_00000-of-00003.tfrecord", "a_train_00002-of-00003.tfrecord"], "DIR")
    with pytest.raises(UserError, match=r"DIR mixes two conversions of split 'train': files of 1 and of 2 shards"):
        shards.check_complete(["a_train_00000-of-00002.tfrecord", "a_train_00000-of-00001.tfrecord"], "DIR")


@pytest.mark.parametrize(
    ("name_shard", "few", "one"),
    [
        (shards.shard_name, "x_val_00001-of-00003.tfrecord", "x_val_00000-of-00001.tfrecord"),
        (shards.single_name, "x_val_00001-of-00003.tfrecord", "x_val.tfrecord"),
        (shards.imagenet_name, "val-00001-of-00003", "val-00000-of-00001"),
        (shards.record_name, "val.record-00001-of-00003", "val.record-00000-of-00001"),
    ],
)
def test_names_that_slim_gave_are_known_again(name_shard, few, one):
    assert (name_shard("x", "val", 1, 3), name_shard("x", "val", 0, 1)) == (few, one)
    source = Source("x", {}, None, name_shard=name_shard)
    assert source.owns(few)
    assert source.owns(one)
    assert not source.owns("labels.txt")
    assert not Source("y", {}, None, name_shard=shards.shard_name).owns(few)


@pytest.mark.parametrize("deal", [shards.deal_rows, shards.deal_in_turn])
@pytest.mark.parametrize(("count", "num_shards"), [(7, 3), (2, 5), (0, 2), (6, 1)])
def test_every_example_goes_to_one_shard(deal, count, num_shards):
    dealt = [list(shard) for shard in deal(range(count), num_shards)]
    assert sorted(item for shard in dealt for item in shard) == list(range(count))
    assert len(dealt) == num_shards
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1


def test_how_examples_are_dealt_out():
    assert shards.deal_rows("abcdefg", 3) == ["ab", "cd", "efg"]
    assert shards.deal_in_turn("abcdefg", 3) == ["adg", "be", "cf"]
