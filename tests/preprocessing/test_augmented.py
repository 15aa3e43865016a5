"""How an augmentation and a recipe become one chain."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from preprocessing import augmentation, augmented, core, encoded, recipes

ALL = ["cifarnet", "inception", "lenet", "vgg"]


def names(recipe, text, **options):
    ops = augmented.chain(recipes.get(recipe), augmentation.parse(text), 24, 20, **options)
    return " ".join(op.name for op in ops)


@pytest.mark.parametrize(
    ("recipe", "text", "expected"),
    [
        # Without scale, images come to size as in evaluation.
        ("inception", "none", "central_crop resize scale_and_shift"),
        ("inception", "flip", "central_crop resize flip_left_right scale_and_shift"),
        ("vgg", "flip", "resize_smaller_side central_window flip_left_right subtract_means"),
        ("cifarnet", "cutout,flip", "crop_or_pad cutout flip_left_right standardize"),
        ("lenet", "none", "crop_or_pad scale_and_shift"),
        ("lenet", "scale(0.5)", "distorted_crop resize scale_and_shift"),
        # The recipe's own random steps, and more.
        (
            "inception",
            "recipe,erase",
            "distorted_crop resize flip_left_right distort_color random_erase scale_and_shift",
        ),
        ("vgg", "recipe", "random_resize_smaller_side random_crop flip_left_right subtract_means"),
        # Neighbours that move pixels are one op; batch steps are none.
        ("lenet", "rotate,translate,mixup", "crop_or_pad random_affine scale_and_shift"),
        ("lenet", "rotate,flip,shear", "crop_or_pad random_affine flip_left_right random_affine scale_and_shift"),
        ("lenet", "rotate(5),rotate(6)", "crop_or_pad random_affine random_affine scale_and_shift"),
        ("lenet", "brightness,hue", "crop_or_pad random_colour random_colour scale_and_shift"),
    ],
)
def test_chains_by_recipe(recipe, text, expected):
    assert names(recipe, text) == expected


def test_arguments_reach_the_ops():
    ops = augmented.chain(
        recipes.get("lenet"),
        augmentation.parse("scale(0.3,0.6,2),rotate(7),shear(3),translate(0.2),colour(0.3,0.05),erase(1,0.1)"),
        24,
        20,
    )
    assert [str(op) for op in ops[:5]] == [
        "distorted_crop(bbox=None, min_object_covered=0.0, aspect_ratio_range=(0.5, 2.0), area_range=(0.3, 0.6), "
        "max_attempts=100)",
        "resize(height=24, width=20, method='bilinear')",
        "random_affine(degrees=7.0, share=0.2, shear=3.0)",
        "random_colour(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.05)",
        f"random_erase(probability=1.0, smallest=0.1, largest=0.33, aspect={10 / 3!r})",
    ]


def test_every_word_makes_an_op_and_runs(photo, channels):
    words = [name for name, word in augmentation.OPERATIONS.items() if word.stage == "image"]
    for recipe in ("inception", "vgg"):
        ops = augmented.chain(
            recipes.get(recipe),
            augmentation.parse(",".join(words)),
            24,
            20,
            **{"vgg": {"resize_side_min": 28}}.get(recipe, {}),
        )
        result = core.run(ops, tf.constant(photo(37, 52, channels)), core.op_seeds(ops, (1, 2)))
        assert result.shape == (24, 20, channels)
        assert np.isfinite(result).all()


def test_use_grayscale_holds_with_scale(photo):
    assert names("inception", "scale(0.5)", use_grayscale=True) == "distorted_crop resize grayscale scale_and_shift"


@pytest.fixture
def jpeg(photo):
    file = io.BytesIO()
    Image.fromarray(photo(61, 83)).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("text", ["none", "scale(0.3),flip,rotate,colour,cutout", "recipe,hue"])
def test_cropping_while_decoding_and_fusing_change_nothing(jpeg, name, text):
    channels = 1 if name in ("lenet", "vgg") else 3
    recipe, parsed = recipes.get(name), augmentation.parse(text)
    options = {"resize_side_min": 30, "resize_side_max": 40} if name == "vgg" else {}
    seed = tf.constant([3, 4], tf.int64)
    ops = augmented.chain(recipe, parsed, 24, 20, **options)
    image = core.byte_range(encoded.decode(jpeg, channels), recipe.unit_floats)
    expected = core.run(ops, image, core.op_seeds(ops, seed))

    def preprocess(data):
        return encoded.preprocess_encoded(data, name, 24, 20, True, channels, seed, parsed, fuse=True, **options)

    result = next(iter(tf.data.Dataset.from_tensors(jpeg).map(preprocess).batch(1)))[0]
    assert result.shape == (24, 20, channels)
    np.testing.assert_allclose(result, expected, atol=2e-3)


@pytest.mark.parametrize("name", ALL)
def test_by_default_the_recipe_is_slims_bit_for_bit(jpeg, name):
    options = {"resize_side_min": 30, "resize_side_max": 40} if name == "vgg" else {}
    expected = recipes.get(name)(encoded.decode(jpeg), 24, 20, True, (3, 4), **options)
    result = encoded.preprocess_encoded(jpeg, name, 24, 20, True, 3, (3, 4), **options)
    np.testing.assert_array_equal(result, expected)
    own = encoded.preprocess_encoded(jpeg, name, 24, 20, True, 3, (3, 4), augmentation.parse("recipe"), **options)
    np.testing.assert_array_equal(own, expected)


@pytest.mark.parametrize("name", ALL)
def test_evaluation_is_untouched(jpeg, name):
    expected = encoded.preprocess_encoded(jpeg, name, 24, 20)
    result = encoded.preprocess_encoded(jpeg, name, 24, 20, False, augmentation=augmentation.parse("strong"))
    np.testing.assert_array_equal(result, expected)
