"""Training from start to end, in this process: what is restored, trained, frozen, resumed, refused."""

import dataclasses
import json
import os
import re

import numpy as np
import pytest
import tensorflow as tf

from checkpoints import writer
from common.errors import FlagError, UserError
from training import loop
from training.config import TrainConfig


def values_of(folder):
    """Name -> array of a run's newest checkpoint."""
    reader = tf.train.load_checkpoint(writer.latest(str(folder)))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def run_json(folder):
    with open(os.path.join(folder, "run.json")) as file:
        return json.load(file)


def test_a_run_leaves_a_checkpoint_by_slims_names_and_its_description(config):
    loop.train(config, frozenset({"model_name"}))
    values = values_of(config.train_dir)
    assert values["global_step"] == 3
    weights = "MobilenetV1/Conv2d_0/weights"
    assert {weights, f"{weights}/RMSProp", f"{weights}/RMSProp_1"} <= set(values)
    run = run_json(config.train_dir)
    assert run["model"]["model_name"] == "mobilenet_v1_025"
    assert run["model"]["preprocessing_name"] == "inception"
    assert len(run["model"]["labels"]) == run["model"]["num_classes"]
    assert run["start"]["kind"] == "scratch"
    assert run["result"]["step"] == 3
    assert run["given_flags"] == ["model_name"]


def test_frozen_variables_are_bit_identical_batch_norm_statistics_included(config, pretrained):
    config = dataclasses.replace(
        config,
        checkpoint_path=str(pretrained),
        checkpoint_exclude_scopes="MobilenetV1/Logits",
        trainable_scopes="MobilenetV1/Logits",
    )
    loop.train(config)
    before, after = values_of(pretrained), values_of(config.train_dir)
    frozen = [n for n in after if n in before and "Logits" not in n and not n.startswith("global_step")]
    frozen = [n for n in frozen if not n.endswith(("RMSProp", "RMSProp_1"))]
    assert len(frozen) == 135
    for name in frozen:
        assert before[name].tobytes() == after[name].tobytes(), name
    run = run_json(config.train_dir)
    assert run["frozen"]["variables"] == 135
    assert run["frozen"]["sha256_start"] == run["frozen"]["sha256_end"]


def test_what_is_trained_moves(config, pretrained):
    config = dataclasses.replace(
        config, checkpoint_path=str(pretrained), checkpoint_exclude_scopes="head", max_number_of_steps=2
    )
    loop.train(config)
    before, after = values_of(pretrained), values_of(config.train_dir)
    for name in ("MobilenetV1/Conv2d_0/weights", "MobilenetV1/Conv2d_0/BatchNorm/moving_mean"):
        assert not np.array_equal(before[name], after[name]), name


def test_a_killed_run_goes_on_bit_for_bit(config, tmp_path):
    """Six steps in one go equal three and three, dropout, augmentation and optimizer state included."""
    config = dataclasses.replace(config, moving_average_decay=0.9, max_number_of_steps=6)
    loop.train(dataclasses.replace(config, train_dir=str(tmp_path / "whole")))
    for steps in (3, 6):
        loop.train(dataclasses.replace(config, train_dir=str(tmp_path / "parts"), max_number_of_steps=steps))
    whole, parts = values_of(tmp_path / "whole"), values_of(tmp_path / "parts")
    assert set(whole) == set(parts)
    for name, value in whole.items():
        assert value.tobytes() == parts[name].tobytes(), name


def test_a_finished_run_does_nothing_more(config):
    loop.train(config)
    before = sorted(os.listdir(config.train_dir))
    loop.train(config)
    assert sorted(os.listdir(config.train_dir)) == before


def test_the_head_is_excluded_automatically_where_it_does_not_fit(config, pretrained):
    config = dataclasses.replace(config, checkpoint_path=str(pretrained), checkpoint_exclude_scopes="auto")
    loop.train(config)
    assert run_json(config.train_dir)["start"]["kind"] == "fine-tuned"


