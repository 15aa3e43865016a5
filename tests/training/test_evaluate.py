"""Evaluation: every example once, the right numbers, and what it says and refuses."""

import dataclasses
import io
import json
import math
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from checkpoints import writer
from common.errors import FlagError, UserError
from datasets import records
from training import evaluate, loop
from training.config import EvalConfig, TrainConfig

CLASSES, SIDE = 6, 4
LABELS = [0, 1, 2, 3, 4, 5, 5, 5, 2, 1, 0]


def write_split(folder, split, labels, pixels, names=None):
    """A data set folder as Slim's converters leave it, of PNG images."""
    folder.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / f"tiny_{split}_00000-of-00001.tfrecord")) as file:
        for label, image in zip(labels, pixels, strict=True):
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "PNG")
            file.write(records.encode(buffer.getvalue(), "png", SIDE, SIDE, label))
    names = names or [f"class {k}" for k in range(CLASSES)]
    (folder / "labels.txt").write_text("".join(f"{k}:{name}\n" for k, name in enumerate(names)))


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (len(LABELS), SIDE, SIDE, 3), np.uint8)


@pytest.fixture(scope="module")
def weights():
    random = np.random.default_rng(1)
    return random.standard_normal((SIDE * SIDE * 3, CLASSES)).astype(np.float32) / 8, random.standard_normal(CLASSES)


@pytest.fixture
def tiny(tmp_path, pixels, weights):
    """A small data set and a checkpoint of `linear` without run.json, and flags as in the original's command line."""
    write_split(tmp_path / "data", "validation", LABELS, pixels)
    values = {"Linear/logits/weights": weights[0], "Linear/logits/biases": weights[1].astype(np.float32)}
    prefix = writer.save(tmp_path / "model", 12, values)
    flags = {
        "checkpoint_path": prefix,
        "dataset_dir": str(tmp_path / "data"),
        "dataset_split_name": "validation",
        "model_name": "linear",
        "eval_image_size": SIDE,
        "batch_size": 4,
    }
    return flags


def run(flags):
    return evaluate.evaluate(EvalConfig(**flags), frozenset(flags))


def by_hand(pixels, weights):
    """Logits of `linear` under the lenet recipe."""
    return (pixels.reshape(len(pixels), -1) / 128.0 - 1.0) @ weights[0] + weights[1]


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def without_time(result):
    return {key: value for key, value in result.as_json().items() if key != "seconds"}


# -- numbers ---------------------------------------------------------------------------------------------------------


def test_the_numbers_are_those_worked_by_hand(tiny, pixels, weights, tmp_path):
    run(tiny)
    logits, labels = by_hand(pixels, weights), np.array(LABELS)
    predicted = logits.argmax(axis=1)
    rows = np.arange(len(labels))
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[rows, labels]
    rank = (logits > logits[rows, labels][:, None]).sum(axis=1)
    assert 0 < (predicted == labels).sum() < len(labels), "a case that can tell"
    assert 0 < (rank < 5).sum() < len(labels)

    metrics = metrics_of(tmp_path / "model" / "eval_validation")
    assert metrics["Accuracy"] == pytest.approx((predicted == labels).mean())
    assert metrics["Recall_5"] == pytest.approx((rank < 5).mean())
    assert metrics["loss"] == pytest.approx(losses.mean(), rel=1e-5)
    confusion = np.zeros((CLASSES, CLASSES), int)
    for label, prediction in zip(labels, predicted, strict=True):
        confusion[label, prediction] += 1
    assert metrics["confusion_matrix"] == confusion.tolist()
    for k, row in enumerate(metrics["per_class"]):
        of_class = labels == k
        assert (row["name"], row["index"], row["examples"]) == (f"class {k}", k, of_class.sum())
        assert row["accuracy"] == pytest.approx((predicted == k)[of_class].mean())
        as_class = predicted == k
        assert row["precision"] == (pytest.approx(of_class[as_class].mean()) if as_class.any() else None)


def test_metrics_json_says_what_was_evaluated(tiny, tmp_path):
    result = run(tiny)
    metrics = metrics_of(tmp_path / "model" / "eval_validation")
    assert metrics == result.as_json()
    told = {
        "examples": 11,
        "examples_skipped": 0,
        "examples_with_other_labels": 0,
        "is_partial": False,
        "checkpoint": tiny["checkpoint_path"],
        "step": 12,
        "uses_moving_averages": False,
        "dataset_dir": tiny["dataset_dir"],
        "split": "validation",
        "confusion_matrix_axes": "rows: true class, columns: predicted class",
    }
    assert {key: metrics[key] for key in told} == told
    assert metrics["seconds"] > 0


