"""Slim's initial distributions, and one way to draw from any v1 initializer without hidden state.

An initializer here is called the TensorFlow 1 way, `initializer(shape, dtype)`, and draws from the graph's stateful
generator; `stateless(shape, dtype, seed)` draws the same distribution as a pure function of `seed`.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

_v1 = tf.compat.v1

# A normal distribution cut at two standard deviations has 0.8796 of the deviation it was cut from. Slim makes up for
# it with a factor of 1.3 on the variance, TensorFlow's own initializers divide the deviation by this number.
_SLIM_TRUNCATION = 1.3
_TRUNCATED_STDDEV = 0.87962566103423978
_HALF_TYPES = (tf.float16, tf.bfloat16)

_GLOROT = (_v1.variance_scaling_initializer, _v1.glorot_uniform_initializer, _v1.glorot_normal_initializer)
_RANDOM = (
    _v1.truncated_normal_initializer,
    _v1.random_normal_initializer,
    _v1.random_uniform_initializer,
    *_GLOROT,
)

Shape = Sequence[int] | tf.TensorShape
Seed = Sequence[int] | tf.Tensor


def _fans(shape: Shape) -> tuple[float, float]:
    """Inputs and outputs of one unit: the last two axes, each times the product of the axes before them."""
    sizes = [int(size) for size in tf.TensorShape(shape).as_list()]
    if len(sizes) < 2:
        return (float(sizes[0]),) * 2 if sizes else (1.0, 1.0)
    window = math.prod(sizes[:-2])
    return float(sizes[-2] * window), float(sizes[-1] * window)


def _draw_type(dtype: tf.DType) -> tf.DType:
    # A half-precision generator has so few values that the cut at two deviations shows; draw in float32 and round.
    return tf.float32 if dtype in _HALF_TYPES else dtype


class VarianceScaling:
    """Zero-mean values whose variance is `factor / n`, n a count of the unit's connections (Slim).

    Glorot and Bengio 2010 (Xavier) is factor 1 with FAN_AVG, He et al. 2015 is factor 2 with FAN_IN.

    Args:
      factor: float > 0.
      mode: "FAN_IN", "FAN_OUT" or "FAN_AVG", in capitals as Slim has it.
      uniform: True draws from U(-l, l) with l = sqrt(3 factor / n); False from a normal distribution of standard
        deviation sqrt(1.3 factor / n) cut at two deviations.
      seed: int, the op-level seed of the stateful draw.
      dtype: a floating type, used when the call gives none.

    Raises:
      TypeError: for an unknown mode or a type that is not floating.
    """

    def __init__(
        self,
        factor: float = 2.0,
        mode: str = "FAN_IN",
        uniform: bool = False,
        seed: int | None = None,
        dtype: tf.DType = tf.float32,
    ) -> None:
        if mode not in ("FAN_IN", "FAN_OUT", "FAN_AVG"):
            raise TypeError(f"unknown mode {mode!r}; expected FAN_IN, FAN_OUT or FAN_AVG")
        self.factor, self.mode, self.uniform, self.seed = factor, mode, uniform, seed
        self.dtype = self._floating(dtype)

    @staticmethod
    def _floating(dtype: Any) -> tf.DType:
        dtype = tf.as_dtype(dtype)
        if not dtype.is_floating:
            raise TypeError(f"cannot draw values of type {dtype.name}; expected a floating type")
        return dtype

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "factor": self.factor,
            "mode": self.mode,
            "uniform": self.uniform,
            "seed": self.seed,
            "dtype": self.dtype.name,
        }

    def spread(self, shape: Shape) -> float:
        """Half the width of the uniform distribution, or the standard deviation before the cut, for `shape`."""
        fan_in, fan_out = _fans(shape)
        count = {"FAN_IN": fan_in, "FAN_OUT": fan_out, "FAN_AVG": (fan_in + fan_out) / 2.0}[self.mode]
        return math.sqrt((3.0 if self.uniform else _SLIM_TRUNCATION) * self.factor / count)

    def __call__(self, shape: Shape, dtype: Any = None, partition_info: Any = None) -> tf.Tensor:
        """Draws from the graph's stateful generator. A partition is drawn as a part of the whole variable."""
        dtype = self._floating(dtype or self.dtype)
        spread = self.spread(shape if partition_info is None else partition_info.full_shape)
        drawn = _draw_type(dtype)
        seed, seed2 = _v1.get_seed(self.seed)
        arguments = {"shape": shape, "dtype": drawn, "seed": seed or 0, "seed2": seed2 or 0}
        # The raw ops: the public functions add a mean and a range that are nothing here, two ops for each variable.
        if self.uniform:
            values = tf.raw_ops.Mul(x=tf.raw_ops.RandomUniform(**arguments), y=2.0 * spread)
            values = tf.raw_ops.Sub(x=values, y=spread)
        else:
            values = tf.raw_ops.Mul(x=tf.raw_ops.TruncatedNormal(**arguments), y=spread)
        return values if drawn == dtype else tf.cast(values, dtype)

    def stateless(self, shape: Shape, dtype: Any, seed: Seed) -> tf.Tensor:
        """Draws as a pure function of `seed`, an integer tensor or pair of shape [2]."""
        dtype = self._floating(dtype)
        spread = self.spread(shape)
        if self.uniform:
            values = tf.random.stateless_uniform(shape, seed, -spread, spread, _draw_type(dtype))
        else:
            values = tf.random.stateless_truncated_normal(shape, seed, 0.0, spread, _draw_type(dtype))
        return tf.cast(values, dtype)


