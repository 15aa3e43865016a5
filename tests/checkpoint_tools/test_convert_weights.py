"""Files of other frameworks in and out: formats, what is found out about them, and errors that say what to do."""

import pathlib

import numpy as np
import pytest

from checkpoint_tools.conversion import convert, keras_measure, keras_models, keras_pairs, slim_side
from checkpoint_tools.conversion.pairs import Entry, Pair
from checkpoints import reader, restore, writer
from common.errors import UserError
from training import models

# Keras's own, when it saves.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SMALL = "mobilenet_v2_035"


@pytest.fixture(scope="module")
def model():
    return keras_measure.random_model(SMALL, 5, image_size=64)


@pytest.fixture(scope="module")
def values(model):
    return convert.to_slim(keras_pairs.pair(SMALL, 5), keras_models.arrays(model), "the model")


def zeros(network, num_classes):
    return {
        name: np.zeros(shape, np.float32) for name, shape in slim_side.prediction_shapes(network, num_classes).items()
    }


def hdf5(path: pathlib.Path, shapes) -> pathlib.Path:
    """A file with arrays of these shapes and no content."""
    import h5py

    with h5py.File(path, "w") as file:
        for i, shape in enumerate(shapes):
            file.create_dataset(f"layers/layer_{i}/vars/0", shape, np.float32)
    return path


@pytest.mark.parametrize(
    ("saved_as", "named"),
    [
        ("a.weights.h5", "a.weights.h5"),
        ("a.keras", "a.keras"),
        ("a.h5", "a.h5"),
        ("a.weights.h5", "b.h5"),
        ("a.h5", "b.weights.h5"),
        ("a.h5", "b"),
    ],
)
def test_a_file_is_read_by_its_content_whatever_its_name(model, values, tmp_path, saved_as, named):
    path = tmp_path / saved_as
    model.save_weights(path) if saved_as == "a.weights.h5" else keras_pairs.keras_files.save(model, str(path))
    path = path.rename(tmp_path / named)
    assert convert.is_weights_file(path)
    imported = convert.import_weights(path)
    assert (imported.model_name, imported.num_classes, imported.notes) == (SMALL, 5, ())
    assert {name: value.tobytes() for name, value in imported.values.items()} == {
        name: value.tobytes() for name, value in values.items()
    }


@pytest.mark.parametrize("name", ["a.weights.h5", "a.keras", "a.h5"])
def test_each_format_is_written_whole_and_keras_reads_it(model, values, tmp_path, name):
    import keras

    more = {"global_step": np.int64(7), f"{SMALL}/extra": np.zeros(2), **values}
    lines = convert.export_weights(more, SMALL, tmp_path / "new" / name)
    assert [path.name for path in (tmp_path / "new").iterdir()] == [name]  # nothing temporary is left
    assert "MobileNetV2, alpha=0.35 of keras, 5 classes, 262 arrays" in lines[0]
    assert lines[1] == f"left out 2 that have no place there: global_step, {SMALL}/extra"
    assert lines[-1] == "input: the same: RGB in [-1, 1]"
    if name == "a.weights.h5":
        loaded = keras_models.build(SMALL, 5)
        loaded.load_weights(tmp_path / "new" / name)
    else:
        loaded = keras.models.load_model(tmp_path / "new" / name, compile=False)
    expected = {name: array.tobytes() for name, array in keras_models.arrays(model).items()}
    assert {name: array.tobytes() for name, array in keras_models.arrays(loaded).items()} == expected


def test_a_trained_models_optimizer_and_metrics_are_no_weights(tmp_path):
    small = keras_models.build("mobilenet_v3_small_minimalistic", 2, image_size=32)
    small.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    small.optimizer.build(small.trainable_variables)
    small.save(tmp_path / "trained.keras")
    assert convert.import_weights(tmp_path / "trained.keras").num_classes == 2


