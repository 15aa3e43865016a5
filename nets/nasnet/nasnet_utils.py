"""Cells of NASNet-A and PNASNet-5: sums of pairs of operations on earlier results, built from tables."""

import functools
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from nets import layers as slim

_v1 = tf.compat.v1
_BOUND = 6.0  # of the values after an operation where activations are bounded


class CellTable(NamedTuple):
    """A cell. Its states are: 0 the current layer, 1 the previous layer, 2 to 6 the sums of its combinations."""

    operations: tuple[str, ...]  # left and right one of each combination in turn
    inputs: tuple[int, ...]  # the state that each of them reads
    used: tuple[int, ...]  # for each state: 1 for one that is no part of the output


NASNET_NORMAL = CellTable(
    operations=(
        *("separable_5x5_2", "separable_3x3_2"),
        *("separable_5x5_2", "separable_3x3_2"),
        *("avg_pool_3x3", "none"),
        *("avg_pool_3x3", "avg_pool_3x3"),
        *("separable_3x3_2", "none"),
    ),
    inputs=(*(0, 1), *(1, 1), *(0, 1), *(1, 1), *(0, 0)),
    used=(1, 0, 0, 0, 0, 0, 0),
)
NASNET_REDUCTION = CellTable(
    operations=(
        *("separable_5x5_2", "separable_7x7_2"),
        *("max_pool_3x3", "separable_7x7_2"),
        *("avg_pool_3x3", "separable_5x5_2"),
        *("none", "avg_pool_3x3"),
        *("separable_3x3_2", "max_pool_3x3"),
    ),
    inputs=(*(0, 1), *(0, 1), *(0, 1), *(3, 2), *(2, 0)),
    used=(1, 1, 1, 0, 0, 0, 0),
)


# -- layouts ---------------------------------------------------------------------------------------------------------

_AXES = {"NHWC": 3, "NCHW": 1}


@slim.add_arg_scope
def get_channel_index(data_format: str = "NHWC") -> int:
    """Axis of the channels: 3 for NHWC, 1 for NCHW."""
    return _AXES[check_data_format(data_format)]


@slim.add_arg_scope
def get_channel_dim(shape: Sequence[Any], data_format: str = "NHWC") -> int:
    """Number of channels in a shape of four axes."""
    return int(shape[_AXES[check_data_format(data_format)]])


@slim.add_arg_scope
def global_avg_pool(x: tf.Tensor, data_format: str = "NHWC") -> tf.Tensor:
    """Mean over height and width: [batch, channels] from a map in either layout."""
    return tf.reduce_mean(x, [1, 2] if check_data_format(data_format) == "NHWC" else [2, 3])


def check_data_format(data_format: str) -> str:
    """`data_format`; ValueError unless it is NHWC or NCHW."""
    if data_format not in _AXES:
        raise ValueError(f"invalid data_format {data_format!r}: it has to be either NHWC or NCHW")
    return data_format


def map_size(net: tf.Tensor, data_format: str) -> tuple[int | None, int | None]:
    """Static (height, width) of a map, None where unknown."""
    return tuple(net.shape[1:3] if data_format == "NHWC" else net.shape[2:4])


# -- parts of cells --------------------------------------------------------------------------------------------------


def calc_reduction_layers(num_cells: int, num_reduction_layers: int) -> list[int]:
    """Numbers of the cells at which the map is halved, which divide the cells into equal parts: (18, 2) -> [6, 12]."""
    return [int(part / (num_reduction_layers + 1) * num_cells) for part in range(1, num_reduction_layers + 1)]


def _odd_pixels(net: tf.Tensor, stride: int, data_format: str) -> tf.Tensor:
    """Pixels 1, 1 + stride, ... of both axes, with zeros where that is one past the edge."""
    first = 1 if data_format == "NHWC" else 2
    steps = [slice(1, None, stride) if axis in (first, first + 1) else slice(None) for axis in range(4)]
    sizes = net.shape.as_list()
    if None in sizes[first : first + 2]:
        sizes = tf.unstack(tf.shape(net), 4)
    # An axis of n has ceil(n / stride) pixels 0, stride, ... and one fewer of these if its last pixel is among them.
    missing = [0, 0, 0, 0]
    for axis in (first, first + 1):
        last = (sizes[axis] - 1) % stride
        missing[axis] = tf.cast(tf.equal(last, 0), tf.int32) if tf.is_tensor(last) else int(last == 0)
    picked = net[tuple(steps)]
    return tf.pad(picked, [[0, size] for size in missing]) if any(tf.is_tensor(m) or m for m in missing) else picked


