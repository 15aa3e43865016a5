"""MobileNet v3, large, small and minimalistic, and MobileNet for the Edge TPU."""

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from common import published
from nets import layers as slim
from nets import registry
from nets.blocks import Outputs
from nets.mobilenet import conv_blocks
from nets.mobilenet import mobilenet as lib
from nets.mobilenet.conv_blocks import reduce_to_1x1
from nets.mobilenet.mobilenet import op, training_scope, wrapped_partial

__all__ = [
    "DEFAULTS",
    "DEFAULTS_GROUP_NORM",
    "V3_EDGETPU",
    "V3_LARGE",
    "V3_LARGE_DETECTION",
    "V3_LARGE_MINIMALISTIC",
    "V3_SMALL",
    "V3_SMALL_DETECTION",
    "V3_SMALL_MINIMALISTIC",
    "base",
    "edge_tpu",
    "edge_tpu_075",
    "hard_swish",
    "large",
    "large_minimalistic",
    "mbv3_fused",
    "mbv3_op",
    "mbv3_op_se",
    "mobilenet",
    "mobilenet_base",
    "reduce_to_1x1",
    "small",
    "small_minimalistic",
    "squeeze_excite",
    "training_scope",
    "wrapped_partial",
]

expand_input = conv_blocks.expand_input_by_factor

# -- layers ----------------------------------------------------------------------------------------------------------


def hard_swish(x: tf.Tensor) -> tf.Tensor:
    """`x * relu6(x + 3) / 6`, Howard et al. 2019."""
    return x * tf.nn.relu6(x + 3.0) * (1.0 / 6.0)


