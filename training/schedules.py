"""Learning rate schedules: pure functions of the step."""

from collections.abc import Callable

import tensorflow as tf

from training.config import TrainConfig

Schedule = Callable[[tf.Tensor], tf.Tensor]


def decay_steps(config: TrainConfig, num_samples: int) -> int:
    """Steps between decays: `int(num_samples / batch_size * num_epochs_per_decay)`, at least 1."""
    return max(1, int(num_samples / config.batch_size * config.num_epochs_per_decay))


def learning_rate(config: TrainConfig, num_samples: int) -> Schedule:
    """Returns the schedule: int64 step -> float32 learning rate.

    Slim's three: `fixed`; `exponential`, `rate * factor ** floor(step / decay_steps)`; `polynomial`, linear from the
    rate to the end rate over `decay_steps`. With warm-up the rate is at most `rate * step / warm-up steps`.
    """
    steps = decay_steps(config, num_samples)
    warmup_steps = num_samples / config.batch_size * config.warmup_epochs
    initial, end = config.learning_rate, config.end_learning_rate

    def schedule(step: tf.Tensor) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        if config.learning_rate_decay_type == "fixed":
            rate = tf.constant(initial)
        elif config.learning_rate_decay_type == "exponential":
            rate = initial * config.learning_rate_decay_factor ** tf.floor(step / steps)
        else:
            rate = (initial - end) * (1.0 - tf.minimum(step, float(steps)) / steps) + end
        if warmup_steps > 0:
            rate = tf.minimum(initial * step / warmup_steps, rate)
        return rate

    return schedule
