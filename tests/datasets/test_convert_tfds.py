"""Data sets that TensorFlow Datasets has prepared; a stand-in for the library where it is not installed."""

import enum
import json
import os
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from common.errors import FlagError, UserError
from datasets import records, tfds
from datasets.convert import convert


class Image:
    def __init__(self, shape=(None, None, 3), dtype=np.uint8):
        self.shape, self.np_dtype = shape, np.dtype(dtype)


class ClassLabel:
    def __init__(self, names):
        self.names = names


class Sequence:
    def __init__(self, feature):
        self.feature = feature


class FeaturesDict(dict):
    """Reads `tf.train.Example`s; an image is decoded (here: refused) unless that is skipped."""

    def deserialize_example_np(self, serialized, decoders=None):
        features = tf.train.Example.FromString(serialized).features.feature
        values = {}
        for name, feature in self.items():
            if isinstance(feature, Image):
                assert name in (decoders or {}), "the image would be decoded"
                values[name] = features[name].bytes_list.value[0]
            elif isinstance(feature, Sequence):
                values[name] = np.array(features[name].int64_list.value, np.int64)
            else:
                values[name] = features[name].int64_list.value[0]
        return values


class FileFormat(enum.Enum):
    TFRECORD = "tfrecord"
    RIEGELI = "riegeli"


def library(features, supervised_keys=None, file_format=FileFormat.TFRECORD):
    def builder_from_directory(folder):
        splits = {}
        for path in sorted(os.listdir(folder)):
            if ".tfrecord" in path:
                name = path.split("-")[1].removesuffix(".tfrecord")
                splits[name] = types.SimpleNamespace(num_examples=0, num_bytes=0, filepaths=[f"{folder}/{path}"])
        info = types.SimpleNamespace(
            features=FeaturesDict(features),
            supervised_keys=supervised_keys,
            splits=splits,
            file_format=file_format,
            full_name="/".join(folder.split("/")[-2:]),
        )
        return types.SimpleNamespace(info=info)

    module = types.ModuleType("tensorflow_datasets")
    module.builder_from_directory = builder_from_directory
    module.features = types.SimpleNamespace(Image=Image, ClassLabel=ClassLabel, FeaturesDict=FeaturesDict)
    module.decode = types.SimpleNamespace(SkipDecoding=object)
    return module


PETS = {"id": object(), "image": Image(), "label": ClassLabel(["cat", "dog", "emu"])}


@pytest.fixture
def prepare(tmp_path, encoded, monkeypatch):
    """prepare({split: [labels of an image, ...]}, features, ...): data_dir, with `pets` of version 1.0.0 in it."""

    def run(splits, features=None, folder="pets/1.0.0", **options):
        features = PETS if features is None else features
        label = next(name for name, feature in features.items() if isinstance(feature, (ClassLabel, Sequence)))
        place = tmp_path / "data_dir" / folder
        place.mkdir(parents=True)
        (place / "dataset_info.json").write_text("{}")
        for split, examples in splits.items():
            with tf.io.TFRecordWriter(str(place / f"pets-{split}.tfrecord-00000-of-00001")) as file:
                for number, labels in enumerate(examples):
                    feature = {"image": records.bytes_feature(encoded(number)), label: records.int64_feature(labels)}
                    file.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
        monkeypatch.setitem(sys.modules, "tensorflow_datasets", library(features, **options))
        return str(tmp_path / "data_dir")

    return run


def convert_pets(data_dir, out, name="tfds:pets", **options):
    return convert(name, str(out), data_dir=data_dir, **options)


def stored(out, split):
    found = []
    for path in sorted(out.glob(f"*_{split}_*")):
        for record in tf.data.TFRecordDataset(str(path)):
            feature = tf.train.Example.FromString(record.numpy()).features.feature
            found.append(
                (feature["image/class/label"].int64_list.value[0], feature["image/encoded"].bytes_list.value[0])
            )
    return sorted(found)


def test_images_keep_their_bytes_splits_and_labels(prepare, tmp_path, encoded):
    data_dir = prepare({"train": [k % 3 for k in range(20)], "test": [2, 1]}, supervised_keys=("image", "label"))
    dataset = convert_pets(data_dir, tmp_path / "out", validation_count=3)
    assert (dataset["name"], dataset["class_names"], dataset["channels"]) == ("pets", ["cat", "dog", "emu"], 3)
    counts = {split: entry["examples"] for split, entry in dataset["splits"].items()}
    assert counts == {"train": 17, "validation": 3, "test": 2}
    assert stored(tmp_path / "out", "test") == [(1, encoded(1)), (2, encoded(0))]


