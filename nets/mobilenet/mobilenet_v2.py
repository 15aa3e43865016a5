"""MobileNet v2: inverted residual blocks with linear bottlenecks."""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from common import published
from nets import layers as slim
from nets import registry
from nets.blocks import Outputs
from nets.mobilenet import conv_blocks
from nets.mobilenet import mobilenet as lib
from nets.mobilenet.mobilenet import op, training_scope, wrapped_partial

__all__ = [
    "V2_DEF",
    "V2_DEF_GROUP_NORM",
    "mobilenet",
    "mobilenet_base",
    "mobilenet_base_group_norm",
    "mobilenet_v2_035",
    "mobilenet_v2_050",
    "mobilenet_v2_140",
    "training_scope",
    "wrapped_partial",
]

expand_input = conv_blocks.expand_input_by_factor

_CONVOLUTIONS = (slim.conv2d, slim.fully_connected, slim.separable_conv2d)

# Output channels, stride of the first block, number of blocks; all but the first block expand their input six times.
_BLOCKS = ((24, 2, 2), (32, 2, 3), (64, 2, 4), (96, 1, 3), (160, 2, 3), (320, 1, 1))


def _definition(defaults: Mapping[tuple, Mapping[str, Any]], normalizer_fn: Callable[..., tf.Tensor]) -> dict[str, Any]:
    return {
        "defaults": {
            **defaults,
            _CONVOLUTIONS: {"normalizer_fn": normalizer_fn, "activation_fn": tf.nn.relu6},
            (conv_blocks.expanded_conv,): {
                "expansion_size": expand_input(6),
                "split_expansion": 1,
                "normalizer_fn": normalizer_fn,
                "residual": True,
            },
            (slim.conv2d, slim.separable_conv2d): {"padding": "SAME"},
        },
        "spec": [
            op(slim.conv2d, stride=2, num_outputs=32, kernel_size=[3, 3]),
            op(conv_blocks.expanded_conv, expansion_size=expand_input(1, divisible_by=1), num_outputs=16),
            *(
                op(conv_blocks.expanded_conv, stride=stride if i == 0 else 1, num_outputs=depth)
                for depth, stride, blocks in _BLOCKS
                for i in range(blocks)
            ),
            op(slim.conv2d, stride=1, kernel_size=[1, 1], num_outputs=1280),
        ],
    }


V2_DEF = _definition({(slim.batch_norm,): {"center": True, "scale": True}}, slim.batch_norm)
V2_DEF_GROUP_NORM = _definition({(slim.group_norm,): {"groups": 8}}, slim.group_norm)


def _with_activation(conv_defs: lib.Definition, activation_fn: Callable[[tf.Tensor], tf.Tensor]) -> dict[str, Any]:
    """A copy of the definition with another activation wherever its defaults have one."""
    defaults = {
        functions: {**arguments, "activation_fn": activation_fn} if "activation_fn" in arguments else arguments
        for functions, arguments in dict(conv_defs.get("defaults", {})).items()
    }
    if not any("activation_fn" in arguments for arguments in defaults.values()):
        defaults[_CONVOLUTIONS] = {**defaults.get(_CONVOLUTIONS, {}), "activation_fn": activation_fn}
    return {**conv_defs, "defaults": defaults}


def _with_wide_end(conv_defs: lib.Definition, depth_multiplier: float) -> dict[str, Any]:
    """A copy of the definition whose last layer a multiplier below one leaves as it is."""
    *spec, last = conv_defs["spec"]
    if depth_multiplier < 1:
        last = last._replace(params={**last.params, "num_outputs": last.params["num_outputs"] / depth_multiplier})
    return {**conv_defs, "spec": [*spec, last]}


