"""OverFeat."""

from typing import Any

import tensorflow as tf

from nets import layers as slim
from nets import registry
from nets.blocks import Outputs, truncated_normal
from nets.fully_convolutional import Classifier, Conv, Pool, build

_LAYERS = (
    Conv("conv1", 64, 11, stride=4, padding="VALID"),
    Pool("pool1", 2),
    Conv("conv2", 256, 5, padding="VALID"),
    Pool("pool2", 2),
    Conv("conv3", 512, 3),
    Conv("conv4", 1024, 3),
    Conv("conv5", 1024, 3),
    Pool("pool5", 2),
)


def overfeat_arg_scope(weight_decay: float = 0.0005) -> Any:
    """Arg scope of `overfeat`.

    Args:
      weight_decay: L2 scale of all weights.
    """
    with slim.arg_scope(
        [slim.conv2d, slim.fully_connected],
        activation_fn=tf.nn.relu,
        weights_regularizer=slim.l2_regularizer(weight_decay),
        biases_initializer=tf.compat.v1.zeros_initializer(),
    ):
        with slim.arg_scope([slim.conv2d], padding="SAME"):
            with slim.arg_scope([slim.max_pool2d], padding="VALID") as scope:
                return scope


def _classifier() -> Classifier:
    options = {
        "weights_initializer": truncated_normal(0.005),
        "biases_initializer": tf.compat.v1.constant_initializer(0.1),
    }
    return Classifier(3072, 6, "VALID", options, {"biases_initializer": tf.compat.v1.zeros_initializer()})


@registry.network(
    "overfeat",
    image_size=231,
    preprocessing="vgg",
    arg_scope=overfeat_arg_scope,
    head_scopes="overfeat/fc8",
    features="overfeat/fc7",
    parameters=145_704_424,
    multiply_adds=2_647_011_328,
    paper="Sermanet et al. 2014, OverFeat: integrated recognition, localization and detection, arXiv:1312.6229",
)
def overfeat(
    inputs: tf.Tensor,
    num_classes: int | None = 1000,
    is_training: bool = True,
    dropout_keep_prob: float = 0.5,
    spatial_squeeze: bool = True,
    scope: str = "overfeat",
    global_pool: bool = False,
) -> Outputs:
    """The fast OverFeat network.

    Sermanet et al. 2014, https://arxiv.org/abs/1312.6229 (about 61 % top-1 and 84 % top-5 on ImageNet there). Its
    fully connected layers are convolutions: larger images give a map of answers with `spatial_squeeze=False`, or one
    answer with `global_pool=True`. A classifier trained with `global_pool` is another one than one trained without.

    Args:
      inputs: float32 [batch, height, width, channels], 231 by default.
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
        default_scope="overfeat",
        num_classes=num_classes,
        is_training=is_training,
        dropout_keep_prob=dropout_keep_prob,
        spatial_squeeze=spatial_squeeze,
        global_pool=global_pool,
    )
