"""How Keras Applications call the layers that Slim calls by scopes."""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from checkpoint_tools.conversion.layer_names import BATCH_NORM, Rules, by_rules, convolution_of

# A Slim variable's last component -> the Keras variable's. A depthwise layer of its own has a `kernel`, the depthwise
# half of a separable one a `depthwise_kernel`.
_VARIABLES = {"weights": "kernel", "biases": "bias", "depthwise_weights": "kernel"}
_SEPARABLE = {"depthwise_weights": "depthwise_kernel", "pointwise_weights": "pointwise_kernel"}


class Family(NamedTuple):
    """The names of a family of networks."""

    rules: Rules  # a Slim scope -> a Keras layer
    is_numbered: bool = False  # layers that no rule fits have Keras's automatic names
    # Keras's name of a convolution -> of the batch norm after it.
    batch_norm: Callable[[str], str] = "{}_bn".format
    variables: dict[str, str] = _VARIABLES


VGG = Family(
    (
        (r"vgg_\d+/conv\d/conv(\d)_(\d)", r"block\1_conv\2"),
        (r"vgg_\d+/fc6", "fc1"),
        (r"vgg_\d+/fc7", "fc2"),
        (r"vgg_\d+/fc8", "predictions"),
    )
)

# Their other layers have no names of their own in Keras: both sides make them in the same order.
INCEPTION_V3 = Family(((r"InceptionV3/Logits/Conv2d_1c_1x1", "predictions"),), is_numbered=True)
INCEPTION_RESNET_V2 = Family(
    (
        (r"InceptionResnetV2/Repeat\w*/(block\d+_\d+)/Conv2d_1x1", r"\1_conv"),
        (r"InceptionResnetV2/Block8/Conv2d_1x1", "block8_10_conv"),
        (r"InceptionResnetV2/Conv2d_7b_1x1", "conv_7b"),
        (r"InceptionResnetV2/Logits/Logits", "predictions"),
    ),
    is_numbered=True,
)

MOBILENET_V1 = Family(
    (
        (r"MobilenetV1/Conv2d_0", "conv1"),
        (r"MobilenetV1/Conv2d_(\d+)_depthwise", r"conv_dw_\1"),
        (r"MobilenetV1/Conv2d_(\d+)_pointwise", r"conv_pw_\1"),
        (r"MobilenetV1/Logits/Conv2d_1c_1x1", "conv_preds"),
    )
)

MOBILENET_V2 = Family(
    (
        (r"MobilenetV2/Conv", "Conv1"),
        (r"MobilenetV2/expanded_conv/(\w+)", r"expanded_conv_\1"),
        (r"MobilenetV2/expanded_conv_(\d+)/(\w+)", r"block_\1_\2"),
        (r"MobilenetV2/Conv_1", "Conv_1"),
        (r"MobilenetV2/Logits/Conv2d_1c_1x1", "predictions"),
    ),
    batch_norm=lambda layer: {"Conv1": "bn_Conv1", "Conv_1": "Conv_1_bn"}.get(layer, f"{layer}_BN"),
)

MOBILENET_V3 = Family(
    (
        (r"MobilenetV3/Conv", "conv"),
        (r"MobilenetV3/Conv_(\d)", r"conv_\1"),
        (r"MobilenetV3/(expanded_conv\w*)/squeeze_excite/Conv(\w*)", r"\1_squeeze_excite_conv\2"),
        (r"MobilenetV3/(expanded_conv\w*)/(\w+)", r"\1_\2"),
        (r"MobilenetV3/Logits/Conv2d_1c_1x1", "logits"),
    )
)

_UNIT = r"resnet_v2_\d+/block(\d)/unit_(\d+)/bottleneck_v2/"


def _unit(name: str) -> Callable[[re.Match], str]:
    return lambda match: f"conv{int(match[1]) + 1}_block{match[2]}_{name.format(*match.groups())}"


