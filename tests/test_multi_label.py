"""Images that have several classes, or none, from a manifest to a classified photo, through the real scripts."""

import itertools
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from common.errors import UserError
from exporting import classify
from exporting.config import ClassifyConfig
from training import evaluate
from training.config import EvalConfig

CLASSES = ("blue", "green", "red")
SIDE = 8


def picture(names, number):
    """Noise, brighter in the colours that it is named after."""
    random = np.random.default_rng(number)
    pixels = random.integers(0, 90, (SIDE, SIDE, 3))
    for channel, name in enumerate(("red", "green", "blue")):
        pixels[..., channel] += 160 * (name in names)
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    """A folder with 64 pictures of every combination of three colours, and a manifest of them."""
    folder = tmp_path_factory.mktemp("colours")
    combinations = [names for k in range(4) for names in itertools.combinations(CLASSES, k)]
    lines = ["path,labels,split"]
    for k in range(64):
        names = combinations[k % 8]
        picture(names, k).save(folder / f"{k}.png")
        lines.append(f"{k}.png,{'|'.join(names)},{'validation' if k >= 48 else 'train'}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def trained(colours, run_script, tmp_path_factory):
    """The folders of the data and of a run on it, and what training said."""
    folder = tmp_path_factory.mktemp("multi_label")
    data, run = folder / "data", folder / "run"
    run_script(
        "download_and_convert_data.py",
        "--dataset_name=manifest",
        f"--manifest={colours / 'manifest.csv'}",
        f"--dataset_dir={data}",
    )
    done = run_script(
        "train_image_classifier.py",
        f"--dataset_dir={data}",
        f"--train_dir={run}",
        "--model_name=linear",
        f"--train_image_size={SIDE}",
        "--batch_size=16",
        "--max_number_of_steps=150",
        "--learning_rate=0.3",
        "--learning_rate_decay_type=fixed",
        "--optimizer=sgd",
        "--class_balance=0.5",
        "--class_weights=balanced",
        "--label_smoothing=0.02",
        "--cache=memory",
        "--cache_images=decoded",
    )
    return data, run, done.stderr


def test_training_says_how_classes_are_drawn_and_weighted(trained):
    _, run, said = trained
    assert "Class balance 0.5: classes have 24 to 24 examples; an epoch of 48 draws " in said
    assert "Class weights: 1 (blue) to 1 (blue)" in said
    assert "Cache: keeping 48 decoded images in memory, about 9.2 kB" in said
    assert json.loads((run / "run.json").read_text())["model"]["multi_label"] is True


def test_evaluation_has_metrics_of_several_classes(trained, run_script):
    _, run, _ = trained
    done = run_script("eval_image_classifier.py", f"--checkpoint_path={run}")
    metrics = json.loads((run / "eval_validation" / "metrics.json").read_text())
    assert (metrics["examples"], metrics["examples_skipped"]) == (16, 0)
    assert metrics["mAP"] == 1.0
    assert metrics["F1"] > 0.95
    assert metrics["Exact_match"] > 0.8
    assert "confusion_matrix" not in metrics
    assert [row["name"] for row in metrics["per_class"]] == list(CLASSES)
    assert [row["examples"] for row in metrics["per_class"]] == [8, 8, 8]
    for name in ("mAP", "F1", "F1_macro", "Exact_match", "loss"):
        assert f"eval/{name}[{metrics[name]:.4f}]" in done.stderr
    assert "average precision" in done.stderr
    (events,) = (run / "eval_validation").glob("events.out.tfevents.*")
    tags = {
        value.tag
        for serialized in tf.data.TFRecordDataset(str(events))
        for value in tf.compat.v1.Event.FromString(serialized.numpy()).summary.value
    }
    assert tags == {f"eval/{name}" for name in ("mAP", "F1", "F1_macro", "Exact_match", "loss")}


def test_the_export_gives_each_class_a_probability_of_its_own(trained, run_script, tmp_path, capsys):
    _, run, _ = trained
    served = tmp_path / "served"
    run_script("export_saved_model.py", f"--checkpoint_path={run}", f"--export_dir={served}")
    for name, colours in {"both": ("red", "blue"), "none": (), "all": CLASSES}.items():
        picture(colours, 99).save(tmp_path / f"{name}.png")
    paths = [tmp_path / f"{name}.png" for name in ("both", "none", "all")]
    done = run_script("classify_images.py", f"--saved_model={served}", *paths)
    both, none, everything = (line.partition(".png")[2] for line in done.stdout.splitlines())
    assert {word for word in both.split() if word in CLASSES} == {"red", "blue"}
    assert {word for word in everything.split() if word in CLASSES} == set(CLASSES)
    assert none.endswith("(none of 0.5 or more)")
    classify.classify(ClassifyConfig(saved_model=str(served), json=True), [str(paths[0])])
    probabilities = {row["name"]: row["probability"] for row in json.loads(capsys.readouterr().out)["classes"]}
    assert min(probabilities["red"], probabilities["blue"]) > 0.5 > probabilities["green"]


def test_data_with_one_class_an_image_is_refused(trained, shapes):
    _, run, _ = trained
    config = EvalConfig(checkpoint_path=str(run), dataset_dir=str(shapes["source"]))
    with pytest.raises(UserError, match=r"trained on images of several classes each, those of shapes have one class"):
        evaluate.evaluate(config, frozenset({"checkpoint_path", "dataset_dir"}))
