"""What a caller of a whole network may decide for the layers inside it, without touching their arguments."""

import contextlib
import contextvars
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import tensorflow as tf

# (scope name of the batch norm, is_training as called, decay as called) -> (is_training, decay)
BatchNormPolicy = Callable[[str, Any, Any], tuple[Any, Any]]


class CallContext(NamedTuple):
    """The caller's decisions; None leaves the layers as they are called."""

    batch_norm: BatchNormPolicy | None = None
    seed: tf.Tensor | None = None
    step: tf.Tensor | None = None


# A context variable, for tf.distribute traces replicas in threads of their own.
_NOTHING = CallContext()
_current: contextvars.ContextVar[CallContext] = contextvars.ContextVar("call_context", default=_NOTHING)
current = _current.get


@contextlib.contextmanager
def call_context(
    batch_norm: BatchNormPolicy | None = None, seed: tf.Tensor | None = None, step: tf.Tensor | None = None
) -> Iterator[None]:
    """Decides batch norm's mode, dropout's randomness and the training step for the layers called inside the block.

    Args:
      batch_norm: called as `batch_norm(scope_name, is_training, decay)` by every `batch_norm` layer with its full
        variable scope name and its arguments; returns the `is_training` (bool or bool tensor) and the `decay` (float
        or scalar tensor) to use. None: as called.
      seed: integer tensor of shape [2]. When given, each dropout mask is a pure function of it and of the dropout's
        scope name. None: the graph's stateful generator.
      step: integer scalar: how many steps the training has done, for networks with a schedule of their own
        (`training_step`).

    Contexts do not merge: the innermost one holds alone. It holds in the thread that opened it.
    """
    token = _current.set(CallContext(batch_norm, seed, step))
    try:
        yield
    finally:
        _current.reset(token)


def training_step() -> Any:
    """How many steps the training has done: an integer scalar (tensor or variable), or None where nobody counts.

    It is what `call_context` was given, else the global step of a TensorFlow 1 graph, which is made if it has none.
    Inside a `tf.function` there is no global step to find.
    """
    step = _current.get().step
    if step is not None:
        return step
    if tf.executing_eagerly() or tf.compat.v1.get_default_graph().building_function:
        return None
    return tf.compat.v1.train.get_or_create_global_step()


def fold_seed(seed: tf.Tensor, scope_name: str) -> tf.Tensor:
    """A seed [2] of the same type for one scope. The name's CRC-32 is the same on every machine and run."""
    return tf.random.fold_in(seed, zlib.crc32(scope_name.encode()) & 0x7FFFFFFF)
