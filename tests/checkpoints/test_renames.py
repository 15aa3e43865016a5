"""Names in the checkpoint that are others in the network."""

import re

import numpy as np
import pytest

from checkpoints import renames, restore
from common.errors import FlagError, UserError

NET = {"Net/conv1/weights": (3, 3, 3, 4), "Net/conv1/biases": (4,), "Net/logits/weights": (4, 2)}


def under(shapes, old, new):
    return {name.replace(old, new, 1): shape for name, shape in shapes.items()}


def names(text, found):
    return renames.new_names(found, renames.parse(text))


class Reader:
    path = "x.ckpt"
    step = 7

    def __init__(self, shapes):
        self.shapes = shapes

    def read(self, names):
        return {name: np.full(self.shapes[name], sorted(self.shapes).index(name), np.float32) for name in names}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:x", {"a/w": "x/w", "a/b/w": "x/b/w"}),
        ("a/b:y/z", {"a/b/w": "y/z/w"}),
        ("a/w:v", {"a/w": "v"}),
        ("a:", {"a/w": "w", "a/b/w": "b/w"}),
        (":N", {"a/w": "N/a/w", "a/b/w": "N/a/b/w", "ab/w": "N/ab/w"}),
        ("a/b:ab2, a:c", {"a/b/w": "ab2/w", "a/w": "c/w"}),
        ("a:ab2,ab:a", {"a/w": "ab2/w", "a/b/w": "ab2/b/w", "ab/w": "a/w"}),
        ("/a/:/x/", {"a/w": "x/w", "a/b/w": "x/b/w"}),
        ("", {}),
    ],
)
def test_whole_components_are_renamed_and_the_first_that_fits_counts(text, expected):
    assert names(text, ["a/w", "a/b/w", "ab/w"]) == expected


@pytest.mark.parametrize("text", ["a", "a:b:c", "a:a", ":", "x:y,oops"])
def test_what_is_not_from_to_is_refused(text):
    with pytest.raises(FlagError, match="is not FROM:TO"):
        renames.parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Nett:X", "the checkpoint has no 'Nett'; did you mean 'Net'? Use --checkpoint_rename=Net:X"),
        ("Net/conv2:X", "Use --checkpoint_rename=Net/conv1:X"),
        ("Net/logits:l,Net/conv2:X", "Use --checkpoint_rename=Net/logits:l,Net/conv1:X"),
        ("conv1:X", "did you mean 'Net/conv1'"),
        ("zzz:X", "Net has: conv1, logits"),
        ("Net:X,Net/conv1:Y", "Net/conv1:Y has no names left, Net:X before it takes them"),
        ("Net/conv1/weights:Net/conv1/biases", "makes Net/conv1/weights and Net/conv1/biases of the checkpoint both"),
    ],
)
def test_renames_that_do_nothing_or_collide_are_errors(text, words):
    with pytest.raises(UserError, match=re.escape(words)) as raised:
        names(text, list(NET))
    assert "\n" not in str(raised.value)


def test_a_renamed_checkpoint_is_read_by_the_networks_names():
    found = under(NET, "Net", "Old") | {"Old/conv1/weights/RMSProp": (3, 3, 3, 4)}
    reader, applied = renames.renamed(Reader(found), NET, "Old:Net")
    assert [str(rename) for rename in applied] == ["Old:Net"]
    assert reader.step == 7
    plan = restore.plan(NET, reader)
    assert list(plan.restored) == list(NET)
    assert plan.bookkeeping == ("Net/conv1/weights/RMSProp",)
    values = plan.values(reader)
    assert values["Net/conv1/biases"].tolist() == Reader(found).read(["Old/conv1/biases"])["Old/conv1/biases"].tolist()
    assert "restored from Old/conv1/weights" in plan.table()
    assert renames.sources(NET, found, "Old:Net")["Net/logits/weights"] == "Old/logits/weights"


def test_a_name_that_is_renamed_away_is_missing():
    reader, _ = renames.renamed(Reader(NET), NET, "Net/logits:Other")
    with pytest.raises(UserError, match=r"- Net/logits/weights"):
        restore.plan(NET, reader)


MOBILENET = {"MobilenetV1/Conv2d_0/weights": (3, 3, 3, 8), "MobilenetV1/Logits/weights": (8, 5)}
RESNET = {"InceptionResnetV2/Mixed_7a/weights": (1,), "InceptionResnetV2/Repeat_2/block8_1/weights": (2,)}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (MOBILENET, {f"FeatureExtractor/{name}": shape for name, shape in MOBILENET.items()}),
        (
            RESNET,
            {
                "FirstStageFeatureExtractor/InceptionResnetV2/Conv2d_1a_3x3/weights": (3,),
                "SecondStageFeatureExtractor/InceptionResnetV2/Mixed_7a/weights": (1,),
                "SecondStageFeatureExtractor/InceptionResnetV2/Repeat/block8_1/weights": (2,),
            },
        ),
    ],
)
def test_known_renames_are_applied_where_names_are_missing(wanted, found):
    reader, applied = renames.renamed(Reader(found), wanted)
    assert wanted.items() <= reader.shapes.items()
    assert "Object Detection API" in renames.describe(applied, len(reader.original_names))


def test_known_renames_are_left_alone_where_they_do_not_help():
    plain = Reader(MOBILENET)
    assert renames.renamed(plain, MOBILENET) == (plain, ())
    other = Reader({f"FeatureExtractor/{name}": shape for name, shape in NET.items()})
    assert renames.renamed(other, MOBILENET) == (other, ())
    assert renames.known(NET, {**NET, "FeatureExtractor/Net/conv1/weights": (1,)}) == ()


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({f"module/{name}": shape for name, shape in NET.items()}, "module:"),
        ({f"a/b/{name}": shape for name, shape in NET.items()}, "a/b:"),
        (under(NET, "Net", "Mine"), "Mine:Net"),
        (under(NET, "Net/", ""), ":Net"),
        ({name: (9, *shape) for name, shape in under(NET, "Net", "Mine").items()}, None),
        ({"other/weights": (3,)}, None),
        # A larger network that holds this one.
        ({**under(NET, "Net", "Big"), **{f"Big/block{i}/weights": (3, 3, 4, 4) for i in range(3)}}, None),
    ],
)
def test_the_rename_that_would_help_is_found(found, expected):
    suggestion = renames.suggestion(NET, found)
    assert (suggestion and str(suggestion)) == expected


def test_the_error_for_other_names_ends_in_the_rename():
    found = {f"module/{name}": shape for name, shape in NET.items()}
    with pytest.raises(UserError, match=r"this network under other names.*\n.*\n.*\nUse --checkpoint_rename=module:$"):
        restore.plan(NET, Reader(found))
