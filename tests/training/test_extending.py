"""Adding classes to a trained classifier: rows, labels, replay, distillation, the report, and what is refused."""

import dataclasses
import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from checkpoints import writer
from common.errors import FlagError, UserError
from datasets import dataset_factory
from exporting import saved_model
from exporting.config import ExportConfig
from training import distillation, evaluate, extending, extension_report, loop, replay
from training.config import EvalConfig, TrainConfig
from training.losses import softmax_cross_entropy


def values_of(folder):
    reader = tf.train.load_checkpoint(writer.latest(str(folder)))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def run_json(folder):
    with open(os.path.join(folder, "run.json")) as file:
        return json.load(file)


def class_names(folder):
    return json.loads((folder / "dataset.json").read_text())["class_names"]


@pytest.fixture(scope="module")
def old_run(shapes, tmp_path_factory):
    """A run of `linear` on the eight source shapes."""
    folder = tmp_path_factory.mktemp("old_run")
    loop.train(
        TrainConfig(
            dataset_dir=str(shapes["source"]),
            train_dir=str(folder),
            model_name="linear",
            batch_size=8,
            max_number_of_steps=6,
            learning_rate=0.01,
        )
    )
    return folder


@pytest.fixture
def config(config, old_run):
    """An extension of it by the four target shapes."""
    return dataclasses.replace(
        config, model_name="inception_v3", train_image_size=None, checkpoint_path=str(old_run), extend_classes=True
    )


@pytest.fixture
def renamed(shapes, tmp_path):
    """renamed(names) -> the target shapes as a data set of other class names."""

    def make(names, **others):
        shutil.copytree(shapes["target"], tmp_path / "renamed")
        path = tmp_path / "renamed" / "dataset.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "class_names": names, **others}))
        return str(tmp_path / "renamed")

    return make


# -- the classes ------------------------------------------------------------------------------------------------------


def test_old_rows_are_bit_identical_and_labels_are_joined(config, old_run, shapes):
    """At a rate of 0 the checkpoint is what the run began with."""
    loop.train(dataclasses.replace(config, learning_rate=0.0, weight_decay=0.0))
    before, after = values_of(old_run), values_of(config.train_dir)
    weights, biases = "Linear/logits/weights", "Linear/logits/biases"
    assert after[weights].shape == (32 * 32 * 3, 12)
    assert np.ascontiguousarray(after[weights][:, :8]).tobytes() == before[weights].tobytes()
    assert after[biases][:8].tobytes() == before[biases].tobytes()
    run = run_json(config.train_dir)
    assert run["model"]["labels"] == class_names(shapes["source"]) + class_names(shapes["target"])
    assert (run["model"]["model_name"], run["model"]["num_classes"], run["model"]["image_size"]) == ("linear", 12, 32)
    assert run["extension"]["new_labels"] == class_names(shapes["target"])


@pytest.mark.parametrize(
    ("old", "names", "label_map", "new"),
    [
        ("a b", "c d", [2, 3], "c d"),
        ("a b", "B c", [1, 2], "c"),
        ("a b", "c a d", [2, 0, 3], "c d"),
        ("a b", "b a", [1, 0], ""),
        (["tench, Tinca tinca", "b"], ["x", "tench"], [2, 0], "x"),
    ],
)
def test_classes_go_by_name(old, names, label_map, new):
    old, names = (value.split() if isinstance(value, str) else value for value in (old, names))
    found, added = extending.joined(old, names, "data")
    assert (found.tolist(), list(added)) == (label_map, new.split())


@pytest.mark.parametrize(
    ("old", "names", "message"),
    [
        (["a"], ["b", "B"], "data has two classes 'B': their names must tell them apart"),
        (
            ["crane", "crane"],
            ["crane", "x"],
            r"class 'crane' of data may be class 0 \('crane'\) or class 1 \('crane'\)",
        ),
        (
            ["cougar, puma"],
            ["puma", "cougar"],
            "class 'cougar' and another one are both 'cougar, puma' of the old ones",
        ),
    ],
)
def test_names_that_do_not_tell_classes_apart(old, names, message):
    with pytest.raises(UserError, match=message):
        extending.joined(old, names, "data")


# -- against forgetting -----------------------------------------------------------------------------------------------


