"""Averages of several checkpoints."""

import numpy as np
import pytest
import tensorflow as tf

from checkpoint_tools import soup
from checkpoints import writer
from common.errors import UserError


def checkpoint(weight, step=5, **others):
    return {
        "a/weights": np.array([weight, 1.0], np.float32),
        "a/BatchNorm/moving_mean": np.array([2 * weight], np.float32),
        "a/weights/RMSProp": np.ones(2, np.float32),
        "global_step": np.int64(step),
        **others,
    }


def mixed(*parts):
    mean = soup.Soup()
    for k, (values, weight) in enumerate(parts):
        mean.add(values, weight, f"{k}.ckpt")
    return mean.result()


def test_the_mean_by_hand():
    values, lines = mixed((checkpoint(1.0, 5), 0.5), (checkpoint(2.0, 6), 0.3), (checkpoint(6.0, 9), 0.2))
    assert sorted(values) == ["a/BatchNorm/moving_mean", "a/weights", "global_step"]
    np.testing.assert_array_equal(values["a/weights"], np.array([2.3, 1.0], np.float32))
    np.testing.assert_array_equal(values["a/BatchNorm/moving_mean"], np.array([4.6], np.float32))
    assert values["a/weights"].dtype == np.float32
    assert values["global_step"] == 9, "the last one's"
    assert lines[0] == "average: 2 variables of 3 checkpoints; slots and averages left out"
    assert "--learning_rate=0 --batch_norm=recomputed" in lines[1]


def test_sums_are_float64():
    parts = [(checkpoint(float(np.float32(1 + 2**-20 * k))), 1 / 3) for k in range(3)]
    values, _ = mixed(*parts)
    assert values["a/weights"][0] == np.float32(1 + 2**-20)


def test_a_checkpoint_with_averages_is_told_of():
    shadows = {"a/weights/ExponentialMovingAverage": np.ones(2, np.float32)}
    _, lines = mixed((checkpoint(1.0, **shadows), 0.5), (checkpoint(2.0), 0.5))
    assert "--fold_averages averages these instead" in lines[1]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"b/weights": np.ones(1, np.float32)}, r"1 more \(b/weights\)"),
        ({"a/weights": np.ones(3, np.float32)}, r"1 of another shape \(a/weights 2 and 3\)"),
        ({"a/count": np.array(4)}, r"1 more \(a/count\)"),
    ],
)
def test_checkpoints_that_differ_are_named_with_what_differs(other, message):
    with pytest.raises(UserError, match=rf"1.ckpt cannot be averaged with 0.ckpt, .*{message}"):
        mixed((checkpoint(1.0), 0.5), (checkpoint(1.0, **other), 0.5))


def test_integers_must_be_equal():
    values, _ = mixed((checkpoint(1.0, n=np.array(3)), 0.5), (checkpoint(2.0, n=np.array(3)), 0.5))
    assert values["n"] == 3
    with pytest.raises(UserError, match=r"n, which is no real number, differs between 0.ckpt and 1.ckpt"):
        mixed((checkpoint(1.0, n=np.array(3)), 0.5), (checkpoint(2.0, n=np.array(4)), 0.5))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    for step in (5, 10, 100):
        writer.save(folder, step, {"a": tf.zeros(2)}, keep=0)
    return folder


def test_paths_are_lists_globs_and_the_newest_of_a_folder(run):
    prefix = f"{run}/model.ckpt-"
    assert soup.paths(f"{prefix}5, {prefix}10") == [f"{prefix}5", f"{prefix}10"]
    assert soup.paths(f"{prefix}1*") == [f"{prefix}10", f"{prefix}100"]
    assert soup.paths(f"{run}/*") == [f"{prefix}5", f"{prefix}10", f"{prefix}100"], "by step"
    assert soup.paths(str(run), last=2) == [f"{prefix}10", f"{prefix}100"]
    assert soup.paths(str(run)) == [str(run)]
    assert soup.paths("zoo:vgg_16") == ["zoo:vgg_16"]


@pytest.mark.parametrize(
    ("path", "last", "message"),
    [
        ("{run}/nothing*", None, r"nothing\* matches no whole checkpoint; .* holds model.ckpt-5, model.ckpt-10, "),
        ("{run}", 4, "holds 3 whole checkpoints: use --last=3"),
        ("{run}/model.ckpt-5", 2, "takes checkpoints of a run's folder"),
    ],
)
def test_wrong_paths_say_what_there_is(run, path, last, message):
    with pytest.raises(UserError, match=message):
        soup.paths(path.format(run=run), last)
