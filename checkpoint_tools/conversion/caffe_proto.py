"""Caffe's model files: the protocol buffer's bytes to arrays and back, without Caffe.

The messages are made from their field numbers (caffe.proto), those alone that weights need; the parser passes over all
others. Packed numbers are declared as bytes, which look the same in a file, so that arrays are read at once.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from common.errors import UserError

_Field = descriptor_pb2.FieldDescriptorProto
_INTEGER, _TEXT, _BYTES, _MESSAGE = _Field.TYPE_INT64, _Field.TYPE_STRING, _Field.TYPE_BYTES, _Field.TYPE_MESSAGE

# message -> field -> (number, type or message, repeated)
_MESSAGES: dict[str, dict[str, tuple[int, int | str, bool]]] = {
    "BlobShape": {"dim": (1, _INTEGER, True)},
    "BlobProto": {
        "num": (1, _INTEGER, False),
        "channels": (2, _INTEGER, False),
        "height": (3, _INTEGER, False),
        "width": (4, _INTEGER, False),
        "data": (5, _BYTES, True),  # little-endian float32
        "shape": (7, "BlobShape", False),
        "double_data": (8, _BYTES, True),  # little-endian float64
    },
    # The form since 2014 ...
    "LayerParameter": {"name": (1, _TEXT, False), "type": (2, _TEXT, False), "blobs": (7, "BlobProto", True)},
    # ... and the one before, whose types are numbers.
    "V1LayerParameter": {"name": (4, _TEXT, False), "type": (5, _INTEGER, False), "blobs": (6, "BlobProto", True)},
    "NetParameter": {
        "name": (1, _TEXT, False),
        "layers": (2, "V1LayerParameter", True),
        "layer": (100, "LayerParameter", True),
    },
}
_PACKAGE = "weights_of_caffe"
_FULLY_CONNECTED = ("InnerProduct", 14)


class Layer(NamedTuple):
    """A layer to write: its name, Caffe's type, and its arrays in Caffe's order (weights, biases)."""

    name: str
    type: str
    arrays: Sequence[np.ndarray]


@functools.cache
def _message(name: str) -> type[Any]:
    file = descriptor_pb2.FileDescriptorProto(name=f"{_PACKAGE}.proto", package=_PACKAGE, syntax="proto2")
    for message_name, fields in _MESSAGES.items():
        message = file.message_type.add(name=message_name)
        for field_name, (number, kind, is_repeated) in fields.items():
            label = _Field.LABEL_REPEATED if is_repeated else _Field.LABEL_OPTIONAL
            field = message.field.add(name=field_name, number=number, label=label)
            if isinstance(kind, str):
                field.type, field.type_name = _MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                field.type = kind
                if is_repeated and kind == _INTEGER:
                    field.options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


def decode(content: bytes, source: str) -> dict[str, np.ndarray]:
    """`layer/0` (weights), `layer/1` (biases), ... -> float32 array, for all layers with weights.

    Raises:
        UserError: cut off, or no Caffe model; an array has more or fewer numbers than its shape says.
    """
    network = _message("NetParameter")()
    try:
        network.ParseFromString(content)
    except DecodeError:
        raise UserError(f"{source} is cut off, or no Caffe model; copy or fetch it again") from None
    arrays: dict[str, np.ndarray] = {}
    for layer in (*network.layers, *network.layer):
        for index, blob in enumerate(layer.blobs):
            name = f"{layer.name}/{index}"
            if name in arrays:
                raise UserError(f"{source} has two layers {layer.name!r}")
            what = f"{source}: array {index} of {layer.name}"
            arrays[name] = _array(blob, index, layer.type in _FULLY_CONNECTED, what)
    if not arrays:
        raise UserError(f"{source} holds no weights of Caffe: is it a .caffemodel, and no .prototxt or .solverstate?")
    return arrays


def _array(blob: Any, index: int, is_fully_connected: bool, what: str) -> np.ndarray:
    if blob.HasField("shape"):
        shape = tuple(blob.shape.dim)
    else:
        shape = _old_shape((blob.num, blob.channels, blob.height, blob.width), index, is_fully_connected)
    kind = np.dtype("<f8") if blob.double_data else np.dtype("<f4")
    content = b"".join(blob.double_data or blob.data)
    needed = math.prod(shape) * kind.itemsize
    if min(shape, default=1) < 0 or len(content) != needed:
        raise UserError(f"{what} has {len(content):,} bytes, its shape {shape} needs {needed:,}")
    return np.frombuffer(content, kind).reshape(shape).astype(np.float32, copy=False)


def _old_shape(shape: tuple[int, ...], index: int, is_fully_connected: bool) -> tuple[int, ...]:
    """The shape of an array that has four axes since all had: biases (1, 1, 1, n), matrices (1, 1, m, n)."""
    kept = 1 if index else 2 if is_fully_connected else 4
    return shape[-kept:] if math.prod(shape[:-kept]) == 1 else shape


def encode(name: str, layers: Sequence[Layer]) -> bytes:
    """A model of these layers, in the form since 2014. float32."""
    network = _message("NetParameter")(name=name)
    for layer in layers:
        message = network.layer.add(name=layer.name, type=layer.type)
        for array in layer.arrays:
            blob = message.blobs.add()
            blob.shape.dim.extend(array.shape)
            blob.data.append(np.ascontiguousarray(array, "<f4").tobytes())
    return network.SerializeToString()


def layers_of(arrays: Mapping[str, np.ndarray]) -> list[Layer]:
    """Layers for arrays by the names that `decode` gives; matrices are fully connected, the others convolutions."""
    found: dict[str, dict[int, np.ndarray]] = {}
    for name, array in arrays.items():
        layer, _, index = name.rpartition("/")
        found.setdefault(layer, {})[int(index)] = array
    return [
        Layer(name, "InnerProduct" if blobs[0].ndim == 2 else "Convolution", [blobs[index] for index in sorted(blobs)])
        for name, blobs in found.items()
    ]
