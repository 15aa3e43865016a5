"""NASNet-A: normal and reduction cells that a search found on CIFAR-10, stacked."""

from typing import Any

import tensorflow as tf

from common import published
from nets import layers as slim
from nets import registry
from nets.blocks import Outputs
from nets.nasnet import cell_stack, nasnet_utils
from nets.nasnet.cell_stack import CellStep, Config


def cifar_config() -> Config:
    """NASNet-A (6 @ 768), for images of 32 pixels."""
    return Config(
        stem_multiplier=3.0,
        num_conv_filters=32,
        num_cells=18,
        drop_path_keep_prob=0.6,
        dense_dropout_keep_prob=1.0,
        skip_reduction_layer_input=0,
        total_training_steps=937500,  # 600 epochs of 50000 images in batches of 32
    )


def mobile_imagenet_config() -> Config:
    """NASNet-A (4 @ 1056), for images of 224 pixels."""
    return Config(
        stem_multiplier=1.0,
        num_conv_filters=44,
        num_cells=12,
        drop_path_keep_prob=1.0,
        dense_dropout_keep_prob=0.5,
        skip_reduction_layer_input=0,
    )


def large_imagenet_config() -> Config:
    """NASNet-A (6 @ 4032), for images of 331 pixels."""
    return Config(
        stem_multiplier=3.0,
        num_conv_filters=168,
        num_cells=18,
        drop_path_keep_prob=0.7,
        dense_dropout_keep_prob=0.5,
        skip_reduction_layer_input=1,
    )


# -- arg scopes ------------------------------------------------------------------------------------------------------


def _arg_scope(weight_decay: float, batch_norm_decay: float, batch_norm_epsilon: float) -> Any:
    convolutions = [slim.conv2d, slim.separable_conv2d]
    with (
        slim.arg_scope(
            [slim.fully_connected, *convolutions],
            weights_regularizer=slim.l2_regularizer(weight_decay),
            weights_initializer=slim.variance_scaling_initializer(mode="FAN_OUT"),
            activation_fn=None,
        ),
        slim.arg_scope([slim.fully_connected], scope="FC"),
        slim.arg_scope(convolutions, biases_initializer=None),
        slim.arg_scope(
            [slim.batch_norm], decay=batch_norm_decay, epsilon=batch_norm_epsilon, scale=True, fused=True
        ) as scope,
    ):
        return scope


def nasnet_cifar_arg_scope(
    weight_decay: float = 5e-4, batch_norm_decay: float = 0.9, batch_norm_epsilon: float = 1e-5
) -> Any:
    """Arg scope of `build_nasnet_cifar`.

    Args:
      weight_decay: L2 scale of all kernels and of the classifiers' weights.
      batch_norm_decay: of the moving averages.
      batch_norm_epsilon: added to the variance.
    """
    return _arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon)


def nasnet_mobile_arg_scope(
    weight_decay: float = 4e-5, batch_norm_decay: float = 0.9997, batch_norm_epsilon: float = 1e-3
) -> Any:
    """Arg scope of `build_nasnet_mobile`; arguments as in `nasnet_cifar_arg_scope`."""
    return _arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon)


def nasnet_large_arg_scope(
    weight_decay: float = 5e-5, batch_norm_decay: float = 0.9997, batch_norm_epsilon: float = 1e-3
) -> Any:
    """Arg scope of `build_nasnet_large`; arguments as in `nasnet_cifar_arg_scope`."""
    return _arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon)


# -- networks --------------------------------------------------------------------------------------------------------


def _after_stem(config: Config, steps: list[CellStep]) -> list[CellStep]:
    """The stem's steps and the others. A reduction is a cell of its own, before the normal one of that number."""
    reductions = nasnet_utils.calc_reduction_layers(config.num_cells, config.num_reduction_layers)
    scaling = 1.0
    for number in range(config.num_cells):
        previous = len(steps)  # the last output but one, see `CellStep.previous`
        if number in reductions:
            scaling *= config.filter_scaling_rate
            index = reductions.index(number)
            steps.append(CellStep(f"reduction_cell_{index}", f"Reduction_Cell_{index}", 2, scaling, previous))
        if not config.skip_reduction_layer_input:
            previous = len(steps)
        auxiliary = cell_stack.auxiliary_scope(number, reductions)
        steps.append(CellStep(f"cell_{number}", f"Cell_{number}", 1, scaling, previous, auxiliary))
    return steps


_CELLS = {1: nasnet_utils.NasNetANormalCell, 2: nasnet_utils.NasNetAReductionCell}
_CIFAR = cell_stack.Architecture(
    is_imagenet=False, steps=lambda config: _after_stem(config, []), cells=_CELLS, extra_cells=2
)
_IMAGENET = cell_stack.Architecture(
    is_imagenet=True,
    steps=lambda config: _after_stem(config, cell_stack.stem_steps(config)),
    cells=_CELLS,
    extra_cells=4,
)
_PAPER = "Zoph et al. 2018, Learning transferable architectures for scalable image recognition, arXiv:1707.07012"