def test_again_does_nothing_and_anew_gives_the_same_bytes(prepare, tmp_path):
    data_dir = prepare({"train": [0, 1, 2] * 5})
    first = convert_pets(data_dir, tmp_path / "a")
    assert convert_pets(data_dir, tmp_path / "a") == first
    assert convert_pets(data_dir, tmp_path / "b", num_threads=1)["fingerprint"] == first["fingerprint"]


def test_a_validation_split_of_its_own_is_kept(prepare, tmp_path):
    data_dir = prepare({"train": [0, 1] * 5, "validation": [0, 1], "test_small": [2]})
    dataset = convert_pets(data_dir, tmp_path / "out")
    counts = {split: entry["examples_per_class"] for split, entry in dataset["splits"].items()}
    assert counts == {"train": [5, 5, 0], "validation": [1, 1, 0], "testsmall": [0, 0, 1]}


def test_the_only_split_is_dealt_out(prepare, tmp_path):
    dataset = convert_pets(prepare({"everything": [0, 1, 2] * 4}), tmp_path / "out", validation_count=3)
    assert {split: entry["examples"] for split, entry in dataset["splits"].items()} == {"train": 9, "validation": 3}


def test_several_labels_and_gray_images(prepare, tmp_path):
    features = {"image": Image((28, 28, 1)), "labels": Sequence(ClassLabel(["a", "b"]))}
    data_dir = prepare({"train": [[1, 0], [], [0], [1, 1]]}, features)
    dataset = convert_pets(data_dir, tmp_path / "out", validation_count=0)
    assert (dataset["multi_label"], dataset["channels"]) == (True, 1)
    assert dataset["splits"]["train"]["examples_per_class"] == [2, 2]


def test_a_damaged_record_is_left_out(prepare, tmp_path, monkeypatch):
    data_dir = prepare({"train": [0, 1, 2, 0, 1, 2]})
    read = tfds._RecordFiles.read
    monkeypatch.setattr(tfds._RecordFiles, "read", lambda self, index: b"?" if index == 2 else read(self, index))
    convert_pets(data_dir, tmp_path / "out", validation_count=0)
    report = json.loads((tmp_path / "out" / "conversion_report.json").read_text())
    (entry,) = report["left_out"]
    assert entry["file"] == "train/00000002"
    assert entry["reason"].startswith("the record cannot be read: ")


@pytest.mark.parametrize(
    ("features", "given", "chosen"),
    [
        ({"mask": Image(), **PETS}, {"image_feature": "mask"}, ("mask", "label")),
        ({"label": ClassLabel("ab"), "other": ClassLabel("cd"), "image": Image()}, {}, ("image", "label")),
        (
            {"label": ClassLabel("ab"), "other": ClassLabel("cd"), "image": Image()},
            {"label": "other"},
            ("image", "other"),
        ),
    ],
)
def test_features_are_chosen(features, given, chosen):
    info = types.SimpleNamespace(features=features, supervised_keys=("image", "label"))
    image, label = given.get("image_feature"), given.get("label")
    found = tfds._choose(info, library(features).features, image, label)
    assert (found.image, found.label) == chosen


