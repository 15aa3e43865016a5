"""What several families share: strides traded for atrous rates, explicit padding, kernels fit to small maps."""

from collections.abc import Collection

import tensorflow as tf

from common import suggest

EndPoints = dict[str, tf.Tensor]
Outputs = tuple[tf.Tensor, EndPoints]


def truncated_normal(stddev: float) -> tf.compat.v1.truncated_normal_initializer:
    """Zero-mean normal initializer, redrawn beyond two standard deviations."""
    return tf.compat.v1.truncated_normal_initializer(0.0, stddev)


def check_final_endpoint(final_endpoint: str, known: Collection[str]) -> None:
    """Raises ValueError with near matches unless `final_endpoint` is one of `known`."""
    if final_endpoint not in known:
        raise ValueError(suggest.unknown("final_endpoint", final_endpoint, known))


def check_depth_multiplier(depth_multiplier: float) -> None:
    """Raises ValueError unless the multiplier is positive."""
    if depth_multiplier <= 0:
        raise ValueError(f"depth_multiplier must be greater than zero, not {depth_multiplier}")


class StrideBudget:
    """Follows a network's stride and, once the wished output stride is reached, turns strides into atrous rates.

    Args:
      output_stride: ratio of the input's side to the side of the last map; None for the network's own.
    """

    def __init__(self, output_stride: int | None):
        self._target = output_stride
        self._stride = 1
        self._rate = 1

    def spend(self, stride: int) -> tuple[int, int]:
        """Returns the (stride, rate) to use for a layer whose own stride is `stride`.

        Raises:
          ValueError: the layer would step over the output stride.
        """
        if self._stride == self._target:
            rate = self._rate
            self._rate *= stride
            return 1, rate
        self._stride *= stride
        if self._target is not None and self._stride > self._target:
            raise ValueError(f"output_stride {self._target} cannot be reached: the strides come to {self._stride}")
        return stride, 1

    def check_reached(self) -> None:
        """Raises ValueError if all layers together stride less than was wished."""
        if self._target not in (None, self._stride):
            raise ValueError(f"output_stride {self._target} cannot be reached: the strides come to {self._stride}")


def pad_explicitly(inputs: tf.Tensor, kernel: tuple[int, int], rate: int = 1) -> tf.Tensor:
    """Pads height and width with zeros as many as SAME would at stride 1, whatever the input's size.

    A strided SAME convolution pads an even input on one side only; padded this way and convolved VALID, the output is
    centred on the same pixels for even and odd sizes.

    Args:
      inputs: [batch, height, width, channels].
      kernel: (height, width) of the convolution to come.
      rate: its atrous rate.
    """
    totals = [rate * (size - 1) for size in kernel]
    return tf.pad(inputs, [[0, 0], *([total // 2, total - total // 2] for total in totals), [0, 0]])


def reduced_kernel(net: tf.Tensor, kernel: tuple[int, int]) -> tuple[int, int]:
    """The kernel, or the map's size where that is known and smaller."""
    height, width = net.shape[1:3]
    if height is None or width is None:
        return kernel
    return min(height, kernel[0]), min(width, kernel[1])


def squeeze_map(net: tf.Tensor, name: str, remedy: str = "global_pool=True for one answer") -> tf.Tensor:
    """[batch, 1, 1, depth] -> [batch, depth], in an op called `name`.

    Args:
      net: the classifier's output.
      name: of the op.
      remedy: what the error message suggests besides the default image size.

    Raises:
      ValueError: the map is larger than 1x1 because the images are larger than the network's default.
    """
    height, width = net.shape[1:3]
    if (height or 1, width or 1) != (1, 1):
        raise ValueError(
            f"{net.op.name}: the classifier's output is a map of {height}x{width}, not one answer per image; use "
            f"{remedy}, spatial_squeeze=False for the map, or the network's default image size"
        )
    return tf.squeeze(net, [1, 2], name=name)
