"""The one place that imports tf-slim: arg scopes, regularizers, variable and collection helpers, losses.

tf-slim's layers do not run on today's TensorFlow; ours are in `nets.layers`. What does run is taken from here, and
any other public name of tf-slim (`learning`, `evaluation`, `metrics`, `gdn`, ...) is found through `__getattr__`, so
that an old file reaches it by the name it always had.
"""

from typing import Any

import tf_slim
from tf_slim import (
    add_arg_scope,
    add_model_variable,
    apply_regularization,
    arg_scope,
    arg_scope_func_key,
    arg_scoped_arguments,
    assign_from_checkpoint,
    assign_from_checkpoint_fn,
    assign_from_values,
    assign_from_values_fn,
    create_global_step,
    current_arg_scope,
    dense_to_sparse,
    filter_variables,
    get_global_step,
    get_local_variables,
    get_model_variables,
    get_or_create_global_step,
    get_trainable_variables,
    get_unique_variable,
    get_variable_full_name,
    get_variables,
    get_variables_by_name,
    get_variables_by_suffix,
    get_variables_to_restore,
    global_variable,
    has_arg_scope,
    images_to_sequence,
    l1_l2_regularizer,
    l1_regularizer,
    l2_regularizer,
    legacy_fully_connected,
    legacy_linear,
    legacy_relu,
    local_variable,
    losses,
    maxout,
    model_variable,
    regularizers,
    scale_gradient,
    sequence_to_images,
    spatial_softmax,
    sum_regularizer,
    variable,
)
from tf_slim.layers import utils

__all__ = [
    "add_arg_scope",
    "add_model_variable",
    "apply_regularization",
    "arg_scope",
    "arg_scope_func_key",
    "arg_scoped_arguments",
    "assign_from_checkpoint",
    "assign_from_checkpoint_fn",
    "assign_from_values",
    "assign_from_values_fn",
    "create_global_step",
    "current_arg_scope",
    "dense_to_sparse",
    "filter_variables",
    "get_global_step",
    "get_local_variables",
    "get_model_variables",
    "get_or_create_global_step",
    "get_trainable_variables",
    "get_unique_variable",
    "get_variable_full_name",
    "get_variables",
    "get_variables_by_name",
    "get_variables_by_suffix",
    "get_variables_to_restore",
    "global_variable",
    "has_arg_scope",
    "images_to_sequence",
    "l1_l2_regularizer",
    "l1_regularizer",
    "l2_regularizer",
    "legacy_fully_connected",
    "legacy_linear",
    "legacy_relu",
    "local_variable",
    "losses",
    "maxout",
    "model_variable",
    "regularizers",
    "scale_gradient",
    "sequence_to_images",
    "spatial_softmax",
    "sum_regularizer",
    "utils",
    "variable",
]


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(tf_slim, name)
    except AttributeError:
        raise AttributeError(f"neither the project's layers nor tf-slim has {name!r}") from None
