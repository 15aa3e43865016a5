"""The blocks of MobileNet v2 and v3: expanded convolution, squeeze and excitation, split and separable convolutions."""

import contextlib
import contextvars
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from nets import layers as slim
from nets.blocks import pad_explicitly, reduced_kernel

Activation = Callable[[tf.Tensor], tf.Tensor]

_v1 = tf.compat.v1


def make_divisible(v: float, divisor: int, min_value: int | None = None) -> int:
    """`v` rounded to a multiple of `divisor`, at least `min_value` (None: `divisor`) and at least 0.9 * `v`."""
    rounded = max(divisor if min_value is None else min_value, int(v + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * v else rounded


def expand_input_by_factor(n: float, divisible_by: int = 8) -> Callable[..., int]:
    """An `expansion_size`: `n` times the block's input channels, rounded to a multiple of `divisible_by`."""
    return lambda num_inputs, **_: make_divisible(num_inputs * n, divisible_by)


def kernel_of(kernel_size: int | Sequence[int]) -> tuple[int, int]:
    """A kernel size, given as one integer or as two, as (height, width)."""
    return (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size)


def pad_for(net: tf.Tensor, kernel_size: int | Sequence[int], rate: int = 1) -> tf.Tensor:
    """Pads [batch, height, width, channels] for a VALID convolution that keeps its size at stride 1."""
    kernel = kernel_of(kernel_size)
    return net if kernel == (1, 1) else pad_explicitly(net, kernel, rate)


# -- outputs that become end points ----------------------------------------------------------------------------------

# A context variable, for tf.distribute traces replicas in threads of their own.
_collected: contextvars.ContextVar[dict[str, tf.Tensor] | None] = contextvars.ContextVar("outputs", default=None)


@contextlib.contextmanager
def collect_outputs() -> Iterator[dict[str, tf.Tensor]]:
    """Collects what `name_output` names inside the block: name -> tensor, in order of creation."""
    outputs: dict[str, tf.Tensor] = {}
    token = _collected.set(outputs)
    try:
        yield outputs
    finally:
        _collected.reset(token)


def name_output(net: tf.Tensor, name: str) -> tf.Tensor:
    """Gives a tensor a name, in an op of its own; in layer i of a network it becomes the end point `layer_<i>/<name>`.

    Args:
      net: any tensor.
      name: of the op, by custom ending in `output`.
    """
    net = tf.identity(net, name=name)
    outputs = _collected.get()
    if outputs is not None:
        outputs[name] = net
    return net


# -- convolutions ----------------------------------------------------------------------------------------------------


@slim.add_arg_scope
def split_separable_conv2d(
    input_tensor: tf.Tensor,
    num_outputs: int,
    scope: str | None = None,
    normalizer_fn: Callable[..., tf.Tensor] | None = None,
    stride: int = 1,
    rate: int = 1,
    endpoints: dict[str, tf.Tensor] | None = None,
    use_explicit_padding: bool = False,
) -> tf.Tensor:
    """A 3x3 depthwise convolution and a 1x1 one, each with its own normalizer and activation.

    Args:
      input_tensor: [batch, height, width, channels].
      num_outputs: channels of the result.
      scope: the layers' scopes are `<scope>_depthwise` and `<scope>_pointwise`; None for `depthwise` and `pointwise`
        in a unique `separable`.
      normalizer_fn: of both; None gives them biases.
      stride, rate: of the depthwise convolution.
      endpoints: gets both layers' outputs, by the last part of their scopes.
      use_explicit_padding: pad by hand and convolve VALID.

    Returns:
      [batch, height / stride, width / stride, num_outputs].
    """
    padding = "SAME"
    if use_explicit_padding:
        input_tensor, padding = pad_for(input_tensor, 3, rate), "VALID"
    prefix = "" if scope is None else f"{scope}_"
    with _v1.variable_scope(None, "separable") if scope is None else contextlib.nullcontext():
        depthwise = slim.separable_conv2d(
            input_tensor,
            None,
            [3, 3],
            depth_multiplier=1,
            stride=stride,
            rate=rate,
            normalizer_fn=normalizer_fn,
            padding=padding,
            scope=f"{prefix}depthwise",
        )
        net = slim.conv2d(
            depthwise, num_outputs, [1, 1], stride=1, normalizer_fn=normalizer_fn, scope=f"{prefix}pointwise"
        )
    if endpoints is not None:
        endpoints.update({f"{prefix}depthwise": depthwise, f"{prefix}pointwise": net})
    return net


def _split_divisible(channels: int, num_ways: int, divisible_by: int) -> list[int]:
    """`channels` in `num_ways` parts, about equal, each a multiple of `divisible_by`; the larger ones come first."""
    if channels % divisible_by:
        raise ValueError(f"{channels} channels cannot be split: they are not a multiple of {divisible_by}")
    unit = num_ways * divisible_by
    ends = [-(-channels * i // unit) * divisible_by for i in range(num_ways + 1)]
    return [end - start for start, end in itertools.pairwise(ends)]


def split_conv(
    input_tensor: tf.Tensor, num_outputs: int, num_ways: int, scope: str, divisible_by: int = 8, **kwargs: Any
) -> tf.Tensor:
    """A 1x1 convolution in groups: each of `num_ways` groups of input channels makes its group of output channels.

    One plain convolution where a group would have less than `divisible_by` channels.

    Args:
      input_tensor: [batch, height, width, channels].
      num_outputs: channels of the result.
      num_ways: number of groups.
      scope: of the convolution; of group i's, `<scope>_part_<i>`.
      divisible_by: each group's channels are a multiple of it.
      **kwargs: for `conv2d`.

    Raises:
      ValueError: the channels, in or out, are not a multiple of `divisible_by`.
    """
    channels = input_tensor.shape[3]
    if num_ways == 1 or min(channels, num_outputs) // num_ways < divisible_by:
        return slim.conv2d(input_tensor, num_outputs, [1, 1], scope=scope, **kwargs)
    inputs = tf.split(input_tensor, _split_divisible(channels, num_ways, divisible_by), axis=3, name=f"split_{scope}")
    outputs = []
    for i, depth in enumerate(_split_divisible(num_outputs, num_ways, divisible_by)):
        part = f"{scope}_part_{i}"
        outputs.append(name_output(slim.conv2d(inputs[i], depth, [1, 1], scope=part, **kwargs), f"{part}_output"))
    return tf.concat(outputs, axis=3, name=f"{scope}_concat")


def _split(function: Callable[..., tf.Tensor], num_ways: int, divisible_by: int) -> Callable[..., tf.Tensor]:
    """`split_conv` told how to split; any other function as it is."""
    if function is not split_conv:
        return function
    return functools.partial(split_conv, num_ways=num_ways, divisible_by=divisible_by)


def _scoped_activation(activation_fn: Activation | None) -> dict[str, Activation]:
    return {} if activation_fn is None else {"activation_fn": activation_fn}


@slim.add_arg_scope
def expanded_conv(
    input_tensor: tf.Tensor,
    num_outputs: int,
    expansion_size: int | Callable[..., int] = expand_input_by_factor(6),  # noqa: B008 (it holds no state)
    stride: int = 1,
    rate: int = 1,
    kernel_size: int | Sequence[int] = (3, 3),
    residual: bool | Callable[..., tf.Tensor] = True,
    normalizer_fn: Callable[..., tf.Tensor] | None = None,
    split_projection: int = 1,
    split_expansion: int = 1,
    split_divisible_by: int = 8,
    expansion_transform: Callable[..., tf.Tensor] | None = None,
    depthwise_location: str | None = "expansion",
    depthwise_channel_multiplier: int = 1,
    endpoints: dict[str, tf.Tensor] | None = None,
    use_explicit_padding: bool = False,
    padding: str = "SAME",
    inner_activation_fn: Activation | None = None,
    depthwise_activation_fn: Activation | None = None,
    project_activation_fn: Activation | None = tf.identity,
    depthwise_fn: Callable[..., tf.Tensor] = slim.separable_conv2d,
    expansion_fn: Callable[..., tf.Tensor] = split_conv,
    projection_fn: Callable[..., tf.Tensor] = split_conv,
    scope: str | None = None,
    fused: bool = False,
) -> tf.Tensor:
    """An inverted residual block: a 1x1 expansion, a depthwise convolution, a linear 1x1 projection.

    Sandler et al. 2018, https://arxiv.org/abs/1801.04381

    Args:
      input_tensor: [batch, height, width, channels].
      num_outputs: channels of the result.
      expansion_size: channels between, or a function of `num_inputs` that tells them. There is no expansion where they
        are not more than the input's.
      stride, rate, kernel_size: of the depthwise convolution.
      residual: whether to add the input where stride and channels allow; or what to do instead, called as
        `residual(input_tensor=, output_tensor=)`.
      normalizer_fn: of all convolutions; None gives them biases.
      split_projection, split_expansion: number of groups of `split_conv`, and `split_divisible_by`, its `divisible_by`.
      expansion_transform: called as `expansion_transform(expansion_tensor=, input_tensor=)` before the projection.
      depthwise_location: where the depthwise convolution is: "expansion" (after it), "input" or "output" (there
        without activation), or None for nowhere.
      depthwise_channel_multiplier: depthwise filters for each channel.
      endpoints: gets `expansion_output`, `depthwise_output` and `projection_output`.
      use_explicit_padding: pad by hand and convolve VALID.
      padding: of the depthwise convolution.
      inner_activation_fn: of expansion and depthwise convolution; None for the arg scope's.
      depthwise_activation_fn: of the depthwise convolution, where another one.
      project_activation_fn: of the projection.
      depthwise_fn, expansion_fn, projection_fn: the layers.
      scope: variable scope; None for a unique `expanded_conv`.
      fused: one convolution with the block's kernel, stride and rate does for both expansion and depthwise convolution
        (`expansion_fn`, `depthwise_fn` and `depthwise_location` are then not looked at).

    Returns:
      [batch, height / stride, width / stride, num_outputs].

    Raises:
      ValueError: unknown `depthwise_location`; explicit padding with a padding other than SAME; a fused block with a
        stride and nothing to expand.
    """
    if depthwise_location not in (None, "input", "output", "expansion"):
        raise ValueError(f"depthwise_location must be input, output, expansion or None, not {depthwise_location!r}")
    if use_explicit_padding and padding.upper() != "SAME":
        raise ValueError(f"use_explicit_padding stands in for SAME padding; leave padding {padding!r} out")
    window = {"kernel_size": kernel_size, "stride": stride, "rate": rate}
    window["padding"] = "VALID" if use_explicit_padding else padding

    def keep(net: tf.Tensor, name: str) -> tf.Tensor:
        net = name_output(net, name)
        if endpoints is not None:
            endpoints[name] = net
        return net

    def convolve(layer: Callable[..., tf.Tensor], net: tf.Tensor, **options: Any) -> tf.Tensor:
        if use_explicit_padding:
            net = pad_for(net, kernel_size, rate)
        return layer(net, normalizer_fn=normalizer_fn, **window, **options)

    def depthwise(net: tf.Tensor, **options: Any) -> tf.Tensor:
        options.update(num_outputs=None, depth_multiplier=depthwise_channel_multiplier, scope="depthwise")
        return keep(convolve(depthwise_fn, net, **options), "depthwise_output")

    def expand(net: tf.Tensor, inner_size: int) -> tf.Tensor:
        if fused:
            net = convolve(slim.conv2d, net, num_outputs=inner_size, scope="expand")
        else:
            layer = _split(expansion_fn, split_expansion, split_divisible_by)
            net = layer(net, inner_size, scope="expand", normalizer_fn=normalizer_fn)
        return keep(net, "expansion_output")

    def project(net: tf.Tensor) -> tf.Tensor:
        # tf.identity is the customary way to say none; no op is needed for that.
        activation_fn = None if project_activation_fn is tf.identity else project_activation_fn
        layer = _split(projection_fn, split_projection, split_divisible_by)
        net = layer(net, num_outputs, scope="project", normalizer_fn=normalizer_fn, activation_fn=activation_fn)
        if endpoints is not None:
            endpoints["projection_output"] = net
        return net

    inner = _scoped_activation(inner_activation_fn)
    with (
        _v1.variable_scope(scope, "expanded_conv"),
        slim.arg_scope([slim.conv2d], **inner),
        slim.arg_scope([slim.separable_conv2d], **{**inner, **_scoped_activation(depthwise_activation_fn)}),
    ):
        net = input_tensor = tf.identity(input_tensor, name="input")
        channels = input_tensor.shape[3]
        inner_size = expansion_size(num_inputs=channels) if callable(expansion_size) else expansion_size
        location = None if fused else depthwise_location
        if location == "input":
            net = depthwise(net, activation_fn=None)
        if inner_size > net.shape[3]:
            net = expand(net, inner_size)
        elif fused and stride != 1:
            raise ValueError(f"a fused block with nothing to expand ({channels} channels) cannot have stride {stride}")
        if location == "expansion":
            net = depthwise(net)
        if expansion_transform is not None:
            net = expansion_transform(expansion_tensor=net, input_tensor=input_tensor)
        net = project(net)
        if location == "output":
            net = depthwise(net, activation_fn=None)
        if callable(residual):
            net = residual(input_tensor=input_tensor, output_tensor=net)
        elif residual and stride == 1 and net.shape[3] == channels:
            net = net + input_tensor
        return name_output(net, "output")


# -- pooling and attention -------------------------------------------------------------------------------------------


@slim.add_arg_scope
def reduce_to_1x1(
    input_tensor: tf.Tensor,
    default_size: int = 7,
    stride: int = 1,
    rate: int = 1,
    use_explicit_padding: bool = False,
    skip: bool = False,
    **kwargs: Any,
) -> tf.Tensor:
    """Averages over the whole map where it is square, else over windows of `default_size` at most.

    Args:
      input_tensor: [batch, height, width, channels]. Where height or width is unknown, both must be at least
        `default_size` when the network runs.
      default_size: side of the window over a map that is not square or of unknown size.
      stride: of the window.
      rate, use_explicit_padding: of no meaning here; taken because a network tells all its layers.
      skip: leave the map as it is, for a network that answers in many places.
      **kwargs: for `avg_pool2d`.
    """
    del rate, use_explicit_padding
    if skip:
        return input_tensor
    height, width = input_tensor.shape[1:3]
    square = height is not None and height == width
    kernel = (height, width) if square else reduced_kernel(input_tensor, (default_size, default_size))
    return slim.avg_pool2d(input_tensor, kernel, **{"stride": stride, "padding": "VALID", **kwargs})


@slim.add_arg_scope
def squeeze_excite(
    input_tensor: tf.Tensor,
    divisible_by: int = 8,
    squeeze_factor: float = 3,
    inner_activation_fn: Activation | None = tf.nn.relu,
    gating_fn: Activation | None = tf.sigmoid,
    squeeze_input_tensor: tf.Tensor | None = None,
    pool: int | Sequence[int] | None = None,
) -> tf.Tensor:
    """Squeeze and excitation: gates each channel by what the whole map shows.

    Hu et al. 2018, https://arxiv.org/abs/1709.01507. Variables are in the scope `squeeze_excite`, of the two 1x1
    convolutions `Conv` and `Conv_1`, with biases and without normalization.

    Args:
      input_tensor: [batch, height, width, channels].
      divisible_by: the channels between are a multiple of it.
      squeeze_factor: channels over channels between.
      inner_activation_fn: of the first convolution.
      gating_fn: of the second.
      squeeze_input_tensor: what to look at, None for the input itself.
      pool: side of the window (or height and width) to average over, at most the map's, with stride 1; the gates are
        then interpolated to the input's size. None averages over the whole map.

    Returns:
      A tensor of the input's shape.
    """
    with _v1.variable_scope("squeeze_excite"):
        looked_at = input_tensor if squeeze_input_tensor is None else squeeze_input_tensor
        if pool is None:
            gates = tf.reduce_mean(looked_at, [1, 2], keepdims=True)
        else:
            gates = slim.avg_pool2d(looked_at, reduced_kernel(looked_at, kernel_of(pool)), stride=1, padding="VALID")
        between = make_divisible(looked_at.shape[3] / squeeze_factor, divisible_by)
        for depth, activation_fn in ((between, inner_activation_fn), (input_tensor.shape[3], gating_fn)):
            gates = slim.conv2d(gates, depth, [1, 1], normalizer_fn=None, activation_fn=activation_fn)
        if pool is not None:
            size = input_tensor.shape[1:3]
            size = size.as_list() if size.is_fully_defined() else tf.shape(input_tensor)[1:3]
            # It comes back as float32 whatever goes in.
            resized = _v1.image.resize_bilinear(gates, size, align_corners=True)
            gates = tf.cast(resized, input_tensor.dtype)
        return input_tensor * gates
