"""Geometry and normalization ops, against plain numpy."""

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from preprocessing import core, ops


@pytest.mark.parametrize("size", [(7, 5), (26, 40), (13, 17), (1, 9)])
def test_resize_is_bilinear_without_half_pixel_offset(apply, photo, numpy_bilinear, channels, size):
    image = photo(13, 17, channels)
    result = apply(ops.resize(*size), image)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, numpy_bilinear(image, *size), atol=1e-3)


def test_resize_by_hand():
    row = np.array([[[0], [100], [200]]], np.uint8)
    assert ops.resize(1, 2)(row).numpy()[0, :, 0].tolist() == [0, 150]  # reads 0 and 1.5
    assert ops.resize(1, 6)(row).numpy()[0, :, 0].tolist() == [0, 50, 100, 150, 200, 200]
    assert ops.resize(1, 2, "nearest")(row).numpy()[0, :, 0].tolist() == [0, 100]
    assert ops.resize(1, 1, "area")(row).numpy()[0, :, 0].tolist() == pytest.approx([100])
    # Keys' kernel with a = -0.75 at distance 0.5: weights -0.09375, 0.59375, 0.59375, -0.09375 over 0, 100, 200, 200.
    assert ops.resize(1, 2, "bicubic")(row).numpy()[0, 1, 0] == pytest.approx(159.375, abs=0.1)


def test_resize_of_an_unknown_method_is_an_error():
    with pytest.raises(ValueError, match=r"unknown method 'cubic'; known: bilinear, nearest, bicubic, area"):
        ops.resize(2, 2, "cubic")(np.zeros((2, 2, 1), np.uint8))


def test_random_method_resize_takes_each_method(apply, photo):
    image = photo(12, 9)
    expected = [ops.resize(6, 7, method)(image).numpy() for method in ("bilinear", "nearest", "bicubic", "area")]
    seen = set()
    for seed in range(24):
        result = apply(lambda image, seed=seed: ops.random_method_resize(6, 7)(image, (seed, 0)), image)
        seen |= {i for i, one in enumerate(expected) if np.allclose(one, result, atol=1e-4)}
    assert seen == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("shape", "side", "expected"),
    [
        ((20, 30), 10, (10, 15)),
        ((30, 20), 10, (15, 10)),
        ((10, 13), 5, (5, 6)),  # 6.5: half to even
        ((10, 15), 5, (5, 8)),  # 7.5: half to even
        ((1, 4), 3, (3, 12)),  # a side of one pixel, which Slim's squeeze lost
    ],
)
def test_smaller_side_keeps_the_aspect(apply, photo, numpy_bilinear, channels, shape, side, expected):
    image = photo(*shape, channels)
    result = apply(ops.resize_smaller_side(side), image)
    assert result.shape == (*expected, channels)
    np.testing.assert_allclose(result, numpy_bilinear(image, *expected), atol=1e-3)


def test_random_smaller_side_takes_both_ends():
    image = np.zeros((8, 10, 1), np.uint8)
    sides = {ops.random_resize_smaller_side(4, 6)(image, (seed, 1)).shape[0] for seed in range(40)}
    assert sides == {4, 5, 6}


@pytest.mark.parametrize("shape", [(16, 16), (33, 50), (7, 100), (299, 301)])
def test_central_crop_takes_the_fraction_of_each_side(apply, photo, channels, shape):
    image = photo(*shape, channels)
    y, x = (int((side - side * 0.875) / 2) for side in shape)
    np.testing.assert_array_equal(apply(ops.central_crop(0.875), image), image[y : shape[0] - y, x : shape[1] - x])


def test_central_crop_of_an_impossible_fraction_is_an_error():
    with pytest.raises(ValueError, match="fraction must be in"):
        ops.central_crop(1.5)(np.zeros((4, 4, 1), np.uint8))


def test_central_window_truncates_its_offset(apply, photo, channels):
    image = photo(11, 14, channels)
    np.testing.assert_array_equal(apply(ops.central_window(6, 9), image), image[2:8, 2:11])


def random_crop_offset(image, height, width, crop):
    """Where `crop` lies in an image whose pixels are their own index."""
    y, x = divmod(int(crop[0, 0, 0]), image.shape[1])
    np.testing.assert_array_equal(crop, image[y : y + height, x : x + width])
    return y, x


def test_random_crop_reaches_every_offset_and_no_other(apply):
    image = np.arange(6 * 7, dtype=np.float32).reshape(6, 7, 1)
    seeds = range(60) if apply.__name__ == "_eager" else range(3)
    found = set()
    for seed in seeds:
        crop = apply(lambda image, seed=seed: ops.random_crop(5, 5)(image, (seed, 3)), image)
        found.add(random_crop_offset(image, 5, 5, crop))
    possible = {(y, x) for y in range(2) for x in range(3)}
    assert found == possible if len(seeds) > 3 else found <= possible


@pytest.mark.parametrize("make", [ops.random_crop, ops.central_window])
def test_an_image_smaller_than_the_crop_is_named(photo, make):
    op = make(8, 4)
    with pytest.raises(UserError, match=r"smaller than the 8x4 crop .* Image shape: \[7, 9, 3\]"):
        op(photo(7, 9), (1, 2))
    unknown = tf.function(lambda image: op(image, (1, 2)), input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"smaller than the 8x4 crop .*\n?.*7 9 3"):
        unknown(photo(7, 9))
    assert unknown(photo(8, 9)).shape == (8, 4, 3)


