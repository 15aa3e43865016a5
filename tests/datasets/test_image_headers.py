import struct
import zlib

import pytest
from PIL import Image

from datasets.image_headers import BadImage, read_jpeg, read_png, sniff


@pytest.mark.parametrize(
    ("options", "remark"),
    [
        ({}, ""),
        ({"progressive": True}, ""),
        ({"subsampling": 0}, ""),
        ({"exif": b"Exif\x00\x00garbage"}, ""),
        ({"comment": b"\xff\xd9 looks like an end marker"}, ""),
    ],
)
def test_jpeg_that_every_decoder_reads_is_plain(encoded, options, remark):
    assert read_jpeg(encoded(1, **options)) == (24, 18, True, remark)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_of_other_than_one_or_three_channels_is_not_plain(encoded, mode):
    header = read_jpeg(encoded(Image.new(mode, (5, 3))))
    assert header == (5, 3, mode != "CMYK", "CMYK JPEG" if mode == "CMYK" else "")


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_exif_orientation_is_seen_in_jpeg_and_png(encoded, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for read, image_format in ((read_jpeg, "JPEG"), (read_png, "PNG")):
        assert read(encoded(1, image_format, exif=exif)).is_plain == (orientation == 1)


def test_jpeg_cut_anywhere_is_found(encoded):
    thumbnail = encoded(2)  # has an end marker of its own, inside the header
    data = encoded(1, exif=b"Exif\x00\x00" + thumbnail)
    for end in range(3, len(data) - 1):
        with pytest.raises(BadImage, match=r"truncated JPEG|damaged JPEG"):
            read_jpeg(data[:end])


def test_jpeg_with_something_behind_its_end_is_whole(encoded):
    data = encoded(1)
    assert read_jpeg(data + b"\x00video of a motion photo").is_plain


@pytest.mark.parametrize(
    ("mode", "remark"), [("L", ""), ("RGB", ""), ("P", ""), ("RGBA", "transparent PNG"), ("LA", "transparent PNG")]
)
def test_png_is_plain_unless_transparent_or_deep(encoded, mode, remark):
    assert read_png(encoded(Image.new(mode, (300, 2)), "PNG")).remark in (remark, "1-bit PNG")
    assert read_png(encoded(Image.new("I;16", (3, 2)), "PNG")).remark == "16-bit PNG"
    assert read_png(encoded(Image.new("RGB", (3, 2)), "PNG", transparency=(0, 0, 0))).remark == "transparent PNG"


def test_png_cut_anywhere_or_with_a_wrong_byte_is_found(encoded):
    data = encoded(1, "PNG")
    for end in range(8, len(data)):
        with pytest.raises(BadImage, match=r"truncated PNG"):
            read_png(data[:end])
    position = data.index(b"IDAT") + 20
    with pytest.raises(BadImage, match=r"checksum of its IDAT chunk"):
        read_png(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])


def test_png_of_no_pixels_is_damaged():
    header = struct.pack(">IIBBBBB", 0, 4, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    with pytest.raises(BadImage, match=r"0x4 pixels"):
        read_png(b"\x89PNG\r\n\x1a\n" + chunk)


@pytest.mark.parametrize(
    ("mode", "chunk", "reason"), [("L", b"IDAT", "it has no image data"), ("P", b"PLTE", "it has no palette")]
)
def test_png_without_what_it_is_decoded_from_is_damaged(encoded, mode, chunk, reason):
    data = encoded(Image.new(mode, (300, 2)), "PNG")
    start = data.index(chunk) - 4
    (length,) = struct.unpack_from(">I", data, start)
    with pytest.raises(BadImage, match=reason):
        read_png(data[:start] + data[start + 12 + length :])


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\xff\xd8\xff\xe0", "jpeg"),
        (b"GIF89a", "gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "webp"),
        (b"P6\n3 2\n255\n", "ppm"),
        (b"P6 is a post code", "ppm"),
        (b"P60 is not", None),
        (b"\n <!DOCTYPE html>", "html"),
        (b"<!-- saved from a page -->\n<html>", "html"),
        (b"\x00\x00\x00\x18ftypheic", "heic"),
        (b"hello", None),
        (b"", None),
    ],
)
def test_kind_of_file_is_told_by_its_first_bytes(data, kind):
    assert sniff(data) == kind
