"""Classes removed, merged and reordered: on arrays small enough to check by hand."""

import math
import re

import numpy as np
import pytest

from checkpoint_tools import classes
from checkpoint_tools.classes import ClassEdits
from common.errors import FlagError, UserError
from datasets import imagenet_names

LABELS = ("emu", "cat", "dog", "owl")
AXES = {"head/weights": 1, "head/biases": 0, "aux/weights": 3}


def checkpoint():
    """A head of four classes (row k is k in its weights, 10 k its bias), its average, slots and a body."""
    rows = np.arange(4, dtype=np.float32)
    return {
        "body/weights": np.ones([4, 4], np.float32),
        "head/weights": np.tile(rows, [2, 1]),
        "head/biases": 10 * rows,
        "aux/weights": np.tile(rows, [1, 1, 5, 1]),
        "head/weights/ExponentialMovingAverage": np.tile(rows + 0.5, [2, 1]),
        "head/weights/RMSProp": np.zeros([2, 4], np.float32),
        "body/weights/RMSProp": np.zeros([4, 4], np.float32),
        "global_step": np.int64(7),
    }


def edited(labels=LABELS, **flags):
    return classes.edited(ClassEdits.from_flags(**flags), labels)


@pytest.mark.parametrize(
    ("flags", "labels", "rows"),
    [
        ({"remove": "cat"}, "emu dog owl", ((0,), (2,), (3,))),
        ({"remove": "owl,0"}, "cat dog", ((1,), (2,))),
        ({"merge": "pet=dog+cat"}, "emu pet owl", ((0,), (2, 1), (3,))),
        ({"merge": "pet=dog+cat;bird=emu+owl"}, "bird pet", ((0, 3), (2, 1))),
        ({"merge": "cat=cat+dog"}, "emu cat owl", ((0,), (1, 2), (3,))),
        ({"reorder": "owl,dog,cat,emu"}, "owl dog cat emu", ((3,), (2,), (1,), (0,))),
        ({"remove": "emu", "merge": "pet=cat+dog", "reorder": "owl,pet"}, "owl pet", ((3,), (1, 2))),
        ({"background": "add"}, "background emu cat dog owl", ((), (0,), (1,), (2,), (3,))),
    ],
)
def test_which_classes_are_left(flags, labels, rows):
    assert edited(**flags) == classes.Edited(tuple(labels.split()), rows)


def test_classes_from_a_file(tmp_path):
    path = tmp_path / "order.txt"
    path.write_text("owl\ndog\ncat\nemu\n")
    assert edited(reorder=str(path)).labels == ("owl", "dog", "cat", "emu")


def test_imagenets_classes_by_one_of_their_names():
    names = imagenet_names.class_names(1001)
    assert edited(names, remove="Tinca tinca,goldfish,n01484850").labels == (names[0], *names[4:])


def test_rows_that_stay_are_bit_identical():
    values = checkpoint()
    generator = np.random.default_rng(0)
    for name in ("head/weights", "head/biases", "aux/weights"):
        values[name] = generator.normal(size=values[name].shape).astype(np.float32)
    plan = edited(remove="emu", reorder="owl,cat,dog")
    result, dropped = classes.edit_head(values, AXES, 4, plan.rows)
    assert result["head/weights"].tobytes() == values["head/weights"][:, [3, 1, 2]].tobytes()
    assert result["head/biases"].tobytes() == values["head/biases"][[3, 1, 2]].tobytes()
    assert result["aux/weights"].tobytes() == values["aux/weights"][..., [3, 1, 2]].tobytes()
    assert result["body/weights"] is values["body/weights"]
    features = generator.normal(size=[3, 2]).astype(np.float32)
    before = features @ values["head/weights"] + values["head/biases"]
    after = features @ np.ascontiguousarray(result["head/weights"]) + result["head/biases"]
    np.testing.assert_array_equal(after, before[:, [3, 1, 2]])
    assert dropped == ["head/weights/RMSProp"]
    assert set(values) - set(result) == set(dropped)


def test_averages_are_edited_along():
    result, _ = classes.edit_head(checkpoint(), AXES, 4, edited(remove="cat").rows)
    np.testing.assert_array_equal(result["head/weights/ExponentialMovingAverage"], [[0.5, 2.5, 3.5]] * 2)


def test_a_merged_row_is_the_mean_and_its_bias_has_log_k():
    result, _ = classes.edit_head(checkpoint(), AXES, 4, edited(merge="pet=cat+dog").rows)
    np.testing.assert_array_equal(result["head/weights"], [[0, 1.5, 3]] * 2)
    np.testing.assert_allclose(result["head/biases"], [0, 15 + math.log(2), 30], rtol=1e-6)
    assert result["head/weights"].dtype == np.float32


def test_a_merged_logit_is_exact_where_the_logits_are_equal_and_never_above():
    logits = np.array([2.0, 2.0, -1.0])
    merged = logits[:2].mean() + math.log(2)
    assert merged == pytest.approx(np.log(np.exp(logits[:2]).sum()))
    assert logits[1:].mean() + math.log(2) < np.log(np.exp(logits[1:]).sum())


