"""Records that cannot be read or decoded: named, counted, skipped up to a limit, and no other example moves."""

import itertools
import json
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from datasets import dataset_factory, folders, index, input_pipeline, records, shards, skipping

COUNT = 23


def plain(encoded, seed=None):
    image = tf.cast(tf.io.decode_image(encoded, channels=1, expand_animations=False), tf.float32)
    return tf.ensure_shape(image, [2, 3, 1])


def numbers_of(batch):
    return batch["image"].numpy()[:, 0, 0, 0].astype(int).tolist()


@pytest.fixture
def warnings(monkeypatch):
    lines = []
    monkeypatch.setattr(skipping.logging, "warning", lambda text, *values: lines.append(text % values))
    return lines


def no_image(k, bad):
    """The damage that leaves record k without an image that can be decoded, for k in `bad`."""
    return records.encode(b"no image", "png", 2, 3, 0) if k in bad else None


@pytest.fixture
def damaged(write_numbers, tmp_path):
    """damaged(*numbers): the numbers, with records whose image cannot be decoded."""

    def make(*bad, counts=(7, 8, 8)):
        return write_numbers(tmp_path, counts, damage=lambda k, record: no_image(k, bad) or record)

    return make


def break_checksum(dataset, file, record):
    """Turns over a bit in the data of a record of a TFRecord file."""
    path = pathlib.Path(dataset.files[file])
    content = bytearray(path.read_bytes())
    position = 0
    for _ in range(record):
        position += 16 + int.from_bytes(content[position : position + 8], "little")
    content[position + 20] ^= 1
    path.write_bytes(content)


def batches_of(dataset, limit=0, first=0, known=(), batch_size=5, **options):
    """Training batches, and the record keeper."""
    unreadable = skipping.Unreadable(dataset, plain, limit, known)

    def make(step, tolerant):
        return input_pipeline.train_batches(
            dataset, plain, batch_size=batch_size, seed=3, start_step=step, tolerant=tolerant, **options
        )

    return skipping.Batches(make, unreadable, first), unreadable


def test_nothing_is_said_or_changed_where_all_is_well(damaged, warnings):
    dataset = damaged()
    batches, unreadable = batches_of(dataset)
    expected = input_pipeline.train_batches(dataset, plain, batch_size=5, seed=3)
    for batch, other in zip(itertools.islice(batches, 6), expected, strict=False):
        assert set(batch) == {"image", "label"}
        np.testing.assert_array_equal(batch["image"], other["image"])
    assert (unreadable.told, warnings) == ([], [])


def test_a_corrupt_record_is_named_once_and_a_neighbour_takes_its_place(damaged, warnings, tmp_path):
    whole = [numbers_of(batch) for batch in itertools.islice(batches_of(damaged())[0], 20)]
    dataset = damaged(9, 16)
    batches, unreadable = batches_of(dataset, limit=2)
    got = [numbers_of(batch) for batch in itertools.islice(batches, 20)]
    for batch, before in zip(got, whole, strict=True):
        for place in range(len(before)):
            following = [*before[place:], *before]  # the batch from here on, around its end
            assert batch[place] == next(k for k in following if k not in (9, 16)), (before, batch)
    assert {9, 16} <= set(itertools.chain.from_iterable(whole))
    first, second = sorted(unreadable.told)
    assert re.fullmatch(r".*numbers_train_00001-of-00003.tfrecord, record 2: Unknown image file format.*", first)
    assert re.fullmatch(r".*numbers_train_00002-of-00003.tfrecord, record 1: Unknown image file format.*", second)
    assert [line.partition(":")[0] for line in warnings] == [
        "skipped a corrupt record (1 of at most 2)",
        "skipped a corrupt record (2 of at most 2)",
    ]


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_one_more_than_the_limit_ends_it_with_its_name(damaged, warnings, limit):
    batches, _ = batches_of(damaged(0, 7, 15), limit)
    with pytest.raises(UserError) as failure:
        for _ in itertools.islice(batches, 5):  # an epoch
            pass
    message = str(failure.value)
    assert ".." not in message  # TensorFlow's reason ends in a full stop of its own
    assert len(warnings) == limit
    assert re.search(r"numbers_train_0000\d-of-00003.tfrecord, record 0: Unknown image file format", message)
    if limit:
        assert message.startswith(f"{limit + 1} corrupt records, more than --max_corrupt_records={limit}; the last: ")
    else:
        assert message.startswith("corrupt record: ")
        assert message.endswith("Convert or copy the data again, or skip it: --max_corrupt_records=1")


