"""Convolutions of one, two and three dimensions."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from nets import slim
from nets.initializers import xavier_initializer
from nets.layer_ops import common, variables

_v1 = tf.compat.v1
_LAYOUTS = {1: ("NWC", "NCW"), 2: ("NHWC", "NCHW"), 3: ("NDHWC", "NCDHW")}


def _is_half_precision_safe(inputs: tf.Tensor, weights: Any, strides: Sequence[int], data_format: str) -> bool:
    """Whether the gradient of the weights can be trusted in half precision.

    On processors with AVX-512 BF16 oneDNN (TensorFlow 2.21) leaves parts of it uninitialised, NaN included, for
    temporal kernels over two frames and for strided kernels over a map of side 1.
    """
    if inputs.dtype not in (tf.bfloat16, tf.float16) or common.has_gpu():
        return True
    kernel = weights.shape.as_list()[:-2]
    if len(strides) == 3:
        return kernel[0] == 1
    sides = inputs.shape.as_list()
    sides = sides[1:-1] if common.LAYOUTS[data_format][1] == -1 else sides[2:]
    return max(strides) == 1 or max(kernel) == 1 or 1 not in sides


def _apply(
    inputs: tf.Tensor,
    weights: Any,
    strides: Sequence[int],
    padding: str,
    rates: Sequence[int],
    data_format: str,
) -> tf.Tensor:
    """The linear op alone."""
    dims, dtype = len(strides), inputs.dtype
    if not _is_half_precision_safe(inputs, weights, strides, data_format):
        inputs, weights = tf.cast(inputs, tf.float32), tf.cast(weights, tf.float32)
    # The kernels' own dilation has no gradient on a plain CPU; tf.nn.convolution spreads the batch instead.
    if dims == 1 or max(rates) > 1:

        def op(values: tf.Tensor, layout: str) -> tf.Tensor:
            return tf.nn.convolution(values, weights, strides, padding, layout, rates)

    else:
        raw = tf.raw_ops.Conv2D if dims == 2 else tf.raw_ops.Conv3D

        def op(values: tf.Tensor, layout: str) -> tf.Tensor:
            steps = common.spatial_attribute(strides, layout)
            return raw(input=values, filter=weights, strides=steps, padding=padding, data_format=layout)

    outputs = common.with_layout(op, inputs, data_format)
    return outputs if outputs.dtype == dtype else tf.cast(outputs, dtype)


def _layer(
    inputs: Any,
    num_outputs: int,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int],
    padding: str,
    data_format: str | None,
    rate: int | Sequence[int],
    weights_initializer: Any,
    weights_regularizer: Any,
    reuse: bool | None,
    variables_collections: variables.Collections,
    trainable: bool,
    scope: Any,
    conv_dims: int | None,
    **tail: Any,
) -> tf.Tensor:
    with _v1.variable_scope(scope, "Conv", reuse=reuse) as opened:
        inputs = tf.convert_to_tensor(inputs)
        rank = inputs.shape.rank
        dims = conv_dims or (rank or 0) - 2
        if dims not in _LAYOUTS or rank != dims + 2:
            expected = dims + 2 if conv_dims else "3, 4 or 5"
            raise ValueError(f"convolution expects input with rank {expected}, got shape {inputs.shape}")
        data_format = common.check_layout(data_format, _LAYOUTS[dims])
        strides = common.integers(stride, dims, "stride")
        rates = common.integers(rate, dims, "rate")
        if max(strides) > 1 and max(rates) > 1:
            raise ValueError(f"stride {stride} and rate {rate} cannot both be more than 1")
        channels = common.known_channels(inputs, common.LAYOUTS[data_format][1])
        num_outputs = int(num_outputs)
        weights = variables.model_variable(
            "weights",
            [*common.integers(kernel_size, dims, "kernel_size"), channels, num_outputs],
            inputs.dtype,
            weights_initializer,
            weights_regularizer,
            trainable,
            variables.extra_collections(variables_collections, "weights"),
            f"{opened.name}/kernel",
        )
        outputs = _apply(inputs, weights, strides, padding.upper(), rates, data_format)
        return common.finish(
            outputs,
            opened.name,
            num_outputs,
            data_format,
            variables_collections=variables_collections,
            trainable=trainable,
            **tail,
        )


def _make(name: str, conv_dims: int | None) -> Callable[..., tf.Tensor]:
    """One of Slim's convolution layers. Each is its own arg-scope key, so each is its own function."""

    def layer(
        inputs: Any,
        num_outputs: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: str = "SAME",
        data_format: str | None = None,
        rate: int | Sequence[int] = 1,
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
        return _layer(
            inputs,
            num_outputs,
            kernel_size,
            stride,
            padding,
            data_format,
            rate,
            weights_initializer,
            weights_regularizer,
            reuse,
            variables_collections,
            trainable,
            scope,
            conv_dims,
            activation_fn=activation_fn,
            normalizer_fn=normalizer_fn,
            normalizer_params=normalizer_params,
            biases_initializer=biases_initializer,
            biases_regularizer=biases_regularizer,
            outputs_collections=outputs_collections,
        )

    kind = f"{conv_dims}-D" if conv_dims else "1-D, 2-D or 3-D (by the rank of the inputs)"
    layer.__name__ = layer.__qualname__ = name
    layer.__doc__ = f"""A {kind} convolution, then normalizer or bias, then activation (Slim's `{name}`).

    Variables: `weights` [*kernel, channels in, num_outputs] and, without a normalizer, `biases` [num_outputs], in
    the inputs' dtype.

    Args:
      inputs: floating tensor [batch, *space, channels], or [batch, channels, *space] for a `data_format` NC...
      num_outputs: number of filters.
      kernel_size, stride, rate: one integer, or one for each spatial axis. A rate above 1 (atrous convolution)
        excludes a stride above 1.
      padding: "SAME" or "VALID".
      data_format: NWC, NHWC, NDHWC (the default, by rank) or NCW, NCHW, NCDHW.
      activation_fn: called on the result; None for a linear layer.
      normalizer_fn: called as `normalizer_fn(outputs, **normalizer_params)` in place of the bias.
      weights_initializer, weights_regularizer, biases_initializer, biases_regularizer: as for `get_variable`; no
        biases where `biases_initializer` is None.
      reuse: whether the variables must exist (True), must not (None outside a reusing scope).
      variables_collections: collections for all variables, or a dictionary by `weights` and `biases`.
      outputs_collections: collections for the outputs, whose alias is the variable scope's name.
      trainable: whether the variables are trained.
      scope: name of the variable scope; None for a unique `Conv`.

    Returns:
      A tensor of the inputs' dtype with `num_outputs` channels.

    Raises:
      ValueError: wrong rank, unknown number of channels, invalid `data_format`, or both stride and rate above 1.
    """
    return slim.add_arg_scope(layer)


convolution = _make("convolution", None)
convolution1d = conv1d = _make("convolution1d", 1)
convolution2d = conv2d = _make("convolution2d", 2)
convolution3d = conv3d = _make("convolution3d", 3)
