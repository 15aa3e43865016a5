"""Batch normalisation (Ioffe and Szegedy 2015) with Slim's variables, update ops and choice of variance."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from nets import slim
from nets.layer_ops import batch_moments, common, context, variables
from nets.layer_ops.batch_renorm import Renorm
from nets.layer_ops.shaping import static_bool

_v1 = tf.compat.v1
_HALF_TYPES = (tf.float16, tf.bfloat16)
_FUSED_TYPES = (tf.float32, *_HALF_TYPES)


def _make_variables(
    shape: list[int],
    dtype: tf.DType,
    center: bool,
    scale: bool,
    initializers: dict[str, Any],
    regularizers: dict[str, Any],
    collections: variables.Collections,
    trainable: bool,
) -> tuple[Any, Any, Any, Any]:
    """gamma, beta, moving_mean and moving_variance, in the order in which Slim's networks create them."""

    def parameter(name: str, default: Any) -> Any:
        return variables.model_variable(
            name,
            shape,
            dtype,
            initializers.get(name, default),
            regularizers.get(name),
            trainable,
            variables.extra_collections(collections, name),
        )

    def statistic(name: str, default: Any) -> Any:
        extra = variables.extra_collections(collections, name)
        return variables.moving_variable(name, shape, dtype, initializers.get(name, default), extra)

    gamma = parameter("gamma", common.ONES) if scale else None
    beta = parameter("beta", common.ZEROS) if center else None
    return gamma, beta, statistic("moving_mean", common.ZEROS), statistic("moving_variance", common.ONES)


def _move(variable: Any, difference: tf.Tensor) -> Any:
    """Subtracts: unlike an assignment, it loses nothing where two calls share a layer and run at once."""
    return variable.assign_sub(difference, name="AssignMovingAvg", read_value=False)


def _difference(old: tf.Tensor, new: tf.Tensor, call: batch_moments.Call, mixed: bool) -> tf.Tensor:
    if mixed:
        return tf.raw_ops.Sub(x=old, y=new)
    step = 1.0 - call.decay
    return (old - new) * (tf.cast(step, old.dtype) if tf.is_tensor(step) else step)


def _debias_variables(channels: int, dtype: tf.DType, scope_name: str) -> tuple[Any, Any]:
    """The biased average of the mean and the number of its updates.

    Slim keeps them under a name that repeats the scope, and checkpoints have them there.
    """
    with _v1.variable_scope(f"{scope_name}/moving_mean"):
        options = {"dtype": dtype, "initializer": common.ZEROS, "trainable": False, "use_resource": True}
        options["synchronization"] = tf.VariableSynchronization.ON_READ
        options["aggregation"] = tf.VariableAggregation.MEAN
        return _v1.get_variable("biased", [channels], **options), _v1.get_variable("local_step", [], **options)


def _debiased_mean(call: batch_moments.Call, mean: tf.Tensor, biased: Any, local_step: Any) -> Any:
    """Moves the mean as if it had started at the first batch: biased average / (1 - decay^steps) (Kingma, Ba 2015)."""

    def update() -> tf.Operation:
        steps = local_step + 1.0
        average = biased - _difference(tf.convert_to_tensor(biased), mean, call, False)
        corrected = average / (1.0 - tf.pow(tf.cast(call.decay, mean.dtype), steps))
        return tf.group(
            biased.assign(average, read_value=False),
            local_step.assign(steps, read_value=False),
            call.moving_mean.assign(corrected, read_value=False),
        )

    if call.training:
        return update()
    return tf.cond(call.is_training, lambda: tf.group(update()), lambda: tf.group())


def _plain_updates(
    call: batch_moments.Call, moments: batch_moments.Moments, debias: tuple[Any, Any] | None
) -> list[Any]:
    """One op for the mean and one for the variance."""
    if debias is not None:
        mean = _debiased_mean(call, moments.mean, *debias)
    else:
        mean = _move(call.moving_mean, _difference(moments.old_mean, moments.mean, call, moments.mixed))
    variance = _difference(moments.old_variance, moments.variance, call, moments.mixed)
    return [mean, _move(call.moving_variance, variance)]


def _renorm_updates(call: batch_moments.Call, moments: batch_moments.Moments, renorm: Renorm) -> list[Any]:
    """The moving mean; the moving deviation and, following it, the moving variance; those of the correction."""
    old = tf.convert_to_tensor(renorm.moving_stddev)
    difference = _difference(old, tf.sqrt(moments.variance + call.epsilon), call, False)
    variance = tf.maximum(tf.square(old - difference) - call.epsilon, 0.0)
    mean = _difference(moments.old_mean, moments.mean, call, False)
    return [
        _move(call.moving_mean, mean),
        tf.group(
            _move(renorm.moving_stddev, difference),
            _move(call.moving_variance, moments.old_variance - variance),
        ),
        *renorm.updates(moments.mean, moments.variance, _move),
    ]


def _publish(outputs: tf.Tensor, updates: list[Any], updates_collections: Any) -> tf.Tensor:
    """Puts the updates into the collections; without any, makes the outputs depend on them."""
    updates = [update for update in updates if update is not None]
    if updates_collections is None:
        with tf.control_dependencies(updates):
            return tf.identity(outputs)
    if not tf.executing_eagerly():
        for update in updates:
            _v1.add_to_collections(updates_collections, update)
    return outputs


def _channels(inputs: tf.Tensor, data_format: str) -> tuple[int, bool]:
    """How many channels there are, and whether they come first (after the batch)."""
    if data_format not in common.LAYOUTS:
        raise ValueError(f"invalid data_format {data_format!r}: it has to be either NHWC or NCHW")
    rank = inputs.shape.rank
    if rank is None or rank < 2:
        raise ValueError(f"batch_norm expects input with rank 2 or more, got shape {inputs.shape}")
    axis = common.LAYOUTS[data_format][1]
    return common.known_channels(inputs, axis), axis == 1


