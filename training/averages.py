"""Exponential moving averages of model variables, under Slim's names."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping

import tensorflow as tf

from checkpoints.averages import SUFFIX


class MovingAverages(tf.Module):
    """Averages of all model variables, batch-norm statistics included, as Slim keeps them.

    The effective decay is `min(decay, (1 + step) / (10 + step))`, so that a short run's averages are not its start.

    Args:
        decay: largest decay.
        variables: Slim name -> variable.
        given: names whose averages do not follow their variables but are set from outside (`in_place_of_variables`).
    """

    def __init__(self, decay: float, variables: Mapping[str, tf.Variable], given: Iterable[str] = ()):
        super().__init__(name=None)
        self._decay = decay
        self._variables = dict(variables)
        self._given = frozenset(given)
        self._shadows = {
            name: tf.Variable(variable, trainable=False, name=name + SUFFIX) for name, variable in variables.items()
        }

    @property
    def state(self) -> dict[str, tf.Variable]:
        """Name in the checkpoint -> average."""
        return {name + SUFFIX: shadow for name, shadow in self._shadows.items()}

    def update(self, step: tf.Tensor) -> None:
        """Moves the averages toward the variables after step number `step` (from 0)."""
        step = tf.cast(step, tf.float32)
        rate = 1.0 - tf.minimum(self._decay, (1.0 + step) / (10.0 + step))
        for name, shadow in self._shadows.items():
            if name not in self._given:
                shadow.assign_sub(rate * (shadow - self._variables[name]))

    @contextlib.contextmanager
    def in_place_of_variables(self) -> Iterator[None]:
        """Within the block the variables have the averages' values; on leaving, the averages that are given take what
        the block made of their variables, and all variables have their own values again.
        """
        own = {name: variable.read_value() for name, variable in self._variables.items()}
        for name, variable in self._variables.items():
            variable.assign(self._shadows[name])
        try:
            yield
            for name in self._given:
                self._shadows[name].assign(self._variables[name])
        finally:
            for name, variable in self._variables.items():
                variable.assign(own[name])
