"""What the checkpoint doctor says of checkpoints, and whether the flags that it gives work."""

import json

import numpy as np
import pytest

from checkpoint_tools import fit, signatures
from checkpoint_tools.doctor import DoctorConfig, inspect
from checkpoints import writer
from checkpoints.reader import open_checkpoint
from common.errors import FlagError, UserError
from nets.network import Network

RANDOM = np.random.RandomState(0)


def shapes_of(name, num_classes=10):
    return next(s for s in signatures.stored() if s.model_name == name).shapes(num_classes)


def save(folder, shapes, step=0, **others):
    """A checkpoint of random numbers with these shapes."""
    values = {name: RANDOM.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return writer.save(folder, step, values | others)


@pytest.fixture(scope="module")
def lenet(tmp_path_factory):
    return save(tmp_path_factory.mktemp("lenet"), shapes_of("lenet"), step=20)


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory):
    return save(tmp_path_factory.mktemp("mobilenet"), shapes_of("mobilenet_v1_025", 1001))


def told(path, **options):
    """(is well, text, facts)."""
    config = DoctorConfig(checkpoint_path=str(path), **options)
    is_well, text = inspect(config)
    _, facts = inspect(DoctorConfig(checkpoint_path=str(path), json=True, **options))
    return is_well, text, json.loads(facts)


def values_of(text):
    """The rows under the first line of a description."""
    return {line[2:14].strip(): line[14:] for line in text.splitlines() if line.startswith("  ") and line[2] != "-"}


# -- without a network ----------------------------------------------------------------------------


def test_a_checkpoint_is_told(lenet):
    is_well, text, facts = told(lenet)
    assert is_well
    assert text.splitlines()[0] == f"{lenet}: V2 checkpoint, 2 files, 13.1 MB"
    assert values_of(text) == {
        "network": "lenet (8 of 8 variables; names and shapes fit)",
        "classes": "10",
        "image size": "28 (by its shapes)",
        "channels": "1",
        "step": "20",
        # 5*5*1*32 + 32, 5*5*32*64 + 64, 3136*1024 + 1024, 1024*10 + 10
        "variables": "8: 3,274,634 parameters",
        "averages": "none",
        "optimizer": "no slots",
    }
    assert f"  --model_name=lenet --checkpoint_path={lenet}\n" in text
    assert text.endswith("own: --checkpoint_exclude_scopes=LeNet/fc4 --trainable_scopes=LeNet/fc4")
    assert facts["model_name"] == "lenet"
    assert {key: facts[key] for key in ("num_classes", "image_size", "image_size_from", "channels", "step")} == {
        "num_classes": 10,
        "image_size": 28,
        "image_size_from": "shapes",
        "channels": 1,
        "step": 20,
    }
    assert [candidate["model_name"] for candidate in facts["candidates"]] == ["lenet"]


@pytest.mark.parametrize(
    ("classes", "words", "background"),
    [
        (1001, "1001, so class 0 is the background", True),
        (1000, "1000, so there is no background class (--labels_offset=1)", False),
        (7, "7", None),
    ],
)
def test_the_background_class_follows_from_the_heads_shape(tmp_path, classes, words, background):
    _, text, facts = told(save(tmp_path, shapes_of("mobilenet_v1_025", classes)))
    assert values_of(text)["classes"] == words
    assert facts["background_class"] is background
    assert values_of(text)["image size"] == "224 (the network's default; its shapes are the same for any)"
    assert facts["image_size_from"] == "default"


def test_a_run_is_told_with_slots_and_its_run_json(tmp_path):
    shapes = shapes_of("mobilenet_v1_025", 8)
    slots = {f"{name}/{slot}": shape for name, shape in shapes.items() for slot in ("RMSProp", "RMSProp_1")}
    save(tmp_path, shapes | slots, step=4)
    model = {"model_name": "mobilenet_v1_025", "num_classes": 8, "image_size": 32, "channels": 3}
    model |= {"preprocessing_name": "inception", "labels": None}
    run = {"model": model, "dataset": {"dir": "d", "name": "n", "split": "train"}}
    (tmp_path / "run.json").write_text(json.dumps(run))
    is_well, text, facts = told(tmp_path)
    rows = values_of(text)
    assert is_well
    assert rows["network"].startswith("mobilenet_v1_025 (137 of 137 variables")
    assert rows["image size"] == "32 (by run.json)"
    assert rows["optimizer"] == "rmsprop (RMSProp, RMSProp_1)"
    assert rows["step"] == "4"
    assert rows["run.json"] == "mobilenet_v1_025, 8 classes, image size 32"
    assert facts["slots"] == ["RMSProp", "RMSProp_1"]
    assert facts["run"] == {"model_name": "mobilenet_v1_025", "num_classes": 8, "image_size": 32}
    model["num_classes"] = 5
    (tmp_path / "run.json").write_text(json.dumps(run))
    assert values_of(told(tmp_path)[1])["run.json"].endswith("5 classes, image size 32: not what the checkpoint holds")


