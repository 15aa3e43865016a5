"""The records of a data set: `tf.train.Example` protos with Slim's features. The only place that knows their keys."""

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

ENCODED = "image/encoded"
FORMAT = "image/format"
LABEL = "image/class/label"
LABELS = "image/class/labels"  # all classes of an image that may have several, or none; ours
LABEL_TEXT = "image/class/text"
COARSE_LABEL = "image/class/coarse_label"  # of CIFAR-100; ours
SYNSET = "image/class/synset"
HEIGHT = "image/height"
WIDTH = "image/width"
COLORSPACE = "image/colorspace"
CHANNELS = "image/channels"
FILENAME = "image/filename"
SOURCE_ID = "image/source_id"
SHA256 = "image/key/sha256"
AREA = "image/object/area"
BOX_SIDES = tuple(f"image/object/bbox/{side}" for side in ("ymin", "xmin", "ymax", "xmax"))
# Slim's ImageNet builder wrote the second, its reader looked for the first: both are read.
OBJECT_LABELS = ("image/object/class/label", "image/object/bbox/label")

NO_LABEL = -1  # of a record that has none, and of one that is not of the classes trained


def int64_feature(values: int | Sequence[int]) -> tf.train.Feature:
    """Returns an int64 feature of one value or a list."""
    values = values if isinstance(values, (list, tuple)) else [values]
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def float_feature(values: float | Sequence[float]) -> tf.train.Feature:
    """Returns a float feature of one value or a list."""
    values = values if isinstance(values, (list, tuple)) else [values]
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def bytes_feature(values: bytes | Sequence[bytes]) -> tf.train.Feature:
    """Returns a bytes feature of one value or a list."""
    values = values if isinstance(values, (list, tuple)) else [values]
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def example(
    encoded: bytes,
    image_format: bytes | str,
    height: int,
    width: int,
    label: int,
    extra: Mapping[str, tf.train.Feature] | None = None,
) -> tf.train.Example:
    """Returns Slim's five features of an image, and `extra` ones where a data set has more.

    Args:
        encoded: the image file's bytes.
        image_format: `jpg` or `png`; `raw` for bare pixels.
        height, width: in pixels.
        label: class, from 0.
        extra: further features by key.
    """
    image_format = image_format.encode() if isinstance(image_format, str) else image_format
    made = tf.train.Example()
    feature = made.features.feature
    # Filled in place: four times as fast as messages made one inside the other, for every image of a conversion.
    for key, text in ((ENCODED, encoded), (FORMAT, image_format)):
        feature[key].bytes_list.value.append(text)
    for key, number in ((LABEL, label), (HEIGHT, height), (WIDTH, width)):
        feature[key].int64_list.value.append(number)
    for key, value in (extra or {}).items():
        feature[key].CopyFrom(value)
    return made


def encode(
    encoded: bytes,
    image_format: bytes | str,
    height: int,
    width: int,
    label: int,
    extra: Mapping[str, tf.train.Feature] | None = None,
) -> bytes:
    """Returns the serialized `example`; the same arguments give the same bytes."""
    # Maps have no order in a serialized proto unless it is asked for.
    return example(encoded, image_format, height, width, label, extra).SerializeToString(deterministic=True)


def encode_item(item: Any, image: Any) -> bytes:
    """Returns the serialized record of a converter's `sources.Item` and its `images.EncodedImage`."""
    extra = dict(image.extra or {})
    if item.labels is not None:
        extra[LABELS] = int64_feature(item.labels)
    return encode(image.data, image.format, image.height, image.width, item.label, extra)


def box_features(boxes: Sequence[Sequence[float]]) -> dict[str, tf.train.Feature]:
    """Returns the features of bounding boxes (ymin, xmin, ymax, xmax, each of 0 to 1); empty ones for no box."""
    return {side: float_feature([box[k] for box in boxes]) for k, side in enumerate(BOX_SIDES)}


