"""Fully connected layers and the bias on its own."""

import functools
import numbers
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from nets import slim
from nets.initializers import xavier_initializer
from nets.layer_ops import common, variables

_v1 = tf.compat.v1


@slim.add_arg_scope
def fully_connected(
    inputs: Any,
    num_outputs: int,
    activation_fn: Callable[[tf.Tensor], tf.Tensor] | None = tf.nn.relu,
    normalizer_fn: Callable[..., tf.Tensor] | None = None,
    normalizer_params: dict[str, Any] | None = None,
    weights_initializer: Any = xavier_initializer(),  # noqa: B008 (it holds no state)
    weights_regularizer: Any = None,
    biases_initializer: Any = common.ZEROS,
    biases_regularizer: Any = None,
    reuse: bool | None = None,
    variables_collections: variables.Collections = None,
    outputs_collections: Any = None,
    trainable: bool = True,
    scope: Any = None,
) -> tf.Tensor:
    """Multiplies the last axis with a matrix, then normalizer or bias, then activation (Slim's).

    Variables, in the inputs' dtype: `weights` [channels in, num_outputs] and `biases` [num_outputs].

    Args:
      inputs: floating tensor [batch, ..., channels], of rank 2 or more. Axes between stay as they are.
      num_outputs: a Python integer.
      Others: as in `convolution2d`.

    Returns:
      A tensor [batch, ..., num_outputs].

    Raises:
      ValueError: `num_outputs` is not an integer, rank below 2, or unknown channels.
    """
    if not isinstance(num_outputs, numbers.Integral):
        raise ValueError(f"num_outputs must be an integer, got {num_outputs!r}")
    num_outputs = int(num_outputs)
    with _v1.variable_scope(scope, "fully_connected", reuse=reuse) as opened:
        inputs = tf.convert_to_tensor(inputs)
        rank = inputs.shape.rank
        if rank is None or rank < 2:
            raise ValueError(f"fully_connected expects input with rank 2 or more, got shape {inputs.shape}")
        channels = common.known_channels(inputs, -1)
        weights = variables.model_variable(
            "weights",
            [channels, num_outputs],
            inputs.dtype,
            weights_initializer,
            weights_regularizer,
            trainable,
            variables.extra_collections(variables_collections, "weights"),
            f"{opened.name}/kernel",
        )
        if rank == 2:
            outputs = tf.raw_ops.MatMul(a=inputs, b=weights)
        else:
            outputs = tf.tensordot(inputs, weights, [[rank - 1], [0]])
        return common.finish(
            outputs,
            opened.name,
            num_outputs,
            "NHWC",
            activation_fn,
            normalizer_fn,
            normalizer_params,
            biases_initializer,
            biases_regularizer,
            variables_collections,
            outputs_collections,
            trainable,
        )


elu = functools.partial(fully_connected, activation_fn=tf.nn.elu)
relu = functools.partial(fully_connected, activation_fn=tf.nn.relu)
relu6 = functools.partial(fully_connected, activation_fn=tf.nn.relu6)
linear = functools.partial(fully_connected, activation_fn=None)


@slim.add_arg_scope
def bias_add(
    inputs: Any,
    activation_fn: Callable[[tf.Tensor], tf.Tensor] | None = None,
    initializer: Any = common.ZEROS,
    regularizer: Any = None,
    reuse: bool | None = None,
    variables_collections: variables.Collections = None,
    outputs_collections: Any = None,
    trainable: bool = True,
    data_format: str = "NHWC",
    scope: Any = None,
) -> tf.Tensor:
    """Adds a variable `biases` [channels], one value a channel, then the activation (Slim's).

    Args:
      inputs: floating tensor of rank 2 or more, channels last; or of rank 4 for `data_format` NCHW.
      Others: as in `convolution2d`.
    """
    with _v1.variable_scope(scope, "BiasAdd", reuse=reuse) as opened:
        inputs = tf.convert_to_tensor(inputs)
        data_format = common.check_layout(data_format, ("NHWC", "NCHW"))
        if data_format == "NCHW" and inputs.shape.rank != 4:
            raise ValueError(f"data_format NCHW needs input with rank 4, got shape {inputs.shape}")
        return common.finish(
            inputs,
            opened.name,
            common.known_channels(inputs, common.LAYOUTS[data_format][1]),
            data_format,
            activation_fn,
            None,
            None,
            initializer,
            regularizer,
            variables_collections,
            outputs_collections,
            trainable,
            "biases",
        )
