"""What an op and a recipe are, and how a chain of ops is run.

An op is a small image -> image function with its arguments bound; a recipe is a tuple of ops that ends in the recipe's
`normalize` op. Between ops an image is `[height, width, channels]`, uint8 or float32, always on the scale 0..255.
Channels are 1 or 3.

`@op`, `@random_op` and `@window_op` turn a plain function into a factory of ops and enter it in `OPS`, so that
`flip_left_right(probability=0.3)` is an `Op`, and a name plus arguments is enough to make one.
"""

import dataclasses
import functools
import hashlib
import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

OPS: dict[str, Callable[..., "Op"]] = {}

# Nothing here needs AutoGraph, and its conversion of all that a `tf.data` map calls takes over a second.
traced_as_is = tf.autograph.experimental.do_not_convert

_INT32_MAX = 2**31 - 1


@dataclasses.dataclass(frozen=True, eq=False)  # arguments may be tensors, which do not compare
class Op:
    """One step of a recipe.

    Call it with an image, and with an integer seed of shape [2] if it is random (None: a fresh draw).
    """

    name: str
    function: Callable[..., tf.Tensor]  # (image[, seed], **arguments) -> image
    arguments: Mapping[str, Any]
    random: bool = False
    # Ops that only cut a window out can say which one before there are any pixels, so that a JPEG is cropped while it
    # is decoded: (int32 shape [3], seed, **arguments) -> int32 [4] of y, x, height, width.
    find_window: Callable[..., tf.Tensor] | None = None
    # Ops on pixels of a known shape can take their random numbers from outside, so that `preprocessing.fused` turns
    # several of them into one pass over the image: `change(image, draw(seed, **arguments), **arguments)` is the op.
    draw: Callable[..., Any] | None = None  # (seed, **arguments) -> one tensor; None: the op draws nothing
    change: Callable[..., tf.Tensor] | None = None
    passes: int = 1  # about how often it reads and writes the image when it runs by itself

    @traced_as_is
    def __call__(self, image: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        image = tf.convert_to_tensor(image)
        if not self.random:
            return self.function(image, **self.arguments)
        return self.function(image, fresh_seed() if seed is None else seed, **self.arguments)

    def window(self, shape: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Returns the window int32 [4] (y, x, height, width) that this op cuts from an image of int32 `shape` [3]."""
        if self.find_window is None:
            raise TypeError(f"{self} does not cut a window")
        if self.random and seed is None:
            seed = fresh_seed()
        return self.find_window(shape, seed, **self.arguments)

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{key}={value!r}' for key, value in self.arguments.items())})"


def _factory(function: Callable, given: int, make: Callable[[str, dict], Op]) -> Callable[..., Op]:
    """Wraps `function`, whose first `given` parameters are filled when the op runs, as an op factory in `OPS`."""
    name = function.__name__
    if name in OPS:
        raise ValueError(f"op {name!r} is defined twice")
    signature = inspect.signature(function)
    own = signature.replace(parameters=list(signature.parameters.values())[given:], return_annotation=Op)

    @functools.wraps(function)
    def factory(*args: Any, **kwargs: Any) -> Op:
        try:
            bound = own.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"op {name}{own}: {error}") from None
        bound.apply_defaults()
        return make(name, dict(bound.arguments))

    factory.__signature__ = own
    OPS[name] = factory
    return factory


def op(function: Callable[..., tf.Tensor]) -> Callable[..., Op]:
    """Makes `function(image, ...)` a factory of ops."""
    return _factory(function, 1, lambda name, arguments: Op(name, function, arguments))


def pixel_op(function: Callable[..., tf.Tensor]) -> Callable[..., Op]:
    """Makes `function(image, ...)`, plain arithmetic on pixels, a factory of ops that can be fused."""

    def change(image: tf.Tensor, _: None, **arguments: Any) -> tf.Tensor:
        return function(image, **arguments)

    return _factory(function, 1, lambda name, arguments: Op(name, function, arguments, change=change))


def random_pixel_op(
    draw: Callable[..., tf.Tensor],
    change: Callable[..., tf.Tensor],
    passes: int,
    where: Callable[[Mapping[str, Any]], bool] = lambda arguments: True,
) -> Callable[[Callable[..., tf.Tensor]], Callable[..., Op]]:
    """Makes `function(image, seed, ...)` a factory of random ops that can be fused, see `Op.draw` and `Op.change`.

    `function` does the same as the two, by the kernels that are fastest one by one, in about as many `passes` over the
    image. `where(arguments)` tells with which arguments it can be fused.
    """

    def decorate(function: Callable[..., tf.Tensor]) -> Callable[..., Op]:
        def make(name: str, arguments: dict[str, Any]) -> Op:
            parts = (draw, change) if where(arguments) else (None, None)
            return Op(name, function, arguments, True, None, *parts, passes)

        return _factory(function, 2, make)

    return decorate


def random_op(function: Callable[..., tf.Tensor]) -> Callable[..., Op]:
    """Makes `function(image, seed, ...)` a factory of random ops; `seed` (int [2]) is all the randomness it has."""
    return _factory(function, 2, lambda name, arguments: Op(name, function, arguments, random=True))


def window_op(random: bool) -> Callable[[Callable[..., tf.Tensor]], Callable[..., Op]]:
    """Makes `function(shape, seed, ...) -> window` a factory of ops that cut that window out."""

    def decorate(function: Callable[..., tf.Tensor]) -> Callable[..., Op]:
        def cut(image: tf.Tensor, seed: tf.Tensor | None = None, **arguments: Any) -> tf.Tensor:
            part = cut_window(image, function(shape_of(image), seed, **arguments))
            part.set_shape([arguments.get("height"), arguments.get("width"), None])  # Known where the op names them.
            return part

        return _factory(function, 2, lambda name, arguments: Op(name, cut, arguments, random, function))

    return decorate


def shape_of(image: tf.Tensor) -> tf.Tensor:
    """Returns the shape as an int32 tensor, constant where it is known while tracing."""
    return tf.constant(image.shape.as_list(), tf.int32) if image.shape.is_fully_defined() else tf.shape(image)


def cut_window(image: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
    """Returns the part of `image` [h, w, c] that `window` int32 [4] (y, x, height, width) names."""
    cut = tf.slice(image, tf.concat([window[:2], [0]], 0), tf.concat([window[2:], [-1]], 0))
    cut.set_shape([None, None, image.shape[-1]])
    return cut


def as_float(image: tf.Tensor) -> tf.Tensor:
    """Returns float32, the values as they are."""
    return image if image.dtype == tf.float32 else tf.cast(image, tf.float32)


def if_colour(
    image: tf.Tensor,
    function: Callable[[tf.Tensor], tf.Tensor],
    otherwise: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
) -> tf.Tensor:
    """Applies `function` to three channels and `otherwise` to one; decided while tracing where that is possible."""
    channels = image.shape[-1]
    if channels is not None:
        return function(image) if channels == 3 else otherwise(image)
    # Not `tf.cond`: from a branch that needs three channels, TensorFlow 2.21's graph optimizer concludes that there are
    # three, and takes it always. Both are computed; a gray image is first repeated to three channels.
    channels = tf.shape(image)[-1]
    rgb = tf.gather(image, tf.minimum(tf.range(3), channels - 1), axis=-1)
    rgb.set_shape([*image.shape[:-1], 3])
    return tf.where(channels == 3, function(rgb), otherwise(rgb[..., :1]))[..., :channels]


def weighted_sum(image: tf.Tensor, weights: Sequence[float]) -> tf.Tensor:
    """Returns float32 [h, w, 1] of a float image [h, w, 3].

    As `tf.image.rgb_to_grayscale`, without its transposition: graphs move that to the image's bytes, about which
    TensorFlow complains on standard error.
    """
    flat = tf.linalg.matmul(tf.reshape(image, [-1, 3]), tf.constant(weights, tf.float32, [3, 1]))
    gray = tf.reshape(flat, tf.concat([tf.shape(image)[:-1], [1]], 0))
    gray.set_shape([*image.shape[:-1], 1])
    return gray


def fresh_seed() -> tf.Tensor:
    """Returns a new int32 seed [2] on every execution, from the global generator."""
    return tf.random.uniform([2], maxval=_INT32_MAX, dtype=tf.int32)


def derive_seed(seed: tf.Tensor, name: str) -> tf.Tensor:
    """Returns a seed for the draw called `name`, independent of the other names' under the same `seed` [2].

    The name's hash is mixed in by exclusive or, one cheap op: the stateless generators scramble their seeds, and unlike
    adding a small number it cannot turn one image's seed into its neighbour's (step, step + 1, ...).
    """
    seed = tf.convert_to_tensor(seed)
    digest = hashlib.blake2s(name.encode(), digest_size=8).digest()
    salt = [int.from_bytes(half, "little") & _INT32_MAX for half in (digest[:4], digest[4:])]
    return tf.bitwise.bitwise_xor(seed, tf.constant(salt, seed.dtype))


def op_seeds(ops: Sequence[Op], seed: tf.Tensor | None) -> list[tf.Tensor | None]:
    """Returns a seed for each of `ops` (None for those that draw nothing).

    Seeds go by the op's name and by how often it came before, not by its place, so putting another op into a recipe
    leaves the draws of the rest as they were.
    """
    if not any(step.random for step in ops):
        return [None] * len(ops)
    seed = fresh_seed() if seed is None else seed
    before: Counter[str] = Counter()
    seeds: list[tf.Tensor | None] = []
    for step in ops:
        seeds.append(derive_seed(seed, f"{step.name}/{before[step.name]}") if step.random else None)
        before[step.name] += 1
    return seeds


def run(ops: Sequence[Op], image: tf.Tensor, seeds: Sequence[tf.Tensor | None]) -> tf.Tensor:
    """Sends `image` [h, w, c] (uint8 or float32, 0..255) through `ops`, each with its own of `seeds` (`op_seeds`)."""
    for step, seed in zip(ops, seeds, strict=True):
        image = step(image, seed)
    return image


def sequence(*ops: Op | None) -> tuple[Op, ...]:
    """Returns `ops` without the Nones, so that a recipe can write `op() if wanted else None` in place."""
    return tuple(step for step in ops if step is not None)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A named way from a decoded image to a network's input, for training and for evaluation."""

    name: str
    # (height, width, is_training, **options) -> ops up to, not including, `normalize`.
    steps: Callable[..., tuple[Op, ...]]
    normalize: Op  # float 0..255 -> the network's range; takes [h, w, c] and [batch, h, w, c]
    output_range: str
    # What Slim takes a float image to be: [0, 1] (inception) or 0..255 (the others).
    unit_floats: bool = False

    def ops(
        self, height: int, width: int, is_training: bool = False, *, extra_ops: Iterable[Op] = (), **options: Any
    ) -> tuple[Op, ...]:
        """Returns the whole chain. `extra_ops` (further augmentation) run in training, just before `normalize`.

        `options` are the recipe's own (`inspect.signature(recipe.steps)`); one it does not have is a TypeError.
        """
        known = list(inspect.signature(self.steps).parameters)[3:]
        for option in options:
            if option not in known:
                raise TypeError(f"preprocessing {self.name!r} has no option {option!r}; it has {', '.join(known)}")
        steps = self.steps(height, width, is_training, **options)
        return (*steps, *(extra_ops if is_training else ()), self.normalize)

    @traced_as_is
    def __call__(
        self,
        image: tf.Tensor,
        height: int,
        width: int,
        is_training: bool = False,
        seed: tf.Tensor | None = None,
        **options: Any,
    ) -> tf.Tensor:
        """Preprocesses one decoded image.

        Args:
          image: [h, w, c] with c 1 or 3; uint8 0..255, another integer type, or float (see `unit_floats`).
          height: output height in pixels.
          width: output width in pixels.
          is_training: True for the random training chain.
          seed: int32 or int64 [2] that decides every random draw; None draws afresh.
          **options: the recipe's own, and `extra_ops`.

        Returns:
          float32 [height, width, c] (one channel with `use_grayscale`) in `output_range`.
        """
        image = byte_range(image, self.unit_floats)
        ops = self.ops(height, width, is_training, **options)
        return run(ops, image, op_seeds(ops, seed))


def byte_range(image: tf.Tensor, unit_floats: bool) -> tf.Tensor:
    """Brings an image to the scale 0..255: uint8 stays as it is, everything else becomes float32.

    Args:
      image: [h, w, c], any numeric type.
      unit_floats: floats are in [0, 1] and wider integers fill their type's range (Slim's inception); otherwise both
        are taken to be 0..255 already (Slim's other three).
    """
    image = tf.convert_to_tensor(image)
    try:
        image.set_shape([None, None, None])
    except ValueError:
        raise ValueError(f"expected one image [height, width, channels], found shape {image.shape}") from None
    if image.shape[-1] not in (None, 1, 3):
        raise ValueError(f"expected an image of 1 or 3 channels, found shape {image.shape}")
    if image.dtype == tf.uint8:
        return image
    if not unit_floats:
        return tf.cast(image, tf.float32)
    return tf.image.convert_image_dtype(image, tf.float32) * 255.0
