"""TF-Slim's layer vocabulary over plain TensorFlow ops: `from nets import layers as slim` runs an old network file.

Names, defaults, variables, collections and op names are Slim's; what is ours is `call_context` and `training_step`.
Names that are not layers (regularizers, losses, collection helpers, `learning`, ...) are tf-slim's own, through
`nets.slim`.
"""

import sys
from typing import Any

from nets import initializers, slim
from nets.initializers import (
    variance_scaling_initializer,
    xavier_initializer,
    xavier_initializer_conv2d,
)
from nets.layer_ops.batch_norm import batch_norm
from nets.layer_ops.context import call_context, training_step
from nets.layer_ops.convolution import (
    conv1d,
    conv2d,
    conv3d,
    convolution,
    convolution1d,
    convolution2d,
    convolution3d,
)
from nets.layer_ops.dense import bias_add, elu, fully_connected, linear, relu, relu6
from nets.layer_ops.normalization import group_norm, instance_norm, layer_norm, unit_norm
from nets.layer_ops.pooling import avg_pool2d, avg_pool3d, max_pool2d, max_pool3d, pool
from nets.layer_ops.separable import (
    conv2d_in_plane,
    convolution2d_in_plane,
    separable_conv2d,
    separable_convolution2d,
)
from nets.layer_ops.shaping import dropout, flatten, one_hot_encoding, repeat, softmax, stack
from nets.layer_ops.transposed import (
    conv2d_transpose,
    conv3d_transpose,
    convolution2d_transpose,
    convolution3d_transpose,
)
from nets.slim import (
    add_arg_scope,
    add_model_variable,
    arg_scope,
    arg_scoped_arguments,
    current_arg_scope,
    filter_variables,
    get_model_variables,
    get_or_create_global_step,
    get_trainable_variables,
    get_variables,
    get_variables_to_restore,
    has_arg_scope,
    l1_l2_regularizer,
    l1_regularizer,
    l2_regularizer,
    losses,
    model_variable,
    utils,
    variable,
)

__all__ = [
    "add_arg_scope",
    "add_model_variable",
    "arg_scope",
    "arg_scoped_arguments",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "bias_add",
    "call_context",
    "conv1d",
    "conv2d",
    "conv2d_in_plane",
    "conv2d_transpose",
    "conv3d",
    "conv3d_transpose",
    "convolution",
    "convolution1d",
    "convolution2d",
    "convolution2d_in_plane",
    "convolution2d_transpose",
    "convolution3d",
    "convolution3d_transpose",
    "current_arg_scope",
    "dropout",
    "elu",
    "filter_variables",
    "flatten",
    "fully_connected",
    "get_model_variables",
    "get_or_create_global_step",
    "get_trainable_variables",
    "get_variables",
    "get_variables_to_restore",
    "group_norm",
    "has_arg_scope",
    "initializers",
    "instance_norm",
    "l1_l2_regularizer",
    "l1_regularizer",
    "l2_regularizer",
    "layer_norm",
    "layers",
    "linear",
    "losses",
    "max_pool2d",
    "max_pool3d",
    "model_variable",
    "one_hot_encoding",
    "pool",
    "relu",
    "relu6",
    "repeat",
    "separable_conv2d",
    "separable_convolution2d",
    "softmax",
    "stack",
    "training_step",
    "unit_norm",
    "utils",
    "variable",
    "variance_scaling_initializer",
    "xavier_initializer",
    "xavier_initializer_conv2d",
]

# Old files also write `slim.layers.conv2d`.
layers = sys.modules[__name__]


def __getattr__(name: str) -> Any:
    return getattr(slim, name)