def _gate(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.relu6(x + 3.0) * 0.16667  # not quite 1/6: the published weights were trained with this


squeeze_excite = functools.partial(
    conv_blocks.squeeze_excite, squeeze_factor=4, inner_activation_fn=tf.nn.relu, gating_fn=_gate
)


def _squeeze_excite_expansion(expansion_tensor: tf.Tensor, input_tensor: tf.Tensor) -> tf.Tensor:
    del input_tensor
    return squeeze_excite(expansion_tensor)


def mbv3_op(
    ef: float,
    n: int,
    k: int,
    s: int = 1,
    act: Callable[[tf.Tensor], tf.Tensor] = tf.nn.relu,
    se: Callable[..., tf.Tensor] | None = None,
    **kwargs: Any,
) -> lib.Op:
    """A block of a definition.

    Args:
      ef: expansion factor of the input's channels.
      n: output channels.
      k: side of the depthwise kernel.
      s: stride.
      act: activation of expansion and depthwise convolution.
      se: expansion transform (squeeze and excitation).
      **kwargs: for `conv_blocks.expanded_conv`.
    """
    return op(
        conv_blocks.expanded_conv,
        expansion_size=expand_input(ef),
        kernel_size=(k, k),
        stride=s,
        num_outputs=n,
        inner_activation_fn=act,
        expansion_transform=se,
        **kwargs,
    )


mbv3_op_se = functools.partial(mbv3_op, se=_squeeze_excite_expansion)
# One full convolution instead of expansion and depthwise convolution: more arithmetic, but quicker on an Edge TPU.
mbv3_fused = functools.partial(mbv3_op, fused=True)

# -- definitions -----------------------------------------------------------------------------------------------------


def _defaults(normalizer_fn: Callable[..., tf.Tensor], **normalizer_arguments: Any) -> dict[tuple, dict[str, Any]]:
    return {
        (normalizer_fn,): normalizer_arguments,
        (slim.conv2d, slim.fully_connected, slim.separable_conv2d): {
            "normalizer_fn": normalizer_fn,
            "activation_fn": tf.nn.relu,
        },
        (conv_blocks.expanded_conv,): {"normalizer_fn": normalizer_fn, "residual": True},
    }


DEFAULTS = _defaults(slim.batch_norm, center=True, scale=True)
DEFAULTS_GROUP_NORM = _defaults(slim.group_norm, groups=8)


class _Block(NamedTuple):
    kernel: int
    expansion: float
    depth: int
    squeeze: bool  # squeeze and excitation
    activation: Callable[[tf.Tensor], tf.Tensor]
    stride: int = 1


_RE, _HS = tf.nn.relu, hard_swish

_LARGE = (
    _Block(3, 1, 16, False, _RE),
    _Block(3, 4, 24, False, _RE, stride=2),
    _Block(3, 3, 24, False, _RE),
    _Block(5, 3, 40, True, _RE, stride=2),
    _Block(5, 3, 40, True, _RE),
    _Block(5, 3, 40, True, _RE),
    _Block(3, 6, 80, False, _HS, stride=2),
    _Block(3, 2.5, 80, False, _HS),
    _Block(3, 184 / 80, 80, False, _HS),
    _Block(3, 184 / 80, 80, False, _HS),
    _Block(3, 6, 112, True, _HS),
    _Block(3, 6, 112, True, _HS),
    _Block(5, 6, 160, True, _HS, stride=2),
    _Block(5, 6, 160, True, _HS),
    _Block(5, 6, 160, True, _HS),
)
_SMALL = (
    _Block(3, 1, 16, True, _RE, stride=2),
    _Block(3, 72 / 16, 24, False, _RE, stride=2),
    _Block(3, 88 / 24, 24, False, _RE),
    _Block(5, 4, 40, True, _HS, stride=2),
    _Block(5, 6, 40, True, _HS),
    _Block(5, 6, 40, True, _HS),
    _Block(5, 3, 48, True, _HS),
    _Block(5, 3, 48, True, _HS),
    _Block(5, 6, 96, True, _HS, stride=2),
    _Block(5, 6, 96, True, _HS),
    _Block(5, 6, 96, True, _HS),
)


def _definition(blocks: Sequence[_Block], features: int, last: int, minimalistic: bool = False) -> dict[str, Any]:
    """A v3 network: convolution, blocks, convolution to `features` channels, mean, linear layer to `last`.

    A minimalistic one has 3x3 kernels and ReLU alone and no squeeze and excitation, for devices that do those badly.
    """
    swish = tf.nn.relu if minimalistic else hard_swish
    spec = [op(slim.conv2d, stride=2, num_outputs=16, kernel_size=(3, 3), activation_fn=swish)]
    for block in blocks:
        make = mbv3_op_se if block.squeeze and not minimalistic else mbv3_op
        kernel, activation = (3, tf.nn.relu) if minimalistic else (block.kernel, block.activation)
        spec.append(make(block.expansion, block.depth, kernel, block.stride, activation))
    spec += [
        op(slim.conv2d, stride=1, kernel_size=[1, 1], num_outputs=features, activation_fn=swish),
        op(reduce_to_1x1, default_size=7, stride=1),
        # After the mean there is one value a channel for an image: too little for batch norm.
        op(slim.conv2d, stride=1, kernel_size=[1, 1], num_outputs=last, normalizer_fn=None, activation_fn=swish),
    ]
    return {"defaults": copy.deepcopy(DEFAULTS), "spec": spec}


def _halved(conv_defs: lib.Definition, start: int, end: int) -> dict[str, Any]:
    """A copy of the definition with half the output channels in layers `start` to `end`, counted from 0."""
    conv_defs = copy.deepcopy(conv_defs)
    for layer in conv_defs["spec"][start : end + 1]:
        layer.params["num_outputs"] = layer.params["num_outputs"] // 2
    return conv_defs


def _edge_tpu_definition() -> dict[str, Any]:
    fused = [mbv3_fused(k=3, s=1, ef=1, n=16)]
    for depth in (32, 48):
        fused += [mbv3_fused(k=3, s=2, ef=8, n=depth), *(mbv3_fused(k=3, s=1, ef=4, n=depth) for _ in range(3))]
    blocks = []
    for kernel, stride, depth, options in ((3, 2, 96, {}), (3, 1, 96, {"residual": False}), (5, 2, 160, {})):
        blocks.append(mbv3_op(k=kernel, s=stride, ef=8, n=depth, **options))
        blocks += [mbv3_op(k=kernel, s=1, ef=4, n=depth) for _ in range(3)]
    spec = [
        op(slim.conv2d, stride=2, num_outputs=32, kernel_size=(3, 3)),
        *fused,
        *blocks,
        mbv3_op(k=3, s=1, ef=8, n=192),
        op(slim.conv2d, stride=1, num_outputs=1280, kernel_size=(1, 1)),
    ]
    return {"defaults": copy.deepcopy(DEFAULTS), "spec": spec}


V3_LARGE = _definition(_LARGE, 960, 1280)
V3_SMALL = _definition(_SMALL, 576, 1024)
V3_LARGE_MINIMALISTIC = _definition(_LARGE, 960, 1280, minimalistic=True)
V3_SMALL_MINIMALISTIC = _definition(_SMALL, 576, 1024, minimalistic=True)
V3_EDGETPU = _edge_tpu_definition()
# For detectors, which use these features at a size where so many channels are a waste.
V3_LARGE_DETECTION = _halved(V3_LARGE, 13, 16)
V3_SMALL_DETECTION = _halved(V3_SMALL, 9, 12)

# -- networks --------------------------------------------------------------------------------------------------------


def _unscaled(params: dict[str, Any], multiplier: float) -> dict[str, Any]:
    del multiplier
    return params


@slim.add_arg_scope
def mobilenet(
    input_tensor: tf.Tensor,
    num_classes: int | None = 1001,
    depth_multiplier: float = 1.0,
    scope: str = "MobilenetV3",
    conv_defs: lib.Definition | None = None,
    finegrain_classification_mode: bool = False,
    use_groupnorm: bool = False,
    groups: int = 8,
    **kwargs: Any,
) -> Outputs:
    """MobileNet v3 of any definition.

    On ImageNet at 224 pixels `large` has 75.2 % top-1 with 5.5 million parameters and 217 million multiply-adds,
    `small` 67.5 % with 2.5 and 57, `edge_tpu` 75.6 % with 4.1 and 990. Howard et al. 2019,
    https://arxiv.org/abs/1905.02244

    Args:
      input_tensor: float32 [batch, height, width, 3], 224 by default. Height and width may be unknown; images must then
        have more than 192 pixels a side where the definition pools before its last layer, as all but `V3_EDGETPU` do.
      num_classes: 0 or None returns the features, [batch, 1, 1, 1280] (small: 1024).
      depth_multiplier: of all convolutions' channels, > 0.
      scope: variable scope.
      conv_defs: the layers; None for `V3_LARGE`.
      finegrain_classification_mode: the depth multiplier leaves the last convolution's channels as they are.
      use_groupnorm: group norm instead of batch norm.
      groups: of group norm.
      **kwargs: for `nets.mobilenet.mobilenet.mobilenet` and its `mobilenet_base`: is_training (False where neither it
        nor `training_scope` says otherwise), prediction_fn, reuse, base_only, use_reduce_mean_for_pooling,
        spatial_squeeze, global_pool, final_endpoint, output_stride, use_explicit_padding.

    Returns:
      (logits [batch, num_classes], end points `layer_1` ..., `layer_<i>/expansion_output`,
      `layer_<i>/depthwise_output`, `layer_<i>/output`, `global_pool`, `Logits`, `Predictions`).

    Raises:
      ValueError: `multiplier` (the name is `depth_multiplier` here), or what `mobilenet_base` refuses.
    """
    if "multiplier" in kwargs:
        raise ValueError("MobileNet v3 takes no multiplier; use depth_multiplier")
    conv_defs = V3_LARGE if conv_defs is None else conv_defs
    if use_groupnorm:
        conv_defs = {**conv_defs, "defaults": {**DEFAULTS_GROUP_NORM, (slim.group_norm,): {"groups": groups}}}
    if finegrain_classification_mode:
        *spec, last = conv_defs["spec"]
        conv_defs = {**conv_defs, "spec": [*spec, last._replace(multiplier_func=_unscaled)]}
    return lib.mobilenet(
        input_tensor, num_classes=num_classes, conv_defs=conv_defs, scope=scope, multiplier=depth_multiplier, **kwargs
    )


@slim.add_arg_scope
def mobilenet_base(input_tensor: tf.Tensor, depth_multiplier: float = 1.0, **kwargs: Any) -> Outputs:
    """MobileNet v3 without pooling and classifier; arguments and end points as in `mobilenet`.

    Returns:
      (the last layer's output, end points).
    """
    return mobilenet(input_tensor, depth_multiplier=depth_multiplier, base_only=True, **kwargs)


base = mobilenet_base

_V3 = {
    "scope": "MobilenetV3",
    "paper": "Howard et al. 2019, Searching for MobileNetV3, arXiv:1905.02244",
}
_EDGE_TPU = {
    "scope": "MobilenetEdgeTPU",
    "paper": "Howard and Gupta 2019, Introducing the next generation of on-device vision models: MobileNetV3 and "
    "MobileNetEdgeTPU, Google AI blog",
}


def _register(
    name: str,
    family: dict[str, str],
    *,
    parameters: int,
    multiply_adds: int,
    **defaults: Any,
) -> Callable[..., Outputs]:
    function = wrapped_partial(mobilenet, scope=family["scope"], **defaults)
    function.__name__ = name
    return registry.network(
        name,
        image_size=224,
        preprocessing="inception",
        arg_scope=training_scope,
        head_scopes=f"{family['scope']}/Logits",
        features="global_pool",
        checkpoint=published.of_network(name),
        parameters=parameters,
        multiply_adds=multiply_adds,
        paper=family["paper"],
    )(function)


small = _register(
    "mobilenet_v3_small",
    _V3,
    parameters=2_543_881,
    multiply_adds=56_511_424,
    conv_defs=V3_SMALL,
)
large = _register(
    "mobilenet_v3_large",
    _V3,
    parameters=5_484_313,
    multiply_adds=216_591_040,
    conv_defs=V3_LARGE,
)
small_minimalistic = _register(
    "mobilenet_v3_small_minimalistic",
    _V3,
    parameters=2_045_761,
    multiply_adds=52_289_472,
    conv_defs=V3_SMALL_MINIMALISTIC,
)
large_minimalistic = _register(
    "mobilenet_v3_large_minimalistic",
    _V3,
    parameters=3_925_569,
    multiply_adds=209_137_984,
    conv_defs=V3_LARGE_MINIMALISTIC,
)
edge_tpu = _register(
    "mobilenet_edgetpu",
    _EDGE_TPU,
    parameters=4_092_713,
    multiply_adds=990_670_464,
    conv_defs=V3_EDGETPU,
)
edge_tpu_075 = _register(
    "mobilenet_edgetpu_075",
    _EDGE_TPU,
    parameters=2_989_441,
    multiply_adds=624_487_584,
    conv_defs=V3_EDGETPU,
    depth_multiplier=0.75,
    finegrain_classification_mode=True,
)
mobilenet.default_image_size = 224
