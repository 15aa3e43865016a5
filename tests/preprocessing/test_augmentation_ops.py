"""Augmentation ops by hand: geometry, colour, covered parts."""

import numpy as np
import pytest
import tensorflow as tf

from preprocessing import affine, core
from preprocessing import augmentation_ops as ops

SEED = (5, 6)


def inverse(degrees=0.0, share=(0.0, 0.0), shear=0.0):
    return affine.inverse_map(degrees, tf.constant(share), shear)


@pytest.fixture(params=[affine.move, affine.move_by_gathering], ids=["kernel", "gathered"])
def moved(request):
    """`moved(image, inverse, fill)` -> array, both ways."""
    return lambda image, *arguments: request.param(tf.constant(image), *arguments).numpy()


def test_an_affine_map_of_nothing_changes_nothing(moved, photo, channels):
    image = photo(7, 10, channels).astype(np.float32)
    np.testing.assert_allclose(moved(image, inverse()), image, atol=1e-3)


def test_moving_goes_right_and_down_and_mirrors_the_rim(moved, photo, channels):
    image = photo(6, 10, channels).astype(np.float32)
    result = moved(image, inverse(share=(0.2, 1 / 3)))  # 2 right, 2 down
    np.testing.assert_allclose(result[2:, 2:], image[:-2, :-2], atol=1e-2)
    np.testing.assert_allclose(result[2:, :2], image[:-2, 1::-1], atol=1e-2)
    np.testing.assert_allclose(result[:2, 2:], image[1::-1, :-2], atol=1e-2)


def test_moving_fills_the_rim_with_one_value(moved, photo, channels):
    image = photo(6, 10, channels).astype(np.float32)
    result = moved(image, inverse(share=(-0.5, 0.0)), 99.0)
    np.testing.assert_allclose(result[:, :5], image[:, 5:], atol=1e-2)
    np.testing.assert_allclose(result[:, 5:], 99, atol=1e-2)


def test_turning_is_counter_clockwise_about_the_middle(moved, photo, channels):
    image = photo(7, 7, channels).astype(np.float32)
    for quarter in range(4):
        result = moved(image, inverse(degrees=90.0 * quarter))
        np.testing.assert_allclose(result, np.rot90(image, quarter), atol=1e-2)


def test_slanting_moves_rows_to_the_side(moved):
    image = np.zeros((5, 9, 1), np.float32)
    image[:, 4] = 100
    result = moved(image, inverse(shear=45.0))[..., 0]
    assert [int(row.argmax()) for row in result] == [6, 5, 4, 3, 2]  # one pixel a row, the middle one stays
    assert result.max(axis=1).tolist() == pytest.approx([100] * 5, abs=1e-2)


@pytest.mark.parametrize("fill", [None, 50.0])
def test_the_two_ways_of_moving_agree(photo, channels, fill):
    image = tf.constant(photo(23, 31, channels).astype(np.float32))
    for degrees in (-130.0, 4.0, 45.0):
        map_ = inverse(degrees, share=(0.3, -0.8), shear=12.0)
        compiled = tf.function(lambda x, m: affine.move_by_gathering(x, m, fill), jit_compile=True)
        np.testing.assert_allclose(compiled(image, map_), affine.move(image, map_, fill), atol=0.1)


def test_random_affine_keeps_to_its_limits():
    image = np.zeros((41, 61, 1), np.float32)
    image[20, 30] = 1000
    places = []
    for seed in range(80):
        moved = ops.random_affine(share=0.25)(tf.constant(image), (seed, 1)).numpy()[..., 0]
        moved[moved < 100] = 0
        grid = np.mgrid[0:41, 0:61]
        places.append((grid * moved).sum((1, 2)) / moved.sum() - [20, 30])
    places = np.array(places)
    assert (np.abs(places) <= [41 / 4 + 0.5, 61 / 4 + 0.5]).all()
    assert (np.abs(places).max(0) > [8, 12]).all()
    assert (np.abs(places.mean(0)) < [2.5, 3.5]).all()


# One pixel of 100, 60, 20: its luma is 67.39 by the weights 0.2989, 0.587, 0.114 (over their sum, 0.9999).
PIXEL = np.array([[[100, 60, 20]]], np.uint8)
LUMA = (29.89 + 35.22 + 2.28) / 0.9999


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        ({}, [100, 60, 20]),
        ({"brightness": 1.5}, [150, 90, 30]),
        ({"brightness": 3.0}, [255, 180, 60]),  # clipped
        ({"contrast": 0.5}, [113.75, 93.75, 73.75]),  # half way to 127.5
        ({"brightness": 2.0, "contrast": 0.5}, [163.75, 123.75, 83.75]),  # 200, 120, 40 before
        ({"saturation": 0.0}, [LUMA] * 3),
        ({"saturation": 0.5}, [(100 + LUMA) / 2, (60 + LUMA) / 2, (20 + LUMA) / 2]),
        ({"turn": 0.5}, [2 * LUMA - 100, 2 * LUMA - 60, 2 * LUMA - 20]),  # the opposite colour
        ({"turn": 1.0}, [100, 60, 20]),
    ],
)
def test_colours_by_hand(apply, amounts, expected):
    result = apply(lambda x: ops.apply_colour_map(x, ops.colour_map(**amounts)), PIXEL)
    assert result.ravel() == pytest.approx(expected, abs=2e-2)


def test_turning_the_hue_goes_from_red_to_green_and_keeps_luma_and_gray():
    red = tf.constant([[[120.0, 90.0, 90.0]]])
    turned = ops.apply_colour_map(red, ops.colour_map(turn=1 / 3)).numpy().ravel()
    assert turned.argmax() == 1
    weights = np.array([0.2989, 0.587, 0.114])
    assert turned @ weights == pytest.approx(red.numpy().ravel() @ weights, abs=0.1)
    gray = tf.fill([2, 2, 3], 90.0)
    np.testing.assert_allclose(ops.apply_colour_map(gray, ops.colour_map(saturation=1.7, turn=0.3)), gray, atol=1e-2)


