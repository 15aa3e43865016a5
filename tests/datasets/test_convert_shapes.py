import json

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from datasets import dataset_factory, shapes
from datasets.convert import convert


def test_tasks_share_no_class():
    assert len(shapes.SHAPES["source"]) == 8
    assert len(shapes.SHAPES["target"]) == 4
    assert not shapes.SHAPES["source"].keys() & shapes.SHAPES["target"].keys()


@pytest.mark.parametrize(("task", "name"), [(task, name) for task in shapes.TASKS for name in shapes.SHAPES[task]])
def test_every_shape_is_inside_its_square_and_fills_a_good_part(task, name):
    x, y = np.meshgrid(np.linspace(-1.3, 1.3, 131), np.linspace(-1.3, 1.3, 131))
    inside = shapes.SHAPES[task][name](x, y) < 0
    assert not inside[(np.abs(x) > 1.05) | (np.abs(y) > 1.05)].any()
    assert 0.15 < inside.sum() * (2.6 / 130) ** 2 / 4 < 0.7


def test_an_image_depends_on_its_number_task_and_seed_alone():
    image = shapes.draw("source", 5, 32, seed=1)
    assert image.shape == (32, 32, 3)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(shapes.draw("source", 5, 32, seed=1), image)
    for other in (("source", 13, 32, 1), ("source", 5, 32, 2), ("target", 5, 32, 1)):
        assert (shapes.draw(*other) != image).any()


@pytest.mark.parametrize("image_format", ["jpg", "png"])
def test_drawn_data_set_is_balanced_and_reproducible(tmp_path, image_format):
    options = {"shapes_task": "target", "num_images": 20, "image_size": 32, "image_format": image_format, "seed": 3}
    dataset = convert("shapes", str(tmp_path / "a"), **options)
    again = convert("shapes", str(tmp_path / "b"), **options)
    assert dataset["fingerprint"] == again["fingerprint"]
    assert dataset["class_names"] == ["arrow", "flower", "semicircle", "tee"]
    assert dataset["splits"]["train"]["examples_per_class"] == [4] * 4
    assert dataset["splits"]["validation"]["examples_per_class"] == [1] * 4
    train = dataset_factory.get_dataset("shapes", "train", str(tmp_path / "a"))
    for serialized in tf.data.TFRecordDataset(list(train.files)):
        image, label = train.decoder.decode(serialized)
        assert image.shape == (32, 32, 3)
        assert 0 <= label < 4


def test_example_files_are_not_in_the_data_set(tmp_path):
    convert("shapes", str(tmp_path), num_images=17)
    names = sorted(path.name for path in (tmp_path / "examples").iterdir())
    assert names == [f"{name}.jpg" for name in sorted(shapes.SHAPES["source"])]
    square = tf.io.decode_jpeg((tmp_path / "examples" / "square.jpg").read_bytes()).numpy().astype(int)
    number = next(k for k in range(17, 25) if k % 8 == 5)
    drawn = shapes.draw("source", number, 64, seed=0)
    assert np.abs(square - drawn.astype(int)).mean() < 8  # that image, as JPEG
    assert json.loads((tmp_path / "dataset.json").read_text())["made_from"]["source"]["num_images"] == 17


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shapes_task": "sauce"}, "unknown --shapes_task 'sauce'; did you mean 'source'"),
        ({"image_format": "gif"}, "unknown --image_format 'gif'"),
        ({"image_size": 8}, "--image_size=8: expected 16 to 512 pixels"),
        ({"num_images": 9}, "--num_images=9 is too few for 8 classes: expected at least 16"),
    ],
)
def test_bad_options_say_what_is_expected(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        convert("shapes", str(tmp_path / "out"), **options)
