"""What the layers promise beyond Slim's values: randomness, layouts, unknown shapes, getters, functions, contexts."""

import numpy as np
import pytest
import tensorflow as tf

from nets import layers
from nets.layer_ops import common

v1 = tf.compat.v1


def evaluate(tensor):
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        return session.run(tensor)


# -- dropout ---------------------------------------------------------------------------------------------------------


def check_mask(outputs, keep_prob):
    """Values are zero or scaled, and about as many are kept as asked."""
    kept = outputs != 0
    np.testing.assert_allclose(outputs[kept], 1.0 / keep_prob, rtol=1e-2)
    assert abs(kept.mean() - keep_prob) < 5 * np.sqrt(keep_prob * (1 - keep_prob) / outputs.size)


@pytest.mark.parametrize("keep_prob", [0.5, 0.8])
@pytest.mark.parametrize("seeded", [False, True])
def test_dropout_keeps_and_scales(keep_prob, seeded):
    with tf.Graph().as_default(), layers.call_context(seed=tf.constant([1, 2]) if seeded else None):
        outputs = layers.dropout(tf.ones([100, 100]), keep_prob)
        check_mask(evaluate(outputs), keep_prob)


@pytest.mark.parametrize("seeded", [False, True])
@pytest.mark.parametrize("noise_shape", [[None, 1, 1, None], (8, 1, 1, 16), "tensor"])
def test_dropout_noise_shape_shares_the_mask(seeded, noise_shape):
    with tf.Graph().as_default(), layers.call_context(seed=tf.constant([1, 2]) if seeded else None):
        shape = tf.constant([8, 1, 1, 16]) if noise_shape == "tensor" else noise_shape
        outputs = evaluate(layers.dropout(tf.ones([8, 4, 5, 16]), noise_shape=shape))
    assert (outputs == outputs[:, :1, :1]).all()
    assert 0 < (outputs[:, 0, 0] == 0).sum() < 128


def test_dropout_follows_a_tensor():
    with tf.Graph().as_default():
        mode = v1.placeholder(tf.bool, [])
        outputs = layers.dropout(tf.ones([50, 50]), 0.5, is_training=mode)
        with v1.Session() as session:
            assert (session.run(outputs, {mode: False}) == 1).all()
            check_mask(session.run(outputs, {mode: True}), 0.5)


def test_dropout_that_keeps_all_draws_nothing():
    with tf.Graph().as_default() as graph:
        layers.dropout(tf.ones([2, 2]), 1.0)
        assert not [op for op in graph.get_operations() if "Random" in op.type]


def seeded_masks(seed, *scopes, dtype=tf.float32, keep_prob=0.5):
    with layers.call_context(seed=tf.constant(seed, tf.int64)):
        drawn = [layers.dropout(tf.ones([64, 64], dtype), keep_prob, scope=scope) for scope in scopes]
    return [tf.cast(mask, tf.float32).numpy() for mask in drawn]


def test_stateless_dropout_depends_on_seed_and_scope_alone():
    one, two = seeded_masks([3, 4], "net/Dropout_1b", "net/other")
    np.testing.assert_array_equal(one, seeded_masks([3, 4], "net/Dropout_1b")[0])
    assert (one != two).mean() > 0.4
    assert (one != seeded_masks([3, 5], "net/Dropout_1b")[0]).mean() > 0.4


def test_stateless_dropout_can_keep_nearly_everything_in_bfloat16():
    (mask,) = seeded_masks([1, 1], "d", dtype=tf.bfloat16, keep_prob=0.999)
    assert 0 < (mask == 0).sum() < 25  # 4.1 of 4096 expected


# -- layouts and shapes ----------------------------------------------------------------------------------------------

