"""Statistics of a checkpoint's variables, and the difference of two checkpoints."""

import numpy as np
import pytest
import tensorflow as tf

from checkpoint_tools import arrays, difference, statistics
from checkpoints import writer
from checkpoints.reader import open_checkpoint


def only(name, array):
    """The one finding about an array."""
    (finding,) = statistics.of_array(name, np.asarray(array)).findings
    return finding.kind, finding.count, finding.total


def test_moments_worked_by_hand():
    found = statistics.of_array("x", np.array([[1.0, 2.0], [3.0, 6.0]], np.float32))
    # mean 3; squares of the differences: 4 + 1 + 0 + 9 = 14; 14 / 4 = 3.5
    assert (found.mean, found.std, found.minimum, found.maximum) == (3.0, 3.5**0.5, 1.0, 6.0)
    assert (found.shape, found.dtype, found.nan, found.inf, found.findings) == ((2, 2), "float32", 0, 0, ())


def test_moments_do_not_depend_on_the_pieces(monkeypatch):
    values = np.random.RandomState(0).normal(1000.0, 0.1, 1000)
    whole = statistics.of_array("x", values)
    monkeypatch.setattr(arrays, "_BLOCK", 7)
    pieces = statistics.of_array("x", values)
    assert pieces.mean == pytest.approx(values.mean(), rel=1e-12)
    assert pieces.std == pytest.approx(values.std(), rel=1e-9)
    assert (pieces.minimum, pieces.maximum) == (whole.minimum, whole.maximum) == (values.min(), values.max())


def test_what_is_not_finite_is_counted_and_left_out_of_the_moments():
    found = statistics.of_array("x", np.array([1.0, np.nan, 3.0, np.inf, -np.inf]))
    assert (found.nan, found.inf, found.mean, found.minimum, found.maximum) == (1, 2, 2.0, 1.0, 3.0)
    assert only("x", [1.0, np.nan]) == ("not_finite", 1, 2)
    empty = statistics.of_array("x", np.array([np.nan]))
    assert (empty.mean, empty.std, empty.minimum) == (None, None, None)


def kernel(*dead, shape=(3, 3, 2, 4), size=0.0):
    array = np.random.RandomState(1).normal(0, 0.05, shape).astype(np.float32)
    array.reshape(-1, shape[-1])[:, list(dead)] = size
    return array


def test_dead_filters_are_output_channels():
    assert only("a/weights", kernel(1, 3)) == ("dead_filters", 2, 4)
    assert only("a/weights", kernel(1, size=1e-7)) == ("dead_filters", 1, 4)
    assert only("dense/kernel", kernel(0, shape=(5, 3))) == ("dead_filters", 1, 3)
    assert statistics.of_array("a/weights", kernel()).findings == ()
    assert statistics.of_array("a/weights", kernel(0, size=1e-3)).findings == ()
    # Of a depthwise kernel [h, w, in, multiplier], each input channel has filters of its own.
    depthwise = np.ones((3, 3, 4, 2), np.float32)
    depthwise[:, :, 2, :] = 0
    depthwise[:, :, 0, 1] = 0
    assert only("a/depthwise_weights", depthwise) == ("dead_filters", 3, 8)
    # Slots have the kernel's shape, and zeros by right.
    assert statistics.of_array("a/weights/Momentum", kernel(1, 3)).findings == ()
    assert only("a/weights/ExponentialMovingAverage", kernel(1)) == ("dead_filters", 1, 4)


@pytest.mark.parametrize(
    ("name", "array", "finding"),
    [
        ("bn/gamma", [1.0, 0.0, -5e-5], ("zero_gamma", 2, 3)),
        ("bn/moving_variance", [1.0, 1e-20, 0.0], ("zero_variance", 2, 3)),
        ("bn/moving_variance", [1.0, -1.0], ("negative_variance", 1, 2)),
        ("a/weights", np.full((2, 2), 0.5), ("constant", 4, 4)),
        ("a/weights", np.array([[15.0, 2e4]]), ("huge", 1, 2)),
    ],
)
def test_suspicious_variables(name, array, finding):
    assert only(name, array) == finding


@pytest.mark.parametrize(
    ("name", "array"), [("bn/beta", [0.0, 0.0]), ("a/biases", [0.0]), ("bn/moving_mean", [0.0]), ("s", np.int64(3))]
)
def test_zeros_that_are_in_order(name, array):
    assert statistics.of_array(name, np.asarray(array)).findings == ()


