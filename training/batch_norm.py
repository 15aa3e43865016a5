"""Keeping batch norm's averages in step with a short run.

Training normalises with each batch's own statistics, evaluation with moving averages of them. Slim's decays (0.997 to
0.9997) need thousands of steps to follow the weights: after 500 steps of fine-tuning at 0.9997 the averages still are
86 % the checkpoint's, and a network whose training loss is small evaluates badly. The remedies here:

    fitted      decay at step t is min(network's decay, (1 + t) / (10 + t)): the averages span about the last ninth of
                the run so far, and Slim's own decay is reached once the run is long enough for it.
    recomputed  Slim's decay while training; before a checkpoint is written the averages are computed anew over training
                images with the weights as they are.
    frozen      the checkpoint's averages, in training too.
    slim        as the original: the network's decay from the first step.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from nets.network import Network
from training.losses import softmax_cross_entropy

RECOMPUTE_BATCHES = 100
# Loss with the averages may exceed loss with batch statistics by this much before it is worth a warning. Batch
# statistics see the other images of the batch, so a small difference is no defect.
_TOLERANCE_RATIO, _TOLERANCE_NATS = 1.25, 0.15


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Mean cross entropy of the same training images and weights in the two modes, in nats."""

    batch_statistics: float
    averages: float
    images: int

    @property
    def is_good(self) -> bool:
        """Whether evaluation, which uses the averages, sees about the network that training saw."""
        limit = max(_TOLERANCE_RATIO * self.batch_statistics, self.batch_statistics + _TOLERANCE_NATS)
        return self.averages <= limit

    def __str__(self) -> str:
        return (
            f"loss on {self.images} training images is {self.batch_statistics:.3f} with batch statistics and "
            f"{self.averages:.3f} with the averages that evaluation uses"
        )


class BatchNormAverages:
    """One of the remedies above, applied to a network."""

    def __init__(self, mode: str, network: Network):
        self.mode = mode
        self._network = network
        self.is_trained = mode != "frozen" and bool(network.moving_statistics_names())
        self._update = tf.function(self._update_averages, autograph=False)
        self._losses = tf.function(self._losses_in_both_modes, autograph=False)

    def describe(self) -> str:
        """One line for the log: what is done with the averages."""
        if not any(spec.name.endswith("moving_mean") for spec in self._network.specs):
            return "the network has no batch norm"
        if not self.is_trained:
            return "all averages are frozen: training and evaluation normalise alike"
        return {
            "fitted": "averages follow the run: decay min(network's, (1 + step) / (10 + step))",
            "recomputed": f"averages are recomputed from up to {RECOMPUTE_BATCHES} training batches at each checkpoint",
            "slim": "averages decay as in the original Slim; on a short run they lag behind",
        }[self.mode]

    def call_options(self, step: tf.Tensor) -> dict[str, Any]:
        """Arguments for `Network.__call__` in training step number `step` (int64 scalar, from 0)."""
        if not self.is_trained:
            return {"batch_statistics": False}
        if self.mode != "fitted":
            return {}
        step = tf.cast(step, tf.float32)
        ramp = (1.0 + step) / (10.0 + step)
        return {"batch_norm_decay": lambda decay: tf.minimum(decay, ramp)}

    def recompute(self, batches: Iterable[tf.Tensor]) -> int:
        """Sets the averages to the mean statistics of `batches` of images; returns how many batches there were."""
        count = 0
        for images in batches:
            self._update(images, tf.constant(count, tf.float32))
            count += 1
        return count

    def compare(self, batches: Iterable[tuple[tf.Tensor, tf.Tensor]]) -> Agreement:
        """Measures the loss of (images, labels) batches in both modes; changes nothing."""
        totals, images = [0.0, 0.0], 0
        for batch_images, labels in batches:
            for i, loss in enumerate(self._losses(batch_images, labels)):
                totals[i] += float(loss)
            images += int(labels.shape[0])
        return Agreement(totals[0] / images, totals[1] / images, images)

    def _update_averages(self, images: tf.Tensor, count: tf.Tensor) -> None:
        # With decay n / (n + 1) the moving average is the plain mean of all batches so far.
        self._network(images, training=True, batch_norm_decay=lambda decay: count / (count + 1.0))

    def _losses_in_both_modes(self, images: tf.Tensor, labels: tf.Tensor) -> list[tf.Tensor]:
        return [
            tf.reduce_sum(softmax_cross_entropy(self._network(images, batch_statistics=mode)[0], labels))
            for mode in (True, False)
        ]
