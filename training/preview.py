"""`--preview_augmentation`: a picture sheet of training images as the network will see them."""

import dataclasses
import textwrap
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from common.errors import UserError, tensorflow_reason
from common.files import atomic_path
from datasets import reading, records
from datasets.dataset_factory import Dataset
from preprocessing import batch_ops, encoded, recipes
from preprocessing.core import Op, traced_as_is
from training import inputs
from training.config import TrainConfig
from training.runs import ModelInfo

_ROWS, _DRAWS = 8, 6
_SEARCHED = 2000  # records from the start of the split among which classes are looked for
_CELL = 160  # pixels; small images are enlarged by a whole factor to about that
_GAP, _TEXT = 8, 18
_INK, _FAINT, _PAPER = (20, 20, 20), (110, 110, 110), (255, 255, 255)


@dataclasses.dataclass(frozen=True)
class Example:
    """An image of the split, with its bytes and its classes float32 [K], 1 for each that it has."""

    encoded: bytes
    original: np.ndarray  # uint8 [h, w, 1 or 3]
    classes: np.ndarray


def write(config: TrainConfig, info: ModelInfo, dataset: Dataset) -> None:
    """Writes the sheet to `config.preview_augmentation`.

    A row for each image: the original, then what training makes of it with draws of its own, brought back to pixels
    that can be shown. With mixup or cutmix the images of the sheet are one batch.
    """
    examples = _choose(dataset, info)
    columns = list(_draws(config, info, examples))
    title = [
        f"--augmentation={config.augmentation}" if config.augmentation else "No --augmentation: the recipe's own",
        f"Steps: {config.parsed_augmentation() or _recipe_steps(info)}",
        f"{config.dataset_dir}, split {dataset.split}; {info.preprocessing_name} preprocessing to "
        f"{info.image_size} x {info.image_size} x {info.channels}; seed {config.seed}",
    ]
    _save(_sheet(title, examples, columns, _names(info)), config.preview_augmentation)
    path, split = config.preview_augmentation, dataset.split
    logging.info("Written: %s, %d images of split %r with %d draws each", path, len(examples), split, _DRAWS)


# What is shown.


def _choose(dataset: Dataset, info: ModelInfo) -> list[Example]:
    """The first images of the split, of as many classes as there are near its start."""
    by_class: dict[Any, list[Example]] = {}
    for example in _examples(dataset, info):
        alike = by_class.setdefault(tuple(np.flatnonzero(example.classes)), [])
        if len(alike) < _ROWS:
            alike.append(example)
        if sum(map(len, by_class.values())) >= _ROWS and len(by_class) >= min(_ROWS, info.num_classes):
            break
    in_turn = [group[k] for k in range(_ROWS) for _, group in sorted(by_class.items()) if k < len(group)]
    if not in_turn:
        raise UserError(f"split {dataset.split!r} has no image that can be read: nothing to preview")
    return in_turn[:_ROWS]


def _examples(dataset: Dataset, info: ModelInfo) -> Iterator[Example]:
    for _, record in reading.records_in_order(reading.share(dataset), tolerant=True).take(_SEARCHED):
        try:
            parsed = records.parse(record, dataset.default_format, dataset.multi_label)
            original = encoded.decode(parsed["encoded"], info.channels).numpy()
        except (tf.errors.OpError, UnicodeDecodeError):  # training says so, too
            continue
        labels = parsed["labels"] if dataset.multi_label else parsed["label"][tf.newaxis]
        rows = tf.one_hot(labels - info.labels_offset, info.num_classes)
        yield Example(parsed["encoded"].numpy(), original, np.minimum(tf.reduce_sum(rows, 0).numpy(), 1.0))


