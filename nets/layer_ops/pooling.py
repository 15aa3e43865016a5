"""Pooling over windows. Slim's defaults are stride 2 and padding VALID."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from nets import slim
from nets.layer_ops import common

_v1 = tf.compat.v1


def _make(
    name: str, dims: int, raw: Callable[..., tf.Tensor], argument: str, default_scope: str
) -> Callable[..., tf.Tensor]:
    layouts = ("NHWC", "NCHW") if dims == 2 else ("NDHWC", "NCDHW")
    kind = "Largest" if "Max" in default_scope else "Mean"

    def layer(
        inputs: Any,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 2,
        padding: str = "VALID",
        data_format: str = layouts[0],
        outputs_collections: Any = None,
        scope: str | None = None,
    ) -> tf.Tensor:
        data_format = common.check_layout(data_format, layouts)
        with _v1.name_scope(scope, default_scope) as opened:
            inputs = common.tensor_of_rank(inputs, dims + 2, name)
            window = common.integers(kernel_size, dims, "kernel_size")
            strides = common.integers(stride, dims, "stride")

            def op(values: tf.Tensor, layout: str) -> tf.Tensor:
                return raw(
                    **{argument: values},
                    ksize=common.spatial_attribute(window, layout),
                    strides=common.spatial_attribute(strides, layout),
                    padding=padding.upper(),
                    data_format=layout,
                )

            return common.collect(outputs_collections, opened, common.with_layout(op, inputs, data_format))

    layer.__name__ = layer.__qualname__ = name
    layer.__doc__ = f"""{kind} value of each {dims}-D window, channel by channel (Slim's `{name}`).

    Args:
      inputs: floating tensor of rank {dims + 2}, {layouts[0]} or, by `data_format`, {layouts[1]}.
      kernel_size, stride: one integer, or one for each spatial axis.
      padding: "VALID" or "SAME"; what SAME pads is never counted.
      outputs_collections: collections for the outputs, whose alias is the name scope.
      scope: the name scope; None for a unique `{default_scope}`.

    Raises:
      ValueError: wrong rank or invalid `data_format`.
    """
    return slim.add_arg_scope(layer)


max_pool2d = _make("max_pool2d", 2, tf.raw_ops.MaxPool, "input", "MaxPool2D")
avg_pool2d = _make("avg_pool2d", 2, tf.raw_ops.AvgPool, "value", "AvgPool2D")
max_pool3d = _make("max_pool3d", 3, tf.raw_ops.MaxPool3D, "input", "MaxPool3D")
avg_pool3d = _make("avg_pool3d", 3, tf.raw_ops.AvgPool3D, "input", "AvgPool3D")


@slim.add_arg_scope
def pool(
    inputs: Any,
    kernel_size: int | Sequence[int],
    pooling_type: str,
    padding: str = "VALID",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
    stride: int | Sequence[int] = 1,
    outputs_collections: Any = None,
    scope: str | None = None,
) -> tf.Tensor:
    """Pooling of any rank and rate (Slim's). Note the stride: 1 here, 2 in the other pooling layers.

    Args:
      inputs: floating tensor [batch, *space, channels] with one to three spatial axes.
      pooling_type: "MAX" or "AVG".
      data_format: NWC, NHWC, NDHWC (the default, by rank) or NCW, NCHW, NCDHW.
      dilation_rate, stride: not both above 1.
      Others: as in `max_pool2d`.
    """
    inputs = tf.convert_to_tensor(inputs)
    dims = (inputs.shape.rank or 0) - 2
    if dims not in (1, 2, 3):
        raise ValueError(f"pool expects input with rank 3, 4 or 5, got shape {inputs.shape}")
    data_format = common.check_layout(data_format, [name for name in common.LAYOUTS if len(name) == dims + 2])
    with _v1.name_scope(scope, f"{pooling_type.lower()}_pool") as opened:
        window = common.integers(kernel_size, dims, "kernel_size")
        strides = common.integers(stride, dims, "stride")
        rates = common.integers(dilation_rate, dims, "dilation_rate")

        def op(values: tf.Tensor, layout: str) -> tf.Tensor:
            return tf.nn.pool(values, window, pooling_type, strides, padding, layout, rates)

        return common.collect(outputs_collections, opened, common.with_layout(op, inputs, data_format))
