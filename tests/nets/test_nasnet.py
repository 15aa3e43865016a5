"""NASNet-A and PNASNet-5: what the original's unit tests fix, and the options."""

import math

import numpy as np
import pytest
import tensorflow as tf

from nets import layers as slim
from nets import nets_factory, registry
from nets.nasnet import nasnet, nasnet_utils, pnasnet
from nets.network import Network

v1 = tf.compat.v1

CONFIGS = {
    "nasnet_cifar": nasnet.cifar_config,
    "nasnet_mobile": nasnet.mobile_imagenet_config,
    "nasnet_large": nasnet.large_imagenet_config,
    "pnasnet_mobile": pnasnet.mobile_imagenet_config,
    "pnasnet_large": pnasnet.large_imagenet_config,
}
FAMILIES = ("nasnet_cifar", "nasnet_mobile", "pnasnet_mobile")  # one of each kind of stack
STOPPABLE = ("nasnet_mobile", "pnasnet_mobile")
SMALLEST = {"nasnet_cifar": 9, "nasnet_mobile": 67, "pnasnet_mobile": 67}  # pixels for an auxiliary head

each_family = pytest.mark.parametrize("name", FAMILIES)


def small(name, **changes):
    """A config of three cells (NASNet: and two reductions) with four filters."""
    config = CONFIGS[name]()
    few = {"num_conv_filters": 4, "num_cells": 3, "stem_multiplier": 0.25, "total_training_steps": 100}
    for key, value in {**few, **changes}.items():
        config.set_hparam(key, value)
    return config


def images(*shape):
    return v1.placeholder(tf.float32, shape)


def build(name, inputs=None, is_training=False, num_classes=5, changes=(), **kwargs):
    """A small network whose config is changed so; images are of the smallest size by default."""
    if inputs is None:
        inputs = images(2, SMALLEST[name], SMALLEST[name], 3)
    function = nets_factory.get_network_fn(name, num_classes, is_training=is_training)
    return function(inputs, config=small(name, **dict(changes)), **kwargs)


def sketch(name, inputs=None, is_training=True, **kwargs):
    """As `build`, but the variables are placeholders, which is faster: (result, end points, {variable: shape})."""
    shapes = {}

    def getter(getter, name, shape, dtype, **unused):
        shapes[name] = list(shape)
        return v1.placeholder(dtype, shape)

    def still(_, is_training, decay):
        return is_training, 1.0  # no updates

    with (
        v1.variable_scope(v1.get_variable_scope(), custom_getter=getter),
        slim.call_context(batch_norm=still, step=tf.constant(0)),
    ):
        return *build(name, inputs, is_training, **kwargs), shapes


def noise(*shape):
    return np.random.RandomState(3).uniform(-1, 1, shape).astype(np.float32)


# -- configs and arg scopes ------------------------------------------------------------------------------------------


def test_config_fields_can_be_set_and_a_wrong_one_is_told():
    config = nasnet.mobile_imagenet_config()
    config.use_aux_head = 0
    config.set_hparam("num_cells", 6)
    assert (config.use_aux_head, config.num_cells, config.values()["num_cells"]) == (0, 6, 6)
    with pytest.raises(ValueError, match="unknown hyperparameter 'use_aux'; did you mean 'use_aux_head'"):
        config.set_hparam("use_aux", 0)
    with pytest.raises(AttributeError):
        config.use_aux = 0
    assert nasnet.mobile_imagenet_config().num_cells == 12, "each call makes a new one"


