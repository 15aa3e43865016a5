"""LeNet, for handwritten digits."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from nets import layers as slim
from nets import registry
from nets.blocks import Outputs, truncated_normal


def lenet_arg_scope(weight_decay: float = 0.0) -> Any:
    """Arg scope of `lenet`.

    Args:
      weight_decay: L2 scale of all weights.
    """
    with slim.arg_scope(
        [slim.conv2d, slim.fully_connected],
        weights_regularizer=slim.l2_regularizer(weight_decay),
        weights_initializer=truncated_normal(0.1),
        activation_fn=tf.nn.relu,
    ) as scope:
        return scope


@registry.network(
    "lenet",
    image_size=28,
    channels=1,
    preprocessing="lenet",
    arg_scope=lenet_arg_scope,
    head_scopes="LeNet/fc4",
    features="fc3",
    parameters=3_274_634,
    multiply_adds=13_883_904,
    paper="LeCun et al. 1998, Gradient-based learning applied to document recognition",
)
def lenet(
    images: tf.Tensor,
    num_classes: int | None = 10,
    is_training: bool = False,
    dropout_keep_prob: float = 0.5,
    prediction_fn: Callable[..., tf.Tensor] = slim.softmax,
    scope: str = "LeNet",
) -> Outputs:
    """A wider LeNet with max pooling, ReLU and dropout: two convolutions, two fully connected layers.

    About 99 % on MNIST's test digits. Paper: LeCun et al. 1998,
    http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf

    Args:
      images: float32 [batch, height, width, channels]; height and width must be known, 28 by default.
      num_classes: 0 or None returns the features `fc3`, [batch, 1024].
      is_training: switches dropout on.
      dropout_keep_prob: share of `fc3` that dropout keeps.
      prediction_fn: makes probabilities of logits.
      scope: variable scope.

    Returns:
      (logits [batch, num_classes], end points by layer, `Logits`, `Predictions`).
    """
    end_points = {}
    with tf.compat.v1.variable_scope(scope, "LeNet", [images]):
        net = end_points["conv1"] = slim.conv2d(images, 32, [5, 5], scope="conv1")
        net = end_points["pool1"] = slim.max_pool2d(net, [2, 2], 2, scope="pool1")
        net = end_points["conv2"] = slim.conv2d(net, 64, [5, 5], scope="conv2")
        net = end_points["pool2"] = slim.max_pool2d(net, [2, 2], 2, scope="pool2")
        net = end_points["Flatten"] = slim.flatten(net)
        net = end_points["fc3"] = slim.fully_connected(net, 1024, scope="fc3")
        if not num_classes:
            return net, end_points
        net = slim.dropout(net, dropout_keep_prob, is_training=is_training, scope="dropout3")
        end_points["dropout3"] = net
        logits = slim.fully_connected(net, num_classes, activation_fn=None, scope="fc4")
    end_points["Logits"] = logits
    # Outside the scope: frozen graphs have always named this op without the prefix.
    end_points["Predictions"] = prediction_fn(logits, scope="Predictions")
    return logits, end_points
