"""CifarNet, for 32-pixel photos."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from nets import layers as slim
from nets import registry
from nets.blocks import Outputs, truncated_normal


def cifarnet_arg_scope(weight_decay: float = 0.004) -> Any:
    """Arg scope of `cifarnet`.

    Args:
      weight_decay: L2 scale of the fully connected weights (the classifier and the convolutions have none).
    """
    with slim.arg_scope([slim.conv2d], weights_initializer=truncated_normal(0.05), activation_fn=tf.nn.relu):
        with slim.arg_scope(
            [slim.fully_connected],
            biases_initializer=tf.compat.v1.constant_initializer(0.1),
            weights_initializer=truncated_normal(0.04),
            weights_regularizer=slim.l2_regularizer(weight_decay),
            activation_fn=tf.nn.relu,
        ) as scope:
            return scope


def _local_response_normalization(net: tf.Tensor, name: str) -> tf.Tensor:
    # In float32, for the op has no bfloat16 kernel.
    normalized = tf.nn.lrn(tf.cast(net, tf.float32), 4, bias=1.0, alpha=0.001 / 9.0, beta=0.75, name=name)
    return tf.cast(normalized, net.dtype)


@registry.network(
    "cifarnet",
    image_size=32,
    preprocessing="cifarnet",
    arg_scope=cifarnet_arg_scope,
    head_scopes="CifarNet/logits",
    features="fc4",
    parameters=1_756_426,
    multiply_adds=32_778_112,
    paper="Krizhevsky 2009, Learning multiple layers of features from tiny images",
)
def cifarnet(
    images: tf.Tensor,
    num_classes: int | None = 10,
    is_training: bool = False,
    dropout_keep_prob: float = 0.5,
    prediction_fn: Callable[..., tf.Tensor] = slim.softmax,
    scope: str = "CifarNet",
) -> Outputs:
    """Two convolutions with local response normalization, three fully connected layers.

    About 82 % on CIFAR-10's test photos. After the network of Krizhevsky's cuda-convnet; data:
    http://www.cs.toronto.edu/~kriz/learning-features-2009-TR.pdf

    Args:
      images: float32 [batch, height, width, channels]; height and width must be known, 32 by default.
      num_classes: 0 or None returns the features `fc4`, [batch, 192].
      is_training: switches dropout on.
      dropout_keep_prob: share of `fc3` that dropout keeps.
      prediction_fn: makes probabilities of logits.
      scope: variable scope.

    Returns:
      (logits [batch, num_classes], end points by layer, `Logits`, `Predictions`).
    """
    end_points = {}
    with tf.compat.v1.variable_scope(scope, "CifarNet", [images]):
        net = end_points["conv1"] = slim.conv2d(images, 64, [5, 5], scope="conv1")
        net = end_points["pool1"] = slim.max_pool2d(net, [2, 2], 2, scope="pool1")
        net = _local_response_normalization(net, "norm1")
        net = end_points["conv2"] = slim.conv2d(net, 64, [5, 5], scope="conv2")
        net = _local_response_normalization(net, "norm2")
        net = end_points["pool2"] = slim.max_pool2d(net, [2, 2], 2, scope="pool2")
        net = end_points["Flatten"] = slim.flatten(net)
        net = end_points["fc3"] = slim.fully_connected(net, 384, scope="fc3")
        net = slim.dropout(net, dropout_keep_prob, is_training=is_training, scope="dropout3")
        net = end_points["fc4"] = slim.fully_connected(net, 192, scope="fc4")
        if not num_classes:
            return net, end_points
        logits = slim.fully_connected(
            net,
            num_classes,
            biases_initializer=tf.compat.v1.zeros_initializer(),
            weights_initializer=truncated_normal(1 / 192.0),
            weights_regularizer=None,
            activation_fn=None,
            scope="logits",
        )
        end_points["Logits"] = logits
        end_points["Predictions"] = prediction_fn(logits, scope="Predictions")
    return logits, end_points
