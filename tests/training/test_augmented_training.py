"""Training with `--augmentation`: recorded, repeatable, and refused where it cannot be done."""

import dataclasses
import json
import os

import pytest
import tensorflow as tf

from checkpoints import writer
from common.errors import FlagError
from training import loop


@pytest.fixture
def config(config):
    return dataclasses.replace(
        config,
        max_number_of_steps=2,
        label_smoothing=0.1,
        batch_norm="fitted",
        augmentation="medium,cutout,mixup,cutmix",
    )


def weights(folder):
    reader = tf.train.load_checkpoint(writer.latest(str(folder)))
    return {name: reader.get_tensor(name).tobytes() for name in reader.get_variable_to_shape_map()}


def test_a_run_records_its_augmentation_and_goes_on_as_if_it_had_not_stopped(config, tmp_path):
    loop.train(config)
    with open(os.path.join(config.train_dir, "run.json")) as file:
        run = json.load(file)
    assert run["flags"]["augmentation"] == "medium,cutout,mixup,cutmix"
    assert run["augmentation"].startswith(
        "scale(smallest=0.25, largest=1, aspect=1.33333), flip(probability=0.5), colour("
    )
    assert run["augmentation"].endswith("mixup(alpha=0.2, probability=1), cutmix(alpha=1, probability=1)")
    halves = dataclasses.replace(config, train_dir=str(tmp_path / "halves"))
    loop.train(dataclasses.replace(halves, max_number_of_steps=1))
    loop.train(halves)
    assert weights(halves.train_dir) == weights(config.train_dir)


def test_without_the_flag_the_recipe_is_recorded(pretrained):
    with open(pretrained / "run.json") as file:
        run = json.load(file)
    assert run["augmentation"] == "recipe"
    assert run["flags"]["augmentation"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"augmentation": "rotat(15)"},
            r"^--augmentation='rotat\(15\)', character 1: unknown operation 'rotat'; did you",
        ),
        ({"augmentation": "mixup", "batch_size": 1}, "mix the images of a batch: use --batch_size=2 or more"),
    ],
)
def test_flags_are_checked_before_anything_is_loaded(config, options, message):
    with pytest.raises(FlagError, match=message):
        dataclasses.replace(config, **options)
