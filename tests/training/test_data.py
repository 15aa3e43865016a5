"""What a run trains on: caches, classes and corrupt records leave a run as it would be, and are told."""

import collections
import dataclasses
import itertools
import json
import os
import shutil
import uuid

import numpy as np
import pytest
import tensorflow as tf

from checkpoints import writer
from common.errors import FlagError, UserError
from datasets import dataset_factory, records
from exporting.config import ExportConfig
from training import evaluate, loop
from training.config import EvalConfig, TrainConfig
from training.data import TrainData
from training.runs import ModelInfo


@pytest.fixture
def config(config):
    return dataclasses.replace(
        config, model_name="linear", train_image_size=8, max_number_of_steps=4, batch_norm="fitted"
    )


def weights_of(config):
    reader = tf.train.load_checkpoint(writer.latest(config.train_dir))
    return {name: reader.get_tensor(name).tobytes() for name in reader.get_variable_to_shape_map()}


def trained(config, train_dir, **changes):
    config = dataclasses.replace(config, train_dir=str(train_dir), **changes)
    loop.train(config)
    return weights_of(config)


def run_json(folder):
    with open(os.path.join(folder, "run.json")) as file:
        return json.load(file)


@pytest.mark.parametrize("kind", ["encoded", "decoded"])
@pytest.mark.parametrize("place", ["memory", "disk"])
def test_a_run_with_a_cache_is_the_run_without(config, tmp_path, place, kind):
    expected = trained(config, tmp_path / "plain")
    assert trained(config, tmp_path / "cached", cache=place, cache_images=kind) == expected


def test_a_run_may_go_on_with_another_cache(config, tmp_path, logged):
    expected = trained(config, tmp_path / "whole", max_number_of_steps=6)
    folder = str(tmp_path / "fast")
    ways = [{}, {"cache": "disk", "cache_dir": folder}, {"cache": "memory", "cache_images": "decoded"}]
    for steps, way in zip((2, 4, 6), ways, strict=True):
        got = trained(config, tmp_path / "parts", max_number_of_steps=steps, **way)
    assert got == expected
    assert [path for path in os.listdir(folder) if path.endswith(".cache")]
    trained(config, tmp_path / "other", cache="disk", cache_dir=folder)
    assert any(line.endswith("by a run before") for line in logged)


def test_a_run_with_balanced_classes_goes_on_bit_for_bit(config, tmp_path):
    options = {"class_balance": 1.0, "class_weights": "balanced", "num_readers": 2}
    expected = trained(config, tmp_path / "whole", max_number_of_steps=6, **options)
    for steps in (3, 6):
        got = trained(config, tmp_path / "parts", max_number_of_steps=steps, **options)
    assert got == expected
    assert trained(config, tmp_path / "plain", max_number_of_steps=6) != expected


def test_the_readers_do_not_matter(config, tmp_path):
    assert trained(config, tmp_path / "1", num_readers=1) == trained(config, tmp_path / "9", num_readers=9)


def test_weights_and_balance_are_told(config, tmp_path, logged, shapes):
    counts = json.loads((shapes["target"] / "dataset.json").read_text())["splits"]["train"]["examples_per_class"]
    trained(config, tmp_path / "a", class_weights="balanced")
    assert any(line.startswith("Class weights: ") for line in logged)
    assert not any("Reading the labels" in line for line in logged)  # dataset.json says the counts
    trained(config, tmp_path / "b", class_balance=1.0)
    assert f"Reading the labels of {sum(counts)} records once" in logged
    balance = f"Class balance 1: classes have {min(counts)} to {max(counts)} examples"
    assert any(line.startswith(balance) for line in logged)
    assert (tmp_path / "b" / "labels_train.npz").exists()


def test_balanced_weights_are_those_of_what_is_drawn(config, shapes):
    """Classes that are drawn equally often need no weights."""
    dataset = dataset_factory.get_dataset(None, "train", str(shapes["target"]))
    info = ModelInfo("linear", dataset.num_classes, 8, 3, "lenet", None)
    data = TrainData(dataclasses.replace(config, class_balance=1.0, class_weights="balanced"), info, dataset)
    np.testing.assert_allclose(data.class_weights, np.ones(dataset.num_classes), rtol=1e-6)
    alone = TrainData(dataclasses.replace(config, class_weights="balanced"), info, dataset).class_weights
    counts = np.array(dataset.class_examples)
    np.testing.assert_allclose(alone, counts.sum() / (len(counts) * counts), rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cache_images": "decoded"}, "--cache_images says what to keep, --cache=none keeps nothing"),
        ({"cache": "memory", "cache_dir": "x"}, "--cache_dir is the folder of --cache=disk"),
    ],
)
def test_options_of_a_cache_that_is_not_there_are_refused(options, message):
    with pytest.raises(FlagError, match=message):
        TrainConfig(dataset_dir="data", **options)


# -- corrupt records -------------------------------------------------------------------------------------------------


