"""CycleGAN's generator, from images of one kind to images of another; its discriminator is that of pix2pix.

Zhu et al. 2017, Unpaired image-to-image translation using cycle-consistent adversarial networks,
https://arxiv.org/abs/1703.10593
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from nets import layers as slim
from nets.blocks import EndPoints, Outputs
from nets.pix2pix import enlarge

_RESIZES = {
    "nn_upsample_conv": tf.raw_ops.ResizeNearestNeighbor,
    "bilinear_upsample_conv": tf.raw_ops.ResizeBilinear,
}


def cyclegan_arg_scope(
    instance_norm_center: bool = True,
    instance_norm_scale: bool = True,
    instance_norm_epsilon: float = 0.001,
    weights_init_stddev: float = 0.02,
    weight_decay: float = 0.0,
) -> Any:
    """Arg scope of the generator's convolutions; the transposed ones keep the layers' defaults.

    Args:
      instance_norm_center: whether instance norm has a `beta`.
      instance_norm_scale: whether instance norm has a `gamma`.
      instance_norm_epsilon: added to the variance.
      weights_init_stddev: standard deviation of the normal distribution of initial weights.
      weight_decay: L2 scale of the weights; 0.0 for none.
    """
    instance_norm_params = {
        "center": instance_norm_center,
        "scale": instance_norm_scale,
        "epsilon": instance_norm_epsilon,
    }
    with slim.arg_scope(
        [slim.conv2d],
        normalizer_fn=slim.instance_norm,
        normalizer_params=instance_norm_params,
        weights_initializer=tf.compat.v1.random_normal_initializer(0.0, weights_init_stddev),
        weights_regularizer=slim.l2_regularizer(float(weight_decay)) if weight_decay else None,
    ) as scope:
        return scope


def _pad(net: tf.Tensor, before: Sequence[int], after: Sequence[int], mode: str = "REFLECT") -> tf.Tensor:
    return tf.pad(net, [[0, 0], *([low, high] for low, high in zip(before, after, strict=True)), [0, 0]], mode)


def _convolve(net: tf.Tensor, num_outputs: int, kernel: Sequence[int], **options: Any) -> tf.Tensor:
    """A convolution whose input is padded by its own reflection, as much as SAME would pad at stride 1."""
    net = _pad(net, [(side - 1) // 2 for side in kernel], [side // 2 for side in kernel])
    return slim.conv2d(net, num_outputs, kernel, padding="VALID", **options)


def cyclegan_upsample(
    net: tf.Tensor,
    num_outputs: int,
    stride: int | Sequence[int],
    method: str = "conv2d_transpose",
    pad_mode: str = "REFLECT",
    align_corners: bool = False,
) -> tf.Tensor:
    """Enlarges a map and convolves it, 3x3, in the variable scope `upconv`.

    Args:
      net: float32 [batch, height, width, channels].
      num_outputs: channels of the result.
      stride: (vertical, horizontal) factors, or one integer for both.
      method: conv2d_transpose (without the first row and column, which puts images of even sides right), or
        nn_upsample_conv or bilinear_upsample_conv, which enlarge first.
      pad_mode: REFLECT, CONSTANT or SYMMETRIC, how the latter two pad before their convolution.
      align_corners: whether these two keep the corner values.

    Returns:
      [batch, vertical * height, horizontal * width, num_outputs].

    Raises:
      ValueError: unknown `method`.
    """
    with tf.compat.v1.variable_scope("upconv"):
        if method == "conv2d_transpose":
            return slim.conv2d_transpose(net, num_outputs, [3, 3], stride=stride, padding="VALID")[:, 1:, 1:]
        if method not in _RESIZES:
            known = ", ".join(["conv2d_transpose", *_RESIZES])
            raise ValueError(f"unknown upsampling method {method!r}; expected one of {known}")
        net = enlarge(net, stride, _RESIZES[method], align_corners)
        return slim.conv2d(_pad(net, [1, 1], [1, 1], pad_mode), num_outputs, [3, 3], padding="VALID")


def _check_images(images: tf.Tensor) -> int:
    """Returns the number of channels; ValueError unless known sides are multiples of four."""
    if images.shape.rank != 4 or images.shape[3] is None:
        raise ValueError(
            f"the generator's images must be [batch, height, width, channels] with known channels, got {images.shape}"
        )
    for name, side in zip(("height", "width"), images.shape[1:3], strict=True):
        if side is not None and side % 4:
            raise ValueError(f"the generator's images must have a {name} that is a multiple of 4, got {side}")
    return images.shape[3]


def cyclegan_generator_resnet(
    images: tf.Tensor,
    arg_scope_fn: Callable[[], Any] = cyclegan_arg_scope,
    num_resnet_blocks: int = 6,
    num_filters: int = 64,
    upsample_fn: Callable[..., tf.Tensor] = cyclegan_upsample,
    kernel_size: int | Sequence[int] = 3,
    tanh_linear_slope: float = 0.0,
    is_training: bool = False,
) -> Outputs:
    """CycleGAN's generator: two strided convolutions, residual blocks, two upsamplings; build it in a scope of yours.

    Args:
      images: float32 [batch, height, width, channels]; the sides are multiples of 4 and may be unknown.
      arg_scope_fn: makes the arg scope to build in.
      num_resnet_blocks: the paper has 6 for images of 128 pixels, 9 from 256 on.
      num_filters: of the first convolution.
      upsample_fn: called as `upsample_fn(net, num_outputs=, stride=[2, 2])`.
      kernel_size: of the strided convolutions and the residual blocks, one integer or (height, width).
      tanh_linear_slope: how much of the logits is added to their tanh, which keeps gradients alive at its ends.
      is_training: has no effect.

    Returns:
      (predictions like `images`, end points `encoder_0` to `encoder_2`, `resnet_block_0` ..., `decoder1`, `decoder2`,
      `logits`, and `predictions`, their tanh plus `tanh_linear_slope` times themselves).

    Raises:
      ValueError: images of another rank, unknown channels, or a height or width that is no multiple of 4.
    """
    del is_training
    channels = _check_images(images)
    kernel = (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size)
    end_points: EndPoints = {}
    scope = tf.compat.v1.variable_scope
    with slim.arg_scope(arg_scope_fn()):
        with scope("input"):
            net = end_points["encoder_0"] = _convolve(images, num_filters, (7, 7))
        with scope("encoder"):
            for i in (1, 2):
                net = end_points[f"encoder_{i}"] = _convolve(net, num_filters * 2**i, kernel, stride=2)
        with scope("residual_blocks"):
            for i in range(num_resnet_blocks):
                with scope(f"block_{i}"):
                    residual = _convolve(net, num_filters * 4, kernel)
                    residual = _convolve(residual, num_filters * 4, kernel, activation_fn=None)
                    net = end_points[f"resnet_block_{i}"] = net + residual
        with scope("decoder"):
            for i in (1, 2):
                with scope(f"decoder{i}"):
                    net = upsample_fn(net, num_outputs=num_filters * 2 ** (2 - i), stride=[2, 2])
                end_points[f"decoder{i}"] = net
        with scope("output"):
            logits = _convolve(net, channels, (7, 7), activation_fn=None, normalizer_fn=None)
            if None in images.shape[1:3].as_list():  # sides that are no multiples of 4 show here at the latest
                logits = tf.reshape(logits, tf.shape(images))
            logits.set_shape(images.shape)
            end_points["logits"] = logits
            end_points["predictions"] = tf.tanh(logits) + tanh_linear_slope * logits
    return end_points["predictions"], end_points