@registry.network(
    "nasnet_cifar",
    image_size=32,
    preprocessing="cifarnet",
    arg_scope=nasnet_cifar_arg_scope,
    head_scopes=("final_layer", "aux_11"),
    features="global_pool",
    parameters=3_346_538,
    multiply_adds=544_333_312,
    paper=_PAPER,
)
def build_nasnet_cifar(
    images: tf.Tensor,
    num_classes: int | None,
    is_training: bool = True,
    config: Config | None = None,
    current_step: Any = None,
    scope: Any = None,
    reuse: bool | None = None,
) -> Outputs:
    """NASNet-A for CIFAR-10, with an auxiliary head in training.

    The paper's has 3.41 % error on CIFAR-10, 2.65 % with cutout. Zoph et al. 2018, https://arxiv.org/abs/1707.07012

    Args:
      images: float32 [batch, height, width, 3], 32 by default, 9 at least for the auxiliary head.
      Others: as in `build_nasnet_mobile`; `config` is by default that of `cifar_config`.

    Returns:
      (logits [batch, num_classes], end points `Stem`, `Cell_<i>`, `Reduction_Cell_<i>`, `AuxLogits`, `global_pool`,
      `Logits`, `Predictions`).
    """
    config = cifar_config() if config is None else config
    return cell_stack.build(images, num_classes, is_training, None, config, current_step, scope, reuse, _CIFAR)


@registry.network(
    "nasnet_mobile",
    image_size=224,
    preprocessing="inception",
    arg_scope=nasnet_mobile_arg_scope,
    head_scopes=("final_layer", "aux_7"),
    features="global_pool",
    checkpoint=published.get("nasnet-a_mobile_04_10_2017"),
    parameters=5_291_035,
    multiply_adds=563_639_872,
    paper=_PAPER,
)
def build_nasnet_mobile(
    images: tf.Tensor,
    num_classes: int | None,
    is_training: bool = True,
    final_endpoint: str | None = None,
    config: Config | None = None,
    current_step: Any = None,
    scope: Any = None,
    reuse: bool | None = None,
) -> Outputs:
    """NASNet-A (4 @ 1056) for ImageNet, with an auxiliary head in training.

    74.0 % top-1, 91.6 % top-5 with 5.3 million parameters and 564 million multiply-adds. Zoph et al. 2018,
    https://arxiv.org/abs/1707.07012

    Args:
      images: float32 [batch, height, width, 3], 224 by default. Any size in inference, known or not.
      num_classes: 0 or None returns the features, [batch, 1056], and builds no auxiliary head.
      is_training: dropout, drop path and batch norm in training mode, and an auxiliary head.
      final_endpoint: end point to stop at, which is returned; all are built if there is none of that name.
      config: what to build; None for `mobile_imagenet_config`. It is not changed.
      current_step: integer scalar, how many training steps have been done, for the drop path; None for
        `slim.training_step`.
      scope: variable scope around the network's own ones; None for none.
      reuse: whether the variables exist already.

    Returns:
      (logits [batch, num_classes], end points `Stem`, `Cell_<i>`, `Reduction_Cell_<i>`, `AuxLogits`, `global_pool`,
      `Logits`, `Predictions`).

    Raises:
      ValueError: the image is too small for the auxiliary head, or `config.data_format` is unknown.
    """
    config = mobile_imagenet_config() if config is None else config
    return cell_stack.build(
        images, num_classes, is_training, final_endpoint, config, current_step, scope, reuse, _IMAGENET
    )


@registry.network(
    "nasnet_large",
    image_size=331,
    preprocessing="inception",
    arg_scope=nasnet_large_arg_scope,
    head_scopes=("final_layer", "aux_11"),
    features="global_pool",
    checkpoint=published.get("nasnet-a_large_04_10_2017"),
    parameters=88_757_183,
    multiply_adds=23_783_418_690,
    paper=_PAPER,
)
def build_nasnet_large(
    images: tf.Tensor,
    num_classes: int | None,
    is_training: bool = True,
    final_endpoint: str | None = None,
    config: Config | None = None,
    current_step: Any = None,
    scope: Any = None,
    reuse: bool | None = None,
) -> Outputs:
    """NASNet-A (6 @ 4032) for ImageNet, with an auxiliary head in training.

    82.7 % top-1, 96.2 % top-5 with 88.9 million parameters and 23.8 billion multiply-adds. Zoph et al. 2018,
    https://arxiv.org/abs/1707.07012

    Args:
      images: float32 [batch, height, width, 3], 331 by default. Any size in inference, known or not.
      num_classes: 0 or None returns the features, [batch, 4032], and builds no auxiliary head.
      Others: as in `build_nasnet_mobile`; `config` is by default that of `large_imagenet_config`.

    Returns:
      As `build_nasnet_mobile`.
    """
    config = large_imagenet_config() if config is None else config
    return cell_stack.build(
        images, num_classes, is_training, final_endpoint, config, current_step, scope, reuse, _IMAGENET
    )
