"""Transposed convolutions (the gradient of a convolution with respect to its input, used to enlarge a map)."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from nets import slim
from nets.initializers import xavier_initializer
from nets.layer_ops import common, variables

_v1 = tf.compat.v1


def _output_size(size: Any, kernel: int, stride: int, padding: str) -> Any:
    """Length of one axis of the result; `size` is an int, or a scalar tensor where the graph does not know it."""
    size = size * stride
    return size + max(kernel - stride, 0) if padding == "VALID" else size


def _apply(
    inputs: tf.Tensor,
    weights: Any,
    num_outputs: int,
    window: Sequence[int],
    strides: Sequence[int],
    padding: str,
    data_format: str,
) -> tf.Tensor:
    """The linear op, with as much of the result's shape known statically as the inputs allow."""

    def op(values: tf.Tensor, layout: str) -> tf.Tensor:
        sizes = values.shape.as_list()
        if None in sizes:
            dynamic = tf.shape(values)
            sizes = [dynamic[axis] if size is None else size for axis, size in enumerate(sizes)]
        first = layout.startswith("NC")
        space = sizes[2:] if first else sizes[1:-1]
        space = [_output_size(*axis, padding) for axis in zip(space, window, strides, strict=True)]
        shape = [sizes[0], num_outputs, *space] if first else [sizes[0], *space, num_outputs]
        arguments = {
            "filter": weights,
            "out_backprop": values,
            "strides": common.spatial_attribute(strides, layout),
            "padding": padding,
            "data_format": layout,
        }
        if len(window) == 2:
            return tf.raw_ops.Conv2DBackpropInput(input_sizes=shape, name="conv2d_transpose", **arguments)
        return tf.raw_ops.Conv3DBackpropInputV2(input_sizes=shape, name="conv3d_transpose", **arguments)

    return common.with_layout(op, inputs, data_format)


def _make(name: str, dims: int, default_scope: str, layouts: tuple[str, str]) -> Callable[..., tf.Tensor]:
    def layer(
        inputs: Any,
        num_outputs: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: str = "SAME",
        data_format: str = layouts[0],
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
        with _v1.variable_scope(scope, default_scope, reuse=reuse) as opened:
            inputs = common.tensor_of_rank(inputs, dims + 2, name)
            data_format = common.check_layout(data_format, layouts)
            channels = common.known_channels(inputs, common.LAYOUTS[data_format][1])
            window = common.integers(kernel_size, dims, "kernel_size")
            strides = common.integers(stride, dims, "stride")
            num_outputs = int(num_outputs)
            weights = variables.model_variable(
                "weights",
                [*window, num_outputs, channels],
                inputs.dtype,
                weights_initializer,
                weights_regularizer,
                trainable,
                variables.extra_collections(variables_collections, "weights"),
                f"{opened.name}/kernel",
            )
            outputs = _apply(inputs, weights, num_outputs, window, strides, padding.upper(), data_format)
            return common.finish(
                outputs,
                opened.name,
                num_outputs,
                data_format,
                activation_fn,
                normalizer_fn,
                normalizer_params,
                biases_initializer,
                biases_regularizer,
                variables_collections,
                outputs_collections,
                trainable,
            )

    layer.__name__ = layer.__qualname__ = name
    layer.__doc__ = f"""A {dims}-D transposed convolution, then normalizer or bias, then activation (Slim's `{name}`).

    Each spatial axis of length n becomes n * stride for SAME, n * stride + max(kernel - stride, 0) for VALID.
    Variables, in the inputs' dtype: `weights` [*kernel, num_outputs, channels in] and `biases` [num_outputs].

    Args:
      inputs: floating tensor of rank {dims + 2}; `data_format` is {" or ".join(layouts)}.
      Others: as in `convolution{dims}d`.

    Raises:
      ValueError: wrong rank, unknown number of channels or invalid `data_format`.
    """
    return slim.add_arg_scope(layer)


convolution2d_transpose = conv2d_transpose = _make("convolution2d_transpose", 2, "Conv2d_transpose", ("NHWC", "NCHW"))
convolution3d_transpose = conv3d_transpose = _make("convolution3d_transpose", 3, "Conv3d_transpose", ("NDHWC", "NCDHW"))
