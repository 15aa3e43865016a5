import json
import os

import pytest
import tensorflow as tf

from common.errors import UserError
from datasets import dataset_factory, manifest, records
from datasets.convert import convert


@pytest.fixture
def write(photos, tmp_path):
    """write(name, text): a manifest beside the folder `photos`; '@' in the text is a photo of its own."""

    def write_one(name, text, **options):
        path = tmp_path / name
        path.write_text(text, encoding=options.get("encoding", "utf-8"))
        return str(path)

    return write_one


def convert_manifest(path, out, **options):
    return convert("manifest", str(out), manifest=path, **options)


def counts(dataset):
    return {split: entry["examples_per_class"] for split, entry in dataset["splits"].items()}


CSV = """path,label,split,group
photos/cat/0.jpg,cat,train,a
photos/cat/1.jpg,cat,val,b
photos/dog/0.jpg,dog,Training,a
photos/dog/1.jpg,"dog",test,
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.csv", CSV),
        ("list.csv", "\ufeff" + CSV.replace("\n", "\r\n")),  # as Excel saves it
        ("list.csv", CSV.replace(",", ";")),
        ("list.tsv", CSV.replace(",", "\t")),
        ("list.csv", CSV.replace("photos/", "./photos/")),
        ("list.csv", CSV.replace("/", "\\")),
        (
            "list.jsonl",
            "\n".join(
                json.dumps(
                    dict(zip(("path", "label", "split", "group"), line.replace('"', "").split(","), strict=True))
                )
                for line in CSV.splitlines()[1:]
            ),
        ),
    ],
)
def test_every_form_says_the_same(write, photos, tmp_path, name, text):
    dataset = convert_manifest(write(name, text), tmp_path / "out")
    assert dataset["class_names"] == ["cat", "dog"]
    assert counts(dataset) == {"train": [1, 1], "validation": [1, 0], "test": [0, 1]}
    assert (tmp_path / "out" / "train_files.txt").read_text().split() == ["photos/dog/0.jpg", "photos/cat/0.jpg"]
    assert "multi_label" not in dataset


def test_paths_start_from_image_dir_and_may_be_absolute(write, photos, tmp_path):
    text = f"path,label\ncat/0.jpg,cat\n{photos}/dog/1.jpg,dog\ndog/2.jpg,dog\ncat/3.jpg,cat\n"
    dataset = convert_manifest(write("list.csv", text), tmp_path / "out", image_dir=str(photos), validation_count=0)
    assert counts(dataset) == {"train": [2, 2]}


def test_splits_that_are_not_said_are_drawn(write, photos, tmp_path):
    lines = [f"photos/{name}/{k}.jpg,{name}" for name, count in (("cat", 6), ("dog", 5)) for k in range(count)]
    dataset = convert_manifest(
        write("list.csv", "\n".join(["path,label", *lines])), tmp_path / "out", validation_count=4
    )
    assert {split: sum(values) for split, values in counts(dataset).items()} == {"train": 7, "validation": 4}


MULTI = {
    "list.csv": 'path,labels\nphotos/cat/0.jpg,dog|cat\nphotos/cat/1.jpg,\nphotos/cat/2.jpg,"[""cat""]"\n',
    "list.jsonl": '{"path": "photos/cat/0.jpg", "labels": ["dog", "cat"]}\n\n'
    '{"path": "photos/cat/1.jpg", "labels": []}\n{"path": "photos/cat/2.jpg", "labels": "cat"}\n',
}


@pytest.mark.parametrize("name", MULTI)
def test_several_labels(write, photos, tmp_path, name):
    dataset = convert_manifest(write(name, MULTI[name]), tmp_path / "out", validation_count=0)
    assert dataset["multi_label"] is True
    assert counts(dataset) == {"train": [2, 1]}  # a picture counts for each of its classes
    files = dataset_factory.get_dataset(None, "train", str(tmp_path / "out")).files
    found = {}
    for record, key in zip(
        tf.data.TFRecordDataset(list(files)), (tmp_path / "out" / "train_files.txt").read_text().split(), strict=True
    ):
        feature = tf.train.Example.FromString(record.numpy()).features.feature
        found[key] = [list(feature[name].int64_list.value) for name in (records.LABEL, records.LABELS)]
        assert feature[records.LABELS].WhichOneof("kind") == "int64_list"
    assert found == {
        "photos/cat/0.jpg": [[1], [1, 0]],
        "photos/cat/1.jpg": [[-1], []],
        "photos/cat/2.jpg": [[0], [0]],
    }


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["10", "9", "2"], ["2", "9", "10"]),
        (["b", "10", "a"], ["10", "a", "b"]),
        (["é", "z", "Z a"], ["Z a", "z", "é"]),
    ],
)
def test_classes_are_sorted_as_numbers_if_all_are(write, photos, tmp_path, labels, names):
    text = "path,label\n" + "".join(f"photos/cat/{k}.jpg,{label}\n" for k, label in enumerate(labels))
    assert convert_manifest(write("list.csv", text), tmp_path / "out", validation_count=0)["class_names"] == names


@pytest.mark.parametrize("text", ["dog\ncat\nemu\n", "0:dog\n1:cat\n2:emu\n"])
def test_classes_in_the_order_of_a_file(write, photos, tmp_path, text):
    path = write("labels.txt", text)
    dataset = convert_manifest(write("list.csv", CSV), tmp_path / "out", labels_file=path)
    assert dataset["class_names"] == ["dog", "cat", "emu"]
    assert counts(dataset)["train"] == [1, 1, 0]
    marked = write("marked.txt", "\ufeff" + text)  # as Windows' editors save it
    dataset = convert_manifest(write("list.csv", CSV), tmp_path / "marked", labels_file=marked)
    assert dataset["class_names"] == ["dog", "cat", "emu"]
    with pytest.raises(UserError, match=r"list.csv, line 2: unknown class 'cat'; did you mean 'cats'"):
        convert_manifest(write("list.csv", CSV), tmp_path / "out2", labels_file=write("labels.txt", "dog\ncats\n"))


def test_files_that_cannot_be_used_are_left_out(write, photos, tmp_path):
    (photos / "cat" / "bad.jpg").write_bytes(b"<html>")
    (photos / "cat" / "loop.jpg").symlink_to(photos / "cat" / "loop.jpg")
    os.mkfifo(photos / "cat" / "pipe.jpg")
    (photos / "cat" / "zero.jpg").symlink_to("/dev/zero")
    (photos / "cat" / "folder.jpg").mkdir()
    names = ("bad", "gone", "loop", "pipe", "zero", "folder", "0")
    more = "".join(f"photos/cat/{name}.jpg,cat,train,\n" for name in names)
    dataset = convert_manifest(
        write("list.csv", CSV.replace("photos/cat/0.jpg,cat,train,a\n", "") + more), tmp_path / "out"
    )
    report = json.loads((tmp_path / "out" / "conversion_report.json").read_text())
    reasons = {entry["file"]: entry["reason"] for entry in report["left_out"]}
    assert reasons == {
        "photos/cat/bad.jpg": "not an image but an HTML page",
        "photos/cat/gone.jpg": "cannot be read: No such file or directory (line 6 of list.csv)",
        "photos/cat/loop.jpg": "cannot be read: Too many levels of symbolic links (line 7 of list.csv)",
        "photos/cat/pipe.jpg": "a named pipe, a socket or a device, not a file (line 8 of list.csv)",
        "photos/cat/zero.jpg": "a named pipe, a socket or a device, not a file (line 9 of list.csv)",
        "photos/cat/folder.jpg": "a folder, not a file (line 10 of list.csv)",
    }
    assert counts(dataset)["train"] == [1, 1]


def test_a_line_said_twice_counts_once(write, photos, tmp_path):
    text = CSV + "photos//cat/0.jpg,cat,train,a\nphotos/cat/../cat/0.jpg,cat,train,a\n"
    assert counts(convert_manifest(write("list.csv", text), tmp_path / "out"))["train"] == [1, 1]


def test_spaces_around_a_path_count_where_a_file_has_them(write, photos, tmp_path, encoded):
    (photos / "dog" / " 9.jpg ").write_bytes(encoded(99))
    more = "".join(f"{path},dog,train\n" for path in ("\tphotos/dog/1.jpg ", "photos/dog/1.jpg", "photos/dog/ 9.jpg "))
    path = write("list.csv", "path,label,split\nphotos/cat/0.jpg ,cat,train\n" + more)
    assert counts(convert_manifest(path, tmp_path / "out")) == {"train": [1, 2]}
    files = (tmp_path / "out" / "train_files.txt").read_text().splitlines()
    assert sorted(files) == ["photos/cat/0.jpg", "photos/dog/ 9.jpg ", "photos/dog/1.jpg"]
    write("list.csv", "path,label\nphotos/cat/0.jpg ,cat\nphotos/cat/0.jpg,dog\n")
    with pytest.raises(UserError, match=r"line 3: photos/cat/0.jpg has label 'dog' here and 'cat' in line 2"):
        convert_manifest(path, tmp_path / "out2")


def test_group_and_split_are_read(write, photos):
    multi_label, rows = manifest.read(write("list.csv", CSV))
    assert not multi_label
    assert [(row.line, row.split, row.group) for row in rows] == [
        (2, "train", "a"),
        (3, "validation", "b"),
        (4, "train", "a"),
        (5, "test", None),
    ]


BAD = [
    ("", r"list.csv, line 1: expected the columns path and label \(or labels\), found none"),
    ("path,label\n", r"lists no images: expected a header \(path,label\)"),
    ("path\n1.jpg\n", r"line 1: expected the columns path and label \(or labels\), found path"),
    ("path,labell\n1.jpg,a\n", r"line 1: unknown column 'labell'; did you mean 'label' or 'labels'"),
    ("path,label,width\n1.jpg,a,3\n", r"line 1: unknown column 'width'.* Known: group, label, labels, path, split"),
    ("path,label,labels\n1.jpg,a,a\n", r"line 1: the columns label and labels exclude each other"),
    ("path,label,label\n1.jpg,a,a\n", r"line 1: a column is there twice"),
    ("path,label\n1.jpg,a\n2.jpg\n", r"line 3: 1 fields, the header has 2"),
    ("path,label\n1.jpg,a\n2.jpg,a,b\n", r"line 3: 3 fields, the header has 2 \(path,label\); a field that holds ','"),
    ('path,label\n1.jpg,"a\n2.jpg,b\n', r"line 2: a field begins with a quote \(.\) that is not closed; close it"),
    ('path,label\n1.jpg,a\n2.jpg,"b\n3.jpg,"c"\n', r"line 3: a field begins with a quote \(.\) that is not closed"),
    ('path,label\n1.jpg,"a" b\n', r"line 2: ',' expected after"),
    ("path,label\n1.jpg,a\n2.jpg,\n", r"line 3: no label"),
    ("path,label\n ,a\n", r"line 2: no path"),
    ("path,label\n1.jpg,a\n2.jpg,a|b\n", r"line 3: several labels \('a\|b'\); .* call the column labels"),
    ("path,label\n1.jpg,a\n\n1.jpg,b\n", r"line 4: 1.jpg has label 'b' here and 'a' in line 2; keep one of them"),
    ("path,labels\n1.jpg,a|b\n1.jpg,b|a\n", r"line 3: 1.jpg has label 'b\|a' here and 'a\|b' in line 2"),
    (
        "path,label,split\n1.jpg,a,train\n./1.jpg,a,test\n",
        r"line 3: ./1.jpg has split 'test' here and 'train' in line 2",
    ),
    ("path,label,split\n1.jpg,a,my split\n", r"line 2: split 'my split': expected letters and digits"),
    ("path,label\n1.jpg,cat\n2.jpg,Cat\n", r"line 2: class 'cat' differs from 'Cat' \(line 3\) only in case"),
    ("path,label\n1.jpg,cat\n2.jpg,cat\n", r"has 1 classes \(cat\), expected at least two"),
    ('path,labels\n1.jpg,"[1, {}]"\n', r"line 2: label {}: expected a text"),
    ('path,labels\n1.jpg,"[1"\n', r"line 2: labels '\[1' are not a JSON list"),
    ('{"path": "1.jpg", "label": "a"}\n{"path": 3, "label": "a"}', r"line 2: no path"),
    ('{"path": "1.jpg", "label": "a"}\n{"path": "2.jpg"}', r"line 2: no label"),
    (
        '{"path": "1.jpg", "label": "a"}\n{"path": "2.jpg", "labels": ["a"]}',
        r"line 2: the columns label and labels excl",
    ),
    ('{"path": "1.jpg", "label": true}', r"line 1: label True: expected a text"),
    ('{"path": "1.jpg", "label": "a"}\nnonsense', r"line 2: not JSON"),
    ('{"path": "1.jpg", "label": "a"}\n[1]', r"line 2: expected an object such as"),
    ('[{"path": "1.jpg", "label": "a"},\n{}]', r"line 1: a JSON list; expected a table, or an object a line"),
    pytest.param('{"path": ' + "[" * 100_000, r"line 1: not JSON \(maximum recursion depth", id="deep line"),
    pytest.param("path,labels\n1.jpg," + "[" * 100_000, r"line 2: labels .* are not a JSON list", id="deep field"),
    ('{"path": "1.jpg", "label": "c\\ud800t"}', r"line 1: label 'c\\ud800t' has half of a character at 1"),
    ('{"path": "\\ud800.jpg", "label": "a"}', r"line 1: path '\\ud800.jpg' has half of a character at 0"),
    ("path,label\n1.jpg,a\n2.jpg,b\n", r"none of the 2 images of .*list.csv is there; the first: .*1.jpg. --image_dir"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_what_is_wrong_is_told_with_its_line(write, tmp_path, text, message):
    with pytest.raises(UserError, match=message) as told:
        convert_manifest(write("list.csv", text), tmp_path / "out")
    assert "\n" not in str(told.value)
    assert not (tmp_path / "out").exists()


def test_files_that_cannot_be_read_at_all(write, tmp_path):
    cases = [
        ({}, r"--manifest is missing: name a .csv, .tsv or .jsonl file"),
        ({"manifest": "gone.csv"}, r"--manifest=gone.csv cannot be read: No such file"),
        ({"manifest": write("list.csv", CSV.replace("cat", "café"), encoding="latin-1")}, r"is not UTF-8 text"),
        ({"manifest": write("b.csv", CSV), "image_dir": "gone"}, r"--image_dir=gone: no such folder"),
        ({"manifest": write("c.csv", CSV), "name": "a/b"}, r"--name=a/b: expected letters, digits"),
        ({"manifest": write("d.csv", CSV), "labels_file": "gone"}, r"--labels_file=gone cannot be read"),
    ]
    for options, message in cases:
        with pytest.raises(UserError, match=message):
            convert("manifest", str(tmp_path / "out"), **options)


def test_another_list_of_the_same_files_is_another_data_set(write, photos, tmp_path):
    path = write("list.csv", CSV)
    first = convert_manifest(path, tmp_path / "out")
    assert convert_manifest(path, tmp_path / "out") == first
    write("list.csv", CSV.replace("photos/cat/1.jpg,cat", "photos/cat/1.jpg,dog"))
    with pytest.raises(UserError, match=r"already holds data set 'images', made from other images"):
        convert_manifest(path, tmp_path / "out")
