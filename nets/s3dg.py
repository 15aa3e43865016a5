"""S3D-G: Inception v1 for video, with convolutions separated into space and time, and feature gating."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from nets import layers as slim
from nets import registry
from nets.blocks import EndPoints, Outputs, check_depth_multiplier, check_final_endpoint, truncated_normal
from nets.i3d_utils import build_head, conv3d_spatiotemporal, inception_block_v1_3d, video_arg_scope


class _Conv(NamedTuple):
    scope: str
    depth: int
    kernel: tuple[int, int, int]  # frames, height, width
    stride: int = 1


class _SpaceTime(NamedTuple):
    """A 3x3 convolution with a temporal kernel and gating, from the block on where these start."""

    scope: str
    depth: int


class _Module(NamedTuple):
    """An Inception module with temporal kernels and gating, from the block on where these start."""

    scope: str
    depths: tuple[int, int, int, int, int, int]  # in the order of inception_block_v1_3d


class _Pool(NamedTuple):
    scope: str
    kernel: tuple[int, int, int]
    stride: tuple[int, int, int]


_Row = _Conv | _SpaceTime | _Module | _Pool

_ROWS: tuple[_Row, ...] = (
    _Pool("MaxPool_2a_3x3", (1, 3, 3), (1, 2, 2)),
    _Conv("Conv2d_2b_1x1", 64, (1, 1, 1)),
    _SpaceTime("Conv2d_2c_3x3", 192),
    _Pool("MaxPool_3a_3x3", (1, 3, 3), (1, 2, 2)),
    _Module("Mixed_3b", (64, 96, 128, 16, 32, 32)),
    _Module("Mixed_3c", (128, 128, 192, 32, 96, 64)),
    _Pool("MaxPool_4a_3x3", (3, 3, 3), (2, 2, 2)),
    _Module("Mixed_4b", (192, 96, 208, 16, 48, 64)),
    _Module("Mixed_4c", (160, 112, 224, 24, 64, 64)),
    _Module("Mixed_4d", (128, 128, 256, 24, 64, 64)),
    _Module("Mixed_4e", (112, 144, 288, 32, 64, 64)),
    _Module("Mixed_4f", (256, 160, 320, 32, 128, 128)),
    _Pool("MaxPool_5a_2x2", (2, 2, 2), (2, 2, 2)),
    _Module("Mixed_5b", (256, 160, 320, 32, 128, 128)),
    _Module("Mixed_5c", (384, 192, 384, 48, 128, 128)),
)


def s3dg_arg_scope(
    weight_decay: float = 1e-7, batch_norm_decay: float = 0.999, batch_norm_epsilon: float = 0.001
) -> Any:
    """Arg scope of S3D-G.

    Args:
      weight_decay: L2 scale of convolutions' weights.
      batch_norm_decay: of the moving averages.
      batch_norm_epsilon: added to the variance.
    """
    return video_arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon, separable=True)


def self_gating(input_tensor: tf.Tensor, scope: str, data_format: str = "NDHWC") -> tf.Tensor:
    """Scales each channel by a number in (0, 1) made from all channels' means over time and space.

    Variable: `<scope>/self_gating/transformer_W/weights` [1, 1, 1, channels, channels].

    Args:
      input_tensor: float32 [batch, frames, height, width, channels], or as `data_format` has it.
      scope: name of the layer that is gated.
      data_format: NDHWC or NCDHW.

    Returns:
      A tensor like `input_tensor`.
    """
    axis = 1 if data_format == "NCDHW" else 4
    means = tf.reduce_mean(input_tensor, [i for i in range(1, 5) if i != axis], keepdims=True)
    gates = slim.conv3d(
        means,
        means.shape[axis],
        [1, 1, 1],
        activation_fn=None,
        normalizer_fn=None,
        biases_initializer=None,
        weights_initializer=truncated_normal(0.01),
        data_format=data_format,
        scope=f"{scope}/self_gating/transformer_W",
    )
    return tf.sigmoid(gates) * input_tensor


def _build_row(net: tf.Tensor, row: _Row, depth: Callable[[int], int], frames: int, gate: Any) -> tf.Tensor:
    if isinstance(row, _Pool):
        return slim.max_pool3d(net, row.kernel, stride=row.stride, padding="SAME", scope=row.scope)
    if isinstance(row, _Module):
        depths = [depth(value) for value in row.depths]
        return inception_block_v1_3d(net, *depths, temporal_kernel_size=frames, self_gating_fn=gate, scope=row.scope)
    if isinstance(row, _SpaceTime):
        net = conv3d_spatiotemporal(net, depth(row.depth), [frames, 3, 3], scope=row.scope)
        return net if gate is None else gate(net, scope=row.scope)
    if row.kernel == (1, 1, 1):
        return slim.conv3d(net, depth(row.depth), row.kernel, scope=row.scope)
    # Separated, the first convolution would be slow.
    return conv3d_spatiotemporal(net, depth(row.depth), row.kernel, stride=row.stride, separable=False, scope=row.scope)


def s3dg_base(
    inputs: tf.Tensor,
    first_temporal_kernel_size: int = 3,
    temporal_conv_startat: str | None = "Conv2d_2c_3x3",
    gating_startat: str | None = "Conv2d_2c_3x3",
    final_endpoint: str = "Mixed_5c",
    min_depth: int = 16,
    depth_multiplier: float = 1.0,
    data_format: str = "NDHWC",
    scope: str | tf.compat.v1.VariableScope | None = "InceptionV1",
) -> Outputs:
    """S3D-G up to an end point.

    Args:
      inputs: float32 [batch, frames, height, width, 3], or as `data_format` has it. All but the channels may be
        unknown.
      first_temporal_kernel_size: frames of the first convolution's kernel: 1, 3, 5 or 7.
      temporal_conv_startat: first block whose 3x3 convolutions also look at the frame before and after:
        Conv2d_2c_3x3 or a Mixed_.... With None or any other name no block's do.
      gating_startat: first block whose results are gated, likewise.
      final_endpoint: last layer to build: Conv2d_1a_7x7, MaxPool_2a_3x3, Conv2d_2b_1x1, Conv2d_2c_3x3, MaxPool_3a_3x3,
        Mixed_3b, Mixed_3c, MaxPool_4a_3x3, Mixed_4b ... Mixed_4f, MaxPool_5a_2x2, Mixed_5b, Mixed_5c.
      min_depth: a depth multiplier leaves each convolution at least so many channels.
      depth_multiplier: of every convolution's channels, > 0.
      data_format: NDHWC or NCDHW.
      scope: variable scope.

    Returns:
      (the last layer's output, end points of all layers), in `data_format`.

    Raises:
      ValueError: unknown `final_endpoint` or `data_format`, `depth_multiplier` <= 0, or another
        `first_temporal_kernel_size`.
    """
    if data_format not in ("NDHWC", "NCDHW"):
        raise ValueError(f"invalid data_format {data_format!r}: it has to be either NDHWC or NCDHW")
    if first_temporal_kernel_size not in (1, 3, 5, 7):
        raise ValueError(f"first_temporal_kernel_size can only be 1, 3, 5 or 7, not {first_temporal_kernel_size!r}")
    check_depth_multiplier(depth_multiplier)
    rows = (_Conv("Conv2d_1a_7x7", 64, (first_temporal_kernel_size, 7, 7), stride=2), *_ROWS)
    check_final_endpoint(final_endpoint, [row.scope for row in rows])
    layers = [slim.conv3d, slim.max_pool3d, conv3d_spatiotemporal, inception_block_v1_3d]
    end_points: EndPoints = {}
    net, frames, gate = inputs, 1, None

    def depth(value: int) -> int:
        return max(int(value * depth_multiplier), min_depth)

    with (
        tf.compat.v1.variable_scope(scope, "InceptionV1", [inputs]),
        slim.arg_scope(layers, data_format=data_format),
        slim.arg_scope([slim.batch_norm], data_format="NCHW" if data_format == "NCDHW" else "NHWC"),
        slim.arg_scope([slim.conv3d], weights_initializer=truncated_normal(0.01)),
    ):
        for row in rows:
            if isinstance(row, _SpaceTime | _Module):
                if row.scope == temporal_conv_startat:
                    frames = 3
                if row.scope == gating_startat:
                    gate = functools.partial(self_gating, data_format=data_format)
            net = end_points[row.scope] = _build_row(net, row, depth, frames, gate)
            if row.scope == final_endpoint:
                break
    return net, end_points


@registry.network(
    "s3dg",
    image_size=224,
    preprocessing="inception",
    arg_scope=s3dg_arg_scope,
    head_scopes="InceptionV1/Logits",
    features="Mixed_5c",
    parameters=10_133_848,
    multiply_adds=64_189_111_040,
    video=True,
    paper="Xie et al. 2018, Rethinking spatiotemporal feature learning, arXiv:1712.04851",
)
def s3dg(
    inputs: tf.Tensor,
    num_classes: int | None = 1000,
    first_temporal_kernel_size: int = 3,
    temporal_conv_startat: str | None = "Conv2d_2c_3x3",
    gating_startat: str | None = "Conv2d_2c_3x3",
    final_endpoint: str = "Mixed_5c",
    min_depth: int = 16,
    depth_multiplier: float = 1.0,
    dropout_keep_prob: float = 0.8,
    is_training: bool = True,
    prediction_fn: Callable[..., tf.Tensor] = slim.softmax,
    spatial_squeeze: bool = True,
    reuse: bool | None = None,
    data_format: str = "NDHWC",
    scope: str = "InceptionV1",
) -> Outputs:
    """S3D-G, a video classifier.

    74.7 % top-1 on Kinetics (64 frames, RGB) as published. Xie et al. 2018, https://arxiv.org/abs/1712.04851

    Args:
      inputs: float32 [batch, frames, height, width, 3], or as `data_format` has it; 224 pixels by default, any number
        of frames. All but the channels may be unknown.
      num_classes: 0 or None returns the features, [batch, frames', 1, 1, 1024], before their mean over time.
      first_temporal_kernel_size: frames of the first convolution's kernel: 1, 3, 5 or 7.
      temporal_conv_startat: first block whose 3x3 convolutions also look at the frame before and after:
        Conv2d_2c_3x3 or a Mixed_.... With None or any other name no block's do.
      gating_startat: first block whose results are gated, likewise.
      final_endpoint: what the classifier is built on, see `s3dg_base`.
      min_depth: a depth multiplier leaves each convolution at least so many channels.
      depth_multiplier: of every convolution's channels, > 0.
      dropout_keep_prob: share of the features that dropout keeps.
      is_training: dropout and batch norm in training mode.
      prediction_fn: makes probabilities of logits.
      spatial_squeeze: drop the logits' two axes of size one.
      reuse: whether the variables exist already.
      data_format: NDHWC or NCDHW, of the inputs and of the base's end points.
      scope: variable scope.

    Returns:
      (logits [batch, num_classes], end points by layer, `Logits`, `Predictions`; without classes `AvgPool_0a_7x7` after
      the layers).

    Raises:
      ValueError: see `s3dg_base`; or the frames are so large that there is not one answer but a map of them.
    """
    with tf.compat.v1.variable_scope(scope, "InceptionV1", [inputs], reuse=reuse) as variable_scope:
        with slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training):
            net, end_points = s3dg_base(
                inputs,
                first_temporal_kernel_size=first_temporal_kernel_size,
                temporal_conv_startat=temporal_conv_startat,
                gating_startat=gating_startat,
                final_endpoint=final_endpoint,
                min_depth=min_depth,
                depth_multiplier=depth_multiplier,
                data_format=data_format,
                scope=variable_scope,
            )
            if data_format == "NCDHW":
                net = tf.transpose(net, [0, 2, 3, 4, 1])
            return build_head(net, end_points, num_classes, dropout_keep_prob, prediction_fn, spatial_squeeze)
