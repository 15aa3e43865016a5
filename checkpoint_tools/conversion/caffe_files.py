"""Caffe's networks as pairs with ours, and .caffemodel files, without Caffe.

The interface of a framework's module: `NETWORKS`, `REFUSED`, `pair`, `read`, `write`, `measure`; see `convert`.
"""

import os
from collections.abc import Collection, Mapping

import numpy as np

from checkpoint_tools.conversion import caffe_proto, layer_names, slim_side
from checkpoint_tools.conversion.layer_names import Rules
from checkpoint_tools.conversion.pairs import CONV_OIHW, Arrays, Entry, Layout, Pair
from common.errors import UserError
from common.files import atomic_path

_BGR = (
    "theirs is BGR less (103.939, 116.779, 123.68), ours RGB less (123.68, 116.78, 103.94): the first convolution's "
    "input channels are reversed on the way, so each side takes its own"
)
_ALEXNET = (
    "a Caffe network of our layers (one column, no local response normalization), whose grouped kernels are filled up "
    "with zeros. Caffe's pools round up: the same function for images of 195 to 198 pixels (--eval_image_size=195). "
    "Not bvlc_alexnet and CaffeNet"
)
_RULES: Rules = ((r"vgg_\d+/conv\d/(conv\d_\d)", r"\1"), (r"\w+/(fc\d)", r"\1"), (r"\w+/(conv\d)", r"\1"))
_MODELS = {
    "vgg_16": ("VGG_ILSVRC_16_layers", ""),
    "vgg_19": ("VGG_ILSVRC_19_layers", ""),
    "alexnet_v2": ("AlexNet, one column", _ALEXNET),
}
_STRANGE_ALEXNET = (
    "bvlc_alexnet or CaffeNet is another network than alexnet_v2: it has local response normalization, 96 and 256 "
    "channels in its first convolutions (ours 64 and 192) and 6x6 maps before its classifier (ours 5x5)"
)
_INDICES = {"weights": 0, "biases": 1}

NETWORKS = tuple(_MODELS)
REFUSED: Mapping[str, str] = {"alexnet_v2": _STRANGE_ALEXNET}


def pair(network: str, num_classes: int | None, names: Collection[str] = ()) -> Pair | None:
    """The pair of one of our networks, None where Caffe has no such network; see `torch_files.pair`."""
    del names  # there are no variants
    if network not in _MODELS:
        return None
    shapes = slim_side.prediction_shapes(network, num_classes)
    table = {}
    for name in shapes:
        scope, _, variable = name.rpartition("/")
        table[name] = f"{layer_names.by_rules(_RULES, scope)}/{_INDICES[variable]}"
    dense = [f"{network}/fc{number}" for number in (6, 7, 8)]
    other, notes = _MODELS[network]
    return Pair(
        network=network,
        framework="caffe",
        other=other,
        entries=tuple(map(_with_input, layer_names.entries(table, shapes, dense), shapes.values())),
        preprocessing=_BGR,
        notes=notes,
    )


def _with_input(entry: Entry, shape: tuple[int, ...]) -> Entry:
    """The entry with the layout of a convolution that sees colours, or that may have been grouped."""
    if entry.layout is not CONV_OIHW:
        return entry
    return Entry(entry.slim, entry.other, _FIRST if shape[2] == 3 else _ungrouped(shape[2]))


_FIRST = Layout(
    lambda array: CONV_OIHW.to_slim(array)[:, :, ::-1], lambda array: CONV_OIHW.from_slim(array[:, :, ::-1])
)


def _ungrouped(channels: int) -> Layout:
    """A convolution [out, channels / groups, height, width]; ours sees all channels, those of other groups by zeros."""

    def to_slim(array: np.ndarray) -> np.ndarray:
        outputs, inputs, height, width = array.shape
        groups = channels // max(inputs, 1)
        if inputs * groups != channels or outputs % groups:
            raise ValueError(f"{array.shape} is no kernel over {channels} channels")
        if groups == 1:
            return CONV_OIHW.to_slim(array)
        full = np.zeros((groups, outputs // groups, groups, inputs, height, width), array.dtype)
        for group, kernel in enumerate(array.reshape(groups, outputs // groups, inputs, height, width)):
            full[group, :, group] = kernel
        return CONV_OIHW.to_slim(full.reshape(outputs, channels, height, width))

    return Layout(to_slim, CONV_OIHW.from_slim)


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads a .caffemodel: `layer/0` for weights, `layer/1` for biases, ... -> float32 array.

    Raises:
        UserError: not there, cut off, no Caffe model, or one that has only the name in common with ours.
    """
    path = os.fspath(path)
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    arrays = caffe_proto.decode(content, path)
    first = arrays.get("conv1/0")
    if first is not None and first.shape == (96, 3, 11, 11):
        raise UserError(f"{path}: {_STRANGE_ALEXNET}")
    return arrays


def write(path: str | os.PathLike[str], pair: Pair, arrays: Arrays) -> None:
    """Writes arrays, all of the pair's, as a .caffemodel, whole or not at all; raises UserError where it cannot."""
    try:
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            file.write(caffe_proto.encode(pair.other, caffe_proto.layers_of(arrays)))
    except OSError as error:
        raise UserError(f"{os.fspath(path)} cannot be written: {error.strerror}") from None


def measure(pair: Pair) -> tuple[float, float]:
    """Compares our network and Caffe's, in plain operations, with random weights; see `torch_files.measure`."""
    from checkpoint_tools.conversion import plain_networks

    return plain_networks.measure(pair)
