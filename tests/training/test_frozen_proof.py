"""The proof that frozen layers are frozen: 50 steps of a new head, and not one bit elsewhere has moved."""

import dataclasses
import json
import os

import pytest
import tensorflow as tf

from checkpoints import writer
from training import loop

STEPS = 50


def test_after_fifty_steps_of_the_head_every_frozen_variable_is_bit_identical(config, pretrained):
    config = dataclasses.replace(
        config,
        checkpoint_path=str(pretrained),
        checkpoint_exclude_scopes="head",
        trainable_scopes="head",
        max_number_of_steps=STEPS,
        learning_rate=0.05,
    )
    loop.train(config)
    before, after = (tf.train.load_checkpoint(writer.latest(str(path))) for path in (pretrained, config.train_dir))
    model = [n for n in after.get_variable_to_shape_map() if n.startswith("MobilenetV1/") and "RMSProp" not in n]
    frozen = [name for name in model if not name.startswith("MobilenetV1/Logits/")]
    assert len(frozen) == 135
    assert sum(name.endswith(("moving_mean", "moving_variance")) for name in frozen) == 54
    moved = [n for n in frozen if before.get_tensor(n).tobytes() != after.get_tensor(n).tobytes()]
    assert moved == []
    with open(os.path.join(config.train_dir, "run.json")) as file:
        run = json.load(file)
    assert run["result"]["step"] == STEPS
    assert run["trained"] == {"variables": 2, "scopes": "head"}
    assert run["frozen"]["variables"] == 135
    assert run["frozen"]["sha256_start"] == run["frozen"]["sha256_end"]
    assert len(run["frozen"]["sha256_end"]) == 64


def test_the_hash_tells_a_single_bit(config, pretrained, monkeypatch):
    """A run that moved a frozen variable would not pass: the end's hash is of the values then."""
    config = dataclasses.replace(
        config, checkpoint_path=str(pretrained), checkpoint_exclude_scopes="head", trainable_scopes="head"
    )
    seen = []

    def save(self, step):
        variable = self.network.variables_by_name["MobilenetV1/Conv2d_3_depthwise/BatchNorm/moving_mean"]
        variable[0].assign(variable[0] * (1 + 2e-7) + 1e-30)
        seen.append(step)

    monkeypatch.setattr(loop.Trainer, "_save", save)
    with pytest.raises(RuntimeError, match="a frozen variable has changed"):
        loop.train(config)
    assert seen == [3]