@pytest.mark.parametrize(
    ("features", "given", "message"),
    [
        ({"label": ClassLabel("ab")}, {}, "which feature is the image.*none among label; say --image_feature"),
        (
            {"a": Image(), "b": Image(), "label": ClassLabel("ab")},
            {},
            r"several features that are one \(a, b\); say --image",
        ),
        (PETS, {"label_feature": "id"}, "unknown --label_feature 'id'.* Known: label"),
        ({"image": Image(dtype=np.float32), "label": ClassLabel("ab")}, {}, "feature 'image' has pixels of float32"),
    ],
)
def test_features_that_do_not_fit(prepare, tmp_path, features, given, message):
    data_dir = prepare({"train": [0, 1]}, features)
    with pytest.raises(UserError, match=message):
        convert_pets(data_dir, tmp_path / "out", **given)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("pets", "pets/small/10.0.0"),
        ("pets/large", "pets/large/2.0.0"),
        ("pets:1.0.0", None),
        ("pets/small", "pets/small/10.0.0"),
        ("pets/small:9.0.0", "pets/small/9.0.0"),
        ("birds", "birds/3.0.0"),
        ("fish", "fish/only/1.0.0"),
    ],
)
def test_folder_of_a_prepared_data_set(tmp_path, name, folder):
    made = [
        "pets/small/9.0.0",
        "pets/small/10.0.0",
        "pets/large/2.0.0",
        "birds/2.9.0",
        "birds/3.0.0",
        "fish/only/1.0.0",
    ]
    for path in made:
        (tmp_path / path).mkdir(parents=True)
        (tmp_path / path / "dataset_info.json").write_text("{}")
    (tmp_path / "birds" / "4.0.0").mkdir()  # being prepared
    if name in ("pets", "pets:1.0.0"):
        with pytest.raises(UserError, match=r"it has the configs large, small; name one as tfds:pets/CONFIG"):
            tfds.builder_folder(name, str(tmp_path))
    else:
        assert tfds.builder_folder(name, str(tmp_path)) == str(tmp_path / folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tfds:pet", "unknown prepared data set 'pet'; did you mean 'pets'.*Prepare it with TensorFlow Datasets first"),
        ("tfds:pest", r"did you mean 'pets'\? Known: pets\. "),  # and not what else lies there
        ("tfds:pets/big", "pets: unknown config 'big'; it has no configs; name it as tfds:pets$"),
        ("tfds:pets/big:1.0.0", "it has no configs; name it as tfds:pets:1.0.0$"),
        ("tfds:started/big", "unknown config 'big'; it is not prepared"),
        ("tfds:pets:2.0.0", "unknown version '2.0.0'.* Known: 1.0.0"),
        ("tfds:a/b/c", "expected tfds:NAME, tfds:NAME/CONFIG"),
    ],
)
def test_what_is_not_prepared_is_told(prepare, tmp_path, name, message):
    data_dir = prepare({"train": [0, 1]})
    for other in ("downloads/extracted", "started/1.0.0"):
        os.makedirs(os.path.join(data_dir, other))
    with pytest.raises(UserError, match=message):
        convert_pets(data_dir, tmp_path / "out", name)
    assert not (tmp_path / "out").exists()


def test_missing_parts_are_told(prepare, tmp_path, monkeypatch):
    data_dir = prepare({"train": [0, 1]}, file_format=FileFormat.RIEGELI)
    with pytest.raises(UserError, match=r"pets/1.0.0 is stored as riegeli; expected tfrecord or array_record"):
        convert_pets(data_dir, tmp_path / "out")
    with pytest.raises(UserError, match=r"--data_dir=gone: no such folder"):
        convert_pets("gone", tmp_path / "out")
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(UserError, match=r"tfds:NAME needs TensorFlow Datasets .*pip install tensorflow-datasets"):
        convert_pets(data_dir, tmp_path / "out")
    for name in ("tfds", "tfds:", "mnist:x"):
        with pytest.raises(FlagError, match=r"unknown data set"):
            convert_pets(data_dir, tmp_path / "out", name)


@pytest.mark.filterwarnings(r"ignore:label\(\) is deprecated:DeprecationWarning")  # protobuf 6.33, which Beam wants
@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_the_library_itself(tmp_path, file_format):
    library = pytest.importorskip("tensorflow_datasets", reason="TensorFlow Datasets is not installed (extra `tfds`)")
    pytest.importorskip("importlib_resources", reason="which it needs to prepare a data set, and does not require")
    features = {
        "image": library.features.Image(shape=(None, None, 3)),
        "label": library.features.ClassLabel(names=["a", "b"]),
    }
    pixels = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    library.dataset_builders.store_as_tfds_dataset(
        name="tiny",
        version="1.2.3",
        features=library.features.FeaturesDict(features),
        split_datasets={
            split: [(number, {"image": pixels + number, "label": number % 2}) for number in range(count)]
            for split, count in (("train", 9), ("test", 4))
        },
        data_dir=str(tmp_path / "data_dir"),
        file_format=file_format,
    )
    dataset = convert_pets(str(tmp_path / "data_dir"), tmp_path / "out", "tfds:tiny", validation_count=2)
    counts = {split: entry["examples_per_class"] for split, entry in dataset["splits"].items()}
    assert counts == {"train": [4, 3], "validation": [1, 1], "test": [2, 2]}
    decoded = sorted(
        (label, tf.io.decode_png(data).numpy()[0, 0, 0]) for label, data in stored(tmp_path / "out", "test")
    )
    assert decoded == [(0, 0), (0, 2), (1, 1), (1, 3)]
