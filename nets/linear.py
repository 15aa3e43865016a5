"""Softmax regression: one fully connected layer on the pixels. The first thing to try on a new data set."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from nets import layers as slim
from nets import registry
from nets.blocks import Outputs


def linear_arg_scope(weight_decay: float = 0.0) -> Any:
    """Arg scope of `linear`.

    Args:
      weight_decay: L2 scale of the weights.
    """
    with slim.arg_scope([slim.fully_connected], weights_regularizer=slim.l2_regularizer(weight_decay)) as scope:
        return scope


@registry.network(
    "linear",
    image_size=32,
    preprocessing="lenet",
    arg_scope=linear_arg_scope,
    head_scopes="Linear/logits",
    features="Flatten",
    parameters=30_730,
    multiply_adds=30_720,
)
def linear(
    images: tf.Tensor,
    num_classes: int | None = 10,
    is_training: bool = False,
    prediction_fn: Callable[..., tf.Tensor] = slim.softmax,
    scope: str = "Linear",
) -> Outputs:
    """One fully connected layer, `Linear/logits`, on the flattened pixels (ours, not Slim's).

    About 92 % on MNIST's test digits. It shows in seconds that data, labels and training fit together. The loss is
    convex in the weights, so they can start at zero.

    Args:
      images: float32 [batch, height, width, channels]; height and width must be known, 32 by default.
      num_classes: 0 or None returns the flattened pixels.
      is_training: has no effect; every network function takes it.
      prediction_fn: makes probabilities of logits.
      scope: variable scope.

    Returns:
      (logits [batch, num_classes], end points `Flatten`, `Logits`, `Predictions`).
    """
    del is_training
    with tf.compat.v1.variable_scope(scope, "Linear", [images]):
        net = slim.flatten(images)
        end_points = {"Flatten": net}
        if not num_classes:
            return net, end_points
        logits = slim.fully_connected(
            net, num_classes, activation_fn=None, weights_initializer=tf.compat.v1.zeros_initializer(), scope="logits"
        )
        end_points["Logits"] = logits
        end_points["Predictions"] = prediction_fn(logits, scope="Predictions")
    return logits, end_points
