"""MXNet: parameter files byte by byte, and networks whose outputs ours gives as far as they are the same function."""

import struct

import numpy as np
import pytest

from checkpoint_tools.conversion import (
    convert,
    drawn_weights,
    keras_measure,
    mxnet_arrays,
    mxnet_files,
    pairs,
    plain_networks,
    slim_side,
)
from common.errors import UserError

# -- files, written by hand from the format --------------------------------------------------------------------------

V1, V2, V3 = (struct.pack("<I", magic) for magic in (0xF993FAC8, 0xF993FAC9, 0xF993FACA))
DENSE, SPARSE, CPU = (struct.pack("<i", 0), struct.pack("<i", 1), struct.pack("<ii", 1, 0))


def shape(*sizes: int) -> bytes:
    return struct.pack(f"<i{len(sizes)}q", len(sizes), *sizes)


def numbers(kind: str, code: int, *values: float) -> bytes:
    return struct.pack(f"<i{len(values)}{kind}", code, *values)


def file(arrays: list[bytes], names: list[bytes]) -> bytes:
    listed = b"".join(struct.pack("<Q", len(name)) + name for name in names)
    return struct.pack("<QQQ", 0x112, 0, len(arrays)) + b"".join(arrays) + struct.pack("<Q", len(names)) + listed


VECTOR = V2 + DENSE + shape(2) + CPU + numbers("f", 0, 1, 2)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (VECTOR, np.float32([1, 2])),
        (V3 + DENSE + shape(1, 2) + CPU + numbers("f", 0, 1, 2), np.float32([[1, 2]])),
        (V3 + DENSE + shape() + CPU + numbers("f", 0, 5), np.float32(5)),
        (V1 + shape(2, 1) + CPU + numbers("f", 0, 1, 2), np.float32([[1], [2]])),
        (struct.pack("<III", 2, 1, 2) + CPU + numbers("f", 0, 1, 2), np.float32([[1, 2]])),  # their number, no magic
        (V2 + DENSE + shape(2) + struct.pack("<ii", 2, 3) + numbers("d", 1, 1, 2), np.float64([1, 2])),  # from a GPU
        (V2 + DENSE + shape(2) + CPU + numbers("e", 2, 0.5, -2), np.float32([0.5, -2])),
        (V2 + DENSE + shape(3) + CPU + numbers("B", 3, 0, 7, 255), np.uint8([0, 7, 255])),
        (V2 + DENSE + shape(1) + CPU + numbers("i", 4, -3), np.int32([-3])),
        (V2 + DENSE + shape(1) + CPU + numbers("q", 6, 1 << 40), np.int64([1 << 40])),
        (V2 + DENSE + shape(2) + CPU + numbers("H", 12, 0x3FC0, 0xC000), np.float32([1.5, -2])),  # bfloat16
    ],
)
def test_every_version_and_type_of_array_is_read(array, expected):
    found = mxnet_arrays.decode(file([VECTOR, array, VECTOR], [b"a", b"b", b"c"]), "f")
    assert list(found) == ["a", "b", "c"]
    assert found["b"].dtype == expected.dtype
    assert found["b"].shape == expected.shape
    np.testing.assert_array_equal(found["b"], expected)


