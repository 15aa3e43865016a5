"""How timm and torchvision call the layers that Slim calls by scopes."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from checkpoint_tools.conversion.layer_names import (
    BATCH_NORM,
    Module,
    Rules,
    by_rules,
    convolution_of,
    inception_layers,
)

_VARIABLES = {
    "weights": "weight",
    "biases": "bias",
    "depthwise_weights": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


class Family(NamedTuple):
    """The names of a family of networks."""

    rules: Rules  # a Slim scope -> the module that holds its variables; for Inception the module around both
    modules: Sequence[Module] | None = None  # of Inception
    dense: tuple[str, ...] = ()  # Slim scopes of convolutions that are fully connected layers here
    variables: Mapping[str, str] = _VARIABLES


def variable_names(family: Family, names: Sequence[str]) -> dict[str, str]:
    """Slim name -> name in the state dict, for the variables of a network in the order in which it makes them."""
    if family.modules is None:
        layers = {name: by_rules(family.rules, name.rpartition("/")[0]) for name in names}
    else:
        layers = _inception(family, names)
    return {name: f"{layer}.{family.variables[name.rpartition('/')[2]]}" for name, layer in layers.items()}


def _inception(family: Family, names: Sequence[str]) -> dict[str, str]:
    blocks = inception_layers(map(convolution_of, names), family.modules, family.rules)
    normed = {convolution_of(name) for name in names if f"{BATCH_NORM}/" in name}

    def part(name: str) -> str:
        if convolution_of(name) not in normed:
            return ""
        return ".bn" if f"{BATCH_NORM}/" in name else ".conv"

    return {name: blocks[convolution_of(name)] + part(name) for name in names}


# -- VGG -------------------------------------------------------------------------------------------------------------


def vgg(network: str, convolutions: Sequence[int], in_timm: bool) -> Family:
    """The names of a VGG with so many convolutions in each group; timm has convolutions where torchvision flattens."""

    def feature(match: re.Match) -> str:
        group, number = int(match[1]), int(match[2])
        before = sum(2 * count + 1 for count in convolutions[: group - 1])  # each with its ReLU, and a pool a group
        return f"features.{before + 2 * (number - 1)}"

    ours = [f"{network}/fc{number}" for number in (6, 7, 8)]
    in_torchvision = ("classifier.0", "classifier.3", "classifier.6")
    theirs = ("pre_logits.fc1", "pre_logits.fc2", "head.fc") if in_timm else in_torchvision
    return Family(
        rules=[(r"\w+/conv\d/conv(\d)_(\d)", feature), *zip(ours, theirs, strict=True)],
        dense=tuple(ours[2:] if in_timm else ours),
    )


# -- Inception -------------------------------------------------------------------------------------------------------

INCEPTION_V3 = Family(
    rules=(
        (r"InceptionV3/AuxLogits/Conv2d_1b_1x1", "AuxLogits.conv0"),
        (r"InceptionV3/AuxLogits/Conv2d_2a_5x5", "AuxLogits.conv1"),
        (r"InceptionV3/AuxLogits/Conv2d_2b_1x1", "AuxLogits.fc"),
        (r"InceptionV3/Logits/Conv2d_1c_1x1", "fc"),
        (r"InceptionV3/(Conv2d_\w+)", r"\1"),
    ),
    modules=(
        Module(
            "Mixed_5[bcd]",
            r"\g<0>.",
            (
                "branch1x1",
                "branch5x5_1 branch5x5_2",
                "branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3",
                "branch_pool",
            ),
        ),
        Module("Mixed_6a", r"\g<0>.", ("branch3x3", "branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3")),
        Module(
            "Mixed_6[b-e]",
            r"\g<0>.",
            (
                "branch1x1",
                "branch7x7_1 branch7x7_2 branch7x7_3",
                "branch7x7dbl_1 branch7x7dbl_2 branch7x7dbl_3 branch7x7dbl_4 branch7x7dbl_5",
                "branch_pool",
            ),
        ),
        Module(
            "Mixed_7a",
            r"\g<0>.",
            ("branch3x3_1 branch3x3_2", "branch7x7x3_1 branch7x7x3_2 branch7x7x3_3 branch7x7x3_4"),
        ),
        Module(
            "Mixed_7[bc]",
            r"\g<0>.",
            (
                "branch1x1",
                "branch3x3_1 branch3x3_2a branch3x3_2b",
                "branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3a branch3x3dbl_3b",
                "branch_pool",
            ),
        ),
    ),
    dense=("InceptionV3/Logits/Conv2d_1c_1x1", "InceptionV3/AuxLogits/Conv2d_2b_1x1"),
)

_V4_FEATURES = ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Mixed_3a", "Mixed_4a", "Mixed_5a"]
_V4_FEATURES += [f"Mixed_5{letter}" for letter in "bcde"] + [f"Mixed_6{letter}" for letter in "abcdefgh"]
_V4_FEATURES += [f"Mixed_7{letter}" for letter in "abcd"]


def _v4_feature(match: re.Match) -> str:
    return f"features.{_V4_FEATURES.index(match[1])}"


def _v4_module(match: re.Match) -> str:
    return f"features.{_V4_FEATURES.index(match[0])}."


INCEPTION_V4 = Family(
    rules=(
        (r"InceptionV4/Logits/Logits", "last_linear"),
        (r"InceptionV4/(Conv2d_\w+)", _v4_feature),
    ),
    modules=(
        Module("Mixed_[35]a", _v4_module, ("conv", "conv")),  # the other branch is a pool
        Module(
            "Mixed_7[bcd]",
            _v4_module,
            (
                "branch0",
                "branch1_0 branch1_1a branch1_1b",
                "branch2_0 branch2_1 branch2_2 branch2_3a branch2_3b",
                "branch3.1",
            ),
        ),
        Module(r"Mixed_\d\w", _v4_module),
    ),
)


def _repeated(match: re.Match) -> str:
    return f"{match[1].lower()}.{int(match[2]) - 1}"


INCEPTION_RESNET_V2 = Family(
    rules=(
        (r"InceptionResnetV2/Logits/Logits", "classif"),
        (r"InceptionResnetV2/(Repeat\w*)/block\d+_(\d+)/Conv2d_1x1", lambda match: f"{_repeated(match)}.conv2d"),
        (r"InceptionResnetV2/Block8/Conv2d_1x1", "block8.conv2d"),
        (r"InceptionResnetV2/Conv2d_(\d\w)_\dx\d", r"conv2d_\1"),
    ),
    modules=(
        Module(r"Mixed_(\d\w)", r"mixed_\1."),
        Module(r"(Repeat\w*)/block\d+_(\d+)", lambda match: f"{_repeated(match)}."),
        Module("Block8", "block8."),
    ),
)

# -- NASNet ----------------------------------------------------------------------------------------------------------


def _nasnet(first: str, previous: str) -> Family:
    """`first`: the first convolution; `previous`: where a cell has the two paths of a halved previous layer."""
    pair = r"(\w+)/comb_iter_(\d)/(left|right)/"
    return Family(
        (
            ("conv0", f"{first}.conv"),
            ("conv0_bn", f"{first}.bn"),
            (r"(\w+)/1x1", r"\1.conv_1x1.conv"),
            (r"(\w+)/beginning_bn", r"\1.conv_1x1.bn"),
            (r"(\w+)/prev_1x1", r"\1.conv_prev_1x1.conv"),
            (r"(\w+)/prev_bn", r"\1.conv_prev_1x1.bn"),
            (r"(\w+)/path(\d)_conv", rf"\1.{previous}path_\2.conv"),
            (r"(\w+)/final_path_bn", rf"\1.{previous}final_path_bn"),
            (rf"{pair}separable_\dx\d_(\d)", r"\1.comb_iter_\2_\3.separable_\4"),
            (rf"{pair}bn_sep_\dx\d_(\d)", r"\1.comb_iter_\2_\3.bn_sep_\4"),
            (rf"{pair}1x1", r"\1.comb_iter_\2_\3.conv"),
            (rf"{pair}bn_1", r"\1.comb_iter_\2_\3.bn"),
            (r"final_layer/FC", "last_linear"),
        ),
        variables={
            **_VARIABLES,
            "depthwise_weights": "depthwise_conv2d.weight",
            "pointwise_weights": "pointwise_conv2d.weight",
        },
    )


NASNET = _nasnet("conv0", "")
PNASNET = _nasnet("conv_0", "conv_prev_1x1.")

# -- MobileNet v3 ----------------------------------------------------------------------------------------------------

_CLASSIFIER = r"MobilenetV3/Logits/Conv2d_1c_1x1"


def mobilenet_v3(blocks: Sequence[int]) -> Family:
    """The names of a MobileNet v3 with so many blocks in each stage."""
    stages = [(stage, number) for stage, count in enumerate(blocks) for number in range(count)]
    last = f"blocks.{len(blocks)}.0"

    def layer(match: re.Match) -> str:
        index = int(match[1] or 0)
        part = match[2]
        if not index:  # it does not expand, so each of its layers has the name of the one before
            part = {"depthwise": "depthwise", "project": "expand"}.get(part, part)
            normed = {"depthwise": "bn1", "expand": "bn2"}
        else:
            normed = {"expand": "bn1", "depthwise": "bn2", "project": "bn3"}
        names = {"expand": "conv_pw", "depthwise": "conv_dw", "project": "conv_pwl"}
        names |= {"squeeze_excite/Conv": "se.conv_reduce", "squeeze_excite/Conv_1": "se.conv_expand"}
        stage, number = stages[index]
        return f"blocks.{stage}.{number}.{normed[part] if match[3] else names[part]}"

    return Family(
        (
            ("MobilenetV3/Conv", "conv_stem"),
            ("MobilenetV3/Conv/BatchNorm", "bn1"),
            (r"MobilenetV3/expanded_conv(?:_(\d+))?/(squeeze_excite/\w+|\w+)(/BatchNorm)?", layer),
            ("MobilenetV3/Conv_1", f"{last}.conv"),
            ("MobilenetV3/Conv_1/BatchNorm", f"{last}.bn1"),
            ("MobilenetV3/Conv_2", "conv_head"),
            (_CLASSIFIER, "classifier"),
        ),
        dense=(_CLASSIFIER,),
    )