@pytest.mark.parametrize(
    ("batch_size", "options", "count"), [(5, {}, COUNT), (40, {"num_workers": 2, "worker_index": 1}, 12)]
)
def test_where_nothing_can_be_read_training_ends(damaged, warnings, batch_size, options, count):
    batches, unreadable = batches_of(damaged(*range(COUNT)), COUNT, batch_size=batch_size, **options)
    with pytest.raises(
        UserError, match=rf"^none of the {count} records of split 'train' of .*; the last: .*record \d+: "
    ):
        next(batches)
    assert len(unreadable.told) == len(warnings) == count


def test_one_good_record_is_enough(damaged, warnings):
    batches, _ = batches_of(damaged(*range(1, COUNT)), COUNT)
    assert [numbers_of(batch) for batch in itertools.islice(batches, 12)] == [[0] * 5] * 12


@pytest.mark.parametrize("kind", [UserError, ValueError])
def test_an_image_that_the_recipe_refuses_is_named(damaged, warnings, kind):
    """In a graph the recipe fails as an operation; eagerly, where it knows the image's size, by its own error."""

    def recipe(encoded, seed=None):
        image = plain(encoded)
        if tf.executing_eagerly() and image[0, 0, 0] == 9:
            raise kind("the image is too small")
        with tf.control_dependencies([tf.debugging.assert_none_equal(image[0, 0, 0], 9.0)]):
            return tf.identity(image)

    dataset = damaged()
    unreadable = skipping.Unreadable(dataset, recipe, 1)

    def make(step, tolerant):
        return input_pipeline.train_batches(
            dataset, recipe, batch_size=5, seed=3, start_step=step, tolerant=tolerant, num_threads=1
        )

    list(itertools.islice(skipping.Batches(make, unreadable), 5))
    (told,) = unreadable.told
    assert told.endswith("numbers_train_00001-of-00003.tfrecord, record 2: the image is too small")


def test_a_run_that_starts_again_behind_or_before_the_damage_gets_the_same(damaged, warnings):
    dataset = damaged(4, 11, 12, 20)
    whole = list(itertools.islice(batches_of(dataset, 9)[0], 14))
    for start in (1, 4, 7, 11):
        again = list(itertools.islice(batches_of(dataset, 9, first=start)[0], 14 - start))
        for one, other in zip(whole[start:], again, strict=True):
            np.testing.assert_array_equal(one["image"], other["image"])
            np.testing.assert_array_equal(one["label"], other["label"])


def test_what_the_run_told_before_counts_and_is_not_told_again(damaged, warnings):
    dataset = damaged(4, 11)
    batches, unreadable = batches_of(dataset, 2)
    list(itertools.islice(batches, 6))
    assert len(unreadable.told) == len(warnings) == 2
    again, later = batches_of(dataset, 2, first=6, known=unreadable.told)
    list(itertools.islice(again, 6))
    assert later.told == unreadable.told
    assert len(warnings) == 2
    strict, _ = batches_of(dataset, 0, first=6, known=unreadable.told)
    with pytest.raises(UserError, match=r"^corrupt record: .*record"):
        list(itertools.islice(strict, 6))
    full, _ = batches_of(dataset, 2, known=[f"{dataset.files[0]}, record 42: gone"])  # not its record 4
    with pytest.raises(UserError, match=r"^3 corrupt records, more than --max_corrupt_records=2"):
        list(itertools.islice(full, 6))


