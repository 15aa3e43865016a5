"""VGG: 3x3 convolutions in five groups, three fully connected layers."""

from typing import Any

import tensorflow as tf

from common import published
from nets import layers as slim
from nets import registry
from nets.blocks import Outputs
from nets.fully_convolutional import Classifier, Conv, Pool, build

_DEPTHS = (64, 128, 256, 512, 512)

# Convolutions in each group. The paper's configurations A, D and E.
_CONVOLUTIONS = {"vgg_a": (1, 1, 2, 2, 2), "vgg_16": (2, 2, 3, 3, 3), "vgg_19": (2, 2, 4, 4, 4)}

_PAPER = "Simonyan, Zisserman 2014, Very deep convolutional networks for large-scale image recognition, arXiv:1409.1556"


def vgg_arg_scope(weight_decay: float = 0.0005) -> Any:
    """Arg scope of the VGG networks.

    Args:
      weight_decay: L2 scale of all weights.
    """
    with slim.arg_scope(
        [slim.conv2d, slim.fully_connected],
        activation_fn=tf.nn.relu,
        weights_regularizer=slim.l2_regularizer(weight_decay),
        biases_initializer=tf.compat.v1.zeros_initializer(),
    ):
        with slim.arg_scope([slim.conv2d], padding="SAME") as scope:
            return scope


def _layers(name: str) -> tuple[Conv | Pool, ...]:
    groups = enumerate(zip(_DEPTHS, _CONVOLUTIONS[name], strict=True), start=1)
    return tuple(
        layer
        for i, (depth, repeat) in groups
        for layer in (Conv(f"conv{i}", depth, 3, repeat=repeat), Pool(f"pool{i}", 2))
    )


_DOC = """{title}.

    {accuracy}Simonyan and Zisserman 2014, https://arxiv.org/abs/1409.1556. Its fully connected layers are convolutions:
    larger images give a map of answers with `spatial_squeeze=False` (and, with `fc_conv_padding='SAME'`, one for every
    32 pixels, or for fewer with `output_stride`), or one answer with `global_pool=True`. A classifier trained with
    `global_pool` is another one than one trained without.

    Args:
      inputs: float32 [batch, height, width, channels], 224 by default.
      num_classes: 0 or None returns the features `fc7`, [batch, 1, 1, 4096] at the default size.
      is_training: switches dropout on.
      dropout_keep_prob: share of fc6 and fc7 that dropout keeps.
      spatial_squeeze: drop the logits' two axes of size one.
      reuse: whether the variables exist already.
      scope: variable scope.
      fc_conv_padding: of the 7x7 convolution fc6.
      global_pool: average fc7 over the map before the classifier.
      output_stride: ratio of the image's side to the last map's, 1, 2, 4, 8, 16 or 32 (not in the original); None
        for 32. The later pools then keep every window and the convolutions after them get atrous rates, so the map has
        the answers of the network at stride 32 and those between.

    Returns:
      (logits [batch, num_classes], end points `<scope>/conv1/conv1_1` ... `<scope>/fc8`).

    Raises:
      ValueError: an answer per image was asked for and there is a map, or another `output_stride`.
    """


def _make(name: str, title: str, accuracy: str = "", **facts: Any):
    def vgg(
        inputs: tf.Tensor,
        num_classes: int | None = 1000,
        is_training: bool = True,
        dropout_keep_prob: float = 0.5,
        spatial_squeeze: bool = True,
        reuse: bool | None = None,
        scope: str = name,
        fc_conv_padding: str = "VALID",
        global_pool: bool = False,
        output_stride: int | None = None,
    ) -> Outputs:
        return build(
            inputs,
            _layers(name),
            Classifier(4096, 7, fc_conv_padding, {}, {}),
            scope=scope,
            default_scope=name,
            num_classes=num_classes,
            is_training=is_training,
            dropout_keep_prob=dropout_keep_prob,
            spatial_squeeze=spatial_squeeze,
            global_pool=global_pool,
            reuse=reuse,
            output_stride=output_stride,
        )

    vgg.__name__ = vgg.__qualname__ = name
    vgg.__doc__ = _DOC.format(title=title, accuracy=accuracy)
    return registry.network(
        name,
        image_size=224,
        preprocessing="vgg",
        arg_scope=vgg_arg_scope,
        head_scopes=f"{name}/fc8",
        features=f"{name}/fc7",
        paper=_PAPER,
        **facts,
    )(vgg)


vgg_a = _make("vgg_a", "VGG with 11 layers, configuration A", parameters=132_863_336, multiply_adds=7_609_090_048)
vgg_16 = _make(
    "vgg_16",
    "VGG with 16 layers, configuration D",
    "71.5 % top-1, 89.8 % top-5 on ImageNet. ",
    checkpoint=published.get("vgg_16_2016_08_28"),
    parameters=138_357_544,
    multiply_adds=15_470_264_320,
)
vgg_19 = _make(
    "vgg_19",
    "VGG with 19 layers, configuration E",
    "71.1 % top-1, 89.8 % top-5 on ImageNet. ",
    checkpoint=published.get("vgg_19_2016_08_28"),
    parameters=143_667_240,
    multiply_adds=19_632_062_464,
)

# The paper's names.
vgg_d = vgg_16
vgg_e = vgg_19
