"""Exports: what is in a version, that it is checked, and that it is published whole or not at all."""

import functools
import json
import shutil
import threading

import numpy as np
import pytest
import tensorflow as tf

from checkpoints import writer
from common.errors import FlagError, UserError
from exporting import saved_model
from exporting.classifier import Classifier
from exporting.config import ExportConfig
from nets.network import Network
from preprocessing import encoded as encoded_lib


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


# -- what is in a version --------------------------------------------------------------------------------------------


def test_the_signatures_are_as_promised(exported, shapes):
    loaded = tf.saved_model.load(str(exported / "1"))
    assert set(loaded.signatures) == {"serving_default", "float_images"}
    classes = len(json.loads((shapes["source"] / "dataset.json").read_text())["class_names"])
    for name, key, shape, dtype in (
        ("serving_default", "image_bytes", [None], tf.string),
        ("float_images", "images", [None, 32, 32, 3], tf.float32),
    ):
        signature = loaded.signatures[name]
        inputs = signature.structured_input_signature[1]
        assert {k: (v.shape.as_list(), v.dtype) for k, v in inputs.items()} == {key: (shape, dtype)}
        outputs = signature.structured_outputs
        assert {k: (v.shape.as_list(), v.dtype) for k, v in outputs.items()} == {
            "probabilities": ([None, classes], tf.float32),
            "class_indices": ([None, classes], tf.int64),
            "class_names": ([None, classes], tf.string),
        }


def test_answers_are_those_of_the_checkpoint_best_first(exported, pretrained, serve, picture):
    run = json.loads((pretrained / "run.json").read_text())
    labels = run["model"]["labels"]
    network = Network("mobilenet_v1_025", len(labels), image_size=32)
    reader = tf.train.load_checkpoint(writer.latest(pretrained))
    network.initialize({name: reader.get_tensor(name) for name in network.shapes})
    images = [picture(0), picture(1, "PNG"), picture(2, "BMP"), picture(3, "GIF"), picture(4, size=(32, 32))]
    inputs = tf.stack([encoded_lib.preprocess_encoded(image, "inception", 32, 32) for image in images])
    expected = tf.nn.softmax(network(inputs)[0]).numpy()

    answer = serve(exported / "1", images)
    assert (np.diff(answer["probabilities"], axis=1) <= 0).all()
    np.testing.assert_allclose(answer["probabilities"].sum(axis=1), 1, rtol=1e-5)
    by_index = np.take_along_axis(answer["probabilities"], np.argsort(answer["class_indices"], axis=1), axis=1)
    np.testing.assert_allclose(by_index, expected, atol=1e-5)
    names = np.vectorize(bytes.decode)(answer["class_names"])
    assert names.tolist() == np.array(labels)[answer["class_indices"]].tolist()


def test_the_normalisation_of_float_images_is_the_recipes(export):
    loaded = tf.saved_model.load(str(export()))
    variables = {name: value.numpy() for name, value in loaded.network_variables.items()}
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3)).astype(np.uint8)
    logits = (pixels.reshape(2, -1) / 128.0 - 1) @ variables["Linear/logits/weights"]
    logits = logits + variables["Linear/logits/biases"]
    expected = np.sort(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), axis=1)[:, ::-1]
    floats = loaded.signatures["float_images"](images=tf.constant(pixels / np.float32(255)))
    files = [tf.io.encode_png(image).numpy() for image in pixels]
    encoded = loaded.signatures["serving_default"](image_bytes=tf.constant(files))
    np.testing.assert_allclose(floats["probabilities"], expected, atol=1e-5)
    np.testing.assert_allclose(encoded["probabilities"], expected, atol=1e-5)


def test_classes_that_do_not_exclude_each_other_have_probabilities_of_their_own(export):
    """--multi_label, for a checkpoint whose run does not say it."""
    version = export(multi_label=True)
    loaded = tf.saved_model.load(str(version))
    variables = {name: value.numpy() for name, value in loaded.network_variables.items()}
    image = np.random.default_rng(0).random((1, 4, 4, 3)).astype(np.float32)
    logits = (image.reshape(1, -1) * 255 / 128.0 - 1) @ variables["Linear/logits/weights"]
    expected = 1 / (1 + np.exp(-(logits + variables["Linear/logits/biases"])))
    answer = loaded.signatures["float_images"](images=tf.constant(image))
    np.testing.assert_allclose(answer["probabilities"], np.sort(expected)[:, ::-1], atol=1e-5)
    assert json.loads((version / "assets.extra" / "export.json").read_text())["model"]["multi_label"] is True