def test_what_is_written_has_the_bytes_of_the_format():
    assert mxnet_arrays.encode({"arg:a": np.float32([1, 2]), "b": np.float32([1, 2])}) == file(
        [VECTOR, VECTOR], [b"arg:a", b"b"]
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no parameter file of MXNet"),
        (b"<!DOCTYPE html><html>", "is no parameter file of MXNet"),
        (b"\x80\x02}q\x00." * 4, "is no parameter file of MXNet"),
        (file([VECTOR], [b"a"])[:-1], "is cut off"),
        (file([VECTOR], [b"a"])[:40], "is cut off"),
        (file([V2 + SPARSE], [b"a"]), r"array 0 is row sparse: store it dense, by array.tostype\('default'\)"),
        (file([V2 + DENSE + shape(1 << 40, 1 << 20) + CPU + numbers("f", 0, 1)], [b"a"]), "is cut off"),
        (file([V2 + DENSE + shape(2) + CPU + numbers("f", 99, 1, 2)], [b"a"]), "type 99"),
        (file([V2 + DENSE + struct.pack("<i", 77)], [b"a"]), "77 axes"),
        (file([V2 + DENSE + shape(-1) + CPU + numbers("f", 0)], [b"a"]), "damaged"),
        (file([V2 + DENSE + shape()], [b"a"]), "array 0 is empty"),
        (file([VECTOR, VECTOR], []), "2 arrays and 0 names"),
        (file([VECTOR, VECTOR], [b"a", b"a"]), "two arrays of one name"),
        (struct.pack("<QQQ", 0x112, 0, 1 << 60), "it says that it has"),
    ],
)
def test_truncated_foreign_and_sparse_files_are_named_in_one_line(content, words, tmp_path):
    path = tmp_path / "a.params"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words) as raised:
        mxnet_files.read(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(UserError, match="cannot be read: No such file"):
        mxnet_files.read(tmp_path / "a.params")


# -- pairs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", mxnet_files.NETWORKS)
def test_a_pair_names_all_of_our_network(network):
    pair = mxnet_files.pair(network, 7)
    assert [entry.slim for entry in pair.entries] == list(slim_side.prediction_shapes(network, 7))
    assert len({entry.other for entry in pair.entries}) == len(pair.entries)
    assert mxnet_files.pair("inception_v4", 7) is None


def test_inception_v3s_names_are_those_of_the_published_symbol():
    names = {entry.slim: entry.other for entry in mxnet_files.pair("inception_v3", 7).entries}
    for slim, other in {
        "Conv2d_1a_3x3/weights": "conv_conv2d_weight",
        "Conv2d_4a_3x3/BatchNorm/beta": "conv_4_batchnorm_beta",
        "Mixed_5b/Branch_0/Conv2d_0a_1x1/weights": "mixed_conv_conv2d_weight",
        "Mixed_5c/Branch_1/Conv_1_0c_5x5/weights": "mixed_1_tower_conv_1_conv2d_weight",
        "Mixed_6a/Branch_1/Conv2d_1a_1x1/BatchNorm/moving_variance": "mixed_3_tower_conv_2_batchnorm_moving_var",
        "Mixed_6b/Branch_2/Conv2d_0e_1x7/weights": "mixed_4_tower_1_conv_4_conv2d_weight",
        "Mixed_7a/Branch_0/Conv2d_1a_3x3/weights": "mixed_8_tower_conv_1_conv2d_weight",
        "Mixed_7c/Branch_1/Conv2d_0b_1x3/BatchNorm/moving_mean": "mixed_10_tower_mixed_conv_batchnorm_moving_mean",
        "Mixed_7c/Branch_3/Conv2d_0b_1x1/weights": "mixed_10_tower_2_conv_conv2d_weight",
        "Logits/Conv2d_1c_1x1/biases": "fc1_bias",
    }.items():
        assert names[f"InceptionV3/{slim}"] == other


def test_inception_v3_is_mxnets_but_for_the_pools_that_its_notes_name(tmp_path):
    pair = mxnet_files.pair("inception_v3", 10)
    arrays = drawn_weights.draw(plain_networks.shapes_of(pair))
    images = drawn_weights.draw_images(2, 139)
    mxnet_files.write(tmp_path / "a.params", pair, arrays)
    imported = convert.import_weights(tmp_path / "a.params")
    assert (imported.model_name, imported.num_classes, imported.framework) == ("inception_v3", 10, "mxnet")
    assert not imported.exact
    assert "max pool in MXNet" in imported.notes[0]
    ours, _ = keras_measure.slim_outputs("inception_v3", imported.values, images)
    like_slim = plain_networks.outputs(pair, arrays, images, pools_as_slim=True)
    np.testing.assert_allclose(ours, like_slim, rtol=0, atol=1e-4)
    assert np.abs(ours - plain_networks.outputs(pair, arrays, images)).max() > 0.01

    # And back: all that counts, bit for bit, and gammas of one, which MXNet counts them as.
    convert.export_weights(imported.values, "inception_v3", tmp_path / "b.params")
    stored = mxnet_arrays.decode((tmp_path / "b.params").read_bytes(), "b")
    assert {"arg:conv_conv2d_weight", "arg:fc1_bias", "aux:conv_batchnorm_moving_var"} < stored.keys()
    back = mxnet_files.read(tmp_path / "b.params")
    assert back.keys() == arrays.keys()
    for name, array in back.items():
        np.testing.assert_array_equal(array, 1 if name.endswith("gamma") else arrays[name], err_msg=name)


@pytest.mark.slow
def test_vgg_16_gives_the_logits_of_mxnets_in_plain_operations():
    pair = mxnet_files.pair("vgg_16", 10)
    arrays = drawn_weights.draw(plain_networks.shapes_of(pair))
    images = drawn_weights.draw_images(2, 224)
    values = pairs.to_slim(pair, arrays, "vgg16")
    ours, _ = keras_measure.slim_outputs("vgg_16", values, images)
    np.testing.assert_allclose(ours, plain_networks.outputs(pair, arrays, images), rtol=0, atol=1e-4)
    back = pairs.from_slim(pair, values, "x")
    assert all(np.array_equal(back[name], arrays[name]) for name in arrays)


def test_inception_bn_is_refused_with_the_reason(tmp_path):
    names = {"arg:conv_3a_1x1_weight": np.zeros((64, 192, 1, 1)), "arg:bn_4d_proj_gamma": np.zeros(128)}
    (tmp_path / "a.params").write_bytes(mxnet_arrays.encode(names))
    with pytest.raises(UserError, match="another network than inception_v2: its modules 4c and 4d are 608 channels"):
        convert.import_weights(tmp_path / "a.params")