CHANNELS_FIRST = {
    "conv2d": ((2, 8, 9, 4), "NCHW", lambda x, f: layers.conv2d(x, 3, [3, 2], [2, 1], data_format=f)),
    "conv2d rate": ((2, 8, 9, 4), "NCHW", lambda x, f: layers.conv2d(x, 3, 3, rate=(1, 2), data_format=f)),
    "conv1d": ((2, 9, 4), "NCW", lambda x, f: layers.conv1d(x, 3, 3, data_format=f)),
    "conv3d": ((2, 5, 6, 7, 4), "NCDHW", lambda x, f: layers.conv3d(x, 3, 3, [1, 2, 2], data_format=f)),
    "conv2d_transpose": (
        (2, 5, 4, 3),
        "NCHW",
        lambda x, f: layers.conv2d_transpose(x, 6, [3, 4], [2, 3], "VALID", data_format=f),
    ),
    "conv3d_transpose": (
        (2, 3, 5, 4, 3),
        "NCDHW",
        lambda x, f: layers.conv3d_transpose(x, 6, 3, [1, 2, 3], data_format=f),
    ),
    "separable": ((2, 8, 9, 4), "NCHW", lambda x, f: layers.separable_conv2d(x, 5, 3, 2, 2, data_format=f)),
    "depthwise rate": (
        (2, 8, 9, 4),
        "NCHW",
        lambda x, f: layers.separable_conv2d(x, None, 3, rate=2, data_format=f),
    ),
    "max_pool2d": ((2, 8, 9, 4), "NCHW", lambda x, f: layers.max_pool2d(x, [3, 2], data_format=f)),
    "avg_pool2d": ((2, 8, 9, 4), "NCHW", lambda x, f: layers.avg_pool2d(x, 3, 1, "SAME", data_format=f)),
    "max_pool3d": ((2, 5, 6, 7, 4), "NCDHW", lambda x, f: layers.max_pool3d(x, 2, data_format=f)),
    "avg_pool3d": ((2, 5, 6, 7, 4), "NCDHW", lambda x, f: layers.avg_pool3d(x, 2, 1, "SAME", data_format=f)),
    "pool": ((2, 8, 9, 4), "NCHW", lambda x, f: layers.pool(x, 3, "MAX", stride=2, data_format=f)),
}


