"""The network as it was as a teacher: what it says of the old classes is kept while new ones are learnt.

Li and Hoiem 2016, Learning without Forgetting (https://arxiv.org/abs/1606.09282); the softened distributions are Hinton
et al. 2015 (https://arxiv.org/abs/1503.02531).
"""

from collections.abc import Mapping

import tensorflow as tf
from absl import logging

from checkpoints import reader as reader_lib
from checkpoints import restore
from nets.network import Network
from training.config import TrainConfig
from training.extending import Extension
from training.runs import ModelInfo

LOSS = "distillation_loss"
_NEVER = -1e9  # a logit beside which any other is all


def divergence(logits: tf.Tensor, teacher_logits: tf.Tensor, temperature: float) -> tf.Tensor:
    """How far a network's distribution over the teacher's classes is from the teacher's.

    Args:
        logits: [N, K or more] float; the first K classes are the teacher's.
        teacher_logits: [N, K] float.
        temperature: T, both are softmax(logits / T).

    Returns:
        float32 scalar: T² times the mean Kullback-Leibler divergence in nats. With T² the size of the gradient hardly
        depends on T.
    """
    own = tf.nn.log_softmax(tf.cast(logits[:, : teacher_logits.shape[1]], tf.float32) / temperature)
    teacher = tf.nn.log_softmax(tf.cast(teacher_logits, tf.float32) / temperature)
    return temperature**2 * tf.reduce_mean(tf.reduce_sum(tf.exp(teacher) * (teacher - own), axis=1))


def of(config: TrainConfig, info: ModelInfo, extension: Extension) -> "Distillation | None":
    """Returns the term that --distillation_weight asks for, its teacher restored from the checkpoint that is extended.

    Args:
        config: all settings.
        info: the model, of all classes.
        extension: the classes.
    """
    if not config.distillation_weight:
        return None
    reader = reader_lib.open_checkpoint(extension.source, warn=False)
    teacher = Network(
        info.model_name,
        len(extension.old_labels),
        image_size=info.image_size,
        channels=info.channels,
        compute_dtype=tf.as_dtype(config.precision),
    )
    wanted = {name: shape for name, shape in teacher.shapes.items() if name in teacher.evaluation_names}
    plan = restore.plan(wanted, reader, head_scopes=teacher.record.head_scopes, allow_extra=True, can_exclude=False)
    teacher.initialize(plan.values(reader))
    logging.info("Distillation: the teacher is %s", reader.path)
    separate = not config.num_replayed
    return Distillation(teacher, config.distillation_weight, config.distillation_temperature, separate)


def separated(logits: tf.Tensor, labels: tf.Tensor, num_old: int) -> tf.Tensor:
    """Takes the old classes out of the softmax of images of new classes.

    Without old images a softmax over all classes learns at once that nothing is of an old class, whatever the teacher
    says of the old classes among themselves. So Li and Hoiem have a softmax for each group of classes.

    Args:
        logits: [N, K] float.
        labels: [N] int, or [N, K] float: a distribution over the classes.
        num_old: the first classes, which are old.

    Returns:
        [N, K] float: the old classes' logits are very low, and without a gradient, where the label is new.
    """
    is_new = tf.reduce_all(labels[:, :num_old] <= 0, axis=1) if labels.dtype.is_floating else labels >= num_old
    old = tf.where(is_new[:, tf.newaxis], tf.cast(_NEVER, logits.dtype), logits[:, :num_old])
    return tf.concat([old, logits[:, num_old:]], axis=1)


class Distillation(tf.Module):
    """What holds a network to its teacher.

    Args:
        teacher: its variables made; it is applied as in evaluation and stays as it is.
        weight: of the term of the loss.
        temperature: see `divergence`.
        separate: whether images of new classes have a softmax of their own, see `separated`.
    """

    def __init__(self, teacher: Network, weight: float, temperature: float, separate: bool):
        super().__init__(name=None)
        self._teacher, self._weight, self._temperature, self._separate = teacher, weight, temperature, separate

    def loss(self, images: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Returns the weighted term for a batch that the network makes `logits` of: float32 scalar."""
        teacher_logits = tf.stop_gradient(self._teacher(images)[0])
        return self._weight * divergence(logits, teacher_logits, self._temperature)

    def for_labels(
        self, logits: tf.Tensor, end_points: Mapping[str, tf.Tensor], labels: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Returns logits and end points as the loss of the labels is to see them."""
        if not self._separate:
            return logits, dict(end_points)
        heads = {name: end_points[name] for name in ("AuxLogits",) if name in end_points}
        heads = {name: separated(value, labels, self._teacher.num_classes) for name, value in heads.items()}
        return separated(logits, labels, self._teacher.num_classes), {**end_points, **heads}