def test_replayed_images_have_their_labels_by_name(config, shapes, renamed):
    """Five new and three old images a batch; the new data has an old class, too."""
    names = class_names(shapes["target"])
    old_names = class_names(shapes["source"])
    config = dataclasses.replace(
        config,
        dataset_dir=renamed([names[0], old_names[6], *names[2:]]),
        replay_dataset_dir=str(shapes["source"]),
        replay_share=0.4,
    )
    dataset = dataset_factory.get_dataset(None, "train", config.dataset_dir)
    config, extension = extending.prepare(config, frozenset(), dataset)
    assert extension.label_map.tolist() == [8, 6, 9, 10]
    assert extension.labels == (*old_names, names[0], *names[2:])
    info = extension.extended(loop._model_info(config, dataset))
    data = replay.extended_data(config, info, dataset, extension)
    batches = data.batches(0, 0)
    assert batches.element_spec["image"].shape == (8, 32, 32, 3)
    assert batches.element_spec["label"].shape == (8,)
    labels = np.stack([next(batches)["label"].numpy() for _ in range(20)])
    assert set(labels[:, :5].ravel().tolist()) == {8, 6, 9, 10}
    assert set(labels[:, 5:].ravel().tolist()) == set(range(8))
    again = data.batches(7, 0)
    np.testing.assert_array_equal(next(again)["label"], labels[7])


def test_the_divergence_by_hand():
    """Two classes of three, T = 2: logits 0 and 2 ln 3 soften to 1/4 and 3/4, the teacher's are 1/2 each."""
    logits, teacher = tf.constant([[0.0, 2 * np.log(3.0), 9.0]]), tf.constant([[1.0, 1.0]])
    expected = 4 * (0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75))
    assert float(distillation.divergence(logits, teacher, 2.0)) == pytest.approx(expected, rel=1e-6)
    assert float(distillation.divergence(teacher, teacher, 2.0)) == 0.0


@pytest.mark.parametrize(
    "labels", [tf.constant([2, 0, -1]), tf.constant([[0.0, 0, 0.7, 0.3], [1.0, 0, 0, 0], [0.1, 0, 0.9, 0]])]
)
def test_without_old_images_new_classes_have_a_softmax_of_their_own(labels):
    """Classes 0 and 1 are old: no gradient reaches their logits where the label is new."""
    logits = tf.Variable(tf.zeros([3, 4]))
    with tf.GradientTape() as tape:
        losses = softmax_cross_entropy(distillation.separated(logits, labels, 2), labels)
    np.testing.assert_allclose(losses[:2], [np.log(2), np.log(4)], rtol=1e-6)
    gradient = tape.gradient(losses, logits).numpy()
    np.testing.assert_array_equal(gradient[0, :2], [0, 0])
    assert np.all(gradient[0, 2:] != 0)
    np.testing.assert_allclose(gradient[1], [-0.75, 0.25, 0.25, 0.25], rtol=1e-6)


def test_the_teacher_is_the_network_as_it_was(config, shapes):
    """At the first step the network agrees with it; at a rate of 0 it still does."""
    replay_dir = str(shapes["source"])
    config = dataclasses.replace(
        config, distillation_weight=1.0, replay_dataset_dir=replay_dir, learning_rate=0.0, weight_decay=0.0
    )
    loop.train(config)
    result = run_json(config.train_dir)["result"]
    assert result["losses/distillation_loss"] == pytest.approx(0.0, abs=1e-5)
    loop.train(dataclasses.replace(config, train_dir=config.train_dir + "2", learning_rate=0.1))
    assert run_json(config.train_dir + "2")["result"]["losses/distillation_loss"] > 1e-4


def test_an_extension_goes_on_bit_for_bit(config, shapes, tmp_path):
    config = dataclasses.replace(
        config, replay_dataset_dir=str(shapes["source"]), distillation_weight=1.0, max_number_of_steps=4
    )
    loop.train(dataclasses.replace(config, train_dir=str(tmp_path / "whole")))
    for steps in (2, 4):
        loop.train(dataclasses.replace(config, train_dir=str(tmp_path / "parts"), max_number_of_steps=steps))
    whole, parts = values_of(tmp_path / "whole"), values_of(tmp_path / "parts")
    assert set(whole) == set(parts)
    for name, value in whole.items():
        assert value.tobytes() == parts[name].tobytes(), name
    extensions = [run_json(tmp_path / name)["extension"] for name in ("whole", "parts")]
    assert extensions[0] == extensions[1]
    assert {"before", "after"} <= extensions[0].keys()


