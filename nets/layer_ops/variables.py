"""Variables as Slim makes them: through `get_variable`, in Slim's collections, regularized under Slim's op names."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from nets import slim

_v1 = tf.compat.v1
_MODEL = (_v1.GraphKeys.GLOBAL_VARIABLES, _v1.GraphKeys.MODEL_VARIABLES)
_SCOPED_KEYS = (slim.arg_scope_func_key(slim.model_variable), slim.arg_scope_func_key(slim.variable))

Collections = str | Sequence[str] | Mapping[str, str | Sequence[str]] | None


def extra_collections(variables_collections: Collections, kind: str) -> list[str]:
    """The collections asked for a variable of `kind` ("weights", "biases", "beta", ...)."""
    if isinstance(variables_collections, Mapping):
        variables_collections = variables_collections.get(kind)
    if not variables_collections:
        return []
    return [variables_collections] if isinstance(variables_collections, str) else list(variables_collections)


class _NamedRegularizer:
    """A regularizer whose ops are named `<scope>/Regularizer/...`, computed once for a variable in a plain graph.

    `get_variable` calls a regularizer up to three times, once only to see whether it returns None, and each call would
    put its ops into the graph. Inside functions nothing is kept: a gradient tape must see the loss being computed, and
    each replica needs the loss of its own copy.
    """

    def __init__(self, regularizer: Callable[[Any], Any], scope: str) -> None:
        self._regularizer, self._scope = regularizer, scope
        self._graph = self._variable = self._loss = None

    def __call__(self, variable: Any) -> Any:
        if tf.executing_eagerly():
            return self._regularizer(variable)
        graph = _v1.get_default_graph()
        if graph.building_function or tf.distribute.has_strategy():
            return self._named(variable)
        if self._graph is not graph or self._variable is not variable:
            self._loss = self._named(variable)
            self._graph, self._variable = graph, variable
        return self._loss

    def _named(self, variable: Any) -> Any:
        with tf.name_scope(f"{self._scope}/Regularizer/"):
            return self._regularizer(variable)


def model_variable(
    name: str,
    shape: Sequence[int],
    dtype: tf.DType,
    initializer: Any,
    regularizer: Callable[[Any], Any] | None = None,
    trainable: bool = True,
    collections: Sequence[str] = (),
    regularizer_scope: str | None = None,
    **arguments: Any,
) -> Any:
    """Creates or reuses a model variable in the current variable scope.

    Args:
      name: last part of the variable's name.
      shape, dtype, initializer, regularizer, trainable: as `tf.compat.v1.get_variable` has them.
      collections: further collections beside those of global and model variables.
      regularizer_scope: full name scope of the regularizer's ops; None: TensorFlow's, named after the variable.
      **arguments: `synchronization` and `aggregation`.

    Returns:
      What the variable scope's getter returns: a variable, or whatever a custom getter makes of it.
    """
    if regularizer is not None and regularizer_scope is not None:
        regularizer = _NamedRegularizer(regularizer, regularizer_scope)
    scoped = slim.current_arg_scope()
    if scoped and (_SCOPED_KEYS[0] in scoped or _SCOPED_KEYS[1] in scoped):
        # Someone set defaults (a device, as model_deploy does) on Slim's own function: only it knows them.
        return slim.model_variable(
            name, shape, dtype, initializer, regularizer, trainable, list(collections), **arguments
        )
    return _v1.get_variable(
        name,
        shape,
        dtype,
        initializer,
        regularizer,
        trainable,
        [*_MODEL, *collections],
        # Reference variables, which old programs switch back on, have no defined order of reads and updates.
        use_resource=True,
        **arguments,
    )


def moving_variable(
    name: str, shape: Sequence[int], dtype: tf.DType, initializer: Any, collections: Sequence[str] = ()
) -> Any:
    """A statistic: not trained, kept per replica and averaged over replicas when read from outside."""
    return model_variable(
        name,
        shape,
        dtype,
        initializer,
        None,
        False,
        collections,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.MEAN,
    )