def test_averages_are_told(tmp_path):
    shapes = {f"{name}/ExponentialMovingAverage": shape for name, shape in shapes_of("lenet").items()}
    _, text, facts = told(save(tmp_path / "averages", shapes_of("lenet") | shapes))
    assert values_of(text)["averages"] == "there (evaluation and export use them)"
    assert facts["auxiliary_heads"] is None
    _, text, _ = told(save(tmp_path / "only", shapes))
    assert values_of(text)["averages"] == "there, in place of the variables"


def test_a_scope_around_the_network_is_said_with_the_flag_that_removes_it(tmp_path):
    shapes = {f"module/{name}": shape for name, shape in shapes_of("lenet").items()}
    path = save(tmp_path, shapes)
    is_well, text, facts = told(path)
    assert is_well
    assert "fit), under other names" in text
    assert f"--model_name=lenet --checkpoint_path={path} --checkpoint_rename=module:" in text
    assert facts["checkpoint_rename"] == "module:"
    assert told(path, model_name="lenet", checkpoint_rename="module:")[0]


def test_near_misses_are_said(tmp_path):
    shapes = shapes_of("lenet") | {"LeNet/more/weights": (2, 2), "LeNet/conv2/biases": (60,)}
    is_well, text, facts = told(save(tmp_path / "a", shapes))
    assert not is_well
    assert values_of(text)["network"] == "none of the zoo"
    assert (
        "  lenet but for 2 variables: LeNet/conv2/biases of another shape, LeNet/more/weights extra\n"
        "Compare: --model_name=lenet" in text
    )
    assert facts["model_name"] is None
    assert facts["candidates"][0]["mismatched"] == {"LeNet/conv2/biases": {"network": [64], "checkpoint": [60]}}
    _, text, _ = told(save(tmp_path / "b", {"tower/w": (3, 3), "tower/b": (3,)}))
    assert text.endswith("Its outermost scopes: tower (2); for a network of your own, add --network_module=FILE")


def test_a_width_that_the_zoo_does_not_have(tmp_path):
    shapes = Network("mobilenet_v2_035", 5, depth_multiplier=0.5).shapes
    _, text, _ = told(save(tmp_path, shapes))
    assert "Nearest:\n  a variant of mobilenet_v2" in text
    assert "variables have other shapes" in text


def test_a_network_of_ones_own(tmp_path, own_networks):
    module = tmp_path / "mine.py"
    module.write_text(
        "import tensorflow as tf\n"
        "from nets import layers as slim, registry\n"
        "@registry.network('doctors_own', image_size=16, preprocessing='cifarnet', head_scopes='Own/logits')\n"
        "def own(images, num_classes=10, is_training=False, scope='Own'):\n"
        "    with tf.compat.v1.variable_scope(scope, 'Own', [images]):\n"
        "        net = tf.reduce_mean(slim.conv2d(images, 4, [3, 3], scope='conv'), [1, 2])\n"
        "        return slim.fully_connected(net, num_classes, activation_fn=None, scope='logits'), {}\n"
    )
    shapes = {"Own/conv/weights": (3, 3, 3, 4), "Own/conv/biases": (4,)}
    shapes |= {"Own/logits/weights": (4, 6), "Own/logits/biases": (6,)}
    path = save(tmp_path / "run", shapes)
    assert told(path)[0] is False
    is_well, _, facts = told(path, network_module=str(module))
    assert is_well
    assert (facts["model_name"], facts["num_classes"], facts["image_size"]) == ("doctors_own", 6, 16)
    assert told(path, network_module=str(module), model_name="doctors_own")[0]


