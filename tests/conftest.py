"""Fixtures shared by all tests."""

import os
import pathlib
import subprocess
import sys
from collections.abc import Callable

# Before TensorFlow is imported: its C++ log lines are noise here.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """Folder with the real photos and the real ImageNet checkpoint; skips where it is not beside the project."""
    path = ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip("no ../shared/data beside the project (real photos and checkpoint)")
    return path


@pytest.fixture(scope="session")
def project_root() -> pathlib.Path:
    """The top folder of the checkout, where the scripts are."""
    return ROOT


@pytest.fixture(scope="session")
def run_script() -> Callable[..., subprocess.CompletedProcess]:
    """Runs a script as a user does: `run_script("train_image_classifier.py", "--flag=x", status=0)`.

    Fails where the exit status is another than `status`, or where a failure shows a traceback.
    """

    def run(name: str, *arguments: object, status: int = 0, **options: object) -> subprocess.CompletedProcess:
        command = [sys.executable, str(ROOT / name), *map(str, arguments)]
        environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
        done = subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=ROOT, env=environment, **options
        )
        assert done.returncode == status, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


@pytest.fixture
def logged(monkeypatch) -> list[str]:
    """All lines that are logged in this process, warnings marked."""
    from absl import logging

    lines: list[str] = []
    monkeypatch.setattr(logging, "info", lambda text, *values: lines.append(text % values))
    monkeypatch.setattr(logging, "warning", lambda text, *values: lines.append("warning: " + text % values))
    return lines


@pytest.fixture(scope="session")
def shapes(tmp_path_factory) -> dict[str, pathlib.Path]:
    """Two small data sets of drawn shapes as TFRecords, 32 x 32: `source` and `target`."""
    from datasets import convert

    root = tmp_path_factory.mktemp("shapes")
    for task in ("source", "target"):
        convert.convert("shapes", str(root / task), shapes_task=task, num_images=96, image_size=32)
    return {task: root / task for task in ("source", "target")}


@pytest.fixture(scope="session")
def pretrained(shapes, tmp_path_factory) -> pathlib.Path:
    """The folder of a short run of mobilenet_v1_025 on the source shapes."""
    from training import loop
    from training.config import TrainConfig

    folder = tmp_path_factory.mktemp("pretrained")
    loop.train(
        TrainConfig(
            dataset_dir=str(shapes["source"]),
            train_dir=str(folder),
            model_name="mobilenet_v1_025",
            train_image_size=32,
            batch_size=8,
            max_number_of_steps=4,
        )
    )
    return folder
