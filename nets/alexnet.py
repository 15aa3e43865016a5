"""AlexNet v2."""

from typing import Any

import tensorflow as tf

from nets import layers as slim
from nets import registry
from nets.blocks import Outputs, truncated_normal
from nets.fully_convolutional import Classifier, Conv, Pool, build

_LAYERS = (
    Conv("conv1", 64, 11, stride=4, padding="VALID"),
    Pool("pool1", 3),
    Conv("conv2", 192, 5),
    Pool("pool2", 3),
    Conv("conv3", 384, 3),
    Conv("conv4", 384, 3),
    Conv("conv5", 256, 3),
    Pool("pool5", 3),
)


def alexnet_v2_arg_scope(weight_decay: float = 0.0005) -> Any:
    """Arg scope of `alexnet_v2`.

    Args:
      weight_decay: L2 scale of all weights.
    """
    with slim.arg_scope(
        [slim.conv2d, slim.fully_connected],
        activation_fn=tf.nn.relu,
        biases_initializer=tf.compat.v1.constant_initializer(0.1),
        weights_regularizer=slim.l2_regularizer(weight_decay),
    ):
        with slim.arg_scope([slim.conv2d], padding="SAME"):
            with slim.arg_scope([slim.max_pool2d], padding="VALID") as scope:
                return scope


def _classifier() -> Classifier:
    options = {
        "weights_initializer": truncated_normal(0.005),
        "biases_initializer": tf.compat.v1.constant_initializer(0.1),
    }
    return Classifier(4096, 5, "VALID", options, {"biases_initializer": tf.compat.v1.zeros_initializer()})


@registry.network(
    "alexnet_v2",
    image_size=224,
    preprocessing="vgg",
    arg_scope=alexnet_v2_arg_scope,
    head_scopes="alexnet_v2/fc8",
    features="alexnet_v2/fc7",
    parameters=50_303_912,
    multiply_adds=736_555_776,
    paper="Krizhevsky 2014, One weird trick for parallelizing convolutional neural networks, arXiv:1404.5997",
)
def alexnet_v2(
    inputs: tf.Tensor,
    num_classes: int | None = 1000,
    is_training: bool = True,
    dropout_keep_prob: float = 0.5,
    spatial_squeeze: bool = True,
    scope: str = "alexnet_v2",
    global_pool: bool = False,
) -> Outputs:
    """AlexNet in its second, one-column form, without local response normalization.

    Krizhevsky 2014, https://arxiv.org/abs/1404.5997 (57 % top-1 on ImageNet there). Its fully connected layers are
    convolutions: larger images give a map of answers, one for each place of a 224-pixel window, with
    `spatial_squeeze=False`, or one answer with `global_pool=True`. A classifier trained with `global_pool` is another
    one than a classifier trained without.

    Args:
      inputs: float32 [batch, height, width, channels], 224 by default.
      num_classes: 0 or None returns the features `fc7`, [batch, 1, 1, 4096] at the default size.
      is_training: switches dropout on.
      dropout_keep_prob: share of fc6 and fc7 that dropout keeps.
      spatial_squeeze: drop the logits' two axes of size one.
      scope: variable scope.
      global_pool: average fc7 over the map before the classifier.

    Returns:
      (logits [batch, num_classes], end points `<scope>/conv1` ... `<scope>/fc8`).
    """
    return build(
        inputs,
        _LAYERS,
        _classifier(),
        scope=scope,
        default_scope="alexnet_v2",
        num_classes=num_classes,
        is_training=is_training,
        dropout_keep_prob=dropout_keep_prob,
        spatial_squeeze=spatial_squeeze,
        global_pool=global_pool,
    )
