"""What a network costs: the parameters that a prediction uses, and its multiply-adds."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from nets import nets_factory, registry

FRAMES = 64  # of a clip, for the video networks


class Cost(NamedTuple):
    """Of one prediction, for one image (or one clip of 64 frames)."""

    parameters: int  # trained values that the logits depend on: an auxiliary classifier's do not count
    multiply_adds: (
        int  # of convolutions and matrix products; biases, normalisation and pooling are left out, as is usual
    )


def measure(name: str, num_classes: int | None = None, image_size: int | None = None, **kwargs: Any) -> Cost:
    """Counts on the graph of a registered network in evaluation mode.

    Args:
      name: of the network.
      num_classes: None for those of `NetworkRecord.num_classes`.
      image_size: side in pixels; None for the network's default.
      **kwargs: further arguments of the network function.
    """
    record = registry.get(name)
    variables: dict[str, tf.Tensor] = {}
    sizes: dict[tf.Operation, int] = {}

    def make(getter: Any, name: str, shape: Any = None, dtype: Any = tf.float32, **options: Any) -> tf.Tensor:
        if name not in variables:
            variables[name] = tf.compat.v1.placeholder(dtype, shape)
            is_statistic = options.get("synchronization") == tf.VariableSynchronization.ON_READ
            if options.get("trainable") is not False and not is_statistic:
                sizes[variables[name].op] = variables[name].shape.num_elements()
        return variables[name]

    side = image_size or record.image_size
    frames = (FRAMES,) if record.video else ()
    with tf.Graph().as_default(), tf.compat.v1.variable_scope("", custom_getter=make):
        images = tf.compat.v1.placeholder(tf.float32, (1, *frames, side, side, record.channels))
        logits, _ = nets_factory.get_network_fn(name, num_classes or record.num_classes)(images, **kwargs)
        used = _ancestors(logits.op)
    return Cost(
        parameters=sum(sizes.get(op, 0) for op in used),
        multiply_adds=sum(_MULTIPLY_ADDS[op.type](op) for op in used if op.type in _MULTIPLY_ADDS),
    )


def _ancestors(op: tf.Operation) -> set[tf.Operation]:
    """The operation and all that it needs."""
    found, to_visit = {op}, [op]
    while to_visit:
        for tensor in to_visit.pop().inputs:
            if tensor.op not in found:
                found.add(tensor.op)
                to_visit.append(tensor.op)
    return found


def _values(tensor: tf.Tensor) -> int:
    return tensor.shape.num_elements()


def _convolution(op: tf.Operation) -> int:
    # Each output value sums over a window of all input channels of its group: the kernel without its last axis.
    return _values(op.outputs[0]) * math.prod(op.inputs[1].shape[:-1])


def _depthwise(op: tf.Operation) -> int:
    return _values(op.outputs[0]) * math.prod(op.inputs[1].shape[:2])


def _matrix_product(op: tf.Operation) -> int:
    inner = op.inputs[0].shape[0 if op.get_attr("transpose_a") else 1]
    return _values(op.outputs[0]) * inner


_MULTIPLY_ADDS: dict[str, Callable[[tf.Operation], int]] = {
    "Conv2D": _convolution,
    "Conv3D": _convolution,
    "DepthwiseConv2dNative": _depthwise,
    "MatMul": _matrix_product,
}