# -- what became of the old classes -----------------------------------------------------------------------------------


def test_the_report_agrees_with_evaluation(config, old_run, shapes, logged):
    loop.train(config)
    extension = run_json(config.train_dir)["extension"]
    before = evaluate.evaluate(EvalConfig(checkpoint_path=str(old_run))).metrics
    assert extension["before"]["accuracy"] == before.accuracy
    after_old = evaluate.evaluate(EvalConfig(checkpoint_path=config.train_dir, dataset_dir=str(shapes["source"])))
    after_new = evaluate.evaluate(EvalConfig(checkpoint_path=config.train_dir))  # the run's data has the new ones
    for part, result in (("old", after_old), ("new", after_new)):
        assert extension["after"][part]["accuracy"] == result.metrics.accuracy
        assert extension["after"][part]["images"] == result.metrics.count > 0
        assert result.metrics.confusion.shape == (12, 12)
    old = after_old.metrics.confusion[:8]
    assert extension["after"]["old"]["taken_for_other_part"] == pytest.approx(old[:, 8:].sum() / old.sum())
    assert "Classes by name: the data has 8 of the network's 12" in logged
    table = next(line for line in logged if line.startswith("accuracy of the"))
    assert [line.split()[0] for line in table.splitlines()[1:10]] == ["old", *class_names(shapes["source"])]


def test_data_of_classes_that_the_network_does_not_have(old_run, shapes):
    others = ", ".join(class_names(shapes["target"])[:3])
    with pytest.raises(
        UserError, match=f"has 8 classes, the data has 4 .*: the network has no class {others} and 1 more"
    ):
        evaluate.evaluate(EvalConfig(checkpoint_path=str(old_run), dataset_dir=str(shapes["target"])))


def test_the_table_by_hand():
    before = {"accuracy": 0.9, "per_class": [{"label": "a", "accuracy": 0.8}, {"label": "b", "accuracy": 1.0}]}
    rows = [{"label": "a", "images": 5, "accuracy": 0.4}, {"label": "b", "images": 5, "accuracy": 0.6}]
    new = {"images": 4, "accuracy": 0.75, "taken_for_other_part": 0.25}
    after = {
        "old": {"images": 10, "accuracy": 0.5, "taken_for_other_part": 0.4, "per_class": rows},
        "new": {**new, "per_class": [{"label": "c", "images": 4, "accuracy": 0.75}]},
    }
    assert extension_report.table(before, after).splitlines() == [
        "accuracy of the  images  before  after  taken for old/new",
        "old classes          10   90.0%  50.0%              40.0%",
        "  a                   5   80.0%  40.0%",
        "  b                   5  100.0%  60.0%",
        "new classes           4       -  75.0%              25.0%",
        "  c                   4       -  75.0%",
    ]
    assert "--replay_dataset_dir names their data" in extension_report.table(None, {"new": after["new"]})


def test_old_data_that_is_gone_is_no_error(config, old_run, tmp_path, logged):
    shutil.copytree(old_run, tmp_path / "moved")
    run = run_json(old_run)
    run["dataset"]["dir"] = str(tmp_path / "gone")
    (tmp_path / "moved" / "run.json").write_text(json.dumps(run))
    loop.train(dataclasses.replace(config, checkpoint_path=str(tmp_path / "moved")))
    assert any("is not at" in line and "--replay_dataset_dir names it" in line for line in logged)
    assert set(run_json(config.train_dir)["extension"]["after"]) == {"new"}


def test_an_extended_run_is_exported_with_all_names(config, shapes, tmp_path):
    loop.train(config)
    folder = saved_model.export(ExportConfig(checkpoint_path=config.train_dir, export_dir=str(tmp_path / "served")))
    labels = pathlib.Path(folder, "assets", "labels.txt").read_text().splitlines()
    assert labels == class_names(shapes["source"]) + class_names(shapes["target"])


