"""The stages that `last:N` counts, for every network of the zoo."""

import json
import pathlib

import pytest

from nets import registry
from nets.stages import stages

GOLDENS = pathlib.Path(__file__).resolve().parents[3] / "shared" / "goldens"
LINEAR = ["Linear/logits/weights", "Linear/logits/biases"]


def names_of(network):
    if network == "linear":
        return LINEAR
    path = GOLDENS / f"{network}.json"
    if not path.exists():
        pytest.skip("no ../shared/goldens beside the project (names of every network's variables)")
    return [variable["name"] for variable in json.loads(path.read_text())["variables"]]


def stages_of(network):
    return stages(names_of(network), registry.get(network).head_scopes)


@pytest.mark.parametrize("network", registry.names())
def test_each_variable_is_in_one_stage_and_the_head_is_the_last(network):
    names = names_of(network)
    found = stages_of(network)
    for name in names:
        holding = [stage for stage, scopes in found if any(name == s or name.startswith(f"{s}/") for s in scopes)]
        assert len(holding) == 1, name
    assert found[-1] == ("head", registry.get(network).head_scopes)
    assert len({stage for stage, _ in found}) == len(found)


# One of each family, counted by hand from the papers' tables: all stages, or how many and the last ones.
RESNET = ["conv1", "block1", "block2", "block3", "block4", "head"]
VGG = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "head"]
EXPECTED = {
    "linear": (1, ["head"]),
    "lenet": (4, ["conv1", "conv2", "fc3", "head"]),
    "cifarnet": (5, ["conv1", "conv2", "fc3", "fc4", "head"]),
    "alexnet_v2": (8, VGG),
    "overfeat": (8, VGG),
    "vgg_16": (8, VGG),
    "resnet_v1_50": (6, RESNET),
    "resnet_v1_101": (6, RESNET),
    "resnet_v2_200": (6, RESNET),
    "inception_v1": (13, ["Mixed_4f", "Mixed_5b", "Mixed_5c", "head"]),
    "inception_v2": (14, ["Mixed_5a", "Mixed_5b", "Mixed_5c", "head"]),
    "inception_v3": (17, ["Mixed_6e", "Mixed_7a", "Mixed_7b", "Mixed_7c", "head"]),
    "inception_v4": (23, ["Mixed_7a", "Mixed_7b", "Mixed_7c", "Mixed_7d", "head"]),
    "inception_resnet_v2": (14, ["Repeat_1", "Mixed_7a", "Repeat_2", "Block8", "Conv2d_7b_1x1", "head"]),
    "i3d": (13, ["Mixed_5b", "Mixed_5c", "head"]),
    "s3dg": (13, ["Mixed_5b", "Mixed_5c", "head"]),
    "mobilenet_v1_025": (15, ["Conv2d_11", "Conv2d_12", "Conv2d_13", "head"]),
    "mobilenet_v2": (20, ["expanded_conv_15", "expanded_conv_16", "Conv_1", "head"]),
    "mobilenet_v3_large": (19, ["expanded_conv_14", "Conv_1", "Conv_2", "head"]),
    "mobilenet_v3_small_minimalistic": (15, ["expanded_conv_10", "Conv_1", "Conv_2", "head"]),
    "mobilenet_edgetpu": (25, ["expanded_conv_21", "Conv_1", "head"]),
    "nasnet_cifar": (22, ["cell_16", "cell_17", "head"]),
    "nasnet_mobile": (18, ["cell_7", "reduction_cell_1", "cell_8", "cell_9", "cell_10", "cell_11", "head"]),
    "pnasnet_mobile": (13, ["cell_5", "cell_6", "cell_7", "cell_8", "head"]),
}


@pytest.mark.parametrize("network", EXPECTED)
def test_stages_are_what_people_count(network):
    found = [stage for stage, _ in stages_of(network)]
    count, last = EXPECTED[network]
    assert len(found) == count
    assert found[-len(last) :] == last


def test_the_auxiliary_head_is_part_of_the_head_wherever_it_is_made():
    names = names_of("inception_v3")
    assert names.index("InceptionV3/AuxLogits/Conv2d_1b_1x1/weights") < len(names) - 2
    assert stages_of("inception_v3")[-1][1] == ("InceptionV3/Logits", "InceptionV3/AuxLogits")


@pytest.mark.parametrize(
    ("network", "stage", "scopes"),
    [
        ("mobilenet_v1", "Conv2d_13", ("MobilenetV1/Conv2d_13_depthwise", "MobilenetV1/Conv2d_13_pointwise")),
        ("resnet_v2_50", "block4", ("resnet_v2_50/block4", "resnet_v2_50/postnorm")),
        ("nasnet_mobile", "conv0", ("conv0", "conv0_bn")),
        ("nasnet_cifar", "l1_stem_3x3", ("l1_stem_3x3", "l1_stem_bn")),
    ],
)
def test_parts_of_one_step_are_one_stage(network, stage, scopes):
    assert dict(stages_of(network))[stage] == scopes


@pytest.mark.parametrize(
    ("names", "heads", "expected"),
    [
        ([], [], []),
        (["Net/conv1/weights", "Net/conv1/biases"], [], ["conv1"]),
        (["Net/a/weights", "Net/b/weights", "Net/l/weights"], [], ["a", "b", "l"]),
        (["Net/a/weights", "Net/b/weights", "Net/l/weights"], ["Net/l"], ["a", "b", "head"]),
        (["Net/a/weights", "Net/a/BatchNorm/beta", "Net/bn/gamma", "Net/b/weights"], [], ["a", "b"]),
        (["Net/scale", "Net/a/weights"], [], ["scale", "a"]),
        (["weights"], [], ["weights"]),
    ],
)
def test_networks_of_ones_own_have_stages(names, heads, expected):
    assert [stage for stage, _ in stages(names, heads)] == expected