def test_the_worst_comes_first():
    findings = [
        statistics.Finding("few", "dead_filters", 1, 10, ""),
        statistics.Finding("many", "dead_filters", 9, 10, ""),
        statistics.Finding("nan", "not_finite", 1, 10, ""),
        statistics.Finding("gamma", "zero_gamma", 10, 10, ""),
    ]
    assert [finding.name for finding in statistics.ranked(findings)] == ["nan", "many", "few", "gamma"]


def test_reading_in_groups_reads_all_in_order(tmp_path, monkeypatch):
    values = {f"v{k}": np.full(k + 1, k, np.float32) for k in range(5)}
    opened = open_checkpoint(writer.save(tmp_path, 1, values | {"text": tf.constant("a")}))
    monkeypatch.setattr(arrays, "_GROUP_BYTES", 12)
    read = dict(arrays.read_in_groups(opened, ["v4", "v0", "v1", "v2", "v3"]))
    assert list(read) == ["v4", "v0", "v1", "v2", "v3"]
    assert all(np.array_equal(read[name], value) for name, value in values.items())
    measured = {one.name: one for one in statistics.measure(opened)}
    assert set(measured) == {*values, "global_step"}  # text has no moments


def test_half_precision_is_measured():
    found = statistics.of_array("x/weights", tf.constant([[1.0, 2.0]], tf.bfloat16).numpy())
    assert (found.mean, found.dtype) == (1.5, "bfloat16")


# -- the difference -------------------------------------------------------------------------------


def saved(folder, values, step=1):
    return open_checkpoint(writer.save(folder, step, values))


def test_two_checkpoints_compared(tmp_path):
    same = np.arange(4, dtype=np.float32)
    here = {"same": same, "moved": same, "little": same, "shape": same, "gone": same, "type": same}
    there = {
        "same": same,
        "moved": same + np.array([0, 0, 0, 3], np.float32),
        "little": same * np.float32(1.001),
        "shape": same[:2],
        "new": same,
        "type": same.astype(np.float64),
    }
    found = difference.compare(saved(tmp_path / "a", here), saved(tmp_path / "b", there))
    assert (found.only_here, found.only_there, found.equal) == (("gone",), ("new",), 2)  # `same` and the step
    assert found.other_shape == {"shape": ((4,), (2,))}
    assert [change.name for change in found.changed] == ["moved", "little", "type"]
    moved, little, of_type = found.changed
    assert (moved.max_absolute, moved.max_relative, moved.count) == (3.0, 0.5, 1)  # 3 of 6
    assert (little.max_relative, little.count) == (pytest.approx(0.001, rel=1e-3), 3)  # 0 stays 0
    assert (of_type.max_absolute, of_type.count, of_type.dtypes) == (0.0, 0, ("float32", "float64"))
    assert not found.is_none
    text = difference.report(found)
    assert "  - gone: only in the first" in text
    assert "  + new: only in the second" in text
    assert "  ! shape: 4 in the first, 2 in the second" in text
    assert text.endswith("2 with equal bits, 3 changed, 1 of another shape, 1 only in the first, 1 only in the second")
    again = difference.compare(saved(tmp_path / "c", here), saved(tmp_path / "a", here))
    assert again.is_none
    assert again.equal == len(here) + 1


@pytest.mark.parametrize(
    ("a", "b", "largest", "count"),
    [
        ([1.0, np.nan], [2.0, np.nan], 1.0, 1),
        ([1.0, np.nan], [1.0, 3.0], np.inf, 1),
        ([np.inf], [-np.inf], np.inf, 1),
        ([0.0], [-0.0], 0.0, 0),  # equal numbers, other bits
    ],
)
def test_numbers_that_are_not_finite(a, b, largest, count):
    change = difference.compare_arrays("x", np.array(a), np.array(b))
    assert (change.max_absolute, change.count) == (largest, count)
    assert difference.compare_arrays("x", np.array(a), np.array(a)) is None


def test_texts_are_compared_too():
    change = difference.compare_arrays("x", np.array([b"a", b"b"], object), np.array([b"a", b"c"], object))
    assert change.count == 1
    assert difference.compare_arrays("x", np.array(b"a", object), np.array(b"a", object)) is None
