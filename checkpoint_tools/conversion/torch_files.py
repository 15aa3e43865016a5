"""timm's and torchvision's weights: their networks as pairs with ours, and safetensors files, without PyTorch.

The interface of a framework's module: `NETWORKS`, `REFUSED`, `pair`, `read`, `write`, `measure`; see `convert`.
"""

import dataclasses
import os
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from checkpoint_tools.conversion import layer_names, pickles, slim_side, torch_names
from checkpoint_tools.conversion.pairs import Arrays, Pair
from checkpoint_tools.conversion.torch_names import Family
from common.errors import UserError
from common.files import atomic_path

_SAME = "the same: RGB in [-1, 1]"
_NORMALISED = (
    "theirs: RGB in [0, 1] less (0.485, 0.456, 0.406), divided by (0.229, 0.224, 0.225); ours: RGB in [0, 255] less "
    "(123.68, 116.78, 103.94), 57 times as large: fine-tune, or give the network what they do"
)
_GAMMAS = (
    "batch norm has a weight there, none in Slim: one that is not 1 goes into the convolution and the moving mean, and "
    "comes back as 1"
)
_BORDERS = "timm counts zeros around the map in its {pools}; in Slim their windows end at the map's edge"
_GATES = "the gate of squeeze and excitation is 1/6 of ReLU6 in timm, 0.16667 of it in Slim"


@dataclasses.dataclass(frozen=True)
class Model:
    """A network of timm or torchvision.

    Attributes:
        framework: `timm` or `torchvision`.
        name: there.
        family: its layers' names.
        classifier: its last layer.
        exact, preprocessing, notes: as in `Pair`.
    """

    framework: str
    name: str
    family: Family
    classifier: str
    exact: bool = True
    preprocessing: str = _SAME
    notes: str = ""


def _vgg(network: str, depth: int, convolutions: tuple[int, ...]) -> tuple[Model, Model]:
    def model(framework: str, classifier: str) -> Model:
        return Model(
            framework=framework,
            name=f"vgg{depth}",
            family=torch_names.vgg(network, convolutions, framework == "timm"),
            classifier=classifier,
            preprocessing=_NORMALISED,
        )

    return model("torchvision", "classifier.6"), model("timm", "head.fc")


def _mobilenet(name: str, blocks: tuple[int, ...], is_minimal: bool) -> tuple[Model]:
    return (
        Model(
            framework="timm",
            name=f"tf_mobilenetv3_{name}_100",
            family=torch_names.mobilenet_v3(blocks),
            classifier="classifier",
            exact=is_minimal,
            notes="" if is_minimal else _GATES,
        ),
    )


def _timm(name: str, family: Family, classifier: str, **facts: Any) -> tuple[Model]:
    return (Model("timm", name, family, classifier, **facts),)


_LARGE, _SMALL = (1, 2, 3, 4, 2, 3), (1, 2, 3, 2, 3)  # blocks in each stage

# Of our networks. Where there are two, the names in a file tell which it is, and the first one is written.
MODELS: dict[str, tuple[Model, ...]] = {
    "vgg_a": _vgg("vgg_a", 11, (1, 1, 2, 2, 2)),
    "vgg_16": _vgg("vgg_16", 16, (2, 2, 3, 3, 3)),
    "vgg_19": _vgg("vgg_19", 19, (2, 2, 4, 4, 4)),
    "inception_v3": _timm(
        "inception_v3",
        torch_names.INCEPTION_V3,
        "fc",
        exact=False,
        notes=f"{_BORDERS.format(pools='average pools')}. {_GAMMAS}. torchvision's file has the same names",
    ),
    "inception_v4": _timm("inception_v4", torch_names.INCEPTION_V4, "last_linear", notes=_GAMMAS),
    "inception_resnet_v2": _timm("inception_resnet_v2", torch_names.INCEPTION_RESNET_V2, "classif", notes=_GAMMAS),
    "nasnet_large": _timm(
        "nasnetalarge",
        torch_names.NASNET,
        "last_linear",
        exact=False,
        notes=_BORDERS.format(pools="average pools of stride 2"),
    ),
    "pnasnet_large": _timm("pnasnet5large", torch_names.PNASNET, "last_linear"),
    "mobilenet_v3_large": _mobilenet("large", _LARGE, is_minimal=False),
    "mobilenet_v3_small": _mobilenet("small", _SMALL, is_minimal=False),
    "mobilenet_v3_large_minimalistic": _mobilenet("large_minimal", _LARGE, is_minimal=True),
    "mobilenet_v3_small_minimalistic": _mobilenet("small_minimal", _SMALL, is_minimal=True),
}
NETWORKS = tuple(MODELS)
REFUSED: Mapping[str, str] = {
    "alexnet_v2": "alexnet is another network than alexnet_v2: it pads its first convolution, has 256 channels in its "
    "fourth (ours 384) and 6x6 maps before its classifier (ours 5x5)",
}


