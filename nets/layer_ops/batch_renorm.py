"""Batch renormalisation (Ioffe 2017): batch statistics corrected towards slowly moving ones."""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from nets.layer_ops import common, variables


class Renorm:
    """The correction's variables in the current scope, its factor and offset, and its updates.

    Variables, beside batch norm's: `moving_stddev` (what inference uses is kept as a deviation, as in the paper, and
    `moving_variance` follows it), `renorm_mean` and `renorm_stddev` (towards which a batch is corrected).

    Args:
      shape, dtype: those of batch norm's parameters.
      initializers: of `moving_mean` and `moving_variance`, by name; the deviations start at the root of the latter.
      epsilon: added to variances.
      clipping: limits `rmin`, `rmax`, `dmax` of the correction, numbers or scalar tensors; absent ones are open.
      decay: of the moving averages `renorm_mean` and `renorm_stddev`.
      is_training: None where the layer is always in training mode, else a bool tensor: no correction when False.
    """

    def __init__(
        self,
        shape: list[int],
        dtype: tf.DType,
        initializers: Mapping[str, Any],
        epsilon: float,
        clipping: Mapping[str, Any] | None,
        decay: Any,
        is_training: Any,
    ) -> None:
        unknown = set(clipping or {}) - {"rmin", "rmax", "dmax"}
        if unknown:
            raise ValueError(f"renorm_clipping has unknown keys {sorted(unknown)}; expected rmin, rmax, dmax")
        variance = initializers.get("moving_variance", common.ONES)

        def stddev(shape: Any, dtype: Any = tf.float32, partition_info: Any = None) -> tf.Tensor:
            return tf.sqrt(variance(shape, dtype=dtype))

        self._epsilon, self._clipping, self._decay = epsilon, dict(clipping or {}), decay
        self._is_training = is_training
        self.moving_stddev = variables.moving_variable("moving_stddev", shape, dtype, stddev)
        mean = initializers.get("moving_mean", common.ZEROS)
        self._mean = variables.moving_variable("renorm_mean", shape, dtype, mean)
        self._stddev = variables.moving_variable("renorm_stddev", shape, dtype, stddev)
        self._old = None

    def factor_and_offset(self, mean: tf.Tensor, variance: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The paper's r and d, [channels], for a batch's moments; no gradient flows through them."""
        stddev = tf.sqrt(variance + self._epsilon)
        self._old = tf.convert_to_tensor(self._mean), tf.convert_to_tensor(self._stddev)
        floor = tf.sqrt(tf.constant(self._epsilon, stddev.dtype))
        slow = tf.maximum(self._old[1], floor)
        factor, offset = stddev / slow, (mean - self._old[0]) / slow
        if "rmax" in self._clipping:
            factor = tf.minimum(factor, self._clipping["rmax"])
        if "rmin" in self._clipping:
            factor = tf.maximum(factor, self._clipping["rmin"])
        if "dmax" in self._clipping:
            offset = tf.clip_by_value(offset, -self._clipping["dmax"], self._clipping["dmax"])
        if self._is_training is not None:
            factor = tf.where(self._is_training, factor, tf.ones_like(factor))
            offset = tf.where(self._is_training, offset, tf.zeros_like(offset))
        return tf.stop_gradient(factor), tf.stop_gradient(offset)

    def updates(self, mean: tf.Tensor, variance: tf.Tensor, move: Callable[[Any, tf.Tensor], Any]) -> list[Any]:
        """Moves `renorm_mean` and `renorm_stddev`; `move(variable, difference)` makes an update op."""
        step = 1.0 - self._decay
        if self._is_training is not None:
            step = step * tf.cast(self._is_training, mean.dtype)
        differences = (self._old[0] - mean, self._old[1] - tf.sqrt(variance + self._epsilon))
        pairs = zip((self._mean, self._stddev), differences, strict=True)
        return [move(variable, difference * step) for variable, difference in pairs]
