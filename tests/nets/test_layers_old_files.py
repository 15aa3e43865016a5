"""Slim's own network files, those shipped inside tf-slim, run unchanged on our layers and give Slim's networks."""

import importlib.resources
import json
import re
import types
import zlib

import numpy as np
import pytest
import tensorflow as tf

from nets import layers

v1 = tf.compat.v1

# What an old file writes in its import lines, and what a person changes it to.
NEW_IMPORTS = {
    "from tf_slim import layers": "from nets import layers",
    "from tf_slim.layers import": "from nets.layers import",
    "from tf_slim.ops.arg_scope import": "from nets.layers import",
}


def load(name, **modules):
    """A network file of tf-slim as a module that knows our layers only; `modules` stand for its siblings."""
    source = importlib.resources.files("tf_slim").joinpath(f"nets/{name}.py").read_text()
    for old, new in NEW_IMPORTS.items():
        source = source.replace(old, new)
    for sibling in modules:
        source = source.replace(f"from tf_slim.nets import {sibling}", "")
    assert not re.search("^(from|import) tf_slim", source, re.MULTILINE)
    module = types.ModuleType(name)
    vars(module).update(modules)
    exec(compile(source, f"{name}.py", "exec"), vars(module))
    return module


def weights(name, shape):
    """The goldens' recipe for weights (README beside them)."""
    values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
    kind = name.rpartition("/")[2]
    if kind == "gamma":
        return 1 + 0.1 * values
    if kind == "moving_variance":
        return 1 + 0.2 * np.abs(values)
    if kind in ("beta", "biases", "moving_mean"):
        return 0.05 * values
    return values * np.sqrt(2 / np.prod(shape[:2] if kind == "depthwise_weights" else shape[:-1]))


NETWORKS = {
    "alexnet_v2": ("alexnet", "alexnet_v2_arg_scope", False),
    "overfeat": ("overfeat", "overfeat_arg_scope", False),
    "vgg_16": ("vgg", "vgg_arg_scope", False),
    "inception_v1": ("inception_v1", "inception_v1_arg_scope", True),
    "inception_v2": ("inception_v2", "inception_v2_arg_scope", True),
    "inception_v3": ("inception_v3", "inception_v3_arg_scope", False),
    "resnet_v1_50": ("resnet_v1", "resnet_arg_scope", True),
    "resnet_v2_50": ("resnet_v2", "resnet_arg_scope", False),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_old_file_builds_the_golden_network(name, shared_data):
    golden = json.loads((shared_data.parent / "goldens" / f"{name}.json").read_text())
    file, scope_name, run = NETWORKS[name]
    utils = load("resnet_utils") if file.startswith("resnet") else None
    module = load(file, **({"resnet_utils": utils} if utils else {}))
    shape = golden["input"]["shape"]
    image = np.random.RandomState(golden["input"]["seed"]).uniform(-1, 1, shape).astype(np.float32)
    arg_scope = getattr(utils or module, scope_name)(weight_decay=golden["weight_decay"])
    function = getattr(module, name)
    with tf.Graph().as_default():
        inputs = tf.constant(image)
        with layers.arg_scope(arg_scope):
            function(inputs, golden["num_classes"], is_training=True)
        variables, trained = layers.get_model_variables(), set(v1.trainable_variables())
        made = [{"name": v.op.name, "shape": v.shape.as_list(), "trainable": v in trained} for v in variables]
        losses = v1.get_collection(v1.GraphKeys.REGULARIZATION_LOSSES)
        assert made == golden["variables"]
        assert len(v1.get_collection(v1.GraphKeys.UPDATE_OPS)) == golden["num_update_ops"]
        assert len(losses) == golden["num_regularization_losses"]
        if not run:
            return
        with layers.arg_scope(arg_scope):
            logits, _ = function(inputs, golden["num_classes"], is_training=False, reuse=True)
        with v1.Session() as session:
            session.run([v.assign(weights(v.op.name, v.shape.as_list())) for v in variables])
            logits, loss = session.run([logits, tf.add_n(losses)])
    expected = np.array(golden["eval_logits"])
    np.testing.assert_allclose(logits.reshape(expected.shape), expected, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(loss, golden["regularization_loss"], rtol=1e-5)


# fmt: off
SLIM_NAMES = [
    "add_arg_scope", "add_model_variable", "apply_regularization", "arg_scope", "arg_scope_func_key",
    "arg_scoped_arguments", "assign_from_checkpoint_fn", "create_global_step", "current_arg_scope",
    "filter_variables", "get_global_step", "get_local_variables", "get_model_variables",
    "get_or_create_global_step", "get_trainable_variables", "get_unique_variable",
    "get_variable_full_name", "get_variables", "get_variables_by_name", "get_variables_by_suffix",
    "get_variables_to_restore", "global_variable", "has_arg_scope", "initializers", "l1_l2_regularizer",
    "l1_regularizer", "l2_regularizer", "layers", "learning", "local_variable", "losses", "maxout",
    "metrics", "model_variable", "regularizers", "scale_gradient", "spatial_softmax", "sum_regularizer",
    "summaries", "tfexample_decoder", "utils", "variable", "variance_scaling_initializer",
    "xavier_initializer", "xavier_initializer_conv2d",
]
# fmt: on


@pytest.mark.parametrize("name", SLIM_NAMES)
def test_every_name_an_old_file_uses_is_there(name):
    assert getattr(layers, name) is not None


def test_a_name_that_slim_never_had_is_an_attribute_error():
    with pytest.raises(AttributeError, match="conv2D"):
        _ = layers.conv2D
