import contextlib

import pytest

from common.errors import UserError
from datasets import dataset_utils, shards


def test_labels_are_written_and_read_as_slim_did(tmp_path):
    labels = {0: "daisy", 1: "n01440764: tench, Tinca tinca", 2: "crème brûlée"}
    assert not dataset_utils.has_labels(str(tmp_path))
    dataset_utils.write_label_file(labels, str(tmp_path))
    assert dataset_utils.has_labels(str(tmp_path))
    text = (tmp_path / "labels.txt").read_text(encoding="utf-8")
    assert text == "0:daisy\n1:n01440764: tench, Tinca tinca\n2:crème brûlée\n"
    assert dataset_utils.read_label_file(str(tmp_path)) == labels


def test_labels_with_empty_lines_and_as_windows_saves_them_are_read(tmp_path):
    (tmp_path / "labels.txt").write_bytes(b"\xef\xbb\xbf0:a\r\n\r\n1:b\r\n")
    assert dataset_utils.read_label_file(str(tmp_path)) == {0: "a", 1: "b"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"daisy\n", r"labels.txt, line 1: expected <id>:<name>, such as 0:daisy; found 'daisy'"),
        (b"0:a\nx:b\n", r"labels.txt, line 2"),
        (b"0:\xff\n", "labels.txt is not UTF-8 text"),
    ],
)
def test_damaged_labels_name_the_line(tmp_path, content, message):
    (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        dataset_utils.read_label_file(str(tmp_path))


def test_sharded_output(tmp_path):
    with contextlib.ExitStack() as stack:
        writers = dataset_utils.open_sharded_output_tfrecords(stack, str(tmp_path / "val.record"), 2)
        writers[1].write(b"x")
    names = ["val.record-00000-of-00002", "val.record-00001-of-00002"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert [shards.scan(str(tmp_path / name)).examples for name in names] == [0, 1]
