"""What a JPEG or PNG file says of itself, read without decoding it.

JPEG: ITU-T T.81 (markers), Exif 2.3 (orientation). PNG: W3C PNG specification, third edition. Measured on 1,500 photos
of 227x227: this JPEG parser takes 1.5 microseconds an image, Pillow's lazy `open` 21, decoding 350.
"""

import struct
import zlib
from typing import NamedTuple

ROTATED = "rotated by EXIF"  # the remark of an image that is plain but for that


class BadImage(Exception):
    """The file cannot be used as an image; the message is the reason, for people."""


class Header(NamedTuple):
    """The facts that decide whether an image's bytes can be kept as they are.

    Attributes:
        width, height: in pixels, as stored (before any EXIF rotation).
        is_plain: 8 bit gray or RGB without transparency, upright: every decoder reads it the same way.
        remark: why it is not plain; '' if it is.
    """

    width: int
    height: int
    is_plain: bool
    remark: str


_SIGNATURES = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"BM", "bmp"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"P1", "ppm"),
    (b"P2", "ppm"),
    (b"P3", "ppm"),
    (b"P4", "ppm"),
    (b"P5", "ppm"),
    (b"P6", "ppm"),
    (b"%PDF", "pdf"),
    (b"PK\x03\x04", "zip"),
)
_HTML = (b"<!doc", b"<html", b"<head", b"<?xml", b"<!--")
_NOT_IMAGES = {"pdf": "a PDF document", "zip": "a ZIP archive", "html": "an HTML page"}


def sniff(data: bytes) -> str | None:
    """Returns the kind of file that its first 32 bytes say: 'jpeg', 'png', 'html', ...; None if unknown."""
    for signature, kind in _SIGNATURES:
        if data.startswith(signature):
            if kind == "ppm" and not data[2:3].isspace():
                continue
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:8] == b"ftyp":
        return {b"avi": "avif", b"hei": "heic", b"hev": "heic", b"mif": "heic"}.get(data[8:11])
    if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:5].lower().startswith(_HTML):
        return "html"
    return None


def describe_stranger(data: bytes) -> str:
    """Returns the reason for a file whose bytes are no image: 'not an image but an HTML page'."""
    kind = _NOT_IMAGES.get(sniff(data) or "")
    return f"not an image but {kind}" if kind else "not an image that can be read"


_NO_LENGTH = frozenset([0x01, 0xD8, *range(0xD0, 0xD8)])  # markers without a segment: TEM, SOI, RSTn
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # less DHT, JPG, DAC
_HUFFMAN_8_BIT = frozenset([0xC0, 0xC1, 0xC2])  # baseline, extended, progressive


def read_jpeg(data: bytes) -> Header:
    """Reads the header of a JPEG file, and looks for the marker that ends it.

    Raises:
        BadImage: no frame in it, or its end is missing (a truncated file). Damage inside the scan is not seen.
    """
    frame, orientation, position = None, 1, 2
    while True:
        marker, position = _next_marker(data, position)
        if marker in _NO_LENGTH:
            continue
        if marker == 0xD9:
            raise BadImage("damaged JPEG: it ends before its image")
        if position + 2 > len(data):
            raise BadImage("truncated JPEG: it ends inside its header")
        (length,) = struct.unpack_from(">H", data, position)
        if marker in _START_OF_FRAME:
            if length < 8 or position + 8 > len(data):
                raise BadImage("damaged JPEG: its frame header is too short")
            frame = (marker, *struct.unpack_from(">BHHB", data, position + 2))
        elif marker == 0xE1 and data[position + 2 : position + 8] == b"Exif\x00\x00":
            orientation = _exif_orientation(data[position + 8 : position + length])
        elif marker == 0xDA:
            break
        position += length
    if frame is None:
        raise BadImage("damaged JPEG: no frame header before the image data")
    # The scan is searched, not the whole file: an EXIF thumbnail has an end marker of its own. Inside compressed data
    # 0xFF is followed by 0x00 or a restart marker, so that an end marker found here is one.
    if not data.endswith(b"\xff\xd9") and data.rfind(b"\xff\xd9", position) < 0:
        raise BadImage("truncated JPEG: the end of the image is missing")
    process, precision, height, width, components = frame
    if not width or not height:
        raise BadImage(f"damaged JPEG: it says it is {width}x{height} pixels")
    remark = ""
    if components not in (1, 3):
        remark = f"{'CMYK' if components == 4 else f'{components}-channel'} JPEG"
    elif process not in _HUFFMAN_8_BIT or precision != 8:
        remark = f"{precision}-bit or arithmetic-coded JPEG"
    elif orientation != 1:
        remark = ROTATED
    return Header(width, height, not remark, remark)


def _next_marker(data: bytes, position: int) -> tuple[int, int]:
    start = data.find(b"\xff", position)
    while 0 <= start < len(data) - 1 and data[start + 1] in (0x00, 0xFF):  # stuffing and fill bytes
        start = data.find(b"\xff", start + 1)
    if start < 0 or start >= len(data) - 1:
        raise BadImage("truncated JPEG: it ends inside its header")
    return data[start + 1], start + 2


def _exif_orientation(tiff: bytes) -> int:
    """Orientation (1 to 8) from an Exif block; 1 where it has none or is damaged."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (offset,) = struct.unpack_from(order + "I", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, offset)
        for k in range(entries):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, offset + 2 + 12 * k)
            if tag == 0x0112:
                return value if kind == 3 and 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


_PALETTE = 3
_PNG_COLOR = {0: "gray", 2: "RGB", _PALETTE: "palette", 4: "gray with alpha", 6: "RGB with alpha"}


def read_png(data: bytes) -> Header:
    """Reads a PNG file's chunks, checks the checksum of each, and that those are there which no decoder does without.

    Raises:
        BadImage: truncated, damaged or not a PNG.
    """
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise BadImage("truncated PNG: it ends inside its header")
    width, height, depth, color = struct.unpack_from(">IIBB", data, 16)
    if not width or not height or color not in _PNG_COLOR:
        raise BadImage(f"damaged PNG: {width}x{height} pixels, color type {color}")
    view, position, chunks, orientation = memoryview(data), 8, set(), 1
    while b"IEND" not in chunks:
        if position + 12 > len(data):
            raise BadImage("truncated PNG: the end of the image is missing")
        (length,) = struct.unpack_from(">I", data, position)
        kind, end = data[position + 4 : position + 8], position + 8 + length
        if end + 4 > len(data):
            raise BadImage("truncated PNG: the end of the image is missing")
        if zlib.crc32(view[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise BadImage(f"damaged PNG: the checksum of its {kind.decode('latin-1')} chunk is wrong")
        if kind == b"IDAT" and color == _PALETTE and b"PLTE" not in chunks:
            raise BadImage("damaged PNG: it has no palette")
        if kind == b"eXIf":
            orientation = _exif_orientation(data[position + 8 : end])
        chunks.add(kind)
        position = end + 4
    if b"IDAT" not in chunks:
        raise BadImage("damaged PNG: it has no image data")
    remark = ""
    if depth != 8:
        remark = f"{depth}-bit PNG"
    elif color in (4, 6) or b"tRNS" in chunks:
        remark = "transparent PNG"
    elif orientation != 1:
        remark = ROTATED
    return Header(width, height, not remark, remark)