RESNET_V2 = Family(
    (
        (r"resnet_v2_\d+/conv1", "conv1_conv"),
        (_UNIT + "preact", _unit("preact_bn")),
        (_UNIT + "shortcut", _unit("0_conv")),
        (_UNIT + r"conv(\d)", _unit("{2}_conv")),
        (r"resnet_v2_\d+/postnorm", "post_bn"),
        (r"resnet_v2_\d+/logits", "predictions"),
    ),
    batch_norm=lambda layer: layer.removesuffix("_conv") + "_bn",
)


def nasnet(cells: int) -> Family:
    """The names of a NASNet with so many normal cells between two reductions."""

    def cell(scope: str) -> tuple[str, str]:
        """Keras's kind and number of a Slim cell: after a reduction, which has a number too, it counts one more."""
        if found := re.fullmatch(r"cell_stem_(\d)", scope):
            return "reduction", f"stem_{int(found[1]) + 1}"
        if found := re.fullmatch(r"reduction_cell_(\d)", scope):
            return "reduction", f"reduce_{(int(found[1]) + 1) * cells}"
        number = int(scope.removeprefix("cell_"))
        return "normal", str(number + (number >= cells))

    def whole(template: str) -> Callable[[re.Match], str]:
        def name(match: re.Match) -> str:
            kind, number = cell(match[1])
            return template.format(kind=kind, number=number)

        return name

    def separable(template: str) -> Callable[[re.Match], str]:
        def name(match: re.Match) -> str:
            kind, number = cell(match[1])
            # Of a reduction's last pair the left side has the number of the pair before it in Keras.
            place = 4 if kind == "reduction" and match[2] == "4" else int(match[2]) + 1
            return template.format(match[4]) + f"_{kind}_{match[3]}{place}_{number}"

        return name

    pair = r"(\w+)/comb_iter_(\d)/(left|right)/"
    return Family(
        (
            (r"conv0", "stem_conv1"),
            (r"conv0_bn", "stem_bn1"),
            (r"(\w+)/1x1", whole("{kind}_conv_1_{number}")),
            (r"(\w+)/beginning_bn", whole("{kind}_bn_1_{number}")),
            (r"(\w+)/prev_1x1", whole("adjust_conv_projection_{number}")),
            (r"(\w+)/path1_conv", whole("adjust_conv_1_{number}")),
            (r"(\w+)/path2_conv", whole("adjust_conv_2_{number}")),
            (r"(\w+)/(?:prev_bn|final_path_bn)", whole("adjust_bn_{number}")),
            (pair + r"separable_\dx\d_(\d)", separable("separable_conv_{}")),
            (pair + r"bn_sep_\dx\d_(\d)", separable("separable_conv_{}_bn")),
            (r"final_layer/FC", "predictions"),
        ),
        variables=_VARIABLES | _SEPARABLE,
    )


def variable_names(family: Family, names: Iterable[str]) -> dict[str, str]:
    """Slim name -> `layer/variable` of Keras, for a network's variables in the order in which it makes them."""
    names = list(names)
    layers = _layers(family, dict.fromkeys(map(convolution_of, names)))
    found = {}
    for name in names:
        layer, variable = layers[convolution_of(name)], name.rpartition("/")[2]
        if f"{BATCH_NORM}/" in name:
            own = _AUTOMATIC.fullmatch(layer)
            layer = f"batch_normalization{own[1]}" if own else family.batch_norm(layer)
        found[name] = f"{layer}/{family.variables.get(variable, variable)}"
    return found


_AUTOMATIC = re.compile(r"conv2d((?:_\d+)?)")


def automatic_name(kind: str, number: int) -> str:
    """The name that Keras gives to a layer without one, in a program that made no other model before."""
    return f"{kind}_{number}" if number else kind


def _layers(family: Family, scopes: Iterable[str]) -> dict[str, str]:
    layers, unnamed = {}, 0
    for scope in scopes:
        try:
            layers[scope] = by_rules(family.rules, scope)
        except KeyError:
            if not family.is_numbered:
                raise
            layers[scope] = automatic_name("conv2d", unnamed)
            unnamed += 1
    return layers