@pytest.mark.parametrize("mode", ["fitted", "recomputed", "frozen", "slim"])
def test_every_batch_norm_mode_says_what_it_did(config, pretrained, mode):
    config = dataclasses.replace(
        config, checkpoint_path=str(pretrained), checkpoint_exclude_scopes="head", batch_norm=mode
    )
    loop.train(config)
    before, after = values_of(pretrained), values_of(config.train_dir)
    name = "MobilenetV1/Conv2d_5_depthwise/BatchNorm/moving_mean"
    assert np.array_equal(before[name], after[name]) == (mode == "frozen")
    said = run_json(config.train_dir)["batch_norm"]
    assert said["mode"] == mode
    assert ("agreement" in said) == (mode != "frozen")


def test_disagreement_of_the_two_modes_is_warned_of(config, monkeypatch):
    """With Slim's decay of 0.9997 the averages still are those of the start after some steps at a high rate."""
    warnings = []
    monkeypatch.setattr(loop.logging, "warning", lambda text, *values: warnings.append(text % values))
    config = dataclasses.replace(config, optimizer="adam", opt_epsilon=1e-4, learning_rate=0.002)
    config = dataclasses.replace(config, max_number_of_steps=160)
    loop.train(dataclasses.replace(config, batch_norm="slim"))
    assert run_json(config.train_dir)["batch_norm"]["agreement"]["good"] is False
    assert len(warnings) == 1
    assert "evaluation will be worse than training looks" in warnings[0]


REFUSED = [
    ({"model_name": "mobilenet_v1_25"}, "did you mean 'mobilenet_v1_025'"),
    ({"trainable_scopes": "MobilenetV1/Logit"}, "Use --trainable_scopes=MobilenetV1/Logit*"),
    ({"dataset_split_name": "tran"}, "train"),
    ({"labels_offset": 50}, "--labels_offset=50 leaves no class"),
    ({"checkpoint_exclude_scopes": "head"}, "--checkpoint_path names none"),
    ({"checkpoint_path": "PRETRAINED"}, "--checkpoint_exclude_scopes=MobilenetV1/Logits"),
    ({"checkpoint_path": "PRETRAINED", "checkpoint_exclude_scopes": "MobilenetV1/Logit"}, "MobilenetV1/Logit*"),
    ({"checkpoint_path": "PRETRAINED", "model_name": "lenet"}, "another network"),
    ({"checkpoint_path": "nowhere/model.ckpt"}, "nowhere/model.ckpt"),
    ({"dataset_dir": "nowhere"}, "nowhere"),
    ({"preprocessing_name": "vg"}, "vgg"),
    ({"learning_rate": 1e30, "optimizer": "sgd"}, "training has diverged"),
    ({"network_module": "nowhere.py"}, "nowhere.py"),
]


@pytest.mark.parametrize(
    ("changes", "words"), REFUSED, ids=[next(iter(c)) + "-" + str(i) for i, (c, _) in enumerate(REFUSED)]
)
def test_bad_input_is_told_in_one_message_and_leaves_no_checkpoint(config, pretrained, changes, words):
    changes = {k: str(pretrained) if v == "PRETRAINED" else v for k, v in changes.items()}
    with pytest.raises(UserError, match=re.escape(words)):
        loop.train(dataclasses.replace(config, **changes))
    assert writer.latest(config.train_dir) is None


def test_a_run_of_another_network_is_not_resumed(config):
    loop.train(config)
    with pytest.raises(UserError, match="holds a run that does not fit lenet"):
        loop.train(dataclasses.replace(config, model_name="lenet", max_number_of_steps=9))


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("num_clones", 2),
        ("clone_on_cpu", True),
        ("worker_replicas", 2),
        ("num_ps_tasks", 1),
        ("task", 1),
        ("master", "grpc://host"),
        ("sync_replicas", True),
        ("replicas_to_aggregate", 2),
        ("quantize_delay", 0),
    ],
)
def test_distribution_and_quantization_are_refused_by_name(flag, value):
    with pytest.raises(FlagError, match=f"--{flag}={value}.*not supported yet"):
        TrainConfig(dataset_dir="data", **{flag: value})


def test_a_train_dir_that_cannot_be_made_is_told(config, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--train_dir=.*/file/run cannot be written"):
        loop.train(dataclasses.replace(config, train_dir=str(tmp_path / "file" / "run")))


def test_a_data_set_folder_is_required():
    with pytest.raises(FlagError, match="--dataset_dir is missing"):
        TrainConfig()
