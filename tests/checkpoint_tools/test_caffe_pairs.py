"""Caffe: model files byte by byte, and networks that give the same outputs as ours."""

import struct

import numpy as np
import pytest

from checkpoint_tools.conversion import (
    caffe_files,
    caffe_proto,
    convert,
    drawn_weights,
    keras_measure,
    pairs,
    plain_networks,
    slim_side,
)
from common.errors import UserError

# -- files, written by hand from the format --------------------------------------------------------------------------


def varint(number: int) -> bytes:
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def field(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def old_blob(num: int, channels: int, height: int, width: int, data: bytes) -> bytes:
    shape = b"".join(field(i, size) for i, size in enumerate((num, channels, height, width), start=1))
    return shape + field(5, data) + field(6, floats(9.0))  # and a gradient, which is left alone


def new_blob(dims: tuple[int, ...], data: bytes, number: int = 5) -> bytes:
    return field(7, field(1, b"".join(map(varint, dims)))) + field(number, data)


def test_the_form_of_the_published_vgg_files_is_read():
    convolution = field(2, b"data") + field(3, b"conv") + field(4, b"conv") + field(5, 4)
    convolution += field(6, old_blob(2, 1, 1, 3, floats(1, 2, 3, 4, 5, 6)))
    convolution += field(6, old_blob(1, 1, 1, 2, floats(7, 8)))
    relu = field(4, b"relu") + field(5, 18)
    matrix = field(4, b"fc") + field(5, 14) + field(6, old_blob(1, 1, 2, 300, floats(*range(600))))
    arrays = caffe_proto.decode(field(1, b"net") + field(2, convolution) + field(2, relu) + field(2, matrix), "f")
    assert {name: array.shape for name, array in arrays.items()} == {
        "conv/0": (2, 1, 1, 3),
        "conv/1": (2,),
        "fc/0": (2, 300),
    }
    np.testing.assert_array_equal(arrays["conv/0"].ravel(), [1, 2, 3, 4, 5, 6])
    np.testing.assert_array_equal(arrays["conv/1"], [7, 8])
    assert arrays["fc/0"][1, 299] == 599


def test_the_form_since_2014_is_read_with_doubles_and_arrays_in_pieces():
    data = new_blob((2, 2), floats(1, 2)) + field(5, floats(3, 4))  # a packed field may come in pieces
    layer = field(1, b"a") + field(2, b"InnerProduct") + field(7, data)
    layer += field(7, new_blob((2,), struct.pack("<2d", 0.5, -2.0), number=8)) + field(10, 1)
    arrays = caffe_proto.decode(field(100, layer), "f")
    np.testing.assert_array_equal(arrays["a/0"], [[1, 2], [3, 4]])
    np.testing.assert_array_equal(arrays["a/1"], [0.5, -2.0])
    assert {array.dtype.name for array in arrays.values()} == {"float32"}


def test_what_is_written_has_the_bytes_of_the_format():
    layer = caffe_proto.Layer("a", "Convolution", [np.float32([[1, 2]]), np.float32([3])])
    blobs = field(7, field(5, floats(1, 2)) + field(7, field(1, b"\x01\x02")))
    blobs += field(7, field(5, floats(3)) + field(7, field(1, b"\x01")))
    expected = field(1, b"net") + field(100, field(1, b"a") + field(2, b"Convolution") + blobs)
    assert caffe_proto.encode("net", [layer]) == expected


_LAYER = field(100, field(1, b"a") + field(2, b"InnerProduct") + field(7, new_blob((2, 2), floats(1, 2, 3, 4))))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no weights"),
        (_LAYER[:-1], "is cut off, or no Caffe model"),
        (b"<!DOCTYPE html><html>", "is cut off, or no Caffe model"),
        (b"\x80\x02}q\x00.", "is cut off, or no Caffe model"),
        (field(1, b"net"), "holds no weights"),
        (_LAYER * 2, "two layers 'a'"),
        (field(100, field(1, b"a") + field(7, new_blob((1 << 40, 1 << 20), floats(1)))), "array 0 of a has 4 bytes"),
        (field(2, field(4, b"a") + field(6, old_blob(3, 1, 1, 1, floats(1)))), r"its shape \(3, 1, 1, 1\) needs 12"),
    ],
)
def test_truncated_and_foreign_files_are_named_in_one_line(content, words, tmp_path):
    path = tmp_path / "a.caffemodel"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words) as raised:
        caffe_files.read(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(UserError, match="cannot be read: No such file"):
        caffe_files.read(tmp_path / "a.caffemodel")


# -- pairs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", caffe_files.NETWORKS)
def test_a_pair_names_all_of_our_network(network):
    pair = caffe_files.pair(network, 7)
    shapes = slim_side.prediction_shapes(network, 7)
    assert [entry.slim for entry in pair.entries] == list(shapes)
    others = {entry.other for entry in pair.entries}
    assert {f"fc{i}/{j}" for i in (6, 7, 8) for j in (0, 1)} < others
    assert ("conv5_3/0" in others) == network.startswith("vgg")
    assert caffe_files.pair("inception_v3", 7) is None
    assert len(caffe_files.pair(network, None).entries) == len(shapes) - 2


def test_the_first_convolution_sees_blue_first_in_caffe():
    first = caffe_files.pair("vgg_16", 7).entries[0]
    kernel = np.arange(64 * 27, dtype=np.float32).reshape(64, 3, 3, 3)
    ours = first.layout.to_slim(kernel)
    np.testing.assert_array_equal(ours[1, 2, :, 5], kernel[5, ::-1, 1, 2])
    np.testing.assert_array_equal(first.layout.from_slim(ours), kernel)


def test_a_grouped_kernel_is_filled_up_with_zeros():
    second = next(e for e in caffe_files.pair("alexnet_v2", 7).entries if e.slim == "alexnet_v2/conv2/weights")
    kernel = np.ones((192, 32, 5, 5), np.float32)  # two groups of the 64 channels
    ours = second.layout.to_slim(kernel)
    assert ours.shape == (5, 5, 64, 192)
    assert ours[..., :32, :96].all()
    assert ours[..., 32:, 96:].all()
    assert ours.sum() == kernel.size
    with pytest.raises(ValueError, match="no kernel over 64 channels"):
        second.layout.to_slim(np.ones((192, 48, 5, 5)))


@pytest.mark.parametrize(
    "network", ["alexnet_v2", *(pytest.param(name, marks=pytest.mark.slow) for name in ("vgg_16", "vgg_19"))]
)
def test_our_network_gives_the_logits_of_caffes_in_plain_operations(network, tmp_path):
    pair = caffe_files.pair(network, 10)
    arrays = drawn_weights.draw(plain_networks.shapes_of(pair))
    if network == "alexnet_v2":
        arrays["conv2/0"] = np.ascontiguousarray(arrays["conv2/0"][:, :32])  # grouped, as in AlexNet
    images = drawn_weights.draw_images(2, 195 if network == "alexnet_v2" else 224)
    theirs = plain_networks.outputs(pair, arrays, images)

    (tmp_path / "a.caffemodel").write_bytes(caffe_proto.encode("net", caffe_proto.layers_of(arrays)))
    imported = convert.import_weights(tmp_path / "a.caffemodel")
    assert (imported.model_name, imported.num_classes, imported.framework) == (network, 10, "caffe")
    ours, _ = keras_measure.slim_outputs(network, imported.values, images)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    assert np.ptp(ours, axis=0).max() > 1e-2

    convert.export_weights(imported.values, network, tmp_path / "b.caffemodel")
    back = caffe_files.read(tmp_path / "b.caffemodel")
    again = pairs.to_slim(pair, back, "b")
    assert all(np.array_equal(again[name], value) for name, value in imported.values.items())
    assert all(np.array_equal(back[name], arrays[name]) for name in arrays if name != "conv2/0")


def test_bvlc_alexnet_is_refused_with_the_reason(tmp_path):
    layer = caffe_proto.Layer("conv1", "Convolution", [np.zeros((96, 3, 11, 11), np.float32), np.zeros(96, np.float32)])
    (tmp_path / "bvlc_alexnet.caffemodel").write_bytes(caffe_proto.encode("AlexNet", [layer]))
    with pytest.raises(UserError, match="another network than alexnet_v2: it has local response normalization"):
        convert.import_weights(tmp_path / "bvlc_alexnet.caffemodel")