@pytest.mark.parametrize("size", [(3, 9), (10, 4), (3, 2), (10, 11), (5, 6)])
def test_crop_or_pad_crops_the_middle_and_pads_with_zeros(apply, photo, channels, size):
    image = photo(5, 6, channels)
    expected = np.zeros((*size, channels), np.uint8)
    source, target = [], []
    for have, want in zip(image.shape, size, strict=False):
        source.append(slice(max(have - want, 0) // 2, max(have - want, 0) // 2 + min(have, want)))
        target.append(slice(max(want - have, 0) // 2, max(want - have, 0) // 2 + min(have, want)))
    expected[tuple(target)] = image[tuple(source)]
    np.testing.assert_array_equal(apply(ops.crop_or_pad(*size), image), expected)


def test_pad_adds_zeros_all_round(apply, channels):
    result = apply(ops.pad(2), np.ones((3, 4, channels), np.uint8))
    assert result.shape == (7, 8, channels)
    assert result.sum() == 3 * 4 * channels == result[2:5, 2:6].sum()


def test_flip_mirrors_the_columns(apply, photo, channels):
    image = photo(3, 4, channels)
    np.testing.assert_array_equal(apply(lambda image: ops.flip_left_right(1.0)(image, (1, 1)), image), image[:, ::-1])
    np.testing.assert_array_equal(apply(lambda image: ops.flip_left_right(0.0)(image, (1, 1)), image), image)


def test_flip_comes_half_the_time():
    seeds = tf.stack([tf.range(1000), tf.zeros(1000, tf.int32)], 1)
    image = tf.constant([[[0], [1]]], tf.uint8)
    flipped = tf.map_fn(lambda seed: ops.flip_left_right()(image, seed)[0, 0, 0], seeds, fn_output_signature=tf.uint8)
    assert 430 < flipped.numpy().sum() < 570  # 4.4 standard deviations


def windows(count, bbox=None, shape=(300, 400, 3)):
    """`count` windows (y, x, height, width) of the inception crop."""
    op = ops.distorted_crop(bbox=bbox)
    seeds = tf.stack([tf.range(count), tf.fill([count], 9)], 1)
    return tf.map_fn(lambda seed: op.window(tf.constant(shape), seed), seeds).numpy()


def test_distorted_crop_keeps_to_its_limits():
    y, x, height, width = windows(500).T
    assert (y >= 0).all()
    assert (x >= 0).all()
    assert (y + height <= 300).all()
    assert (x + width <= 400).all()
    area, aspect = height * width / (300 * 400), width / height
    assert area.min() > 0.049
    assert area.min() < 0.12
    assert area.max() > 0.8  # 0.05 to 1 is used
    assert aspect.min() > 0.74
    assert aspect.min() < 0.8
    assert 1.25 < aspect.max() < 1.35  # 0.75 to 1.33, give or take a rounded pixel


def test_distorted_crop_covers_a_tenth_of_the_box():
    box = (0.0, 0.0, 0.2, 0.2)  # 60 x 80 pixels at the top left
    for y, x, height, width in windows(100, bbox=tf.constant([[box]])):
        shared = max(min(60, y + height) - y, 0) * max(min(80, x + width) - x, 0)
        assert shared >= 0.1 * 60 * 80 * 0.95  # whole pixels


def test_distorted_crop_cuts_its_window(apply, photo, channels):
    image = photo(40, 50, channels)
    y, x, height, width = ops.distorted_crop().window(tf.constant(image.shape), (4, 5)).numpy()
    result = apply(lambda image: ops.distorted_crop()(image, (4, 5)), image)
    np.testing.assert_array_equal(result, image[y : y + height, x : x + width])


@pytest.mark.parametrize("lead", [(), (2,)], ids=["image", "batch"])
def test_normalizations_take_images_and_batches(apply, photo, channels, lead):
    image = np.broadcast_to(photo(5, 7, channels), (*lead, 5, 7, channels)).astype(np.float32)
    means = np.array([3, 2, 1]) if channels == 3 else 2.0
    np.testing.assert_allclose(apply(ops.scale_and_shift(0.5, -3), image), image * 0.5 - 3, atol=1e-4)
    np.testing.assert_allclose(apply(ops.subtract_means((3.0, 2.0, 1.0)), image), image - means, atol=1e-4)
    np.testing.assert_allclose(apply(ops.standardize(), image), (image - image.mean()) / image.std(), atol=1e-4)


def test_standardize_does_not_blow_up_a_flat_image():
    assert np.abs(ops.standardize()(np.full((2, 2, 1), 7, np.uint8))).max() == 0


def test_ops_say_what_they_are_and_refuse_stray_arguments():
    assert repr(ops.resize(3, 4)) == "resize(height=3, width=4, method='bilinear')"
    assert core.OPS["resize"] is ops.resize
    with pytest.raises(TypeError, match=r"op resize\(height: int, width: int, .*unexpected keyword argument 'hight'"):
        ops.resize(3, 4, hight=3)
    with pytest.raises(ValueError, match="op 'resize' is defined twice"):
        core.op(ops.resize)
    with pytest.raises(TypeError, match="does not cut a window"):
        ops.resize(3, 4).window(tf.constant([1, 1, 1]))
