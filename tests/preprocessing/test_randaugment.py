"""RandAugment: its operations against Pillow, its magnitudes and its draws."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from preprocessing import core, randaugment

NUMBER = {name: number for number, name in enumerate(randaugment.OPERATIONS)}


def distort(image, name, strength, ranges=randaugment.RANDAUGMENT):
    return randaugment.distort(tf.constant(image), NUMBER[name], strength, ranges).numpy()


def moved(image, x, y, matrix):
    """Pillow's affine map about the middle, gray outside; `matrix` rows read (x, y) relative to it."""
    size = image.shape[1::-1]
    middle = (np.array(size) - 1) / 2
    (a, b), (d, e) = np.array(matrix, float)
    c, f = middle - np.array([[a, b], [d, e]]) @ middle + [x, y] + 0.5 - np.array([[a, b], [d, e]]) @ [0.5, 0.5]
    picture = Image.fromarray(image if image.shape[-1] == 3 else image[..., 0])
    fill = (128,) * 3 if image.shape[-1] == 3 else 128
    result = picture.transform(
        size, Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.BILINEAR, fillcolor=fill
    )
    pixels = np.asarray(result)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def pillow(function):
    def on(image):
        result = np.asarray(function(Image.fromarray(image if image.shape[-1] == 3 else image[..., 0])))
        return result if result.ndim == 3 else result[..., None]

    return on


# At half strength: posterize keeps 8 - 2 bits, solarize starts at 128, enhancing is by 1 +- 0.45.
@pytest.mark.parametrize(
    ("name", "strength", "expected"),
    [
        ("identity", 0.5, lambda image: image),
        ("autocontrast", 0.5, pillow(ImageOps.autocontrast)),
        ("equalize", 0.5, pillow(ImageOps.equalize)),
        ("solarize", -0.5, pillow(lambda image: ImageOps.solarize(image, 128))),
        ("posterize", 0.5, pillow(lambda image: ImageOps.posterize(image, 6))),
        ("posterize", 1.0, pillow(lambda image: ImageOps.posterize(image, 4))),
        ("colour", 0.5, pillow(lambda image: ImageEnhance.Color(image).enhance(1.45))),
        ("contrast", -0.5, pillow(lambda image: ImageEnhance.Contrast(image).enhance(0.55))),
        ("brightness", 0.5, pillow(lambda image: ImageEnhance.Brightness(image).enhance(1.45))),
        ("sharpness", -0.5, pillow(lambda image: ImageEnhance.Sharpness(image).enhance(0.55))),
    ],
)
def test_operations_are_pillows(photo, channels, name, strength, expected):
    image = photo(20, 33, channels)
    assert np.abs(distort(image, name, strength).astype(int) - expected(image)).max() <= 1


@pytest.mark.parametrize(
    ("name", "strength", "x", "y", "matrix"),
    [
        ("rotate", 0.5, 0, 0, [[np.cos(np.pi / 12), -np.sin(np.pi / 12)], [np.sin(np.pi / 12), np.cos(np.pi / 12)]]),
        ("shear_x", 0.5, 0, 0, [[1, 0.15], [0, 1]]),
        ("shear_y", -1.0, 0, 0, [[1, 0], [-0.3, 1]]),
        ("translate_x", 0.5, -0.5 * 150 / 331 * 33, 0, [[1, 0], [0, 1]]),
        ("translate_y", -1.0, 0, 150 / 331 * 20, [[1, 0], [0, 1]]),
    ],
)
def test_operations_that_move_pixels_are_pillows(photo, channels, name, strength, x, y, matrix):
    image = np.full((20, 33, channels), 128, np.uint8)
    image[6:14, 10:24] = photo(8, 14, channels)  # within gray, as the fill: the libraries treat the rim otherwise
    difference = np.abs(distort(image, name, strength).astype(int) - moved(image, x, y, matrix))
    assert difference.mean() < 1
    assert np.median(difference) <= 1
    assert np.abs(distort(image, name, strength).astype(int) - image).mean() > 1


def test_nothing_is_left_of_an_operation_at_strength_0(photo):
    image = photo(9, 12)
    for name in randaugment.OPERATIONS:
        if name not in ("autocontrast", "equalize"):  # these have no strength
            np.testing.assert_allclose(distort(image, name, 0.0).astype(int), image, atol=1, err_msg=name)


def test_what_is_moved_in_is_gray():
    image = np.zeros((10, 10, 1), np.uint8)
    assert distort(image, "translate_x", 1.0)[:, :4].min() >= 127


def test_beyond_the_ranges_nothing_breaks(photo, channels):
    image = photo(9, 12, channels)
    for name in randaugment.OPERATIONS:
        for strength in (-3.0, 3.0):
            assert distort(image, name, strength).shape == image.shape


@pytest.mark.parametrize("op", [randaugment.randaugment(2, 9.0), randaugment.trivialaugment()], ids=lambda op: op.name)
def test_draws_repeat_by_seed_and_give_whole_numbers(apply, photo, channels, op):
    image = photo(13, 18, channels)
    result = apply(lambda x: op(x, (1, 1)), image)
    same, other = (op(tf.constant(image), (seed, 1)).numpy() for seed in (1, 4))
    assert result.dtype == np.float32
    assert result.shape == image.shape
    np.testing.assert_allclose(result, same, atol=1)  # one, where rounding takes another side
    np.testing.assert_array_equal(result, np.clip(np.round(result), 0, 255))
    assert np.abs(other - same).max() > 1


def test_all_operations_are_drawn_alike():
    seeds = tf.stack([tf.range(2800), tf.zeros(2800, tf.int32)], 1)

    def operation(seed):
        return tf.random.stateless_uniform([2], core.derive_seed(seed, "operations"), 0, 14, dtype=tf.int32)

    counts = np.bincount(tf.map_fn(operation, seeds).numpy().ravel(), minlength=14)
    assert len(randaugment.OPERATIONS) == 14
    assert counts.min() > 320  # of 400 expected, four standard deviations
    assert counts.max() < 480


def test_layers_follow_one_another(photo):
    """Two layers are one after the other: with the operations drawn fixed, the result is theirs in turn."""
    image = photo(9, 12)
    seed = (3, 4)
    operations = tf.random.stateless_uniform([2], core.derive_seed(seed, "operations"), 0, 14, dtype=tf.int32).numpy()
    signs = np.sign(tf.random.stateless_uniform([2], core.derive_seed(seed, "signs"), -1.0, 1.0).numpy())
    expected = tf.constant(image)
    for operation, sign in zip(operations, signs, strict=True):
        expected = randaugment.distort(expected, operation, sign * 0.7)
    np.testing.assert_array_equal(randaugment.randaugment(2, 7.0)(tf.constant(image), seed), expected)
