"""What the variables of an object-based TF2 checkpoint are called.

Such a checkpoint stores tensors under the paths of objects (`model/layer-1/kernel/.ATTRIBUTES/VARIABLE_VALUE`) and, in
one string tensor, a `TrackableObjectGraph` that knows each variable's own name. Its fields that count here, from
tensorflow/core/protobuf/trackable_object_graph.proto: nodes = 1; of a node: attributes = 2; of an attribute:
full_name = 2, checkpoint_key = 3.
"""

import re
from collections.abc import Callable, Iterable

from common.protobuf_wire import fields

KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"

_NO_NAME = re.compile(r"^Variable(_\d+)?$")  # what TensorFlow calls a variable that nobody named


def full_names(graph: bytes) -> dict[str, str]:
    """Returns the key in the checkpoint -> the variable's own name, of those variables that have one.

    Args:
        graph: the serialised `TrackableObjectGraph`.

    Raises:
        ValueError: it is none.
    """
    names = {}
    for number, node in fields(graph):
        if number != 1:
            continue
        for number, attribute in fields(node):
            if number != 2:
                continue
            values = {number: bytes(value).decode() for number, value in fields(attribute) if number in (2, 3)}
            name = values.get(2, "").removesuffix(":0")
            if name and not _NO_NAME.match(name):
                names[values.get(3, "")] = name
    return names


def readable_names(
    keys: Iterable[str], full_names: dict[str, str], are_equal: Callable[[list[str]], bool]
) -> dict[str, str]:
    """Returns readable name -> key: the variable's own name where it is told apart by it, else the path of its object.

    An object that is saved twice under two paths (as Keras's exports do) is there once.

    Args:
        keys: names in the checkpoint.
        full_names: see `full_names`.
        are_equal: whether several keys, of variables with one name, hold the same values.
    """
    keys = [key for key in keys if key != KEY]
    sharing: dict[str, list[str]] = {}
    for key in keys:
        if key in full_names:
            sharing.setdefault(full_names[key], []).append(key)
    named = {}
    for name, alike in sharing.items():
        if len(alike) == 1 or are_equal(alike):
            named[name] = alike[0]
    done = {key for name in named for key in sharing[name]}
    paths = {key.removesuffix(SUFFIX): key for key in keys if key not in done}
    return dict(sorted((paths | named).items()))
