"""MXNet's networks as pairs with ours, and .params files, without MXNet.

The interface of a framework's module: `NETWORKS`, `REFUSED`, `pair`, `read`, `write`, `measure`; see `convert`.
"""

import os
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from checkpoint_tools.conversion import layer_names, mxnet_arrays, slim_side
from checkpoint_tools.conversion.layer_names import BATCH_NORM, Module, Rules, convolution_of
from checkpoint_tools.conversion.pairs import Arrays, Pair
from common.errors import UserError
from common.files import atomic_path

_RGB = "theirs: RGB less (123.68, 116.779, 103.939), as the published files were converted from Caffe's; ours the same"
_SCALED = "RGB in [-1, 1] on both sides; theirs by (x - 128) / 128"
_INCEPTION_V3 = (
    "MXNet counts zeros around the map in its average pools, in Slim their windows end at the map's edge; and the last "
    "module has a max pool in MXNet, an average pool in Slim. Gammas count as 1 (fix_gamma)"
)
_VGG_RULES: Rules = ((r"vgg_\d+/conv\d/(conv\d_\d)", r"\1"), (r"vgg_\d+/(fc\d)", r"\1"))
_INCEPTION_RULES: Rules = (
    (r"InceptionV3/Conv2d_1a_3x3", "conv"),
    (r"InceptionV3/Conv2d_2a_3x3", "conv_1"),
    (r"InceptionV3/Conv2d_2b_3x3", "conv_2"),
    (r"InceptionV3/Conv2d_3b_1x1", "conv_3"),
    (r"InceptionV3/Conv2d_4a_3x3", "conv_4"),
    (r"InceptionV3/Logits/Conv2d_1c_1x1", "fc1"),
)
_MODULES = ["Mixed_5b", "Mixed_5c", "Mixed_5d", *(f"Mixed_6{letter}" for letter in "abcde")]
_MODULES += [f"Mixed_7{letter}" for letter in "abc"]


def _module(number: int) -> str:
    return f"mixed_{number}_" if number else "mixed_"


def _tower(name: str, count: int) -> str:
    return " ".join([f"{name}_conv", *(f"{name}_conv_{i}" for i in range(1, count))])


_FORKS = (
    "conv",
    "tower_conv tower_mixed_conv tower_mixed_conv_1",
    "tower_1_conv tower_1_conv_1 tower_1_mixed_conv tower_1_mixed_conv_1",
    "tower_2_conv",
)
_BRANCHES: dict[str, tuple[str, ...]] = {
    "5": ("conv", _tower("tower", 2), _tower("tower_1", 3), "tower_2_conv"),
    "6a": ("conv", _tower("tower", 3)),
    "6": ("conv", _tower("tower", 3), _tower("tower_1", 5), "tower_2_conv"),
    "7a": (_tower("tower", 2), _tower("tower_1", 4)),
    "7": _FORKS,
}
_INCEPTION_MODULES = [
    Module(name, _module(number), _BRANCHES.get(name[-2:], _BRANCHES[name[-2]])) for number, name in enumerate(_MODULES)
]
_SUFFIXES = {
    "weights": "_weight",
    "biases": "_bias",
    "beta": "_batchnorm_beta",
    "moving_mean": "_batchnorm_moving_mean",
    "moving_variance": "_batchnorm_moving_var",
}

NETWORKS = ("vgg_16", "vgg_19", "inception_v3")
_INCEPTION_BN = (
    "Inception-BN is another network than inception_v2: its modules 4c and 4d are 608 channels wide (ours 576), and "
    "its first convolution is a full one (ours a separable one)"
)
REFUSED: Mapping[str, str] = {"inception_v2": _INCEPTION_BN}


def pair(network: str, num_classes: int | None, names: Collection[str] = ()) -> Pair | None:
    """The pair of one of our networks, None where MXNet has no such network; see `torch_files.pair`."""
    del names  # there are no variants
    if network not in NETWORKS:
        return None
    shapes = slim_side.prediction_shapes(network, num_classes)
    is_vgg = network.startswith("vgg")
    table = _vgg_names(shapes) if is_vgg else _inception_names(list(shapes))
    dense = [f"{network}/fc{number}" for number in (6, 7, 8)] if is_vgg else ["InceptionV3/Logits/Conv2d_1c_1x1"]
    entries = layer_names.entries(table, shapes, dense)
    return Pair(
        network=network,
        framework="mxnet",
        other=network.replace("_", "") if is_vgg else "Inception-v3",
        entries=entries,
        preprocessing=_RGB if is_vgg else _SCALED,
        exact=is_vgg,
        notes="" if is_vgg else _INCEPTION_V3,
        factors=layer_names.missing_gammas(entries, lambda beta: beta.replace("_beta", "_gamma"), lambda beta: ()),
    )


def _vgg_names(names: Collection[str]) -> dict[str, str]:
    layers = {name: layer_names.by_rules(_VGG_RULES, name.rpartition("/")[0]) for name in names}
    return {name: layer + _SUFFIXES[name.rpartition("/")[2]] for name, layer in layers.items()}


def _inception_names(names: Sequence[str]) -> dict[str, str]:
    blocks = layer_names.inception_layers(map(convolution_of, names), _INCEPTION_MODULES, _INCEPTION_RULES)
    normed = {convolution_of(name) for name in names if f"{BATCH_NORM}/" in name}
    table = {}
    for name in names:
        scope, variable = convolution_of(name), name.rpartition("/")[2]
        kind = "_conv2d" if variable == "weights" and scope in normed else ""
        table[name] = blocks[scope] + kind + _SUFFIXES[variable]
    return table


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads a .params file: name -> array, without the `arg:` and `aux:` of a checkpoint's names.

    Raises:
        UserError: not there, cut off, no parameter file, or of a network that has only the name in common with ours.
    """
    path = os.fspath(path)
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    stored = mxnet_arrays.decode(content, path)
    arrays = {name.removeprefix("arg:").removeprefix("aux:"): array for name, array in stored.items()}
    if "conv_3a_1x1_weight" in arrays and "bn_4d_proj_gamma" in arrays:
        raise UserError(f"{path}: {_INCEPTION_BN}")
    return arrays


def write(path: str | os.PathLike[str], pair: Pair, arrays: Arrays) -> None:
    """Writes arrays, all of the pair's, as MXNet's checkpoints are, whole or not at all; UserError where it cannot."""
    del pair
    named = {f"{'aux' if '_moving_' in name else 'arg'}:{name}": array for name, array in arrays.items()}
    try:
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            file.write(mxnet_arrays.encode(named))
    except OSError as error:
        raise UserError(f"{os.fspath(path)} cannot be written: {error.strerror}") from None


def measure(pair: Pair) -> tuple[float, float]:
    """Compares our network and MXNet's, in plain operations, with random weights; see `torch_files.measure`."""
    from checkpoint_tools.conversion import plain_networks

    return plain_networks.measure(pair)
