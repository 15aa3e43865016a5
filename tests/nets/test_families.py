"""What every family promises, on its smallest member."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from nets import inception_v1, inception_v3, mobilenet_v1, nets_factory, registry

v1 = tf.compat.v1

# name: (image size, further arguments, shape of the features). Small enough to be quick.
FAMILIES = {
    "linear": (32, {}, [32 * 32 * 3]),
    "lenet": (28, {}, [1024]),
    "cifarnet": (32, {}, [192]),
    "alexnet_v2": (224, {}, [1, 1, 4096]),
    "overfeat": (231, {}, [1, 1, 4096]),
    "vgg_a": (64, {"fc_conv_padding": "SAME", "global_pool": True}, [1, 1, 4096]),
    "inception_v1": (64, {"global_pool": True}, [1, 1, 1024]),
    "inception_v2": (64, {"depth_multiplier": 0.25}, [1, 1, 256]),
    "inception_v3": (139, {"depth_multiplier": 0.1}, [1, 1, 32 + 4 * 38 + 19]),
    "inception_v4": (107, {}, [1, 1, 1536]),
    "inception_resnet_v2": (107, {}, [1, 1, 1536]),
    "i3d": (32, {}, [1, 1, 1, 1024]),
    "s3dg": (32, {"depth_multiplier": 0.25}, [1, 1, 1, 256]),
    "resnet_v1_50": (64, {"depth_multiplier": 0.25}, [1, 1, 512]),
    "resnet_v2_50": (64, {}, [1, 1, 2048]),
    "mobilenet_v1_025": (64, {}, [1, 1, 256]),
    "mobilenet_v2_035": (64, {}, [1, 1, 1280]),
    "mobilenet_v3_small": (64, {}, [1, 1, 1024]),
    "nasnet_cifar": (32, {}, [768]),
    "pnasnet_mobile": (160, {}, [1080]),
}
# Tens of millions of weights, or thousands of ops: built here, not run.
HEAVY = {"alexnet_v2", "overfeat", "vgg_a", "inception_v4", "inception_resnet_v2", "nasnet_cifar", "pnasnet_mobile"}

each_family = pytest.mark.parametrize("name", FAMILIES)
each_light_family = pytest.mark.parametrize("name", sorted(set(FAMILIES) - HEAVY))


@functools.cache
def channels(name):
    return registry.get(name).channels


def space(name):
    """Frames (of clips), height and width."""
    size = FAMILIES[name][0]
    return (*((8,) if registry.get(name).video else ()), size, size)


def build(name, num_classes, is_training, batch=2, **kwargs):
    options = FAMILIES[name][1]
    images = tf.random.stateless_uniform([batch, *space(name), channels(name)], [1, 2], -1.0, 1.0)
    return nets_factory.get_network_fn(name, num_classes, is_training=is_training)(images, **{**options, **kwargs})


def test_every_family_is_here():
    modules = {record.function.__module__ for record in registry.records()}
    assert modules == {registry.get(name).function.__module__ for name in FAMILIES}


@pytest.mark.parametrize(("name", "num_classes"), [*((name, None) for name in FAMILIES), ("lenet", 0), ("vgg_a", 0)])
def test_without_classes_the_features_come_back_and_no_head_is_built(graph, name, num_classes):
    net, end_points = build(name, num_classes, is_training=False)
    record = registry.get(name)
    assert net.shape == [2, *FAMILIES[name][2]]
    features = "global_pool" if "global_pool" in FAMILIES[name][1] else record.features
    if record.video:
        features = "AvgPool_0a_7x7"
    assert end_points[features] is net
    assert list(end_points)[-1] == features
    names = [variable.name for variable in v1.global_variables()]
    assert not any(variable.startswith(tuple(f"{scope}/" for scope in record.head_scopes)) for variable in names)


@each_family
def test_every_trainable_variable_gets_a_gradient(graph, run, name):
    logits, end_points = build(name, 3, is_training=True, batch=4)
    labels = [0, 1, 2, 0]
    heads = [logits, *(value for key, value in end_points.items() if key == "AuxLogits")]
    losses = [tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=head) for head in heads]
    variables = v1.trainable_variables()
    gradients = v1.gradients(losses, variables)
    assert [variable.name for variable, gradient in zip(variables, gradients, strict=True) if gradient is None] == []
    if name not in HEAVY:
        norms = run([tf.norm(gradient) for gradient in gradients])
        zero = [v.name for v, norm in zip(variables, norms, strict=True) if not (np.isfinite(norm) and norm > 0)]
        assert zero == []


@each_light_family
def test_evaluation_is_deterministic_and_training_is_not(graph, run, name):
    """Dropout and batch statistics belong to training alone."""
    with v1.variable_scope("", reuse=v1.AUTO_REUSE):
        evaluation, _ = build(name, 3, is_training=False)
        training, _ = build(name, 3, is_training=True)
    np.testing.assert_array_equal(run(evaluation), run(evaluation))
    if name != "linear":
        assert not np.allclose(run(evaluation), run(training))


@each_family
def test_batch_size_may_be_unknown_and_scope_renames_every_variable(graph, name):
    options = FAMILIES[name][1]
    images = v1.placeholder(tf.float32, [None, *space(name), channels(name)])
    logits, _ = nets_factory.get_network_fn(name, 7)(images, scope="elsewhere", **options)
    assert logits.shape.as_list() == [None, 7]
    assert all(variable.name.startswith("elsewhere/") for variable in v1.global_variables())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("alexnet_v2", {"global_pool": True}),
        ("vgg_a", {"global_pool": True, "fc_conv_padding": "SAME"}),
        ("inception_v1", {"global_pool": True}),
        ("inception_v3", {"global_pool": True, "create_aux_logits": False}),
        ("resnet_v1_50", {}),
        ("resnet_v2_50", {}),
        ("mobilenet_v1_025", {"global_pool": True}),
    ],
)
def test_with_global_pool_height_and_width_may_be_unknown(graph, name, options):
    images = v1.placeholder(tf.float32, [None, None, None, 3])
    logits, _ = nets_factory.get_network_fn(name, 7)(images, **options)
    assert logits.shape.as_list() == [None, 7]


@pytest.mark.parametrize("name", ["vgg_a", "inception_v1", "inception_v3", "resnet_v1_50", "resnet_v2_50"])
def test_evaluation_can_reuse_the_variables_of_training(graph, name):
    build(name, 3, is_training=True)
    made = len(v1.global_variables())
    build(name, 3, is_training=False, reuse=True)
    assert len(v1.global_variables()) == made


@pytest.mark.parametrize("name", ["inception_v1", "mobilenet_v1_025", "inception_v3"])
def test_unsqueezed_logits_are_a_map(graph, name):
    logits, end_points = build(name, 3, is_training=False, spatial_squeeze=False)
    assert logits.shape == [2, 1, 1, 3]
    assert end_points["Predictions"].shape == [2, 1, 1, 3]


@pytest.mark.parametrize(
    ("base", "typed", "near"),
    [
        (inception_v1.inception_v1_base, "Mixed_5d", "Mixed_5c"),
        (inception_v3.inception_v3_base, "Mixed_8a", "Mixed_7a"),
        (mobilenet_v1.mobilenet_v1_base, "Conv2d_14_pointwise", "Conv2d_13_pointwise"),
    ],
)
def test_unknown_final_endpoint_lists_near_matches(graph, base, typed, near):
    with pytest.raises(ValueError, match=f"unknown final_endpoint '{typed}'; did you mean .*'{near}'"):
        base(v1.placeholder(tf.float32, [1, 224, 224, 3]), final_endpoint=typed)
    assert v1.global_variables() == [], "found out before anything is built"


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("vgg_a", "global_pool=True"),
        ("inception_v1", "global_pool=True"),
        ("inception_v3", "create_aux_logits=False"),
        ("mobilenet_v1_025", "global_pool=True"),
    ],
)
def test_a_classifier_that_answers_in_many_places_says_so(graph, name, remedy):
    images = v1.placeholder(tf.float32, [1, 640, 640, 3])
    with pytest.raises(ValueError, match=rf"a map of \d+x\d+, not one answer per image; use {remedy}"):
        nets_factory.get_network_fn(name, 3)(images)


@pytest.mark.parametrize("name", ["linear", "inception_v1", "lenet", "cifarnet", "mobilenet_v1_025"])
def test_prediction_fn_replaces_the_softmax(graph, run, name):
    logits, end_points = build(
        name, 3, is_training=False, prediction_fn=lambda logits, scope: tf.sigmoid(logits, name=scope)
    )
    np.testing.assert_allclose(*run([end_points["Predictions"], tf.sigmoid(logits)]))
