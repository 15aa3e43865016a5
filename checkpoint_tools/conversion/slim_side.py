"""What a conversion asks of our networks: the variables of a prediction, and which of them are the classifier's.

From the stored signatures, so that finding out what a file is builds no network.
"""

import functools
from collections.abc import Collection, Mapping

from checkpoint_tools import signatures
from checkpoint_tools.signatures import CLASSES, Signature

Shapes = dict[str, tuple[int, ...]]


@functools.cache
def _signature(network: str) -> Signature:
    return next(signature for signature in signatures.stored() if signature.model_name == network)


def prediction_shapes(network: str, num_classes: int | None) -> Shapes:
    """Slim name -> shape of the variables that a prediction needs, in the order in which the network makes them.

    Args:
        network: `--model_name`.
        num_classes: width of the classifier; None or 0 leaves it out.
    """
    signature = _signature(network)
    left_out = classifier_names(network) if not num_classes else ()
    return {
        name: shape
        for name, shape in signature.shapes(num_classes).items()
        if name not in left_out and not _is_in(name, signature.auxiliary_scopes)
    }


def auxiliary_shapes(network: str, num_classes: int | None) -> Shapes:
    """Slim name -> shape of the auxiliary heads' variables at the network's default image size."""
    signature = _signature(network)
    shapes = signature.shapes(num_classes)
    return {name: shape for name, shape in shapes.items() if _is_in(name, signature.auxiliary_scopes)}


@functools.cache
def classifier_names(network: str) -> frozenset[str]:
    """Names of the main classifier's variables. The last axis of each is the class."""
    signature = _signature(network)
    return frozenset(
        name
        for name, pattern in signature.variables.items()
        if CLASSES in pattern and not _is_in(name, signature.auxiliary_scopes)
    )


def class_count(network: str, shapes: Mapping[str, Collection[int]]) -> int | None:
    """The number of classes of a classifier with these shapes; None where there is none."""
    widths = {tuple(shapes[name])[-1] for name in classifier_names(network) if shapes.get(name)}
    return widths.pop() if len(widths) == 1 else None


def missing_scopes(network: str, names: Collection[str]) -> list[str]:
    """The scopes to exclude so that training can start from variables of these names: heads, or single layers."""
    signature = _signature(network)
    missing = [name for name in signature.variables if name not in names]
    scopes = [
        next((head for head in signature.head_scopes if _is_in(name, (head,))), name.rpartition("/")[0])
        for name in missing
    ]
    return list(dict.fromkeys(scopes))


def _is_in(name: str, scopes: Collection[str]) -> bool:
    return any(name.startswith(f"{scope}/") for scope in scopes)
