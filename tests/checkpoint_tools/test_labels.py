"""Which class of one list is which of another, and where lists of class names come from."""

import json

import pytest

from checkpoint_tools import label_files
from checkpoint_tools.labels import match
from common.errors import UserError
from datasets import imagenet_metadata, imagenet_names

IMAGENET = imagenet_names.class_names(1001)
WITHOUT_BACKGROUND = imagenet_names.class_names(1000)
SYNSETS = imagenet_metadata.read_synsets(None)


@pytest.mark.parametrize(
    ("target", "source", "rows"),
    [
        ("emu cat", "cat dog emu", {0: 2, 1: 0}),
        ("Emu CAT", "cat emu", {0: 1, 1: 0}),
        ("big_dog", ["small dog", "Big-Dog"], {0: 1}),
        (["  big   dog "], ["big dog"], {0: 0}),
        (["café"], ["café"], {0: 0}),
        ("roses", "rose", {}),  # no plurals
        ("rose", ["rose hip"], {}),  # whole names
        ("puma", ["cougar, puma, mountain lion"], {0: 0}),
        (["cougar, puma"], ["puma"], {0: 0}),
        (["puma, cougar"], ["cougar, puma, mountain lion"], {0: 0}),
        (["Smith, Bob"], ["Smith, John"], {}),  # one name in common is not enough
        (["Smith, John"], ["Smith, Anna", "Smith, John"], {0: 1}),
        (["puma", "cougar"], ["cougar, puma"], {0: 0, 1: 0}),
        ("a b c", "a b c", {0: 0, 1: 1, 2: 2}),
        ("a a b", "b a a", {0: 1, 1: 2, 2: 0}),  # the same two: in order
        (["maillot", "maillot, tank suit"], ["maillot", "maillot, tank suit"], {0: 0, 1: 1}),
        (["maillot, tank suit"], ["maillot", "maillot, tank suit"], {0: 1}),
        ([""], ["", "a"], {}),
        ([], ["a"], {}),
    ],
)
def test_names_are_the_same_exactly_after_normalisation(target, source, rows):
    target, source = (value.split() if isinstance(value, str) else value for value in (target, source))
    found = match(target, source)
    assert (found.rows, found.ambiguous) == (rows, {})
    assert set(found.unmatched) == set(range(len(target))) - set(rows)


@pytest.mark.parametrize(
    ("name", "source", "places"),
    [
        ("crane", IMAGENET, (135, 518)),
        ("maillot", IMAGENET, (639, 640)),
        ("Smith", ["Smith, Anna", "Smith, John"], (0, 1)),
        ("a", ["a", "A"], (0, 1)),
    ],
)
def test_a_name_of_two_classes_is_told_and_not_guessed_at(name, source, places):
    found = label_files.match((name,), tuple(source))
    assert (found.rows, found.ambiguous, found.unmatched) == ({}, {0: places}, ())
    choices = " or ".join(f"class {place} ({source[place]!r})" for place in places)
    assert found.missed() == [f"{name!r}: may be {choices}; its WordNet id would tell"]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("daisy", 986),
        ("background", 0),
        ("tench", 1),
        ("Tinca tinca", 1),
        ("tench, Tinca tinca", 1),
        ("great_white_shark", 3),
        ("man-eating shark", 3),
        ("n01440764", 1),
        ("n01440764_tench", 1),
        ("n01440764-anything", 1),  # the id says more than the name
        ("n02012849", 135),
        ("n03126707 crane", 518),
        ("n99999999", None),
        ("rose", None),
    ],
)
def test_imagenets_classes_by_name_and_wordnet_id(name, place):
    for source, before in ((IMAGENET, 0), (WITHOUT_BACKGROUND, 1)):
        expected = {} if place is None or place < before else {0: place - before}
        assert label_files.match((name,), source).rows == expected


def test_wordnet_ids_in_the_source():
    """As image_folder names the classes of ImageNet's own folders."""
    source = tuple(SYNSETS)
    assert label_files.match(("tench", "crane", "n02012849", "cardigan"), source).rows == {0: 0, 2: 134}
    assert label_files.match(("n02012849",), ("dog", "crane")).rows == {}  # which crane is meant is not known


