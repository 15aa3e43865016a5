"""I3D: Inception v1 inflated to three dimensions, for video."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from nets import layers as slim
from nets import registry
from nets.blocks import Outputs
from nets.i3d_utils import build_head, video_arg_scope
from nets.s3dg import s3dg_base


def i3d_arg_scope(
    weight_decay: float = 1e-7,
    batch_norm_decay: float = 0.999,
    batch_norm_epsilon: float = 0.001,
    use_renorm: bool = False,
    separable_conv3d: bool = False,
) -> Any:
    """Arg scope of I3D.

    Args:
      weight_decay: L2 scale of convolutions' weights.
      batch_norm_decay: of the moving averages.
      batch_norm_epsilon: added to the variance.
      use_renorm: batch renormalization in place of batch normalization.
      separable_conv3d: convolve space and time one after the other, as S3D does, in all layers but the first.
    """
    return video_arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon, separable_conv3d, use_renorm)


def i3d_base(
    inputs: tf.Tensor,
    final_endpoint: str = "Mixed_5c",
    scope: str | tf.compat.v1.VariableScope | None = "InceptionV1",
) -> Outputs:
    """I3D up to an end point.

    Args:
      inputs: float32 [batch, frames, height, width, 3]. All but the channels may be unknown.
      final_endpoint: last layer to build: Conv2d_1a_7x7, MaxPool_2a_3x3, Conv2d_2b_1x1, Conv2d_2c_3x3, MaxPool_3a_3x3,
        Mixed_3b, Mixed_3c, MaxPool_4a_3x3, Mixed_4b ... Mixed_4f, MaxPool_5a_2x2, Mixed_5b, Mixed_5c.
      scope: variable scope.

    Returns:
      (the last layer's output, end points of all layers).

    Raises:
      ValueError: unknown `final_endpoint`.
    """
    return s3dg_base(
        inputs, first_temporal_kernel_size=7, gating_startat=None, final_endpoint=final_endpoint, scope=scope
    )


@registry.network(
    "i3d",
    image_size=224,
    preprocessing="inception",
    arg_scope=i3d_arg_scope,
    head_scopes="InceptionV1/Logits",
    features="Mixed_5c",
    parameters=13_304_984,
    multiply_adds=111_157_444_608,
    video=True,
    paper="Carreira and Zisserman 2017, Quo vadis, action recognition?, arXiv:1705.07750",
)
def i3d(
    inputs: tf.Tensor,
    num_classes: int | None = 1000,
    dropout_keep_prob: float = 0.8,
    is_training: bool = True,
    prediction_fn: Callable[..., tf.Tensor] = slim.softmax,
    spatial_squeeze: bool = True,
    reuse: bool | None = None,
    scope: str = "InceptionV1",
) -> Outputs:
    """Inflated Inception v1, a video classifier.

    71.1 % top-1 on Kinetics (64 frames, RGB, pretrained on ImageNet) as published. Carreira and Zisserman 2017,
    https://arxiv.org/abs/1705.07750

    Args:
      inputs: float32 [batch, frames, height, width, 3]; 224 pixels by default, any number of frames. All but the
        channels may be unknown.
      num_classes: 0 or None returns the features, [batch, frames', 1, 1, 1024], before their mean over time.
      dropout_keep_prob: share of the features that dropout keeps.
      is_training: dropout and batch norm in training mode.
      prediction_fn: makes probabilities of logits.
      spatial_squeeze: drop the logits' two axes of size one.
      reuse: whether the variables exist already.
      scope: variable scope.

    Returns:
      (logits [batch, num_classes], end points by layer, `Logits`, `Predictions`; without classes `AvgPool_0a_7x7` after
      the layers).

    Raises:
      ValueError: the frames are so large that there is not one answer but a map of them.
    """
    with tf.compat.v1.variable_scope(scope, "InceptionV1", [inputs], reuse=reuse) as variable_scope:
        with slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training):
            net, end_points = i3d_base(inputs, scope=variable_scope)
            return build_head(net, end_points, num_classes, dropout_keep_prob, prediction_fn, spatial_squeeze)
