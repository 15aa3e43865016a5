"""Losses: pure functions of logits and labels."""

import tensorflow as tf

AUXILIARY_WEIGHT = 0.4  # of the auxiliary head's loss, as in Slim's training script


def softmax_cross_entropy(logits: tf.Tensor, labels: tf.Tensor, label_smoothing: float = 0.0) -> tf.Tensor:
    """Cross entropy of each example.

    Args:
        logits: [N, K] float.
        labels: [N] int in [0, K). A label outside is an all-zero target, as in Slim (it occurs where `labels_offset`
            removes a class that the data has).
        label_smoothing: s in [0, 1]: targets become `y * (1 - s) + s / K`.

    Returns:
        [N] float32.
    """
    num_classes = logits.shape[-1]
    targets = tf.one_hot(labels, num_classes, dtype=tf.float32)
    if label_smoothing > 0:
        targets = targets * (1.0 - label_smoothing) + label_smoothing / num_classes
    return tf.nn.softmax_cross_entropy_with_logits(targets, tf.cast(logits, tf.float32))


def classification_losses(
    logits: tf.Tensor, end_points: dict[str, tf.Tensor], labels: tf.Tensor, label_smoothing: float = 0.0
) -> dict[str, tf.Tensor]:
    """Slim's data losses, each a float32 scalar (mean over the batch), by their Slim names.

    `aux_loss` is there where the network has an end point `AuxLogits`; its weight of 0.4 is in it.
    """
    losses = {}
    if "AuxLogits" in end_points:
        auxiliary = softmax_cross_entropy(end_points["AuxLogits"], labels, label_smoothing)
        losses["aux_loss"] = AUXILIARY_WEIGHT * tf.reduce_mean(auxiliary)
    main = softmax_cross_entropy(logits, labels, label_smoothing)
    losses["softmax_cross_entropy_loss"] = tf.reduce_mean(main)
    return losses