def test_the_published_mobilenet_is_told(shared_data):
    is_well, _, facts = told(shared_data / "mobilenet_v1_0.25_224")
    assert is_well
    assert (facts["model_name"], facts["image_size"], facts["num_classes"]) == ("mobilenet_v1_025", 224, 1001)
    assert (facts["channels"], facts["background_class"], facts["has_averages"]) == (3, True, False)
    assert (facts["parameters"], facts["moving_statistics"]) == (470_329, 5_472)
    assert (facts["optimizer"], facts["step"]) == (None, 0)


# -- with a network -------------------------------------------------------------------------------


def test_a_checkpoint_that_fits(lenet):
    is_well, text, facts = told(lenet, model_name="lenet", trainable_scopes="head")
    assert is_well
    assert text.startswith(f"{lenet} and lenet with 10 classes, 28x28 images of 1 channels:\n= LeNet/conv1/weights")
    assert "\nTrained: 2 of 8 trainable variables\n" in text
    assert text.endswith(f"It fits: --model_name=lenet --checkpoint_path={lenet} --trainable_scopes=head")
    assert (facts["fits"], facts["flags"], facts["explanation"]) == (True, "--trainable_scopes=head", None)
    assert facts["trained"] == ["LeNet/fc4/weights", "LeNet/fc4/biases"]


def flags_of(text):
    """`--a=b --c` as keyword arguments of the doctor's config."""
    names = {"train_image_size": "image_size"}
    parts = [part.removeprefix("--").partition("=") for part in text.split()]
    return {names.get(flag, flag): (int(value) if value.isdecimal() else value) or True for flag, _, value in parts}


@pytest.mark.parametrize(
    ("path", "options", "flags"),
    [
        (
            "lenet",
            {"model_name": "lenet", "num_classes": 5},
            "--checkpoint_exclude_scopes=LeNet/fc4 --trainable_scopes=LeNet/fc4",
        ),
        (
            "lenet",
            {"model_name": "lenet", "num_classes": 5, "trainable_scopes": "LeNet/fc3"},
            "--checkpoint_exclude_scopes=LeNet/fc4 --trainable_scopes=LeNet/fc3,LeNet/fc4",
        ),
        ("lenet", {"model_name": "cifarnet"}, "--model_name=lenet"),
        ("mobilenet", {"model_name": "mobilenet_v1_050", "num_classes": 1001}, "--model_name=mobilenet_v1_025"),
        (
            "mobilenet",
            {"model_name": "mobilenet_v1", "num_classes": 5},
            "--model_name=mobilenet_v1_025 --checkpoint_exclude_scopes=MobilenetV1/Logits "
            "--trainable_scopes=MobilenetV1/Logits",
        ),
        (
            "mobilenet",
            {"model_name": "mobilenet_v1_025", "num_classes": 1000, "use_grayscale": True},
            "--use_grayscale --checkpoint_exclude_scopes=MobilenetV1/Logits --trainable_scopes=MobilenetV1/Logits",
        ),
    ],
)
def test_the_flags_that_are_told_make_it_fit(request, path, options, flags):
    path = request.getfixturevalue(path)
    is_well, text, facts = told(path, **options)
    assert not is_well
    assert facts["flags"] == flags
    assert not facts["fits"]
    assert facts["explanation"] in text
    repaired = {**options, **flags_of(flags)}
    is_well, _, facts = told(path, **repaired)
    assert is_well, facts["explanation"]


def test_the_flag_for_another_image_size(tmp_path):
    built = Network("lenet", 10, image_size=64).shapes
    path = save(tmp_path, built)
    is_well, text, facts = told(path, model_name="lenet")
    assert not is_well
    assert facts["flags"] == "--train_image_size=64"
    assert text.endswith("By its shapes it is for images of 64x64: use --train_image_size=64")
    assert told(path, model_name="lenet", image_size=64)[0]


def test_the_flag_for_a_scope_around_the_network(tmp_path):
    path = save(tmp_path, {f"a/b/{name}": shape for name, shape in shapes_of("lenet").items()})
    is_well, _, facts = told(path, model_name="lenet", num_classes=5)
    assert not is_well
    expected = "--checkpoint_rename=a/b: --checkpoint_exclude_scopes=LeNet/fc4 --trainable_scopes=LeNet/fc4"
    assert facts["flags"] == expected
    assert told(path, model_name="lenet", num_classes=5, **flags_of(expected))[0]


