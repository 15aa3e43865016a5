"""What each converter writes is what the original's readers parse: files, features, dtypes, values."""

import functools
import io
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from datasets import dataset_factory, records
from datasets.convert import convert

FIVE = {"image/encoded", "image/format", "image/class/label", "image/height", "image/width"}
BOX = {f"image/object/bbox/{side}" for side in ("xmin", "xmax", "ymin", "ymax")}
IMAGENET = {"image/colorspace", "image/channels", "image/class/synset", "image/class/text", "image/filename"}
IMAGENET |= {*BOX, "image/object/bbox/label"}
COCO = {"image/filename", "image/source_id", "image/key/sha256", "image/object/area", *BOX}


def scalar(dtype, default):
    return tf.io.FixedLenFeature([], dtype, default)


def image(default):
    return {"image/encoded": scalar(tf.string, ""), "image/format": scalar(tf.string, default)}


BOX_SPEC = {key: tf.io.VarLenFeature(tf.float32) for key in BOX}
# The specifications with which the original's readers parse (reference: datasets, 1.3).
READERS = {
    "cifar10": image("png") | {"image/class/label": scalar(tf.int64, 0)},
    "flowers": image("png") | {"image/class/label": scalar(tf.int64, 0)},
    "mnist": image("raw") | {"image/class/label": tf.io.FixedLenFeature([1], tf.int64, [0])},
    "imagenet": image("jpeg")
    | {"image/class/label": scalar(tf.int64, -1), "image/class/text": scalar(tf.string, "")}
    | {**BOX_SPEC, "image/object/class/label": tf.io.VarLenFeature(tf.int64)},
    "visualwakewords": image("jpeg") | {"image/class/label": scalar(tf.int64, -1), **BOX_SPEC},
}
READERS |= {"cifar100": READERS["cifar10"], "fashion_mnist": READERS["mnist"], "image_folder": READERS["flowers"]}
READERS |= {"manifest": READERS["flowers"], "shapes": READERS["flowers"]}

# Data set: features, image formats, and for each split its files, each with the labels of its records.
WRITTEN = {
    "mnist": (
        FIVE,
        {b"png"},
        {
            "train": {"mnist_train.tfrecord": [k % 10 for k in range(25)]},
            "test": {"mnist_test.tfrecord": list(range(6))},
        },
    ),
    "fashion_mnist": (
        FIVE,
        {b"png"},
        {
            "train": {"fashion_mnist_train.tfrecord": [k % 10 for k in range(25)]},
            "test": {"fashion_mnist_test.tfrecord": list(range(6))},
        },
    ),
    "cifar10": (
        FIVE,
        {b"png"},
        {"train": {"cifar10_train.tfrecord": list(range(10))}, "test": {"cifar10_test.tfrecord": [0, 1]}},
    ),
    "cifar100": (
        FIVE | {"image/class/coarse_label"},
        {b"png"},
        {"train": {"cifar100_train.tfrecord": [0, 1]}, "test": {"cifar100_test.tfrecord": [5, 6]}},
    ),
    "imagenet": (FIVE | IMAGENET, {b"JPEG"}, None),
    "visualwakewords": (
        FIVE | COCO,
        {b"jpeg"},
        {
            "train": {f"train.record-{k:05d}-of-00100": [0, 0, 1, 1, 1][k : k + 1] for k in range(100)},
            "val": {f"val.record-{k:05d}-of-00010": [0, 0, 1][k : k + 1] for k in range(10)},
        },
    ),
    "flowers": (FIVE, {b"jpg"}, None),
    "image_folder": (FIVE, {b"jpg"}, None),
    "manifest": (FIVE, {b"jpg"}, None),
    "shapes": (FIVE, {b"jpg"}, None),
}


