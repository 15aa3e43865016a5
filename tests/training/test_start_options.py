"""Starting from checkpoints that do not fit as they are: other channels, other names, broken values."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from checkpoints import first_layer, writer
from common.errors import UserError
from nets.network import Network
from training import evaluate
from training.config import EvalConfig
from training.start import starting_point


def model_values(folder):
    reader = tf.train.load_checkpoint(writer.latest(str(folder)))
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith("MobilenetV1/")]
    return {name: reader.get_tensor(name) for name in names if "RMSProp" not in name}


@pytest.fixture
def fine_tuning(config, pretrained):
    return dataclasses.replace(
        config, checkpoint_path=str(pretrained), checkpoint_exclude_scopes="head", max_number_of_steps=1
    )


def adapted_network(name, channels, of, size):
    """A network, and one for other channels that is made of its values."""
    whole = Network(name, 3, image_size=size, channels=of, seed=1)
    whole.initialize()
    other = Network(name, 3, image_size=size, channels=channels, seed=2)
    values = {name: variable.numpy() for name, variable in whole.variables_by_name.items()}
    adaptations = first_layer.adaptations(other.shapes, whole.shapes)
    assert adaptations
    other.initialize(values | {name: a.apply(values[a.source]) for name, a in adaptations.items()})
    return whole, other


@pytest.mark.parametrize(
    ("name", "channels", "of", "size"),
    [("mobilenet_v1_025", 1, 3, 32), ("lenet", 3, 1, 28), ("cifarnet", 1, 3, 32), ("inception_v2", 3, 1, 64)],
)
def test_a_gray_image_gives_the_logits_that_it_gave_as_three_channels(name, channels, of, size):
    whole, other = adapted_network(name, channels, of, size)
    gray = tf.random.stateless_uniform([2, size, size, 1], (1, 2), -1.0, 1.0)
    logits = [net(tf.repeat(gray, net.channels, axis=-1))[0].numpy() for net in (whole, other)]
    np.testing.assert_allclose(logits[0], logits[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "size"), [("mobilenet_v1_025", 32), ("inception_v2", 64)])
def test_a_fourth_channel_changes_nothing_at_the_start(name, size):
    whole, other = adapted_network(name, 4, 3, size)
    images = tf.random.stateless_uniform([2, size, size, 4], (3, 4), -1.0, 1.0)
    np.testing.assert_allclose(whole(images[..., :3])[0], other(images)[0], rtol=1e-4, atol=1e-5)


def start_of(config, channels=3):
    """Where a run of mobilenet_v1_025 with 4 classes starts."""
    return starting_point(config, Network("mobilenet_v1_025", 4, image_size=32, channels=channels))


def test_gray_images_start_from_a_colour_checkpoint(fine_tuning, pretrained):
    start = start_of(fine_tuning, channels=1)
    name = "MobilenetV1/Conv2d_0/weights"
    np.testing.assert_allclose(start.values[name], model_values(pretrained)[name].sum(2, keepdims=True), rtol=1e-6)
    assert f"adapted: {name} (3 channels summed to 1)" in start.text


def test_an_excluded_first_layer_is_not_adapted(fine_tuning):
    excluded = "head,MobilenetV1/Conv2d_0/weights"
    start = start_of(dataclasses.replace(fine_tuning, checkpoint_exclude_scopes=excluded), channels=1)
    assert "adapted" not in start.text
    assert "MobilenetV1/Conv2d_0/weights" not in start.values


@pytest.mark.parametrize(
    ("prefix", "flag", "words"),
    [
        ("FeatureExtractor", None, "Renamed: 137 names of the checkpoint: FeatureExtractor taken away (as in SSD"),
        ("module", "module:", "Renamed: 137 names of the checkpoint: module taken away"),
    ],
)
def test_names_inside_something_larger_are_found(fine_tuning, pretrained, logged, tmp_path, prefix, flag, words):
    values = model_values(pretrained)
    writer.save(tmp_path, 1, {f"{prefix}/{name}": value for name, value in values.items()})
    start = start_of(dataclasses.replace(fine_tuning, checkpoint_path=str(tmp_path), checkpoint_rename=flag))
    assert any(line.startswith(words) for line in logged)
    name = "MobilenetV1/Conv2d_3_depthwise/depthwise_weights"
    np.testing.assert_array_equal(start.values[name], values[name])


def test_broken_values_are_an_error_wherever_they_are_restored(fine_tuning, pretrained, shapes, tmp_path):
    values = model_values(pretrained)
    name = "MobilenetV1/Conv2d_2_pointwise/weights"
    values[name][0, 0, 0, 0] = np.inf
    writer.save(tmp_path / "broken", 1, values)
    with pytest.raises(UserError, match=f"NaN or infinite.*--checkpoint_exclude_scopes=head,{name}"):
        start_of(dataclasses.replace(fine_tuning, checkpoint_path=str(tmp_path / "broken")))
    given = {"checkpoint_path": str(tmp_path / "broken"), "model_name": "mobilenet_v1_025"}
    settings = EvalConfig(**given, dataset_dir=str(shapes["source"]), eval_image_size=32)
    with pytest.raises(UserError, match="NaN or infinite"):
        evaluate.evaluate(settings, frozenset(given))


@pytest.mark.parametrize("flag", ["checkpoint_rename", "checkpoint_averages"])
def test_flags_about_a_checkpoint_need_one(config, flag):
    value = {"checkpoint_rename": "a:b", "checkpoint_averages": True}[flag]
    with pytest.raises(UserError, match=f"--checkpoint_path names none; add it, or leave --{flag} out"):
        start_of(dataclasses.replace(config, **{flag: value}))
