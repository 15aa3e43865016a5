"""The machinery of MobileNet v2 and v3: networks built from definitions.

A definition is a dictionary:

    {
        "defaults": {(slim.conv2d, slim.separable_conv2d): {"activation_fn": tf.nn.relu6}, ...},
        "spec": [op(slim.conv2d, stride=2, num_outputs=32, kernel_size=[3, 3]), op(expanded_conv, num_outputs=16), ...],
        "overrides": {(expanded_conv,): {"split_expansion": 2}},
    }

`spec` lists the layers. `defaults` are arguments of arg-scoped functions, win over the arg scopes around the network
and lose against a layer's own; `overrides` (optional) win over `defaults`. To change a published definition, change a
copy: `copy.deepcopy(mobilenet_v2.V2_DEF)`.
"""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from nets import layers as slim
from nets.blocks import EndPoints, Outputs, StrideBudget, check_final_endpoint, squeeze_map, truncated_normal
from nets.mobilenet import conv_blocks
from nets.mobilenet.conv_blocks import make_divisible

__all__ = [
    "Op",
    "depth_multiplier",
    "global_pool",
    "make_divisible",
    "mobilenet",
    "mobilenet_base",
    "op",
    "safe_arg_scope",
    "training_scope",
    "wrapped_partial",
]

_v1 = tf.compat.v1

Definition = Mapping[str, Any]
Defaults = Mapping[tuple, Mapping[str, Any]] | Sequence[tuple[tuple, Mapping[str, Any]]]
# (the layer's parameters, multiplier): changes the parameters in place, or returns others.
MultiplierFn = Callable[[dict[str, Any], float], Mapping[str, Any] | None]


# -- definitions -----------------------------------------------------------------------------------------------------


@slim.add_arg_scope
def depth_multiplier(
    output_params: dict[str, Any], multiplier: float, divisible_by: int = 8, min_depth: int = 8, **_: Any
) -> None:
    """Rescales `output_params["num_outputs"]`, if it is there, in place.

    Args:
      output_params: a layer's parameters.
      multiplier: of its channels.
      divisible_by: the product is rounded to a multiple of it.
      min_depth: the least that comes out.
    """
    if "num_outputs" in output_params:
        scaled = output_params["num_outputs"] * multiplier
        output_params["num_outputs"] = make_divisible(scaled, divisible_by, min_depth)


class Op(NamedTuple):
    """One layer of a definition: `op(net, **params)`, its params rescaled by `multiplier_func`."""

    op: Callable[..., tf.Tensor]
    params: dict[str, Any]
    multiplier_func: MultiplierFn


def op(opfunc: Callable[..., tf.Tensor], multiplier_func: MultiplierFn = depth_multiplier, **params: Any) -> Op:
    """Describes a layer.

    Args:
      opfunc: called as `opfunc(net, **params)`. It must take a `rate` if it has a kernel other than 1x1 and comes after
        the output stride, and `use_explicit_padding` if it has a kernel inside.
      multiplier_func: called as `multiplier_func(params, multiplier)` on a copy of the params, for the network's depth
        multiplier; changes them in place, or returns others.
      **params: for `opfunc`; `stride`, `kernel_size` and `num_outputs` mean what they do for `conv2d`.
    """
    return Op(opfunc, params, multiplier_func)


def wrapped_partial(
    func: Callable[..., Any], new_defaults: Mapping[str, Any] | None = None, **kwargs: Any
) -> Callable[..., Any]:
    """`func` with other defaults and its own doc string; arguments of a call, by keyword or position, win over them."""
    defaults = {**(new_defaults or {}), **kwargs}
    signature = inspect.signature(func)
    names = tuple(signature.parameters)

    def wrapped(*args: Any, **call: Any) -> Any:
        given = names[: len(args)]
        return func(*args, **{**{name: value for name, value in defaults.items() if name not in given}, **call})

    functools.update_wrapper(wrapped, func, updated=())
    del wrapped.__wrapped__  # through it tf.function finds the function's own defaults, and fills them in
    wrapped.__signature__ = signature.replace(
        parameters=[
            parameter.replace(default=defaults.get(name, parameter.default))
            for name, parameter in signature.parameters.items()
        ]
    )
    return wrapped


