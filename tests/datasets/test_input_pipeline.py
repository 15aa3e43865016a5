import collections
import dataclasses
import itertools
import os

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from datasets import class_balance, image_cache, input_pipeline, reading

COUNT, CLASSES = 23, 4


@pytest.fixture(scope="module")
def dataset(write_numbers, tmp_path_factory):
    """23 gray images of 2x3 pixels in 3 files; image k is filled with k, its label is k modulo 4."""
    return write_numbers(tmp_path_factory.mktemp("numbers"))


def numbers_of(batch):
    return batch["image"][:, 0, 0, 0].astype(int).tolist()


def decoded(encoded):
    return tf.io.decode_image(encoded, channels=1, expand_animations=False)


def plain(image, seed=None):
    image = tf.cast(decoded(image) if image.dtype == tf.string else image, tf.float32)
    return tf.ensure_shape(image, [2, 3, 1])


def noisy(image, seed):
    """The number in channel 0 and noise from the seed in channel 1."""
    return tf.concat([plain(image), tf.random.stateless_uniform([2, 3, 1], seed)], -1)


def train(dataset, steps, preprocess=noisy, **options):
    options = {"batch_size": 5, "seed": 7, **options}
    return list(
        itertools.islice(input_pipeline.train_batches(dataset, preprocess, **options).as_numpy_iterator(), steps)
    )


def assert_same(left, right):
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert set(one) == set(other)
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


def test_shapes_are_static_and_labels_go_with_images(dataset):
    spec = input_pipeline.train_batches(dataset, noisy, batch_size=5, seed=0).element_spec
    assert spec == {"image": tf.TensorSpec([5, 2, 3, 2], tf.float32), "label": tf.TensorSpec([5], tf.int32)}
    for batch in train(dataset, 10):
        assert [number % CLASSES for number in numbers_of(batch)] == batch["label"].tolist()


