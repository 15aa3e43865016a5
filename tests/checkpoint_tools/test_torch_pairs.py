"""timm and torchvision: their networks and ours give the same outputs for the same weights, in files and back."""

import importlib.util
import pathlib

import numpy as np
import pytest

from checkpoint_tools.conversion import (
    convert,
    drawn_weights,
    keras_measure,
    pairs,
    slim_side,
    torch_files,
    torch_measure,
)
from common.errors import UserError

_SPEC = importlib.util.spec_from_file_location(
    "make_torch_facts", pathlib.Path(__file__).with_name("make_torch_facts.py")
)
facts_program = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(facts_program)

FACTS = facts_program.load()
# More than about ten seconds: hundreds of variables, or a hundred million weights.
_SLOW = ("timm/nasnetalarge", "timm/pnasnet5large", "timm/inception_resnet_v2", "timm/inception_v4")
_SLOW += tuple(f"{library}/vgg{depth}" for library in ("torchvision", "timm") for depth in (11, 16, 19))
KEYS = [pytest.param(key, marks=pytest.mark.slow) if key in _SLOW else key for key in FACTS]
INEXACT = {"timm/inception_v3", "timm/nasnetalarge", "timm/tf_mobilenetv3_large_100", "timm/tf_mobilenetv3_small_100"}


def weights_of(key: str) -> dict[str, np.ndarray]:
    facts = FACTS[key]
    return drawn_weights.draw(facts["shapes"], torch_measure.GAINS.get(facts["network"], 1.0))


def pair_of(key: str) -> pairs.Pair:
    return torch_files.pair(FACTS[key]["network"], 10, FACTS[key]["shapes"])


def our_logits(key: str, values) -> np.ndarray:
    network = FACTS[key]["network"]
    images = drawn_weights.draw_images(facts_program.IMAGES, facts_program.image_size(network))
    return keras_measure.slim_outputs(network, values, images)[0]


def assert_close(ours: np.ndarray, theirs) -> None:
    """Within 1e-4, or float32's rounding of larger numbers."""
    scale = max(1.0, np.abs(theirs).max() / 10)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * scale)


def test_every_pair_has_facts():
    models = {f"{model.framework}/{model.name}" for models in torch_files.MODELS.values() for model in models}
    assert models == FACTS.keys(), "run: python tests/checkpoint_tools/make_torch_facts.py"
    assert {f"{pair.framework}/{pair.other}" for pair in torch_files.pairs(10)} == models


@pytest.mark.parametrize("key", FACTS)
def test_a_pair_names_all_of_a_state_dict_and_all_of_our_network(key):
    pair, shapes = pair_of(key), FACTS[key]["shapes"]
    assert f"{pair.framework}/{pair.other}" == key
    named = [entry.other for entry in pair.entries] + [factor.other for factor in pair.factors]
    assert len(set(named)) == len(named)
    assert set(named) | pair.optional == shapes.keys()
    ours = slim_side.prediction_shapes(pair.network, 10)
    empty = {name: np.broadcast_to(np.float32(1), shape) for name, shape in shapes.items()}
    assert {e.slim: e.layout.to_slim(empty[e.other]).shape for e in pair.entries} == ours


@pytest.mark.parametrize("key", KEYS)
def test_our_network_gives_their_logits(key):
    values = pairs.to_slim(pair_of(key), weights_of(key), key)
    ours, facts = our_logits(key, values), FACTS[key]
    assert_close(ours, facts["like_slim"])
    assert np.ptp(ours, axis=0).max() > 1e-3  # they depend on the image
    difference = np.abs(ours - facts["logits"]).max()
    if key in INEXACT:
        assert not pair_of(key).exact
        assert difference > 3 * np.abs(ours - facts["like_slim"]).max()  # what the notes name is all the difference
    else:
        assert pair_of(key).exact
        assert_close(ours, facts["logits"])


@pytest.mark.parametrize("key", ["timm/tf_mobilenetv3_small_minimal_100", "timm/tf_mobilenetv3_small_100"])
def test_a_file_goes_to_slim_and_back_bit_for_bit(key, tmp_path):
    pytest.importorskip("safetensors", reason="reads and writes safetensors: pip install -e '.[convert]'")
    pair, weights = pair_of(key), weights_of(key)
    torch_files.write(tmp_path / "a.safetensors", pair, weights)
    imported = convert.import_weights(tmp_path / "a.safetensors")
    assert (imported.model_name, imported.num_classes, imported.framework) == (FACTS[key]["network"], 10, "timm")
    convert.export_weights(imported.values, imported.model_name, tmp_path / "b.safetensors")
    back = torch_files.read(tmp_path / "b.safetensors")
    assert {name: back[name].tobytes() for name in back} == {
        name: value.tobytes() for name, value in weights.items() if name not in pair.optional
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "b.safetensors"]


