"""Drawn shapes: a data set that needs no download, with a task to pretrain on and a task to fine-tune for.

One bright shape an image, filled, of random colour, place, size, tilt and edge, over a dark background with a gradient,
noise and a few stray strokes. The two tasks draw from the same world but share no class, as ImageNet and a person's
photos do: what a network learns on `source` serves `target`, which by default has few images. Measured with
mobilenet_v1_025 at 64 pixels, 250 steps of batch 32 on `target`: 0.61 validation accuracy from scratch, 0.99 after 900
steps on `source`.

Image i depends on (seed, task, i) alone.
"""

import functools
import io
from collections.abc import Callable

import numpy as np

from common import suggest
from common.errors import UserError
from datasets.images import JPEG_QUALITY, EncodedImage
from datasets.sources import Contents, Item, Source

TASKS = ("source", "target")
DEFAULT_IMAGES = {"source": 2400, "target": 500}
FORMATS = ("jpg", "png")
_MIN_SIZE, _MAX_SIZE = 16, 512

# A shape is a signed distance to its outline, negative inside, over coordinates in which it fills about [-1, 1].
Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _half_plane(x: np.ndarray, y: np.ndarray, angle: float, distance: float) -> np.ndarray:
    return np.cos(angle) * x + np.sin(angle) * y - distance


def _polygon(sides: int) -> Distance:
    inner = np.cos(np.pi / sides)
    angles = (2 * np.arange(sides) + 1) * np.pi / sides + np.pi / 2

    def distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.max([_half_plane(x, y, angle, inner) for angle in angles], axis=0)

    return distance


def _box(x: np.ndarray, y: np.ndarray, half_width: float, half_height: float) -> np.ndarray:
    return np.maximum(np.abs(x) - half_width, np.abs(y) - half_height)


def _circle(x: np.ndarray, y: np.ndarray, radius: float = 0.9) -> np.ndarray:
    return np.hypot(x, y) - radius


def _ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.abs(np.hypot(x, y) - 0.68) - 0.22


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _box(x, y, 0.75, 0.75)


def _cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.minimum(_box(x, y, 0.92, 0.28), _box(x, y, 0.28, 0.92))


def _star(x: np.ndarray, y: np.ndarray, points: int = 5, notch: float = 0.42) -> np.ndarray:
    sector = np.pi / points
    angle = np.abs((np.arctan2(x, y) + sector) % (2 * sector) - sector)  # folded into half a point
    radius = np.hypot(x, y)
    along, across = radius * np.cos(angle), radius * np.sin(angle)
    # The edge from the tip (1, 0) to the notch.
    edge = np.array([notch * np.cos(sector) - 1, notch * np.sin(sector)])
    normal = np.array([edge[1], -edge[0]]) / np.hypot(*edge)
    return normal[0] * (along - 1) + normal[1] * across