@pytest.mark.parametrize(
    ("scope_function", "weight_decay", "decay", "epsilon"),
    [
        (nasnet.nasnet_cifar_arg_scope, 5e-4, 0.9, 1e-5),
        (nasnet.nasnet_mobile_arg_scope, 4e-5, 0.9997, 1e-3),
        (nasnet.nasnet_large_arg_scope, 5e-5, 0.9997, 1e-3),
        (pnasnet.pnasnet_mobile_arg_scope, 4e-5, 0.9997, 1e-3),
        (pnasnet.pnasnet_large_arg_scope, 4e-5, 0.9997, 1e-3),
    ],
)
def test_arg_scopes(graph, run, scope_function, weight_decay, decay, epsilon):
    with slim.arg_scope(scope_function()) as scope:
        net = slim.separable_conv2d(tf.ones([2, 4, 4, 2]), 3, 3, scope="sep")
        net = slim.conv2d(slim.batch_norm(net, scope="bn"), 3, 1, scope="conv")
        slim.fully_connected(slim.flatten(net), 2)
    names = ["sep/depthwise_weights", "sep/pointwise_weights", "bn/gamma", "bn/beta", "bn/moving_mean",
             "bn/moving_variance", "conv/weights", "FC/weights", "FC/biases"]  # fmt: skip
    assert [v.name for v in v1.global_variables()] == [f"{name}:0" for name in names]
    kernels = [v for v in v1.trainable_variables() if v.name.endswith("weights:0")]
    expected = [weight_decay * np.sum(np.square(kernel)) / 2 for kernel in run(kernels)]
    np.testing.assert_allclose(run(v1.losses.get_regularization_losses()), expected, rtol=1e-5)
    (norm,) = [op for op in graph.get_operations() if op.type == "FusedBatchNormV3"]
    assert norm.get_attr("epsilon") == pytest.approx(epsilon)
    assert not [op for op in graph.get_operations() if op.type.startswith("Relu")]
    assert scope[slim.arg_scope_func_key(slim.batch_norm)]["decay"] == decay
    for layer in (slim.conv2d, slim.separable_conv2d, slim.fully_connected):
        assert scope[slim.arg_scope_func_key(layer)]["weights_initializer"].get_config()["mode"] == "FAN_OUT"


# -- the stack -------------------------------------------------------------------------------------------------------


def test_unknown_layout_is_told(graph):
    with pytest.raises(ValueError, match="'nchw': it has to be either NHWC or NCHW"):
        build("nasnet_mobile", changes={"data_format": "nchw"})


@pytest.mark.parametrize(
    ("name", "variables", "trained", "values", "variables_in_inference"),
    [
        ("nasnet_mobile", 1138, 7703044, 7741574, 1126),
        ("pnasnet_mobile", 945, 7479113, 7514569, 933),
    ],
)
def test_numbers_of_variables_for_imagenet(name, variables, trained, values, variables_in_inference):
    specs = Network(name, 1001).specs
    assert len(specs) == variables
    assert sum(math.prod(spec.shape) for spec in specs) == values
    assert sum(math.prod(spec.shape) for spec in specs if spec.trainable) == trained
    assert sum(not spec.name.startswith("aux_") for spec in specs) == variables_in_inference


@pytest.mark.parametrize(
    ("name", "skip", "cells", "expected"),
    [  # with four filters: stem cells of 4 and 8 channels, cells of 24 (PNASNet: 5, 10 and 20)
        ("nasnet_mobile", 0, 3, {"cell_1/path1_conv": [24, 4]}),  # Cell_0, which is larger
        ("nasnet_mobile", 1, 3, {"cell_1/path1_conv": [8, 4], "reduction_cell_1/prev_1x1": [32, 16]}),  # not Cell_0
        ("nasnet_cifar", 0, 3, {"cell_1/path1_conv": [24, 4]}),
        ("nasnet_cifar", 1, 3, {"cell_1/path1_conv": [1, 4]}),  # the stem has a quarter of the filters
        ("pnasnet_mobile", 1, 6, {"cell_2/prev_1x1": [20, 8]}),  # Cell_0
        ("pnasnet_mobile", 0, 6, {"cell_2/prev_1x1": [10, 8], "cell_3/path1_conv": [20, 4]}),  # what Cell_1 has; Cell_1
    ],
)
def test_second_inputs_and_skipped_reductions(graph, name, skip, cells, expected):
    _, _, shapes = sketch(name, changes={"skip_reduction_layer_input": skip, "num_cells": cells})
    assert {variable: shapes[f"{variable}/weights"][2:] for variable in expected} == expected


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("nasnet_mobile", {}, {"Stem": [9, 8], "Cell_0": [9, 24], "Reduction_Cell_0": [5, 32], "Cell_2": [3, 96]}),
        (
            "nasnet_mobile",
            {"filter_scaling_rate": 3.0, "num_conv_filters": 9},
            {"Stem": [9, 12], "Cell_2": [3, 6 * 81]},
        ),
        ("nasnet_mobile", {"num_reduction_layers": 0}, {"Cell_2": [9, 24], "global_pool": [24]}),
        ("nasnet_mobile", {"num_reduction_layers": 1, "num_cells": 2}, {"Cell_0": [9, 24], "Cell_1": [5, 48]}),
        ("nasnet_cifar", {"stem_multiplier": 2.0}, {"Stem": [9, 8], "Cell_0": [9, 24], "Cell_2": [3, 96]}),
        ("pnasnet_mobile", {}, {"Stem": [9, 10], "Cell_0": [9, 20], "Cell_1": [5, 40], "Cell_2": [3, 80]}),
    ],
)
def test_config_shapes_the_network(graph, name, changes, expected):
    _, end_points, _ = sketch(name, is_training=False, changes=changes)
    for key, shape in expected.items():
        assert end_points[key].shape == [2, *shape[:-1] * 2, shape[-1]], key