def test_behind_a_wrong_checksum_the_rest_of_the_file_is_lost(damaged, warnings):
    """Where the next record starts is not certain any more. Records 9 to 14 are those of the second file from 2 on."""
    dataset = damaged()
    whole = [numbers_of(batch) for batch in itertools.islice(batches_of(dataset)[0], 12)]
    break_checksum(dataset, file=1, record=2)
    batches, unreadable = batches_of(dataset, 6)
    got = [numbers_of(batch) for batch in itertools.islice(batches, 12)]
    for batch, before in zip(got, whole, strict=True):
        good = [(k, now) for k, now in zip(before, batch, strict=True) if not 9 <= k <= 14]
        assert all(k == now for k, now in good)
    assert len(unreadable.told) == 6
    assert all("numbers_train_00001-of-00003.tfrecord, record" in told for told in unreadable.told)
    assert all(
        told.endswith("corrupted record at 438; the file cannot be read from there on") for told in unreadable.told
    )
    with pytest.raises(UserError, match="6 corrupt records, more than --max_corrupt_records=5"):
        list(itertools.islice(batches_of(dataset, 5)[0], 12))
    with pytest.raises(UserError, match=r"or skip the 6 records of the file that .*: --max_corrupt_records=6$"):
        list(itertools.islice(batches_of(dataset, 0)[0], 12))


def test_a_file_that_ends_too_early_is_told(damaged, warnings):
    dataset = damaged()
    with tf.io.TFRecordWriter(dataset.files[2]) as file:
        for k in range(15, 22):
            image = tf.io.encode_png(np.full([2, 3, 1], k, np.uint8)).numpy()
            file.write(records.encode(image, "png", 2, 3, 0))
    batches, unreadable = batches_of(dataset, 1)
    list(itertools.islice(batches, 5))
    (told,) = unreadable.told
    assert told.endswith("numbers_train_00002-of-00003.tfrecord, record 7: the file ends before it")


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (b"", "it has no image/encoded"),
        (b"\xff\xff\xff", "it is no tf.train.Example"),
        (tf.train.Example().SerializeToString(), "it has no image/encoded"),
        (records.encode(b"\x89PNG\r\n\x1a\n", "png", 2, 3, 0), "PNG"),
        (records.encode(b"12345", "raw", 2, 3, 0), "reshape"),
    ],
    ids=["nothing", "no Example", "no features", "half a PNG", "too few pixels"],
)
def test_whatever_is_wrong_is_told(write_numbers, tmp_path, warnings, record, why):
    dataset = write_numbers(tmp_path, damage=lambda k, good: record if k == 3 else good)
    batches, unreadable = batches_of(dataset, 1)
    list(itertools.islice(batches, 5))
    (told,) = unreadable.told
    assert re.fullmatch(rf".*numbers_train_00000-of-00003.tfrecord, record 3: .*{why}.*", told)
    assert "\n" not in told


def test_a_batch_without_a_good_example_is_the_next_one_that_has_some(damaged, warnings):
    """One example a batch, in file order."""
    dataset = damaged(2, 3, 22)
    batches, _ = batches_of(dataset, 3, batch_size=1, shuffle=False)
    got = list(itertools.chain.from_iterable(map(numbers_of, itertools.islice(batches, 24))))
    assert got == [0, 1, 4, 4, *range(4, 22), 0, 0]
    again, _ = batches_of(dataset, 3, first=3, batch_size=1, shuffle=False)
    assert list(itertools.chain.from_iterable(map(numbers_of, itertools.islice(again, 3)))) == [4, 4, 5]


def list_photos(folder, parts, photo="photos/{split} {k}.png"):
    """Writes what a converter says of a folder's files: `parts` are the files of each split."""
    made = {
        split: folders.split_entry([shards.scan(str(folder / name)) for name in names])
        for split, names in parts.items()
    }
    for split, entry in made.items():
        lines = [photo.format(split=split, k=k) + "\n" for k in range(entry["examples"])]
        (folder / f"{split}_files.txt").write_text("".join(lines))
    said = {"name": "numbers", "num_classes": 4, "class_names": list("abcd"), "channels": 1, "made_from": {}}
    folds = sum(split.startswith("fold") for split in parts)
    said |= {"version": folders.VERSION, "splits": made, "num_folds": folds}
    (folder / folders.DATASET_JSON).write_text(json.dumps(said))


SHARDS = [f"numbers_train_{k:05d}-of-00003.tfrecord" for k in range(3)]


