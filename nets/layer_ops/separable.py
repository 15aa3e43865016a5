"""Convolutions that treat each channel on its own: depthwise, depthwise then pointwise, one kernel for all planes."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from nets import slim
from nets.initializers import xavier_initializer
from nets.layer_ops import common, variables

_v1 = tf.compat.v1


def _depthwise(
    inputs: tf.Tensor, weights: Any, strides: Sequence[int], padding: str, rates: Sequence[int], data_format: str
) -> tf.Tensor:
    if max(rates) > 1:
        # Not the raw op: with oneDNN its gradient ignores the dilation, without it there is no such kernel.
        def op(values: tf.Tensor, layout: str) -> tf.Tensor:
            steps = common.spatial_attribute(strides, layout)
            return tf.nn.depthwise_conv2d(values, weights, steps, padding, layout, rates, name="depthwise")

    else:

        def op(values: tf.Tensor, layout: str) -> tf.Tensor:
            return tf.raw_ops.DepthwiseConv2dNative(
                input=values,
                filter=weights,
                strides=common.spatial_attribute(strides, layout),
                padding=padding,
                data_format=layout,
                name="depthwise",
            )

    return common.with_layout(op, inputs, data_format)


def _check_strides(stride: Any, rate: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    strides, rates = common.integers(stride, 2, "stride"), common.integers(rate, 2, "rate")
    if strides[0] != strides[1]:
        raise ValueError(f"a depthwise convolution needs the same stride in both directions, got {stride!r}")
    if max(strides) > 1 and max(rates) > 1:
        raise ValueError(f"stride {stride} and rate {rate} cannot both be more than 1")
    return strides, rates


@slim.add_arg_scope
def separable_convolution2d(
    inputs: Any,
    num_outputs: int | None,
    kernel_size: int | Sequence[int],
    depth_multiplier: int = 1,
    stride: int | Sequence[int] = 1,
    padding: str = "SAME",
    data_format: str = "NHWC",
    rate: int | Sequence[int] = 1,
    activation_fn: Callable[[tf.Tensor], tf.Tensor] | None = tf.nn.relu,
    normalizer_fn: Callable[..., tf.Tensor] | None = None,
    normalizer_params: dict[str, Any] | None = None,
    weights_initializer: Any = xavier_initializer(),  # noqa: B008 (it holds no state)
    pointwise_initializer: Any = None,
    weights_regularizer: Any = None,
    biases_initializer: Any = common.ZEROS,
    biases_regularizer: Any = None,
    reuse: bool | None = None,
    variables_collections: variables.Collections = None,
    outputs_collections: Any = None,
    trainable: bool = True,
    scope: Any = None,
) -> tf.Tensor:
    """A depthwise convolution, then (if `num_outputs`) a 1x1 one, then normalizer or bias, then activation (Slim's).

    Nothing stands between the two convolutions. Variables, in the inputs' dtype: `depthwise_weights`
    [height, width, channels, multiplier], `pointwise_weights` [1, 1, channels * multiplier, num_outputs], `biases`.

    Args:
      inputs: floating tensor [batch, height, width, channels] ([batch, channels, height, width] for NCHW).
      num_outputs: channels of the result; None leaves the pointwise part out, the result has
        channels * `depth_multiplier`.
      depth_multiplier: filters for each input channel.
      stride: one integer (or a pair of equal ones). rate: one integer or a pair; not both above 1.
      pointwise_initializer: None for `weights_initializer`. `weights_regularizer` holds for both kernels.
      Others: as in `convolution2d`.

    Raises:
      ValueError: rank other than 4, unknown channels, unequal strides, both stride and rate above 1.
    """
    with _v1.variable_scope(scope, "SeparableConv2d", reuse=reuse) as opened:
        inputs = common.tensor_of_rank(inputs, 4, "separable_conv2d")
        data_format = common.check_layout(data_format, ("NHWC", "NCHW"))
        strides, rates = _check_strides(stride, rate)
        channels = common.known_channels(inputs, common.LAYOUTS[data_format][1])
        collections = variables.extra_collections(variables_collections, "weights")
        depthwise_only = num_outputs is None

        def kernel(part: str, shape: list[int], initializer: Any) -> Any:
            # Slim's op names differ between its two code paths; see `regularizer_name` below as well.
            label = f"{part}_weights" if depthwise_only else f"{part}_kernel"
            return variables.model_variable(
                f"{part}_weights", shape, inputs.dtype, initializer, weights_regularizer, trainable, collections,
                f"{opened.name}/{label}",
            )  # fmt: skip

        window = common.integers(kernel_size, 2, "kernel_size")
        middle = channels * depth_multiplier
        weights = kernel("depthwise", [*window, channels, depth_multiplier], weights_initializer)
        if depthwise_only:
            outputs = _depthwise(inputs, weights, strides, padding.upper(), rates, data_format)
        else:
            initializer = weights_initializer if pointwise_initializer is None else pointwise_initializer
            pointwise = kernel("pointwise", [1, 1, middle, int(num_outputs)], initializer)
            with tf.name_scope("separable_conv2d"):
                outputs = _depthwise(inputs, weights, strides, padding.upper(), rates, data_format)

            def one_by_one(values: tf.Tensor, layout: str) -> tf.Tensor:
                return tf.raw_ops.Conv2D(
                    input=values, filter=pointwise, strides=[1] * 4, padding="VALID", data_format=layout
                )

            outputs = common.with_layout(one_by_one, outputs, data_format)
        return common.finish(
            outputs,
            opened.name,
            middle if depthwise_only else int(num_outputs),
            data_format,
            activation_fn,
            normalizer_fn,
            normalizer_params,
            biases_initializer,
            biases_regularizer,
            variables_collections,
            outputs_collections,
            trainable,
            "biases" if depthwise_only else "bias",
        )


separable_conv2d = separable_convolution2d


@slim.add_arg_scope
def convolution2d_in_plane(
    inputs: Any,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] = 1,
    padding: str = "SAME",
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
    """The same two-dimensional filter over each channel of [batch, height, width, channels] (Slim's).

    Variables: `weights` [height, width, 1, 1] and `biases` [channels]. Arguments as in `convolution2d`; the result
    has the inputs' channels.
    """
    with _v1.variable_scope(scope, "ConvInPlane", reuse=reuse) as opened:
        inputs = common.tensor_of_rank(inputs, 4, "conv2d_in_plane")
        channels = common.known_channels(inputs, -1)
        strides, rates = _check_strides(stride, 1)
        weights = variables.model_variable(
            "weights",
            [*common.integers(kernel_size, 2, "kernel_size"), 1, 1],
            inputs.dtype,
            weights_initializer,
            weights_regularizer,
            trainable,
            variables.extra_collections(variables_collections, "weights"),
            f"{opened.name}/weights",
        )
        kernel = tf.tile(weights, [1, 1, channels, 1])
        outputs = _depthwise(inputs, kernel, strides, padding.upper(), rates, "NHWC")
        return common.finish(
            outputs,
            opened.name,
            channels,
            "NHWC",
            activation_fn,
            normalizer_fn,
            normalizer_params,
            biases_initializer,
            biases_regularizer,
            variables_collections,
            outputs_collections,
            trainable,
            "biases",
        )


conv2d_in_plane = convolution2d_in_plane
