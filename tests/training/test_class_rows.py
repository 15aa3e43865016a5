"""Rows of the classifier by label: the right rows, bit for bit; the others as they would begin."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from checkpoints import writer
from common.errors import UserError
from nets.network import Network, class_axes
from training import loop


def values_of(folder):
    reader = tf.train.load_checkpoint(writer.latest(str(folder)))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def run_json(folder):
    with open(os.path.join(folder, "run.json")) as file:
        return json.load(file)


@pytest.fixture
def config(config, tmp_path):
    """A run of no step to speak of: its rate is 0, so that its checkpoint is what it began with."""
    return dataclasses.replace(
        config, model_name="linear", learning_rate=0.0, weight_decay=0.0, max_number_of_steps=1, batch_norm="frozen"
    )


@pytest.fixture
def renamed(config, tmp_path):
    """renamed(names) -> the target shapes as a data set of other class names."""

    def make(names, folder="renamed"):
        shutil.copytree(config.dataset_dir, tmp_path / folder)
        path = tmp_path / folder / "dataset.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "class_names": names}))
        (tmp_path / folder / "labels.txt").write_text("".join(f"{k}:{name}\n" for k, name in enumerate(names)))
        return str(tmp_path / folder)

    return make


@pytest.fixture
def source(config, renamed, tmp_path):
    """A run on classes a, b, c and d."""
    folder = tmp_path / "source"
    loop.train(
        dataclasses.replace(
            config, dataset_dir=renamed(list("abcd"), "abcd"), train_dir=str(folder), learning_rate=0.01, seed=5
        )
    )
    return folder


HEAD = {"Linear/logits/weights": 1, "Linear/logits/biases": 0}


def rows(values, name):
    return np.moveaxis(values[name], HEAD[name], 0)


def test_rows_go_by_label_and_the_rest_begins_anew(config, renamed, source, logged):
    config = dataclasses.replace(
        config, dataset_dir=renamed(["C", "new one", "b", "dd"]), checkpoint_path=str(source), checkpoint_labels="auto"
    )
    loop.train(config)
    before, after = values_of(source), values_of(config.train_dir)
    fresh = Network("linear", 4, image_size=32).initial_values(HEAD)
    for name in HEAD:
        theirs, ours = rows(before, name), rows(after, name)
        initial = np.moveaxis(fresh[name].numpy(), HEAD[name], 0)
        for k, expected in enumerate((theirs[2], initial[1], theirs[1], initial[3])):
            assert ours[k].tobytes() == expected.tobytes(), (name, k)
    told = next(line for line in logged if line.startswith("Start:")).splitlines()
    assert told[1] == (
        f"Classes: 2 of 4 rows initialised from {writer.latest(str(source))} by label (its names: its run.json)"
    )
    assert told[2:] == ["  new: 'new one': unknown to the source", "  new: 'dd': unknown to the source (near: 'd')"]
    assert "Linear/logits/weights (2 of 4 rows by label)" in told[0]
    assert run_json(config.train_dir)["start"]["classes"] == {
        "rows_by_label": 2,
        "labels_from": "its run.json",
        "new_rows": ["new one", "dd"],
    }


def test_a_file_says_the_sources_names(config, renamed, source, tmp_path):
    path = tmp_path / "names.json"
    path.write_text('{"b": 0, "a": 1, "y": 2, "x": 3}')
    config = dataclasses.replace(
        config, dataset_dir=renamed(list("axyb")), checkpoint_path=str(source), checkpoint_labels=str(path)
    )
    loop.train(config)
    before, after = values_of(source), values_of(config.train_dir)
    for name in HEAD:
        np.testing.assert_array_equal(rows(after, name), rows(before, name)[[1, 3, 2, 0]])


def test_without_the_flag_nothing_is_copied_and_a_hint_says_what_could_be(config, renamed, source, logged):
    config = dataclasses.replace(
        config, dataset_dir=renamed(list("xbya")), checkpoint_path=str(source), checkpoint_exclude_scopes="Linear/x"
    )
    with pytest.raises(UserError):  # nothing else than the head: there is no such scope
        loop.train(config)
    loop.train(dataclasses.replace(config, checkpoint_exclude_scopes=None))
    told = "\n".join(logged)
    assert "has other classes or another order (names from its run.json): --checkpoint_labels=auto goes by name" in told


def test_a_head_that_does_not_fit_is_told_with_the_flag(config, pretrained, shapes, renamed):
    names = json.loads((shapes["source"] / "dataset.json").read_text())["class_names"]
    config = dataclasses.replace(
        config,
        model_name="mobilenet_v1_025",
        dataset_dir=renamed([names[3], names[5], "x", "y"]),
        checkpoint_path=str(pretrained),
    )
    with pytest.raises(UserError) as error:
        loop.train(config)
    lines = str(error.value).splitlines()
    assert lines[-3] == (
        f"Hint: the checkpoint's classifier knows 2 of the 4 classes ({names[3]}, {names[5]}): "
        f"--checkpoint_labels=auto in place of --checkpoint_exclude_scopes begins with its rows"
    )
    assert "--checkpoint_exclude_scopes=MobilenetV1/Logits" in lines[-1]
    loop.train(dataclasses.replace(config, checkpoint_labels="auto"))
    assert run_json(config.train_dir)["start"]["classes"]["rows_by_label"] == 2
    weights = "MobilenetV1/Logits/Conv2d_1c_1x1/weights"
    before, after = values_of(pretrained)[weights], values_of(config.train_dir)[weights]
    fresh = Network("mobilenet_v1_025", 4, image_size=32).initial_values([weights])[weights].numpy()
    np.testing.assert_array_equal(after[..., :2], before[..., [3, 5]])
    np.testing.assert_array_equal(after[..., 2:], fresh[..., 2:])
    assert np.all(fresh.std(axis=(0, 1, 2)) > 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"checkpoint_labels": "auto", "checkpoint_path": None}, "--checkpoint_labels says what to take from a checkp"),
        ({"checkpoint_labels": "nowhere.txt"}, "--checkpoint_labels=nowhere.txt cannot be read"),
        ({"checkpoint_labels": "two.txt"}, "--checkpoint_labels=.*two.txt names 2 classes, the checkpoint has 4"),
        (
            {"checkpoint_labels": "auto"},
            "--checkpoint_labels=auto: none of the 4 classes is one of the 4 of .*'w': unkn",
        ),
        (
            {"checkpoint_labels": "auto", "dataset": "abxy", "checkpoint_exclude_scopes": "Linear/logits/*"},
            "excludes all 2 variables of the network",
        ),
    ],
)
def test_wrong_uses_are_told_in_one_line(config, renamed, source, tmp_path, options, message):
    (tmp_path / "two.txt").write_text("a\nb\n")
    if options.get("checkpoint_labels") == "two.txt":
        options = {**options, "checkpoint_labels": str(tmp_path / "two.txt")}
    options = dict(options)
    names = list(options.pop("dataset", "wxyz"))
    options = {"dataset_dir": renamed(names), "checkpoint_path": str(source), **options}
    with pytest.raises(UserError, match=message):
        loop.train(dataclasses.replace(config, **options))


def test_an_excluded_head_cannot_take_rows(config, renamed, pretrained, shapes):
    names = json.loads((shapes["source"] / "dataset.json").read_text())["class_names"]
    config = dataclasses.replace(
        config,
        model_name="mobilenet_v1_025",
        dataset_dir=renamed([names[0], "x", "y", "z"]),
        checkpoint_path=str(pretrained),
        checkpoint_labels="auto",
        checkpoint_exclude_scopes="head",
    )
    with pytest.raises(
        UserError, match="--checkpoint_labels=auto copies rows of the classifier, which --checkpoint_ex"
    ):
        loop.train(config)


def test_names_that_are_not_known_are_asked_for(config, renamed, source):
    (source / "run.json").unlink()
    config = dataclasses.replace(
        config, dataset_dir=renamed(list("abxy")), checkpoint_path=str(source), checkpoint_labels="auto"
    )
    with pytest.raises(UserError, match=r"names of the 4 classes of .* are not known .* --checkpoint_labels=FILE"):
        loop.train(config)
    (source / "labels.txt").write_text("0:y\n1:b\n2:c\n3:d\n")
    loop.train(config)
    assert run_json(config.train_dir)["start"]["classes"]["rows_by_label"] == 2


@pytest.mark.parametrize(
    ("name", "axes"),
    [
        ("linear", [1, 0]),
        ("mobilenet_v1_025", [3, 0]),
        ("inception_v3", [3, 0, 3, 0]),
    ],
)
def test_all_heads_are_found_with_their_class_axis(name, axes):
    found = class_axes(name)
    assert list(found.values()) == axes
    shapes = Network(name, 7).shapes
    assert all(shapes[variable][axis] == 7 for variable, axis in found.items())


@pytest.mark.slow
def test_the_real_checkpoint_knows_the_daisy(config, shared_data, renamed, logged):
    checkpoint = shared_data / "mobilenet_v1_0.25_224" / "mobilenet_v1_0.25_224.ckpt"
    config = dataclasses.replace(
        config,
        model_name="mobilenet_v1_025",
        dataset_dir=renamed(["daisy", "roses", "crane", "n03126707"]),
        checkpoint_path=str(checkpoint),
        checkpoint_labels="auto",
    )
    loop.train(config)
    theirs = tf.train.load_checkpoint(str(checkpoint)).get_tensor("MobilenetV1/Logits/Conv2d_1c_1x1/biases")
    ours = values_of(config.train_dir)["MobilenetV1/Logits/Conv2d_1c_1x1/biases"]
    np.testing.assert_array_equal(ours, [theirs[986], 0, 0, theirs[518]])
    assert any("'crane': may be class 135 ('crane') or class 518 ('crane')" in line for line in logged)
