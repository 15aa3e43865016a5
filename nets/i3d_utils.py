"""What the video networks I3D and S3D-G share: the arg scope, convolutions in space and time, the module, the head."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from nets import layers as slim
from nets.blocks import EndPoints, Outputs, squeeze_map
from nets.initializers import CenterIdentity

Stride = int | Sequence[int]


def video_arg_scope(
    weight_decay: float,
    batch_norm_decay: float,
    batch_norm_epsilon: float,
    separable: bool,
    use_renorm: bool = False,
) -> Any:
    """Arg scope of 3-D convolutions with batch norm, whose moving statistics are in the collection `moving_vars` too.

    Args:
      weight_decay: L2 scale of convolutions' weights.
      batch_norm_decay: of the moving averages.
      batch_norm_epsilon: added to the variance.
      separable: whether `conv3d_spatiotemporal` convolves space and time one after the other.
      use_renorm: batch renormalization in place of batch normalization.
    """
    batch_norm_params = {
        "decay": batch_norm_decay,
        "epsilon": batch_norm_epsilon,
        "fused": False,  # the moving variance is the biased one
        "renorm": use_renorm,
        "variables_collections": {"moving_mean": ["moving_vars"], "moving_variance": ["moving_vars"]},
    }
    with slim.arg_scope(
        [slim.conv3d, conv3d_spatiotemporal],
        weights_regularizer=slim.l2_regularizer(weight_decay),
        activation_fn=tf.nn.relu,
        normalizer_fn=slim.batch_norm,
        normalizer_params=batch_norm_params,
    ):
        with slim.arg_scope([conv3d_spatiotemporal], separable=separable) as scope:
            return scope


def center_initializer() -> CenterIdentity:
    """Initializer of a temporal kernel, [frames, 1, 1, channels, channels], that at first changes nothing."""
    return CenterIdentity()


@slim.add_arg_scope
def conv3d_spatiotemporal(
    inputs: tf.Tensor,
    num_outputs: int,
    kernel_size: Sequence[int],
    stride: Stride = 1,
    padding: str = "SAME",
    activation_fn: Callable[[tf.Tensor], tf.Tensor] | None = None,
    normalizer_fn: Callable[..., tf.Tensor] | None = None,
    normalizer_params: dict[str, Any] | None = None,
    weights_regularizer: Any = None,
    separable: bool = False,
    data_format: str = "NDHWC",
    scope: str = "",
) -> tf.Tensor:
    """A 3-D convolution, or one in space followed by one in time.

    The temporal one, in the scope `<scope>/temporal`, starts as the identity and has a bias in place of the normalizer
    (the paper's has batch norm; checkpoints are made this way).

    Args:
      inputs: float32 [batch, frames, height, width, channels], or as `data_format` has it.
      num_outputs: number of filters.
      kernel_size: (frames, height, width).
      stride: one integer, or one each for frames, height and width.
      padding: "SAME" or "VALID".
      activation_fn: called on the result, and between the two convolutions.
      normalizer_fn: called in place of the bias; the temporal convolution has none.
      normalizer_params: its arguments.
      weights_regularizer: of the weights of both.
      separable: whether there are two convolutions; a kernel of one frame needs but one.
      data_format: NDHWC or NCDHW.
      scope: variable scope.

    Raises:
      ValueError: `kernel_size` is not three integers.
    """
    if len(kernel_size) != 3:
        raise ValueError(f"kernel_size must be (frames, height, width), not {kernel_size!r}")
    options = {
        "padding": padding,
        "activation_fn": activation_fn,
        "weights_regularizer": weights_regularizer,
        "data_format": data_format,
    }
    normalizer = {"normalizer_fn": normalizer_fn, "normalizer_params": normalizer_params}
    if not separable or kernel_size[0] == 1:
        return slim.conv3d(inputs, num_outputs, kernel_size, stride, scope=scope, **options, **normalizer)
    frames, height, width = (stride,) * 3 if isinstance(stride, int) else stride
    net = slim.conv3d(
        inputs, num_outputs, [1, *kernel_size[1:]], [1, height, width], scope=scope, **options, **normalizer
    )
    return slim.conv3d(
        net,
        num_outputs,
        [kernel_size[0], 1, 1],
        [frames, 1, 1],
        normalizer_fn=None,
        weights_initializer=center_initializer(),
        scope=f"{scope}/temporal",
        **options,
    )


@slim.add_arg_scope
def inception_block_v1_3d(
    inputs: tf.Tensor,
    num_outputs_0_0a: int,
    num_outputs_1_0a: int,
    num_outputs_1_0b: int,
    num_outputs_2_0a: int,
    num_outputs_2_0b: int,
    num_outputs_3_0b: int,
    temporal_kernel_size: int = 3,
    self_gating_fn: Callable[..., tf.Tensor] | None = None,
    data_format: str = "NDHWC",
    scope: str = "",
) -> tf.Tensor:
    """A module of Inception v1 in space and time: four branches, concatenated.

    Args:
      inputs: float32 [batch, frames, height, width, channels], or as `data_format` has it.
      num_outputs_0_0a: filters of branch 0, 1x1x1.
      num_outputs_1_0a: filters of branch 1, 1x1x1 ...
      num_outputs_1_0b: ... and 3x3.
      num_outputs_2_0a: filters of branch 2, 1x1x1 ...
      num_outputs_2_0b: ... and 3x3.
      num_outputs_3_0b: filters of branch 3, 1x1x1 after the pool.
      temporal_kernel_size: frames of the 3x3 kernels.
      self_gating_fn: called as `self_gating_fn(branch, scope=)` on each branch's result; None for no gating.
      data_format: NDHWC or NCDHW.
      scope: variable scope.
    """
    kernel = [temporal_kernel_size, 3, 3]

    def convolve(net: tf.Tensor, num_outputs: int, scope: str) -> tf.Tensor:
        if scope == "Conv2d_0b_3x3":
            return conv3d_spatiotemporal(net, num_outputs, kernel, data_format=data_format, scope=scope)
        return slim.conv3d(net, num_outputs, [1, 1, 1], data_format=data_format, scope=scope)

    branches = (
        (("Conv2d_0a_1x1", num_outputs_0_0a),),
        (("Conv2d_0a_1x1", num_outputs_1_0a), ("Conv2d_0b_3x3", num_outputs_1_0b)),
        (("Conv2d_0a_1x1", num_outputs_2_0a), ("Conv2d_0b_3x3", num_outputs_2_0b)),
        (("Conv2d_0b_1x1", num_outputs_3_0b),),
    )
    outputs = []
    with tf.compat.v1.variable_scope(scope):
        for i, layers in enumerate(branches):
            with tf.compat.v1.variable_scope(f"Branch_{i}"):
                net = inputs
                if i == 3:
                    pool = {"stride": 1, "padding": "SAME", "data_format": data_format}
                    net = slim.max_pool3d(net, [3, 3, 3], scope="MaxPool_0a_3x3", **pool)
                for name, num_outputs in layers:
                    net = convolve(net, num_outputs, name)
                outputs.append(net if self_gating_fn is None else self_gating_fn(net, scope=layers[-1][0]))
        return tf.concat(outputs, axis=1 if data_format == "NCDHW" else 4)


def reduced_kernel_size_3d(input_tensor: tf.Tensor, kernel_size: Sequence[int]) -> list[int]:
    """The kernel, no larger than the map where the map's size is known.

    Args:
      input_tensor: [batch, frames, height, width, channels].
      kernel_size: (frames, height, width).
    """
    sizes = input_tensor.shape.as_list()[1:4]
    return [side if size is None else min(size, side) for size, side in zip(sizes, kernel_size, strict=True)]


def _pool(net: tf.Tensor) -> tf.Tensor:
    """Mean over each two successive frames and 7x7 places, or over what there is of them."""
    kernel = reduced_kernel_size_3d(net, [2, 7, 7])
    frames = net.shape[1]
    if frames is None:
        kernel[0] = 1
    net = slim.avg_pool3d(net, kernel, stride=1, padding="VALID", scope="AvgPool_0a_7x7")
    if frames is None:
        # A window of two frames would leave nothing of a single one: pair each frame with the next, one with itself.
        last = tf.shape(net)[1] - 1
        net = (net[:, : tf.maximum(last, 1)] + net[:, tf.minimum(last, 1) :]) / 2
    return net


def build_head(
    net: tf.Tensor,
    end_points: EndPoints,
    num_classes: int | None,
    dropout_keep_prob: float,
    prediction_fn: Callable[..., tf.Tensor],
    spatial_squeeze: bool,
) -> Outputs:
    """The classifier of both networks, in the scope `Logits`; its answer is the mean over time.

    Args:
      net: float32 [batch, frames, height, width, channels].
      end_points: those of the base, to which the head's are added.
      num_classes: 0 or None stops at the pooled features, end point `AvgPool_0a_7x7`.
      dropout_keep_prob: share of the features that dropout keeps.
      prediction_fn: makes probabilities of logits.
      spatial_squeeze: drop the logits' axes of height and width.
    """
    with tf.compat.v1.variable_scope("Logits"):
        net = _pool(net)
        if not num_classes:
            end_points["AvgPool_0a_7x7"] = net
            return net, end_points
        net = slim.dropout(net, dropout_keep_prob, scope="Dropout_0b")
        logits = slim.conv3d(net, num_classes, [1, 1, 1], activation_fn=None, normalizer_fn=None, scope="Conv2d_0c_1x1")
        logits = tf.reduce_mean(logits, axis=1)
        if spatial_squeeze:
            logits = squeeze_map(logits, "SpatialSqueeze", "smaller frames")
        end_points["Logits"] = logits
        end_points["Predictions"] = prediction_fn(logits, scope="Predictions")
    return logits, end_points
