"""ResNet v2: residual units that normalize before each convolution and leave the sum as it is."""

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
) -> tf.Tensor:
    """A residual unit: batch norm and ReLU, then 1x1, 3x3 and 1x1 convolutions, added to the raw input.

    Where the depth changes, the shortcut is a projection of the normalized input. The stride is in the 3x3
    convolution.

    Args:
      inputs: [batch, height, width, channels].
      depth: channels of the output.
      depth_bottleneck: channels between.
      stride: of the unit.
      rate: atrous rate of the 3x3 convolution.
      outputs_collections: collection of the unit's output.
      scope: variable scope, by default `bottleneck_v2`.
    """
    linear = {"normalizer_fn": None, "activation_fn": None}
    with tf.compat.v1.variable_scope(scope, "bottleneck_v2", [inputs]) as variable_scope:
        preact = slim.batch_norm(inputs, activation_fn=tf.nn.relu, scope="preact")
        if depth == slim.utils.last_dimension(inputs.shape, min_rank=4):
            shortcut = resnet_utils.subsample(inputs, stride, "shortcut")
        else:
            shortcut = slim.conv2d(preact, depth, [1, 1], stride=stride, scope="shortcut", **linear)
        residual = slim.conv2d(preact, depth_bottleneck, [1, 1], stride=1, scope="conv1")
        residual = resnet_utils.conv2d_same(residual, depth_bottleneck, 3, stride, rate=rate, scope="conv2")
        residual = slim.conv2d(residual, depth, [1, 1], stride=1, scope="conv3", **linear)
        return slim.utils.collect_named_outputs(outputs_collections, variable_scope.name, shortcut + residual)


def resnet_v2_block(scope: str, base_depth: int, num_units: int, stride: int) -> resnet_utils.Block:
    """A block of units with `4 * base_depth` output channels; the last unit has the stride."""
    return resnet_utils.bottleneck_block(scope, bottleneck, base_depth, num_units, stride)


def resnet_v2(
    inputs: tf.Tensor,
    blocks: Sequence[resnet_utils.Block],
    num_classes: int | None = None,
    is_training: bool = True,
    global_pool: bool = True,
    output_stride: int | None = None,
    include_root_block: bool = True,
    spatial_squeeze: bool = True,
    reuse: bool | None = None,
    scope: str | None = None,
) -> Outputs:
    """Builds a ResNet v2 of given blocks.

    He et al. 2016, Identity mappings in deep residual networks, https://arxiv.org/abs/1603.05027

    Without `global_pool`, `spatial_squeeze` and `num_classes` it is a dense feature extractor. Then choose sides that
    are a multiple of 32 plus 1 (of `output_stride` plus 1): the maps' corners lie on the image's corners.

    Args:
      inputs: float32 [batch, height, width, 3]; without the root block a map of any depth.
      blocks: from `resnet_v2_block`.
      num_classes: 0 or None returns the features.
      is_training: batch norm in training mode.
      global_pool: mean over the map before the classifier.
      output_stride: ratio of the image's side to the last map's, at most the network's own 32 (a multiple of 4); None
        for that. Later strides become atrous rates.
      include_root_block: False leaves out the 7x7 convolution and the pool before the blocks.
      spatial_squeeze: drop the logits' two axes of size one.
      reuse: whether the variables exist already; needs `scope`.
      scope: variable scope.

    Returns:
      (logits [batch, num_classes] or features [batch, 1, 1, channels] or maps of them; end points `<scope>/conv1`,
      `<scope>/blockB/unit_U/bottleneck_v2/...`, `<scope>/blockB`, `global_pool`, `<scope>/logits`,
      `<scope>/spatial_squeeze`, `predictions`).

    Raises:
      ValueError: `output_stride` cannot be reached.
    """
    with tf.compat.v1.variable_scope(scope, "resnet_v2", [inputs], reuse=reuse) as variable_scope:
        collection = variable_scope.original_name_scope + "_end_points"
        collecting = [slim.conv2d, bottleneck, resnet_utils.stack_blocks_dense]
        with (
            slim.arg_scope(collecting, outputs_collections=collection),
            slim.arg_scope([slim.batch_norm], is_training=is_training),
        ):
            net = inputs
            if include_root_block:
                output_stride = resnet_utils.root_output_stride(output_stride)
                # The first unit normalizes, so the root does not.
                with slim.arg_scope([slim.conv2d], activation_fn=None, normalizer_fn=None):
                    net = resnet_utils.conv2d_same(net, 64, 7, stride=2, scope="conv1")
                net = slim.max_pool2d(net, [3, 3], stride=2, scope="pool1")
            net = resnet_utils.stack_blocks_dense(net, blocks, output_stride)
            # The last unit's sum is still raw.
            net = slim.batch_norm(net, activation_fn=tf.nn.relu, scope="postnorm")
            end_points = dict(slim.utils.convert_collection_to_dict(collection))
            net = resnet_utils.classify(net, end_points, variable_scope.name, num_classes, global_pool, spatial_squeeze)
    return net, end_points