@slim.add_arg_scope
def factorized_reduction(net: tf.Tensor, output_filters: int, stride: int, data_format: str = "NHWC") -> tf.Tensor:
    """Shrinks a map without losing every other pixel: half of the filters read the even ones, half the odd ones.

    Variables: for stride 1 a 1x1 convolution `path_conv` and `path_bn`; else `path1_conv`, `path2_conv` (the larger
    half) and `final_path_bn`.

    Args:
      net: map in the layout of `data_format`.
      output_filters: channels of the result.
      stride: what height and width are divided by, rounded up.
      data_format: NHWC or NCHW.
    """
    axis = get_channel_index(data_format=data_format)
    if stride == 1:
        net = slim.conv2d(net, output_filters, 1, scope="path_conv", data_format=data_format)
        return slim.batch_norm(net, scope="path_bn", data_format=data_format)
    half = output_filters // 2
    even = slim.conv2d(net, half, 1, stride=stride, scope="path1_conv", data_format=data_format)
    odd = _odd_pixels(net, stride, data_format)
    odd = slim.conv2d(odd, output_filters - half, 1, scope="path2_conv", data_format=data_format)
    return slim.batch_norm(tf.concat([even, odd], axis), scope="final_path_bn", data_format=data_format)


@slim.add_arg_scope
def drop_path(net: tf.Tensor, keep_prob: Any, is_training: Any = True) -> tf.Tensor:
    """Sets whole examples to zero at random and scales the others by 1 / keep_prob while training.

    Larsson et al. 2017, https://arxiv.org/abs/1605.07648. The mask is that of a dropout called `drop_path` in the
    current variable scope, so `slim.call_context(seed=...)` fixes it.

    Args:
      net: [batch, ...] of four axes.
      keep_prob: probability in (0, 1] that an example stays; a number or a float32 scalar tensor.
      is_training: bool, or scalar bool tensor. When False the inputs pass unchanged.
    """
    if not tf.is_tensor(is_training) and not is_training:
        return net
    batch = net.shape[0] or tf.shape(net)[0]
    # A number for each example, so that the map itself is read and written once.
    ones = tf.ones([batch, 1, 1, 1])
    scale = slim.dropout(ones, keep_prob=keep_prob, is_training=is_training, scope="drop_path")
    return net * tf.cast(scale, net.dtype)


class TrainingClock:
    """How far training has come, from 0 to 1: computed once for a network, where the first drop path asks for it.

    Args:
      total_training_steps: number of steps at whose end it says 1.
      current_step: integer scalar; None for `slim.training_step`. Where nobody counts steps, training is at its end.
    """

    def __init__(self, total_training_steps: float, current_step: Any = None):
        self._total = total_training_steps
        self._step = current_step

    @functools.cached_property
    def elapsed(self) -> Any:
        """A float32 scalar tensor, or 1.0."""
        step = slim.training_step() if self._step is None else self._step
        return 1.0 if step is None else tf.minimum(1.0, tf.cast(step, tf.float32) / float(self._total))


# -- cells -----------------------------------------------------------------------------------------------------------


class _Operation(NamedTuple):
    kind: str  # separable, avg, max, none
    size: int = 1  # of the kernel or window
    repeats: int = 1


def _parse(operation: str) -> _Operation:
    if operation == "none":
        return _Operation("none")
    if found := re.fullmatch(r"separable_(\d+)x\1_(\d+)", operation):
        return _Operation("separable", int(found[1]), int(found[2]))
    if found := re.fullmatch(r"(avg|max)_pool_(\d+)x\2", operation):
        return _Operation(found[1], int(found[2]))
    raise ValueError(
        f"unknown operation {operation!r} of a cell: expected none, separable_KxK_N, avg_pool_KxK or max_pool_KxK"
    )


