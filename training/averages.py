"""Exponential moving averages of model variables, under Slim's names."""

from collections.abc import Mapping

import tensorflow as tf

from checkpoints.averages import SUFFIX


class MovingAverages(tf.Module):
    """Averages of all model variables, batch-norm statistics included, as Slim keeps them.

    The effective decay is `min(decay, (1 + step) / (10 + step))`, so that a short run's averages are not its start.
    """

    def __init__(self, decay: float, variables: Mapping[str, tf.Variable]):
        super().__init__(name=None)
        self._decay = decay
        self._variables = dict(variables)
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
            shadow.assign_sub(rate * (shadow - self._variables[name]))
