"""Fixtures of the tests of training."""

import pytest

from training.config import TrainConfig


@pytest.fixture
def config(shapes, tmp_path) -> TrainConfig:
    """A run of a few quick steps on the target shapes."""
    return TrainConfig(
        dataset_dir=str(shapes["target"]),
        train_dir=str(tmp_path / "run"),
        model_name="mobilenet_v1_025",
        train_image_size=32,
        batch_size=8,
        max_number_of_steps=3,
        learning_rate=0.01,
    )