@pytest.mark.parametrize(
    ("network", "exclude"),
    [
        (SMALL, "MobilenetV2/Logits"),
        ("mobilenet_v3_small", "MobilenetV3/Conv_2,MobilenetV3/Logits"),
        ("inception_v3", "InceptionV3/AuxLogits,InceptionV3/Logits"),
        ("vgg_16", "vgg_16/fc6,vgg_16/fc7,vgg_16/fc8"),
    ],
)
def test_without_its_top_a_file_makes_a_checkpoint_to_fine_tune(network, exclude, tmp_path, monkeypatch):
    shapes = keras_pairs.other_shapes(network, None)
    arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    monkeypatch.setattr(keras_pairs, "read", lambda path: arrays)
    imported = convert.import_weights("base.h5")
    assert (imported.model_name, imported.num_classes) == (network, None)
    assert imported.notes[-1] == f"the file has no classifier: train with --checkpoint_exclude_scopes={exclude}"

    checkpoint = reader.open_checkpoint(writer.save(tmp_path, 0, imported.values))
    wanted = slim_side.prediction_shapes(network, 3) | slim_side.auxiliary_shapes(network, 3)
    plan = restore.plan(wanted, checkpoint, exclude=exclude, head_scopes=())
    assert set(plan.restored) == set(imported.values)


def test_without_auxiliary_classifier_a_checkpoint_trains_evaluates_and_exports(tmp_path, monkeypatch):
    """Keras has none: excluded it starts anew, and a prediction does not need it."""
    arrays = {name: np.zeros(shape, np.float32) for name, shape in keras_pairs.other_shapes("inception_v3", 4).items()}
    monkeypatch.setattr(keras_pairs, "read", lambda path: arrays)
    imported = convert.import_weights("inception.h5")
    assert "train with --checkpoint_exclude_scopes=InceptionV3/AuxLogits, or " in imported.notes[0]
    prefix = writer.save(tmp_path, 0, imported.values)
    wanted = slim_side.prediction_shapes("inception_v3", 4) | slim_side.auxiliary_shapes("inception_v3", 4)
    plan = restore.plan(wanted, reader.open_checkpoint(prefix), exclude="InceptionV3/AuxLogits", head_scopes=())
    assert set(plan.restored) == set(imported.values)

    loaded = models.load(prefix, {"model_name": "inception_v3"})
    assert loaded.info.num_classes == 4


def test_a_classifier_with_holes_is_no_auxiliary_one(tmp_path):
    arrays = zeros("inception_v3", 4)
    arrays["InceptionV3/AuxLogits/Conv2d_2b_1x1/weights"] = np.zeros((1, 1, 768, 4), np.float32)
    prefix = writer.save(tmp_path, 0, arrays)
    with pytest.raises(UserError, match="InceptionV3/AuxLogits/"):
        models.load(prefix, {"model_name": "inception_v3"})


# -- errors ----------------------------------------------------------------------------------------------------------


def vgg_of_64_pixels():
    shapes = keras_pairs.other_shapes("vgg_16", 3)
    return [*{**shapes, "fc1/kernel": (2048, 4096)}.values()]


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ([(3, 2), (2,)], ["holds 2 arrays", "VGG16", "model.get_layer(NAME).save_weights('x.weights.h5')"]),
        ([(1,)] * 320, ["ResNet50 of Keras is not converted", "strides", "resnet_v1_50_2016_08_28"]),
        ([(1,)] * 318, ["ResNet50 of Keras"]),
        (vgg_of_64_pixels(), ["as many arrays as VGG16", "(2048, 4096) where VGG16 has (25088, 4096)", "another size"]),
    ],
)
def test_an_unknown_model_is_told_by_what_it_has(shapes, words, tmp_path):
    path = hdf5(tmp_path / "model.weights.h5", shapes)
    with pytest.raises(UserError) as error:
        convert.import_weights(path)
    assert str(error.value).startswith(str(path))
    for word in [word.replace("strides", "stride in") for word in words]:
        assert word in str(error.value)


