"""The main job through the real scripts, as a user calls them."""

import json

import pytest
import tensorflow as tf

NET = ("--model_name=mobilenet_v1_025", "--train_image_size=32", "--batch_size=8")


@pytest.fixture(scope="module")
def finetuned(run_script, shapes, pretrained, tmp_path_factory):
    """A fine-tuned run, from the original's own command line."""
    folder = tmp_path_factory.mktemp("finetuned") / "run"
    done = run_script(
        "train_image_classifier.py",
        f"--train_dir={folder}",
        f"--dataset_dir={shapes['target']}",
        f"--checkpoint_path={pretrained}",
        "--checkpoint_exclude_scopes=MobilenetV1/Logits",
        "--trainable_scopes=MobilenetV1/Logits",
        "--max_number_of_steps=5",
        "--log_every_n_steps=2",
        *NET,
    )
    return folder, done.stderr


@pytest.fixture(scope="module")
def exported(run_script, finetuned, tmp_path_factory):
    """An export folder with one version."""
    folder = tmp_path_factory.mktemp("exported") / "served"
    run_script("export_saved_model.py", f"--checkpoint_path={finetuned[0]}", f"--export_dir={folder}")
    return folder


def test_training_says_where_it_starts_what_it_trains_and_how_it_goes(finetuned):
    log = finetuned[1]
    assert "135 of 137 variables restored" in log
    assert "Training 2 of 83 variables" in log
    assert "Batch norm: all averages are frozen" in log
    assert "global step 4: loss = " in log
    assert "images/s" in log
    assert "135 frozen variables are bit-identical" in log


def test_evaluation_needs_only_the_runs_folder(run_script, finetuned):
    done = run_script("eval_image_classifier.py", f"--checkpoint_path={finetuned[0]}")
    assert "eval/Accuracy[" in done.stderr
    assert "eval/Recall_5[" in done.stderr
    metrics = json.loads((finetuned[0] / "eval_validation" / "metrics.json").read_text())
    assert metrics["examples"] == sum(row["examples"] for row in metrics["per_class"]) > 0
    assert metrics["step"] == 5
    assert f"eval/Accuracy[{metrics['Accuracy']:.4f}]" in done.stderr


def test_the_export_is_what_serving_loads(exported):
    version = exported / "1"
    loaded = tf.saved_model.load(str(version))
    inputs = loaded.signatures["serving_default"].structured_input_signature[1]
    assert inputs["image_bytes"].shape.as_list() == [None]
    assert inputs["image_bytes"].dtype == tf.string
    assert (version / "assets" / "labels.txt").read_text().splitlines()
    assert not [path.name for path in exported.iterdir() if path.name != "1"]


def test_a_second_export_is_the_next_version(run_script, finetuned, exported):
    run_script("export_saved_model.py", f"--checkpoint_path={finetuned[0]}", f"--export_dir={exported}")
    assert sorted(path.name for path in exported.iterdir()) == ["1", "2"]


def test_classifying_names_the_bad_file_and_goes_on(run_script, exported, tmp_path):
    image = tf.cast(tf.random.stateless_uniform((40, 60, 3), (0, 1), maxval=255), tf.uint8)
    (tmp_path / "good.png").write_bytes(tf.io.encode_png(image).numpy())
    (tmp_path / "bad.jpg").write_bytes(b"<html>not found</html>")
    done = run_script("classify_images.py", f"--saved_model={exported}", "--json", tmp_path, status=1)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert "error" in answers[0]
    assert answers[1]["classes"][0]["probability"] >= answers[1]["classes"][1]["probability"]
    assert "1 of 2 files could not be classified" in done.stderr


@pytest.mark.parametrize(
    ("script", "arguments", "status", "words"),
    [
        ("train_image_classifier.py", [], 2, "--dataset_dir is missing"),
        ("train_image_classifier.py", ["--dataset_dir=x", "--num_clones=2"], 2, "--num_clones=2"),
        ("train_image_classifier.py", ["--dataset_dir=nowhere"], 1, "nowhere"),
        ("eval_image_classifier.py", ["--checkpoint_path=nowhere"], 1, "nowhere"),
        ("export_saved_model.py", ["--checkpoint_path=x"], 2, "--export_dir is missing"),
        ("classify_images.py", [], 2, "--saved_model is missing"),
    ],
)
def test_wrong_command_lines_end_in_one_line(run_script, script, arguments, status, words):
    done = run_script(script, *arguments, status=status)
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