# -- scopes ----------------------------------------------------------------------------------------------------------


def safe_arg_scope(funcs: Sequence[Callable[..., Any]], **kwargs: Any) -> contextlib.AbstractContextManager:
    """`arg_scope` that leaves out arguments that are None, and does nothing where all are."""
    given = {name: value for name, value in kwargs.items() if value is not None}
    return slim.arg_scope(funcs, **given) if given else contextlib.nullcontext()


@contextlib.contextmanager
def _arg_scopes(*many_defaults: Defaults) -> Iterator[None]:
    """The arg scopes of a definition, later ones inside earlier ones."""
    with contextlib.ExitStack() as stack:
        for defaults in many_defaults:
            for functions, arguments in dict(defaults).items():
                stack.enter_context(slim.arg_scope(functions, **arguments))
        yield


@contextlib.contextmanager
def _scope_all(scope: str | _v1.VariableScope | None, default_name: str) -> Iterator[None]:
    """A variable scope; one that is entered again keeps its name scope, so that op names do not repeat it."""
    if isinstance(scope, _v1.VariableScope):
        with _v1.variable_scope(scope, auxiliary_name_scope=False), tf.name_scope(scope.original_name_scope):
            yield
    else:
        with _v1.variable_scope(scope, default_name):
            yield


def training_scope(
    is_training: bool | None = True,
    weight_decay: float | None = 0.00004,
    stddev: float | None = 0.09,
    dropout_keep_prob: float | None = 0.8,
    bn_decay: float | None = 0.997,
) -> Any:
    """Arg scope of MobileNet v2 and v3. Arguments that are None are left unset.

    Args:
      is_training: mode of the networks, their batch norm and dropout, where a network is not told its own.
      weight_decay: L2 scale of convolutions' weights; depthwise ones have none, for they are few.
      stddev: of the truncated normal that weights start from; negative for Xavier's initializer.
      dropout_keep_prob: share of the features that dropout keeps.
      bn_decay: of batch norm's moving averages.
    """
    initializer = regularizer = None
    if stddev is not None:
        initializer = slim.xavier_initializer() if stddev < 0 else truncated_normal(stddev)
    if weight_decay is not None:
        regularizer = slim.l2_regularizer(weight_decay)
    layers = [slim.conv2d, slim.fully_connected, slim.separable_conv2d]
    with (
        slim.arg_scope(layers, normalizer_fn=slim.batch_norm),
        safe_arg_scope(layers, weights_initializer=initializer),
        slim.arg_scope([mobilenet_base, mobilenet], is_training=is_training),
        safe_arg_scope([slim.batch_norm], decay=bn_decay, is_training=is_training),
        safe_arg_scope([slim.dropout], keep_prob=dropout_keep_prob, is_training=is_training),
        safe_arg_scope([slim.conv2d], weights_regularizer=regularizer),
        slim.arg_scope([slim.separable_conv2d], weights_regularizer=None) as scope,
    ):
        return scope


# -- networks --------------------------------------------------------------------------------------------------------


def _takes(function: Callable[..., Any], argument: str) -> bool:
    return argument in inspect.signature(function).parameters


def _rescaled(layer: Op, multiplier: float) -> dict[str, Any]:
    params = dict(layer.params)
    others = layer.multiplier_func(params, multiplier)
    return params if others is None else dict(others)


def _set_stride(layer: Op, params: dict[str, Any], budget: StrideBudget) -> None:
    """Trades the layer's stride for an atrous rate where the output stride is reached."""
    own_stride = params.get("stride", 1)
    stride, rate = budget.spend(own_stride)
    if stride != own_stride:
        params["stride"] = stride
        # What has a stride has no residual; it must not get one, that its weights know nothing of, when it loses it.
        if _takes(layer.op, "residual") and not callable(params.get("residual")):
            params["residual"] = False
    if rate > 1 and conv_blocks.kernel_of(params.get("kernel_size", 3)) != (1, 1):
        params["rate"] = rate * params.get("rate", 1)