def parse(serialized: tf.Tensor, default_format: str = "jpeg", multi_label: bool = False) -> dict[str, tf.Tensor]:
    """Parses one record; runs in the input pipeline.

    Args:
        serialized: scalar string.
        default_format: format of a record that does not say it. Slim's mnist reader took `raw`.
        multi_label: whether a record may have several classes or none.

    Returns:
        `encoded`: scalar string, the bytes of an image file (raw pixels become a PNG here, so that what leaves is
        always an encoded image); `format`: scalar string as stored; `label`: scalar int64, `NO_LABEL` where there is
        none; `labels`: int64 [classes of the image], with `multi_label`.
    """
    wanted = {
        ENCODED: tf.io.FixedLenFeature([], tf.string, ""),
        FORMAT: tf.io.FixedLenFeature([], tf.string, default_format),
        HEIGHT: tf.io.FixedLenFeature([], tf.int64, 0),
        WIDTH: tf.io.FixedLenFeature([], tf.int64, 0),
    }
    features = tf.io.parse_single_example(serialized, wanted | _label_features(multi_label))
    encoded = tf.cond(
        tf.equal(tf.strings.lower(features[FORMAT]), "raw"),
        lambda: _raw_to_png(features[ENCODED], features[HEIGHT], features[WIDTH]),
        lambda: features[ENCODED],
    )
    labels = {"labels": features[LABELS]} if multi_label else {}
    return {"encoded": encoded, "format": features[FORMAT], "label": features[LABEL], **labels}


def parse_classes(serialized: tf.Tensor, multi_label: bool = False) -> tf.Tensor:
    """Returns the classes alone of one record: int64 [1], or [classes of the image] with `multi_label`."""
    features = tf.io.parse_single_example(serialized, _label_features(multi_label))
    return features[LABELS] if multi_label else features[LABEL][tf.newaxis]


def _label_features(multi_label: bool) -> dict[str, Any]:
    label = {LABEL: tf.io.FixedLenFeature([], tf.int64, NO_LABEL)}
    several = {LABELS: tf.io.FixedLenSequenceFeature([], tf.int64, allow_missing=True)}
    return label | several if multi_label else label


def _raw_to_png(raw: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    pixels = tf.io.decode_raw(raw, tf.uint8)
    # Encoding an image of no pixels would end the process.
    has_pixels = tf.logical_and(tf.size(pixels) > 0, tf.logical_and(height > 0, width > 0))
    with tf.control_dependencies([tf.debugging.Assert(has_pixels, ["raw pixels without bytes, height or width"])]):
        return tf.io.encode_png(tf.reshape(pixels, tf.stack([height, width, -1])))


class Decoder:
    """Slim's decoder: from a serialized record to its items.

    Args:
        channels: of the decoded image, 1 or 3.
        image_shape: shape the image is set to, where all images of a data set have the same.
        items: names of the items that the data set's records have; of `image`, `label`, `label_text`, `object/bbox`
            (float32 [boxes, 4]: ymin, xmin, ymax, xmax, each of 0 to 1), `object/label` (int64 [boxes]).
        default_format: as in `parse`.
    """

    def __init__(
        self,
        channels: int = 3,
        image_shape: Sequence[int] | None = None,
        items: Sequence[str] = ("image", "label"),
        default_format: str = "jpeg",
    ):
        self._channels = channels
        self._image_shape = image_shape
        self._items = tuple(items)
        self._default_format = default_format

    def list_items(self) -> list[str]:
        """Returns the names of the items."""
        return list(self._items)

    def decode(self, serialized_example: tf.Tensor, items: Sequence[str] | None = None) -> list[tf.Tensor]:
        """Returns the tensors of `items` (all by default), in that order.

        Raises:
            ValueError: an item that the data set does not have.
        """
        unknown = set(items or ()) - set(self._items)
        if unknown:
            raise ValueError(f"no item {sorted(unknown)}; there are {list(self._items)}")
        parsed = parse(serialized_example, self._default_format)
        return [self._item(name, parsed, serialized_example) for name in items or self._items]

    def _item(self, name: str, parsed: Mapping[str, tf.Tensor], serialized: tf.Tensor) -> Any:
        if name == "image":
            image = tf.io.decode_image(parsed["encoded"], channels=self._channels, expand_animations=False)
            return image if self._image_shape is None else tf.reshape(image, self._image_shape)
        if name == "label":
            return parsed["label"]
        if name == "label_text":
            return _scalar(serialized, LABEL_TEXT, tf.string, "")
        if name == "object/bbox":
            return tf.stack([_list(serialized, side, tf.float32) for side in BOX_SIDES], axis=-1)
        return tf.concat([_list(serialized, key, tf.int64) for key in OBJECT_LABELS], axis=0)


def _scalar(serialized: tf.Tensor, key: str, dtype: tf.DType, default: Any) -> tf.Tensor:
    return tf.io.parse_single_example(serialized, {key: tf.io.FixedLenFeature([], dtype, default)})[key]


def _list(serialized: tf.Tensor, key: str, dtype: tf.DType) -> tf.Tensor:
    spec = tf.io.FixedLenSequenceFeature([], dtype, allow_missing=True)
    return tf.io.parse_single_example(serialized, {key: spec})[key]
