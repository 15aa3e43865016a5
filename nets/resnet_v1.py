"""ResNet v1: bottleneck residual units with the normalization after each convolution."""

import contextlib
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from common import published
from nets import layers as slim
from nets import registry, resnet_utils
from nets.blocks import Outputs

resnet_arg_scope = resnet_utils.resnet_arg_scope


@slim.add_arg_scope
def bottleneck(
    inputs: tf.Tensor,
    depth: int,
    depth_bottleneck: int,
    stride: int,
    rate: int = 1,
    outputs_collections: str | None = None,
    scope: str | None = None,
    use_bounded_activations: bool = False,
) -> tf.Tensor:
    """A residual unit: 1x1, 3x3 and 1x1 convolutions, each with batch norm, added to their input (or its projection).

    The stride is in the 3x3 convolution.

    Args:
      inputs: [batch, height, width, channels].
      depth: channels of the output.
      depth_bottleneck: channels between.
      stride: of the unit.
      rate: atrous rate of the 3x3 convolution.
      outputs_collections: collection of the unit's output.
      scope: variable scope, by default `bottleneck_v1`.
      use_bounded_activations: clip to [-6, 6] before the sum and use ReLU6, for quantized inference.
    """
    activation = tf.nn.relu6 if use_bounded_activations else tf.nn.relu
    with tf.compat.v1.variable_scope(scope, "bottleneck_v1", [inputs]) as variable_scope:
        if depth == slim.utils.last_dimension(inputs.shape, min_rank=4):
            shortcut = resnet_utils.subsample(inputs, stride, "shortcut")
        else:
            shortcut = slim.conv2d(
                inputs,
                depth,
                [1, 1],
                stride=stride,
                activation_fn=tf.nn.relu6 if use_bounded_activations else None,
                scope="shortcut",
            )
        residual = slim.conv2d(inputs, depth_bottleneck, [1, 1], stride=1, scope="conv1")
        residual = resnet_utils.conv2d_same(residual, depth_bottleneck, 3, stride, rate=rate, scope="conv2")
        residual = slim.conv2d(residual, depth, [1, 1], stride=1, activation_fn=None, scope="conv3")
        if use_bounded_activations:
            residual = tf.clip_by_value(residual, -6.0, 6.0)
        output = activation(shortcut + residual)
        return slim.utils.collect_named_outputs(outputs_collections, variable_scope.name, output)


def resnet_v1_block(scope: str, base_depth: int, num_units: int, stride: int) -> resnet_utils.Block:
    """A block of units with `4 * base_depth` output channels; the last unit has the stride."""
    return resnet_utils.bottleneck_block(scope, bottleneck, base_depth, num_units, stride)


def resnet_v1(
    inputs: tf.Tensor,
    blocks: Sequence[resnet_utils.Block],
    num_classes: int | None = None,
    is_training: bool | None = True,
    global_pool: bool = True,
    output_stride: int | None = None,
    include_root_block: bool = True,
    spatial_squeeze: bool = True,
    store_non_strided_activations: bool = False,
    reuse: bool | None = None,
    scope: str | None = None,
) -> Outputs:
    """Builds a ResNet v1 of given blocks.

    He et al. 2015, Deep residual learning for image recognition, https://arxiv.org/abs/1512.03385

    Without `global_pool`, `spatial_squeeze` and `num_classes` it is a dense feature extractor. Then choose sides that
    are a multiple of 32 plus 1 (of `output_stride` plus 1): the maps' corners lie on the image's corners.

    Args:
      inputs: float32 [batch, height, width, 3]; without the root block a map of any depth.
      blocks: from `resnet_v1_block`.
      num_classes: 0 or None returns the features.
      is_training: batch norm in training mode; None leaves it to an outer arg scope.
      global_pool: mean over the map before the classifier.
      output_stride: ratio of the image's side to the last map's, at most the network's own 32 (a multiple of 4); None
        for that. Later strides become atrous rates.
      include_root_block: False leaves out the 7x7 convolution and the pool before the blocks.
      spatial_squeeze: drop the logits' two axes of size one.
      store_non_strided_activations: end points of blocks before their last stride.
      reuse: whether the variables exist already; needs `scope`.
      scope: variable scope.

    Returns:
      (logits [batch, num_classes] or features [batch, 1, 1, channels] or maps of them; end points `<scope>/conv1`,
      `<scope>/blockB/unit_U/bottleneck_v1/...`, `<scope>/blockB`, `global_pool`, `<scope>/logits`,
      `<scope>/spatial_squeeze`, `predictions`).

    Raises:
      ValueError: `output_stride` cannot be reached.
    """
    with tf.compat.v1.variable_scope(scope, "resnet_v1", [inputs], reuse=reuse) as variable_scope:
        collection = variable_scope.original_name_scope + "_end_points"
        collecting = [slim.conv2d, bottleneck, resnet_utils.stack_blocks_dense]
        mode = contextlib.nullcontext()
        if is_training is not None:
            mode = slim.arg_scope([slim.batch_norm], is_training=is_training)
        with slim.arg_scope(collecting, outputs_collections=collection), mode:
            net = inputs
            if include_root_block:
                output_stride = resnet_utils.root_output_stride(output_stride)
                net = resnet_utils.conv2d_same(net, 64, 7, stride=2, scope="conv1")
                net = slim.max_pool2d(net, [3, 3], stride=2, scope="pool1")
            net = resnet_utils.stack_blocks_dense(net, blocks, output_stride, store_non_strided_activations)
            end_points = dict(slim.utils.convert_collection_to_dict(collection))
            net = resnet_utils.classify(net, end_points, variable_scope.name, num_classes, global_pool, spatial_squeeze)
    return net, end_points