class CenterIdentity:
    """A kernel that passes its input unchanged: 1 from each channel to itself at the middle of the window, else 0.

    Args:
      dtype: a floating type, used when the call gives none.
    """

    def __init__(self, dtype: tf.DType = tf.float32) -> None:
        self.dtype = tf.as_dtype(dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"dtype": self.dtype.name}

    def __call__(self, shape: Shape, dtype: Any = None, partition_info: Any = None) -> tf.Tensor:
        """Makes the kernel [*window, channels, channels].

        Raises:
          ValueError: another number of channels out than in, or a window with no middle.
        """
        sizes = tf.TensorShape(shape if partition_info is None else partition_info.full_shape).as_list()
        if len(sizes) < 2 or sizes[-2] != sizes[-1]:
            raise ValueError(f"an identity kernel has as many channels out as in, not shape {sizes}")
        if any(size % 2 == 0 for size in sizes[:-2]):
            raise ValueError(f"an identity kernel has an odd window, with a middle, not shape {sizes}")
        # Scattered rather than a constant, which would make a graph as large as its kernels.
        places = [[*(size // 2 for size in sizes[:-2]), channel, channel] for channel in range(sizes[-1])]
        values = tf.scatter_nd(places, tf.ones([sizes[-1]], tf.as_dtype(dtype or self.dtype)), sizes)
        return values if partition_info is None else tf.slice(values, partition_info.var_offset, shape)


def variance_scaling_initializer(
    factor: float = 2.0,
    mode: str = "FAN_IN",
    uniform: bool = False,
    seed: int | None = None,
    dtype: tf.DType = tf.float32,
) -> VarianceScaling:
    """Slim's variance scaling (see `VarianceScaling`); the defaults are He et al. 2015."""
    return VarianceScaling(factor, mode, uniform, seed, dtype)


def xavier_initializer(uniform: bool = True, seed: int | None = None, dtype: tf.DType = tf.float32) -> VarianceScaling:
    """Glorot and Bengio 2010: the variance is 2 / (fan in + fan out). Slim's default for weights."""
    return VarianceScaling(1.0, "FAN_AVG", uniform, seed, dtype)


xavier_initializer_conv2d = xavier_initializer


# The same values whatever the seed.
_FIXED = (_v1.zeros_initializer, _v1.ones_initializer, _v1.constant_initializer, CenterIdentity)


def _sample_variance_scaling(config: dict[str, Any], shape: Shape, dtype: tf.DType, seed: Seed) -> tf.Tensor:
    fan_in, fan_out = _fans(shape)
    count = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2.0}[config["mode"]]
    variance = config["scale"] / max(1.0, count)
    distribution = config["distribution"]
    if distribution == "uniform":
        limit = math.sqrt(3.0 * variance)
        return tf.random.stateless_uniform(shape, seed, -limit, limit, dtype)
    if distribution == "untruncated_normal":
        return tf.random.stateless_normal(shape, seed, 0.0, math.sqrt(variance), dtype)
    stddev = math.sqrt(variance) / _TRUNCATED_STDDEV
    return tf.random.stateless_truncated_normal(shape, seed, 0.0, stddev, dtype)


def _sample_random(initializer: Any, shape: Shape, dtype: tf.DType, seed: Seed) -> tf.Tensor | None:
    """A draw from one of TensorFlow's random v1 initializers; None for any other object."""
    # Exact classes: a subclass may draw from another distribution under the same configuration.
    kind = type(initializer)
    if kind is _v1.truncated_normal_initializer:
        draw: Callable[..., tf.Tensor] = tf.random.stateless_truncated_normal
        first, second = "mean", "stddev"
    elif kind is _v1.random_normal_initializer:
        draw, first, second = tf.random.stateless_normal, "mean", "stddev"
    elif kind is _v1.random_uniform_initializer:
        draw, first, second = tf.random.stateless_uniform, "minval", "maxval"
    elif kind in _GLOROT:
        # Glorot's own configuration leaves out what is fixed in it.
        config = {"scale": 1.0, "mode": "fan_avg", **initializer.get_config()}
        fixed = "uniform" if kind is _v1.glorot_uniform_initializer else "truncated_normal"
        config.setdefault("distribution", fixed)
        return _sample_variance_scaling(config, shape, dtype, seed)
    else:
        return None
    config = initializer.get_config()
    return draw(shape, seed, config[first], config[second], dtype)


def has_stateless_draw(initializer: Any) -> bool:
    """Whether `sample` draws from it statelessly, so that the seed may be a tensor not known in Python."""
    if inspect.isclass(initializer):
        initializer = initializer()
    if initializer is None or not callable(initializer) or hasattr(initializer, "stateless"):
        return True
    return isinstance(initializer, _FIXED) or type(initializer) in _RANDOM


def is_fixed(initializer: Any) -> bool:
    """Whether it gives the same value whatever the seed: zeros, ones, a constant, an identity."""
    if inspect.isclass(initializer):
        initializer = initializer()
    return initializer is not None and (isinstance(initializer, _FIXED) or not callable(initializer))


def _sample_unknown(initializer: Callable[..., Any], shape: Shape, dtype: tf.DType, seed: Seed) -> tf.Tensor:
    """Runs an initializer we know nothing of in a graph of its own, whose generator is seeded from `seed`."""
    value = tf.get_static_value(seed) if tf.is_tensor(seed) else seed
    if value is None:
        name = getattr(initializer, "__name__", type(initializer).__name__)
        raise ValueError(f"initializer {name!r} has no stateless draw; give it one, or a seed known in Python")
    # SeedSequence mixes both numbers well; a graph seed is one 31-bit integer.
    words = [int(word) & 0xFFFFFFFFFFFFFFFF for word in np.asarray(value).tolist()]
    with tf.Graph().as_default(), tf.device("/cpu:0"):
        _v1.set_random_seed(int(np.random.SeedSequence(words).generate_state(1)[0]) & 0x7FFFFFFF)
        tensor = tf.convert_to_tensor(initializer(list(shape), dtype=dtype))
        with _v1.Session() as session:
            drawn = session.run(tensor)
    return tf.constant(drawn, dtype)


def sample(initializer: Any, shape: Shape, dtype: Any, seed: Seed) -> tf.Tensor:
    """Draws one variable's initial value as a pure function of `seed`.

    Args:
      initializer: what `tf.compat.v1.get_variable` takes: an initializer of this module, one of TensorFlow's v1
        initializers (object or class), a constant (number, array, tensor), any callable (shape, dtype), or None,
        which means TensorFlow's default: Glorot uniform for floating types, zeros for the others.
      shape: fully known shape.
      dtype: type of the variable.
      seed: two integers, or an integer tensor of shape [2]. An unknown callable needs integers
        (`has_stateless_draw` tells).

    Returns:
      A tensor of `shape` and `dtype`. Distinct seeds give independent values.

    Raises:
      ValueError: a constant does not have `shape`, or an unknown callable came with a seed not known in Python.
    """
    dtype = tf.as_dtype(dtype)
    shape = tf.TensorShape(shape).as_list()
    if initializer is None:
        initializer = xavier_initializer() if dtype.is_floating else _v1.zeros_initializer()
    if inspect.isclass(initializer):
        initializer = initializer()
    if hasattr(initializer, "stateless"):
        return initializer.stateless(shape, dtype, seed)
    if isinstance(initializer, _FIXED):
        return tf.convert_to_tensor(initializer(shape, dtype=dtype))
    if not callable(initializer):
        value = tf.cast(tf.convert_to_tensor(initializer), dtype)
        if value.shape != tf.TensorShape(shape):
            raise ValueError(f"the constant initial value has shape {value.shape}, the variable {tuple(shape)}")
        return value
    drawn = _draw_type(dtype)
    value = _sample_random(initializer, shape, drawn, seed)
    return _sample_unknown(initializer, shape, dtype, seed) if value is None else tf.cast(value, dtype)


def describe(initializer: Any) -> str:
    """A few words on an initializer, for tables: `zeros`, `truncated normal 0.09`, `Glorot uniform`."""
    if initializer is None:
        return "Glorot uniform"
    if inspect.isclass(initializer):
        initializer = initializer()
    if isinstance(initializer, VarianceScaling):
        shape = "uniform" if initializer.uniform else "normal"
        if (initializer.factor, initializer.mode) == (1.0, "FAN_AVG"):
            return f"Glorot {shape}"
        name = "He" if (initializer.factor, initializer.mode) == (2.0, "FAN_IN") else "variance scaling"
        return f"{name} {shape}"
    if not callable(initializer):
        return "constant"
    config = initializer.get_config() if hasattr(initializer, "get_config") else {}
    for kind, words, keys in _WORDS:
        if type(initializer) is kind:
            return " ".join([words, *(f"{config[key]:g}" for key in keys if np.isscalar(config.get(key)))])
    return getattr(initializer, "__name__", type(initializer).__name__)


_WORDS: tuple[tuple[type, str, tuple[str, ...]], ...] = (
    (_v1.zeros_initializer, "zeros", ()),
    (_v1.ones_initializer, "ones", ()),
    (_v1.constant_initializer, "constant", ("value",)),
    (CenterIdentity, "identity", ()),
    (_v1.truncated_normal_initializer, "truncated normal", ("stddev",)),
    (_v1.random_normal_initializer, "normal", ("stddev",)),
    (_v1.random_uniform_initializer, "uniform", ("minval", "maxval")),
    (_v1.glorot_uniform_initializer, "Glorot uniform", ()),
    (_v1.glorot_normal_initializer, "Glorot normal", ()),
    (_v1.variance_scaling_initializer, "variance scaling", ("scale",)),
)
