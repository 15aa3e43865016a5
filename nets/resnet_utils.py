"""What ResNet v1 and v2 share: blocks of residual units, dense or atrous, and the arg scope.

A network that answers for every pixel wants a larger last map than classification needs. `output_stride` gives it:
from the point where the stride is reached, later strides become atrous rates (Chen et al. 2017, DeepLab,
https://arxiv.org/abs/1606.00915), with the same weights.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from nets import layers as slim
from nets.blocks import StrideBudget, pad_explicitly, squeeze_map


class Block(NamedTuple):
    """A block of residual units.

    `unit_fn(net, rate=..., **args[i])` builds unit i in the scope `<scope>/unit_<i+1>`; each `args[i]` holds `depth`,
    `depth_bottleneck` and `stride`, or whatever else `unit_fn` takes besides `stride`.
    """

    scope: str
    unit_fn: Callable[..., tf.Tensor]
    args: Sequence[Mapping[str, Any]]


# Units with bottlenecks of 64, 128, 256 and 512 channels, by number of layers.
UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}
BASE_DEPTHS = (64, 128, 256, 512)
_STRIDES = (2, 2, 2, 1)


def bottleneck_block(
    scope: str, unit_fn: Callable[..., tf.Tensor], base_depth: int, num_units: int, stride: int
) -> Block:
    """A block of bottleneck units with `4 * base_depth` output channels; the last unit has the stride."""
    unit = {"depth": base_depth * 4, "depth_bottleneck": base_depth, "stride": 1}
    return Block(scope, unit_fn, [unit] * (num_units - 1) + [{**unit, "stride": stride}])


def standard_blocks(
    make_block: Callable[[str, int, int, int], Block], layers: int, base_depths: Sequence[int] = BASE_DEPTHS
) -> list[Block]:
    """The four blocks, `block1` ... `block4`, of a ResNet with 50, 101, 152 or 200 layers."""
    rows = zip(base_depths, UNITS[layers], _STRIDES, strict=True)
    return [make_block(f"block{i}", *row) for i, row in enumerate(rows, start=1)]


def subsample(inputs: tf.Tensor, factor: int, scope: str | None = None) -> tf.Tensor:
    """Keeps every `factor`-th pixel of [batch, height, width, channels], from the first on."""
    if factor == 1:
        return inputs
    return slim.max_pool2d(inputs, [1, 1], stride=factor, scope=scope)


def conv2d_same(
    inputs: tf.Tensor,
    num_outputs: int,
    kernel_size: int,
    stride: int,
    rate: int = 1,
    scope: str | None = None,
) -> tf.Tensor:
    """Convolution whose strided output is the dense SAME output, subsampled.

    TensorFlow's own strided SAME convolution is not, for even inputs: it pads on one side only.

    Args:
      inputs: [batch, height, width, channels].
      num_outputs: channels of the output.
      kernel_size: side of the kernel.
      stride: of the output.
      rate: atrous rate.
      scope: of the convolution.

    Returns:
      [batch, ceil(height / stride), ceil(width / stride), num_outputs].
    """
    padding = "SAME"
    if stride > 1:
        inputs = pad_explicitly(inputs, (kernel_size, kernel_size), rate)
        padding = "VALID"
    return slim.conv2d(inputs, num_outputs, kernel_size, stride=stride, rate=rate, padding=padding, scope=scope)


@slim.add_arg_scope
def stack_blocks_dense(
    net: tf.Tensor,
    blocks: Sequence[Block],
    output_stride: int | None = None,
    store_non_strided_activations: bool = False,
    outputs_collections: str | None = None,
) -> tf.Tensor:
    """Builds blocks one after another; each block's output goes into `outputs_collections` under its scope's name.

    Args:
      net: [batch, height, width, channels].
      blocks: what to build.
      output_stride: ratio of net's side to the output's; None for the product of the blocks' strides.
      store_non_strided_activations: do the stride of a block's last unit after the block, so that the block's end
        point has the larger map (for a decoder that wants it).
      outputs_collections: collection of the blocks' outputs.

    Raises:
      ValueError: `output_stride` cannot be reached.
    """
    budget = StrideBudget(output_stride)
    for block in blocks:
        with tf.compat.v1.variable_scope(block.scope, "block", [net]) as scope:
            stride_after = 1
            for i, unit in enumerate(block.args, start=1):
                unit_stride = unit.get("stride", 1)
                if store_non_strided_activations and i == len(block.args):
                    unit_stride, stride_after = 1, unit_stride
                with tf.compat.v1.variable_scope(f"unit_{i}", values=[net]):
                    stride, rate = budget.spend(unit_stride)
                    net = block.unit_fn(net, rate=rate, **{**unit, "stride": stride})
            net = slim.utils.collect_named_outputs(outputs_collections, scope.name, net)
            net = subsample(net, budget.spend(stride_after)[0])
    budget.check_reached()
    return net


def root_output_stride(output_stride: int | None) -> int | None:
    """What is left of `output_stride` for the blocks after the root block, which strides 4.

    Raises:
      ValueError: not a multiple of 4.
    """
    if output_stride is None:
        return None
    if output_stride % 4:
        raise ValueError(f"output_stride must be a multiple of 4 (the root block's stride), not {output_stride}")
    return output_stride // 4


def classify(
    net: tf.Tensor,
    end_points: dict[str, tf.Tensor],
    prefix: str,
    num_classes: int | None,
    global_pool: bool,
    spatial_squeeze: bool,
) -> tf.Tensor:
    """The end of a ResNet: mean over the map, a linear layer, softmax.

    Args:
      net: [batch, height, width, channels].
      end_points: gets `global_pool`, `<prefix>/logits`, `<prefix>/spatial_squeeze`, `predictions`.
      prefix: name of the network's variable scope.
      num_classes: 0 or None stops before the linear layer.
      global_pool: whether to take the mean; without it the logits are a map.
      spatial_squeeze: drop the logits' two axes of size one.

    Returns:
      Logits or features.
    """
    if global_pool:
        net = end_points["global_pool"] = tf.reduce_mean(net, [1, 2], keepdims=True, name="pool5")
    if not num_classes:
        return net
    net = slim.conv2d(net, num_classes, [1, 1], activation_fn=None, normalizer_fn=None, scope="logits")
    end_points[f"{prefix}/logits"] = net
    if spatial_squeeze:
        net = end_points[f"{prefix}/spatial_squeeze"] = squeeze_map(net, "SpatialSqueeze")
    end_points["predictions"] = slim.softmax(net, scope="predictions")
    return net


def resnet_arg_scope(
    weight_decay: float = 0.0001,
    batch_norm_decay: float = 0.997,
    batch_norm_epsilon: float = 1e-5,
    batch_norm_scale: bool = True,
    activation_fn: Callable[[tf.Tensor], tf.Tensor] = tf.nn.relu,
    use_batch_norm: bool = True,
    batch_norm_updates_collections: str | None = tf.compat.v1.GraphKeys.UPDATE_OPS,
) -> Any:
    """Arg scope of the ResNets, v1 and v2.

    Args:
      weight_decay: L2 scale of convolutions' weights.
      batch_norm_decay: of the moving averages; small data wants less than this.
      batch_norm_epsilon: added to the variance.
      batch_norm_scale: whether batch norm has a `gamma`.
      activation_fn: of convolutions.
      use_batch_norm: whether convolutions are normalised; False gives them biases instead.
      batch_norm_updates_collections: where the averages' updates go; None does them in place.
    """
    batch_norm_params = {
        "decay": batch_norm_decay,
        "epsilon": batch_norm_epsilon,
        "scale": batch_norm_scale,
        "updates_collections": batch_norm_updates_collections,
    }
    with slim.arg_scope(
        [slim.conv2d],
        weights_regularizer=slim.l2_regularizer(weight_decay),
        weights_initializer=slim.variance_scaling_initializer(),
        activation_fn=activation_fn,
        normalizer_fn=slim.batch_norm if use_batch_norm else None,
        normalizer_params=batch_norm_params,
    ):
        with slim.arg_scope([slim.batch_norm], **batch_norm_params):
            # SAME lets the root's pool line up with the units' maps when the network is used densely.
            with slim.arg_scope([slim.max_pool2d], padding="SAME") as scope:
                return scope