def _fusible(inputs: tf.Tensor) -> bool:
    return inputs.shape.rank in (2, 4, 5) and inputs.dtype in _FUSED_TYPES


@slim.add_arg_scope
def batch_norm(
    inputs: Any,
    decay: Any = 0.999,
    center: bool = True,
    scale: bool = False,
    epsilon: float = 0.001,
    activation_fn: Callable[[tf.Tensor], tf.Tensor] | None = None,
    param_initializers: dict[str, Any] | None = None,
    param_regularizers: dict[str, Any] | None = None,
    updates_collections: Any = _v1.GraphKeys.UPDATE_OPS,
    is_training: Any = True,
    reuse: bool | None = None,
    variables_collections: variables.Collections = None,
    outputs_collections: Any = None,
    trainable: bool = True,
    batch_weights: Any = None,
    fused: bool | None = None,
    data_format: str = "NHWC",
    zero_debias_moving_mean: bool = False,
    scope: Any = None,
    renorm: bool = False,
    renorm_clipping: dict[str, Any] | None = None,
    renorm_decay: Any = 0.99,
    adjustment: Any = None,
) -> tf.Tensor:
    """Normalises each channel over the batch in training, by moving averages otherwise (Ioffe, Szegedy 2015; Slim's).

    `(x - mean) / sqrt(variance + epsilon) * gamma + beta`. In training the mean and the biased variance are those of
    the batch and the averages move: `average = decay * average + (1 - decay) * batch`. The variance that is averaged is
    the Bessel-corrected one with the fused op, the biased one without it.

    Variables, float32 for half-precision inputs: `gamma` and `beta` (trained), `moving_mean`, `moving_variance`. With
    `zero_debias_moving_mean` or `renorm` there are more (`_debiased_mean`, `Renorm`).

    Args:
      inputs: floating tensor [batch, channels] or [batch, *space, channels]; channels second for NCHW.
      decay: of the averages; a number or a scalar tensor. Slim's networks use 0.9 to 0.9997.
      center, scale: whether there are `beta` and `gamma`.
      param_initializers: by variable name. param_regularizers: by `beta` and `gamma`.
      updates_collections: collections for the two update ops, which in a plain graph the caller must run; None makes
        the outputs depend on them. Inside `tf.function` they run in either case.
      is_training: bool, or scalar bool tensor. See also `layers.call_context`.
      variables_collections: collections for all variables, or a dictionary by variable name.
      batch_weights: None, or [batch] weights of the examples in the batch's statistics.
      fused: False for plain ops. Otherwise the fused op where there is one: rank 2, 4 or 5, not float64, neither
        `batch_weights` nor `renorm`.
      zero_debias_moving_mean: correct the moving mean for its start at zero; not where `layers.call_context` replaces
        the decay.
      renorm, renorm_clipping, renorm_decay: batch renormalisation (Ioffe 2017); clipping by `rmin`, `rmax`, `dmax`.
      adjustment: not supported.
      Others: as in `convolution2d`.

    Raises:
      ValueError: unknown rank or channels, invalid `data_format`, `adjustment`, or renorm with zero debias.
    """
    if adjustment is not None:
        raise ValueError("batch_norm does not support adjustment; leave it None")
    if renorm and zero_debias_moving_mean:
        raise ValueError("batch_norm cannot combine renorm with zero_debias_moving_mean")
    with _v1.variable_scope(scope, "BatchNorm", reuse=reuse) as opened:
        inputs = tf.convert_to_tensor(inputs)
        channels, first = _channels(inputs, data_format)
        policy, replaced = context.current().batch_norm, False
        if policy is not None:
            is_training, decided = policy(opened.name, is_training, decay)
            replaced, decay = decided is not decay, decided
        training = static_bool(is_training)
        decay = decay if tf.is_tensor(decay) else float(decay)
        # With a decay of one the averages stay as they are: no updates, so that they stay so bit for bit.
        still = not tf.is_tensor(decay) and decay == 1.0
        dtype = tf.float32 if inputs.dtype in _HALF_TYPES else inputs.dtype
        initializers = param_initializers or {}
        made = _make_variables(
            [channels], dtype, center, scale, initializers, param_regularizers or {}, variables_collections, trainable
        )
        call = batch_moments.Call(*made, channels, epsilon, decay, is_training, training, first)
        if renorm:
            switch = None if training else is_training
            correction = Renorm([channels], dtype, initializers, epsilon, renorm_clipping, renorm_decay, switch)
            outputs, moments = batch_moments.composed(inputs, call, batch_weights, correction.factor_and_offset)
            updates = [] if moments is None or still else _renorm_updates(call, moments, correction)
        else:
            if fused is False or batch_weights is not None or not _fusible(inputs):
                outputs, moments = batch_moments.composed(inputs, call, batch_weights)
            else:
                outputs, moments = batch_moments.fused(inputs, call, mix=not (zero_debias_moving_mean or still))
            debias = None
            if moments is not None and zero_debias_moving_mean:
                debias = _debias_variables(channels, dtype, opened.name)
            if replaced:  # the correction holds for one decay from the first step on
                debias = None
            updates = [] if moments is None or still else _plain_updates(call, moments, debias)
        if updates:
            outputs = _publish(outputs, updates, updates_collections)
        if activation_fn is not None:
            outputs = activation_fn(outputs)
        return common.collect(outputs_collections, opened.name, outputs)
