"""Weights files of other frameworks as Slim variables, and back: one way in, one way out, whatever the framework.

A framework's module has

    NETWORKS                                    our networks that have a counterpart there
    REFUSED                                     (may be missing) network -> why its namesake there is none
    pair(network, num_classes, names) -> Pair   or None; `names` are those of the file that is read, for variants
    read(path) -> dict                          name -> array of all weights; no pickle is loaded
    write(path, pair, arrays)                   atomically
    measure(pair) -> (difference, scale)        or None where the framework is not installed
"""

import dataclasses
import importlib
import os
from collections.abc import Collection, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from checkpoint_tools.conversion import pickles, slim_side
from checkpoint_tools.conversion.pairs import Arrays, Pair, from_slim, to_slim
from common.errors import UserError


@dataclasses.dataclass(frozen=True)
class Framework:
    """A kind of file.

    Attributes:
        module: of this package.
        names: of the frameworks whose weights such files hold.
        endings: of the files' names.
        magic: bytes that such a file starts with, where it has some.
    """

    module: str
    names: tuple[str, ...]
    endings: tuple[str, ...]
    magic: bytes | None = None

    def load(self) -> ModuleType:
        """Imports the module."""
        return importlib.import_module(f"{__package__}.{self.module}")


FRAMEWORKS = (
    Framework("keras_pairs", ("keras",), (".weights.h5", ".keras", ".h5", ".hdf5"), b"\x89HDF\r\n\x1a\n"),
    Framework("torch_files", ("torchvision", "timm"), (".safetensors",)),
    Framework("caffe_files", ("caffe",), (".caffemodel",)),
    Framework("mxnet_files", ("mxnet",), (".params",)),
)

_AVERAGE = "/ExponentialMovingAverage"


@dataclasses.dataclass(frozen=True)
class Imported:
    """What a file of another framework held.

    Attributes:
        values: Slim name -> array, of all variables that a prediction needs (less the classifier where the file has
            none); auxiliary classifiers only where the file has them.
        model_name: our network.
        num_classes: of the classifier; None where the file has none.
        framework: `keras`, `timm`, `torchvision`, `caffe` or `mxnet`.
        other: the network's name there.
        exact: whether our network gives the same outputs up to rounding.
        preprocessing: how the input differs from that of our recipe.
        notes: what else to say, a line each.
    """

    values: dict[str, np.ndarray]
    model_name: str
    num_classes: int | None
    framework: str
    other: str
    exact: bool
    preprocessing: str
    notes: tuple[str, ...]


