"""The picture sheet of `--preview_augmentation`."""

import dataclasses
import os

import numpy as np
import pytest
from PIL import Image

from common.errors import FlagError, UserError
from datasets import records
from preprocessing import recipes
from training import loop, preview


@pytest.fixture
def config(config, tmp_path):
    return dataclasses.replace(config, batch_size=32, preview_augmentation=str(tmp_path / "pictures" / "sheet.png"))


@pytest.mark.parametrize(
    ("augmentation", "options"),
    [
        (None, {}),
        ("strong", {}),
        ("scale(0.5),mixup", {"model_name": "cifarnet", "use_grayscale": True}),
    ],
)
def test_the_sheet_is_written_and_nothing_is_trained(config, augmentation, options):
    config = dataclasses.replace(config, augmentation=augmentation, **options)
    loop.train(config)
    assert not os.path.exists(config.train_dir)
    with Image.open(config.preview_augmentation) as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    cell = 160
    assert pixels.shape[1] == 8 + 7 * (cell + 8)
    assert pixels.shape[0] > 8 * cell
    assert pixels.std() > 20
    if augmentation is None:  # pictures in all cells, each draw another one
        rows = pixels[-(cell + 18 + 8) : -(18 + 8)]
        cells = [rows[:, 8 + k * (cell + 8) : 8 + k * (cell + 8) + cell] for k in range(7)]
        assert all(one.std() > 5 for one in cells)
        assert len({one.tobytes() for one in cells}) > 4


def test_classes_take_turns(config, monkeypatch):
    seen = []
    monkeypatch.setattr(
        preview, "_sheet", lambda title, examples, *_: seen.extend(examples) or Image.new("RGB", (1, 1))
    )
    loop.train(config)
    first = [int(example.classes.argmax()) for example in seen]
    assert len(seen) == 8
    assert first[: len(set(first))] == sorted(set(first))
    assert len(set(first)) > 1


@pytest.mark.parametrize("name", ["inception", "lenet", "vgg"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_come_back_from_the_recipes_range(name, channels):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 6, channels)).astype(np.uint8)
    normalize = recipes.get(name).normalize
    normalized = np.stack([normalize(image.astype(np.float32)) for image in pixels])
    np.testing.assert_array_equal(preview.displayable(normalized, normalize), pixels)


def test_standardized_images_are_shown_around_medium_gray():
    normalize = recipes.get("cifarnet").normalize
    shown = preview.displayable(np.array([-3.0, 0.0, 1.0]).reshape(1, 1, 3, 1), normalize)
    assert shown.ravel().tolist() == [0, 128, 182]


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([0, 1, 0], "rose"),
        ([0, 0, 0], "(none of the classes)"),
        ([0.29, 0.71, 0.001], "rose 0.71, daisy 0.29"),
        ([1, 1, 0], "daisy, rose"),
        ([1, 0.4, 0], "daisy 1.00, rose 0.40"),
    ],
)
def test_captions(shares, expected):
    assert preview.caption(np.array(shares), ("daisy", "rose", "tulip")) == expected


def test_unreadable_records_are_passed_over(config, write_numbers, tmp_path, monkeypatch):
    """A wrong checksum, which the rest of the file is lost with, no example, and no image."""
    seen = []
    monkeypatch.setattr(preview, "_sheet", lambda _, examples, *__: seen.extend(examples) or Image.new("RGB", (1, 1)))
    damaged = {0: b"\xff\xfe no example", 1: records.encode(b"no image", "png", 2, 3, 1)}
    write_numbers(tmp_path / "data", counts=(3, 4), damage=lambda k, record: damaged.get(k, record))
    path = tmp_path / "data" / "numbers_train_00001-of-00002.tfrecord"
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    loop.train(dataclasses.replace(config, dataset_dir=str(tmp_path / "data")))
    assert [int(example.original.flat[0]) for example in seen] == [2]


def test_what_a_recipe_cannot_take_is_one_line(config):
    small = dataclasses.replace(config, train_image_size=96, preprocessing_name="cifarnet")
    with pytest.raises(UserError, match=r"an image cannot be shown: .*the image is smaller than the 96x96 crop"):
        loop.train(small)
    with pytest.raises(UserError, match=r"^preprocessing 'vgg' resizes the smaller side to 256 pixels"):
        loop.train(dataclasses.replace(config, train_image_size=300, preprocessing_name="vgg", model_name="linear"))


def test_what_cannot_be_written_is_one_line(config, tmp_path):
    (tmp_path / "file").touch()
    path = str(tmp_path / "file" / "sheet.png")
    with pytest.raises(
        UserError, match=r"^--preview_augmentation=.*sheet.png cannot be written: Not a directory$|exists"
    ):
        loop.train(dataclasses.replace(config, preview_augmentation=path))
    with pytest.raises(FlagError, match=r"--preview_augmentation=sheet\.jpg must be the name of a \.png file"):
        dataclasses.replace(config, preview_augmentation="sheet.jpg")
