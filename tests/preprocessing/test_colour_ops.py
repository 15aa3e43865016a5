"""Colour ops, by hand and against tf.image."""

import numpy as np
import pytest
import tensorflow as tf

from preprocessing import colour_ops

# One pixel, channels 100, 60, 20. Brightness adds 40; saturation 0.5 halves each channel's distance to the largest;
# contrast is 1 (one pixel is its own mean) and a third of the circle turns red to green to blue.
PIXEL = np.array([[[100, 60, 20]]], np.uint8)
TWO = np.array([[[100, 60, 20], [200, 100, 40]]], np.uint8)


@pytest.mark.parametrize(
    ("order", "amounts", "expected"),
    [
        (("brightness",), {"brightness": 40.0}, [140, 100, 60]),
        (("saturation",), {"saturation": 0.5}, [100, 80, 60]),
        (("saturation",), {"saturation": 3.0}, [100, 50, 0]),  # stops at full saturation, hue kept
        (("hue",), {"hue": 1 / 3}, [20, 100, 60]),
        (("brightness", "saturation"), {"brightness": -60.0, "saturation": 0.5}, [40, 20, 0]),  # 40, 0, -40 before
        (("saturation", "brightness"), {"brightness": -60.0, "saturation": 0.5}, [40, 20, 0]),
        # The order is seen where saturation stops at 1: 100, 60, 20 -> 100, 50, 0 -> 110, 60, 10 ...
        (("saturation", "brightness"), {"brightness": 10.0, "saturation": 3.0}, [110, 60, 10]),
        # ... and 110, 70, 30 -> 110, 55, 0.
        (("brightness", "saturation"), {"brightness": 10.0, "saturation": 3.0}, [110, 55, 0]),
        (("brightness",), {"brightness": 200.0}, [255, 255, 220]),  # clipped at the end
        # Not clipped in between: 300, 260, 220 -> 300, 280, 260.
        (("brightness", "saturation"), {"brightness": 200.0, "saturation": 0.5}, [255, 255, 255]),
    ],
)
def test_colour_steps_by_hand(order, amounts, expected):
    result = colour_ops.adjust_colour(tf.constant(PIXEL), order, amounts)
    assert result.numpy().ravel() == pytest.approx(expected, abs=1e-2)


def test_contrast_uses_each_channels_own_mean():
    result = colour_ops.adjust_contrast(tf.constant(TWO), 0.5).numpy()
    assert result.reshape(2, 3).tolist() == [[125, 70, 25], [175, 90, 35]]


@pytest.mark.parametrize(
    ("ordering", "fast_mode", "expected"),
    [
        (0, True, "brightness saturation"),
        (3, True, "saturation brightness"),
        (0, False, "brightness saturation hue contrast"),
        (1, False, "saturation brightness contrast hue"),
        (2, False, "contrast hue brightness saturation"),
        (3, False, "hue saturation contrast brightness"),
    ],
)
def test_orderings_are_slims(ordering, fast_mode, expected):
    assert " ".join(colour_ops.colour_order(ordering, fast_mode)) == expected


def test_an_ordering_that_slim_does_not_have_is_an_error():
    with pytest.raises(ValueError, match="must be 0 to 3, found 4"):
        colour_ops.colour_order(4, fast_mode=False)


@pytest.mark.parametrize("amount", [0.0, 0.5, 1.0, 1.5, 4.0])
@pytest.mark.parametrize(("low", "high"), [(0, 255), (-80, 300), (-200, -1)], ids=["inside", "outside", "negative"])
def test_saturation_is_tf_images_also_outside_the_range(amount, low, high):
    image = np.random.default_rng(1).uniform(low, high, (30, 20, 3)).astype(np.float32)
    image[0] = image[0, :, :1]  # gray pixels
    image[1] = 0
    ours = colour_ops.adjust_saturation(tf.constant(image), amount)
    np.testing.assert_allclose(ours, tf.image.adjust_saturation(image, amount), atol=2e-3)