def test_the_image_that_a_record_was_made_from_is_named(damaged, warnings, tmp_path):
    dataset = damaged(8)
    list_photos(tmp_path, {"train": SHARDS})
    with pytest.raises(UserError, match=r"record 1 \(photos/train 8.png\): Unknown image file format"):
        list(itertools.islice(batches_of(dataset)[0], 5))


def test_in_folds_the_image_is_that_of_the_fold(damaged, tmp_path):
    damaged()
    list_photos(tmp_path, {f"fold{k}": [name] for k, name in enumerate(SHARDS)})
    dataset = dataset_factory.get_dataset(None, "train", str(tmp_path), fold=1)
    named = [skipping.name(dataset, number).partition(", ")[2] for number in (0, 6, 7, 14)]
    assert named == [
        "record 0 (photos/fold0 0.png)",
        "record 6 (photos/fold0 6.png)",
        "record 0 (photos/fold2 0.png)",
        "record 7 (photos/fold2 7.png)",
    ]


def test_by_a_pattern_the_image_is_the_right_one_or_none(write_numbers, tmp_path):
    """Each folder's list is of its own files under their own names; a wrong name would have a good image deleted."""
    for day in ("day-1", "day-2"):
        write_numbers(tmp_path / day)
        list_photos(tmp_path / day, {"train": SHARDS}, photo=day + "/{k}.png")
    (tmp_path / "labels.txt").write_text("0:a\n")
    dataset = dataset_factory.get_dataset(None, "train", str(tmp_path), "day-*/numbers_%s_*")
    named = [skipping.name(dataset, number).rpartition("record ")[2] for number in (0, 22, 23, 31)]
    assert named == ["0 (day-1/0.png)", "7 (day-1/22.png)", "0 (day-2/0.png)", "1 (day-2/8.png)"]

    folder = tmp_path / "day-2"
    (folder / SHARDS[1]).rename(folder / "numbers_train_other")
    (folder / SHARDS[0]).rename(folder / SHARDS[1])
    assert index.key_of(str(folder / SHARDS[2]), 7) == "day-2/22.png"
    for name in ("numbers_train_other", SHARDS[0], SHARDS[1]):  # not listed, gone, another one's
        assert index.key_of(str(folder / name), 0) is None
    (folder / folders.DATASET_JSON).write_text("{")
    assert index.key_of(str(folder / SHARDS[2]), 0) is None


def test_a_file_that_is_gone_is_no_corrupt_record(damaged, tmp_path):
    dataset = damaged()
    (tmp_path / "numbers_train_00001-of-00003.tfrecord").unlink()
    with pytest.raises(UserError, match=r"^cannot read .*numbers_train_00001-of-00003.tfrecord"):
        list(itertools.islice(batches_of(dataset, 9)[0], 5))


def test_a_file_that_goes_while_records_are_skipped_ends_too(damaged, tmp_path, warnings):
    dataset = damaged(0)
    batches, _ = batches_of(dataset, 8, batch_size=1, shuffle=False)
    next(batches)
    (tmp_path / "numbers_train_00002-of-00003.tfrecord").unlink()
    with pytest.raises(UserError, match=r"^9 corrupt records.*00002-of-00003.tfrecord, record 7: .*No such file"):
        list(itertools.islice(batches, 60))


@pytest.mark.parametrize("batch_size", [1, 4, 30])
def test_evaluation_leaves_corrupt_records_out_and_says_so(damaged, warnings, batch_size):
    dataset = damaged(0, 10, 22)
    unreadable = skipping.Unreadable(dataset, plain, 3)

    def make(step, tolerant):
        return input_pipeline.eval_batches(dataset, plain, batch_size=batch_size, start_step=step, tolerant=tolerant)

    found = list(skipping.Batches(make, unreadable))
    assert len(found) == -(-COUNT // batch_size)
    mask, index = (np.concatenate([batch[key] for batch in found]) for key in ("mask", "index"))
    assert index[mask].tolist() == [k for k in range(COUNT) if k not in (0, 10, 22)]
    images = np.concatenate([numbers_of(batch) for batch in found])
    assert images[mask].tolist() == index[mask].tolist()
    assert len(unreadable.told) == 3
