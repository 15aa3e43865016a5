"""Keeping batch norm's averages in step with a short run.

Training normalises with each batch's own statistics, evaluation with moving averages of them. Slim's decays (0.997 to
0.9997) need thousands of steps to follow the weights: after 500 steps of fine-tuning at 0.9997 the averages still are
86 % the checkpoint's, and a network whose training loss is small evaluates badly. The remedies here:

    fitted      decay at step t is min(network's decay, (1 + t) / (10 + t)): the averages span about the last ninth of
                the run so far, and Slim's own decay is reached once the run is long enough for it.
    recomputed  as fitted while training; before a checkpoint is written the averages are computed anew over up to 1,024
                training images with the weights as they are ("precise" batch norm, Wu and Johnson 2021,
                https://arxiv.org/abs/2105.07576).
    frozen      the checkpoint's averages, in training too.
    slim        as the original: the network's decay from the first step.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from nets.network import Network
from training.losses import sigmoid_cross_entropy, softmax_cross_entropy

RECOMPUTE_IMAGES = 1024
# How much worse the averages may do than batch statistics before it is worth a warning. Batch statistics see the other
# images of the batch, so a small difference is no defect.
_TOLERANCE_RATIO, _TOLERANCE_NATS, _TOLERANCE_ACCURACY = 1.25, 0.15, 0.1


@dataclasses.dataclass(frozen=True)
class Score:
    """Mean cross entropy in nats and accuracy."""

    loss: float
    accuracy: float


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How the same training images and weights do in the two modes."""

    batch_statistics: Score
    averages: Score
    images: int

    @property
    def is_good(self) -> bool:
        """Whether evaluation, which uses the averages, sees about the network that training saw."""
        batch, averages = self.batch_statistics, self.averages
        limit = max(_TOLERANCE_RATIO * batch.loss, batch.loss + _TOLERANCE_NATS)
        return averages.loss <= limit and averages.accuracy >= batch.accuracy - _TOLERANCE_ACCURACY

    def __str__(self) -> str:
        batch, averages = self.batch_statistics, self.averages
        return (
            f"{self.images} training images have loss {batch.loss:.3f} and accuracy {batch.accuracy:.0%} with batch "
            f"statistics, {averages.loss:.3f} and {averages.accuracy:.0%} with the averages that evaluation uses"
        )


class BatchNormAverages:
    """One of the remedies above, applied to a network."""

    def __init__(self, mode: str, network: Network, multi_label: bool = False):
        self.mode = mode
        self._multi_label = multi_label
        self._network = network
        self.is_trained = mode != "frozen" and bool(network.moving_statistics_names())
        self.is_recomputed = mode == "recomputed" and self.is_trained
        self._update = tf.function(self._update_averages, autograph=False)
        self._sums = tf.function(self._sums_in_both_modes, autograph=False)

    def describe(self) -> str:
        """One line for the log: what is done with the averages."""
        if not any(spec.name.endswith("moving_mean") for spec in self._network.specs):
            return "the network has no batch norm"
        if not self.is_trained:
            return "all averages are frozen: training and evaluation normalise alike"
        return {
            "fitted": "averages follow the run: decay min(network's, (1 + step) / (10 + step))",
            "recomputed": f"averages are computed anew from up to {RECOMPUTE_IMAGES} images before each checkpoint",
            "slim": "averages decay as in the original Slim; on a short run they lag behind",
        }[self.mode]

    def call_options(self, step: tf.Tensor) -> dict[str, Any]:
        """Arguments for `Network.__call__` in training step number `step` (int64 scalar, from 0)."""
        if not self.is_trained:
            return {"batch_statistics": False}
        if self.mode == "slim":
            return {}
        step = tf.cast(step, tf.float32)
        ramp = (1.0 + step) / (10.0 + step)
        return {"batch_norm_decay": lambda decay: tf.minimum(decay, ramp)}

    def recompute(self, batches: Iterable[tf.Tensor]) -> int:
        """Sets the averages to the mean statistics of `batches` of images; returns how many batches there were."""
        # From zero, so that not even rounding remembers the old averages: a resumed run gets the same ones.
        for name in self._network.moving_statistics_names():
            variable = self._network.variables_by_name[name]
            variable.assign(tf.zeros_like(variable))
        count = 0
        for images in batches:
            self._update(images, tf.constant(count, tf.float32))
            count += 1
        return count

    def compare(self, batches: Iterable[tuple[tf.Tensor, tf.Tensor]]) -> Agreement:
        """Measures (images, labels) batches in both modes; changes nothing."""
        totals, images = np.zeros([2, 2]), 0  # mode, measure
        for batch_images, labels in batches:
            totals += self._sums(batch_images, labels).numpy()
            images += int(labels.shape[0])
        return Agreement(*(Score(*(total / images).tolist()) for total in totals), images)

    def _update_averages(self, images: tf.Tensor, count: tf.Tensor) -> None:
        # With decay n / (n + 1) the moving average is the plain mean of all batches so far.
        # Step 0: a network that thins itself out as training goes on (drop path) is whole there, as in evaluation.
        self._network(images, training=True, batch_norm_decay=lambda decay: count / (count + 1.0), step=0)

    def _sums_in_both_modes(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        sums = []
        for batch_statistics in (True, False):
            logits, _ = self._network(images, batch_statistics=batch_statistics)
            correct, losses = self._score(logits, labels)
            sums.append([tf.reduce_sum(losses), tf.reduce_sum(tf.cast(correct, tf.float32))])
        return tf.convert_to_tensor(sums)

    def _score(self, logits: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Whether each example is right (with several classes: the share of its classes that are), and its loss."""
        if self._multi_label:
            right = tf.cast(tf.equal(logits > 0, labels > 0.5), tf.float32)
            return tf.reduce_mean(right, axis=1), sigmoid_cross_entropy(logits, labels)
        classes = tf.argmax(labels, axis=1, output_type=tf.int32) if labels.dtype.is_floating else labels
        correct = tf.argmax(logits, axis=1, output_type=classes.dtype) == classes
        return correct, softmax_cross_entropy(logits, labels)
