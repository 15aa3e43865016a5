"""Images kept in memory or a file: what is kept, when it is made anew, and when it is refused."""

import collections
import itertools
import os

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from datasets import image_cache, input_pipeline, reading, records, skipping

COUNT = 23


def decode(encoded):
    return tf.io.decode_image(encoded, channels=1, expand_animations=False)


def plain(image, seed=None):
    image = tf.cast(decode(image) if image.dtype == tf.string else image, tf.float32)
    return tf.ensure_shape(image, [2, 3, 1])


@pytest.fixture
def numbers(write_numbers, tmp_path):
    return write_numbers(tmp_path / "data")


def build(dataset, place, kind, folder="", **workers):
    return image_cache.build(dataset, reading.share(dataset, **workers), place, kind, decode, folder=str(folder))


@pytest.mark.parametrize("place", ["memory", "disk"])
@pytest.mark.parametrize("kind", ["encoded", "decoded"])
def test_any_image_can_be_had(numbers, tmp_path, place, kind):
    lookup = build(numbers, place, kind, tmp_path / "cache").lookup_fn()
    for k in (0, 22, 7, 8):
        found = lookup(tf.constant(k, tf.int64))
        assert found["encoded"].dtype == (tf.string if kind == "encoded" else tf.uint8)
        np.testing.assert_array_equal(plain(found["encoded"]), np.full([2, 3, 1], k))
        assert (found["label"], found["labels"].numpy().tolist()) == (k % 4, [k % 4])


def test_a_worker_keeps_its_share(numbers):
    cache = build(numbers, "memory", "decoded", num_workers=3, worker_index=1)
    assert (len(cache.ends), int(cache.ends[-1])) == (9, 8 * 6)  # 8 images of 2 x 3 pixels
    np.testing.assert_array_equal(cache.labels.classes, [k % 4 for k in range(7, 15)])


def test_several_classes_are_kept(write_numbers, tmp_path):
    several = write_numbers(tmp_path, labels=lambda k: list(range(k % 3)))
    lookup = build(several, "memory", "encoded").lookup_fn()
    found = [lookup(tf.constant(k, tf.int64)) for k in range(3)]
    assert [example["labels"].numpy().tolist() for example in found] == [[], [0], [0, 1]]
    assert [int(example["label"]) for example in found] == [records.NO_LABEL, 0, 0]


def test_raw_pixels_without_a_format_are_kept_as_images(write_numbers, tmp_path):
    """As in Slim's mnist."""
    raw = {
        key: feature
        for key, feature in records.example(bytes(range(6)), "", 2, 3, 1).features.feature.items()
        if key != records.FORMAT
    }
    record = tf.train.Example(features=tf.train.Features(feature=raw)).SerializeToString()
    dataset = write_numbers(tmp_path, damage=lambda k, good: record)
    dataset = dataset.__class__(**{**vars(dataset), "default_format": "raw"})
    image = build(dataset, "memory", "encoded").lookup_fn()(tf.constant(3, tf.int64))["encoded"]
    np.testing.assert_array_equal(decode(image)[..., 0], [[0, 1, 2], [3, 4, 5]])


def test_what_it_takes_is_told(numbers, tmp_path, logged):
    build(numbers, "memory", "decoded")
    assert logged[0] == "Cache: keeping 23 decoded images in memory, about 138 B"
    assert logged[1].startswith("Cache: done, 138 B in ")


def test_a_file_is_found_by_the_next_run(numbers, tmp_path, logged):
    first = build(numbers, "disk", "decoded", tmp_path / "cache")
    files = sorted(os.listdir(tmp_path / "cache"))
    assert len(files) == 2
    assert files[0].startswith("numbers_train_decoded3_")
    again = build(numbers, "disk", "decoded", tmp_path / "cache")
    assert logged[-1].endswith("by a run before")
    for name in ("ends", "shapes"):
        np.testing.assert_array_equal(getattr(again, name), getattr(first, name))
    np.testing.assert_array_equal(again.data, first.data)
    assert sorted(os.listdir(tmp_path / "cache")) == files


@pytest.mark.parametrize("harm", ["no index", "half an index", "half a file"])
def test_a_file_that_is_not_complete_is_made_anew(numbers, tmp_path, logged, harm):
    first = build(numbers, "disk", "decoded", tmp_path).data.numpy().copy()
    (path,), (index,) = tmp_path.glob("*.cache"), tmp_path.glob("*.npz")
    if harm == "no index":
        index.unlink()
    else:
        victim = path if harm == "half a file" else index
        victim.write_bytes(victim.read_bytes()[:50])
    again = build(numbers, "disk", "decoded", tmp_path)
    assert logged[-1].startswith("Cache: done")
    np.testing.assert_array_equal(again.data, first)


