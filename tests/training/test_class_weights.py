"""Weights of the classes, as they are written and as they are worked out."""

import numpy as np
import pytest

from common.errors import FlagError, UserError
from training import class_weights

NAMES = ("cat", "dog", "10: emu")


def test_balanced_weights_by_hand():
    """Of 12 examples, 6 of class 0, 4 of class 1, 2 of class 2: 12 / (3 * n), whose mean over the examples is 1."""
    weights = class_weights.parse("balanced", NAMES, np.array([6.0, 4.0, 2.0]))
    np.testing.assert_allclose(weights, [2 / 3, 1, 2])
    assert weights.dtype == np.float32
    np.testing.assert_allclose(class_weights.balanced(np.array([3.0, 0.0, 1.0])), [4 / 6, 1, 2])  # none of class 1


def test_weights_between_commas():
    np.testing.assert_allclose(class_weights.parse("1, 2.5,0", NAMES, None), [1, 2.5, 0])


def test_a_file_names_classes_by_name_or_number(tmp_path):
    (tmp_path / "weights").write_text("dog: 2\n\n10: emu: 0.5\n")
    np.testing.assert_allclose(class_weights.parse(str(tmp_path / "weights"), NAMES, None), [1, 2, 0.5])
    (tmp_path / "weights").write_text("0:4")
    np.testing.assert_allclose(class_weights.parse(str(tmp_path / "weights"), NAMES, None), [4, 1, 1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2", "names 2 weights, there are 3 classes"),
        ("1,x,2", "'x' is no weight of 0 or more; give 'balanced', weights between commas, or a file"),
        ("1,-1,2", "'-1' is no weight"),
        ("1,nan,2", "'nan' is no weight"),
        ("blanced", "'blanced' is no weight of 0 or more, and there is no such file; give 'balanced'"),
        ("a,b/none.txt", "'a' is no weight of 0 or more, and there is no such file"),
        ("0,0.0,0", "--class_weights=0,0.0,0: all weights are 0, so that nothing would be learned"),
    ],
)
def test_wrong_weights_are_told(text, message):
    with pytest.raises(FlagError, match=message):
        class_weights.parse(text, NAMES, None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("cat: 1\ndgo: 2", r"line 2: unknown class 'dgo'; did you mean 'dog'"),
        ("7: 2", r"line 1: unknown class '7'"),
        ("cat: heavy", r"line 1: 'heavy' is no weight of 0 or more; expected CLASS: WEIGHT, such as daisy: 2.5"),
        ("cat 2", r"line 1: "),
        ("0: 0\n1: 0\n2: 0", r"weights: all weights are 0, so that nothing would be learned"),
    ],
)
def test_wrong_lines_are_told(tmp_path, content, message):
    (tmp_path / "weights").write_text(content)
    with pytest.raises(UserError, match=message):
        class_weights.parse(str(tmp_path / "weights"), NAMES, None)


def test_the_log_says_it_in_one_line():
    assert class_weights.described(np.array([1.0, 0.25, 2.0]), NAMES) == "Class weights: 0.25 (dog) to 2 (10: emu)"