def test_labels_are_an_asset_and_go_where_the_folder_goes(exported, shapes, serve, picture, tmp_path):
    names = json.loads((shapes["source"] / "dataset.json").read_text())["class_names"]
    assert (exported / "1" / "assets" / "labels.txt").read_text().splitlines() == names
    expected = serve(exported / "1", [picture()])
    moved = shutil.copytree(exported / "1", tmp_path / "elsewhere" / "9")
    np.testing.assert_array_equal(serve(moved, [picture()])["class_names"], expected["class_names"])
    loaded = tf.saved_model.load(str(moved))
    assert loaded.labels_asset.asset_path.numpy().decode() == str(moved / "assets" / "labels.txt")


def test_warm_up_requests_are_read_and_run(exported):
    """By TensorFlow Serving's own protos; each names a signature and fits it."""
    from tensorflow_serving.apis import prediction_log_pb2

    loaded = tf.saved_model.load(str(exported / "1"))
    path = exported / "1" / "assets.extra" / "tf_serving_warmup_requests"
    requests = []
    for serialized in tf.data.TFRecordDataset(str(path)):
        log = prediction_log_pb2.PredictionLog.FromString(serialized.numpy())
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        inputs = {name: tf.constant(tf.make_ndarray(tensor)) for name, tensor in request.inputs.items()}
        answer = loaded.signatures[request.model_spec.signature_name](**inputs)
        requests.append((request.model_spec.signature_name, answer["probabilities"].shape[0]))
    assert requests == [("serving_default", 1), ("serving_default", 4), ("float_images", 1)]


def test_export_json_says_what_it_is(exported, pretrained):
    said = json.loads((exported / "1" / "assets.extra" / "export.json").read_text())
    assert said["model"] == json.loads((pretrained / "run.json").read_text())["model"]
    assert (said["checkpoint"], said["step"]) == (str(pretrained / "model.ckpt-4"), 4)
    assert said["uses_moving_averages"] is False
    assert 0 <= said["largest_difference_of_a_probability"] <= 1e-4
    assert set(said["versions"]) == {"python", "tensorflow", "numpy"}


def test_tensorflow_hub_loads_it(exported, picture):
    import tensorflow_hub

    loaded = tensorflow_hub.load(str(exported / "1"))
    answer = loaded.signatures["serving_default"](image_bytes=tf.constant([picture()]))
    assert answer["probabilities"].shape[0] == 1


# -- published whole or not at all -----------------------------------------------------------------------------------


def test_versions_count_up_past_gaps_and_other_names(export, tmp_path):
    served = tmp_path / "served"
    assert [export().name, export().name] == ["1", "2"]
    (served / "7").mkdir()
    (served / "notes").mkdir()
    (served / "²").mkdir()
    assert export().name == "8"
    assert names_in(served) == ["1", "2", "7", "8", "notes", "²"]
    assert saved_model.versions(str(served)) == [1, 2, 7, 8]
    assert saved_model.versions(str(tmp_path / "nowhere")) == []