@pytest.mark.parametrize("case", CHANNELS_FIRST, ids=lambda case: case.replace(" ", "_"))
def test_channels_first_is_channels_last_transposed(case):
    shape, data_format, call = CHANNELS_FIRST[case]
    x = np.random.RandomState(3).normal(size=shape).astype(np.float32)
    with tf.Graph().as_default():
        with v1.variable_scope("net", initializer=v1.random_normal_initializer(seed=1), reuse=v1.AUTO_REUSE):
            last, first = tf.constant(x), tf.constant(np.moveaxis(x, -1, 1))
            with v1.variable_scope("layer") as scope:
                one = call(last, data_format.replace("C", "", 1) + "C")
            with v1.variable_scope(scope, auxiliary_name_scope=False):
                other = call(first, data_format)
        gradients = [v1.gradients(y * y, [y_in])[0] for y, y_in in ((one, last), (other, first))]
        one, other, slope, other_slope = evaluate([one, other, *gradients])
    np.testing.assert_allclose(other, np.moveaxis(one, -1, 1), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(other_slope, np.moveaxis(slope, -1, 1), rtol=1e-4, atol=1e-3)


def test_without_a_gpu_no_kernel_is_asked_for_channels_first():
    if tf.config.get_visible_devices("GPU"):
        pytest.skip("with a GPU the ops keep the layout")
    with tf.Graph().as_default() as graph:
        net = layers.conv2d(tf.zeros([1, 4, 8, 8]), 4, 3, data_format="NCHW", normalizer_fn=None)
        layers.max_pool2d(layers.separable_conv2d(net, 4, 3, data_format="NCHW"), 2, data_format="NCHW")
        kinds = ("Conv2D", "DepthwiseConv2dNative", "MaxPool")
        layouts = {op.get_attr("data_format") for op in graph.get_operations() if op.type in kinds}
    assert layouts == {b"NHWC"}


def test_a_gpu_gets_channels_first_untransposed(monkeypatch):
    monkeypatch.setattr(common, "has_gpu", lambda: True)
    with tf.Graph().as_default() as graph:
        net = layers.conv2d(tf.zeros([1, 4, 8, 8]), 4, 3, 2, data_format="NCHW")
        net = layers.conv2d_transpose(net, 4, 3, 2, data_format="NCHW")
        net = layers.avg_pool2d(layers.separable_conv2d(net, 6, 3, data_format="NCHW"), 2, data_format="NCHW")
        assert net.shape == (1, 6, 4, 4)
        assert not [op for op in graph.get_operations() if op.type == "Transpose"]


UNKNOWN = {
    "conv2d": (lambda x: layers.conv2d(x, 5, 3, 2), (None, None, None, 5)),
    "conv2d_transpose": (lambda x: layers.conv2d_transpose(x, 5, 3, 2, "VALID"), (None, None, None, 5)),
    "depthwise": (lambda x: layers.separable_conv2d(x, None, 3, 2), (None, None, None, 6)),
    "batch_norm": (layers.batch_norm, (None, None, None, 3)),
    "batch_norm composed": (lambda x: layers.batch_norm(x, fused=False), (None, None, None, 3)),
    "group_norm": (lambda x: layers.group_norm(x, 3), (None, None, None, 3)),
    "instance_norm": (layers.instance_norm, (None, None, None, 3)),
    "flatten": (layers.flatten, (None, None)),
    "softmax": (layers.softmax, (None, None, None, 3)),
    "fully_connected": (lambda x: layers.fully_connected(x, 2), (None, None, None, 2)),
}


@pytest.mark.parametrize("case", UNKNOWN, ids=lambda case: case.replace(" ", "_"))
def test_batch_and_space_may_be_unknown(case):
    call, expected = UNKNOWN[case]
    with tf.Graph().as_default():
        inputs = v1.placeholder(tf.float32, [None, None, None, 3])
        outputs = call(inputs)
        assert tuple(outputs.shape.as_list()) == expected
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            for shape in ((2, 5, 4, 3), (1, 3, 6, 3)):
                assert session.run(outputs, {inputs: np.ones(shape)}).shape[0] == shape[0]


def test_flatten_keeps_a_known_rest_and_an_unknown_batch():
    with tf.Graph().as_default():
        assert layers.flatten(v1.placeholder(tf.float32, [None, 2, 3])).shape.as_list() == [None, 6]


def test_layers_ask_for_variables_in_the_inputs_type():
    with tf.Graph().as_default():
        net = tf.zeros([1, 8, 8, 3], tf.float16)
        net = layers.conv2d(net, 4, 3, normalizer_fn=layers.batch_norm)
        layers.fully_connected(net, 2)
        dtypes = {v.op.name: v.dtype for v in v1.global_variables()}
    half = [name for name, dtype in dtypes.items() if dtype == tf.float16]
    assert half == ["Conv/weights", "fully_connected/weights", "fully_connected/biases"]


# -- op names that frozen graphs are cut by --------------------------------------------------------------------------


def test_output_nodes_have_slims_names():
    with tf.Graph().as_default(), v1.variable_scope("LeNet"):
        net = layers.flatten(layers.max_pool2d(layers.conv2d(tf.zeros([1, 8, 8, 3]), 4, 3, scope="conv1"), 2))
        logits = layers.fully_connected(net, 5, activation_fn=None, scope="fc4")
        assert logits.op.name == "LeNet/fc4/BiasAdd"
        assert layers.softmax(logits, scope="Predictions").op.name == "LeNet/Predictions/Reshape_1"
        maps = layers.conv2d(tf.zeros([1, 8, 8, 3]), 4, 1, activation_fn=None, scope="fc8")
        assert maps.op.name == "LeNet/fc8/BiasAdd"


# -- variables -------------------------------------------------------------------------------------------------------


def test_arg_scope_on_slims_variable_functions_reaches_the_layers():
    with tf.Graph().as_default():
        with layers.arg_scope([layers.model_variable, layers.variable], device="/device:CPU:0"):
            layers.conv2d(tf.zeros([1, 4, 4, 3]), 2, 3, normalizer_fn=layers.batch_norm)
        layers.conv2d(tf.zeros([1, 4, 4, 3]), 2, 3)
        devices = {v.op.name: v.device for v in v1.global_variables()}
        assert len(layers.get_model_variables()) == 6
    assert {name for name, device in devices.items() if device} == {
        "Conv/weights", "Conv/BatchNorm/beta", "Conv/BatchNorm/moving_mean", "Conv/BatchNorm/moving_variance"
    }  # fmt: skip


def test_regularizer_runs_once_for_a_variable():
    calls = []

    def regularizer(variable):
        calls.append(variable)
        return tf.reduce_sum(variable)

    with tf.Graph().as_default():
        for reuse in (None, True):
            layers.conv2d(tf.zeros([1, 4, 4, 3]), 2, 3, scope="c", weights_regularizer=regularizer, reuse=reuse)
        total = tf.add_n(v1.get_collection(v1.GraphKeys.REGULARIZATION_LOSSES))
        assert total.shape == ()
    assert len(calls) == 1


class Store:
    """A custom getter that keeps variables of its own, as a caller inside tf.function does."""

    def __init__(self, dtype=None):
        self.variables, self.requests, self.dtype = {}, {}, dtype

    def __call__(self, getter, name, **request):
        del getter
        if name not in self.variables:
            self.requests[name] = request
            with tf.init_scope():
                value = request["initializer"](request["shape"], dtype=tf.float32)
                self.variables[name] = tf.Variable(value, trainable=request["trainable"], name=name)
        variable = self.variables[name]
        return tf.cast(variable, request["dtype"]) if variable.dtype != request["dtype"] else variable


def small_network(images, training):
    with layers.arg_scope(
        [layers.conv2d], normalizer_fn=layers.batch_norm, weights_regularizer=layers.l2_regularizer(0.1)
    ):
        with layers.arg_scope([layers.batch_norm, layers.dropout], is_training=training):
            net = layers.conv2d(images, 4, 3, scope="conv")
            net = layers.dropout(layers.flatten(net), 0.5, scope="drop")
            return layers.fully_connected(net, 2, scope="fc")


def in_function(store, network):
    def call(*arguments):
        with v1.variable_scope(v1.get_variable_scope(), custom_getter=store):
            return network(*arguments)

    return tf.function(call, autograph=False)


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_layers_run_inside_a_function_on_a_callers_variables(dtype):
    store = Store()
    call = in_function(store, lambda x: small_network(x, True))
    images = tf.cast(np.random.RandomState(1).normal(2.0, size=[8, 6, 6, 3]), dtype)
    outputs = call(images)
    assert outputs.dtype == dtype
    statistics = [f"conv/BatchNorm/{name}" for name in ("moving_mean", "moving_variance")]
    assert list(store.variables) == ["conv/weights", "conv/BatchNorm/beta", *statistics, "fc/weights", "fc/biases"]
    for name in statistics:
        assert store.requests[name]["synchronization"] == tf.VariableSynchronization.ON_READ
        assert store.requests[name]["aggregation"] == tf.VariableAggregation.MEAN
        assert store.requests[name]["trainable"] is False
        assert store.requests[name]["dtype"] == tf.float32
    assert store.requests["conv/weights"]["dtype"] == dtype
    loss = store.requests["conv/weights"]["regularizer"](store.variables["conv/weights"])
    np.testing.assert_allclose(loss, 0.05 * np.sum(store.variables["conv/weights"].numpy() ** 2), rtol=1e-5)
    before = store.variables[statistics[0]].numpy()
    assert (before != 0).all()  # the updates ran by themselves
    call(images)
    assert (store.variables[statistics[0]].numpy() != before).all()


@pytest.mark.parametrize(
    ("layer", "shape", "kernel", "stride"),
    [
        (layers.conv2d, [4, 3, 1, 16], 3, 2),
        (layers.conv2d, [4, 1, 1, 16], 3, 2),
        (layers.conv2d, [4, 5, 4, 16], 3, 2),
        (layers.conv3d, [2, 2, 3, 3, 16], 3, 1),
    ],
)
def test_bfloat16_gradients_are_those_of_float32_on_the_smallest_maps(layer, shape, kernel, stride):
    """oneDNN's own are not, on some processors: parts of them are whatever was in memory."""
    store = Store()
    options = {"stride": stride, "scope": "conv", "activation_fn": None, "biases_initializer": None}
    call = in_function(store, lambda x: layer(x, 96, kernel, **options))

    def gradient(dtype):
        images = tf.cast(tf.random.stateless_normal(shape, [1, 2]), dtype)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.cast(call(images), tf.float32))
        return tape.gradient(loss, store.variables["conv/weights"]).numpy()

    expected = gradient(tf.float32)
    np.testing.assert_allclose(gradient(tf.bfloat16), expected, rtol=0, atol=0.03 * np.abs(expected).max())


