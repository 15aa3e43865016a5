"""PNASNet-5: one cell that a progressive search found on CIFAR-10, stacked."""

from typing import Any

import tensorflow as tf

from common import published
from nets import registry
from nets.blocks import Outputs
from nets.nasnet import cell_stack, nasnet, nasnet_utils
from nets.nasnet.cell_stack import CellStep, Config


def large_imagenet_config() -> Config:
    """PNASNet-5 (N=4, F=216), for images of 331 pixels."""
    return Config(
        stem_multiplier=3.0,
        num_conv_filters=216,
        num_cells=12,
        drop_path_keep_prob=0.6,
        dense_dropout_keep_prob=0.5,
        skip_reduction_layer_input=1,
    )


def mobile_imagenet_config() -> Config:
    """PNASNet-5 (N=3, F=54), for images of 224 pixels."""
    return Config(
        stem_multiplier=1.0,
        num_conv_filters=54,
        num_cells=9,
        drop_path_keep_prob=1.0,
        dense_dropout_keep_prob=0.5,
        skip_reduction_layer_input=1,
    )


def pnasnet_large_arg_scope(
    weight_decay: float = 4e-5, batch_norm_decay: float = 0.9997, batch_norm_epsilon: float = 0.001
) -> Any:
    """Arg scope of `build_pnasnet_large`; arguments as in `nasnet_cifar_arg_scope`."""
    return nasnet.nasnet_large_arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon)


def pnasnet_mobile_arg_scope(
    weight_decay: float = 4e-5, batch_norm_decay: float = 0.9997, batch_norm_epsilon: float = 0.001
) -> Any:
    """Arg scope of `build_pnasnet_mobile`; arguments as in `nasnet_cifar_arg_scope`."""
    return nasnet.nasnet_mobile_arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon)


class PNasNetNormalCell(nasnet_utils.TableCell):
    """PNASNet-5's cell, for both strides; output of 5 times the filters."""

    table = nasnet_utils.CellTable(
        operations=(
            *("separable_5x5_2", "max_pool_3x3"),
            *("separable_7x7_2", "max_pool_3x3"),
            *("separable_5x5_2", "separable_3x3_2"),
            *("separable_3x3_2", "max_pool_3x3"),
            *("separable_3x3_2", "none"),
        ),
        inputs=(*(1, 1), *(0, 0), *(0, 0), *(4, 0), *(1, 0)),
        used=(1, 1, 0, 0, 0, 0, 0),
    )


def _steps(config: Config) -> list[CellStep]:
    """The stem's steps and the others. A reduction is the cell of that number with stride 2."""
    reductions = nasnet_utils.calc_reduction_layers(config.num_cells, config.num_reduction_layers)
    steps = cell_stack.stem_steps(config)
    scaling, previous = 1.0, len(steps)
    for number in range(config.num_cells):
        is_reduction = number in reductions
        scaling *= config.filter_scaling_rate if is_reduction else 1.0
        if config.skip_reduction_layer_input or not is_reduction:
            previous = len(steps)  # the last output but one; else what the cell before had
        auxiliary = cell_stack.auxiliary_scope(number, reductions)
        stride = 2 if is_reduction else 1
        steps.append(CellStep(f"cell_{number}", f"Cell_{number}", stride, scaling, previous, auxiliary))
    return steps


_ARCHITECTURE = cell_stack.Architecture(
    is_imagenet=True, steps=_steps, cells={1: PNasNetNormalCell, 2: PNasNetNormalCell}, extra_cells=2
)
_PAPER = "Liu et al. 2018, Progressive neural architecture search, arXiv:1712.00559"


@registry.network(
    "pnasnet_mobile",
    image_size=224,
    preprocessing="inception",
    arg_scope=pnasnet_mobile_arg_scope,
    head_scopes=("final_layer", "aux_5"),
    features="global_pool",
    checkpoint=published.get("pnasnet-5_mobile_2017_12_13"),
    parameters=5_065_568,
    multiply_adds=587_294_280,
    paper=_PAPER,
)
def build_pnasnet_mobile(
    images: tf.Tensor,
    num_classes: int | None,
    is_training: bool = True,
    final_endpoint: str | None = None,
    config: Config | None = None,
    current_step: Any = None,
    scope: Any = None,
    reuse: bool | None = None,
) -> Outputs:
    """PNASNet-5 (N=3, F=54) for ImageNet, with an auxiliary head in training.

    74.2 % top-1, 91.9 % top-5 with 5.1 million parameters and 588 million multiply-adds. Liu et al. 2018,
    https://arxiv.org/abs/1712.00559

    Args:
      images: float32 [batch, height, width, 3], 224 by default. Any size in inference, known or not.
      num_classes: 0 or None returns the features, [batch, 1080], and builds no auxiliary head.
      is_training: dropout, drop path and batch norm in training mode, and an auxiliary head.
      final_endpoint: end point to stop at, which is returned; all are built if there is none of that name.
      config: what to build; None for `mobile_imagenet_config`. It is not changed.
      current_step: integer scalar, how many training steps have been done, for the drop path; None for
        `slim.training_step`.
      scope: variable scope around the network's own ones; None for none.
      reuse: whether the variables exist already.

    Returns:
      (logits [batch, num_classes], end points `Stem`, `Cell_<i>`, `AuxLogits`, `global_pool`, `Logits`,
      `Predictions`).

    Raises:
      ValueError: the image is too small for the auxiliary head, or `config.data_format` is unknown.
    """
    config = mobile_imagenet_config() if config is None else config
    return cell_stack.build(
        images, num_classes, is_training, final_endpoint, config, current_step, scope, reuse, _ARCHITECTURE
    )


@registry.network(
    "pnasnet_large",
    image_size=331,
    preprocessing="inception",
    arg_scope=pnasnet_large_arg_scope,
    head_scopes=("final_layer", "aux_7"),
    features="global_pool",
    checkpoint=published.get("pnasnet-5_large_2017_12_13"),
    parameters=86_061_989,
    multiply_adds=24_937_400_112,
    paper=_PAPER,
)
def build_pnasnet_large(
    images: tf.Tensor,
    num_classes: int | None,
    is_training: bool = True,
    final_endpoint: str | None = None,
    config: Config | None = None,
    current_step: Any = None,
    scope: Any = None,
    reuse: bool | None = None,
) -> Outputs:
    """PNASNet-5 (N=4, F=216) for ImageNet, with an auxiliary head in training.

    82.9 % top-1, 96.2 % top-5 with 86.1 million parameters and 25 billion multiply-adds. Liu et al. 2018,
    https://arxiv.org/abs/1712.00559

    Args:
      images: float32 [batch, height, width, 3], 331 by default. Any size in inference, known or not.
      num_classes: 0 or None returns the features, [batch, 4320], and builds no auxiliary head.
      Others: as in `build_pnasnet_mobile`; `config` is by default that of `large_imagenet_config`.

    Returns:
      As `build_pnasnet_mobile`.
    """
    config = large_imagenet_config() if config is None else config
    return cell_stack.build(
        images, num_classes, is_training, final_endpoint, config, current_step, scope, reuse, _ARCHITECTURE
    )