resnet_v1.default_image_size = 224


_DOC = """ResNet v1 with {layers} layers.

    {accuracy}He et al. 2015, https://arxiv.org/abs/1512.03385

    Args:
      inputs: float32 [batch, height, width, 3], 224 by default.
      num_classes: 0 or None returns the features, [batch, 1, 1, 2048].
      is_training: batch norm in training mode; None leaves it to an outer arg scope.
      global_pool: mean over the map before the classifier.
      output_stride: ratio of the image's side to the last map's: None (32) or 4, 8, 16.
      spatial_squeeze: drop the logits' two axes of size one.
      store_non_strided_activations: end points of blocks before their last stride.
      min_base_depth: a depth multiplier leaves each bottleneck at least so many channels.
      depth_multiplier: of the bottlenecks' channels.
      reuse: whether the variables exist already.
      scope: variable scope.

    Returns:
      (logits [batch, num_classes], end points, see `resnet_v1`).
    """


def _make(layers: int, accuracy: str = "", **facts: Any):
    name = f"resnet_v1_{layers}"

    def resnet(
        inputs: tf.Tensor,
        num_classes: int | None = None,
        is_training: bool | None = True,
        global_pool: bool = True,
        output_stride: int | None = None,
        spatial_squeeze: bool = True,
        store_non_strided_activations: bool = False,
        min_base_depth: int = 8,
        depth_multiplier: float = 1,
        reuse: bool | None = None,
        scope: str = name,
    ) -> Outputs:
        depths = [max(int(depth * depth_multiplier), min_base_depth) for depth in resnet_utils.BASE_DEPTHS]
        blocks = resnet_utils.standard_blocks(resnet_v1_block, layers, depths)
        return resnet_v1(
            inputs,
            blocks,
            num_classes,
            is_training,
            global_pool=global_pool,
            output_stride=output_stride,
            include_root_block=True,
            spatial_squeeze=spatial_squeeze,
            store_non_strided_activations=store_non_strided_activations,
            reuse=reuse,
            scope=scope,
        )

    resnet.__name__ = resnet.__qualname__ = name
    resnet.__doc__ = _DOC.format(layers=layers, accuracy=accuracy)
    return registry.network(
        name,
        image_size=resnet_v1.default_image_size,
        preprocessing="vgg",
        arg_scope=resnet_arg_scope,
        head_scopes=f"{name}/logits",
        features="global_pool",
        paper="He et al. 2015, Deep residual learning for image recognition, arXiv:1512.03385",
        **facts,
    )(resnet)


def _published(layers: int) -> dict[str, Any]:
    checkpoint = published.get(f"resnet_v1_{layers}_2016_08_28")
    return {
        "accuracy": f"{checkpoint.top1} % top-1, {checkpoint.top5} % top-5 on ImageNet. ",
        "checkpoint": checkpoint,
    }


resnet_v1_50 = _make(50, parameters=25_557_032, multiply_adds=3_482_255_360, **_published(50))
resnet_v1_101 = _make(101, parameters=44_549_160, multiply_adds=7_194_476_544, **_published(101))
resnet_v1_152 = _make(152, parameters=60_192_808, multiply_adds=10_906_697_728, **_published(152))
resnet_v1_200 = _make(200, parameters=64_673_832, multiply_adds=14_400_552_960)