def test_a_batch_norms_weight_goes_into_the_convolution_and_comes_back_as_one():
    # (2 x - 3) 4 / sqrt(v) = (8 x - 12) / sqrt(v)
    pair = pairs.Pair(
        network="n",
        framework="timm",
        other="o",
        entries=(
            pairs.Entry("c/weights", "c.conv.weight", pairs.CONV_OIHW),
            pairs.Entry("c/BatchNorm/beta", "c.bn.bias"),
            pairs.Entry("c/BatchNorm/moving_mean", "c.bn.running_mean"),
        ),
        preprocessing="",
        factors=(pairs.Factor("c.bn.weight", "c.bn.bias", torch_files._scaled("c.bn.bias")),),
    )
    arrays = {
        "c.conv.weight": np.full((1, 1, 1, 1), 2.0, np.float32),
        "c.bn.bias": np.full(1, 7, np.float32),
        "c.bn.running_mean": np.full(1, 3, np.float32),
    }
    for weight, expected in ((None, (2, 7, 3)), (1, (2, 7, 3)), (4, (8, 7, 12)), (0, (0, 7, 0)), (-1, (-2, 7, -3))):
        given = arrays if weight is None else arrays | {"c.bn.weight": np.full(1, weight, np.float32)}
        values = pairs.to_slim(pair, given, "f")
        assert tuple(float(value.item()) for value in values.values()) == expected
        assert pairs.from_slim(pair, values, "c")["c.bn.weight"] == 1


def test_torchvisions_flat_layer_reads_the_map_channel_by_channel():
    fc6 = next(e for e in torch_files.pair("vgg_a", 3).entries if e.slim == "vgg_a/fc6/weights")
    flat = np.arange(2 * 512 * 49).reshape(2, -1)
    kernel = fc6.layout.to_slim(flat)
    assert kernel.shape == (7, 7, 512, 2)
    assert kernel[3, 5, 100, 1] == flat[1, 100 * 49 + 3 * 7 + 5]
    np.testing.assert_array_equal(fc6.layout.from_slim(kernel), flat)


def test_names_in_a_file_tell_timms_vgg_from_torchvisions_and_an_auxiliary_classifier():
    assert torch_files.pair("vgg_16", 5).framework == "torchvision"
    assert torch_files.pair("vgg_16", 5, {"head.fc.weight"}).framework == "timm"
    assert torch_files.pair("resnet_v1_50", 5) is None
    plain, auxiliary = (torch_files.pair("inception_v3", 5, names) for names in ((), {"AuxLogits.fc.weight"}))
    assert {e.slim for e in auxiliary.entries} - {e.slim for e in plain.entries} == set(
        slim_side.auxiliary_shapes("inception_v3", 5)
    )
    names = {e.slim: e.other for e in auxiliary.entries}
    assert names["InceptionV3/AuxLogits/Conv2d_2a_5x5/weights"] == "AuxLogits.conv1.conv.weight"
    assert names["InceptionV3/AuxLogits/Conv2d_2b_1x1/biases"] == "AuxLogits.fc.bias"


# -- files -----------------------------------------------------------------------------------------------------------