def test_every_example_comes_once_an_epoch_in_ever_new_order(dataset):
    stream = list(itertools.chain.from_iterable(numbers_of(batch) for batch in train(dataset, COUNT * 3 // 5 + 1)))
    epochs = [stream[k * COUNT : (k + 1) * COUNT] for k in range(3)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(COUNT))] * 3
    assert len({tuple(epoch) for epoch in [*epochs, range(COUNT)]}) == 4


def options_of(name, dataset, folder):
    """The arguments of a way to make batches, by its name."""
    workers = {"num_workers": 3, "worker_index": 1} if "worker" in name else {}
    share = reading.share(dataset, **workers)
    options = {"shuffle": "file order" not in name, "tolerant": "tolerant" in name, **workers}
    if "cache" in name:
        place, kind = ("disk" if "disk" in name else "memory"), ("decoded" if "decoded" in name else "encoded")
        options["cache"] = image_cache.build(dataset, share, place, kind, decoded, folder=str(folder))
    if "balance" in name:
        labels = class_balance.read_labels(dataset, share)
        options["balance"] = class_balance.plan(labels, 0.7, dataset, share)
    return options


WAYS = [
    "shuffled",
    "file order",
    "tolerant",
    "worker",
    "encoded memory cache",
    "decoded disk cache",
    "file order, cache",
    "balance",
    "balance, tolerant, worker, decoded cache",
]


@pytest.mark.parametrize("way", WAYS)
def test_a_run_that_starts_again_gets_the_batches_it_would_have_got(dataset, tmp_path, way):
    """Also across the ends of epochs, which batches of 5 cross in 23 examples."""
    options = options_of(way, dataset, tmp_path)
    whole = train(dataset, 16, **options)
    for start in (4, 14):
        assert_same(whole[start:], train(dataset, 16 - start, start_step=start, **options))


def test_the_order_does_not_depend_on_the_number_of_readers(write_numbers, tmp_path):
    """20 files with examples are more than are read in turn."""
    many = write_numbers(tmp_path, counts=[9, 0, 1, *[1 + k % 6 for k in range(18)]])
    expected = train(many, 12, num_readers=1)
    for readers in (2, 5, 40):
        assert_same(train(many, 12, num_readers=readers), expected)


@pytest.mark.parametrize("way", ["shuffled", "worker", "balance"])
def test_a_small_split_is_read_once(write_numbers, tmp_path, monkeypatch, way):
    """Its files may be gone after the first epoch; the batches are those of files that are read again every time."""
    files = write_numbers(tmp_path)
    options = options_of(way, files, tmp_path)
    batches = input_pipeline.train_batches(files, noisy, batch_size=5, seed=7, **options).as_numpy_iterator()
    remembered = [next(batches)]  # drawn from all examples, so all have been read
    with monkeypatch.context() as patch:
        patch.setattr(reading, "_FILES_KEPT", 0)
        expected = train(files, 16, **options)
    for path in files.files:
        os.remove(path)
    assert_same([*remembered, *itertools.islice(batches, 15)], expected)


@pytest.mark.parametrize(
    ("way", "buffer"),
    [("encoded memory cache", 23), ("decoded memory cache", 4), ("encoded disk cache", 4), ("decoded disk cache", 23)],
)
def test_a_cache_changes_neither_order_nor_pixels(dataset, tmp_path, monkeypatch, way, buffer):
    monkeypatch.setattr(reading, "SHUFFLE_BYTES", buffer * dataset.record_bytes / COUNT)
    options = options_of(way, dataset, tmp_path)
    assert_same(train(dataset, 12, **options), train(dataset, 12))


def test_tolerant_batches_are_those_of_strict_ones(dataset):
    tolerant = train(dataset, 10, tolerant=True)
    assert all(batch.pop("ok").all() for batch in tolerant)
    for batch in tolerant:
        assert batch.pop("number").tolist() == numbers_of(batch)
    assert_same(tolerant, train(dataset, 10))


@pytest.mark.parametrize("workers", [1, 3, 5])
def test_workers_share_the_split_and_get_as_many_batches(dataset, workers):
    seen, batches = [], set()
    for k in range(workers):
        of_worker = {"num_workers": workers, "worker_index": k}
        count = reading.share(dataset, **of_worker).count
        epoch = itertools.chain.from_iterable(map(numbers_of, train(dataset, count, batch_size=1, **of_worker)))
        seen += sorted(epoch)
        found = list(input_pipeline.eval_batches(dataset, plain, batch_size=4, **of_worker).as_numpy_iterator())
        batches.add(len(found))
        real = np.concatenate([batch["mask"] for batch in found])
        index = np.concatenate([batch["index"] for batch in found])
        assert index[real].tolist() == seen[-count:]
        assert abs(count - COUNT / workers) < 1
    assert seen == list(range(COUNT))
    assert len(batches) == 1


def test_workers_augment_differently(dataset):
    noise = [
        train(dataset, 1, batch_size=4, num_workers=2, worker_index=k)[0]["image"][:, 0, 0, 1].tolist() for k in (0, 1)
    ]
    assert not set(noise[0]) & set(noise[1])


def test_there_must_be_an_example_for_each_worker(dataset):
    with pytest.raises(UserError, match=r"has 23 examples for 24 workers"):
        train(dataset, 1, num_workers=24)
    with pytest.raises(ValueError, match=r"worker_index must be 0 to 1"):
        train(dataset, 1, num_workers=2, worker_index=2)


def test_examples_as_they_arrive_are_the_same_examples(dataset):
    stream = itertools.chain.from_iterable(map(numbers_of, train(dataset, COUNT, batch_size=1, deterministic=False)))
    assert sorted(stream) == list(range(COUNT))


@pytest.mark.parametrize("way", ["shuffled", "decoded memory cache"])
def test_several_classes_are_rows_of_zeros_and_ones(write_numbers, tmp_path, way):
    """Image k has class 0 if k is even, class 2 if it is a multiple of three; those beyond the offset drop out."""
    several = write_numbers(tmp_path, labels=lambda k: [0] * (k % 2 == 0) + [2] * (k % 3 == 0) + [9] * (k == 5))
    options = options_of(way, several, tmp_path)
    for offset in (0, 1):
        batches = train(several, 5, plain, labels_offset=offset, **options)
        assert batches[0]["labels"].shape == (5, 4 - offset)
        assert batches[0]["labels"].dtype == np.float32
        for batch in batches:
            assert set(batch) == {"image", "labels"}
            expected = [[k % 2 == 0, 0, k % 3 == 0, 0][offset:] for k in numbers_of(batch)]
            np.testing.assert_array_equal(batch["labels"], expected)
    (batch,) = input_pipeline.eval_batches(several, plain, batch_size=30).as_numpy_iterator()
    np.testing.assert_array_equal(batch["labels"][~batch["mask"]], np.zeros([7, 4]))
    assert batch["labels"][:COUNT, 2].sum() == 8


def test_starting_late_takes_no_longer(dataset):
    (late,) = train(dataset, 1, start_step=10**9)
    assert late["image"].shape == (5, 2, 3, 2)


def test_batches_do_not_depend_on_threads_chance_or_the_global_seed(dataset):
    expected = train(dataset, 12)
    assert_same(train(dataset, 12, num_threads=1), expected)
    tf.random.set_seed(99)
    assert_same(train(dataset, 12, num_threads=3), expected)
    after = tf.random.uniform([3]).numpy()
    tf.random.set_seed(99)
    np.testing.assert_array_equal(tf.random.uniform([3]), after)  # nor touch it


def test_seed_changes_order_and_augmentation(dataset):
    first, second = train(dataset, 5), train(dataset, 5, seed=8)
    assert [numbers_of(batch) for batch in first] != [numbers_of(batch) for batch in second]
    in_order, other = train(dataset, 5, shuffle=False), train(dataset, 5, seed=8, shuffle=False)
    for one, two in zip(in_order, other, strict=True):
        np.testing.assert_array_equal(one["image"][..., 0], two["image"][..., 0])
        assert (one["image"][..., 1] != two["image"][..., 1]).all()


def test_an_image_is_augmented_anew_in_every_epoch(dataset):
    noise = collections.defaultdict(set)
    for batch in train(dataset, COUNT):
        for number, image in zip(numbers_of(batch), batch["image"], strict=True):
            noise[number].add(float(image[0, 0, 1]))
    assert {len(values) for values in noise.values()} == {5}


def test_shuffling_with_a_buffer_smaller_than_the_split(dataset, monkeypatch):
    monkeypatch.setattr(reading, "SHUFFLE_BYTES", 4 * dataset.record_bytes / COUNT)
    whole = train(dataset, 14)
    assert sorted(itertools.chain.from_iterable(map(numbers_of, whole)))[: 3 * 3] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert_same(whole[6:], train(dataset, 8, start_step=6))


def test_unshuffled_training_goes_in_file_order(dataset):
    stream = itertools.chain.from_iterable(numbers_of(batch) for batch in train(dataset, 8, shuffle=False))
    assert list(stream) == [*range(COUNT), *range(40 - COUNT)]


@pytest.mark.parametrize("batch_size", [1, 5, 23, 40])
def test_evaluation_sees_every_example_once_in_order(dataset, batch_size):
    batches = input_pipeline.eval_batches(dataset, plain, batch_size=batch_size)
    assert batches.element_spec["image"].shape == (batch_size, 2, 3, 1)
    found = list(batches.as_numpy_iterator())
    assert len(found) == -(-COUNT // batch_size)
    mask = np.concatenate([batch["mask"] for batch in found])
    assert mask.tolist() == [True] * COUNT + [False] * (len(mask) - COUNT)
    for key, expected in {"index": range(COUNT), "label": [k % CLASSES for k in range(COUNT)]}.items():
        values = np.concatenate([batch[key] for batch in found])
        assert values[mask].tolist() == list(expected)
        assert set(values[~mask]) <= {-1}
    assert list(itertools.chain.from_iterable(map(numbers_of, found)))[:COUNT] == list(range(COUNT))


def test_label_out_of_range_is_minus_one(dataset):
    """With an offset of 1 the background, label 0, is no class; Slim gave it an all-zero one-hot row."""
    batches = input_pipeline.eval_batches(dataset, plain, batch_size=23, labels_offset=1)
    (batch,) = batches.as_numpy_iterator()
    assert batch["label"].tolist() == [k % CLASSES - 1 for k in range(COUNT)]
    assert batch["mask"].all()
    for trained in train(dataset, 4, plain, labels_offset=1):
        assert trained["label"].tolist() == [number % CLASSES - 1 for number in numbers_of(trained)]


def test_label_above_the_classes_is_minus_one(dataset):
    fewer = dataclasses.replace(dataset, num_classes=3)
    labels = np.concatenate([batch["label"] for batch in train(fewer, 9, plain)])
    assert set(labels.tolist()) == {-1, 0, 1, 2}


def test_preprocessing_must_say_its_shape(dataset):
    def unknown(encoded, seed):
        return tf.cast(tf.io.decode_image(encoded), tf.float32)

    with pytest.raises(ValueError, match="preprocess must return images of one known shape"):
        input_pipeline.eval_batches(dataset, unknown, batch_size=5)
    with pytest.raises(ValueError, match="preprocess must return images of one known shape"):
        input_pipeline.train_batches(dataset, unknown, batch_size=5, seed=0)