@pytest.mark.parametrize("batch_size", [1, 7, 11, 100])
def test_every_example_counts_once_whatever_the_batch_size(tiny, batch_size):
    expected, got = without_time(run(tiny)), without_time(run({**tiny, "batch_size": batch_size}))
    assert got.pop("loss") == pytest.approx(expected.pop("loss"), rel=1e-6)
    assert got == expected


def test_a_part_of_the_split_is_marked_as_one(tiny, logged):
    result = run({**tiny, "max_num_batches": 2})
    assert (result.is_partial, result.metrics.count) == (True, 8)
    assert "8 images in" in "\n".join(logged)
    assert "(a part of the split: --max_num_batches)" in "\n".join(logged)
    whole = run({**tiny, "max_num_batches": 3})
    assert (whole.is_partial, whole.metrics.count) == (False, 11)


def test_the_event_file_has_the_metrics_by_slims_tags_at_the_checkpoints_step(tiny, tmp_path):
    result = run(tiny)
    (path,) = (tmp_path / "model" / "eval_validation").glob("events.out.tfevents.*")
    found = {}
    for serialized in tf.data.TFRecordDataset(str(path)):
        event = tf.compat.v1.Event.FromString(serialized.numpy())
        for value in event.summary.value:
            found[value.tag] = float(tf.make_ndarray(value.tensor))
            assert event.step == 12
    assert found == {
        "eval/Accuracy": pytest.approx(result.metrics.accuracy),
        "eval/Recall_5": pytest.approx(result.metrics.recall_5),
        "eval/loss": pytest.approx(result.metrics.loss),
    }


def test_the_log_has_slims_lines_and_the_tables(tiny, logged):
    result = run(tiny)
    text = "\n".join(logged)
    assert f"eval/Accuracy[{result.metrics.accuracy:.4f}]\neval/Recall_5[{result.metrics.recall_5:.4f}]\n" in text
    assert "11 images in" in text
    assert "each counted once" in text
    assert re.search(r"^class 5 +3 +\d+\.\d%", text, re.MULTILINE)
    assert re.search(r"^true \\ predicted +class 0 +class 1", text, re.MULTILINE)
    assert "Evaluation [3/3]" in text


# -- labels ----------------------------------------------------------------------------------------------------------


def test_a_labels_offset_drops_the_first_classes(tiny, pixels, weights, tmp_path):
    """Data with a background class 0 for a network without: its images are counted as wrong, and told of."""
    labels = np.array(LABELS)
    names = ["background", *(f"class {k}" for k in range(CLASSES))]
    shifted = np.where(labels == 5, 0, labels + 1)  # what was class 5 becomes background
    write_split(tmp_path / "shifted", "validation", shifted, pixels, names)
    result = run({**tiny, "dataset_dir": str(tmp_path / "shifted"), "labels_offset": 1})
    correct = (by_hand(pixels, weights).argmax(axis=1) == labels) & (labels != 5)
    assert result.metrics.count == 11
    assert result.metrics.outside == 3
    assert result.metrics.accuracy == pytest.approx(correct.mean())
    assert result.labels == tuple(f"class {k}" for k in range(CLASSES))
    assert "3 images have a label that the network has no class for" in evaluate.report(result)


def test_another_class_count_is_refused_with_the_offset_that_would_fit(tiny, pixels, tmp_path):
    names = [f"class {k}" for k in range(CLASSES + 1)]
    write_split(tmp_path / "more", "validation", LABELS, pixels, names)
    with pytest.raises(UserError, match=r"has 6 classes, the data has 7 .*add --labels_offset=1$"):
        run({**tiny, "dataset_dir": str(tmp_path / "more")})
    write_split(tmp_path / "many", "validation", LABELS, pixels, names * 2)
    with pytest.raises(UserError, match=r"has 6 classes, the data has 14 \(less --labels_offset=0\)$"):
        run({**tiny, "dataset_dir": str(tmp_path / "many")})


# -- data and checkpoint ---------------------------------------------------------------------------------------------