def test_a_dry_run_shows_the_rows_and_writes_nothing(config, capsys):
    loop.train(dataclasses.replace(config, dry_run=True))
    assert "8 old rows, 4 new" in capsys.readouterr().out
    assert not os.path.exists(config.train_dir)


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"checkpoint_path": None},
            "--extend_classes adds classes to a trained classifier: name its run, --checkpoint_",
        ),
        ({"labels_offset": 1}, "--extend_classes finds classes by name: leave --labels_offset out"),
        ({"class_weights": "balanced"}, "--class_weights=balanced counts one data set"),
        ({"extend_classes": False, "distillation_weight": 1.0}, "--distillation_weight goes with --extend_classes"),
        ({"extend_classes": False, "replay_dataset_dir": "x"}, "--replay_dataset_dir goes with --extend_classes"),
        ({"distillation_temperature": 4.0}, "--distillation_temperature is that of --distillation_weight, which is 0"),
        (
            {"distillation_weight": 1.0, "label_smoothing": 0.1},
            "--label_smoothing spreads over all classes, which --dis",
        ),
        ({"replay_share": 0.2}, "--replay_share is of the images in --replay_dataset_dir: name that folder"),
        (
            {"replay_dataset_dir": "x", "replay_share": 0.01},
            "--replay_share=0.01 of --batch_size=8 is 0 images: a batch",
        ),
        ({"replay_dataset_dir": "x", "replay_share": 1.0}, "--replay_share=1 of --batch_size=8 is 8 images"),
    ],
)
def test_flags_that_do_not_go_together(config, options, message):
    with pytest.raises(FlagError, match=message):
        dataclasses.replace(config, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"dataset_dir": "old"},
            "all 8 classes of shapes .* are classes of .* already; leave the flag out to train on",
        ),
        ({"replay_dataset_dir": "unknown"}, "the old data set shapes has classes that the network does not: w, x"),
        (
            {"replay_dataset_dir": "new"},
            "the old data set shapes has none of the 8 old classes .*; --replay_dataset_dir",
        ),
        ({"replay_dataset_dir": "nowhere"}, "--replay_dataset_dir=nowhere: no such folder; name that of the old data"),
        ({"checkpoint_exclude_scopes": "head"}, "excludes all"),
        ({"checkpoint_path": "nowhere"}, "nowhere"),
        ({"use_grayscale": True}, "--use_grayscale: .*, which --extend_classes extends, takes images of 3 channels"),
    ],
)
def test_wrong_uses_are_told_in_one_line(config, shapes, renamed, options, message):
    folders = {"old": str(shapes["source"]), "new": str(shapes["target"])}
    if "unknown" in options.values():
        folders["unknown"] = renamed(["w", "x", "y", "z"])
    options = {key: folders.get(value, value) if isinstance(value, str) else value for key, value in options.items()}
    with pytest.raises(UserError, match=message) as error:
        loop.train(dataclasses.replace(config, **options))
    assert "\n" not in str(error.value)


def test_the_network_is_the_sources(config):
    with pytest.raises(FlagError, match=r"--model_name=inception_v3: .* extends, is of linear; leave it out"):
        loop.train(config, frozenset({"model_name"}))


def test_data_of_several_labels_is_refused(config, renamed, shapes):
    folder = renamed(class_names(shapes["target"]), multi_label=True)
    with pytest.raises(
        UserError, match="--extend_classes is for images of one class each; those of shapes have several"
    ):
        loop.train(dataclasses.replace(config, dataset_dir=folder))


def test_a_checkpoint_without_a_run_needs_its_network_and_names(config, old_run, shapes, tmp_path):
    shutil.copytree(old_run, tmp_path / "bare")
    (tmp_path / "bare" / "run.json").unlink()
    config = dataclasses.replace(config, checkpoint_path=str(tmp_path / "bare"), model_name="linear")
    with pytest.raises(UserError, match=r"no run.json beside .*: give --model_name, and --checkpoint_labels=FILE"):
        loop.train(config, frozenset({"model_name"}))
    (tmp_path / "names.txt").write_text("\n".join(class_names(shapes["source"])))
    config = dataclasses.replace(config, checkpoint_labels=str(tmp_path / "names.txt"))
    loop.train(config, frozenset({"model_name"}))
    assert run_json(config.train_dir)["model"]["num_classes"] == 12


def test_a_run_of_another_kind_is_not_gone_on_with(config, old_run, renamed, tmp_path):
    shutil.copytree(old_run, tmp_path / "other")
    with pytest.raises(UserError, match="holds a run that was not begun with --extend_classes; name another folder"):
        loop.train(dataclasses.replace(config, train_dir=str(tmp_path / "other")))
    loop.train(config)
    with pytest.raises(UserError, match=r"holds a run with the new classes .* has others \(w, x, y, z\): name another"):
        loop.train(dataclasses.replace(config, dataset_dir=renamed(["w", "x", "y", "z"])))
