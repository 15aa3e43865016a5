"""What joins data sets and preprocessing: the same images whichever way they come."""

import io
import itertools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from datasets import dataset_factory, image_cache, input_pipeline, reading, records
from preprocessing import recipes
from training import inputs

SIDE = 24


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Six smooth JPEG photos of different sizes, and one in PNG, in two files."""
    folder = tmp_path_factory.mktemp("photos")
    for shard in range(2):
        with tf.io.TFRecordWriter(str(folder / f"photos_train_{shard:05d}-of-00002.tfrecord")) as file:
            for k in range(shard, 7, 2):
                height, width = 40 + 6 * k, 70 - 5 * k
                y, x = np.mgrid[0:height, 0:width]
                image = Image.fromarray((np.stack([x * 3 + k * 9, y * 4, x + y + 30 * k], -1) % 256).astype(np.uint8))
                buffer = io.BytesIO()
                image.save(buffer, "PNG" if k == 5 else "JPEG")
                file.write(records.encode(buffer.getvalue(), "png" if k == 5 else "jpg", height, width, k % 2))
    (folder / "labels.txt").write_text("0:a\n1:b\n")
    return dataset_factory.get_dataset(None, "train", str(folder))


def batches(dataset, preprocess, **options):
    made = input_pipeline.train_batches(dataset, preprocess, batch_size=4, seed=5, **options)
    return list(itertools.islice(made.as_numpy_iterator(), 4))


@pytest.mark.parametrize(("recipe", "channels"), [*((name, 3) for name in recipes.names()), ("lenet", 1)])
def test_training_images_are_the_same_bit_for_bit_from_files_caches_and_past_corrupt_records(photos, recipe, channels):
    preprocess = inputs.preprocess_fn(recipe, SIDE, channels, is_training=True)
    share, decode = reading.share(photos), inputs.decode_fn(channels)
    expected = batches(photos, preprocess)
    ways = {
        "tolerant": {"tolerant": True},
        "encoded cache": {"cache": image_cache.build(photos, share, "memory", "encoded", decode)},
        "decoded cache": {"cache": image_cache.build(photos, share, "memory", "decoded", decode)},
    }
    for way, options in ways.items():
        for one, other in zip(batches(photos, preprocess, **options), expected, strict=True):
            assert one["image"].shape == (4, SIDE, SIDE, channels)
            np.testing.assert_array_equal(one["image"], other["image"], err_msg=way)
            np.testing.assert_array_equal(one["label"], other["label"], err_msg=way)


@pytest.mark.parametrize("recipe", ["inception", "vgg"])
def test_evaluation_images_are_the_same_past_corrupt_records(photos, recipe):
    preprocess = inputs.preprocess_fn(recipe, SIDE, 3, is_training=False)
    strict, tolerant = (
        next(iter(input_pipeline.eval_batches(photos, preprocess, batch_size=7, tolerant=tolerant)))
        for tolerant in (False, True)
    )
    np.testing.assert_array_equal(strict["image"], tolerant["image"])
