"""pix2pix: a generator from images to images (a U-Net), and the discriminator that judges patches of them.

Isola et al. 2017, Image-to-image translation with conditional adversarial networks, https://arxiv.org/abs/1611.07004
"""

import numbers
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from nets import layers as slim
from nets.blocks import EndPoints, Outputs


class Block(NamedTuple):
    """One level of the generator: an encoder layer and the decoder layer that mirrors it."""

    num_filters: int
    decoder_keep_prob: float  # share of the decoder layer's outputs that dropout keeps; 0 for no dropout


_BLOCKS = (
    Block(64, 0.5),
    Block(128, 0.5),
    Block(256, 0.5),
    Block(512, 0),
    Block(512, 0),
    Block(512, 0),
    Block(512, 0),
)


def pix2pix_arg_scope() -> Any:
    """Arg scope of both networks: instance norm, and weights from a normal distribution of standard deviation 0.02."""
    with slim.arg_scope(
        [slim.conv2d, slim.conv2d_transpose],
        normalizer_fn=slim.instance_norm,
        normalizer_params={"center": True, "scale": True, "epsilon": 0.00001},
        weights_initializer=tf.compat.v1.random_normal_initializer(0.0, 0.02),
    ) as scope:
        return scope


def enlarge(
    net: tf.Tensor,
    factors: int | Sequence[int],
    resize: Callable[..., tf.Tensor] = tf.raw_ops.ResizeNearestNeighbor,
    align_corners: bool = False,
) -> tf.Tensor:
    """[batch, height, width, channels] -> [batch, vertical * height, horizontal * width, channels].

    Args:
      net: the sides may be unknown.
      factors: (vertical, horizontal), or one integer for both.
      resize: one of the raw resizing ops.
      align_corners: its argument.
    """
    vertical, horizontal = (factors, factors) if isinstance(factors, int) else factors
    height, width = net.shape[1:3]
    known = height is not None and width is not None
    size = [vertical * height, horizontal * width] if known else tf.shape(net)[1:3] * [vertical, horizontal]
    return resize(images=net, size=size, align_corners=align_corners, half_pixel_centers=False)


def upsample(
    net: tf.Tensor, num_outputs: int, kernel_size: int | Sequence[int], method: str = "nn_upsample_conv"
) -> tf.Tensor:
    """Enlarges a map and convolves it, 4x4, without activation.

    Args:
      net: float32 [batch, height, width, channels].
      num_outputs: channels of the result.
      kernel_size: (vertical, horizontal) factors, or one integer for both.
      method: nn_upsample_conv, which repeats each place before the convolution and so makes no checkerboard, or
        conv2d_transpose.

    Returns:
      [batch, vertical * height, horizontal * width, num_outputs].

    Raises:
      ValueError: unknown `method`.
    """
    if method == "conv2d_transpose":
        return slim.conv2d_transpose(net, num_outputs, [4, 4], stride=kernel_size, activation_fn=None)
    if method != "nn_upsample_conv":
        raise ValueError(f"unknown upsampling method {method!r}; expected nn_upsample_conv or conv2d_transpose")
    return slim.conv2d(enlarge(net, kernel_size), num_outputs, [4, 4], activation_fn=None)