@pytest.fixture(scope="module")
def converted(tmp_path_factory, encoded, make_mnist, make_cifar, make_imagenet, make_coco):
    """converted(name): the folder of a small data set."""
    root = tmp_path_factory.mktemp("tiny")
    for k in range(12):
        path = root / "photos" / ("cat", "dog", "emu")[k % 3] / f"{k}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(k))
    lines = [f"{path.relative_to(root)},{path.parent.name}\n" for path in sorted(root.glob("photos/*/*"))]
    (root / "list.csv").write_text("path,label\n" + "".join(lines))
    archives = {
        "mnist": make_mnist,
        "fashion_mnist": make_mnist,
        "cifar10": make_cifar,
        "cifar100": lambda folder: make_cifar(folder, 100),
        "imagenet": make_imagenet,
        "visualwakewords": make_coco,
    }
    options = {
        "flowers": {"source_dir": str(root / "photos")},
        "image_folder": {"image_dir": str(root / "photos")},
        "manifest": {"manifest": str(root / "list.csv")},
        "shapes": {"num_images": 20, "image_size": 32},
        "imagenet": {"num_shards": 2},
    }

    @functools.cache
    def convert_one(name):
        given = dict(options.get(name, {}))
        if name in archives:
            given |= {"archive_dir": str(archives[name](root / f"{name} archives")), "check_archives": False}
        convert(name, str(root / name), **given)
        return root / name

    return convert_one


def read(path):
    return [record.numpy() for record in tf.data.TFRecordDataset(str(path))]


@pytest.mark.parametrize("name", READERS)
def test_records_have_slims_features_and_slims_readers_read_them(converted, name):
    folder = converted(name)
    features, formats, _ = WRITTEN[name]
    spec = READERS[name]
    shards = [path for path in sorted(folder.iterdir()) if path.suffix not in (".json", ".txt") and path.is_file()]
    found = [record for path in shards for record in read(path)]
    assert len(found) > 3
    for serialized in found:
        feature = tf.train.Example.FromString(serialized).features.feature
        assert set(feature) == features
        kinds = {key: value.WhichOneof("kind") for key, value in feature.items()}
        assert {key for key, kind in kinds.items() if kind == "float_list"} == features & {*BOX, "image/object/area"}
        parsed = tf.io.parse_single_example(serialized, spec)
        assert parsed["image/format"].numpy() in formats
        encoded = parsed["image/encoded"].numpy()
        size = [feature[key].int64_list.value[0] for key in ("image/height", "image/width")]
        channels = 1 if "mnist" in name else 3
        assert tf.io.decode_image(encoded, channels=channels).shape == [*size, channels]
        assert np.ravel(parsed["image/class/label"]).tolist() == feature["image/class/label"].int64_list.value[:]


@pytest.mark.parametrize("name", [name for name, (_, _, files) in WRITTEN.items() if files])
def test_files_have_slims_names_and_order(converted, name):
    folder = converted(name)
    for split, files in WRITTEN[name][2].items():
        found = {path.name: read(path) for path in folder.glob(f"*{split}*") if path.suffix != ".txt"}
        labels = {file: [int(records.parse(record)["label"]) for record in found[file]] for file in found}
        assert labels == files


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("with_description", [True, False])
def test_data_sets_are_read_by_name(converted, tmp_path, name, with_description):
    folder = converted(name)
    if not with_description:  # as Slim's own folders, without dataset.json
        folder = shutil.copytree(folder, tmp_path / name, ignore=shutil.ignore_patterns("dataset.json"))
    given = {"image_folder": None, "manifest": None, "shapes": None}.get(name, name)
    split = {"visualwakewords": "val", "cifar10": "test", "cifar100": "test"}.get(name, "train")
    dataset = dataset_factory.get_dataset(given, split, str(folder))
    image, label = dataset.decoder.decode(next(iter(dataset.reader(list(dataset.files)))), ["image", "label"])
    assert image.shape[-1] == dataset.channels == (1 if "mnist" in name else 3)
    assert 0 <= label < len(dataset.labels_to_names) <= dataset.num_classes
    assert dataset.num_samples > 0


def test_pixels_survive(converted):
    folder = converted("cifar10")
    pixels = (np.arange(3072) % 256).astype(np.uint8)
    record = tf.train.Example.FromString(read(folder / "cifar10_test.tfrecord")[0])
    found = np.asarray(Image.open(io.BytesIO(record.features.feature["image/encoded"].bytes_list.value[0])))
    # Red, green and blue planes of 32 rows each.
    np.testing.assert_array_equal(found.transpose(2, 0, 1).ravel(), pixels)
