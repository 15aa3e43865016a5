"""Multipliers of the learning rate and of weight decay, one variable at a time."""

import dataclasses
import re

import numpy as np
import pytest
import tensorflow as tf

from common.errors import FlagError, UserError
from nets.network import Network
from training import loop, selection
from training.config import OPTIMIZERS, TrainConfig
from training.optimizers import Optimizer


def start_values():
    return {name: tf.Variable([1.0, -2.0], name=name) for name in "abc"}


GRADIENT = tf.constant([0.5, 0.25])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_multiplier_is_that_variables_own_rate(name):
    """Three steps at rate 0.2 with factors 0.5 and 0 equal three at 0.1, and none."""
    config = TrainConfig(dataset_dir="x", optimizer=name)
    with_factors, plain = start_values(), start_values()
    optimizer = Optimizer(config, with_factors, {"b": 0.5, "c": 0.0})
    fast, slow = Optimizer(config, {"a": plain["a"]}), Optimizer(config, {"b": plain["b"]})
    for _ in range(3):
        optimizer.apply(dict.fromkeys("abc", GRADIENT), tf.constant(0.2))
        fast.apply({"a": GRADIENT}, tf.constant(0.2))
        slow.apply({"b": GRADIENT}, tf.constant(0.1))
    assert with_factors["a"].numpy().tobytes() == plain["a"].numpy().tobytes()
    np.testing.assert_allclose(with_factors["b"], plain["b"], rtol=1e-6)
    assert with_factors["c"].numpy().tolist() == [1.0, -2.0]
    assert with_factors["a"].numpy().tolist() != [1.0, -2.0]


def network(weight_decay=0.1):
    net = Network("cifarnet", 3, image_size=16, weight_decay=weight_decay)
    net.initialize()
    return net


def test_weight_decay_is_multiplied_variable_by_variable():
    net = network()
    decays = selection.weight_decays(net)
    (first, scale), *_ = decays.items()
    alone = float(net.regularization_loss([first]))
    np.testing.assert_allclose(scale * float(tf.nn.l2_loss(net.variables_by_name[first])), alone, rtol=1e-5)
    whole = float(net.regularization_loss())
    np.testing.assert_allclose(float(net.regularization_loss(factors={first: 3.0})), whole + 2 * alone, rtol=1e-5)
    np.testing.assert_allclose(float(net.regularization_loss(factors={first: 0.0})), whole - alone, rtol=1e-5)
    assert float(net.regularization_loss(factors={})) == whole


def config(**values):
    return TrainConfig(dataset_dir="x", model_name="cifarnet", **values)


def test_flags_select_variables():
    net = network()
    rates = selection.rate_factors(config(learning_rate_multipliers="all=0.1,last:2=0.5,head=1"), net)
    assert rates["CifarNet/conv1/weights"] == 0.1
    assert rates["CifarNet/fc4/biases"] == 0.5
    assert not any("logits" in name for name in rates)
    assert selection.rate_factors(config(), net) == {}
    decays = selection.decay_factors(config(weight_decay_multipliers="all=2,*/biases=0"), net)
    assert set(decays) == set(selection.weight_decays(net)), "biases have no decay to multiply"
    assert set(decays.values()) == {2.0}
    assert selection.decay_factors(config(), net) == {}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"learning_rate_multipliers": "haed=1"}, "Use --learning_rate_multipliers=head=1"),
        (
            {"learning_rate_multipliers": "CifarNet/conv1=1", "trainable_scopes": "head"},
            "--trainable_scopes=head,CifarNet/conv1",
        ),
        ({"weight_decay_multipliers": "*/fc3=2,*/biases=3"}, "use --weight_decay_multipliers=*/fc3=2"),
        ({"weight_decay_multipliers": "*/biases=3"}, "leave the flag out"),
        ({"weight_decay_multipliers": "Nothing=0"}, "matches no variable"),
    ],
)
def test_a_term_that_changes_nothing_is_an_error(flags, words):
    net = network()
    settings = config(**flags)
    net.train_only(selection.names_to_train(settings, net))
    wrong = selection.rate_factors if "learning_rate_multipliers" in flags else selection.decay_factors
    with pytest.raises(UserError, match=re.escape(words)):
        wrong(settings, net)


def test_without_weight_decay_there_is_nothing_to_multiply():
    with pytest.raises(UserError, match="--weight_decay, which is 0 here"):
        selection.decay_factors(config(weight_decay=0.0, weight_decay_multipliers="all=2"), network(0.0))


@pytest.mark.parametrize("flag", ["learning_rate_multipliers", "weight_decay_multipliers"])
def test_a_factor_that_is_no_number_is_told_at_once(flag):
    with pytest.raises(FlagError, match=f"--{flag}: 'head=x' is not TERM=FACTOR"):
        config(**{flag: "head=x"})


def weights(folder):
    reader = tf.train.load_checkpoint(str(folder))
    return {n: reader.get_tensor(n) for n in reader.get_variable_to_shape_map() if n.startswith("LeNet")}


@pytest.fixture
def lenet(shapes, tmp_path):
    return TrainConfig(
        dataset_dir=str(shapes["target"]),
        train_dir=str(tmp_path / "plain"),
        model_name="lenet",
        batch_size=8,
        max_number_of_steps=2,
        optimizer="sgd",
        momentum=0.0,
    )


def test_multipliers_of_one_change_no_bit_of_a_run(lenet, tmp_path):
    loop.train(lenet)
    ones = dataclasses.replace(
        lenet,
        train_dir=str(tmp_path / "ones"),
        learning_rate_multipliers="all=0.1,all=1",
        weight_decay_multipliers="all=1",
    )
    loop.train(ones)
    plain, other = weights(lenet.train_dir), weights(ones.train_dir)
    assert {name: value.tobytes() for name, value in plain.items()} == {n: v.tobytes() for n, v in other.items()}


def test_a_run_says_and_does_what_the_multipliers_ask(lenet, tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(loop.logging, "info", lambda text, *values: lines.append(text % values))
    start = dataclasses.replace(lenet, max_number_of_steps=1, learning_rate_multipliers="all=0")
    loop.train(start)
    kept = dataclasses.replace(
        lenet,
        train_dir=str(tmp_path / "kept"),
        checkpoint_path=start.train_dir,
        learning_rate_multipliers="LeNet/conv1=0,head=2",
    )
    loop.train(kept)
    before, after = weights(start.train_dir), weights(kept.train_dir)
    moved = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    assert moved == {name for name in before if "/conv1/" not in name and not name.endswith("RMSProp")}
    assert "Learning rate multipliers: 0 for 2 variables, 1 for 4 variables, 2 for 2 variables" in lines
    assert any("--trainable_scopes freezes whole layers" in line for line in lines)