@each_family
def test_channels_first_is_the_same_network(graph, run, name):
    size = SMALLEST[name]
    inputs = tf.constant(noise(2, size, size + 4, 3))
    _, last = build(name, inputs)
    _, first = build(name, inputs, changes={"data_format": "NCHW"}, reuse=True)
    assert list(first) == list(last)
    last, first = run([last, first])
    for key, value in last.items():
        other = first[key].transpose(0, 2, 3, 1) if value.ndim == 4 else first[key]
        np.testing.assert_allclose(other, value, rtol=0, atol=1e-4 * np.abs(value).max())


@each_family
@pytest.mark.parametrize("change", [{"data_format": "NCHW"}, {"use_bounded_activation": True}])
def test_layout_and_bounds_leave_the_variables_as_they_are(graph, name, change):
    _, end_points, shapes = sketch(name)
    _, changed_end_points, changed = sketch(name, changes=change)
    assert list(changed.items()) == list(shapes.items())
    assert changed_end_points["AuxLogits"].shape == end_points["AuxLogits"].shape == [2, 5]


@each_family
def test_bounded_activation_is_everywhere(graph, name):
    sketch(name, changes={"use_bounded_activation": True})
    types = {op.type for op in graph.get_operations()}
    assert "Relu6" in types
    assert "Relu" not in types


def test_bounded_cells_stay_within_their_bounds(graph, run):
    size = SMALLEST["pnasnet_mobile"]
    inputs = 100.0 * noise(2, size, size, 3)
    _, end_points = build("pnasnet_mobile", inputs, num_classes=None, changes={"use_bounded_activation": True})
    for value in run(end_points).values():
        assert value.min() >= 0.0
        assert value.max() <= 6.0


@each_family
def test_unknown_sizes_give_the_numbers_of_known_ones(graph, run, name):
    """Odd and even maps, height other than width."""
    values = noise(3, 45, 38, 3)
    logits, _ = build(name, v1.placeholder_with_default(values, [None, None, None, 3]))
    assert logits.shape.as_list() == [None, 5]
    known, _ = build(name, tf.constant(values), reuse=True)
    np.testing.assert_allclose(*run([logits, known]), rtol=1e-4, atol=1e-5)


@each_family
@pytest.mark.parametrize("num_classes", [0, None])
def test_without_classes_the_features_come_back(graph, name, num_classes):
    net, end_points, shapes = sketch(name, num_classes=num_classes)
    assert net is end_points["global_pool"]
    assert net.shape == [2, 80 if name == "pnasnet_mobile" else 96]
    assert list(end_points)[-1] == "global_pool"
    assert not [variable for variable in shapes if variable.startswith(("aux", "final_layer"))]


@pytest.mark.parametrize("name", STOPPABLE)
def test_final_endpoint_stops_there(graph, name):
    _, whole, _ = sketch(name)
    for i, final in enumerate(whole):
        net, end_points, _ = sketch(name, final_endpoint=final)
        assert list(end_points) == list(whole)[: i + 1]
        assert end_points[final] is net


@pytest.mark.parametrize("name", STOPPABLE)
def test_a_final_endpoint_that_is_none_builds_everything(graph, name):
    """As the original; an end point may be missing for its config (`Reduction_Cell_1`, `AuxLogits`)."""
    logits, end_points, _ = sketch(name, final_endpoint="Cell_17")
    assert logits is end_points["Logits"]
    assert list(end_points)[-1] == "Predictions"