def pix2pix_generator(
    net: tf.Tensor,
    num_outputs: int,
    blocks: Sequence[Block] | None = None,
    upsample_method: str = "nn_upsample_conv",
    is_training: bool = False,
) -> Outputs:
    """pix2pix's generator, a U-Net; build it inside `pix2pix_arg_scope` and a variable scope of yours.

    Its dropout is always on, after training too: it is what makes the outputs vary.

    Args:
      net: float32 [batch, height, width, channels]; the sides are multiples of 2 to the number of blocks (128).
      num_outputs: channels of the result.
      blocks: the levels, outermost first; None for the paper's seven of 64, 128, 256 and 512 filters.
      upsample_method: see `upsample`.
      is_training: has no effect.

    Returns:
      (logits [batch, height, width, num_outputs], end points `encoder0` ..., `decoder0` ..., `logits`, and
      `predictions`, their tanh).

    Raises:
      ValueError: images of another rank or with sides that do not halve so often, or an unknown method.
    """
    del is_training
    blocks = [Block(*block) for block in blocks or _BLOCKS]
    _check_sides(net, 2 ** len(blocks))
    end_points: EndPoints = {}
    encoded: list[tf.Tensor] = []
    images = net
    with tf.compat.v1.variable_scope("encoder"):
        for i, block in enumerate(blocks):
            # The first and the last without normalizer, the last linear.
            options: dict[str, Any] = {"activation_fn": tf.nn.leaky_relu}
            if i == 0:
                options["normalizer_fn"] = None
            elif i == len(blocks) - 1:
                options = {"activation_fn": None, "normalizer_fn": None}
            net = end_points[f"encoder{i}"] = slim.conv2d(net, block.num_filters, [4, 4], stride=2, **options)
            encoded.append(net)
    with tf.compat.v1.variable_scope("decoder"):
        for i, block in enumerate(reversed(blocks)):
            if i:
                net = tf.concat([net, encoded[-i - 1]], axis=3)
            net = upsample(tf.nn.relu(net), block.num_filters, [2, 2], method=upsample_method)
            if block.decoder_keep_prob > 0:
                net = slim.dropout(net, keep_prob=block.decoder_keep_prob, is_training=True)
            end_points[f"decoder{i}"] = net
    with tf.compat.v1.variable_scope("output"):
        logits = slim.conv2d(net, num_outputs, [4, 4], activation_fn=None, normalizer_fn=None)
        logits.set_shape([*images.shape[:3], num_outputs])
        end_points["logits"] = logits
        end_points["predictions"] = tf.tanh(logits)
    return logits, end_points


def _check_sides(images: tf.Tensor, multiple: int) -> None:
    if images.shape.rank != 4:
        raise ValueError(f"the generator's images must be [batch, height, width, channels], got {images.shape}")
    height, width = images.shape[1:3]
    if any(side is not None and side % multiple for side in (height, width)):
        raise ValueError(
            f"the generator's images must have sides that are multiples of {multiple}, got {height}x{width}; resize "
            "them or use fewer blocks"
        )


def _check_padding(padding: int) -> None:
    if not isinstance(padding, numbers.Integral):
        raise TypeError(f"padding must be an integer, not {padding!r}")
    if padding < 0:
        raise ValueError(f"padding must not be negative, not {padding}")


def pix2pix_discriminator(
    net: tf.Tensor,
    num_filters: Sequence[int],
    padding: int = 2,
    pad_mode: str = "REFLECT",
    activation_fn: Callable[[tf.Tensor], tf.Tensor] = tf.nn.leaky_relu,
    is_training: bool = False,
) -> Outputs:
    """pix2pix's discriminator, one answer a patch; build it inside `pix2pix_arg_scope` and a variable scope of yours.

    The convolutions are 4x4 with stride 2, the last of `num_filters` and the one that gives the logits with stride 1.

    Args:
      net: float32 [batch, height, width, channels]: images, or pairs of them concatenated on the channels.
      num_filters: filters of each convolution but the last, at least two numbers. The paper's patches of 70x70 pixels
        come of [64, 128, 256, 512].
      padding: how many rows and columns are padded on each side before each convolution.
      pad_mode: REFLECT, CONSTANT or SYMMETRIC, as in `tf.pad`.
      activation_fn: of each convolution but the last.
      is_training: has no effect.

    Returns:
      (logits [batch, height', width', 1], positive for patches taken for real; end points `conv0` ..., `logits`, and
      `predictions`, their sigmoid).

    Raises:
      TypeError: `padding` is no integer.
      ValueError: `padding` is negative, or there are fewer than two `num_filters`.
    """
    del is_training
    _check_padding(padding)
    if len(num_filters) < 2:
        raise ValueError(f"num_filters must have at least two numbers, not {list(num_filters)}")
    end_points: EndPoints = {}
    last = len(num_filters) - 1

    def convolve(net: tf.Tensor, filters: int, index: int, **options: Any) -> tf.Tensor:
        if padding:
            net = tf.pad(net, [[0, 0], [padding] * 2, [padding] * 2, [0, 0]], pad_mode)
        stride = 2 if index < last else 1
        return slim.conv2d(net, filters, [4, 4], stride=stride, padding="VALID", scope=f"conv{index}", **options)

    for i, filters in enumerate(num_filters):
        options = {"normalizer_fn": None} if i == 0 else {}
        net = end_points[f"conv{i}"] = convolve(net, filters, i, activation_fn=activation_fn, **options)
    logits = convolve(net, 1, last + 1, activation_fn=None, normalizer_fn=None)
    end_points["logits"] = logits
    end_points["predictions"] = tf.sigmoid(logits)
    return logits, end_points