@pytest.fixture
def damaged(shapes, tmp_path):
    """The target shapes as Slim had them, without images in records 5 and 40 of training."""
    folder = tmp_path / "damaged"
    shutil.copytree(shapes["target"], folder)
    (folder / "dataset.json").unlink()
    number = itertools.count()
    for path in sorted(folder.glob("*_train_*")):
        content = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
        with tf.io.TFRecordWriter(str(path)) as file:
            for record in content:
                bad = next(number) in (5, 40)
                file.write(records.encode(b"no image", "png", 8, 8, 0) if bad else record)
    return str(folder)


def test_a_run_past_corrupt_records_says_so_and_goes_on_bit_for_bit(config, damaged, tmp_path, logged):
    config = dataclasses.replace(config, dataset_dir=damaged, num_readers=1)
    expected = trained(config, tmp_path / "whole", max_number_of_steps=16)
    skipped = [line for line in logged if line.startswith("warning: skipped a corrupt record")]
    assert len(skipped) == 2
    told = run_json(tmp_path / "whole")["corrupt_records"]
    assert [line.partition("): ")[2] for line in skipped] == told
    logged.clear()
    for steps in (5, 10, 16):
        got = trained(config, tmp_path / "parts", max_number_of_steps=steps)
    assert got == expected
    assert run_json(tmp_path / "parts")["corrupt_records"] == told
    # Each once, in whichever part.
    assert sum(line.startswith("warning: skipped a corrupt record") for line in logged) == 2


def test_the_limit_holds_for_all_parts_of_a_run(config, damaged, tmp_path):
    config = dataclasses.replace(config, dataset_dir=damaged, max_corrupt_records=1)

    def run_in_parts():
        for steps in range(1, 20, 2):
            trained(config, tmp_path / "parts", max_number_of_steps=steps)

    with pytest.raises(UserError, match=r"^2 corrupt records, more than --max_corrupt_records=1; .*: Unknown"):
        run_in_parts()


def test_data_on_another_file_system_is_trained_on_and_named_in_run_json(config, shapes, tmp_path):
    remote = f"ram://{uuid.uuid4().hex}"
    tf.io.gfile.makedirs(remote)
    for path in shapes["target"].iterdir():
        if path.is_file():
            tf.io.gfile.copy(str(path), f"{remote}/{path.name}")
    expected = trained(config, tmp_path / "here")
    assert trained(config, tmp_path / "there", dataset_dir=remote) == expected
    assert run_json(tmp_path / "there")["dataset"]["dir"] == remote


def test_batches_are_copied_to_a_device_where_there_is_one(config, tmp_path, monkeypatch):
    """The processor stands in for a GPU."""
    expected = trained(config, tmp_path / "plain")
    device = collections.namedtuple("device", "name")("/device:CPU:0")
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [device] if kind == "GPU" else [])
    assert trained(config, tmp_path / "copied") == expected


def test_a_run_on_files_by_a_pattern_is_evaluated_on_them(config, shapes, tmp_path):
    """Shards that lie in two folders, as days of a collection do."""
    for k, path in enumerate(sorted(shapes["target"].glob("*.tfrecord"))):
        folder = tmp_path / "data" / f"day-{k % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
    shutil.copy(shapes["target"] / "labels.txt", tmp_path / "data")
    config = dataclasses.replace(config, dataset_dir=str(tmp_path / "data"), file_pattern="day-*/shapes_%s_*")
    assert len(trained(config, tmp_path / "run")) > 0
    flags = {"checkpoint_path": config.train_dir}  # the split is the one that there is, as without a pattern
    result = evaluate.evaluate(EvalConfig(**flags), frozenset(flags))
    assert result.split == "validation"
    description = json.loads((shapes["target"] / "dataset.json").read_text())
    assert result.metrics.count == description["splits"]["validation"]["examples"]


def test_labels_of_no_class_are_told(config, write_numbers, tmp_path, logged):
    """Of TFRecords that do not say their classes' sizes: 5 of 23 labels are 3."""
    write_numbers(tmp_path / "data", classes=3)
    config = dataclasses.replace(config, dataset_dir=str(tmp_path / "data"), max_number_of_steps=1)
    trained(config, tmp_path / "run")
    told = "5 of 23 records looked at have a label above 2, the last of the 3 classes: nothing is learned from such"
    assert any(told in line for line in logged)
    write_numbers(tmp_path / "right", classes=4)
    trained(dataclasses.replace(config, dataset_dir=str(tmp_path / "right")), tmp_path / "run right")
    assert sum("records looked at" in line for line in logged) == 1


@pytest.mark.parametrize(
    ("make", "options", "flag"),
    [
        (TrainConfig, {"dataset_dir": "data", "train_dir": "gs://b/run"}, "train_dir"),
        (TrainConfig, {"dataset_dir": "data", "cache": "disk", "cache_dir": "ram://x"}, "cache_dir"),
        (TrainConfig, {"dataset_dir": "data", "preview_augmentation": "gs://b/x.png"}, "preview_augmentation"),
        (EvalConfig, {"eval_dir": "s3://b/eval"}, "eval_dir"),
        (ExportConfig, {"checkpoint_path": "run", "export_dir": "gs://b/served"}, "export_dir"),
    ],
)
def test_nothing_is_written_to_other_machines(make, options, flag):
    with pytest.raises(FlagError, match=rf"--{flag}={options[flag]}: this is written to a folder of this machine or"):
        make(**options)
