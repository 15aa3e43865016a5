import collections
import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf

from datasets import dataset_factory, dataset_utils, input_pipeline, records

COUNT, CLASSES = 23, 4


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """23 gray images of 2x3 pixels in 3 files; image k is filled with k, its label is k modulo 4."""
    folder = tmp_path_factory.mktemp("numbers")
    for shard in range(3):
        with tf.io.TFRecordWriter(str(folder / f"numbers_train_{shard:05d}-of-00003.tfrecord")) as file:
            for k in range(shard * COUNT // 3, (shard + 1) * COUNT // 3):
                image = tf.io.encode_png(np.full([2, 3, 1], k, np.uint8)).numpy()
                file.write(records.encode(image, "png", 2, 3, k % CLASSES))
    dataset_utils.write_label_file({k: str(k) for k in range(CLASSES)}, str(folder))
    return dataset_factory.get_dataset(None, "train", str(folder))


def numbers_of(batch):
    return batch["image"][:, 0, 0, 0].astype(int).tolist()


def plain(encoded, seed=None):
    image = tf.cast(tf.io.decode_image(encoded, channels=1, expand_animations=False), tf.float32)
    return tf.ensure_shape(image, [2, 3, 1])


def noisy(encoded, seed):
    """The number in channel 0 and noise from the seed in channel 1."""
    return tf.concat([plain(encoded), tf.random.stateless_uniform([2, 3, 1], seed)], -1)


def train(dataset, steps, preprocess=noisy, **options):
    options = {"batch_size": 5, "seed": 7, **options}
    return list(
        itertools.islice(input_pipeline.train_batches(dataset, preprocess, **options).as_numpy_iterator(), steps)
    )


def assert_same(left, right):
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        for key in ("image", "label"):
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


@pytest.mark.parametrize("start", [0, 1, 3, 4, 5, 9, 14])
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_run_that_starts_again_gets_the_batches_it_would_have_got(dataset, start, shuffle):
    """Also across the ends of epochs, which batches of 5 cross in 23 examples."""
    whole = train(dataset, 16, shuffle=shuffle)
    assert_same(whole[start:], train(dataset, 16 - start, shuffle=shuffle, start_step=start))


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
    monkeypatch.setattr(input_pipeline, "_SHUFFLE_BYTES", 4 * dataset.record_bytes / COUNT)
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