def is_weights_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file is for `import_weights` by its name, or by its first bytes where it exists: no checkpoint."""
    path = os.fspath(path)
    return path.lower().endswith(pickles.ENDINGS) or _framework_of(path) is not None


def import_weights(path: str | os.PathLike[str], model_name: str | None = None) -> Imported:
    """Reads a weights file of another framework.

    Args:
        path: the file; its ending or content tells the framework.
        model_name: our network; None to find it by the arrays' names and shapes.

    Raises:
        UserError: no such file, no such format, a pickle, no network or more than one that fits.
    """
    path = os.path.expanduser(os.fspath(path))
    pickles.refuse(path)
    framework = _framework_of(path)
    if framework is None:
        raise UserError(f"{path} is no file of another framework: expected a name that ends in {_endings()}")
    module = framework.load()
    if model_name is not None:
        _check_network(module, framework, model_name)
    arrays = module.read(path)
    fitting = [network for network in module.NETWORKS if _fits(module, network, arrays)]
    network = _choose(path, framework, arrays, fitting, model_name)
    pair, num_classes = _pair(module, network, arrays)
    values = to_slim(pair, arrays, path)
    _check_shapes(network, num_classes, values, path)
    return Imported(
        values=values,
        model_name=network,
        num_classes=num_classes,
        framework=pair.framework,
        other=pair.other,
        exact=pair.exact,
        preprocessing=pair.preprocessing,
        notes=(*_pair_notes(pair), *_missing_notes(network, values)),
    )


def export_weights(
    values: Mapping[str, Any], model_name: str, path: str | os.PathLike[str], framework: str | None = None
) -> list[str]:
    """Writes a checkpoint's variables as a weights file of another framework, whole or not at all.

    Args:
        values: Slim name -> array or tensor; what the other network has no place for (steps, slots, auxiliary
            classifiers) is left out.
        model_name: the network they are of.
        path: the file to write; its ending tells the format.
        framework: whose weights, where files of that ending may be of several.

    Returns:
        What was done, for the log, a line each.

    Raises:
        UserError: another ending, a network without a counterpart, variables that are missing or of another shape.
    """
    path = os.path.expanduser(os.fspath(path))
    kind = _framework_of(path, by_content=False)
    if kind is None:
        raise UserError(f"{path}: the ending tells the format to write, expected one of {_endings()}")
    module = kind.load()
    _check_network(module, kind, model_name)
    arrays = {name: np.asarray(value) for name, value in values.items()}
    num_classes = slim_side.class_count(model_name, {name: array.shape for name, array in arrays.items()})
    pair = module.pair(model_name, num_classes, ())
    if framework not in (None, pair.framework):
        raise UserError(f"{path}: {model_name} is written as {pair.other} of {pair.framework}, not for {framework}")
    written = {entry.slim for entry in pair.entries}
    _check_shapes(model_name, num_classes, {name: arrays[name] for name in written & arrays.keys()}, "the checkpoint")
    module.write(path, pair, from_slim(pair, arrays, "the checkpoint"))
    classes = f"{num_classes} classes" if num_classes else "without its classifier"
    lines = [f"{path}: {pair.other} of {pair.framework}, {classes}, {len(written)} arrays of {model_name}"]
    if left_out := [name for name in arrays if name not in written]:
        lines.append(f"left out {len(left_out)} that have no place there: {_some(left_out)}")
    if any(name.endswith(_AVERAGE) for name in left_out):
        lines.append(
            "these are the variables, not their moving averages: --fold_averages puts the averages in their place"
        )
    return [*lines, *_pair_notes(pair), f"input: {pair.preprocessing}"]


# -- which framework, which network ----------------------------------------------------------------------------------


def _framework_of(path: str, by_content: bool = True) -> Framework | None:
    for framework in FRAMEWORKS:
        if path.endswith(framework.endings):
            return framework
    if not by_content or not os.path.isfile(path):
        return None
    with open(path, "rb") as file:
        start = file.read(8)
    return next((framework for framework in FRAMEWORKS if framework.magic and start == framework.magic), None)


def _endings() -> str:
    return ", ".join(ending for framework in FRAMEWORKS for ending in framework.endings)


def _check_network(module: ModuleType, framework: Framework, model_name: str) -> None:
    if model_name in module.NETWORKS:
        return
    names = " or ".join(framework.names)
    refused = getattr(module, "REFUSED", {}).get(model_name)
    if refused:
        raise UserError(f"--model_name: {model_name} has no counterpart in {names}: {refused}")
    raise UserError(
        f"--model_name: {model_name} has no counterpart in {names}; these have: {', '.join(module.NETWORKS)}"
    )


def _pair(module: ModuleType, network: str, arrays: Arrays) -> tuple[Pair, int | None]:
    """The pair of a network for these arrays, and their number of classes."""
    classifier = slim_side.classifier_names(network)
    biases = [
        entry.other
        for entry in module.pair(network, 1000, arrays.keys()).entries
        if entry.slim in classifier and entry.slim.endswith("/biases")
    ]
    num_classes = next((int(arrays[name].shape[-1]) for name in biases if name in arrays), None)
    return module.pair(network, num_classes, arrays.keys()), num_classes


def _fits(module: ModuleType, network: str, arrays: Arrays) -> bool:
    """Whether arrays have all names and shapes of a network, and no others."""
    pair, num_classes = _pair(module, network, arrays)
    known = pair.optional.union(factor.other for factor in pair.factors)
    wanted = {entry.other for entry in pair.entries}
    if not wanted <= arrays.keys() <= wanted | known:
        return False
    shapes = _shapes(network, num_classes)
    try:
        return all(entry.layout.to_slim(arrays[entry.other]).shape == shapes[entry.slim] for entry in pair.entries)
    except (ValueError, IndexError):
        return False


def _choose(path: str, framework: Framework, arrays: Arrays, fitting: list[str], model_name: str | None) -> str:
    module = framework.load()
    if model_name in fitting or (model_name and not fitting):
        return model_name  # where it does not fit, the conversion says what does not
    if model_name:
        raise UserError(
            f"{path} is a {fitting[0]}, not a {model_name}; give --model_name={fitting[0]}, or leave it out"
        )
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UserError(f"{path} may be {' or '.join(fitting)}: say which, with --model_name")
    near = sorted(module.NETWORKS, key=lambda network: -_shared(module, network, arrays))[:3]
    raise UserError(
        f"{path} ({len(arrays)} arrays: {_some(arrays)}) is none of the networks of {' or '.join(framework.names)} "
        f"that we know; the closest are {', '.join(near)}: --model_name={near[0]} says what is wrong with it"
    )


def _shared(module: ModuleType, network: str, arrays: Arrays) -> float:
    """The share of names that a file and a network have in common."""
    wanted = {entry.other for entry in _pair(module, network, arrays)[0].entries}
    return len(wanted & arrays.keys()) / len(wanted | arrays.keys())


# -- checks and words ------------------------------------------------------------------------------------------------


def _shapes(network: str, num_classes: int | None) -> slim_side.Shapes:
    return slim_side.prediction_shapes(network, num_classes) | slim_side.auxiliary_shapes(network, num_classes)


def _check_shapes(network: str, num_classes: int | None, arrays: Arrays, source: str) -> None:
    shapes = _shapes(network, num_classes)
    wrong = [name for name, array in arrays.items() if array.shape != shapes[name]]
    if wrong:
        name = wrong[0]
        raise UserError(
            f"{source} does not fit {network}: {len(wrong)} variables have other shapes, {name} "
            f"{arrays[name].shape} where the network has {shapes[name]}; is --model_name right?"
        )


def _pair_notes(pair: Pair) -> list[str]:
    if pair.exact:
        return [pair.notes] if pair.notes else []
    return [f"not quite the same function as {pair.other} of {pair.framework}: {pair.notes}"]


def _missing_notes(network: str, names: Collection[str]) -> list[str]:
    """How to train from variables that are not all of the network's."""
    scopes = slim_side.missing_scopes(network, names)
    if not scopes:
        return []
    has_classifier = any(name in names for name in slim_side.classifier_names(network))
    exclude = f"--checkpoint_exclude_scopes={','.join(scopes)}"
    if not has_classifier:
        return [f"the file has no classifier: train with {exclude}"]
    return [
        f"the file has no {', '.join(scopes)}, which training alone uses: train with {exclude}, or for other classes "
        f"with --checkpoint_exclude_scopes=head"
    ]


def _some(names: Collection[str], count: int = 3) -> str:
    names = list(names)
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")
