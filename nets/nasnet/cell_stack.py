"""What NASNet-A and PNASNet-5 share: their configuration, and the network as a stack of cells."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from common import suggest
from nets import layers as slim
from nets.blocks import EndPoints, Outputs
from nets.nasnet import nasnet_utils

_v1 = tf.compat.v1


@dataclasses.dataclass(slots=True)
class Config:
    """What a network is made of. Building it leaves its config as it is."""

    stem_multiplier: float  # filters of the first convolution: 32 (for CIFAR num_conv_filters) times this
    num_conv_filters: int  # of each operation in the first cells
    num_cells: int  # not counting the stem's, nor NASNet's reduction cells
    drop_path_keep_prob: float  # of the last cell at the end of training; 1.0 for no drop path
    dense_dropout_keep_prob: float  # share of the features that dropout keeps
    skip_reduction_layer_input: int  # whether the output before a reduction is left out of the cells' second inputs
    filter_scaling_rate: float = 2.0  # of the filters at each reduction
    num_reduction_layers: int = 2
    use_aux_head: int = 1  # 0 for no auxiliary head
    total_training_steps: int = 250000  # how long drop path grows
    data_format: str = "NHWC"  # or NCHW: the layout inside the network; images are always NHWC
    use_bounded_activation: bool = False  # relu6, and values cut to [-6, 6], for quantization

    def set_hparam(self, name: str, value: Any) -> None:
        """Sets a field.

        Raises:
          ValueError: there is no such field; the message lists near matches.
        """
        if name not in self.values():
            raise ValueError(suggest.unknown("hyperparameter", name, self.values()))
        setattr(self, name, value)

    def values(self) -> dict[str, Any]:
        """All fields by name."""
        return dataclasses.asdict(self)


class CellStep(NamedTuple):
    """A cell of a network, on top of those before it."""

    scope: str
    end_point: str | None
    stride: int
    filter_scaling: float
    previous: int  # its second input: 0 for none, 1 for the first convolution, 2 for the first step's output, ...
    auxiliary: str | None = None  # scope of the auxiliary head on its output


class Architecture(NamedTuple):
    """What tells the networks from one another, besides their configuration."""

    is_imagenet: bool  # whether the stem starts by halving the image, or keeps the size as CIFAR's does
    steps: Callable[[Config], list[CellStep]]  # the stem's cells included
    cells: dict[int, type[nasnet_utils.TableCell]]  # by stride
    extra_cells: int  # how many cells drop path counts besides `num_cells`


def stem_steps(config: Config) -> list[CellStep]:
    """The two cells that take an ImageNet network from a half to an eighth of the image's side."""
    scaling = 1.0 / config.filter_scaling_rate**2
    return [
        CellStep("cell_stem_0", None, 2, scaling, 0),
        CellStep("cell_stem_1", "Stem", 2, scaling * config.filter_scaling_rate, 1),
    ]


def auxiliary_scope(number: int, reductions: Sequence[int]) -> str | None:
    """Scope of cell `number`'s auxiliary head, which the last cell before the second reduction has."""
    return f"aux_{number}" if len(reductions) > 1 and number == reductions[1] - 1 else None


def build(
    images: tf.Tensor,
    num_classes: int | None,
    is_training: bool,
    final_endpoint: str | None,
    config: Config,
    current_step: Any,
    scope: Any,
    reuse: bool | None,
    architecture: Architecture,
) -> Outputs:
    """Builds a network; arguments and results as in `nasnet.build_nasnet_mobile`."""
    data_format = nasnet_utils.check_data_format(config.data_format)
    in_layout = [
        slim.avg_pool2d,
        slim.max_pool2d,
        slim.conv2d,
        slim.batch_norm,
        slim.separable_conv2d,
        nasnet_utils.factorized_reduction,
        nasnet_utils.global_avg_pool,
        nasnet_utils.get_channel_index,
        nasnet_utils.get_channel_dim,
    ]
    recorder = _Recorder(final_endpoint)
    with (
        _enclosing_scope(scope, reuse),
        slim.arg_scope([slim.dropout, nasnet_utils.drop_path, slim.batch_norm], is_training=is_training),
        slim.arg_scope(in_layout, data_format=data_format),
    ):
        if data_format == "NCHW":
            images = tf.transpose(images, [0, 3, 1, 2])
        has_auxiliary = bool(config.use_aux_head and num_classes and is_training)
        cells = _Cells(config, architecture, is_training, current_step)
        net = _build_cells(images, num_classes if has_auxiliary else None, config, architecture, cells, recorder)
        if not recorder.is_done:
            net = _build_head(net, num_classes, config, recorder)
    return net, recorder.end_points


def _enclosing_scope(scope: Any, reuse: bool | None) -> contextlib.AbstractContextManager:
    if scope:
        return _v1.variable_scope(scope, reuse=reuse)
    if reuse is None:
        return contextlib.nullcontext()
    return _v1.variable_scope(_v1.get_variable_scope(), reuse=reuse, auxiliary_name_scope=False)