def test_the_ops_that_frozen_graphs_are_cut_by(graph):
    _, end_points, _ = sketch("nasnet_mobile", scope="outer")
    names = {key: end_points[key].op.name for key in ("Cell_0", "global_pool", "Logits", "Predictions")}
    assert names == {
        "Cell_0": "outer/cell_0/cell_output/concat",
        "global_pool": "outer/final_layer/Mean",
        "Logits": "outer/final_layer/FC/BiasAdd",
        "Predictions": "outer/final_layer/predictions",
    }
    assert graph.get_operation_by_name("outer/cell_0/comb_iter_4/combine/add")


def test_two_networks_share_a_graph_by_scope_and_variables_by_reuse(graph):
    build("nasnet_mobile", is_training=True)
    unscoped = len(v1.global_variables())
    build("nasnet_mobile", is_training=True, scope="one")
    assert len(v1.global_variables("one/")) == unscoped
    build("nasnet_mobile", scope="one", reuse=True)
    build("nasnet_mobile", reuse=True)
    assert len(v1.global_variables()) == 2 * unscoped
    with pytest.raises(ValueError, match="already exists"):
        build("nasnet_mobile")


# -- auxiliary head --------------------------------------------------------------------------------------------------


@each_family
@pytest.mark.parametrize(("is_training", "use_aux_head"), [(True, 0), (False, 1)])
def test_without_auxiliary_head(graph, name, is_training, use_aux_head):
    _, end_points, shapes = sketch(name, is_training=is_training, changes={"use_aux_head": use_aux_head})
    assert "AuxLogits" not in end_points
    assert not [variable for variable in shapes if variable.startswith("aux")]


@pytest.mark.parametrize(
    ("name", "height", "width", "kernel"),
    [  # the map is an eighth (CIFAR: a half) of the image, (map - 5) // 3 + 1 pooled
        ("nasnet_cifar", 9, 10, [1, 1]),
        ("nasnet_cifar", 32, 48, [4, 7]),
        ("nasnet_mobile", 67, 70, [1, 1]),
        ("nasnet_mobile", 299, 224, [5, 4]),
        ("pnasnet_mobile", 331, 67, [6, 1]),
    ],
)
def test_auxiliary_kernel_is_as_large_as_the_map(graph, name, height, width, kernel):
    _, end_points, shapes = sketch(name, images(None, height, width, 3))
    assert shapes["aux_1/aux_logits/Conv/weights"] == [*kernel, 128, 768]
    assert end_points["AuxLogits"].shape.as_list() == [None, 5]


@pytest.mark.parametrize(
    ("name", "shape", "found"),
    [
        ("nasnet_cifar", [2, 8, 32, 3], "4x16"),
        ("nasnet_mobile", [2, 224, 66, 3], "14x4"),
        ("pnasnet_mobile", [2, None, None, 3], "NonexNone"),
    ],
)
def test_an_image_too_small_for_the_auxiliary_head_is_told(graph, name, shape, found):
    with pytest.raises(ValueError, match=f"aux_1: .* at least 5x5 pixels, this one has {found}; .*use_aux_head is 0"):
        sketch(name, images(*shape))
    logits, _, _ = sketch(name, images(*shape), changes={"use_aux_head": 0})
    assert logits.shape == [2, 5]


# -- drop path -------------------------------------------------------------------------------------------------------


def keep_probs(monkeypatch, name, **kwargs):
    """{cell: keep probability} of a network's drop paths, and how many there are of each."""
    found = {}

    @slim.add_arg_scope
    def drop_path(net, keep_prob, is_training):
        assert is_training
        found.setdefault(v1.get_variable_scope().name.split("/")[0], []).append(keep_prob)
        return net

    monkeypatch.setattr(nasnet_utils, "drop_path", drop_path)
    sketch(name, changes={"drop_path_keep_prob": 0.6}, **kwargs)
    assert all(len(set(map(id, values))) == 1 for values in found.values()), "computed once for a cell"
    return {scope: values[0] for scope, values in found.items()}, {scope: len(v) for scope, v in found.items()}