def test_the_wrong_network_is_told_with_the_right_one(model, tmp_path):
    model.save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(UserError, match=f"is a {SMALL}, not a vgg_16; give --model_name={SMALL}, or leave it out"):
        convert.import_weights(tmp_path / "a.weights.h5", "vgg_16")


@pytest.mark.parametrize("name", ["cut.h5", "cut.keras", "text.h5"])
def test_a_damaged_file_is_named(model, tmp_path, name):
    whole = tmp_path / f"whole.{name.rpartition('.')[2]}"
    keras_pairs.keras_files.save(model, str(whole))
    (tmp_path / name).write_bytes(b"text" if name == "text.h5" else whole.read_bytes()[:100_000])
    with pytest.raises(UserError, match=f"{name} cannot be read as a file of Keras .*copy or fetch it again"):
        convert.import_weights(tmp_path / name)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.h5: no such file"):
        convert.import_weights(tmp_path / "none.h5")


@pytest.mark.parametrize("name", ["a.pth", "a.pt", "a.bin", "a.h5"])
def test_a_pickle_is_never_loaded(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x80\x04K\x01.")
    assert convert.is_weights_file(tmp_path / name)
    with pytest.raises(UserError, match=r"pickle.*torch\.load.*safetensors\.torch\.save_file.*\.safetensors"):
        convert.import_weights(tmp_path / name)


@pytest.mark.parametrize(
    ("network", "name", "change", "words"),
    [
        (SMALL, "a.onnx", {}, "the ending tells the format.*one of .weights.h5, .keras"),
        (SMALL, "a.hdf5", {}, "a file of Keras ends in .weights.h5, .keras, .h5"),
        ("resnet_v1_50", "a.h5", {}, "--model_name: resnet_v1_50 has no counterpart in keras: ResNet50 is another"),
        ("linear", "a.h5", {}, "--model_name: linear has no counterpart in keras; these have: vgg_16"),
        ("mobilenet_v2", "a.h5", {}, "other shapes, MobilenetV2/.* where the network has .*--model_name"),
        (SMALL, "a.h5", {"MobilenetV2/Conv/weights": None}, "1 variables are missing .MobilenetV2/Conv/weights"),
    ],
)
def test_what_cannot_be_written_is_told_and_nothing_is_written(values, tmp_path, network, name, change, words):
    left = {key: value for key, value in values.items() if key not in change}
    with pytest.raises(UserError, match=words):
        convert.export_weights(left, network, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_another_framework_than_the_endings_is_refused(values, tmp_path):
    with pytest.raises(UserError, match=r"is written as MobileNetV2, alpha=0\.35 of keras, not for timm"):
        convert.export_weights(values, SMALL, tmp_path / "a.h5", framework="timm")


class TwoNetworksOfTheSameNames:
    NETWORKS = ("vgg_16", "vgg_19")

    @staticmethod
    def pair(network, num_classes, names):
        entry = Entry("vgg_16/conv1/conv1_1/biases".replace("vgg_16", network), "bias")
        return Pair(network, "toy", network.upper(), (entry,), "the same")

    @staticmethod
    def read(path):
        return {"bias": np.zeros(64, np.float32)}


def test_two_networks_that_fit_are_both_named(tmp_path, monkeypatch):
    monkeypatch.setattr(convert.Framework, "load", lambda self: TwoNetworksOfTheSameNames)
    with pytest.raises(UserError, match="may be vgg_16 or vgg_19: say which, with --model_name"):
        convert.import_weights(tmp_path / "a.safetensors")
    assert convert.import_weights(tmp_path / "a.safetensors", "vgg_19").model_name == "vgg_19"


@pytest.mark.parametrize("name", ["checkpoint.ckpt", "model.ckpt-3.index", "folder", "x.pb"])
def test_checkpoints_are_no_weights_files(tmp_path, name):
    (tmp_path / name).write_bytes(b"something")
    assert not convert.is_weights_file(tmp_path / name)
