"""One step of training, as a compiled function."""

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from nets.network import Network
from preprocessing import batch_ops
from training.averages import MovingAverages
from training.batch_norm import BatchNormAverages
from training.config import TrainConfig
from training.distillation import LOSS as DISTILLATION_LOSS
from training.distillation import Distillation
from training.losses import classification_losses
from training.optimizers import Optimizer
from training.schedules import Schedule

Step = Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]


def make_train_step(
    config: TrainConfig,
    network: Network,
    optimizer: Optimizer,
    averages: MovingAverages | None,
    schedule: Schedule,
    batch_norm: BatchNormAverages,
    global_step: tf.Variable,
    class_weights: np.ndarray | None = None,
    multi_label: bool = False,
    decay_factors: Mapping[str, float] | None = None,
    distillation: Distillation | None = None,
) -> Step:
    """Returns the function (images [N, H, W, C], labels) -> scalars by their TensorBoard tags.

    Labels, `class_weights` and `multi_label` are as in `losses.classification_losses`; `decay_factors` are those of
    `Network.regularization_loss`; `distillation` adds its term.

    It moves the trained variables, the batch-norm averages, the averages of variables and the global step. Everything
    random in it follows from the run's seed and the step, so a resumed run repeats it bit for bit.
    """
    trained = {name: network.variables_by_name[name] for name in network.trained_names}
    # Frozen weights decay by nothing, so their share of the reported loss is a constant: computed once, not each step.
    frozen = [name for name in network.shapes if name not in trained]
    frozen_regularization = float(network.regularization_loss(frozen, decay_factors)) if frozen else 0.0

    augmentation = config.parsed_augmentation()
    mixing = augmentation.stage("batch") if augmentation else ()

    @tf.function(autograph=False)
    def train_step(images: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        step = global_step.read_value()
        images, labels = batch_ops.mix(mixing, images, labels, network.num_classes, tf.stack([config.seed, step]))
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(list(trained.values()))
            logits, end_points = network(
                images, training=True, seed=tf.stack([config.seed, step]), step=step, **batch_norm.call_options(step)
            )
            judged, judged_points = logits, end_points
            if distillation is not None:
                judged, judged_points = distillation.for_labels(logits, end_points, labels)
            losses = classification_losses(
                judged,
                judged_points,
                labels,
                config.label_smoothing,
                class_weights=class_weights,
                multi_label=multi_label,
            )
            if distillation is not None:
                losses[DISTILLATION_LOSS] = distillation.loss(images, logits)
            data_loss = tf.add_n(list(losses.values()))
            regularization = network.regularization_loss(trained, decay_factors) + frozen_regularization
            total = data_loss + regularization
        rate = schedule(step)
        optimizer.apply(tape.gradient(total, trained), rate)
        if averages is not None:
            averages.update(step)
        global_step.assign_add(1)
        return {
            "total_loss": total,
            "learning_rate": rate,
            "Losses/clone_loss": data_loss,
            "Losses/regularization_loss": regularization,
            **{f"losses/{name}": value for name, value in losses.items()},
        }

    return train_step