def test_test_is_preferred_to_validation_and_a_split_can_be_named(tiny, pixels, tmp_path):
    write_split(tmp_path / "data", "test", LABELS[:2], pixels[:2])
    write_split(tmp_path / "data", "train", LABELS[:3], pixels[:3])
    flags = dict(tiny)
    del flags["dataset_split_name"]
    assert (run(flags).split, run(flags).metrics.count) == ("test", 2)
    assert run(tiny).split == "validation"
    with pytest.raises(UserError, match=r"has no split 'tst'.*test, train, validation"):
        run({**tiny, "dataset_split_name": "tst"})


@pytest.mark.parametrize("missing", ["dataset_dir", "model_name"])
def test_without_run_json_the_flags_are_needed(tiny, missing):
    del tiny[missing]
    with pytest.raises(FlagError, match=f"--{missing} is missing"):
        run(tiny)


def test_a_network_whose_classifier_is_not_there_is_refused(tiny):
    with pytest.raises(UserError, match=r"has no classifier of lenet \(LeNet/fc4\): is --model_name right"):
        run({**tiny, "model_name": "lenet"})


def test_a_size_that_does_not_fit_is_refused(tiny):
    del tiny["eval_image_size"]
    with pytest.raises(UserError, match="Linear/logits/weights"):
        run(tiny)


def test_the_folder_of_the_evaluation_can_be_named(tiny, tmp_path):
    run({**tiny, "eval_dir": str(tmp_path / "deep" / "here")})
    assert {path.name.split(".")[0] for path in (tmp_path / "deep" / "here").iterdir()} == {"metrics", "events"}
    assert not (tmp_path / "model" / "eval_validation").exists()


