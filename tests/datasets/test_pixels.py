import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from datasets import duplicates, pixels
from datasets.image_headers import BadImage, read_jpeg, read_png


@pytest.fixture(params=["simplejpeg", "Pillow"])
def decoder(request, monkeypatch):
    if request.param == "simplejpeg":
        pytest.importorskip("simplejpeg", reason="finds damage inside JPEG data: pip install simplejpeg")
    else:
        monkeypatch.setattr(pixels, "_turbo", lambda: None)
    return request.param


def photo(side=96):
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    return Image.fromarray(noise)


def test_thumbnail_is_nine_by_eight_gray_pixels(decoder, encoded):
    left_dark = Image.fromarray(np.repeat(np.arange(90, dtype=np.uint8)[None] * 2, 80, axis=0))
    for image_format in ("JPEG", "PNG"):
        data = pixels.thumbnail(encoded(left_dark, image_format))
        rows = np.frombuffer(data, np.uint8).reshape(duplicates.ROWS, duplicates.COLUMNS).astype(int)
        # A pixel stands for ten columns; what they hold on average is 9, 29, ...
        np.testing.assert_allclose(rows[4], np.arange(9) * 20 + 9, atol=3)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
def test_every_format_in_records_has_one(decoder, encoded, image_format):
    assert len(pixels.thumbnail(encoded(photo(), image_format))) == duplicates.THUMBNAIL_BYTES
    assert len(pixels.thumbnail(encoded(Image.new("RGB", (1, 1)), image_format))) == duplicates.THUMBNAIL_BYTES
    if image_format == "JPEG":
        assert len(pixels.thumbnail(encoded(photo().convert("CMYK"), image_format))) == duplicates.THUMBNAIL_BYTES


def damaged(data, kind):
    """JPEG bytes with a damage that their header and their end do not show."""
    middle = len(data) // 2
    return {
        "zeros": data[:middle] + bytes(512) + data[middle + 512 :],
        "cut out": data[:middle] + data[middle + 512 :],
        "cut and ended": data[:middle] + b"\xff\xd9",
    }[kind]


@pytest.mark.parametrize("kind", ["zeros", "cut out", "cut and ended"])
def test_damage_inside_a_jpeg_is_found(kind, encoded):
    pytest.importorskip("simplejpeg", reason="finds damage inside JPEG data: pip install simplejpeg")
    data = damaged(encoded(photo()), kind)
    assert read_jpeg(data).is_plain  # nothing to see in its header and at its end
    with pytest.raises(BadImage, match=r"damaged JPEG: a part of the picture is missing or wrong"):
        pixels.thumbnail(data)


def test_what_nobody_decodes_is_told(decoder, encoded):
    data = encoded(photo())
    middle = len(data) // 2
    with pytest.raises(BadImage, match=r"damaged JPEG"):
        pixels.thumbnail(data[:middle] + b"\xff\xd8\xff\xda\x00\x01" + data[middle:])
    with pytest.raises(BadImage, match=r"damaged PNG"):
        pixels.thumbnail(encoded(photo(), "PNG")[:2000])


@pytest.mark.parametrize("kept", [0, 100])
def test_a_png_with_too_few_rows_is_damaged(encoded, kept):
    data = encoded(photo(), "PNG")
    start, end = data.index(b"IDAT"), data.index(b"IEND") - 8
    cut = b"IDAT" + zlib.compress(zlib.decompress(data[start + 4 : end])[:kept])
    head, tail = data[: start - 4] + struct.pack(">I", len(cut) - 4), data[end + 4 :]
    short = head + cut + struct.pack(">I", zlib.crc32(cut)) + tail
    assert read_png(short).is_plain  # its chunks are whole
    with pytest.raises(BadImage, match=r"damaged PNG"):
        pixels.thumbnail(short)


def test_bytes_too_many_harm_nothing(decoder, encoded):
    data = encoded(photo())
    assert len(pixels.thumbnail(data[:-2] + b"\x00\x00" + data[-2:])) == duplicates.THUMBNAIL_BYTES