class NasNetABaseCell:
    """A cell: fits its two inputs to each other, adds five pairs of operations, concatenates what nobody else reads.

    Call it within arg scopes such as `nasnet_mobile_arg_scope` and, for another layout than NHWC, with `data_format`
    set on the layers and on `get_channel_index`.

    Args:
      num_conv_filters: filters of each operation, before the scaling of a call.
      operations, used_hiddenstates, hiddenstate_indices: as `operations`, `used` and `inputs` in `CellTable`.
      drop_path_keep_prob: probability that drop path keeps a path of the network's last cell at the end of training.
      total_num_cells: number of cells in the network; from the first to the last one drop path grows.
      total_training_steps: number of steps over which it grows.
      use_bounded_activation: relu6 for relu, and values cut to [-6, 6] after each operation, for quantization.

    Raises:
      ValueError: unknown operation, or tables of other lengths than each other's.
    """

    def __init__(
        self,
        num_conv_filters: int,
        operations: Sequence[str],
        used_hiddenstates: Sequence[int],
        hiddenstate_indices: Sequence[int],
        drop_path_keep_prob: float,
        total_num_cells: int,
        total_training_steps: float,
        use_bounded_activation: bool = False,
    ):
        if not len(operations) == len(hiddenstate_indices) == 2 * (len(used_hiddenstates) - 2):
            raise ValueError(
                f"a cell of {len(operations)} operations needs as many hiddenstate_indices and "
                f"{len(operations) // 2 + 2} used_hiddenstates, found {len(hiddenstate_indices)} and "
                f"{len(used_hiddenstates)}"
            )
        self._num_conv_filters = num_conv_filters
        self._operations = [_parse(operation) for operation in operations]
        self._inputs = hiddenstate_indices
        self._used = used_hiddenstates
        self._keep_prob = drop_path_keep_prob
        self._total_num_cells = total_num_cells
        self._total_training_steps = total_training_steps
        self._bounded = use_bounded_activation
        self._activation = tf.nn.relu6 if use_bounded_activation else tf.nn.relu

    def __call__(
        self,
        net: tf.Tensor,
        scope: str | None = None,
        filter_scaling: float = 1,
        stride: int = 1,
        prev_layer: tf.Tensor | None = None,
        cell_num: int = -1,
        current_step: Any = None,
        *,
        clock: TrainingClock | None = None,
        prev_is_larger: bool | None = None,
    ) -> tf.Tensor:
        """Builds the cell.

        Args:
          net: the current layer, a map.
          scope: variable scope; None for a unique `cell`.
          filter_scaling: what `num_conv_filters` is multiplied by.
          stride: 2 halves height and width.
          prev_layer: the cell's other input; None for `net` again.
          cell_num: the cell's place in the network, from 0; of the drop path.
          current_step: how many training steps have been done, for the drop path; None for `slim.training_step`.
          clock: in place of `current_step`, one for all cells of a network.
          prev_is_larger: whether `prev_layer` is to be halved; None if its size tells.

        Returns:
          A map of as many channels as the filters times the number of states that no operation uses.
        """
        filters = int(self._num_conv_filters * filter_scaling)
        axis = get_channel_index()
        clock = clock or TrainingClock(self._total_training_steps, current_step)
        keep_prob = self._keep_prob_at(cell_num, clock)
        with _v1.variable_scope(scope, "cell"):
            previous = self._fit_previous(prev_layer, net, filters, axis, prev_is_larger)
            net = slim.conv2d(self._activation(net), filters, 1, scope="1x1")
            states = [slim.batch_norm(net, scope="beginning_bn"), previous]
            operations = iter(zip(self._operations, self._inputs, strict=True))
            for number in range(len(self._operations) // 2):
                sides = []
                for side in ("left", "right"):
                    operation, index = next(operations)
                    with _v1.variable_scope(f"comb_iter_{number}/{side}"):
                        step = stride if index < 2 else 1  # the other states are small already
                        sides.append(self._operate(states[index], operation, step, filters, axis, keep_prob))
                total = tf.raw_ops.AddV2(x=sides[0], y=sides[1], name=f"comb_iter_{number}/combine/add")
                states.append(self._activation(total) if self._bounded else total)
            return self._concatenate(states, stride, filters, axis)

    def _keep_prob_at(self, cell_num: int, clock: TrainingClock) -> Any:
        """None where nothing is dropped; else a function of no arguments, evaluated once, by the first who calls it."""
        dropped = (cell_num + 1) / self._total_num_cells * (1.0 - self._keep_prob)
        return functools.cache(lambda: 1.0 - clock.elapsed * dropped) if dropped > 0 else None

    def _fit_previous(
        self, previous: tf.Tensor | None, net: tf.Tensor, filters: int, axis: int, is_larger: bool | None
    ) -> tf.Tensor:
        if previous is None:
            return net
        data_format = "NHWC" if axis == 3 else "NCHW"
        if is_larger is None:
            sizes = map_size(previous, data_format), map_size(net, data_format)
            if None in (*sizes[0], *sizes[1]):
                raise ValueError("a cell whose inputs are of unknown height or width must be told prev_is_larger")
            is_larger = sizes[0] != sizes[1]
        if is_larger:
            return factorized_reduction(self._activation(previous), filters, 2, data_format=data_format)
        if previous.shape[axis] != filters:
            previous = slim.conv2d(self._activation(previous), filters, 1, scope="prev_1x1")
            return slim.batch_norm(previous, scope="prev_bn")
        return previous

    def _operate(
        self, net: tf.Tensor, operation: _Operation, stride: int, filters: int, axis: int, keep_prob: Any
    ) -> tf.Tensor:
        kind, size, repeats = operation
        if kind != "separable" and self._bounded:
            net = self._activation(net)
        if kind == "none":
            if stride == 1 and net.shape[axis] == filters:
                return net
            return self._one_by_one(net if self._bounded else self._activation(net), filters, stride)
        if kind == "separable":
            net = self._bound(self._separable(net, size, repeats, stride, filters))
        else:
            pool = slim.avg_pool2d if kind == "avg" else slim.max_pool2d
            net = pool(net, size, stride=stride, padding="SAME")
            net = self._bound(net) if net.shape[axis] == filters else self._one_by_one(net, filters, 1)
        return net if keep_prob is None else drop_path(net, keep_prob())

    def _separable(self, net: tf.Tensor, size: int, repeats: int, stride: int, filters: int) -> tf.Tensor:
        for number in range(1, repeats + 1):
            net = self._activation(net)
            scope = f"separable_{size}x{size}_{number}"
            net = slim.separable_conv2d(net, filters, size, depth_multiplier=1, stride=stride, scope=scope)
            net = slim.batch_norm(net, scope=f"bn_sep_{size}x{size}_{number}")
            stride = 1
        return net

    def _one_by_one(self, net: tf.Tensor, filters: int, stride: int) -> tf.Tensor:
        net = slim.conv2d(net, filters, 1, stride=stride, scope="1x1")
        return self._bound(slim.batch_norm(net, scope="bn_1"))

    def _bound(self, net: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(net, -_BOUND, _BOUND) if self._bounded else net

    def _concatenate(self, states: list[tf.Tensor], stride: int, filters: int, axis: int) -> tf.Tensor:
        data_format = "NHWC" if axis == 3 else "NCHW"
        unused = []
        for index, (state, used) in enumerate(zip(states, self._used, strict=True)):
            if used:
                continue
            step = stride if index < 2 else 1
            if step > 1 or state.shape[axis] != filters:
                with _v1.variable_scope(f"cell_output/reduction_{index}"):
                    state = factorized_reduction(state, filters, step, data_format=data_format)
            unused.append(state)
        return tf.concat(unused, axis, name="cell_output/concat")


class TableCell(NasNetABaseCell):
    """A cell whose subclass brings its table; arguments as in `NasNetABaseCell`."""

    table: CellTable

    def __init__(
        self,
        num_conv_filters: int,
        drop_path_keep_prob: float,
        total_num_cells: int,
        total_training_steps: float,
        use_bounded_activation: bool = False,
    ):
        super().__init__(
            num_conv_filters,
            self.table.operations,
            self.table.used,
            self.table.inputs,
            drop_path_keep_prob,
            total_num_cells,
            total_training_steps,
            use_bounded_activation,
        )


class NasNetANormalCell(TableCell):
    """NASNet-A's cell that keeps the size; output of 6 times the filters."""

    table = NASNET_NORMAL


class NasNetAReductionCell(TableCell):
    """NASNet-A's cell that halves the size; output of 4 times the filters."""

    table = NASNET_REDUCTION