def _draws(config: TrainConfig, info: ModelInfo, examples: list[Example]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each draw of all examples: uint8 [N, size, size, channels], and the classes' shares float32 [N, K]."""
    augmentation = config.parsed_augmentation()
    preprocess = inputs.preprocess_fn(info.preprocessing_name, info.image_size, info.channels, True, augmentation)
    mixing = augmentation.stage("batch") if augmentation else ()
    labels = tf.constant(np.stack([example.classes for example in examples]))
    normalize = recipes.get(info.preprocessing_name).normalize
    data = tf.data.Dataset.from_tensor_slices([example.encoded for example in examples]).repeat(_DRAWS).enumerate()

    @traced_as_is
    def draw(place: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
        return preprocess(image, tf.stack([tf.constant(config.seed, tf.int64), place]))

    try:
        for number, batch in enumerate(data.map(draw).batch(len(examples))):
            mixed, shares = batch_ops.mix(mixing, batch, labels, info.num_classes, tf.constant([config.seed, number]))
            yield displayable(mixed.numpy(), normalize), shares.numpy()
    except tf.errors.OpError as error:  # an image that is too small, above all
        raise UserError(f"--preview_augmentation: an image cannot be shown: {tensorflow_reason(error)}") from error


def displayable(images: np.ndarray, normalize: Op) -> np.ndarray:
    """Takes a recipe's normalization back.

    Args:
        images: float32 [N, h, w, c], normalized.
        normalize: how. Where each image was brought to mean 0 and variance 1, its own are lost, and it is shown around
            medium gray.

    Returns:
        uint8 [N, h, w, c].
    """
    arguments = normalize.arguments
    if normalize.name == "scale_and_shift":
        pixels = (images - arguments["shift"]) / arguments["scale"]
    elif normalize.name == "subtract_means":
        means = np.array(arguments["means"])
        pixels = images + (means if images.shape[-1] == 3 else means.mean())
    else:
        pixels = images * 55.0 + 127.5
    return np.clip(np.round(pixels), 0, 255).astype(np.uint8)


def _recipe_steps(info: ModelInfo) -> str:
    ops = recipes.get(info.preprocessing_name).ops(info.image_size, info.image_size, is_training=True)
    return ", ".join(op.name for op in ops)


def _names(info: ModelInfo) -> tuple[str, ...]:
    return info.labels or tuple(f"class {k}" for k in range(info.num_classes))


def caption(shares: np.ndarray, names: tuple[str, ...]) -> str:
    """Says the classes of an image [K] with their shares, `roses 0.71, tulips 0.29`; without, where all are whole."""
    there = [k for k in np.argsort(-shares, kind="stable") if shares[k] >= 0.005]
    if not there:
        return "(none of the classes)"
    if all(shares[k] > 0.995 for k in there):
        return ", ".join(names[k] for k in there)
    return ", ".join(f"{names[k]} {shares[k]:.2f}" for k in there)


# How it is drawn.


def _sheet(title: list[str], examples: list[Example], columns: list[tuple[np.ndarray, np.ndarray]], names: Any) -> Any:
    """The sheet as a PIL image."""
    from PIL import Image, ImageDraw, ImageFont

    font, small = ImageFont.load_default(14), ImageFont.load_default(12)
    side = columns[0][0].shape[1]
    cell = side * max(1, round(_CELL / side)) if side < _CELL else _CELL
    width = _GAP + (len(columns) + 1) * (cell + _GAP)
    lines = [part for line in title for part in textwrap.wrap(line, width // 7)]
    top = _GAP + _TEXT * len(lines) + _TEXT + _GAP
    sheet = Image.new("RGB", (width, top + len(examples) * (cell + _TEXT + _GAP)), _PAPER)
    draw = ImageDraw.Draw(sheet)

    def fitted(text: str, room: int) -> str:
        while draw.textlength(text, small) > room:
            text = text[: -2 if text.endswith("…") else -1].rstrip() + "…"
        return text

    for number, line in enumerate(lines):
        draw.text((_GAP, _GAP + _TEXT * number), line, _INK, font)
    for number, head in enumerate(["original", *(f"draw {k + 1}" for k in range(len(columns)))]):
        draw.text((_GAP + number * (cell + _GAP), top - _TEXT - _GAP // 2), head, _FAINT, small)
    for row, example in enumerate(examples):
        y = top + row * (cell + _TEXT + _GAP)
        cells = [(_image(example.original), example.classes)]
        cells += [(_image(pixels[row]), shares[row]) for pixels, shares in columns]
        for number, (image, shares) in enumerate(cells):
            x = _GAP + number * (cell + _GAP)
            shown = _enlarged(image, cell)
            sheet.paste(shown, (x + (cell - shown.width) // 2, y + (cell - shown.height) // 2))
            draw.text((x, y + cell + 1), fitted(caption(shares, names), cell), _FAINT if number else _INK, small)
    return sheet


def _image(pixels: np.ndarray) -> Any:
    from PIL import Image

    return Image.fromarray(pixels if pixels.shape[-1] == 3 else pixels[..., 0]).convert("RGB")


def _enlarged(image: Any, cell: int) -> Any:
    """The image with its longer side `cell`; pixels stay squares where it is enlarged a lot."""
    from PIL import Image

    scale = cell / max(image.size)
    size = [max(1, round(side * scale)) for side in image.size]
    return image.resize(size, Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS)


def _save(sheet: Any, path: str) -> None:
    try:
        with atomic_path(path) as temporary:
            sheet.save(temporary, "PNG")
    except OSError as error:
        raise UserError(f"--preview_augmentation={path} cannot be written: {error.strerror or error}") from None