def _pad_explicitly(layer: Op, params: dict[str, Any], net: tf.Tensor) -> tf.Tensor:
    """Pads the input of a plain convolution; tells any other layer to do it where it is needed."""
    if _takes(layer.op, "use_explicit_padding") or "kernel_size" not in params:
        params["use_explicit_padding"] = True
        return net
    return conv_blocks.pad_for(net, params["kernel_size"], params.get("rate", 1))


@slim.add_arg_scope
def mobilenet_base(
    inputs: tf.Tensor,
    conv_defs: Definition,
    multiplier: float = 1.0,
    final_endpoint: str | None = None,
    output_stride: int | None = None,
    use_explicit_padding: bool = False,
    scope: str | _v1.VariableScope | None = None,
    is_training: bool | None = False,
) -> Outputs:
    """Builds the layers of a definition.

    Args:
      inputs: float32 [batch, height, width, channels].
      conv_defs: the definition; see the top of this module.
      multiplier: given to the layers' multiplier functions, > 0; by default it scales all channels.
      final_endpoint: last layer to build, `layer_1` ... `layer_n`; None for all.
      output_stride: ratio of the image's side to the last map's, 1 or even; None for the network's own. Strides after
        it become atrous rates, with the same weights.
      use_explicit_padding: pad by hand and convolve VALID, so that a map's pixels lie on the same image pixels for even
        and odd sizes.
      scope: variable scope, by default a unique `Mobilenet`.
      is_training: batch norm in training mode; None leaves it to the arg scopes around.

    Returns:
      (the last layer's output, end points). These are the layers, `layer_1` ..., and then the named outputs inside
      them: `layer_<i>/expansion_output`, `layer_<i>/depthwise_output`, `layer_<i>/output` (see
      `conv_blocks.name_output`).

    Raises:
      ValueError: `multiplier` <= 0, an `output_stride` that is odd or cannot be reached, unknown `final_endpoint`.
    """
    if multiplier <= 0:
        raise ValueError(f"multiplier must be greater than zero, not {multiplier}")
    if output_stride is not None and output_stride != 1 and (output_stride <= 0 or output_stride % 2):
        raise ValueError(f"output_stride must be 1, a multiple of 2 or None, not {output_stride}")
    names = [f"layer_{i}" for i in range(1, len(conv_defs["spec"]) + 1)]
    if final_endpoint is not None:
        check_final_endpoint(final_endpoint, names)
    overrides = [conv_defs.get("overrides", {})]
    if use_explicit_padding:
        overrides.append({(slim.conv2d, slim.separable_conv2d): {"padding": "VALID"}})

    net, end_points, details = inputs, EndPoints(), EndPoints()
    budget = StrideBudget(output_stride)
    with (
        _scope_all(scope, "Mobilenet"),
        safe_arg_scope([slim.batch_norm], is_training=is_training),
        _arg_scopes(conv_defs.get("defaults", {}), *overrides),
    ):
        for name, layer in zip(names, conv_defs["spec"], strict=True):
            params = _rescaled(layer, multiplier)
            _set_stride(layer, params, budget)
            if use_explicit_padding:
                net = _pad_explicitly(layer, params, net)
            with conv_blocks.collect_outputs() as outputs:
                net = end_points[name] = layer.op(net, **params)
            details.update({f"{name}/{output}": tensor for output, tensor in outputs.items()})
            if name == final_endpoint:
                break
    return net, {**end_points, **details}


def global_pool(
    input_tensor: tf.Tensor,
    use_reduce_mean_for_pooling: bool = False,
    pool_op: Callable[..., tf.Tensor] = _v1.nn.avg_pool2d,
) -> tf.Tensor:
    """Pools over the whole map: [batch, height, width, channels] -> [batch, 1, 1, channels].

    Args:
      input_tensor: what to pool.
      use_reduce_mean_for_pooling: take the mean in an op called `ReduceMean`, which some converters like better.
      pool_op: TensorFlow's pooling function, where height and width are known; elsewhere it is the mean.
    """
    if use_reduce_mean_for_pooling:
        return tf.reduce_mean(input_tensor, [1, 2], keepdims=True, name="ReduceMean")
    height, width = input_tensor.shape[1:3]
    if height is None or width is None:
        if pool_op is not _v1.nn.avg_pool2d:
            raise ValueError(f"pool_op needs a map of known size, found shape {input_tensor.shape}")
        return tf.reduce_mean(input_tensor, [1, 2], keepdims=True, name="AvgPool")
    return pool_op(input_tensor, [1, height, width, 1], [1, 1, 1, 1], "VALID")