def test_two_exports_at_the_same_time_both_get_a_number(export, tmp_path, monkeypatch):
    """Both see the same newest version; the second to publish moves on to the next number."""
    barrier, versions = threading.Barrier(2, timeout=60), saved_model.versions

    def both_at_once(folder):
        found = versions(folder)
        barrier.wait()
        return found

    monkeypatch.setattr(saved_model, "versions", both_at_once)
    made, served = [], tmp_path / "served"
    for name in ("a", "b"):
        (served / name / "model").mkdir(parents=True)
        (served / name / "model" / "saved_model.pb").write_text(name)
    threads = [
        threading.Thread(target=lambda n=n: made.append(saved_model._publish(str(served / n / "model"), str(served))))
        for n in ("a", "b")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [str(served / "1"), str(served / "2")]
    assert {(served / n / "saved_model.pb").read_text() for n in ("1", "2")} == {"a", "b"}


@pytest.mark.parametrize("signature", ["classify_encoded", "classify_floats"])
@pytest.mark.parametrize("wrong", ["other", "nan"])
def test_what_disagrees_with_the_checkpoint_is_not_published(export, tmp_path, monkeypatch, signature, wrong):
    right = getattr(Classifier, signature)

    @functools.wraps(right)
    def spoilt(self, images):
        answer = right(self, images)
        factor = float("nan") if wrong == "nan" else 0.99
        return {**answer, "probabilities": answer["probabilities"] * factor}

    monkeypatch.setattr(Classifier, signature, spoilt)
    name = "serving_default" if signature == "classify_encoded" else "float_images"
    with pytest.raises(UserError, match=rf"export and checkpoint disagree on {name} by .* nothing was published"):
        export()
    assert not (tmp_path / "served").exists()


def test_a_failed_export_leaves_what_was_there(export, tmp_path, monkeypatch):
    export()
    before = {path: path.read_bytes() for path in (tmp_path / "served").rglob("*") if path.is_file()}
    monkeypatch.setattr(saved_model, "_TOLERANCE", -1.0)
    with pytest.raises(UserError, match="nothing was published"):
        export()
    assert {path: path.read_bytes() for path in (tmp_path / "served").rglob("*") if path.is_file()} == before
    assert names_in(tmp_path / "served") == ["1"]


def test_a_folder_that_cannot_be_written_is_told(export, tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match=rf"--export_dir={path} cannot be written: "):
            export(export_dir=str(path))


@pytest.mark.parametrize("missing", ["checkpoint_path", "export_dir"])
def test_both_folders_are_required(missing):
    flags = {"checkpoint_path": "x", "export_dir": "y"}
    del flags[missing]
    with pytest.raises(FlagError, match=f"--{missing} is missing"):
        ExportConfig(**flags)


# -- what is exported ------------------------------------------------------------------------------------------------


def test_without_run_json_the_network_must_be_named(export, linear_run):
    (linear_run / "run.json").unlink()
    with pytest.raises(FlagError, match=r"--model_name is missing: there is no run.json beside "):
        export()
    with pytest.raises(UserError, match=r"has no classifier of lenet \(LeNet/fc4\): is --model_name right\?"):
        export(model_name="lenet")
    with pytest.raises(FlagError, match="--model_name: unknown network 'liner'; did you mean 'linear'"):
        export(model_name="liner")
    with pytest.raises(FlagError, match="--preprocessing_name: unknown preprocessing 'lent'; did you mean 'lenet'"):
        export(model_name="linear", image_size=4, preprocessing_name="lent")
    version = export(model_name="linear", image_size=4)
    assert (version / "assets" / "labels.txt").read_text().splitlines() == ["0", "1", "2"]


def test_a_flag_wins_over_the_run(export, serve, picture):
    version = export(preprocessing_name="vgg", top_k=2)
    said = json.loads((version / "assets.extra" / "export.json").read_text())
    assert said["model"]["preprocessing_name"] == "vgg"
    answer = serve(version, [picture(), picture(1)])
    assert answer["probabilities"].shape == (2, 2)
    assert set(answer["class_names"].ravel()) <= {b"emu", b"cat", b"dog"}


def test_the_averages_are_exported_where_the_checkpoint_has_them(export, linear_run):
    name = "Linear/logits/biases"
    with pytest.raises(UserError, match=r"--use_moving_averages asks for moving averages, and .* holds none"):
        export(use_moving_averages=True)
    reader = tf.train.load_checkpoint(writer.latest(linear_run))
    values = {n: reader.get_tensor(n) for n in reader.get_variable_to_shape_map() if n != "global_step"}
    averages = {f"{n}/ExponentialMovingAverage": value + 1 for n, value in values.items()}
    writer.save(linear_run, 8, {**values, **averages})
    for flags, shift in (({}, 1), ({"use_moving_averages": True}, 1), ({"use_moving_averages": False}, 0)):
        version = export(**flags)
        exported = tf.saved_model.load(str(version)).network_variables[name].numpy()
        np.testing.assert_array_equal(exported, values[name] + shift)
        said = json.loads((version / "assets.extra" / "export.json").read_text())
        assert (said["uses_moving_averages"], said["step"]) == (bool(shift), 8)


def test_a_network_of_gray_images(tmp_path, serve, picture):
    network = Network("lenet", 3)
    network.initialize()
    prefix = writer.save(tmp_path / "gray", 1, network.variables_by_name)
    flags = {"checkpoint_path": prefix, "export_dir": str(tmp_path / "served"), "model_name": "lenet"}
    version = saved_model.export(ExportConfig(**flags))
    inputs = tf.saved_model.load(version).signatures["float_images"].structured_input_signature[1]
    assert inputs["images"].shape.as_list() == [None, 28, 28, 1]
    colour, gray = serve(version, [picture(), picture(mode="L"), picture(1, "PNG", mode="L")])["probabilities"][:2]
    np.testing.assert_allclose(colour, gray, atol=0.02)  # JPEG of each


def test_colour_networks_can_be_made_gray_by_flag(tmp_path):
    network = Network("linear", 3, image_size=4, channels=1)
    network.initialize()
    prefix = writer.save(tmp_path / "gray", 1, network.variables_by_name)
    flags = {"checkpoint_path": prefix, "export_dir": str(tmp_path / "served"), "model_name": "linear"}
    flags |= {"image_size": 4, "use_grayscale": True}
    version = saved_model.export(ExportConfig(**flags))
    inputs = tf.saved_model.load(version).signatures["float_images"].structured_input_signature[1]
    assert inputs["images"].shape.as_list() == [None, 4, 4, 1]