# -- pairs -----------------------------------------------------------------------------------------------------------


def pair(network: str, num_classes: int | None, names: Collection[str] = ()) -> Pair | None:
    """The pair of one of our networks, None where timm and torchvision have no such network.

    Args:
        network: `--model_name`.
        num_classes: width of the classifier; None or 0 for weights without one.
        names: arrays of the file that is read: they tell timm's VGG from torchvision's, and whether Inception v3's
            auxiliary classifier is there.
    """
    if network not in MODELS:
        return None
    models = MODELS[network]
    model = next((model for model in models if f"{model.classifier}.weight" in names), models[0])
    return _pair(network, num_classes, model, names)


def pairs(num_classes: int | None) -> list[Pair]:
    """All pairs; a network that both timm and torchvision have is in two."""
    return [_pair(network, num_classes, model, ()) for network, models in MODELS.items() for model in models]


def _pair(network: str, num_classes: int | None, model: Model, names: Collection[str]) -> Pair:
    shapes = slim_side.prediction_shapes(network, num_classes)
    if network == "inception_v3" and any(name.startswith("AuxLogits.") for name in names):
        shapes = shapes | slim_side.auxiliary_shapes(network, num_classes)
    table = torch_names.variable_names(model.family, list(shapes))
    entries = layer_names.entries(table, shapes, model.family.dense)
    betas = [entry.other for entry in entries if entry.slim.endswith("/beta")]
    return Pair(
        network=network,
        framework=model.framework,
        other=model.name,
        entries=entries,
        preprocessing=model.preprocessing,
        exact=model.exact,
        optional=frozenset(f"{beta.removesuffix('.bias')}.num_batches_tracked" for beta in betas),
        notes=model.notes,
        factors=layer_names.missing_gammas(entries, lambda beta: f"{beta.removesuffix('.bias')}.weight", _scaled),
    )


def _scaled(beta: str) -> tuple[str, ...]:
    """A batch norm's bias -> what its weight goes into: (W x - mean) g = (W g) x - mean g."""
    block = beta.removesuffix(".bn.bias")
    return f"{block}.conv.weight", f"{block}.bn.running_mean"


# -- files -----------------------------------------------------------------------------------------------------------


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads a safetensors file: name -> array; numbers of 16 bits become float32, exactly.

    Raises:
        UserError: not there, a pickle, cut off or not a safetensors file; or the library is not installed.
    """
    path = os.fspath(path)
    pickles.refuse(path)
    safetensors_numpy = _safetensors()
    from safetensors import SafetensorError

    try:
        arrays = safetensors_numpy.load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path} is not there") from None
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise UserError(
            f"{path} is cut off, or no safetensors file: {str(error).rpartition(': ')[2]}; copy or fetch it again"
        ) from None
    return {name: _widened(array) for name, array in arrays.items()}


def _widened(array: np.ndarray) -> np.ndarray:
    is_half = array.dtype.itemsize == 2 and array.dtype.kind not in "iu"  # bfloat16 is no kind of NumPy's own
    return array.astype(np.float32) if is_half else array


def write(path: str | os.PathLike[str], pair: Pair, arrays: Arrays) -> None:
    """Writes arrays, all of the pair's, as PyTorch's libraries expect them in a safetensors file, whole or not at all.

    Raises:
        UserError: the library is not installed, or the file cannot be written.
    """
    safetensors_numpy = _safetensors()
    try:
        with atomic_path(path) as temporary:
            safetensors_numpy.save_file(
                {name: np.ascontiguousarray(array) for name, array in arrays.items()},
                temporary,
                metadata={"format": "pt", "architecture": pair.other},
            )
    except OSError as error:
        raise UserError(f"{os.fspath(path)} cannot be written: {error.strerror}") from None


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise UserError("safetensors files need a library: pip install -e '.[convert]'") from None
    return safetensors.numpy


def measure(pair: Pair) -> tuple[float, float] | None:
    """Compares both sides of a pair with random weights, at our network's default image size.

    Returns:
        The largest difference of two logits, and the largest magnitude of a logit; None where PyTorch or the library
        is not installed.
    """
    from checkpoint_tools.conversion import torch_measure

    try:
        return torch_measure.measure(pair)
    except ImportError:
        return None
