"""Losses: pure functions of logits and labels."""

import tensorflow as tf

AUXILIARY_WEIGHT = 0.4  # of the auxiliary head's loss, as in Slim's training script


def softmax_cross_entropy(logits: tf.Tensor, labels: tf.Tensor, label_smoothing: float = 0.0) -> tf.Tensor:
    """Cross entropy of each example that has one class.

    Args:
        logits: [N, K] float.
        labels: [N] int in [0, K), or [N, K] float: a distribution over the classes (mixup, cutmix). An int outside is
            an all-zero target, as in Slim (it occurs where `labels_offset` removes a class that the data has).
        label_smoothing: s in [0, 1]: targets become `y * (1 - s) + s / K`.

    Returns:
        [N] float32, in nats.
    """
    num_classes = logits.shape[-1]
    targets = _targets(labels, num_classes)
    if label_smoothing > 0:
        targets = targets * (1.0 - label_smoothing) + label_smoothing / num_classes
    return tf.nn.softmax_cross_entropy_with_logits(targets, tf.cast(logits, tf.float32))


def sigmoid_cross_entropy(
    logits: tf.Tensor, labels: tf.Tensor, label_smoothing: float = 0.0, class_weights: tf.Tensor | None = None
) -> tf.Tensor:
    """Cross entropy of each example that has any number of classes: the mean over its K yes-or-no questions.

    Args:
        logits: [N, K] float.
        labels: [N, K] float in [0, 1] (1: has the class), or [N] int: the only class, -1: none.
        label_smoothing: s in [0, 1]: targets become `y * (1 - s) + 0.5 * s`.
        class_weights: [K] float; a class that is there counts this many times, one that is not counts once.

    Returns:
        [N] float32, in nats.
    """
    targets = _targets(labels, logits.shape[-1])
    if label_smoothing > 0:
        targets = targets * (1.0 - label_smoothing) + 0.5 * label_smoothing
    logits = tf.cast(logits, tf.float32)
    if class_weights is None:
        losses = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)
    else:
        losses = tf.nn.weighted_cross_entropy_with_logits(targets, logits, tf.cast(class_weights, tf.float32))
    return tf.reduce_mean(losses, axis=-1)


def classification_losses(
    logits: tf.Tensor,
    end_points: dict[str, tf.Tensor],
    labels: tf.Tensor,
    label_smoothing: float = 0.0,
    *,
    weights: tf.Tensor | None = None,
    class_weights: tf.Tensor | None = None,
    multi_label: bool = False,
) -> dict[str, tf.Tensor]:
    """Slim's data losses, each a float32 scalar (mean over the batch), by their Slim names.

    Args:
        logits: [N, K] float.
        end_points: of the network; `AuxLogits` among them adds `aux_loss`, its weight of 0.4 in it.
        labels: [N] int (class; -1: none) or [N, K] float (a distribution over the classes; with `multi_label`, 0 to 1
            for each class).
        label_smoothing: s in [0, 1].
        weights: [N] float of the examples. As in `tf.losses`, the mean is over those whose weight is not 0.
        class_weights: [K] float. With one class an example, it multiplies the example's weight (the mean of its
            classes' weights where `labels` is a distribution); with `multi_label` see `sigmoid_cross_entropy`.
        multi_label: whether an example has any number of classes: sigmoid instead of softmax.
    """
    if class_weights is not None and not multi_label:
        of_examples = _example_weights(labels, class_weights)
        weights = of_examples if weights is None else of_examples * tf.cast(weights, tf.float32)

    def mean_loss(logits: tf.Tensor) -> tf.Tensor:
        if multi_label:
            return _mean(sigmoid_cross_entropy(logits, labels, label_smoothing, class_weights), weights)
        return _mean(softmax_cross_entropy(logits, labels, label_smoothing), weights)

    losses = {}
    if "AuxLogits" in end_points:
        losses["aux_loss"] = AUXILIARY_WEIGHT * mean_loss(end_points["AuxLogits"])
    losses[f"{'sigmoid' if multi_label else 'softmax'}_cross_entropy_loss"] = mean_loss(logits)
    return losses


def _targets(labels: tf.Tensor, num_classes: int) -> tf.Tensor:
    """Labels as [N, K] float32."""
    labels = tf.convert_to_tensor(labels)
    return tf.cast(labels, tf.float32) if labels.dtype.is_floating else tf.one_hot(labels, num_classes)


def _example_weights(labels: tf.Tensor, class_weights: tf.Tensor) -> tf.Tensor:
    """What the classes' weights make of each example: [N] float32; 1 for an example that has none of the classes.

    Without a class its target is all zeros (see `softmax_cross_entropy`): the weight then moves the mean's divisor at
    most, and 1 leaves it as it is without class weights.
    """
    class_weights = tf.cast(class_weights, tf.float32)
    targets = _targets(labels, class_weights.shape[0])
    return tf.linalg.matvec(targets, class_weights) + (1.0 - tf.reduce_sum(targets, axis=-1))


def _mean(losses: tf.Tensor, weights: tf.Tensor | None) -> tf.Tensor:
    if weights is None:
        return tf.reduce_mean(losses)
    weights = tf.cast(weights, tf.float32)
    return tf.math.divide_no_nan(
        tf.reduce_sum(losses * weights), tf.reduce_sum(tf.cast(tf.not_equal(weights, 0.0), tf.float32))
    )