def test_the_table_has_both_shapes(lenet):
    checked = fit.check(open_checkpoint(lenet), "lenet", num_classes=5, exclude="LeNet/conv1")
    lines = {line.split()[1]: line for line in fit.text(checked).splitlines() if line[:2] in ("= ", "! ", "x ")}
    assert lines["LeNet/fc4/biases"].split(maxsplit=2)[2].split("  ")[0] == "5"
    assert lines["LeNet/fc4/biases"].endswith("checkpoint has 10")
    assert lines["LeNet/conv1/weights"].startswith("x")
    assert fit.facts(checked)["mismatched"]["LeNet/fc4/biases"] == {"network": [5], "checkpoint": [10]}


def test_a_scope_that_means_nothing_is_an_error(lenet):
    with pytest.raises(UserError, match=r"LeNet/fc44.*did you mean"):
        told(lenet, model_name="lenet", checkpoint_exclude_scopes="LeNet/fc44")
    with pytest.raises(FlagError, match=r"--model_name: unknown network 'lennet'; did you mean 'lenet'"):
        told(lenet, model_name="lennet")


# -- what is in it --------------------------------------------------------------------------------


def test_the_list(lenet):
    is_well, text, facts = told(lenet, list=True)
    lines = text.splitlines()
    assert is_well
    assert lines[0].split() == ["variable", "shape", "type", "values"]
    assert "LeNet/conv1/weights  5x5x1x32   float32        800" in lines
    assert lines[-1] == "9 variables, 3,274,635 values (3,274,634 float32, 1 int64)"
    assert facts["variables"][1] == {
        "name": "LeNet/conv1/weights",
        "shape": [5, 5, 1, 32],
        "dtype": "float32",
        "values": 800,
    }


def test_statistics_tell_what_is_broken(tmp_path):
    weights = RANDOM.standard_normal((3, 3, 2, 4)).astype(np.float32)
    weights[..., 1] = 0
    path = writer.save(tmp_path, 3, {"a/weights": weights, "b/biases": np.array([1.0, np.nan], np.float32)})
    is_well, text, facts = told(path, stats=True)
    assert not is_well
    assert text.startswith(
        "2 suspicious variables of 3:\n"
        "  b/biases: 1 of 2 elements are not finite\n"
        "  a/weights: 1 of 4 filters are dead (all but zero)\n"
    )
    assert [finding["kind"] for finding in facts["findings"]] == ["not_finite", "dead_filters"]
    assert {one["name"]: one["mean"] for one in facts["variables"]}["global_step"] == 3.0
    assert told(writer.save(tmp_path / "sound", 1, {"a": np.float32(1)}), stats=True)[:2] == (
        True,
        "Nothing suspicious.\n\n"
        "variable     shape   mean  std  min  max  not finite\n"
        "a            scalar     1    0    1    1\n"
        "global_step  scalar     1    0    1    1",
    )


def test_the_difference(lenet, tmp_path):
    assert told(lenet, diff=lenet)[:2] == (
        True,
        f"- {lenet}\n+ {lenet}\n9 with equal bits, 0 changed, 0 of another shape, 0 only in the first, "
        f"0 only in the second",
    )
    values = {name: value.numpy() for name, value in open_checkpoint(lenet).read(shapes_of("lenet")).items()}
    values["LeNet/fc4/biases"] = np.full(10, np.inf, np.float32)
    is_well, _, facts = told(lenet, diff=writer.save(tmp_path, 20, values))
    assert not is_well
    assert [change["name"] for change in facts["changed"]] == ["LeNet/fc4/biases"]
    assert facts["changed"][0]["max_absolute"] == "inf"  # JSON has no such number
    assert (facts["equal"], facts["same"]) == (8, False)


# -- flags ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "--checkpoint_path is missing"),
        ({"checkpoint_path": "x", "list": True, "stats": True}, "--list and --stats do different things"),
        ({"checkpoint_path": "x", "model_name": "lenet", "diff": "y"}, "--model_name and --diff do different things"),
        ({"checkpoint_path": "x", "num_classes": 5}, "--num_classes says how to compare with a network: --model_name"),
    ],
)
def test_flags_that_do_not_go_together(options, words):
    with pytest.raises(FlagError, match=words):
        DoctorConfig(**options)