def test_a_folder_that_cannot_be_written_is_told_before_the_work(tiny, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(evaluate, "measure", None)
    with pytest.raises(UserError, match=r"file.* cannot be written .*--eval_dir"):
        run({**tiny, "eval_dir": str(tmp_path / "file" / "eval")})


# -- corrupt records -------------------------------------------------------------------------------------------------


@pytest.fixture
def damaged(tiny, pixels, tmp_path):
    """The flags of an evaluation of which records 2 and 9 have no image."""
    write_split(tmp_path / "damaged", "validation", LABELS, pixels)
    path = tmp_path / "damaged" / "tiny_validation_00000-of-00001.tfrecord"
    content = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    with tf.io.TFRecordWriter(str(path)) as file:
        for k, record in enumerate(content):
            file.write(records.encode(b"no image", "png", SIDE, SIDE, 0) if k in (2, 9) else record)
    return {**tiny, "dataset_dir": str(tmp_path / "damaged")}


def test_a_corrupt_record_ends_an_evaluation_with_its_name(damaged):
    with pytest.raises(UserError, match=r"^corrupt record: .*validation_00000-of-00001.tfrecord, record 2: Unknown"):
        run(damaged)
    with pytest.raises(UserError, match=r"^2 corrupt records, more than --max_corrupt_records=1; .*record 9: "):
        run({**damaged, "max_corrupt_records": 1})


@pytest.mark.parametrize("batch_size", [4, 100])
def test_corrupt_records_that_are_left_out_are_counted_and_named(
    damaged, pixels, weights, logged, tmp_path, batch_size
):
    result = run({**damaged, "max_corrupt_records": 2, "batch_size": batch_size})
    kept = [k for k in range(len(LABELS)) if k not in (2, 9)]
    correct = by_hand(pixels, weights).argmax(axis=1)[kept] == np.array(LABELS)[kept]
    metrics = metrics_of(tmp_path / "model" / "eval_validation")
    assert metrics["Accuracy"] == pytest.approx(correct.mean())
    assert (metrics["examples"], metrics["examples_skipped"], metrics["is_partial"]) == (9, 2, False)
    assert [name.partition(":")[0][-9:] for name in metrics["corrupt_records"]] == [" record 2", " record 9"]
    assert "Corrupt records that count in nothing: 2; metrics.json names them" in evaluate.report(result)
    assert sum(line.startswith("warning: skipped a corrupt record") for line in logged) == 2


def test_nothing_that_can_be_read_is_no_evaluation(tiny, pixels, tmp_path):
    write_split(tmp_path / "damaged", "validation", LABELS, pixels)
    with tf.io.TFRecordWriter(str(tmp_path / "damaged" / "tiny_validation_00000-of-00001.tfrecord")) as file:
        for _ in LABELS:
            file.write(records.encode(b"no image", "png", SIDE, SIDE, 0))
    with pytest.raises(UserError, match=r"^none of the 11 records of split 'validation' of .* can be read; the last: "):
        run({**tiny, "dataset_dir": str(tmp_path / "damaged"), "max_corrupt_records": 100})


# -- runs ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def averaged(shapes, tmp_path_factory):
    """A short run that keeps moving averages."""
    folder = tmp_path_factory.mktemp("averaged")
    loop.train(
        TrainConfig(
            dataset_dir=str(shapes["target"]),
            train_dir=str(folder),
            model_name="linear",
            train_image_size=8,
            batch_size=8,
            max_number_of_steps=3,
            moving_average_decay=0.9,
        )
    )
    return folder


def test_averages_are_used_where_there_are_some_and_said_so(averaged, logged):
    config = EvalConfig(checkpoint_path=str(averaged))
    with_averages = evaluate.evaluate(config)
    assert with_averages.as_json()["uses_moving_averages"] is True
    assert "(step 3, moving averages) on" in logged[0]
    plain = evaluate.evaluate(
        dataclasses.replace(config, moving_average_decay=0.0), frozenset({"moving_average_decay"})
    )
    assert plain.uses_averages is False
    assert "moving averages" not in [line for line in logged if line.startswith("Evaluating")][1]
    assert plain.metrics.loss != with_averages.metrics.loss
    reader = tf.train.load_checkpoint(with_averages.checkpoint)
    name = "Linear/logits/weights"
    assert (reader.get_tensor(name) != reader.get_tensor(f"{name}/ExponentialMovingAverage")).any()


def test_averages_that_are_not_there_cannot_be_asked_for(pretrained):
    with pytest.raises(UserError, match=r"--moving_average_decay asks for moving averages, and .* holds none"):
        run({"checkpoint_path": str(pretrained), "moving_average_decay": 0.99})


def test_a_run_tells_all_by_itself(pretrained, shapes):
    result = evaluate.evaluate(EvalConfig(checkpoint_path=str(pretrained)))
    assert result.dataset_dir == str(shapes["source"])
    assert result.metrics.count == sum(result.metrics.confusion.sum(axis=1)) > 0
    assert result.labels == tuple(json.loads((shapes["source"] / "dataset.json").read_text())["class_names"])
    assert math.isfinite(result.metrics.loss)
    assert (pretrained / "eval_validation" / "metrics.json").exists()


def test_a_run_can_be_evaluated_on_other_data(averaged, shapes, tmp_path, logged):
    """A copy elsewhere; in another order, which the names tell; and data of other classes, which is worth a warning."""
    shutil.copytree(shapes["target"], tmp_path / "copy")
    flags = {"checkpoint_path": str(averaged), "dataset_dir": str(tmp_path / "copy")}
    assert run(flags).metrics.count > 0
    assert not [line for line in logged if line.startswith("warning")]
    description = json.loads((tmp_path / "copy" / "dataset.json").read_text())
    names = description["class_names"]

    def renamed(folder, class_names):
        folder.mkdir()
        for split in description["splits"].values():
            for file in split["files"]:
                shutil.copy(tmp_path / "copy" / file["name"], folder)
        (folder / "dataset.json").write_text(json.dumps({**description, "name": "x", "class_names": class_names}))
        return {**flags, "dataset_dir": str(folder)}

    straight = run(flags).metrics.confusion
    turned = run(renamed(tmp_path / "turned", names[::-1])).metrics.confusion
    np.testing.assert_array_equal(turned, straight[::-1])  # the images of the first class are the last's by name
    assert f"Classes by name: the data has {len(names)} of the network's {len(names)}" in logged
    run(renamed(tmp_path / "other", ["moon", *names[1:]]))
    (warning,) = [line for line in logged if line.startswith("warning")]
    assert f"1 of {len(names)} classes have other names" in warning
    assert f"class 0: 'moon', in the run '{names[0]}'" in warning


def test_a_damaged_run_json_is_told(averaged, tmp_path):
    shutil.copytree(averaged, tmp_path / "run")
    for content in ("{", "[]", '{"model": {"model_name": "linear"}}'):
        (tmp_path / "run" / "run.json").write_text(content)
        with pytest.raises(UserError, match=r"run.json is not a run description .*; remove it or restore it"):
            evaluate.evaluate(EvalConfig(checkpoint_path=str(tmp_path / "run")))