def slim_distortion(image, ordering, amounts):
    """The original's steps on [0, 1], from tf.image alone."""
    steps = {
        "brightness": lambda x: x + amounts["brightness"] / 255.0,
        "saturation": lambda x: tf.image.adjust_saturation(x, amounts["saturation"]),
        "hue": lambda x: tf.image.adjust_hue(x, amounts["hue"]),
        "contrast": lambda x: tf.image.adjust_contrast(x, amounts["contrast"]),
    }
    image = tf.cast(image, tf.float32) / 255.0
    for name in colour_ops.SLOW_ORDERS[ordering]:
        image = steps[name](image)
    return tf.clip_by_value(image, 0.0, 1.0) * 255.0


@pytest.mark.parametrize("ordering", range(4))
def test_the_scale_of_0_to_255_gives_what_0_to_1_gave(photo, ordering):
    image = photo(20, 30)
    amounts = {"brightness": 25.0, "saturation": 1.4, "hue": -0.15, "contrast": 1.3}
    ours = colour_ops.adjust_colour(tf.constant(image), colour_ops.SLOW_ORDERS[ordering], amounts)
    np.testing.assert_allclose(ours, slim_distortion(image, ordering, amounts), atol=1e-2)


@pytest.mark.parametrize("fast_mode", [True, False])
def test_distort_color_is_clipped_and_repeats_by_seed(apply, photo, channels, fast_mode):
    image = photo(6, 5, channels)
    op = colour_ops.distort_color(fast_mode=fast_mode)
    first, again, other = (apply(lambda image, seed=seed: op(image, seed), image) for seed in [(1, 2), (1, 2), (3, 2)])
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1
    assert first.shape == image.shape
    assert first.min() >= 0
    assert first.max() <= 255


def test_distort_color_draws_over_slims_ranges():
    pixel, op = tf.constant(PIXEL), colour_ops.distort_color(fast_mode=True)
    seeds = tf.stack([tf.range(400), tf.zeros(400, tf.int32)], 1)
    red, green, _ = tf.map_fn(lambda seed: op(pixel, seed)[0, 0], seeds, fn_output_signature=tf.float32).numpy().T
    brightness = red - 100  # saturation keeps the largest channel
    assert brightness.min() > -32
    assert brightness.min() < -30
    assert 30 < brightness.max() < 32
    assert abs(brightness.mean()) < 4
    factor = (red - green) / 40  # exact while saturation does not stop at 1, which below 1.2 it does not
    assert factor.min() == pytest.approx(0.5, abs=0.02)
    assert (factor < 1.5).all()
    assert abs(np.median(factor) - 1.0) < 0.1


def test_slow_mode_takes_every_ordering(photo):
    image = tf.constant(photo(8, 8))
    seen = set()
    for seed in range(32):
        result = colour_ops.distort_color(fast_mode=False)(image, (seed, 0)).numpy()
        for ordering in range(4):
            same = colour_ops.distort_color(fast_mode=False, ordering=ordering)(image, (seed, 0)).numpy()
            seen |= {ordering} if np.array_equal(result, same) else set()
    assert seen == {0, 1, 2, 3}


def test_random_brightness_and_contrast_are_not_clipped():
    image = tf.constant(PIXEL)
    values = [colour_ops.random_brightness(200.0)(image, (seed, 0)).numpy().ravel() for seed in range(60)]
    assert np.min(values) < 0
    assert np.max(values) > 255
    assert np.ptp(np.array(values) - [100, 60, 20], axis=1).max() < 1e-3
    two = tf.constant(TWO)
    factors = [colour_ops.random_contrast(0.2, 1.8)(two, (seed, 0)).numpy()[0, 1, 0] for seed in range(100)]
    factors = (np.array(factors) - 150) / 50
    assert 0.2 <= factors.min() < 0.3
    assert 1.7 < factors.max() < 1.8


def test_grayscale_weighs_the_channels(apply):
    image = np.array([[[100, 0, 0], [0, 100, 0], [0, 0, 100]]], np.uint8)
    gray = apply(colour_ops.grayscale(), image)
    assert gray.shape == (1, 3, 1)
    assert gray.ravel() == pytest.approx([29.89, 58.70, 11.40], abs=1e-3)
    np.testing.assert_array_equal(apply(colour_ops.grayscale(), image[..., :1]), image[..., :1])