def test_a_new_background_class_is_never_predicted():
    result, _ = classes.edit_head(checkpoint(), AXES, 4, edited(background="add").rows)
    np.testing.assert_array_equal(result["head/weights"][:, 0], [0, 0])
    np.testing.assert_array_equal(result["head/biases"], [-20, 0, 10, 20, 30])
    names = ("background", *LABELS)
    back = edited(names, background="drop")
    assert back.labels == LABELS
    again, _ = classes.edit_head(result, AXES, 5, back.rows)
    np.testing.assert_array_equal(again["head/weights"], checkpoint()["head/weights"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"remove": " , "}, "--remove_classes is empty: expected class names between commas"),
        ({"merge": ";"}, "--merge_classes is empty: expected NEW=A+B"),
        ({"merge": "pet"}, "--merge_classes=pet: expected NEW=A+B, such as dog=beagle"),
        ({"merge": "pet=cat"}, "--merge_classes=pet=cat: expected NEW=A"),
        ({"merge": "=cat+dog"}, "--merge_classes==cat+dog: expected NEW"),
        ({"merge": "pet=cat+"}, "--merge_classes=pet=cat+: expected NEW"),
    ],
)
def test_a_flag_that_says_nothing_is_refused(flags, message):
    with pytest.raises(FlagError, match=re.escape(message)):
        ClassEdits.from_flags(**flags)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"remove": "cta"}, "--remove_classes: unknown class 'cta'; did you mean 'cat'"),
        ({"remove": "4"}, "--remove_classes: class 4, there are 0 to 3"),
        ({"remove": "cat,1"}, "--remove_classes names class '1' twice"),
        ({"remove": "emu,cat,dog,owl"}, "--remove_classes leaves none of the 4 classes"),
        ({"merge": "a=cat+dog;b=dog+emu"}, "--merge_classes=b=...: class 'dog' is in --merge_classes=a=... already"),
        ({"remove": "cat", "merge": "a=cat+dog"}, "class 'cat' is in --remove_classes already"),
        ({"merge": "owl=cat+dog"}, "--merge_classes: there is another class 'owl'; choose a new name"),
        ({"reorder": "owl,cat"}, "--reorder_classes names 2 of 4 classes and lacks emu, dog; name all, or remove"),
        ({"reorder": "owl,cat,owl,emu"}, "--reorder_classes names class 'owl' twice"),
        ({"background": "drop"}, "--drop_background: class 0 is 'emu', not 'background'; leave the flag out, or say"),
    ],
)
def test_classes_that_cannot_be_meant(flags, message):
    with pytest.raises(UserError, match=re.escape(message)):
        edited(**flags)


def test_a_name_of_two_classes_needs_its_number():
    with pytest.raises(UserError, match=r"'crane' may be class 1 \('crane'\) or class 2 \('crane'\); give its number"):
        edited(("emu", "crane", "crane"), remove="crane")
    assert edited(("emu", "crane", "crane"), remove="2").rows == ((0,), (1,))


def test_a_second_background_class_is_refused():
    with pytest.raises(UserError, match="--add_background: class 0 is 'Background' already"):
        edited(("Background", "a"), background="add")


def test_a_head_of_another_network_is_refused():
    with pytest.raises(UserError, match=r"no classifier to edit \(x/weights\): is --model_name right"):
        classes.edit_head(checkpoint(), {"x/weights": 0}, 4, ((0,),))
    with pytest.raises(UserError, match=r"head/weights is 2x4, not of 5 classes: is --model_name right"):
        classes.edit_head(checkpoint(), AXES, 5, ((0,),))


def test_a_whole_network_from_1001_classes_to_1000_and_back():
    """The logits of the classes that stay are the same numbers; nothing but the head changes."""
    from nets.network import Network

    shapes = Network("linear", 1001, image_size=2).shapes
    generator = np.random.default_rng(1)
    values = {name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    drop, add = (ClassEdits.from_flags(background=text) for text in ("drop", "add"))
    without, labels, lines = classes.apply(drop, values, None, "linear", 1001)
    assert labels == imagenet_names.class_names(1000)
    assert lines == ["1001 classes become 1000", "removed: background"]
    back, labels, lines = classes.apply(add, without, None, "linear", 1000)
    assert labels == imagenet_names.class_names(1001)
    assert lines == ["1000 classes become 1001", "new: background (weights 0, bias -20)"]
    for name, value in back.items():
        np.testing.assert_array_equal(value[..., 1:], values[name][..., 1:])


def test_what_was_done_is_said_and_written_into_the_run():
    edits = ClassEdits.from_flags(remove="emu", merge="pet=cat+dog", reorder="owl,pet", background="add")
    plan = classes.edited(edits, LABELS)
    assert classes._lines(plan, LABELS, ["head/weights/RMSProp"]) == [
        "4 classes become 3",
        "removed: emu",
        "new: background (weights 0, bias -20)",
        "merged into pet: cat, dog (mean row, log(2) added to the bias: a start for training, not the exact sum)",
        "1 optimizer slots of the classifier left out: a run that goes on starts them anew",
    ]
    run = {"model": {"num_classes": 4, "labels": list(LABELS), "labels_offset": 1, "model_name": "linear"}, "x": 1}
    after = classes.edited_run(run, plan.labels, edits)
    assert after["model"] == {
        "num_classes": 3,
        "labels": ["background", "owl", "pet"],
        "labels_offset": 0,
        "model_name": "linear",
    }
    assert after["x"] == 1
    assert after["class_edits"][0]["remove"] == ("emu",)
    assert run["model"]["num_classes"] == 4
