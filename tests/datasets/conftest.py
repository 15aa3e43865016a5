"""Small images and folders of them."""

import io
import pathlib
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image


def _pixels(index: int, height: int = 18, width: int = 24) -> np.ndarray:
    """A smooth picture that JPEG keeps well, another for each index."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [x * 8 + index * 5, y * 10 + index * 3, x + y + index * 11]
    return (np.stack(planes, -1) % 256).astype(np.uint8)


@pytest.fixture(scope="session")
def pixels() -> Callable[..., np.ndarray]:
    return _pixels


@pytest.fixture(scope="session")
def encoded() -> Callable[..., bytes]:
    """encoded(index or Pillow image, format='JPEG', **options) -> bytes of an image file."""

    def encode(image: int | Image.Image = 0, image_format: str = "JPEG", **options: object) -> bytes:
        image = Image.fromarray(_pixels(image)) if isinstance(image, int) else image
        buffer = io.BytesIO()
        image.save(buffer, image_format, **options)
        return buffer.getvalue()

    return encode


@pytest.fixture
def photos(tmp_path: pathlib.Path, encoded: Callable[..., bytes]) -> pathlib.Path:
    """A folder of three class folders with 6, 5 and 4 JPEG files."""
    folder = tmp_path / "photos"
    for label, (name, count) in enumerate({"cat": 6, "dog": 5, "emu": 4}.items()):
        (folder / name).mkdir(parents=True)
        for k in range(count):
            (folder / name / f"{k}.jpg").write_bytes(encoded(10 * label + k))
    return folder


@pytest.fixture(scope="session")
def bomb() -> bytes:
    """A PNG file that says it has 30,000 x 30,000 pixels; its checksums are right."""
    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
