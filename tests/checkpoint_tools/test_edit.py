"""Edits of a checkpoint's arrays."""

import numpy as np
import pytest
import tensorflow as tf

from checkpoint_tools import edit
from checkpoints import renames
from common.errors import UserError

BFLOAT16 = np.dtype(tf.bfloat16.as_numpy_dtype)


@pytest.fixture
def values():
    """A small run's checkpoint: a network of three variables, slots, averages of two of them, counters."""
    rng = np.random.default_rng(0)
    network = {
        "Net/conv/weights": rng.normal(size=[3, 4]).astype(np.float32),
        "Net/conv/BatchNorm/moving_variance": rng.uniform(1, 2, size=[4]).astype(np.float32),
        "Net/logits/biases": np.array([0.1, -np.nan, np.inf], np.float32),
    }
    extra = {f"{name}/RMSProp": np.ones_like(value) for name, value in network.items()}
    shadows = {f"{name}/ExponentialMovingAverage": value + 1 for name, value in list(network.items())[:2]}
    counters = {"global_step": np.int64(700), "beta1_power": np.float32(0.9)}
    return {**network, **extra, **shadows, **counters}


def test_strip_leaves_the_variables_and_the_step_bit_for_bit(values):
    kept, text = edit.strip(values)
    assert list(kept) == [*list(values)[:3], "global_step"]
    assert all(kept[name] is values[name] for name in kept), "the very arrays, NaN payloads and all"
    assert text == "strip: 6 of 10 left out (2 ExponentialMovingAverage, 3 RMSProp, 1 beta1_power)"


def test_averages_take_the_place_of_their_variables(values):
    folded, text = edit.fold_averages(values, "x.ckpt")
    np.testing.assert_array_equal(folded["Net/conv/weights"], values["Net/conv/weights"] + 1)
    assert folded["Net/logits/biases"] is values["Net/logits/biases"]
    assert not any("ExponentialMovingAverage" in name for name in folded)
    assert folded["global_step"] == 700
    assert text == (
        "fold_averages: 2 averages in the place of their variables; 1 have none and stay as they are "
        "(Net/logits/biases)"
    )


def test_averages_alone_become_variables():
    folded, _ = edit.fold_averages({"a/weights/ExponentialMovingAverage": np.ones(2, np.float32)}, "x")
    assert list(folded) == ["a/weights"]


def test_without_averages_the_flag_to_leave_out_is_told(values):
    with pytest.raises(UserError, match=r"x.ckpt holds no moving averages .*leave --fold_averages out"):
        edit.fold_averages(edit.strip(values)[0], "x.ckpt")


@pytest.mark.parametrize("dtype", [np.dtype(np.float16), BFLOAT16], ids=lambda dtype: dtype.name)
def test_cast_changes_real_numbers_only(values, dtype):
    result, text = edit.cast(values, dtype, "x")
    assert result["Net/conv/weights"].dtype == dtype
    assert result["global_step"].dtype == np.int64
    assert text == f"cast: 9 variables to {dtype.name}, 1 stay as they are"
    back, _ = edit.cast(result, np.dtype(np.float32), "x")
    np.testing.assert_allclose(back["Net/conv/weights"], values["Net/conv/weights"], rtol=2.0**-8)
    np.testing.assert_array_equal(back["beta1_power"], np.float32(0.9).astype(dtype).astype(np.float32))


def test_cast_to_float16_refuses_what_it_cannot_hold_and_counts_what_vanishes():
    small = {"a": np.array([1e-9, 1.0, 0.0], np.float32), "b": np.ones(3, np.float16)}
    result, text = edit.cast(small, np.dtype(np.float16), "x")
    np.testing.assert_array_equal(result["a"], [0, 1, 0])
    assert text.startswith("cast: 1 variables to float16, 1 stay as they are; 1 of 3 numbers were so small")
    large = {"Net/moving_variance": np.array([7e4, np.inf], np.float32)}
    with pytest.raises(UserError, match=r"x: Net/moving_variance holds 7e\+04, which float16 .*use --cast=bfloat16"):
        edit.cast(large, np.dtype(np.float16), "x")
    assert edit.cast(large, BFLOAT16, "x")[0]["Net/moving_variance"][1] == np.inf


def test_rename_gives_scopes_other_names(values):
    renamed, text = edit.rename(values, renames.parse("Net/conv:Net/conv1,Net/logits:Head"), "--rename")
    assert renamed["Net/conv1/weights"] is values["Net/conv/weights"]
    assert "Head/biases/RMSProp" in renamed
    assert text == "rename: 8 of 10 names"
    with pytest.raises(UserError, match=r"--rename: the checkpoint has no 'Net/con'; .*--rename=Net/conv:x"):
        edit.rename(values, renames.parse("Net/con:x"), "--rename")