class _Recorder:
    """End points up to the final one."""

    def __init__(self, final_endpoint: str | None):
        self._final = final_endpoint
        self.end_points: EndPoints = {}

    def add(self, name: str, tensor: tf.Tensor) -> bool:
        """Records an end point; returns whether it is the final one."""
        self.end_points[name] = tensor
        return self.is_done

    @property
    def is_done(self) -> bool:
        return self._final in self.end_points


class _Cells:
    """The outputs so far, and how to put the next cell on top of them."""

    def __init__(self, config: Config, architecture: Architecture, is_training: bool, current_step: Any):
        self._clock = nasnet_utils.TrainingClock(config.total_training_steps, current_step)
        self._by_stride = {
            stride: cell(
                config.num_conv_filters,
                config.drop_path_keep_prob if is_training else 1.0,
                config.num_cells + architecture.extra_cells,
                config.total_training_steps,
                config.use_bounded_activation,
            )
            for stride, cell in architecture.cells.items()
        }
        self._outputs: list[tf.Tensor | None] = [None]
        self._halvings = [0]  # of each output: tells their sizes apart where these are unknown or down to one pixel

    def start(self, net: tf.Tensor) -> None:
        self._outputs.append(net)
        self._halvings.append(0)

    def add(self, step: CellStep) -> tf.Tensor:
        net = self._by_stride[step.stride](
            self._outputs[-1],
            step.scope,
            step.filter_scaling,
            step.stride,
            self._outputs[step.previous],
            cell_num=len(self._outputs) - 2,
            clock=self._clock,
            prev_is_larger=self._halvings[step.previous] < self._halvings[-1],
        )
        self._outputs.append(net)
        self._halvings.append(self._halvings[-1] + (step.stride > 1))
        return net


def _build_cells(
    images: tf.Tensor,
    auxiliary_classes: int | None,
    config: Config,
    architecture: Architecture,
    cells: _Cells,
    recorder: _Recorder,
) -> tf.Tensor:
    if architecture.is_imagenet:
        filters = int(32 * config.stem_multiplier)
        net = slim.conv2d(images, filters, [3, 3], stride=2, padding="VALID", scope="conv0")
        net = slim.batch_norm(net, scope="conv0_bn")
    else:
        filters = int(config.num_conv_filters * config.stem_multiplier)
        net = slim.conv2d(images, filters, [3, 3], scope="l1_stem_3x3")
        net = slim.batch_norm(net, scope="l1_stem_bn")
        if recorder.add("Stem", net):
            return net
    cells.start(net)
    for step in architecture.steps(config):
        net = cells.add(step)
        if step.end_point and recorder.add(step.end_point, net):
            break
        if step.auxiliary and auxiliary_classes:
            logits = _build_auxiliary_head(net, auxiliary_classes, config, step.auxiliary)
            if recorder.add("AuxLogits", logits):
                return logits
    return net


def _activation(config: Config) -> Callable[[tf.Tensor], tf.Tensor]:
    return tf.nn.relu6 if config.use_bounded_activation else tf.nn.relu


def _build_auxiliary_head(net: tf.Tensor, num_classes: int, config: Config, scope: str) -> tf.Tensor:
    """Logits [batch, num_classes] of a map. The kernel of the second convolution is as large as what it reads, so a
    checkpoint fits its auxiliary head at one image size only."""
    activation = _activation(config)
    height, width = nasnet_utils.map_size(net, config.data_format)
    if height is None or width is None or min(height, width) < 5:
        raise ValueError(
            f"{scope}: the auxiliary head needs a map of at least 5x5 pixels, this one has {height}x{width}; train on "
            f"larger images of known size, or with a config whose use_aux_head is 0"
        )
    with _v1.variable_scope(f"{scope}/aux_logits"):
        net = slim.avg_pool2d(activation(net), [5, 5], stride=3, padding="VALID")
        net = slim.conv2d(net, 128, [1, 1], scope="proj")
        net = activation(slim.batch_norm(net, scope="aux_bn0"))
        size = nasnet_utils.map_size(net, config.data_format)
        net = slim.conv2d(net, 768, size, padding="VALID", scope="Conv")
        net = activation(slim.batch_norm(net, scope="aux_bn1"))
        return slim.fully_connected(slim.flatten(net), num_classes, activation_fn=None, scope="FC")


def _build_head(net: tf.Tensor, num_classes: int | None, config: Config, recorder: _Recorder) -> tf.Tensor:
    with _v1.variable_scope("final_layer"):
        net = nasnet_utils.global_avg_pool(_activation(config)(net))
        if recorder.add("global_pool", net) or not num_classes:
            return net
        net = slim.dropout(net, config.dense_dropout_keep_prob, scope="dropout")
        logits = slim.fully_connected(net, num_classes, activation_fn=None, scope="FC")
        if recorder.add("Logits", logits):
            return logits
        predictions = tf.nn.softmax(logits, name="predictions")
        return predictions if recorder.add("Predictions", predictions) else logits
