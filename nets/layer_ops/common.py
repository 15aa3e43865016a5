"""What every layer shares: tuples, shapes, layouts, and the tail of a layer (normalizer or bias, activation)."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from nets import slim
from nets.layer_ops import variables

ZEROS = tf.compat.v1.zeros_initializer()
ONES = tf.compat.v1.ones_initializer()

# Channels-last name of each layout and the axis of its channels.
LAYOUTS = {
    "NWC": ("NWC", -1),
    "NHWC": ("NHWC", -1),
    "NDHWC": ("NDHWC", -1),
    "NCW": ("NWC", 1),
    "NCHW": ("NHWC", 1),
    "NCDHW": ("NDHWC", 1),
}


def integers(value: Any, count: int, name: str) -> tuple[int, ...]:
    """`value` as `count` integers; one integer stands for all of them. ValueError otherwise."""
    if isinstance(value, int):
        return (value,) * count
    try:
        numbers = tuple(int(number) for number in value)
    except TypeError:
        numbers = (int(value),) * count
    if len(numbers) != count:
        raise ValueError(f"{name} must be one integer or {count} of them, got {value!r}")
    return numbers


def check_layout(data_format: str | None, allowed: Sequence[str]) -> str:
    """`data_format`, the first of `allowed` when None; ValueError when it is another one."""
    if data_format is None:
        return allowed[0]
    if data_format not in allowed:
        raise ValueError(f"invalid data_format {data_format!r}: it has to be either {' or '.join(allowed)}")
    return data_format


def tensor_of_rank(inputs: Any, rank: int, layer: str) -> tf.Tensor:
    """`inputs` as a tensor; ValueError unless it has `rank` axes."""
    inputs = tf.convert_to_tensor(inputs)
    if inputs.shape.rank != rank:
        raise ValueError(f"{layer} expects input with rank {rank}, got shape {inputs.shape}")
    return inputs


def known_channels(inputs: tf.Tensor, axis: int) -> int:
    """The static size of the channels axis; ValueError where the graph does not know it."""
    size = inputs.shape.as_list()[axis]
    if size is None:
        raise ValueError(f"the channel dimension of the inputs must be known, got shape {inputs.shape}")
    return size


def spatial_attribute(numbers: Sequence[int], data_format: str) -> list[int]:
    """Strides or window sizes as the raw ops take them: 1 for batch and channels."""
    return [1, *numbers, 1] if LAYOUTS[data_format][1] == -1 else [1, 1, *numbers]


@functools.cache
def has_gpu() -> bool:
    """Whether TensorFlow sees one."""
    return bool(tf.config.get_visible_devices("GPU"))


def with_layout(op: Callable[[tf.Tensor, str], tf.Tensor], inputs: tf.Tensor, data_format: str) -> tf.Tensor:
    """Calls `op(inputs, data_format)`, transposed to channels last and back where no GPU could run channels first.

    The plain CPU kernels of convolution and pooling know channels last alone (those of oneDNN know both, but it can be
    switched off and does not exist for every processor).
    """
    last, axis = LAYOUTS[data_format]
    if axis == -1 or has_gpu():
        return op(inputs, data_format)
    rank = len(data_format)
    outputs = op(tf.transpose(inputs, [0, *range(2, rank), 1]), last)
    return tf.transpose(outputs, [0, rank - 1, *range(1, rank - 1)])


def add_bias(outputs: tf.Tensor, biases: Any, data_format: str) -> tf.Tensor:
    """Adds one value a channel; the op is called BiasAdd, as the output nodes of Slim's frozen graphs are."""
    if LAYOUTS[data_format][1] == 1:
        return tf.raw_ops.BiasAdd(value=outputs, bias=biases, data_format="NCHW")
    return tf.raw_ops.BiasAdd(value=outputs, bias=biases)


def collect(outputs_collections: Any, alias: str, outputs: tf.Tensor) -> tf.Tensor:
    """Adds the outputs to the collections under `alias`, as Slim's end points are found; returns them."""
    if not outputs_collections:
        return outputs
    return slim.utils.collect_named_outputs(outputs_collections, alias, outputs)


def finish(
    outputs: tf.Tensor,
    scope_name: str,
    channels: int,
    data_format: str,
    activation_fn: Callable[[tf.Tensor], tf.Tensor] | None,
    normalizer_fn: Callable[..., tf.Tensor] | None,
    normalizer_params: dict[str, Any] | None,
    biases_initializer: Any,
    biases_regularizer: Any,
    variables_collections: variables.Collections,
    outputs_collections: Any,
    trainable: bool,
    regularizer_name: str = "bias",
) -> tf.Tensor:
    """The tail of a layer inside its variable scope: normalizer or else bias, activation, collections."""
    if normalizer_fn is not None:
        outputs = normalizer_fn(outputs, **(normalizer_params or {}))
    elif biases_initializer is not None:
        biases = variables.model_variable(
            "biases",
            [channels],
            outputs.dtype,
            biases_initializer,
            biases_regularizer,
            trainable,
            variables.extra_collections(variables_collections, "biases"),
            f"{scope_name}/{regularizer_name}",
        )
        outputs = add_bias(outputs, biases, data_format)
    if activation_fn is not None:
        outputs = activation_fn(outputs)
    return collect(outputs_collections, scope_name, outputs)
