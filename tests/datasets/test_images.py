import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from datasets import images
from datasets.image_headers import BadImage


def decoded(image):
    return tf.io.decode_image(image.data, channels=3, expand_animations=False).numpy()


@pytest.mark.parametrize(("image_format", "name"), [("JPEG", "jpg"), ("PNG", "png")])
def test_plain_bytes_are_kept(encoded, image_format, name):
    data = encoded(3, image_format)
    assert images.prepare(data) == (data, name, 18, 24, "", None)


@pytest.mark.parametrize(
    ("image_format", "options"),
    [
        ("BMP", {}),
        ("PPM", {}),
        ("GIF", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_other_formats_are_encoded_anew_with_the_same_pixels(encoded, pixels, image_format, options):
    image = images.prepare(encoded(3, image_format, **options))
    assert (image.height, image.width) == (18, 24)
    assert image.remark == image_format
    tolerance = {"GIF": 60, "WEBP": 12}.get(image_format, 0)  # a GIF's palette; WebP is taken for a photo: JPEG
    assert image.format == ("jpg" if image_format == "WEBP" else "png")
    np.testing.assert_allclose(decoded(image).astype(int), pixels(3).astype(int), atol=tolerance)


def test_cmyk_jpeg_becomes_rgb(encoded, pixels):
    image = images.prepare(encoded(Image.fromarray(pixels(0) // 2 + 60).convert("CMYK"), quality=95))
    assert (image.format, image.remark) == ("jpg", "CMYK JPEG")
    np.testing.assert_allclose(decoded(image).astype(int), pixels(0).astype(int) // 2 + 60, atol=25)


def test_16_bit_gray_keeps_its_range(encoded):
    values = np.linspace(0, 65535, 24 * 18).reshape(18, 24).astype(np.uint16)
    image = images.prepare(encoded(Image.fromarray(values), "PNG"))
    assert image.remark == "16-bit PNG"
    np.testing.assert_array_equal(decoded(image)[..., 0], values >> 8)


@pytest.mark.parametrize(("top", "pixel"), [(65535, 0), (1023, 25), (255, 100)])
def test_a_dark_deep_pgm_is_as_dark_as_it_says(top, pixel):
    values = np.full([2, 3], 100, ">u2" if top > 255 else "u1")
    image = images.prepare(b"P5 3 2 %d\n" % top + values.tobytes())
    np.testing.assert_array_equal(decoded(image)[..., 0], np.full([2, 3], pixel))


def test_transparency_is_laid_over_white(encoded):
    for mode, colour, expected in [("RGBA", (0, 0, 200, 0), 255), ("RGBA", (0, 0, 200, 255), 0), ("LA", (10, 0), 255)]:
        image = images.prepare(encoded(Image.new(mode, (4, 4), colour), "PNG"))
        assert (image.remark, decoded(image)[0, 0, 0]) == ("transparent PNG", expected)
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 9, 9, 9])
    assert decoded(images.prepare(encoded(palette, "PNG", transparency=1)))[0, 0, 0] == 255
    assert decoded(images.prepare(encoded(palette, "PNG", transparency=0)))[0, 0, 0] == 9


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied_once(encoded, image_format):
    upright = np.zeros([16, 32, 3], np.uint8)
    upright[:, 16:] = 255  # white on the right
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise for viewing
    stored = Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90)
    image = images.prepare(encoded(stored, image_format, exif=exif))
    assert (image.height, image.width) == (16, 32)
    np.testing.assert_allclose(decoded(image).astype(int), upright.astype(int), atol=8)
    assert images.prepare(image.data).remark == ""  # nothing left to turn


def test_first_frame_of_an_animation(encoded):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "blue")]
    for image_format in ("GIF", "WEBP"):
        image = images.prepare(encoded(frames[0], image_format, save_all=True, append_images=frames[1:], lossless=True))
        assert image.remark == f"{image_format}, first frame"
        np.testing.assert_allclose(decoded(image)[0, 0], [255, 0, 0], atol=3)


def test_large_lossless_image_is_taken_for_a_photo(encoded):
    assert images.prepare(encoded(Image.new("RGB", (256, 256)), "BMP")).format == "png"
    assert images.prepare(encoded(Image.new("RGB", (256, 257)), "BMP")).format == "jpg"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"<html><body>404</body></html>", "not an image but an HTML page"),
        (b"%PDF-1.4", "not an image but a PDF document"),
        (b"plain text", "not an image that can be read"),
        (b"GIF89a", "damaged GIF: its header cannot be read"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "HEIC cannot be read; export it as JPEG"),
        (b"\xff\xd8\xff", "truncated JPEG: it ends inside its header"),
        (b"BM" + bytes(50), "damaged BMP"),
    ],
)
def test_what_cannot_be_used_says_why(data, reason):
    with pytest.raises(BadImage, match=reason):
        images.prepare(data)


def test_decompression_bomb_is_not_opened(bomb, encoded):
    with pytest.raises(BadImage, match=r"30000x30000 pixels: more than 134 million"):
        images.prepare(bomb)
    huge = bytearray(encoded(1, "BMP"))
    huge[18:26] = struct.pack("<ii", 30000, 30000)
    with pytest.raises(BadImage, match=r"30000x30000 pixels"), images.large_images_allowed():
        images.prepare(bytes(huge))


@pytest.mark.parametrize("image_format", ["BMP", "GIF", "TIFF", "WEBP", "PPM"])
def test_truncated_file_of_another_format_is_found(encoded, image_format):
    data = encoded(3, image_format)
    with pytest.raises(BadImage, match=r"damaged|truncated"):
        images.prepare(data[: len(data) * 2 // 3])


def test_pixels_of_unknown_range_are_refused(encoded):
    with pytest.raises(BadImage, match=r"floating-point pixels"):
        images.prepare(encoded(Image.fromarray(np.ones([4, 4], np.float32)), "TIFF"))
    with pytest.raises(BadImage, match=r"32-bit gray"):
        images.prepare(encoded(Image.fromarray(np.full([4, 4], 70000, np.int32)), "TIFF"))
