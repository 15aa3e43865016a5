"""Running a chain of ops with its pixel arithmetic compiled into one pass over the image.

One by one, the ops at the end of a training recipe (mirror, brightness, saturation, clip, scale) read and write the
whole image a dozen times, which costs more than decoding saves. XLA makes one loop of them. Random numbers are drawn
outside of it, by the same kernels as without it, because XLA's generators are others.

The results are those of `core.run` up to float32's rounding.
"""

import functools
from collections.abc import Callable, Sequence

import tensorflow as tf

from preprocessing import core
from preprocessing.core import Op

# Passes over the image: fewer cost less time in a short run than compiling them (about 0.1 s), and an op of many gets a
# loop of its own, since what is fused with it would be computed anew for each pixel it reads.
_WORTHWHILE, _MANY = 4, 20


def run(ops: Sequence[Op], image: tf.Tensor, seeds: Sequence[tf.Tensor | None]) -> tf.Tensor:
    """Does what `core.run` does; in a graph, where the image's shape is known, ops that follow one another are fused.

    Args:
      ops: see `core.run`.
      image: [h, w, c] uint8 or float32, 0..255.
      seeds: one for each op, see `core.op_seeds`.
    """
    position = 0
    while position < len(ops):
        end = _end_of_group(ops, position)
        passes = sum(op.passes for op in ops[position:end])
        if passes >= _WORTHWHILE and _is_compilable(image):
            image = _compiled(ops[position:end], core.as_float(image), seeds[position:end])
            position = end
        else:
            image = ops[position](image, seeds[position])
            position += 1
    return image


def call(
    function: Callable[..., tf.Tensor], otherwise: Callable[..., tf.Tensor], image: tf.Tensor, *more: tf.Tensor
) -> tf.Tensor:
    """Returns `function(image, *more)` compiled where that can be, else `otherwise(image, *more)`."""
    if not _is_compilable(image):
        return otherwise(image, *more)
    return tf.function(function, jit_compile=True, autograph=False)(image, *more)


def _end_of_group(ops: Sequence[Op], start: int) -> int:
    """Returns where the ops from `start` on that go into one loop end; `start` where the first one cannot."""
    end = start
    while end < len(ops) and ops[end].change is not None:
        if ops[end].passes >= _MANY:
            return max(end, start + 1)
        end += 1
    return end


def _is_compilable(image: tf.Tensor) -> bool:
    return not tf.executing_eagerly() and image.shape.is_fully_defined() and can_compile()


def _compiled(ops: Sequence[Op], image: tf.Tensor, seeds: Sequence[tf.Tensor | None]) -> tf.Tensor:
    draws = [op.draw(seed, **op.arguments) if op.draw else None for op, seed in zip(ops, seeds, strict=True)]

    @tf.function(jit_compile=True, autograph=False)
    def change(image: tf.Tensor, draws: list[tf.Tensor | None]) -> tf.Tensor:
        for op, draw in zip(ops, draws, strict=True):
            image = op.change(image, draw, **op.arguments)
        return image

    changed = change(image, draws)
    changed.set_shape(image.shape)
    return changed


@functools.cache
def can_compile() -> bool:
    """Tells if this TensorFlow has XLA for the CPU; not all builds do."""
    try:
        with tf.init_scope(), tf.device("CPU"):
            tf.function(lambda x: x + 1.0, jit_compile=True, autograph=False)(tf.constant(0.0))
    except (tf.errors.OpError, ValueError):
        return False
    return True