@slim.add_arg_scope
def mobilenet(
    input_tensor: tf.Tensor,
    num_classes: int | None = 1001,
    depth_multiplier: float = 1.0,
    scope: str = "MobilenetV2",
    conv_defs: lib.Definition | None = None,
    finegrain_classification_mode: bool = False,
    min_depth: int | None = None,
    divisible_by: int | None = None,
    activation_fn: Callable[[tf.Tensor], tf.Tensor] | None = None,
    **kwargs: Any,
) -> Outputs:
    """MobileNet v2.

    71.8 % top-1, 91.0 % top-5 on ImageNet at 224 pixels with 3.5 million parameters and 300 million multiply-adds.
    Sandler et al. 2018, https://arxiv.org/abs/1801.04381

    Args:
      input_tensor: float32 [batch, height, width, 3], 224 by default, any size.
      num_classes: 0 or None returns the features, [batch, 1, 1, 1280].
      depth_multiplier: of all convolutions' channels, > 0.
      scope: variable scope.
      conv_defs: the layers; None for `V2_DEF`.
      finegrain_classification_mode: a depth multiplier below one leaves the last convolution its 1280 channels.
      min_depth: a depth multiplier leaves each layer at least so many channels; None for 8 (or the arg scope's on
        `depth_multiplier`).
      divisible_by: layers' channels are rounded to a multiple of it; None for 8 (or the arg scope's).
      activation_fn: instead of ReLU6.
      **kwargs: for `nets.mobilenet.mobilenet.mobilenet` and its `mobilenet_base`: is_training (False where neither it
        nor `training_scope` says otherwise), prediction_fn, reuse, base_only, use_reduce_mean_for_pooling,
        spatial_squeeze, global_pool, final_endpoint, output_stride, use_explicit_padding.

    Returns:
      (logits [batch, num_classes], end points `layer_1` ... `layer_19`, `layer_<i>/expansion_output`,
      `layer_<i>/depthwise_output`, `layer_<i>/output`, `global_pool`, `Logits`, `Predictions`).

    Raises:
      ValueError: `multiplier` (the name is `depth_multiplier` here), or what `mobilenet_base` refuses.
    """
    if "multiplier" in kwargs:
        raise ValueError("MobileNet v2 takes no multiplier; use depth_multiplier")
    conv_defs = V2_DEF if conv_defs is None else conv_defs
    if finegrain_classification_mode:
        conv_defs = _with_wide_end(conv_defs, depth_multiplier)
    if activation_fn is not None:
        conv_defs = _with_activation(conv_defs, activation_fn)
    with lib.safe_arg_scope([lib.depth_multiplier], min_depth=min_depth, divisible_by=divisible_by):
        return lib.mobilenet(
            input_tensor,
            num_classes=num_classes,
            conv_defs=conv_defs,
            scope=scope,
            multiplier=depth_multiplier,
            **kwargs,
        )


@slim.add_arg_scope
def mobilenet_base(input_tensor: tf.Tensor, depth_multiplier: float = 1.0, **kwargs: Any) -> Outputs:
    """MobileNet v2 without pooling and classifier; arguments and end points as in `mobilenet`.

    Returns:
      (the last layer's output, [batch, height / 32, width / 32, 1280], end points).
    """
    return mobilenet(input_tensor, depth_multiplier=depth_multiplier, base_only=True, **kwargs)


@slim.add_arg_scope
def mobilenet_base_group_norm(
    input_tensor: tf.Tensor, depth_multiplier: float = 1.0, groups: int = 8, **kwargs: Any
) -> Outputs:
    """`mobilenet_base` with group norm instead of batch norm.

    Args:
      input_tensor, depth_multiplier, **kwargs: as in `mobilenet`.
      groups: how many groups the channels of every layer are normalised in.

    Returns:
      (the last layer's output, end points).
    """
    defaults = {**V2_DEF_GROUP_NORM["defaults"], (slim.group_norm,): {"groups": groups}}
    conv_defs = {**V2_DEF_GROUP_NORM, "defaults": defaults}
    return mobilenet_base(input_tensor, depth_multiplier=depth_multiplier, conv_defs=conv_defs, **kwargs)


def _variant(name: str, **defaults: Any) -> Callable[..., Outputs]:
    function = wrapped_partial(mobilenet, **defaults)
    function.__name__ = name
    function.default_image_size = 224
    return function


def _register(name: str, function: Callable[..., Outputs], width: float, **facts: Any) -> None:
    registry.network(
        name,
        image_size=224,
        preprocessing="inception",
        arg_scope=training_scope,
        head_scopes="MobilenetV2/Logits",
        features="global_pool",
        checkpoint=published.get(f"mobilenet_v2_{width}_224"),
        paper="Sandler et al. 2018, MobileNetV2: inverted residuals and linear bottlenecks, arXiv:1801.04381",
        **facts,
    )(function)


mobilenet_v2_140 = _variant("mobilenet_v2_140", depth_multiplier=1.4)
mobilenet_v2_050 = _variant("mobilenet_v2_050", depth_multiplier=0.5, finegrain_classification_mode=True)
mobilenet_v2_035 = _variant("mobilenet_v2_035", depth_multiplier=0.35, finegrain_classification_mode=True)

_register("mobilenet_v2", mobilenet, 1.0, parameters=3_506_153, multiply_adds=300_775_552)
_register("mobilenet_v2_140", mobilenet_v2_140, 1.4, parameters=6_110_569, multiply_adds=582_197_616)
_register("mobilenet_v2_035", mobilenet_v2_035, 0.35, parameters=1_678_409, multiply_adds=59_287_088)