def test_the_policy_decides_each_batch_norms_mode_and_decay():
    store, asked = Store(), []

    def network(images, decay):
        def policy(scope, is_training, called_decay):
            asked.append((scope, is_training, called_decay))
            return (True, decay) if scope == "a/BatchNorm" else (False, called_decay)

        with layers.call_context(batch_norm=policy):
            for scope in ("a", "b"):
                images = layers.conv2d(images, 3, 1, scope=scope, normalizer_fn=layers.batch_norm)
        return images

    call = in_function(store, network)
    images = tf.constant(np.random.RandomState(1).normal(2.0, size=[8, 6, 6, 3]), tf.float32)
    call(images, tf.constant(0.0))
    moved = store.variables["a/BatchNorm/moving_mean"].numpy()
    mapped = tf.nn.conv2d(images, store.variables["a/weights"], 1, "SAME")
    np.testing.assert_allclose(moved, tf.reduce_mean(mapped, [0, 1, 2]), rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(store.variables["b/BatchNorm/moving_mean"], np.zeros(3))
    assert asked[:2] == [("a/BatchNorm", True, 0.999), ("b/BatchNorm", True, 0.999)]


def test_contexts_nest_and_end():
    def policy(scope, is_training, decay):
        return False, decay

    with tf.Graph().as_default():
        with layers.call_context(batch_norm=policy):
            layers.batch_norm(tf.zeros([2, 3]))
            assert not v1.get_collection(v1.GraphKeys.UPDATE_OPS)
            with layers.call_context():
                layers.batch_norm(tf.zeros([2, 3]))
                assert len(v1.get_collection(v1.GraphKeys.UPDATE_OPS)) == 2
        layers.batch_norm(tf.zeros([2, 3]))
        assert len(v1.get_collection(v1.GraphKeys.UPDATE_OPS)) == 4


def test_batch_norm_compiles_with_xla():
    store = Store()
    images = tf.constant(np.random.RandomState(1).normal(2.0, size=[8, 6, 6, 3]), tf.float32)
    plain = in_function(store, lambda x: layers.batch_norm(x, 0.9))
    expected = plain(images)
    moved = store.variables["BatchNorm/moving_variance"].numpy()
    other = Store()
    in_function(other, lambda x: layers.batch_norm(x, 0.9, is_training=False))(images)  # makes the variables

    def call(x):
        with v1.variable_scope(v1.get_variable_scope(), custom_getter=other):
            return layers.batch_norm(x, 0.9)

    np.testing.assert_allclose(tf.function(call, autograph=False, jit_compile=True)(images), expected, atol=1e-5)
    np.testing.assert_allclose(other.variables["BatchNorm/moving_variance"], moved, rtol=1e-5)