def _crescent(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(_circle(x, y), -_circle(x - 0.45, y, 0.72))


def _heart(x: np.ndarray, y: np.ndarray, half: float = 0.52) -> np.ndarray:
    """A square on its corner, and a disc over each of its upper edges."""
    y = y - 0.12
    middle = half * np.sqrt(0.5)
    lobes = np.minimum(_circle(x - middle, y + middle, half), _circle(x + middle, y + middle, half))
    return np.minimum(lobes, _box((x + y) * np.sqrt(0.5), (y - x) * np.sqrt(0.5), half, half))


def _arrow(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    head = np.maximum(np.maximum(x + y, x - y) * np.sqrt(0.5) - 0.65, 0.15 - x)
    return np.minimum(head, _box(x + 0.35, y, 0.55, 0.25))


def _tee(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.minimum(_box(x, y + 0.6, 0.85, 0.28), _box(x, y - 0.1, 0.28, 0.8))


def _semicircle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(_circle(x, y - 0.4, 1.0), y - 0.4)


def _flower(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 0.75 * (np.hypot(x, y) - 0.68 - 0.26 * np.cos(5 * np.arctan2(y, x)))


SHAPES: dict[str, dict[str, Distance]] = {
    "source": {
        "circle": _circle,
        "crescent": _crescent,
        "cross": _cross,
        "heart": _heart,
        "ring": _ring,
        "square": _square,
        "star": _star,
        "triangle": _polygon(3),
    },
    "target": {"arrow": _arrow, "flower": _flower, "semicircle": _semicircle, "tee": _tee},
}


def source(
    *,
    shapes_task: str = "source",
    num_images: int | None = None,
    image_size: int = 64,
    image_format: str = "jpg",
    seed: int = 0,
) -> Source:
    """Declares the drawn data set.

    Args:
        shapes_task: `source` (8 classes) or `target` (4 others).
        num_images: all splits together; as many of each class as of another. Default: 2400 and 500. A fifth is
            for validation.
        image_size: side in pixels.
        image_format: `jpg` or `png`.
        seed: of the drawing.
    """
    if shapes_task not in TASKS:
        raise UserError(suggest.unknown("--shapes_task", shapes_task, TASKS))
    if image_format not in FORMATS:
        raise UserError(suggest.unknown("--image_format", image_format, FORMATS))
    if not _MIN_SIZE <= image_size <= _MAX_SIZE:
        raise UserError(f"--image_size={image_size}: expected {_MIN_SIZE} to {_MAX_SIZE} pixels")
    names = sorted(SHAPES[shapes_task])
    count = num_images or DEFAULT_IMAGES[shapes_task]
    if count < 2 * len(names):
        raise UserError(f"--num_images={count} is too few for {len(names)} classes: expected at least {2 * len(names)}")

    def load(item: Item) -> EncodedImage:
        return _encode(draw(shapes_task, int(item.key), image_size, seed), image_format)

    contents = Contents(
        class_names=names,
        items=[Item(f"{index:07d}", index % len(names)) for index in range(count)],
        load=load,
        validation_count=count // 5,
        # The next images of the series, one of each class.
        examples={
            f"{names[index % len(names)]}.{image_format}": load(Item(str(index), 0)).data
            for index in range(count, count + len(names))
        },
        has_files=False,
    )
    identity = {
        "converter": "shapes",
        "task": shapes_task,
        "num_images": count,
        "image_size": image_size,
        "image_format": image_format,
    }
    return Source("shapes", identity, lambda _: contents)


def draw(task: str, index: int, size: int, seed: int) -> np.ndarray:
    """Returns image `index` of a task: uint8 [size, size, 3]. Its class is index modulo the number of classes."""
    names = sorted(SHAPES[task])
    random = np.random.default_rng([seed, TASKS.index(task), index])
    x, y = _grid(size)
    background, colour = _colours(random)
    image = background + random.uniform(-0.12, 0.12) * x[..., None] + random.uniform(-0.12, 0.12) * y[..., None]
    for _ in range(random.integers(0, 3)):
        image = _stroke(image, x, y, size, random)
    scale, angle = random.uniform(0.5, 0.8), random.uniform(-0.5, 0.5)
    reach = 0.9 - scale
    x, y = x - random.uniform(-reach, reach), y - random.uniform(-reach, reach)
    turned_x, turned_y = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    squeeze = random.uniform(0.85, 1.15)
    distance = SHAPES[task][names[index % len(names)]](turned_x * squeeze / scale, turned_y / squeeze / scale)
    image = _paint(image, distance * scale, size, colour)
    image += random.normal(0, random.uniform(0.01, 0.06), image.shape)
    return (image.clip(0, 1) * 255 + 0.5).astype(np.uint8)


@functools.lru_cache
def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of the pixels' centres, -1 to 1: x to the right, y downward."""
    steps = (np.arange(size) + 0.5) * 2 / size - 1
    return np.meshgrid(steps, steps)


def _colours(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A dark colour for the background and a bright one for the shape."""
    return random.uniform(0.05, 0.45, 3), random.uniform(0.6, 0.95, 3)


def _stroke(image: np.ndarray, x: np.ndarray, y: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    angle, distance, width = random.uniform(0, np.pi), random.uniform(-0.9, 0.9), random.uniform(0.01, 0.05)
    return _paint(image, np.abs(_half_plane(x, y, angle, distance)) - width, size, random.uniform(0, 0.5, 3))


def _paint(image: np.ndarray, distance: np.ndarray, size: int, colour: np.ndarray) -> np.ndarray:
    """Covers what is inside; pixels on the outline in part (a pixel is 2 / size wide)."""
    cover = (0.5 - distance * size / 2).clip(0, 1)[..., None]
    return image * (1 - cover) + colour * cover


def _encode(pixels: np.ndarray, image_format: str) -> EncodedImage:
    from PIL import Image

    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    if image_format == "jpg":
        image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    else:
        image.save(buffer, "PNG")
    return EncodedImage(buffer.getvalue(), image_format, *pixels.shape[:2])
