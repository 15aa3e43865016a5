"""Tone ops: Pillow's arithmetic, which AutoAugment's operations were published with."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from preprocessing import tones


def as_pillow(image):
    return Image.fromarray(image if image.shape[-1] == 3 else image[..., 0])


def as_array(image):
    pixels = np.asarray(image)
    return pixels if pixels.ndim == 3 else pixels[..., None]


@pytest.fixture
def picture(photo, channels):
    """A photo with less than the full range, other in each channel."""
    return photo(21, 34, channels) // np.array([1, 2, 3], np.uint8)[:channels] + np.uint8(20)


@pytest.mark.parametrize(
    ("ours", "pillow"),
    [
        (tones.autocontrast, ImageOps.autocontrast),
        (tones.equalize, ImageOps.equalize),
        *(
            (lambda x, bits=bits: tones.posterize(x, bits), lambda x, bits=bits: ImageOps.posterize(x, bits))
            for bits in (1, 4, 8)
        ),
        *((lambda x, t=t: tones.solarize(x, t), lambda x, t=t: ImageOps.solarize(x, t)) for t in (0, 100, 256)),
    ],
)
def test_what_is_done_by_table_is_pillows(apply, picture, ours, pillow):
    result = apply(ours, picture)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, as_array(pillow(as_pillow(picture))))


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 1.9])
@pytest.mark.parametrize("name", ["Brightness", "Contrast", "Color", "Sharpness"])
def test_what_is_done_by_blending_is_pillows(apply, picture, name, factor):
    ours = {"Brightness": tones.brightness, "Contrast": tones.contrast, "Color": tones.colour}.get(
        name, tones.sharpness
    )
    result = apply(lambda image: ours(image, factor), picture)
    expected = as_array(getattr(ImageEnhance, name)(as_pillow(picture)).enhance(factor)).astype(float)
    # Pillow's gray and smoothed images are whole numbers, and it cuts off what we keep behind the point.
    np.testing.assert_allclose(result, expected, atol=1.0 + abs(factor - 1.0) * (name in ("Sharpness", "Color")))


def test_flat_pictures_stay_as_they_are(channels):
    flat = np.full((5, 4, channels), 77, np.uint8)
    for change in (
        tones.autocontrast,
        tones.equalize,
        lambda x: tones.sharpness(x, 2.0),
        lambda x: tones.blur(x, 1.0, 3),
    ):
        np.testing.assert_allclose(change(tf.constant(flat)), flat, atol=1e-3)


@pytest.mark.parametrize("size", [(1, 5), (2, 2)])
def test_pictures_too_small_to_smooth_are_not_sharpened(apply, photo, size):
    image = photo(*size)
    np.testing.assert_array_equal(apply(lambda x: tones.sharpness(x, 2.0), image), image)


def test_blur_spreads_a_point_as_the_gaussian_says(apply):
    image = np.zeros((9, 11, 1), np.uint8)
    image[4, 5] = 255
    result = apply(lambda x: tones.blur(x, 1.0, 4), image)[..., 0]
    assert result.sum() == pytest.approx(255, rel=1e-4)
    assert result[4, 6] / result[4, 5] == pytest.approx(np.exp(-0.5), rel=1e-4)
    assert result[2, 5] / result[4, 5] == pytest.approx(np.exp(-2), rel=1e-4)
    np.testing.assert_allclose(result, result[::-1, ::-1], atol=1e-4)


def test_blur_mirrors_the_rim_and_takes_small_pictures(apply, photo, channels):
    image = photo(5, 3, channels)
    padded = np.pad(image, [(9, 9), (9, 9), (0, 0)], "symmetric")
    result = apply(lambda x: tones.blur(x, 2.0, 5), image)
    whole = tones.blur(tf.constant(padded), 2.0, 5).numpy()[9:-9, 9:-9]
    np.testing.assert_allclose(result, whole, atol=1e-3)


def test_as_uint8_rounds_and_clips():
    values = tf.constant([-3.0, 0.4, 0.6, 254.7, 300.0])
    assert tones.as_uint8(values).numpy().tolist() == [0, 0, 1, 255, 255]