@pytest.mark.parametrize(
    ("name", "total", "cells"),
    [
        ("nasnet_cifar", 5, ["cell_0", "reduction_cell_0", "cell_1", "reduction_cell_1", "cell_2"]),
        (
            "nasnet_mobile",
            7,
            ["cell_stem_0", "cell_stem_1", "cell_0", "reduction_cell_0", "cell_1", "reduction_cell_1", "cell_2"],
        ),
        ("pnasnet_mobile", 5, ["cell_stem_0", "cell_stem_1", "cell_0", "cell_1", "cell_2"]),
    ],
)
def test_drop_path_grows_with_the_cell_and_with_the_step(graph, run, monkeypatch, name, total, cells):
    current = v1.placeholder(tf.int64, [])
    probabilities, counts = keep_probs(monkeypatch, name, current_step=current)
    assert list(probabilities) == cells
    for step, elapsed in ((0, 0.0), (50, 0.5), (100, 1.0), (1000, 1.0)):
        expected = [1.0 - elapsed * 0.4 * (number + 1) / total for number in range(len(cells))]
        np.testing.assert_allclose(run(list(probabilities.values()), {current: step}), expected, rtol=1e-6)
    every = 9 if name == "pnasnet_mobile" else 8  # operations other than `none`
    assert all(count == (9 if "reduction" in cell or "stem" in cell else every) for cell, count in counts.items())


@pytest.mark.parametrize(
    ("name", "is_training", "keep_prob"),
    [("nasnet_cifar", False, 0.6), ("nasnet_mobile", True, 1.0), ("pnasnet_mobile", False, 0.6)],
)
def test_where_nothing_is_dropped_no_drop_path_is_built(graph, name, is_training, keep_prob):
    sketch(name, is_training=is_training, changes={"drop_path_keep_prob": keep_prob})
    assert not [op.name for op in graph.get_operations() if "drop_path" in op.name or "global_step" in op.name]


# -- Network ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network():
    """NASNet for CIFAR with drop path, small."""
    network = Network("nasnet_cifar", 5, image_size=16, config=small("nasnet_cifar", drop_path_keep_prob=0.3))
    network.initialize()
    return network


def test_training_repeats_with_its_seed_and_follows_the_step(network):
    images = noise(8, 16, 16, 3)

    def features(seed, step):
        options = {"training": True, "batch_statistics": False, "seed": tf.constant(seed), "step": step}
        return network(images, **options)[1]["global_pool"]

    late = features([1, 2], 100)
    np.testing.assert_array_equal(features([1, 2], 100), late)
    assert not np.allclose(features([1, 3], 100), late)
    np.testing.assert_allclose(features([1, 2], None), late, rtol=1e-4, atol=1e-5)  # without a step it is the end
    inference = network(images)[1]["global_pool"]
    np.testing.assert_allclose(features([1, 2], 0), inference, rtol=1e-5, atol=1e-6)
    assert not np.allclose(late, inference)


def test_one_object_trains_with_its_auxiliary_head_and_evaluates_at_any_size(network):
    assert any(spec.name.startswith("aux_1/") for spec in network.specs)
    assert not any(spec.name.endswith("global_step") for spec in network.specs)
    images = noise(8, 16, 16, 3)

    @tf.function(autograph=False)
    def gradients():
        with tf.GradientTape() as tape:
            logits, end_points = network(images, training=True, seed=tf.constant([1, 2]), step=tf.constant(0))
            heads = [tf.reduce_sum(tf.nn.log_softmax(head)[:, 1]) for head in (logits, end_points["AuxLogits"])]
        return tape.gradient(heads, [network.variables_by_name[name] for name in network.trainable_names])

    norms = [float(tf.norm(gradient)) for gradient in gradients()]
    wrong = [name for name, norm in zip(network.trainable_names, norms, strict=True) if not 0 < norm < math.inf]
    assert wrong == []
    for size in (16, 3, 40):
        logits, end_points = network(noise(2, size, size, 3))
        assert np.isfinite(logits).all()
        assert "AuxLogits" not in end_points


def test_records_name_the_published_checkpoints():
    urls = {name: record.checkpoint and record.checkpoint.url for name in CONFIGS for record in [registry.get(name)]}
    folder = "https://storage.googleapis.com/download.tensorflow.org/models/"
    assert urls == {
        "nasnet_cifar": None,
        "nasnet_mobile": f"{folder}nasnet-a_mobile_04_10_2017.tar.gz",
        "nasnet_large": f"{folder}nasnet-a_large_04_10_2017.tar.gz",
        "pnasnet_mobile": f"{folder}pnasnet-5_mobile_2017_12_13.tar.gz",
        "pnasnet_large": f"{folder}pnasnet-5_large_2017_12_13.tar.gz",
    }