def test_other_data_has_another_file(write_numbers, numbers, tmp_path):
    build(numbers, "disk", "encoded", tmp_path / "cache")
    build(write_numbers(tmp_path / "more", counts=(5, 6)), "disk", "encoded", tmp_path / "cache")
    build(numbers, "disk", "encoded", tmp_path / "cache", num_workers=2, worker_index=0)
    assert len(list((tmp_path / "cache").glob("*.cache"))) == 3


def test_a_conversion_that_fails_leaves_nothing_that_looks_finished(numbers, tmp_path, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(image_cache._FileRow, "append", fail)
    with pytest.raises(KeyboardInterrupt):
        build(numbers, "disk", "encoded", tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


REFUSED = [
    (
        "memory",
        "decoded",
        r"23 decoded images take about 138 B, 100 B of memory are available; .*encoded",
    ),
    ("memory", "encoded", r"23 encoded images take about \d.\d kB, 100 B .*; use --cache=disk$"),
    (
        "disk",
        "decoded",
        r"23 decoded images take about 138 B, .* has 100 B free; name another --cache_dir",
    ),
]


@pytest.mark.parametrize(("place", "kind", "message"), REFUSED)
def test_what_does_not_fit_is_refused_before_it_is_read(numbers, tmp_path, monkeypatch, place, kind, message):
    monkeypatch.setattr(image_cache.memory, "available", lambda: 100)
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(image_cache.shutil, "disk_usage", lambda folder: usage(1000, 900, 100))
    with pytest.raises(UserError, match=f"^--cache={place}: {message}"):
        build(numbers, place, kind, tmp_path / "cache")


def test_what_turns_out_too_large_is_refused_while_it_is_read(numbers, monkeypatch):
    monkeypatch.setattr(image_cache.memory, "available", lambda: 160)
    monkeypatch.setattr(image_cache, "_estimate", lambda *_: 60)
    with pytest.raises(UserError, match=r"larger than estimated, 132 B so far .*; use --cache=disk"):
        build(numbers, "memory", "decoded")


def test_where_the_system_does_not_say_how_much_memory_there_is_nothing_is_refused(numbers, monkeypatch):
    monkeypatch.setattr(image_cache.memory, "available", lambda: None)
    monkeypatch.setattr(image_cache, "_estimate", lambda *_: 1)
    monkeypatch.setattr(image_cache.mmap, "PAGESIZE", 20)  # so that the row must grow
    cache = build(numbers, "memory", "decoded")
    np.testing.assert_array_equal(cache.data, np.repeat(np.arange(COUNT), 6))


def test_a_folder_that_cannot_be_written_is_told(numbers, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--cache=disk: .*file/cache cannot be written: Not a directory"):
        build(numbers, "disk", "encoded", tmp_path / "file" / "cache")


@pytest.mark.parametrize("kind", ["encoded", "decoded"])
def test_an_image_that_could_not_be_read_is_a_corrupt_record_as_without_a_cache(write_numbers, tmp_path, logged, kind):
    """Record 5 has no image, record 9 is no Example; with encoded images, the first is seen when it is decoded."""
    bad = {5: records.encode(b"no image", "png", 2, 3, 0), 9: b"\xff\xff"}
    dataset = write_numbers(tmp_path, damage=lambda k, record: bad.get(k, record))
    cache = build(dataset, "memory", kind)
    missing = {"encoded": 1, "decoded": 2}[kind]
    assert f"warning: Cache: {missing} of 23 images could not be read; see --max_corrupt_records" in logged
    streams = []
    for options in ({"cache": cache}, {}):
        unreadable = skipping.Unreadable(dataset, plain, 2)

        def make(step, tolerant, options=options):
            return input_pipeline.train_batches(
                dataset, plain, batch_size=5, seed=1, start_step=step, tolerant=tolerant, **options
            )

        batches = itertools.islice(skipping.Batches(make, unreadable), 8)
        streams.append(([batch["image"].numpy().tolist() for batch in batches], sorted(unreadable.told)))
    assert streams[0] == streams[1]
    assert [told.partition(": ")[2][:20] for told in streams[0][1]] == ["Unknown image file f", "it is no tf.train.Ex"]
