"""Normalisations without moving statistics: the same in training and inference."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from nets import slim
from nets.layer_ops import common, variables

_v1 = tf.compat.v1


def _beta_and_gamma(
    shape: Sequence[int],
    dtype: tf.DType,
    center: bool,
    scale: bool,
    initializers: dict[str, Any] | None,
    collections: variables.Collections,
    trainable: bool,
) -> tuple[Any, Any]:
    initializers = initializers or {}

    def parameter(name: str, default: Any) -> Any:
        return variables.model_variable(
            name,
            shape,
            dtype,
            initializers.get(name, default),
            None,
            trainable,
            variables.extra_collections(collections, name),
        )

    beta = parameter("beta", common.ZEROS) if center else None
    return beta, parameter("gamma", common.ONES) if scale else None


def _reshaped(value: Any, shape: Sequence[int]) -> Any:
    return None if value is None else tf.reshape(value, shape)


@slim.add_arg_scope
def instance_norm(
    inputs: Any,
    center: bool = True,
    scale: bool = True,
    epsilon: float = 1e-6,
    activation_fn: Callable[[tf.Tensor], tf.Tensor] | None = None,
    param_initializers: dict[str, Any] | None = None,
    reuse: bool | None = None,
    variables_collections: variables.Collections = None,
    outputs_collections: Any = None,
    trainable: bool = True,
    data_format: str = "NHWC",
    scope: Any = None,
) -> tf.Tensor:
    """Normalises each channel of each image over its space (Ulyanov et al. 2016; Slim's).

    Variables, in the inputs' dtype: `beta` and `gamma` [channels]. Arguments as in `batch_norm`.

    Raises:
      ValueError: rank below 3, unknown channels or invalid `data_format`.
    """
    with _v1.variable_scope(scope, "InstanceNorm", reuse=reuse) as opened:
        inputs = tf.convert_to_tensor(inputs)
        rank = inputs.shape.rank
        if rank is None or rank < 3:
            raise ValueError(f"instance_norm expects input with rank 3 or more, got shape {inputs.shape}")
        first = common.check_layout(data_format, ("NHWC", "NCHW")) == "NCHW"
        channels = common.known_channels(inputs, 1 if first else -1)
        beta, gamma = _beta_and_gamma(
            [channels], inputs.dtype, center, scale, param_initializers, variables_collections, trainable
        )
        if first:
            shape = [1, channels, *([1] * (rank - 2))]
            beta, gamma = _reshaped(beta, shape), _reshaped(gamma, shape)
        axes = list(range(2, rank)) if first else list(range(1, rank - 1))
        mean, variance = tf.nn.moments(inputs, axes, keepdims=True)
        outputs = tf.nn.batch_normalization(inputs, mean, variance, beta, gamma, epsilon)
        outputs.set_shape(inputs.shape)
        if activation_fn is not None:
            outputs = activation_fn(outputs)
        return common.collect(outputs_collections, opened.name, outputs)


def _group_axes(
    rank: int, channels_axis: int, reduction_axes: Sequence[int], channels: int, groups: int
) -> tuple[int, list[int]]:
    """The channels axis counted from the front, and the axes to reduce once it is split in (groups, each)."""
    channels_axis = channels_axis % rank
    reduced = [axis % rank for axis in reduction_axes]
    if channels_axis in reduced:
        raise ValueError(f"the channels axis {channels_axis} is among the reduction axes {tuple(reduction_axes)}")
    if groups > channels:
        raise ValueError(f"{groups} groups are more than the {channels} channels")
    if channels % groups:
        raise ValueError(f"{channels} channels do not divide into {groups} groups")
    shifted = [axis + 1 if axis > channels_axis else axis for axis in reduced]
    return channels_axis, sorted([*shifted, channels_axis + 1])


@slim.add_arg_scope
def group_norm(
    inputs: Any,
    groups: int = 32,
    channels_axis: int = -1,
    reduction_axes: Sequence[int] = (-3, -2),
    center: bool = True,
    scale: bool = True,
    epsilon: float = 1e-6,
    activation_fn: Callable[[tf.Tensor], tf.Tensor] | None = None,
    param_initializers: dict[str, Any] | None = None,
    reuse: bool | None = None,
    variables_collections: variables.Collections = None,
    outputs_collections: Any = None,
    trainable: bool = True,
    scope: Any = None,
    mean_close_to_zero: bool = False,
) -> tf.Tensor:
    """Normalises groups of channels of each image over its space (Wu and He 2018; Slim's).

    Variables, in the inputs' dtype: `beta` and `gamma` [channels].

    Args:
      inputs: floating tensor of known rank, the batch first.
      groups: how many groups; they divide the channels.
      channels_axis: axis of the channels. reduction_axes: the axes of the space.
      mean_close_to_zero: compute the variance as E[x^2] - E[x]^2, quicker and, for such inputs, as exact.
      Others: as in `batch_norm`.

    Raises:
      ValueError: unknown rank or channels, the channels axis among the reduction axes, groups that do not fit.
    """
    with _v1.variable_scope(scope, "GroupNorm", reuse=reuse) as opened:
        inputs = tf.convert_to_tensor(inputs)
        rank = inputs.shape.rank
        if rank is None:
            raise ValueError("group_norm expects input of known rank")
        channels = common.known_channels(inputs, channels_axis)
        axis, axes = _group_axes(rank, channels_axis, reduction_axes, channels, groups)
        beta, gamma = _beta_and_gamma(
            [channels], inputs.dtype, center, scale, param_initializers, variables_collections, trainable
        )
        split = [groups, channels // groups]
        broadcast = [*([1] * axis), *split, *([1] * (rank - axis - 1))]
        sizes = inputs.shape.as_list()
        if sum(size is None for size in sizes) > 1:
            dynamic = tf.shape(inputs)
            sizes = [dynamic[place] if size is None else size for place, size in enumerate(sizes)]
        else:
            sizes = [-1 if size is None else size for size in sizes]
        values = tf.reshape(inputs, [*sizes[:axis], *split, *sizes[axis + 1 :]])
        if mean_close_to_zero:
            mean = tf.reduce_mean(values, axes, keepdims=True)
            variance = tf.reduce_mean(tf.square(values), axes, keepdims=True) - tf.square(mean)
        else:
            mean, variance = tf.nn.moments(values, axes, keepdims=True)
        outputs = tf.nn.batch_normalization(
            values, mean, variance, _reshaped(beta, broadcast), _reshaped(gamma, broadcast), epsilon
        )
        outputs = tf.reshape(outputs, sizes)
        outputs.set_shape(inputs.shape)
        if activation_fn is not None:
            outputs = activation_fn(outputs)
        return common.collect(outputs_collections, opened.name, outputs)


@slim.add_arg_scope
def layer_norm(
    inputs: Any,
    center: bool = True,
    scale: bool = True,
    activation_fn: Callable[[tf.Tensor], tf.Tensor] | None = None,
    reuse: bool | None = None,
    variables_collections: variables.Collections = None,
    outputs_collections: Any = None,
    trainable: bool = True,
    begin_norm_axis: int = 1,
    begin_params_axis: int = -1,
    scope: Any = None,
) -> tf.Tensor:
    """Normalises each example over the axes from `begin_norm_axis` on (Ba et al. 2016; Slim's).

    Variables, in the inputs' dtype: `beta` and `gamma` of the inputs' shape from `begin_params_axis` on. Other
    arguments as in `batch_norm`.

    Raises:
      ValueError: unknown rank, an axis outside it, or a parameter shape that is not fully known.
    """
    with _v1.variable_scope(scope, "LayerNorm", reuse=reuse) as opened:
        inputs = tf.convert_to_tensor(inputs)
        rank = inputs.shape.rank
        if rank is None:
            raise ValueError("layer_norm expects input of known rank")
        begin = begin_norm_axis + rank if begin_norm_axis < 0 else begin_norm_axis
        if begin >= rank or begin_params_axis >= rank:
            raise ValueError(
                f"begin_norm_axis {begin_norm_axis} and begin_params_axis {begin_params_axis} must be below rank {rank}"
            )
        shape = inputs.shape[begin_params_axis:]
        if not shape.is_fully_defined():
            raise ValueError(f"the inputs' shape {inputs.shape} must be known from axis {begin_params_axis} on")
        beta, gamma = _beta_and_gamma(
            shape.as_list(), inputs.dtype, center, scale, None, variables_collections, trainable
        )
        mean, variance = tf.nn.moments(inputs, list(range(begin, rank)), keepdims=True)
        # Slim's: a float16 cannot tell 1e-12 from nothing.
        epsilon = 1e-3 if inputs.dtype == tf.float16 else 1e-12
        outputs = tf.nn.batch_normalization(inputs, mean, variance, beta, gamma, epsilon)
        outputs.set_shape(inputs.shape)
        if activation_fn is not None:
            outputs = activation_fn(outputs)
        return common.collect(outputs_collections, opened.name, outputs)


@slim.add_arg_scope
def unit_norm(inputs: Any, dim: int, epsilon: float = 1e-7, scope: Any = None) -> tf.Tensor:
    """`x / sqrt(epsilon + sum(x^2))`, the sum over the axis `dim` (Slim's).

    Raises:
      ValueError: unknown rank, or `dim` outside [0, rank).
    """
    with _v1.variable_scope(scope, "UnitNorm"):
        inputs = tf.convert_to_tensor(inputs)
        rank = inputs.shape.rank
        if rank is None or not 0 <= dim < rank:
            raise ValueError(f"dim {dim} must be at least 0 and below the rank of the inputs, {rank}")
        return inputs / tf.sqrt(epsilon + tf.reduce_sum(tf.square(inputs), dim, keepdims=True))
