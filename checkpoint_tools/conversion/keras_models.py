"""The networks of Keras Applications that Slim has too, and their variables by name.

Facts about them are from `keras.applications` of Keras 3 (layer names, paddings, constants) and measured by
`checkpoint_tools.conversion.table`.
"""

import dataclasses
import re
import types
from collections.abc import Mapping
from typing import Any

import numpy as np

from checkpoint_tools.conversion import keras_names
from checkpoint_tools.conversion.keras_names import Family
from nets import registry

_SAME = "the same: RGB in [-1, 1]"
_BGR = (
    "Keras's preprocess_input gives BGR less the means 103.939, 116.779, 123.68; ours RGB less 123.68, 116.78, 103.94. "
    "The first convolution's input channels are reversed on the way, so each side takes its own"
)
_INSIDE = "the Keras model scales [0, 255] to [-1, 1] itself; our network takes RGB in [-1, 1]"
_STRIDED_PADDING = (
    "Keras pads its strided depthwise convolutions for even maps, at any size: the same function for images whose side "
    "is a multiple of 32"
)


@dataclasses.dataclass(frozen=True)
class Model:
    """A network of Keras Applications.

    Attributes:
        name: in the table: the function's name and what tells it from its siblings.
        function: its name in `keras.applications`.
        family: its layers' names.
        arrays: how many arrays a file with the classifier has.
        top: Keras layers that `include_top=False` leaves out.
        options: arguments of the function.
        exact, preprocessing, notes: as in `Pair`.
    """

    name: str
    function: str
    family: Family
    arrays: int
    top: tuple[str, ...] = ("predictions",)
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    exact: bool = True
    preprocessing: str = _SAME
    notes: str = ""


def _vgg(depth: int, arrays: int) -> Model:
    name = f"VGG{depth}"
    return Model(name, name, keras_names.VGG, arrays, ("fc1", "fc2", "predictions"), preprocessing=_BGR)


def _mobilenet_v1(alpha: float) -> Model:
    return Model(
        f"MobileNet, alpha={alpha}",
        "MobileNet",
        keras_names.MOBILENET_V1,
        137,
        ("conv_preds",),
        {"alpha": alpha},
        notes=_STRIDED_PADDING,
    )


def _mobilenet_v2(alpha: float) -> Model:
    name = f"MobileNetV2, alpha={alpha}"
    return Model(name, "MobileNetV2", keras_names.MOBILENET_V2, 262, options={"alpha": alpha})


def _mobilenet_v3(size: str, arrays: int, minimalistic: bool) -> Model:
    function = f"MobileNetV3{size}"
    return Model(
        f"{function}, minimalistic" if minimalistic else function,
        function,
        keras_names.MOBILENET_V3,
        arrays,
        ("conv_2", "logits"),
        {"minimalistic": minimalistic},
        exact=minimalistic,
        preprocessing=_INSIDE,
        notes=""
        if minimalistic
        else "the gate of squeeze and excitation is 1/6 of ReLU6 in Keras, 0.16667 of it in Slim",
    )


def _nasnet(size: str, cells: int, arrays: int) -> Model:
    name = f"NASNet{size}"
    notes = "the reduction cells' pools see zeros around the map in Keras; in Slim their windows end at the map's edge"
    return Model(name, name, keras_names.nasnet(cells), arrays, exact=False, notes=notes)


def _resnet_v2(depth: int, arrays: int) -> Model:
    name = f"ResNet{depth}V2"
    return Model(
        name,
        name,
        keras_names.RESNET_V2,
        arrays,
        exact=False,
        preprocessing="Keras: RGB in [-1, 1]; our recipe for this network is vgg's: use --preprocessing_name=inception",
        notes="the first pool is one pixel off: Keras pads zeros on all sides, Slim (where the map's side is even) on "
        "the right and below alone, and no zeros; epsilon of batch norm 1.001e-5 in Keras, 1e-5 in Slim",
    )


