import pytest

from common.errors import FlagError, UserError
from datasets import assignments
from datasets.sources import Contents, Item

KEYS = ("cat/1.jpg", "cat/2.jpg", "dog/a, b.jpg", "dog/caf\u00e9.jpg", "emu/1.jpg", "emu/1.png")


def contents(keys=KEYS, left_out=()):
    return Contents(["cat", "dog", "emu"], [Item(key, 0) for key in keys], load=None, left_out=left_out)


def split_of(tmp_path, text, **more):
    path = tmp_path / "list.csv"
    path.write_text(text, encoding="utf-8")
    return {item.key: item.split for item in assignments.listed_splits(contents(**more), str(path)).items}


@pytest.mark.parametrize(
    "text",
    [
        "cat/1.jpg,train\ncat/2.jpg,validation\n",
        "path,split\ncat/1.jpg,train\ncat/2.jpg,val\n",
        "# mine\n\n./cat/1.jpg, training\ncat\\2.jpg,Valid\n",
        "cat/1.jpg\ttrain\ncat/2.jpg\tvalidation\n",
        '"cat/1.jpg",train\n"cat/2.jpg","validation"\n',
        "\ufeffcat/1,train\ncat/2,validation\n",  # no suffix; a byte order mark
    ],
)
def test_a_list_says_splits_in_many_ways(tmp_path, text):
    found = split_of(tmp_path, text)
    assert (found["cat/1.jpg"], found["cat/2.jpg"]) == ("train", "validation")
    assert found["emu/1.jpg"] is None


def test_keys_with_commas_and_accents(tmp_path):
    found = split_of(tmp_path, "dog/a, b.jpg,test\ndog/cafe\u0301.jpg,holdout7\n")
    assert (found["dog/a, b.jpg"], found["dog/caf\u00e9.jpg"]) == ("test", "holdout7")


def test_whatever_the_key_has_in_it(tmp_path):
    """As a conversion's own lists write them; a line that begins with # is a comment unless an image is called so."""
    keys = ("#c/1.jpg", "cat/tab\tand, comma.jpg", "cat/space ", "cat/return\r", "dog/1.jpg")
    text = "".join(f"{key},test\n" for key in keys[:4]) + "# made by me, 2026\n#dog/1.jpg,test\n#\n"
    assert split_of(tmp_path, text, keys=keys) == {**dict.fromkeys(keys[:4], "test"), "dog/1.jpg": None}


def test_a_file_for_each_split(tmp_path):
    (tmp_path / "t.txt").write_text("cat/1.jpg\ndog/a, b.jpg\n")
    (tmp_path / "v.txt").write_text("cat/2\n")
    given = f"train={tmp_path}/t.txt,val={tmp_path}/v.txt"
    found = {item.key: item.split for item in assignments.listed_splits(contents(), given).items}
    assert [found[key] for key in KEYS[:3]] == ["train", "validation", "train"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cat/l.jpg,train\n", r"line 1: there is no image 'cat/l.jpg'; did you mean .*'cat/1.jpg'"),
        ("cat/1.jpg,train\nx,train\ny,test\n", r"line 2: there is no image 'x'.*\(2 of 3 listed are not there\)"),
        ("emu/1,train\n", r"there is no image 'emu/1'; did you mean 'emu/1"),  # a .jpg and a .png
        ("cat/1.jpg,train\ncat/1,test\n", r"line 2: 'cat/1' is listed for test, at .*line 1 for another"),
        ("cat/1.jpg\n", r"line 1: expected `key,split`, found 'cat/1.jpg'"),
        ("cat/1.jpg,my split\n", r"'my split' is no name of a split; expected letters and digits"),
        ("\n", "lists no images"),
    ],
)
def test_a_wrong_list_says_what_and_where(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        split_of(tmp_path, text)


def test_what_was_left_out_may_be_listed(tmp_path):
    assert split_of(tmp_path, "cat/0.jpg,train\ncat/1.jpg,test\n", left_out=[("cat/0.jpg", "empty file")])


def test_a_list_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"--split_file: cannot read .*gone.csv: No such file"):
        assignments.listed_splits(contents(), str(tmp_path / "gone.csv"))
    (tmp_path / "same.txt").write_text("cat/1\n")
    with pytest.raises(UserError, match=r"same.txt, line 1: 'cat/1' is listed for test, at .*same.txt, line 1 for an"):
        assignments.listed_splits(contents(), f"train={tmp_path}/same.txt,test={tmp_path}/same.txt")
    with pytest.raises(FlagError, match="expected FILE, or SPLIT=FILE,SPLIT=FILE; found 'b'"):
        assignments.listed_splits(contents(), "train=a,b")


def test_the_digest_is_of_what_the_list_says(tmp_path):
    a, b, c = (tmp_path / name for name in "abc")
    a.write_text("cat/1.jpg,train\ncat/2.jpg,validation\n")
    b.write_text("path,split\ncat/2.jpg,val\n# comment\ncat/1.jpg,train\n")
    c.write_text("cat/1.jpg,train\ncat/2.jpg,train\n")
    assert assignments.digest(str(a)) == assignments.digest(str(b)) != assignments.digest(str(c))


def test_groups_by_pattern():
    items = assignments.groups_by_pattern(contents(("a/x_1.jpg", "b/x_2.jpg", "b/y.jpg")), r"/(\w+)_\d").items
    assert [item.group for item in items] == ["x", "x", None]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (r"(\w+", "no regular expression"),
        (r"\w+_\d", r"it has no \(group\)"),
        (r"(frog)", "matches none of the 6 keys, such as 'cat/1.jpg'"),
    ],
)
def test_a_wrong_pattern(pattern, message):
    with pytest.raises(UserError, match=message):
        assignments.groups_by_pattern(contents(), pattern)


def test_copies_and_their_groups_become_one_group():
    given = [Item("a", 0), Item("b", 0), Item("c", 0, group="g"), Item("d", 0, group="g"), Item("e", 0), Item("f", 0)]
    items = assignments.together(given, [["a", "b"], ["b", "c"]])
    groups = [item.group for item in items]
    assert len(set(groups[:4])) == 1
    assert groups[0] is not None
    assert groups[4:] == [None, None]