resnet_v2.default_image_size = 224


_DOC = """ResNet v2 with {layers} layers.

    {accuracy}He et al. 2016, https://arxiv.org/abs/1603.05027

    Args:
      inputs: float32 [batch, height, width, 3], 224 by default.
      num_classes: 0 or None returns the features, [batch, 1, 1, 2048].
      is_training: batch norm in training mode.
      global_pool: mean over the map before the classifier.
      output_stride: ratio of the image's side to the last map's: None (32) or 4, 8, 16.
      spatial_squeeze: drop the logits' two axes of size one.
      reuse: whether the variables exist already.
      scope: variable scope.

    Returns:
      (logits [batch, num_classes], end points, see `resnet_v2`).
    """


def _make(layers: int, accuracy: str = "", **facts: Any):
    name = f"resnet_v2_{layers}"

    blocks = resnet_utils.standard_blocks(resnet_v2_block, layers)

    def resnet(
        inputs: tf.Tensor,
        num_classes: int | None = None,
        is_training: bool = True,
        global_pool: bool = True,
        output_stride: int | None = None,
        spatial_squeeze: bool = True,
        reuse: bool | None = None,
        scope: str = name,
    ) -> Outputs:
        return resnet_v2(
            inputs,
            blocks,
            num_classes,
            is_training,
            global_pool=global_pool,
            output_stride=output_stride,
            include_root_block=True,
            spatial_squeeze=spatial_squeeze,
            reuse=reuse,
            scope=scope,
        )

    resnet.__name__ = resnet.__qualname__ = name
    resnet.__doc__ = _DOC.format(layers=layers, accuracy=accuracy)
    return registry.network(
        name,
        image_size=resnet_v2.default_image_size,
        preprocessing="vgg",
        arg_scope=resnet_arg_scope,
        head_scopes=f"{name}/logits",
        features="global_pool",
        paper="He et al. 2016, Identity mappings in deep residual networks, arXiv:1603.05027",
        **facts,
    )(resnet)


def _published(layers: int) -> dict[str, Any]:
    checkpoint = published.get(f"resnet_v2_{layers}_2017_04_14")
    figures = f"{checkpoint.top1} % top-1, {checkpoint.top5} % top-5 on ImageNet"
    return {
        "accuracy": f"{figures} (with {checkpoint.preprocessing} preprocessing at {checkpoint.image_size} pixels). ",
        "checkpoint": checkpoint,
    }


resnet_v2_50 = _make(50, parameters=25_570_409, multiply_adds=3_482_257_408, **_published(50))
resnet_v2_101 = _make(101, parameters=44_579_945, multiply_adds=7_194_478_592, **_published(101))
resnet_v2_152 = _make(152, parameters=60_238_953, multiply_adds=10_906_699_776, **_published(152))
resnet_v2_200 = _make(
    200,
    "79.9 % top-1, 95.2 % top-5 on ImageNet. ",
    top1=79.9,
    top5=95.2,
    parameters=64_726_120,
    multiply_adds=14_400_552_960,
)
