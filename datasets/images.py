"""From an image file's bytes to bytes that every later step reads: kept as they are, or encoded anew."""

import contextlib
import functools
import io
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from datasets.image_headers import ROTATED, BadImage, describe_stranger, read_jpeg, read_png, sniff

# What decodes to 400 MB in three channels: well above the largest phone cameras' usual pictures, far below what takes a
# machine down. Larger ones are decompression bombs as far as training is concerned.
MAX_PIXELS = 2**27
JPEG_QUALITY = 95
# A picture without loss up to this size stays without loss (icons, traffic signs); a larger one is taken for a photo.
_KEEP_LOSSLESS_PIXELS = 256 * 256
_LOSSLESS = frozenset(["png", "gif", "bmp", "ppm", "tiff"])
_READ_DIRECTLY = {"jpeg": read_jpeg, "png": read_png}


class EncodedImage(NamedTuple):
    """An image as a record holds it.

    Attributes:
        data: JPEG or PNG bytes, 8 bit gray or RGB, upright.
        format: `jpg` (Slim's word) or `png`.
        height, width: in pixels.
        remark: why it was encoded anew, for the report; '' if the bytes are the file's own.
        extra: further features of its record by key (`records.int64_feature` and so on); None for Slim's five.
    """

    data: bytes
    format: str
    height: int
    width: int
    remark: str = ""
    extra: Mapping[str, Any] | None = None


def prepare(data: bytes) -> EncodedImage:
    """Turns the content of an image file into what a record holds.

    JPEG and PNG bytes are kept if they are 8 bit gray or RGB, upright and without transparency; only their headers are
    read. Everything else that Pillow opens is decoded (first frame, EXIF orientation applied, transparency over white)
    and encoded as PNG (up to 256x256 pixels, from a lossless format) or JPEG of quality 95.

    Raises:
        BadImage: with the reason, for a file that is no image, is damaged, or has more than `MAX_PIXELS` pixels.
    """
    if not data:
        raise BadImage("empty file")
    kind = sniff(data)
    remark = (kind or "").upper()
    if kind in _READ_DIRECTLY:
        header = _READ_DIRECTLY[kind](data)
        check_size(header.width, header.height)
        if header.is_plain:
            return EncodedImage(data, "jpg" if kind == "jpeg" else "png", header.height, header.width)
        remark = header.remark
    return _encode_anew(data, kind, remark)


def prepare_jpeg(data: bytes) -> EncodedImage:
    """Turns the content of an image file into a JPEG, as Slim's ImageNet and COCO records hold them.

    The bytes of a gray or RGB JPEG are kept, EXIF rotation or not: every published network was trained on them so, and
    the bounding boxes belong to them. Everything else becomes an RGB JPEG of quality 100, as there.

    Raises:
        BadImage: as `prepare`.
    """
    if not data:
        raise BadImage("empty file")
    kind = sniff(data)
    remark = (kind or "").upper()
    if kind == "jpeg":
        header = read_jpeg(data)
        check_size(header.width, header.height)
        if header.is_plain or header.remark == ROTATED:
            return EncodedImage(data, "jpg", header.height, header.width)
        remark = header.remark
    image, _, remark = _decode(data, kind, remark, turn=False)
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=100, subsampling=0)
    return EncodedImage(buffer.getvalue(), "jpg", image.height, image.width, remark)


def encode(image: Any, lossless: bool) -> tuple[bytes, str]:
    """Encodes a Pillow image of mode L or RGB; returns the bytes and their format, `png` or `jpg`."""
    buffer = io.BytesIO()
    if lossless:
        image.save(buffer, "PNG")
        return buffer.getvalue(), "png"
    image.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue(), "jpg"


@contextlib.contextmanager
def large_images_allowed() -> Iterator[None]:
    """Turns off Pillow's own limit (it warns at 89 million pixels) for ours; its `open` reads headers only."""
    from PIL import Image

    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def check_size(width: int, height: int) -> None:
    """Fails for more than `MAX_PIXELS` pixels.

    Raises:
        BadImage: it has.
    """
    if width * height > MAX_PIXELS:
        raise BadImage(f"{width}x{height} pixels: more than {MAX_PIXELS / 1e6:.0f} million (a decompression bomb?)")


def _encode_anew(data: bytes, kind: str | None, remark: str) -> EncodedImage:
    image, kind, remark = _decode(data, kind, remark)
    lossless = kind in _LOSSLESS and image.width * image.height <= _KEEP_LOSSLESS_PIXELS
    encoded, image_format = encode(image, lossless)
    return EncodedImage(encoded, image_format, image.height, image.width, remark)


def _decode(data: bytes, kind: str | None, remark: str, turn: bool = True) -> tuple[Any, str, str]:
    """Decodes an image file: a Pillow image of mode L or RGB, its kind, and the remark for the report."""
    from PIL import Image, ImageOps

    try:
        image = Image.open(io.BytesIO(data), formats=_formats())
    except Exception as error:  # whatever a decoder makes of garbage: OSError, SyntaxError, struct.error, ...
        raise BadImage(_unreadable(data, kind)) from error
    check_size(*image.size)
    if kind is None:
        kind = (image.format or "").lower()
        remark = image.format or "unknown format"
    if getattr(image, "is_animated", False):
        remark += ", first frame"
    try:
        image.seek(0)
        image = _to_8_bit(ImageOps.exif_transpose(image) if turn else image, kind)
    except BadImage:
        raise
    except Exception as error:
        raise BadImage(f"damaged {kind.upper()}: {error or type(error).__name__}") from error
    return image, kind, remark


@functools.cache
def _formats() -> tuple[str, ...]:
    """The formats that Pillow may open: not those that it hands to another program, as PostScript to Ghostscript."""
    from PIL import Image

    Image.init()
    return tuple(name for name in Image.OPEN if name not in ("EPS", "WMF"))


def _unreadable(data: bytes, kind: str | None) -> str:
    if kind == "heic":
        return "HEIC cannot be read; export it as JPEG"
    if kind in (None, "html", "pdf", "zip"):
        return describe_stranger(data)
    return f"damaged {kind.upper()}: its header cannot be read"


def _to_8_bit(image: Any, kind: str) -> Any:
    """Returns a Pillow image of mode L or RGB, transparency laid over white."""
    from PIL import Image

    if image.mode in ("1", "L") and "transparency" not in image.info:
        return image.convert("L")
    if image.mode.startswith("I"):
        pixels = np.asarray(image)
        top = int(pixels.max(initial=0))
        if top > 65535 or int(pixels.min(initial=0)) < 0:
            raise BadImage("32-bit gray: the range of its values is not known; convert it to 8 bit")
        # 16-bit formats say their range (Pillow gives some as 32 bits, PPM's scaled to 65535); a 32-bit image that
        # stays within 8 bits is taken as it is.
        shift = 0 if image.mode == "I" and top <= 255 and kind not in ("ppm", "png") else 8
        return Image.fromarray((pixels >> shift).astype(np.uint8))
    if image.mode == "F":
        raise BadImage("floating-point pixels: the range of their values is not known; convert it to 8 bit")
    if "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        image = image.convert("RGBA")
        background = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(background, image).convert("RGB")
    return image.convert("RGB")
