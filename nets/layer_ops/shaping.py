"""Layers without variables: dropout, flatten, softmax, one-hot; and the two that call other layers in a row."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from nets import slim
from nets.layer_ops import common, context

_v1 = tf.compat.v1


def static_bool(value: Any) -> bool | None:
    """True or False where the graph building knows it (a bool, a number, a constant tensor), else None."""
    if value is True or value is False:
        return value
    if tf.is_tensor(value):
        value = tf.get_static_value(value)
    return None if value is None else bool(value)


def _drop(inputs: tf.Tensor, keep_prob: Any, noise_shape: Any, seed: int | None, scope_name: str) -> tf.Tensor:
    stateless = context.current().seed
    if stateless is None:
        return tf.nn.dropout(inputs, 1.0 - keep_prob, noise_shape, seed)
    shape = tf.shape(inputs)
    if tf.is_tensor(noise_shape):
        shape = noise_shape
    elif noise_shape is not None:
        shape = [shape[axis] if size is None else size for axis, size in enumerate(noise_shape)]
    # Always float32: bfloat16 has too few values below 1 to hit a keep probability of 0.999.
    draws = tf.random.stateless_uniform(shape, context.fold_seed(stateless, scope_name))
    scaled = inputs / tf.cast(keep_prob, inputs.dtype)
    return tf.where(draws < keep_prob, scaled, tf.zeros([], inputs.dtype))


@slim.add_arg_scope
def dropout(
    inputs: Any,
    keep_prob: Any = 0.5,
    noise_shape: Any = None,
    is_training: Any = True,
    outputs_collections: Any = None,
    scope: Any = None,
    seed: int | None = None,
) -> tf.Tensor:
    """Sets values to zero at random and scales the others by 1 / keep_prob while training (Srivastava et al. 2014).

    Args:
      inputs: floating tensor.
      keep_prob: probability in (0, 1] that a value stays; a number or a scalar tensor.
      noise_shape: shape of the mask, broadcast over the inputs, None in it for their own size; None for all of it.
      is_training: bool, or a scalar bool tensor. When False the inputs pass unchanged.
      scope: variable scope; None for a unique `Dropout`.
      seed: op-level seed of the stateful draw; `layers.call_context(seed=...)` makes the mask stateless instead.
    """
    with _v1.variable_scope(scope, "Dropout") as opened:
        inputs = tf.convert_to_tensor(inputs)
        training = static_bool(is_training)
        if training is False or (training and isinstance(keep_prob, int | float) and keep_prob == 1):
            outputs = tf.identity(inputs)
        elif training:
            outputs = _drop(inputs, keep_prob, noise_shape, seed, opened.name)
        else:
            outputs = tf.cond(
                is_training,
                lambda: _drop(inputs, keep_prob, noise_shape, seed, opened.name),
                lambda: tf.identity(inputs),
            )
        return common.collect(outputs_collections, opened.name, outputs)


@slim.add_arg_scope
def flatten(inputs: Any, outputs_collections: Any = None, scope: str | None = None) -> tf.Tensor:
    """Reshapes [batch, ...] to [batch, rest]. The batch may be unknown; the rest may be too."""
    with _v1.name_scope(scope, "Flatten") as opened:
        inputs = tf.convert_to_tensor(inputs)
        if inputs.shape.rank is None:
            raise ValueError("flatten expects input of known rank, with the batch first")
        rest = inputs.shape[1:].num_elements()
        if rest is not None:
            outputs = tf.reshape(inputs, [-1, rest])
        else:
            outputs = tf.reshape(inputs, tf.stack([tf.shape(inputs)[0], -1]))
        outputs.set_shape([inputs.shape.as_list()[0], rest])
        return common.collect(outputs_collections, opened, outputs)


@slim.add_arg_scope
def softmax(logits: Any, scope: Any = None) -> tf.Tensor:
    """Softmax over the last axis for any rank.

    The result's op is `<scope>/Reshape_1` at every rank, for frozen graphs of Slim's networks are cut by that name.
    """
    with _v1.variable_scope(scope, "softmax"):
        logits = tf.convert_to_tensor(logits)
        rows = tf.raw_ops.Reshape(tensor=logits, shape=[-1, common.known_channels(logits, -1)])
        probabilities = tf.raw_ops.Reshape(tensor=tf.raw_ops.Softmax(logits=rows), shape=tf.shape(logits))
        probabilities.set_shape(logits.shape)
        return probabilities


@slim.add_arg_scope
def one_hot_encoding(
    labels: Any,
    num_classes: int,
    on_value: float = 1.0,
    off_value: float = 0.0,
    outputs_collections: Any = None,
    scope: str | None = None,
) -> tf.Tensor:
    """float32 [..., num_classes] from integer labels [...]; a label out of range gives a row of `off_value`."""
    with _v1.name_scope(scope, "OneHotEncoding") as opened:
        labels = tf.convert_to_tensor(labels)
        if labels.dtype == tf.int32:
            labels = tf.cast(labels, tf.int64)
        outputs = tf.one_hot(labels, num_classes, on_value=on_value, off_value=off_value)
        return common.collect(outputs_collections, opened, outputs)


def _base_name(layer: Callable[..., Any], fallback: str) -> str:
    # A functools.partial has no name of its own.
    return getattr(layer, "__name__", None) or getattr(getattr(layer, "func", None), "__name__", fallback)


def repeat(
    inputs: Any, repetitions: int, layer: Callable[..., Any], *args: Any, scope: str | None = None, **kwargs: Any
) -> Any:
    """Applies one layer `repetitions` times, each to the result of the one before (Slim's).

    `repeat(x, 2, conv2d, 64, 3, scope="conv1")` makes `conv1/conv1_1` and `conv1/conv1_2`. Without a scope the outer
    one is a unique `Repeat` and the inner ones take the layer's function name. Returns the last output.
    """
    with _v1.variable_scope(scope, "Repeat"):
        outputs = tf.convert_to_tensor(inputs)
        base = scope or _base_name(layer, "repeat")
        for number in range(repetitions):
            outputs = layer(outputs, *args, scope=f"{base}_{number + 1}", **kwargs)
        return outputs


def stack(
    inputs: Any, layer: Callable[..., Any], stack_args: Sequence[Any], scope: str | None = None, **kwargs: Any
) -> Any:
    """Applies one layer once for each element of `stack_args`, its positional arguments, in a row (Slim's).

    `stack(x, fully_connected, [32, 64], scope="fc")` makes `fc/fc_1` and `fc/fc_2`. Returns the last output.

    Raises:
      ValueError: `stack_args` is not a list or tuple.
    """
    if not isinstance(stack_args, list | tuple):
        raise ValueError(f"stack_args must be a list or tuple, got {stack_args!r}")
    with _v1.variable_scope(scope, "Stack"):
        outputs = tf.convert_to_tensor(inputs)
        base = scope or _base_name(layer, "stack")
        for number, element in enumerate(stack_args):
            arguments = element if isinstance(element, list | tuple) else [element]
            outputs = layer(outputs, *arguments, scope=f"{base}_{number + 1}", **kwargs)
        return outputs