def _logits(net: tf.Tensor, num_classes: int, is_training: bool | None, spatial_squeeze: bool) -> tf.Tensor:
    mode = {} if is_training is None else {"is_training": is_training}
    net = slim.dropout(net, scope="Dropout", **mode)
    logits = slim.conv2d(
        net,
        num_classes,
        [1, 1],
        activation_fn=None,
        normalizer_fn=None,
        biases_initializer=_v1.zeros_initializer(),
        scope="Conv2d_1c_1x1",
    )
    if spatial_squeeze:
        logits = squeeze_map(logits, "Squeeze")
    return tf.identity(logits, name="output")


@slim.add_arg_scope
def mobilenet(
    inputs: tf.Tensor,
    num_classes: int | None = 1001,
    prediction_fn: Callable[..., tf.Tensor] | None = slim.softmax,
    reuse: bool | None = None,
    scope: str | _v1.VariableScope | None = "Mobilenet",
    base_only: bool = False,
    use_reduce_mean_for_pooling: bool = False,
    spatial_squeeze: bool = True,
    global_pool: bool = True,
    **mobilenet_args: Any,
) -> Outputs:
    """A MobileNet with its classifier.

    `spatial_squeeze=False, global_pool=False` gives a map of logits for images of any size, as dense as `output_stride`
    asks for; the pooling layer that v3 has before its last convolution is then left out.

    Args:
      inputs: float32 [batch, height, width, channels].
      num_classes: 0 or None returns the features, `global_pool`.
      prediction_fn: makes probabilities of logits, called as `prediction_fn(logits, scope)`; None makes none.
      reuse: whether the variables exist already.
      scope: variable scope.
      base_only: return the base's outputs, without pooling and classifier.
      use_reduce_mean_for_pooling: see `global_pool`.
      spatial_squeeze: drop the logits' two axes of size one.
      global_pool: average over the whole map.
      **mobilenet_args: for `mobilenet_base`: conv_defs, multiplier, final_endpoint, output_stride,
        use_explicit_padding, is_training (False where neither it nor `training_scope` says otherwise).

    Returns:
      (logits [batch, num_classes], end points of the base, `global_pool` [batch, 1, 1, channels], `Logits`,
      `Predictions`). Dropout keeps 0.8 in `training_scope`, Slim's 0.5 without it.

    Raises:
      ValueError: inputs not of rank 4, or what `mobilenet_base` refuses.
    """
    if inputs.shape.rank != 4:
        raise ValueError(f"expected images of rank 4, [batch, height, width, channels], found shape {inputs.shape}")
    with _v1.variable_scope(scope, "Mobilenet", reuse=reuse) as variable_scope:
        inputs = tf.identity(inputs, name="input")
        with safe_arg_scope([conv_blocks.reduce_to_1x1], skip=None if global_pool else True):
            net, end_points = mobilenet_base(inputs, scope=variable_scope, **mobilenet_args)
        if base_only:
            return net, end_points
        net = tf.identity(net, name="embedding")
        with _v1.variable_scope("Logits"):
            if global_pool:
                net = end_points["global_pool"] = _global_pool(net, use_reduce_mean_for_pooling)
            if not num_classes:
                return net, end_points
            logits = _logits(net, num_classes, mobilenet_args.get("is_training", False), spatial_squeeze)
        end_points["Logits"] = logits
        if prediction_fn:
            end_points["Predictions"] = prediction_fn(logits, "Predictions")
    return logits, end_points


_global_pool = global_pool  # inside `mobilenet` the name is an argument's
