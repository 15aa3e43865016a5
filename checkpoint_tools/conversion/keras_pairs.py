"""Keras Applications: their networks as pairs with ours, and their files.

The interface of a framework's module: `NETWORKS`, `REFUSED`, `pair`, `read`, `write`, `measure`; see `convert`.
"""

import os
from collections import Counter
from collections.abc import Collection, Mapping

import numpy as np

from checkpoint_tools.conversion import keras_files, keras_measure, keras_models, keras_names, slim_side
from checkpoint_tools.conversion.keras_models import MODELS
from checkpoint_tools.conversion.pairs import DENSE_IO_AS_1X1, SAME, Entry, Layout, Pair
from common.errors import UserError

NETWORKS: tuple[str, ...] = tuple(MODELS)
REFUSED: Mapping[str, str] = {network: f"{name} is {why}" for network, (name, _, why) in keras_models.REFUSED.items()}

Shape = tuple[int, ...]

# Keras's VGG sees BGR images, ours RGB.
_BGR = Layout(lambda array: array[:, :, ::-1], lambda array: array[:, :, ::-1])


def pair(network: str, num_classes: int | None, names: Collection[str] = ()) -> Pair | None:
    """The pair of one of our networks, None where Keras has no such network.

    Args:
        network: `--model_name`.
        num_classes: of the classifier; None for a model without its top.
        names: arrays of the file that is read; they tell nothing here.
    """
    del names
    if network not in MODELS:
        return None
    model = MODELS[network]
    shapes = slim_side.prediction_shapes(network, num_classes)
    entries = (
        Entry(slim, other, _layout(slim, shapes[slim], other))
        for slim, other in keras_names.variable_names(model.family, shapes).items()
        if num_classes or other.partition("/")[0] not in model.top
    )
    return Pair(
        network=network,
        framework="keras",
        other=model.name,
        entries=tuple(entries),
        preprocessing=model.preprocessing,
        exact=model.exact,
        notes=model.notes,
    )


def _layout(slim: str, shape: Shape, other: str) -> Layout:
    if other == "block1_conv1/kernel":
        return _BGR
    if other == "fc1/kernel":  # rows of a flattened map: height, width, channels
        return Layout(lambda array: array.reshape(shape), lambda array: array.reshape(-1, shape[-1]))
    if other in ("fc2/kernel", "predictions/kernel") and len(shape) == 4:
        return DENSE_IO_AS_1X1
    return SAME


def other_shapes(network: str, num_classes: int | None) -> dict[str, Shape]:
    """`layer/variable` -> shape on Keras's side."""
    shapes = slim_side.prediction_shapes(network, num_classes)
    zero = np.float32(0)  # spread over the shape: takes no memory
    return {
        entry.other: entry.layout.from_slim(np.broadcast_to(zero, shapes[entry.slim])).shape
        for entry in pair(network, num_classes).entries
    }


# -- files -----------------------------------------------------------------------------------------------------------


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads a file that Keras wrote, whole model or weights: `layer/variable` -> array.

    Which network it is shows in its arrays' shapes alone, since Keras's formats name layers in several ways, or not at
    all; then Keras's own loader reads it into that network.

    Raises:
        UserError: not readable, or none of `NETWORKS`.
    """
    path = os.fspath(path)
    shapes = keras_files.array_shapes(path)
    network, num_classes = find(shapes, path)
    model = keras_models.build(network, num_classes)
    keras_files.load(model, path)
    return keras_models.arrays(model)


def find(shapes: list[Shape], source: str) -> tuple[str, int | None]:
    """Which network has arrays of these shapes, and its number of classes (None without a classifier).

    Raises:
        UserError: none.
    """
    count = len(shapes)
    near = [name for name, model in MODELS.items() if count in (model.arrays, model.arrays - 2 * len(model.top))]
    for network in near:
        has_top = count == MODELS[network].arrays
        for num_classes in _widths(network, shapes) if has_top else (None,):
            if Counter(other_shapes(network, num_classes).values()) == Counter(shapes):
                return network, num_classes
    for name, arrays, why in keras_models.REFUSED.values():
        if count in (arrays, arrays - 2):
            raise UserError(f"{source}: {name} of Keras is not converted, it is {why}")
    if near:
        raise UserError(f"{source}: {_difference(near, shapes)}")
    raise UserError(
        f"{source} holds {count} arrays, as none of these networks of Keras does, with or without their tops: "
        f"{', '.join(model.name for model in MODELS.values())}; if it is one of them inside another model, save it "
        f"alone: model.get_layer(NAME).save_weights('x.weights.h5')"
    )


def _widths(network: str, shapes: list[Shape]) -> list[int]:
    """How many classes there may be: lengths of vectors that a model without its top does not have."""
    left = Counter(shapes) - Counter(other_shapes(network, None).values())
    return sorted({shape[0] for shape in left if len(shape) == 1})


def _difference(near: list[str], shapes: list[Shape]) -> str:
    """What tells the shapes of a file from those of the network that comes closest."""

    def compare(network: str, width: int | None) -> tuple[Counter, Counter]:
        wanted, found = Counter(other_shapes(network, width).values()), Counter(shapes)
        return found - wanted, wanted - found

    def closest_width(network: str) -> tuple[Counter, Counter]:
        has_top = len(shapes) == MODELS[network].arrays
        widths = (_widths(network, shapes) or [1]) if has_top else [None]
        return min((compare(network, width) for width in widths), key=lambda counters: counters[0].total())

    differences = {network: closest_width(network) for network in near}
    closest = min(near, key=lambda network: differences[network][0].total())
    found, wanted = (", ".join(map(str, list(counter)[:3])) for counter in differences[closest])
    names = " or ".join(MODELS[network].name for network in near)
    return (
        f"it has as many arrays as {names} of Keras, but {found} where {MODELS[closest].name} has {wanted}: it was "
        f"made for images of another size, or with other arguments, and has no counterpart in Slim"
    )


def write(path: str | os.PathLike[str], pair: Pair, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays (`layer/variable` -> array, all of the pair's) as Keras writes them, by the path's ending.

    `.weights.h5` holds weights, `.keras` and `.h5` a whole model with softmax at its end. The file is there when it is
    whole, not before.

    Raises:
        UserError: another ending, an array of another shape, or the file cannot be written.
    """
    path = os.fspath(path)
    keras_files.check_ending(path)
    bias = arrays.get(f"{MODELS[pair.network].top[-1]}/bias")
    model = keras_models.build(pair.network, None if bias is None else len(bias))
    variables = keras_models.variables(model)
    for name, variable in variables.items():
        if tuple(variable.shape) != arrays[name].shape:
            raise UserError(f"{name} of {pair.other} has shape {tuple(variable.shape)}, not {arrays[name].shape}")
        variable.assign(arrays[name])
    keras_files.save(model, path)


measure = keras_measure.measure