def test_a_gray_image_changes_in_brightness_and_contrast_alone(apply, photo):
    image = photo(5, 6, 1)
    colours = ops.colour_map(brightness=0.5, contrast=0.8, saturation=0.1, turn=0.4)
    expected = np.clip(image * 0.4 + 127.5 * 0.2, 0, 255)
    np.testing.assert_allclose(apply(lambda x: ops.apply_colour_map(x, colours), image), expected, atol=1e-2)


def test_random_colour_draws_over_its_range():
    pixel = tf.constant([[[100.0, 100.0, 100.0]]])
    values = [ops.random_colour(brightness=0.4)(pixel, (seed, 2)).numpy()[0, 0, 0] for seed in range(200)]
    assert 60 <= min(values) < 64
    assert 136 < max(values) <= 140
    assert abs(np.mean(values) - 100) < 5


def covered(result, image):
    """Rows and columns of what differs: (first y, last y + 1, first x, last x + 1)."""
    ys, xs = np.nonzero((result != image).any(-1))
    return ys.min(), ys.max() + 1, xs.min(), xs.max() + 1


def test_cutout_covers_a_gray_square_anywhere(photo, channels):
    image = photo(20, 30, channels).astype(np.float32)
    middles = []
    for seed in range(100):
        result = ops.cutout(share=0.3)(tf.constant(image), (seed, 3)).numpy()  # a side of 6
        top, bottom, left, right = covered(result, image)
        assert (result[top:bottom, left:right] == ops.MEDIUM_GRAY).all()
        assert bottom - top == 6 or top == 0 or bottom == 20
        assert right - left == 6 or left == 0 or right == 30
        assert bottom - top <= 6
        assert right - left <= 6
        middles.append([(top + bottom) / 2 / 20, (left + right) / 2 / 30])
    assert np.min(middles) < 0.1
    assert np.max(middles) > 0.9
    assert np.abs(np.mean(middles, 0) - 0.5).max() < 0.1


def test_erase_covers_a_rectangle_within_its_limits_with_noise(photo, channels):
    image = photo(40, 60, channels).astype(np.float32)
    areas = []
    for seed in range(60):
        op = ops.random_erase(probability=1.0, smallest=0.05, largest=0.2)
        result = op(tf.constant(image), (seed, 3)).numpy()
        top, bottom, left, right = covered(result, image)
        areas.append((bottom - top) * (right - left) / 2400)
        assert result[top:bottom, left:right].std() > 30
        assert (
            3 / 10 * 0.8 < (bottom - top) / (right - left) < 10 / 3 * 1.25 or bottom - top == 40 or right - left == 60
        )
    assert 0.04 < min(areas) < 0.08
    assert 0.15 < max(areas) < 0.23


def test_grayscale_keeps_the_channels(apply):
    result = apply(lambda x: ops.random_grayscale(1.0)(x, SEED), PIXEL)
    assert result.ravel() == pytest.approx([LUMA] * 3, abs=1e-2)


def test_flip_up_down_mirrors_the_rows(apply, photo, channels):
    image = photo(5, 4, channels)
    np.testing.assert_array_equal(apply(lambda x: ops.flip_up_down(1.0)(x, SEED), image), image[::-1])


RANDOM = {
    "random_affine": ops.random_affine(degrees=20.0, share=0.2, shear=10.0),
    "flip_up_down": ops.flip_up_down(0.5),
    "random_colour": ops.random_colour(0.4, 0.4, 0.4, 0.1),
    "random_grayscale": ops.random_grayscale(0.5),
    "random_autocontrast": ops.random_autocontrast(0.5),
    "random_equalize": ops.random_equalize(0.5),
    "random_posterize": ops.random_posterize(2, 0.5),
    "random_solarize": ops.random_solarize(100, 0.5),
    "random_sharpness": ops.random_sharpness(1.0),
    "random_blur": ops.random_blur(1.5, 0.7),
    "cutout": ops.cutout(0.4, 0.7),
    "random_erase": ops.random_erase(0.7),
}


@pytest.mark.parametrize("name", list(RANDOM))
def test_ops_keep_shape_and_range_and_repeat_by_seed(apply, photo, channels, name):
    image = (photo(13, 18, channels) * 0.9).astype({1: np.uint8, 3: np.float32}[channels])
    result = apply(lambda x: RANDOM[name](x, SEED), image)
    np.testing.assert_allclose(result, RANDOM[name](tf.constant(image), SEED), atol=1e-2)
    assert result.shape == image.shape
    assert result.min() >= -1e-3
    assert result.max() <= 255 + 1e-3


@pytest.mark.parametrize("name", list(RANDOM))
def test_seeds_make_ops_differ_from_image_to_image(photo, name):
    image = tf.constant(photo(20, 30, 3).astype(np.float32))
    results = {RANDOM[name](image, (seed, 9)).numpy().tobytes() for seed in range(12)}
    assert len(results) >= 2


@pytest.mark.parametrize("name", list(RANDOM))
def test_ops_keep_the_static_shape(name):
    for spec in ([7, 9, 3], [7, 9, 1], [None, None, 3], [None, None, None]):
        traced = tf.function(lambda x: RANDOM[name](x, SEED)).get_concrete_function(tf.TensorSpec(spec, tf.float32))
        assert traced.output_shapes.as_list() == spec


def test_every_random_op_here_is_tested():
    defined = {name for name in core.OPS if core.OPS[name].__module__ == ops.__name__}
    assert defined == set(RANDOM)