MODELS: Mapping[str, Model] = types.MappingProxyType(
    {
        "vgg_16": _vgg(16, 32),
        "vgg_19": _vgg(19, 38),
        "inception_v3": Model("InceptionV3", "InceptionV3", keras_names.INCEPTION_V3, 378),
        "inception_resnet_v2": Model("InceptionResNetV2", "InceptionResNetV2", keras_names.INCEPTION_RESNET_V2, 898),
        "resnet_v2_50": _resnet_v2(50, 272),
        "resnet_v2_101": _resnet_v2(101, 544),
        "resnet_v2_152": _resnet_v2(152, 816),
        "mobilenet_v1": _mobilenet_v1(1.0),
        "mobilenet_v1_075": _mobilenet_v1(0.75),
        "mobilenet_v1_050": _mobilenet_v1(0.5),
        "mobilenet_v1_025": _mobilenet_v1(0.25),
        "mobilenet_v2": _mobilenet_v2(1.0),
        "mobilenet_v2_140": _mobilenet_v2(1.4),
        "mobilenet_v2_035": _mobilenet_v2(0.35),
        "mobilenet_v3_small": _mobilenet_v3("Small", 210, False),
        "mobilenet_v3_large": _mobilenet_v3("Large", 266, False),
        "mobilenet_v3_small_minimalistic": _mobilenet_v3("Small", 174, True),
        "mobilenet_v3_large_minimalistic": _mobilenet_v3("Large", 234, True),
        "nasnet_mobile": _nasnet("Mobile", 4, 1126),
        "nasnet_large": _nasnet("Large", 6, 1546),
    }
)

_STRIDES = (
    "another function: its blocks stride in the first unit's first convolution (Slim: in the last unit's 3x3), and its "
    "convolutions have biases, which Slim's have not; use Slim's own checkpoint (resnet_v1_{depth}_2016_08_28), or "
    "Keras's ResNet{depth}V2 as resnet_v2_{depth}"
)

# Networks of the same name that are other functions of their weights: (Keras's name, arrays with a classifier, why).
REFUSED: Mapping[str, tuple[str, int, str]] = types.MappingProxyType(
    {
        f"resnet_v1_{depth}": (f"ResNet{depth}", arrays, _STRIDES.format(depth=depth))
        for depth, arrays in ((50, 320), (101, 626), (152, 932))
    }
)


def build(network: str, num_classes: int | None, image_size: int | None = None, **options: Any) -> Any:
    """Makes the Keras model of one of our networks, with its random initial weights.

    Args:
        network: a key of `MODELS`.
        num_classes: of the classifier; None for a model without (`include_top=False`).
        image_size: side of the input; None for the default of our network. It is always given, since some models are
            other functions for images of unknown size.
        **options: further arguments of the Keras function.
    """
    import keras

    model = MODELS[network]
    size = image_size or registry.get(network).image_size
    top = {"include_top": True, "classes": num_classes} if num_classes else {"include_top": False}
    function = getattr(keras.applications, model.function)
    return function(weights=None, input_shape=(size, size, 3), **top, **{**model.options, **options})


def variables(model: Any) -> dict[str, Any]:
    """`layer/variable` -> the Keras variable, for all that a model's layers hold, random states apart.

    A layer that Keras named has the name that it would have in a new program (`conv2d`, `conv2d_1`, ...), in the order
    in which the layers were made, not in that of `model.layers`.
    """
    layers = [layer for layer in model.layers if layer.weights]
    names = {layer.name: layer.name for layer in layers}
    for kind in ("conv2d", "batch_normalization"):
        numbers = {name: int(found[1] or 0) for name in names if (found := re.fullmatch(rf"{kind}(?:_(\d+))?", name))}
        ordered = sorted(numbers, key=numbers.get)
        names |= {name: keras_names.automatic_name(kind, i) for i, name in enumerate(ordered)}
    return {f"{names[layer.name]}/{variable.name}": variable for layer in layers for variable in layer.weights}


def arrays(model: Any) -> dict[str, np.ndarray]:
    """`layer/variable` -> value of all that `variables` lists."""
    return {name: np.asarray(variable) for name, variable in variables(model).items()}
