import numpy as np
import pytest
import tensorflow as tf

from datasets import dataset_utils, records


def features(**more):
    base = {records.ENCODED: records.bytes_feature(b"x"), records.LABEL: records.int64_feature(4)}
    proto = tf.train.Example(features=tf.train.Features(feature={**base, **more}))
    return proto.SerializeToString()


def test_an_example_has_slims_five_features_and_no_other():
    proto = dataset_utils.image_to_tfexample(b"data", b"jpg", 20, 30, 7)
    found = {key: feature.WhichOneof("kind") for key, feature in proto.features.feature.items()}
    assert found == {
        "image/encoded": "bytes_list",
        "image/format": "bytes_list",
        "image/class/label": "int64_list",
        "image/height": "int64_list",
        "image/width": "int64_list",
    }
    values = proto.features.feature
    assert values["image/encoded"].bytes_list.value == [b"data"]
    assert values["image/format"].bytes_list.value == [b"jpg"]
    assert [values[f"image/{key}"].int64_list.value[0] for key in ("class/label", "height", "width")] == [7, 20, 30]


def test_same_example_same_bytes():
    assert len({records.encode(b"data", "jpg", 20, 30, 7) for _ in range(20)}) == 1
    proto = dataset_utils.image_to_tfexample(b"data", b"jpg", 20, 30, 7)
    assert records.encode(b"data", "jpg", 20, 30, 7) == proto.SerializeToString(deterministic=True)


@pytest.mark.parametrize("in_graph", [False, True])
def test_what_is_encoded_is_parsed(in_graph):
    parse = tf.function(records.parse) if in_graph else records.parse
    parsed = parse(tf.constant(records.encode(b"data", "jpg", 20, 30, 7)))
    assert {key: value.numpy() for key, value in parsed.items()} == {"encoded": b"data", "format": b"jpg", "label": 7}


def test_a_record_without_label_has_none():
    proto = tf.train.Example(features=tf.train.Features(feature={records.ENCODED: records.bytes_feature(b"x")}))
    assert records.parse(tf.constant(proto.SerializeToString()))["label"].numpy() == records.NO_LABEL


@pytest.mark.parametrize(("image_format", "default"), [("raw", "jpeg"), ("RAW", "jpeg"), (None, "raw")])
def test_raw_pixels_leave_as_an_encoded_image(image_format, default):
    pixels = np.arange(6 * 5, dtype=np.uint8).reshape(6, 5, 1)
    more = {records.FORMAT: records.bytes_feature(image_format.encode())} if image_format else {}
    more |= {records.HEIGHT: records.int64_feature(6), records.WIDTH: records.int64_feature(5)}
    serialized = features(**more, **{records.ENCODED: records.bytes_feature(pixels.tobytes())})
    parsed = records.parse(tf.constant(serialized), default)
    np.testing.assert_array_equal(tf.io.decode_image(parsed["encoded"]), pixels)


@pytest.mark.parametrize(("data", "height", "width"), [(b"", 0, 0), (b"", 2, 3), (bytes(6), 0, 3), (bytes(6), 0, 0)])
def test_raw_pixels_that_are_none_are_an_error(data, height, width):
    """TensorFlow's encoder would end the process."""
    with pytest.raises(tf.errors.InvalidArgumentError, match="raw pixels without bytes, height or width"):
        records.parse(tf.constant(records.encode(data, "raw", height, width, 1)))


def test_features_take_one_value_or_a_list():
    assert records.int64_feature(3).int64_list.value == [3]
    assert records.int64_feature([3, 4]).int64_list.value == [3, 4]
    assert records.float_feature(0.5).float_list.value == [0.5]
    assert dataset_utils.float_list_feature([0.5, 2]).float_list.value == [0.5, 2]
    assert records.bytes_feature(b"a").bytes_list.value == [b"a"]
    assert dataset_utils.bytes_list_feature([b"a", b"b"]).bytes_list.value == [b"a", b"b"]


def test_decoder_gives_slims_items(encoded, pixels):
    decoder = records.Decoder(3, None, ("image", "label", "label_text", "object/bbox", "object/label"))
    assert decoder.list_items() == ["image", "label", "label_text", "object/bbox", "object/label"]
    boxes = {side: records.float_feature([k / 10, k / 5]) for k, side in enumerate(records.BOX_SIDES)}
    for key in records.OBJECT_LABELS:  # Slim wrote one and read the other
        more = {records.LABEL_TEXT: records.bytes_feature(b"tench"), key: records.int64_feature([4, 4])}
        serialized = tf.constant(
            features(**{records.ENCODED: records.bytes_feature(encoded(1, "PNG"))}, **boxes, **more)
        )
        image, label, text, bbox, objects = decoder.decode(serialized)
        np.testing.assert_array_equal(image, pixels(1))
        assert (label.numpy(), text.numpy(), objects.numpy().tolist()) == (4, b"tench", [4, 4])
        np.testing.assert_allclose(bbox, [[0, 0.1, 0.2, 0.3], [0, 0.2, 0.4, 0.6]])
    (label,) = decoder.decode(serialized, ["label"])
    assert label.numpy() == 4
    with pytest.raises(ValueError, match=r"no item \['mask'\]; there are \['image', 'label'"):
        decoder.decode(serialized, ["label", "mask"])


def test_decoder_sets_a_known_shape(encoded):
    serialized = tf.constant(records.encode(encoded(1, "PNG"), "png", 18, 24, 0))
    (image,) = records.Decoder(1, (18, 24, 1)).decode(serialized, ["image"])
    assert image.shape == (18, 24, 1)
