"""Class names of an export: the file's, the run's, ImageNet's, or numbers."""

import pytest

from common.errors import UserError
from exporting import labels
from training.runs import ModelInfo

NAMES = ("emu", "cat", "big dog")


def info(num_classes=3, names=NAMES):
    return ModelInfo("linear", num_classes, 32, 3, "lenet", names)


@pytest.mark.parametrize(
    "content",
    [
        "emu\ncat\nbig dog\n",
        "emu\r\ncat\r\nbig dog",
        "\ufeffemu\ncat\n\nbig dog\n\n",
        "0:emu\n1:cat\n2:big dog\n",
        "2:big dog\n0:emu\n1:cat\n",
    ],
    ids=["plain", "windows", "mark and blank lines", "slim", "slim in another order"],
)
def test_a_file_of_names(content, tmp_path):
    (tmp_path / "names.txt").write_bytes(content.encode())
    assert labels.class_names(info(names=("x", "y", "z")), str(tmp_path / "names.txt")) == NAMES


def test_names_may_have_colons(tmp_path):
    """Only a number on every line, and each number once, is Slim's form."""
    (tmp_path / "names.txt").write_text("10:30 train\n1:cat\nbird: emu\n")
    assert labels.class_names(info(), str(tmp_path / "names.txt")) == ("10:30 train", "1:cat", "bird: emu")


def test_a_file_of_another_length_is_refused(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("emu\ncat\n")
    with pytest.raises(UserError, match=rf"--labels_file={path} names 2 classes, the checkpoint has 3: one line per"):
        labels.class_names(info(), str(path))


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x01")
    for name in ("nowhere.txt", "binary", "."):
        with pytest.raises(UserError, match=r"--labels_file=.* cannot be read: "):
            labels.class_names(info(), str(tmp_path / name))


def test_the_runs_names_win_over_imagenets():
    names = tuple(f"n{k}" for k in range(1001))
    assert labels.class_names(info(1001, names), None) == names


def test_imagenets_names_where_the_count_fits():
    with_background = labels.class_names(info(1001, None), None)
    assert (len(with_background), with_background[0], with_background[1]) == (1001, "background", "tench, Tinca tinca")
    assert with_background[986] == "daisy"
    assert labels.class_names(info(1000, None), None) == with_background[1:]


def test_numbers_where_no_names_are_known(monkeypatch):
    warnings = []
    monkeypatch.setattr(labels.logging, "warning", lambda text, *values: warnings.append(text % values))
    assert labels.class_names(info(3, None), None) == ("0", "1", "2")
    assert "--labels_file gives names" in warnings[0]
