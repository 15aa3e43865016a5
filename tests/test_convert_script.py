"""download_and_convert_data.py as a user runs it."""

import os
import subprocess
import sys

import pytest


@pytest.fixture
def run(project_root, tmp_path):
    def run(*flags):
        command = [sys.executable, str(project_root / "download_and_convert_data.py"), *flags]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    return run


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--dataset_name is missing; data sets: cifar10, cifar100, fashion_mnist, flowers, image_folder, "),
        (["--dataset_name=shapes"], "--dataset_dir is missing"),
        (["--dataset_name=flower", "--dataset_dir=x"], "unknown data set 'flower'; did you mean 'flowers'"),
        (["--dataset_name=shapes", "--dataset_dir=x", "--num_images=many"], "num_images"),
        (["--dataset_name=image_folder", "--dataset_dir=x"], "--image_dir is missing: name the folder that has"),
        (["--dataset_name=shapes", "--dataset_dir=x", "--validation_fraction=nan"], "=nan: expected a number"),
        (
            ["--dataset_name=shapes", "--dataset_dir=x", "--validation_fraction=0.1", "--validation_count=9"],
            "--validation_fraction and --validation_count exclude each other",
        ),
    ],
)
def test_wrong_flags_exit_with_2_and_one_line(run, tmp_path, flags, message):
    done = run(*flags)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_conversion_tells_what_it_did(run, tmp_path):
    done = run("--dataset_name=shapes", "--shapes_task=target", "--num_images=40", "--dataset_dir=out")
    assert done.returncode == 0, done.stderr
    for line in (
        "Found 40 images in 4 classes.",
        "Wrote 32 train + 8 validation images to out",
        "  arrow                8           2",
        "Train on it: python train_image_classifier.py --dataset_dir=out ...",
    ):
        assert line in done.stderr
    assert "dataset.json" in os.listdir(tmp_path / "out")


def test_bad_input_exits_with_1_and_one_line(run, tmp_path):
    done = run("--dataset_name=image_folder", "--image_dir=missing", "--dataset_dir=out")
    assert done.returncode == 1
    assert done.stderr.strip().endswith(
        "error: no folder missing: --image_dir names a folder that has a folder of photos for each class"
    )
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
