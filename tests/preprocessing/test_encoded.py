"""Decoding, and cropping while decoding."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from preprocessing import encoded, ops, recipes

H, W = 45, 70


def encode(pixels, form, mode="RGB", **options):
    file = io.BytesIO()
    image = Image.fromarray(pixels).convert(mode)
    image.save(file, form, **options)
    return file.getvalue()


@pytest.fixture
def smooth():
    """A picture of slow colours, which survives JPEG."""
    y, x = np.mgrid[0:H, 0:W]
    return np.stack([y * 255 / H, x * 255 / W, 255 - y * 128 / H - x * 100 / W], -1).astype(np.uint8)


FORMS = [
    ("JPEG", "RGB", {"quality": 95}),
    ("JPEG", "RGB", {"quality": 95, "progressive": True}),
    ("JPEG", "L", {"quality": 95}),
    ("JPEG", "CMYK", {"quality": 95}),
    ("PNG", "RGB", {}),
    ("PNG", "L", {}),
    ("PNG", "RGBA", {}),
    ("PNG", "P", {}),
    ("BMP", "RGB", {}),
    ("BMP", "L", {}),
    ("GIF", "L", {}),
]
LOSSY = {("JPEG", "CMYK"): 60, ("PNG", "P"): 60}


@pytest.mark.parametrize(("form", "mode", "options"), FORMS, ids=lambda value: value if isinstance(value, str) else "")
def test_every_form_decodes_to_the_channels_asked_for(smooth, channels, form, mode, options):
    data = encode(smooth, form, mode, **options)
    result = encoded.decode(data, channels)
    assert result.dtype == tf.uint8
    assert result.shape == (H, W, channels)
    shown = (
        smooth if mode not in ("L",) else np.repeat(np.array(Image.fromarray(smooth).convert("L"))[..., None], 3, -1)
    )
    expected = shown if channels == 3 else (shown * [0.2989, 0.5870, 0.1140]).sum(-1, keepdims=True)
    error = np.abs(result.numpy().astype(float) - expected)
    assert error.mean() < LOSSY.get((form, mode), 4)


def test_gray_png_keeps_its_values_both_ways():
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)
    data = encode(gray, "PNG", "L")
    np.testing.assert_array_equal(encoded.decode(data, 1)[..., 0], gray)
    np.testing.assert_array_equal(encoded.decode(data, 3), np.repeat(gray[..., None], 3, -1))
    np.testing.assert_array_equal(encoded.decode(encode(gray, "BMP", "L"), 1)[..., 0], gray)


def test_a_moving_gif_gives_its_first_frame(smooth):
    frames = [Image.fromarray(smooth), Image.fromarray(255 - smooth)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    result = encoded.decode(file.getvalue())
    assert result.shape == (H, W, 3)
    assert np.abs(result.numpy().astype(float) - smooth).mean() < 20


JPEGS = [
    ("RGB", {"subsampling": 0}),
    ("RGB", {"subsampling": 1}),
    ("RGB", {"subsampling": 2}),
    ("RGB", {"subsampling": 2, "progressive": True}),
    ("RGB", {"subsampling": 2, "restart_marker_blocks": 3}),
    ("L", {}),
    ("CMYK", {}),
]


@pytest.mark.parametrize(("mode", "options"), JPEGS)
def test_a_jpeg_cropped_while_decoded_is_the_whole_one_cropped(photo, channels, mode, options):
    """To the pixel, wherever the window lies; noise, so that a neighbour's colour shows."""
    data = encode(photo(61, 83), "JPEG", mode, quality=85, **options)
    for seed in range(25):
        whole = ops.distorted_crop()(encoded.decode(data, channels), (seed, 0))
        window = encoded.decode_window(data, channels, ops.distorted_crop(), (seed, 0))
        np.testing.assert_array_equal(window, whole)


@pytest.mark.parametrize("is_training", [False, True])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP", "GIF"])
@pytest.mark.parametrize("name", ["cifarnet", "inception", "lenet", "vgg"])
def test_preprocess_encoded_is_decode_and_then_the_recipe(smooth, channels, name, form, is_training):
    data = encode(smooth, form)
    options = {"resize_side_min": 30, "resize_side_max": 40} if name == "vgg" else {}
    seed = tf.constant([8, 9], tf.int64)
    expected = recipes.get(name)(encoded.decode(data, channels), 24, 20, is_training, seed, **options)

    def preprocess(data):
        result = encoded.preprocess_encoded(data, name, 24, 20, is_training, channels, seed, **options)
        assert result.shape == (24, 20, channels)
        return result

    np.testing.assert_array_equal(preprocess(data), expected)
    in_pipeline = tf.data.Dataset.from_tensors(data).map(preprocess).batch(1)
    # In a graph, multiplications and additions may be fused: the last bit differs.
    np.testing.assert_allclose(next(iter(in_pipeline))[0], expected, atol=1e-4)


def test_options_and_network_names_reach_the_recipe(smooth):
    data = encode(smooth, "JPEG")
    result = encoded.preprocess_encoded(data, "mobilenet_v1_025", 24, 20, use_grayscale=True, crop_image=False)
    assert result.shape == (24, 20, 1)
    with pytest.raises(TypeError, match="'inception' has no option 'padding'"):
        encoded.preprocess_encoded(data, "inception", 24, 20, padding=3)
    with pytest.raises(ValueError, match="unknown preprocessing 'x'"):
        encoded.preprocess_encoded(data, "x", 24, 20)


def test_every_element_of_a_data_set_without_a_seed_is_drawn_anew(smooth):
    data = tf.data.Dataset.from_tensors(encode(smooth, "JPEG")).repeat(2)
    first, second = data.map(lambda data: encoded.preprocess_encoded(data, "inception", 16, 16, is_training=True))
    assert np.abs(first - second).max() > 1e-3


BAD = [
    (b"", "Input is empty|Invalid JPEG data, size 0"),
    (b"<html>not here</html>", "Unknown image file format"),
    (b"\xff\xd8\xff\xe0 and no more", "Invalid JPEG data"),
    (b"\x89PNG\r\n\x1a\n and no more", "Invalid PNG"),
]


@pytest.mark.parametrize(("data", "message"), BAD, ids=["empty", "html", "jpeg", "png"])
@pytest.mark.parametrize("name", ["inception", "vgg"])
def test_bytes_that_are_no_image_keep_tensorflows_words(data, message, name, channels):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        encoded.preprocess_encoded(data, name, 24, 20, channels=channels)


def test_a_truncated_jpeg_is_an_error(photo):
    data = encode(photo(61, 83), "JPEG")
    for name in ("inception", "lenet"):
        with pytest.raises(tf.errors.InvalidArgumentError, match="Invalid JPEG data"):
            encoded.preprocess_encoded(data[: len(data) // 2], name, 24, 20)


def test_only_one_or_three_channels_are_decoded():
    with pytest.raises(ValueError, match="channels must be 1 or 3, found 4"):
        encoded.decode(b"", 4)


def test_real_photos_crop_while_decoded(shared_data):
    paths = sorted((shared_data / "flowers" / "roses").glob("*.jpg"))[:5]
    for number, path in enumerate(paths):
        data = path.read_bytes()
        window = encoded.decode_window(data, 3, ops.distorted_crop(), (number, 0))
        np.testing.assert_array_equal(window, ops.distorted_crop()(encoded.decode(data), (number, 0)))