def test_whole_lists_go_one_to_one():
    assert label_files.match(IMAGENET, IMAGENET).rows == {k: k for k in range(1001)}
    assert label_files.match(WITHOUT_BACKGROUND, IMAGENET).rows == {k: k + 1 for k in range(1000)}
    assert label_files.match(tuple(SYNSETS), IMAGENET).rows == {k: k + 1 for k in range(1000)}


def test_what_has_no_row_is_listed_with_near_matches():
    found = label_files.match(("roses", "daisy", "tulips", "dasy"), IMAGENET)
    assert found.rows == {1: 986}
    lines = found.missed(most=2)
    assert lines[0].startswith("'roses': unknown to the source (near: ")
    assert lines[1].startswith("'tulips': unknown to the source")
    assert lines[2] == "and 1 more"
    assert "'daisy'" in found.missed()[2]


@pytest.mark.parametrize(
    "text",
    [
        "emu\ncat\nbig dog\n",
        "2:big dog\n0:emu\n1:cat\n",
        '["emu", "cat", "big dog"]',
        '{"0": "emu", "2": "big dog", "1": "cat"}',
        '{"cat": 1, "emu": 0, "big dog": 2}',
        '{"model": {"labels": ["emu", "cat", "big dog"]}, "flags": {}}',
        '{"class_names": ["emu", "cat", "big dog"], "num_classes": 3}',
    ],
    ids=["plain", "slim", "list", "numbers", "names", "run.json", "dataset.json"],
)
def test_a_file_of_names(text, tmp_path):
    path = tmp_path / "names"
    path.write_text(text)
    assert label_files.read(str(path), "--x") == ("emu", "cat", "big dog")


def test_keras_list_of_imagenet(tmp_path):
    path = tmp_path / "imagenet_class_index.json"
    path.write_text(json.dumps({"1": ["n01443537", "goldfish"], "0": ["n01440764", "tench"]}))
    names = label_files.read(str(path), "--x")
    assert label_files.match(("goldfish", "n01440764"), names).rows == {0: 1, 1: 0}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty: expected the name of a class in each line"),
        (b"\xff\xfe\x00", r"cannot be read: "),
        (b"[1, 2]", r"holds no class names: expected a list of them"),
        (b'{"a": "b"}', r"holds no class names"),
        (b'["a", ', r"is no JSON \("),
    ],
)
def test_a_file_that_holds_no_names_is_told(content, message, tmp_path):
    path = tmp_path / "names"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"--x=.*names {message}"):
        label_files.read(str(path), "--x")


def test_the_background_class_follows_from_the_number_of_rows():
    names = ("background", "a", "b")
    assert label_files.fitted(names, 3, "F") == names
    assert label_files.fitted(names, 2, "F") == ("a", "b")
    assert label_files.fitted(WITHOUT_BACKGROUND, 1001, "F") == IMAGENET
    with pytest.raises(UserError, match=r"F names 3 classes, the checkpoint has 4: one line per class"):
        label_files.fitted(names, 4, "F")
    with pytest.raises(UserError, match=r"F names 3 classes, the checkpoint has 2"):
        label_files.fitted(("a", "b", "c"), 2, "F")


def test_where_a_checkpoints_names_are_found(tmp_path):
    prefix = str(tmp_path / "model.ckpt-1")
    assert label_files.beside(prefix, 2, ("a", "b")) == (("a", "b"), "its run.json")
    assert label_files.beside(prefix, 2, None) is None
    assert label_files.beside(prefix, 1000, None) == (WITHOUT_BACKGROUND, "ImageNet's list")
    (tmp_path / "labels.txt").write_text("0:c\n1:d\n")
    assert label_files.beside(prefix, 2, None) == (("c", "d"), str(tmp_path / "labels.txt"))
    with pytest.raises(UserError, match=r"labels.txt names 2 classes, the checkpoint has 1001"):
        label_files.beside(prefix, 1001, None)
