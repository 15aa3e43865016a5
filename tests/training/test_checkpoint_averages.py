"""Moving averages: kept under Slim's names, found by evaluation and export, offered to fine-tuning."""

import dataclasses
import json
import os

import numpy as np
import pytest
import tensorflow as tf

from checkpoints import writer
from checkpoints.averages import SUFFIX
from common.errors import UserError
from exporting import saved_model
from exporting.config import ExportConfig
from training import evaluate, loop
from training.config import EvalConfig, TrainConfig


def values_of(folder):
    reader = tf.train.load_checkpoint(writer.latest(str(folder)))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


@pytest.fixture(scope="module")
def averaged(shapes, tmp_path_factory):
    """The folder of a short run of lenet with averages."""
    folder = tmp_path_factory.mktemp("averaged")
    config = TrainConfig(
        dataset_dir=str(shapes["target"]),
        train_dir=str(folder),
        model_name="lenet",
        batch_size=8,
        max_number_of_steps=3,
        moving_average_decay=0.9,
    )
    loop.train(config)
    return folder


@pytest.fixture
def fine_tuning(averaged, shapes, tmp_path):
    """A run of no use to the weights (rate 0), from `averaged`."""
    return TrainConfig(
        dataset_dir=str(shapes["target"]),
        train_dir=str(tmp_path / "run"),
        model_name="lenet",
        batch_size=8,
        max_number_of_steps=1,
        learning_rate=0.0,
        checkpoint_path=str(averaged),
    )


def test_training_writes_an_average_of_each_variable_under_slims_name(averaged):
    values = values_of(averaged)
    names = {name for name in values if name.startswith("LeNet/") and name.count("/") == 2}
    assert len(names) == 8
    assert {name for name in values if name.endswith(SUFFIX)} == {name + SUFFIX for name in names}
    assert any(values[name].tobytes() != values[name + SUFFIX].tobytes() for name in names)


def test_evaluation_uses_them_without_being_told_and_says_so(averaged, logged):
    evaluate.evaluate(EvalConfig(checkpoint_path=str(averaged)), frozenset({"checkpoint_path"}))
    assert any("moving averages" in line for line in logged)
    with open(os.path.join(averaged, "eval_validation", "metrics.json")) as file:
        assert json.load(file)["uses_moving_averages"] is True


def test_export_uses_them_without_being_told_and_says_so(averaged, logged, tmp_path):
    saved_model.export(ExportConfig(checkpoint_path=str(averaged), export_dir=str(tmp_path / "served")))
    assert any("moving averages" in line for line in logged)


@pytest.mark.parametrize("asked", [False, True])
def test_fine_tuning_says_which_it_starts_from(averaged, fine_tuning, logged, asked):
    loop.train(dataclasses.replace(fine_tuning, checkpoint_averages=asked))
    before, after = values_of(averaged), values_of(fine_tuning.train_dir)
    name = "LeNet/fc3/weights"
    assert not np.array_equal(before[name], before[name + SUFFIX])
    np.testing.assert_array_equal(after[name], before[name + SUFFIX] if asked else before[name])
    start = next(line for line in logged if line.startswith("Start:"))
    assert ("8 of them from moving averages" in start) == asked
    assert any("--checkpoint_averages: from the averages" in line for line in logged) != asked


def test_averages_that_are_not_there_are_an_error(fine_tuning, pretrained):
    config = dataclasses.replace(
        fine_tuning,
        checkpoint_averages=True,
        checkpoint_path=str(pretrained),
        model_name="mobilenet_v1_025",
        train_image_size=32,
    )
    with pytest.raises(UserError, match=r"--checkpoint_averages asks for moving averages, and .* holds none"):
        loop.train(config)