def test_numbers_of_16_bits_are_read_exactly(tmp_path):
    numpy_files = pytest.importorskip("safetensors.numpy", reason="pip install -e '.[convert]'")
    import ml_dtypes

    exact = np.array([[1.5, -0.15625, 384.0]], np.float32)
    arrays = {"b": exact.astype(ml_dtypes.bfloat16), "h": exact.astype(np.float16), "i": np.arange(2), "f": exact}
    numpy_files.save_file(arrays, tmp_path / "a.safetensors")
    found = torch_files.read(tmp_path / "a.safetensors")
    assert {name: array.dtype.name for name, array in found.items()} == {
        "b": "float32",
        "h": "float32",
        "i": "int64",
        "f": "float32",
    }
    for name in "bhf":
        np.testing.assert_array_equal(found[name], exact)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is cut off, or no safetensors file: header too small"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{", "is cut off, or no safetensors file: invalid header length"),
        (b"<!DOCTYPE html>" * 9, "is cut off, or no safetensors file: header too large"),
        (b'\x42\0\0\0\0\0\0\0{"a":{"dtype":"F32","shape":[1000000],"data_offsets":[0,4000000]}}', "not fully covered"),
        (b"PK\x03\x04" + b"\0" * 26 + b"archive/data.pkl", "is a Python pickle"),
        (b"\x80\x02}q\x00.", "is a Python pickle"),
    ],
)
def test_a_truncated_or_foreign_file_is_named_in_one_line(content, words, tmp_path):
    pytest.importorskip("safetensors", reason="pip install -e '.[convert]'")
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words) as raised:
        torch_files.read(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    pytest.importorskip("safetensors", reason="pip install -e '.[convert]'")
    with pytest.raises(UserError, match="is not there"):
        torch_files.read(tmp_path / "a.safetensors")


@pytest.mark.parametrize("name", ["net.pth", "net.PT", "pytorch_model.bin", "net.pth.tar", "net.pkl"])
def test_a_pickle_is_refused_with_the_lines_that_make_a_safetensors_file(name, tmp_path):
    with pytest.raises(UserError) as raised:
        convert.import_weights(tmp_path / name)
    message = str(raised.value)
    assert "is a Python pickle" in message
    assert "weights_only=True" in message
    stem = name.partition(".")[0]
    assert f"'{tmp_path / stem}.safetensors'" in message


def test_a_file_of_another_network_is_told(tmp_path):
    pytest.importorskip("safetensors", reason="pip install -e '.[convert]'")
    key = "timm/tf_mobilenetv3_small_100"
    torch_files.write(tmp_path / "a.safetensors", pair_of(key), weights_of(key))
    with pytest.raises(UserError, match="give --model_name=mobilenet_v3_small"):
        convert.import_weights(tmp_path / "a.safetensors", "inception_v4")
    with pytest.raises(UserError, match="alexnet is another network than alexnet_v2"):
        convert.import_weights(tmp_path / "a.safetensors", "alexnet_v2")


# -- with PyTorch ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.filterwarnings("ignore")  # those of PyTorch's own libraries
def test_with_pytorch_both_sides_agree_and_what_we_write_loads(key, tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed: the stored logits stand for it")
    for library in ("timm", "torchvision"):
        pytest.importorskip(library, reason=f"{library} is not installed: the stored logits stand for it")
    torch_safetensors = pytest.importorskip("safetensors.torch", reason="pip install -e '.[convert]'")
    framework, _, name = key.partition("/")
    model, facts = torch_measure.build(framework, name), FACTS[key]
    weights, pair = weights_of(key), pair_of(key)
    torch_measure.load(model, weights)
    images = drawn_weights.draw_images(facts_program.IMAGES, facts_program.image_size(facts["network"]))
    np.testing.assert_allclose(torch_measure.outputs(model, images), facts["logits"], rtol=1e-4, atol=1e-4)

    torch_safetensors.save_file(model.state_dict(), tmp_path / "theirs.safetensors")
    imported = convert.import_weights(tmp_path / "theirs.safetensors")
    assert (imported.model_name, imported.framework) == (facts["network"], framework)
    ours = our_logits(key, imported.values)
    with facts_program.like_slim(model):
        assert_close(ours, torch_measure.outputs(model, images))

    torch_files.write(tmp_path / "ours.safetensors", pair, pairs.from_slim(pair, imported.values, "ours"))
    again = torch_measure.build(framework, name)
    again.load_state_dict(torch_safetensors.load_file(tmp_path / "ours.safetensors"), strict=True)
    with facts_program.like_slim(again):
        assert_close(ours, torch_measure.outputs(again, images))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_with_pytorch_inception_v3_brings_its_auxiliary_classifier():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("timm", reason="timm is not installed")
    from nets.network import Network

    model = torch_measure.build("timm", "inception_v3", aux_logits=True)
    shapes = torch_measure.state_shapes(model)
    weights = drawn_weights.draw(shapes)
    torch_measure.load(model, weights)
    values = pairs.to_slim(torch_files.pair("inception_v3", 10, shapes), weights, "timm")
    images = drawn_weights.draw_images(1, 299)
    ours = Network("inception_v3", 10)
    ours.initialize(values)
    _, end_points = ours(images)
    with facts_program.like_slim(model), torch.no_grad():
        model.AuxLogits.eval()
        net = model.forward_preaux(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
        assert_close(end_points["AuxLogits"].numpy(), model.AuxLogits(net).numpy())
