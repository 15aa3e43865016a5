"""Fixtures of the exports' tests."""

import io
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from checkpoints import writer
from exporting import saved_model
from exporting.config import ExportConfig


@pytest.fixture(scope="session")
def picture():
    """`picture(k, format)`: bytes of an image file, a smooth picture, another for each k."""

    def encode(k: int = 0, image_format: str = "JPEG", size: tuple[int, int] = (40, 56), mode: str = "RGB") -> bytes:
        y, x = np.mgrid[0 : size[0], 0 : size[1]]
        planes = [x * 4 + k * 40, y * 5 + k * 25, x + y + k * 60]
        image = Image.fromarray((np.stack(planes, -1) % 256).astype(np.uint8)).convert(mode)
        buffer = io.BytesIO()
        image.save(buffer, image_format)
        return buffer.getvalue()

    return encode


@pytest.fixture(scope="session")
def exported(pretrained, tmp_path_factory) -> pathlib.Path:
    """The export folder of the short run on the source shapes, with version 1."""
    folder = tmp_path_factory.mktemp("exported") / "served"
    path = saved_model.export(ExportConfig(checkpoint_path=str(pretrained), export_dir=str(folder)))
    assert path == str(folder / "1")
    return folder


SIDE, CLASSES = 4, 3


@pytest.fixture
def linear_run(tmp_path) -> pathlib.Path:
    """The folder of a run of `linear` on 4 x 4 images, whose data is gone: quick to export."""
    folder = tmp_path / "linear"
    random = np.random.default_rng(1)
    writer.save(
        folder,
        7,
        {
            "Linear/logits/weights": random.standard_normal((SIDE * SIDE * 3, CLASSES)).astype(np.float32),
            "Linear/logits/biases": random.standard_normal(CLASSES).astype(np.float32),
        },
    )
    run = {
        "model": {
            "model_name": "linear",
            "num_classes": CLASSES,
            "image_size": SIDE,
            "channels": 3,
            "preprocessing_name": "lenet",
            "labels": ["emu", "cat", "dog"],
        },
        "dataset": {"name": "gone", "dir": str(tmp_path / "gone"), "split": "train"},
    }
    (folder / "run.json").write_text(json.dumps(run))
    return folder


@pytest.fixture
def export(linear_run, tmp_path):
    """`export(flag=value, ...)`: exports the run of `linear` to `served` unless told otherwise; gives the version."""

    def call(**flags) -> pathlib.Path:
        flags = {"checkpoint_path": str(linear_run), "export_dir": str(tmp_path / "served"), **flags}
        return pathlib.Path(saved_model.export(ExportConfig(**flags)))

    return call


@pytest.fixture(scope="session")
def serve():
    """`serve(version, images)`: the answer of `serving_default` as arrays."""

    def call(version, images: list[bytes]) -> dict[str, np.ndarray]:
        loaded = tf.saved_model.load(str(version))
        answer = loaded.signatures["serving_default"](image_bytes=tf.constant(images))
        return {key: value.numpy() for key, value in answer.items()}

    return call
