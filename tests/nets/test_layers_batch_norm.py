"""batch_norm against its formula worked in NumPy (tf-slim's own no longer runs)."""

import numpy as np
import pytest
import tensorflow as tf

from nets import layers

v1 = tf.compat.v1

RNG = np.random.RandomState(7)
GAMMA, BETA = np.array([0.5, 1.5, 2.0], np.float32), np.array([-1.0, 0.0, 3.0], np.float32)
MEAN, VARIANCE = np.array([0.3, -0.2, 0.1], np.float32), np.array([0.5, 2.0, 1.25], np.float32)
DECAY, EPSILON = 0.9, 0.01


def images(*shape):
    return RNG.normal(1.0, 2.0, shape).astype(np.float32)


def parameters(**more):
    """The four variables started at known values."""
    values = {"gamma": GAMMA, "beta": BETA, "moving_mean": MEAN, "moving_variance": VARIANCE, **more}
    return {name: v1.constant_initializer(value) for name, value in values.items()}


def channels_last(x, data_format):
    return np.moveaxis(x, 1, -1) if data_format.startswith("NC") else x


def moments(x):
    """Mean, biased variance and count of each channel, the last axis."""
    rows = x.reshape(-1, x.shape[-1]).astype(np.float64)
    return rows.mean(0), rows.var(0), len(rows)


def normalised(x, mean, variance, gamma=GAMMA, beta=BETA):
    return (x - mean) / np.sqrt(variance + EPSILON) * gamma + beta


def run(x, steps=1, feed=(), **arguments):
    """Builds one layer, runs `steps` steps with its update ops. Returns outputs of the last, variables by last name."""
    options = {"decay": DECAY, "epsilon": EPSILON, "scale": True, "param_initializers": parameters(), **arguments}
    with tf.Graph().as_default():
        inputs = v1.placeholder(x.dtype, x.shape)
        outputs = layers.batch_norm(inputs, **options)
        updates = v1.get_collection(v1.GraphKeys.UPDATE_OPS)
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            for _ in range(steps):
                result, _ = session.run([outputs, updates], {inputs: x, **dict(feed)})
            values = {v.op.name: session.run(v) for v in v1.global_variables()}
    return result, {name.removeprefix("BatchNorm/"): value for name, value in values.items()}, len(updates)


@pytest.mark.parametrize(
    ("shape", "arguments", "corrected"),
    [
        ((4, 5, 6, 3), {}, True),
        ((4, 5, 6, 3), {"fused": True}, True),
        ((4, 5, 6, 3), {"fused": False}, False),
        ((4, 3, 5, 6), {"data_format": "NCHW"}, True),
        ((4, 3, 5, 6), {"data_format": "NCHW", "fused": False}, False),
        ((8, 3), {}, True),
        ((8, 3), {"data_format": "NCHW"}, True),
        ((8, 3), {"fused": False}, False),
        ((2, 3, 4, 5, 3), {}, True),
        ((2, 3, 4, 5, 3), {"fused": False}, False),
        ((2, 3, 4, 5, 3), {"data_format": "NCHW", "fused": False}, False),
        ((2, 3, 4, 5, 3), {"data_format": "NCHW"}, True),
        ((4, 6, 3), {}, False),
    ],
)
def test_training_normalises_by_the_batch_and_moves_the_averages(shape, arguments, corrected):
    x = images(*shape)
    last = channels_last(x, arguments.get("data_format", "NHWC"))
    mean, variance, count = moments(last)
    outputs, values, updates = run(x, **arguments)
    result = channels_last(outputs, arguments.get("data_format", "NHWC"))
    np.testing.assert_allclose(result, normalised(last, mean, variance), rtol=1e-4, atol=1e-4)
    averaged = variance * count / (count - 1) if corrected else variance
    np.testing.assert_allclose(values["moving_mean"], DECAY * MEAN + 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(values["moving_variance"], DECAY * VARIANCE + 0.1 * averaged, rtol=1e-5)
    assert updates == 2


@pytest.mark.parametrize("fused", [None, False])
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("rank", [2, 3, 4, 5])
def test_inference_normalises_by_the_averages_and_has_no_updates(rank, layout, fused):
    shape = (4, 3, 5, 6, 7)[:rank] if layout == "NCHW" else (4, *(5, 6, 7)[: rank - 2], 3)
    x = images(*shape)
    outputs, values, updates = run(x, is_training=False, data_format=layout, fused=fused)
    expected = normalised(channels_last(x, layout), MEAN, VARIANCE)
    np.testing.assert_allclose(channels_last(outputs, layout), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(values["moving_mean"], MEAN)
    assert updates == 0


def test_one_value_a_channel_feeds_the_average_uncorrected():
    _, values, _ = run(images(1, 1, 1, 3))
    np.testing.assert_allclose(values["moving_variance"], DECAY * VARIANCE, rtol=1e-6)


@pytest.mark.parametrize(("center", "scale"), [(True, False), (False, True), (False, False)])
@pytest.mark.parametrize("fused", [None, False])
def test_center_and_scale_say_which_parameters_there_are(center, scale, fused):
    x = images(4, 5, 6, 3)
    mean, variance, _ = moments(x)
    outputs, values, _ = run(x, center=center, scale=scale, fused=fused)
    expected = normalised(x, mean, variance, GAMMA if scale else 1.0, BETA if center else 0.0)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)
    names = ["gamma"] * scale + ["beta"] * center + ["moving_mean", "moving_variance"]
    assert list(values) == names


@pytest.mark.parametrize("fused", [None, False])
def test_a_tensor_decides_the_mode_at_run_time(fused):
    x = images(4, 5, 6, 3)
    with tf.Graph().as_default():
        mode = v1.placeholder(tf.bool, [])
        inputs = v1.placeholder(tf.float32, x.shape)
        initializers = parameters()
        outputs = layers.batch_norm(
            inputs, DECAY, True, True, EPSILON, fused=fused, is_training=mode, param_initializers=initializers
        )
        updates = v1.get_collection(v1.GraphKeys.UPDATE_OPS)
        moving = layers.get_variables_by_name("moving_mean")[0]
        gradient = v1.gradients(outputs[0, 0, 0, 0], inputs)[0]
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            result, slope, _ = session.run([outputs, gradient, updates], {inputs: x, mode: False})
            np.testing.assert_allclose(result, normalised(x, MEAN, VARIANCE), rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(slope[0, 0, 0, 0], GAMMA[0] / np.sqrt(VARIANCE[0] + EPSILON), rtol=1e-4)
            np.testing.assert_array_equal(session.run(moving), MEAN)
            result, _ = session.run([outputs, updates], {inputs: x, mode: True})
            mean, variance, _ = moments(x)
            np.testing.assert_allclose(result, normalised(x, mean, variance), rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(session.run(moving), DECAY * MEAN + 0.1 * mean, rtol=1e-5)
    assert len(updates) == 2


def test_constant_tensors_and_numbers_are_modes_known_at_once():
    x = images(4, 5, 6, 3)
    for mode, expected in ((1, 2), (0, 0), (np.True_, 2), (np.False_, 0)):
        assert run(x, is_training=mode)[2] == expected
    with tf.Graph().as_default():
        layers.batch_norm(tf.constant(x), is_training=tf.constant(False))
        assert not v1.get_collection(v1.GraphKeys.UPDATE_OPS)


def test_updates_wait_for_the_caller_unless_there_is_no_collection_for_them():
    x = images(4, 5, 6, 3)
    for collection, moved in ((v1.GraphKeys.UPDATE_OPS, False), (None, True), ("mine", False)):
        with tf.Graph().as_default():
            outputs = layers.batch_norm(tf.constant(x), DECAY, updates_collections=collection)
            assert len(v1.get_collection("mine")) == 2 * (collection == "mine")
            assert len(v1.get_collection(v1.GraphKeys.UPDATE_OPS)) == 2 * (collection == v1.GraphKeys.UPDATE_OPS)
            with v1.Session() as session:
                session.run(v1.global_variables_initializer())
                session.run(outputs)
                statistics = session.run(layers.get_variables_by_name("moving_mean")[0])
        assert np.any(statistics != 0) == moved


def test_both_calls_of_a_shared_layer_move_the_averages():
    first, second = images(4, 5, 6, 3), images(4, 5, 6, 3)
    with tf.Graph().as_default():
        for batch, reuse in ((first, None), (second, True)):
            layers.batch_norm(tf.constant(batch), DECAY, scope="bn", reuse=reuse, param_initializers=parameters())
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            session.run(v1.get_collection(v1.GraphKeys.UPDATE_OPS))
            result = session.run(layers.get_variables_by_name("moving_mean")[0])
    one, two = moments(first)[0], moments(second)[0]
    # Nothing orders the two in a plain graph: side by side, or one after the other. None of them is lost.
    together = MEAN - 0.1 * (MEAN - one) - 0.1 * (MEAN - two)
    in_turn = [0.81 * MEAN + 0.09 * a + 0.1 * b for a, b in ((one, two), (two, one))]
    assert any(np.allclose(result, expected, rtol=1e-4, atol=1e-5) for expected in (together, *in_turn))


@pytest.mark.parametrize("fused", [None, False])
def test_decay_may_be_a_tensor(fused):
    x = images(4, 5, 6, 3)
    with tf.Graph().as_default():
        decay = v1.placeholder(tf.float32, [])
        layers.batch_norm(tf.constant(x), decay, fused=fused, param_initializers=parameters())
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            session.run(v1.get_collection(v1.GraphKeys.UPDATE_OPS), {decay: 0.75})
            result = session.run(layers.get_variables_by_name("moving_mean")[0])
    np.testing.assert_allclose(result, 0.75 * MEAN + 0.25 * moments(x)[0], rtol=1e-5)


@pytest.mark.parametrize("fused", [None, False])
def test_a_decay_of_one_uses_the_batch_and_leaves_the_averages_alone(fused):
    x = images(4, 5, 6, 3)
    mean, variance, _ = moments(x)
    outputs, values, updates = run(x, decay=1.0, fused=fused)
    np.testing.assert_allclose(outputs, normalised(x, mean, variance), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(values["moving_variance"], VARIANCE)
    assert updates == 0


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fused", [None, False])
def test_half_precision_inputs_keep_float32_parameters(dtype, training, fused):
    x = images(4, 5, 6, 3)
    with tf.Graph().as_default():
        initializers = parameters()
        outputs = layers.batch_norm(
            tf.cast(x, dtype), DECAY, True, True, EPSILON, None, initializers, is_training=training, fused=fused
        )
        assert outputs.dtype == dtype
        assert {v.dtype for v in v1.global_variables()} == {tf.float32}
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            result = session.run(tf.cast(outputs, tf.float32))
    mean, variance = moments(x)[:2] if training else (MEAN, VARIANCE)
    np.testing.assert_allclose(result, normalised(x, mean, variance), atol=0.1)


def test_float64_inputs_have_float64_parameters():
    x = images(4, 5, 6, 3).astype(np.float64)
    outputs, values, _ = run(x)
    np.testing.assert_allclose(outputs, normalised(x, *moments(x)[:2]), rtol=1e-9, atol=1e-9)
    assert values["moving_mean"].dtype == np.float64


def test_batch_weights_weigh_the_examples():
    x, weights = images(4, 5, 6, 3), np.array([1.0, 0.0, 2.0, 1.0], np.float32)
    repeated = x[[0, 2, 2, 3]]
    mean, variance, _ = moments(repeated)
    outputs, values, _ = run(x, batch_weights=weights)
    np.testing.assert_allclose(outputs, normalised(x, mean, variance), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(values["moving_variance"], DECAY * VARIANCE + 0.1 * variance, rtol=1e-5)


@pytest.mark.parametrize("fused", [None, False])
def test_zero_debias_corrects_the_mean_for_its_start_at_zero(fused):
    x = images(4, 5, 6, 3)
    mean, variance, count = moments(x)
    outputs, values, updates = run(x, steps=3, fused=fused, zero_debias_moving_mean=True)
    np.testing.assert_allclose(outputs, normalised(x, mean, variance), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(values["moving_mean"], mean, rtol=1e-4)  # the same batch three times
    np.testing.assert_allclose(values["BatchNorm/moving_mean/biased"], (1 - DECAY**3) * mean, rtol=1e-5)
    assert values["BatchNorm/moving_mean/local_step"] == 3
    averaged = variance if fused is False else variance * count / (count - 1)
    np.testing.assert_allclose(values["moving_variance"], averaged + DECAY**3 * (VARIANCE - averaged), rtol=1e-5)
    assert updates == 2


def test_zero_debias_variables_repeat_the_scope_and_are_no_model_variables():
    with tf.Graph().as_default(), v1.variable_scope("net"):
        layers.batch_norm(tf.zeros([2, 3]), zero_debias_moving_mean=True, scope="bn")
        extra = set(v1.global_variables()) - set(layers.get_model_variables())
        assert {v.op.name for v in extra} == {f"net/bn/net/bn/moving_mean/{x}" for x in ("biased", "local_step")}
        assert not extra & set(v1.trainable_variables())


def test_zero_debias_stands_still_while_a_tensor_says_inference():
    x = images(4, 5, 6, 3)
    with tf.Graph().as_default():
        mode = v1.placeholder(tf.bool, [])
        layers.batch_norm(tf.constant(x), DECAY, is_training=mode, zero_debias_moving_mean=True)
        updates = v1.get_collection(v1.GraphKeys.UPDATE_OPS)
        step = layers.get_variables_by_name("local_step")[0]
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            for training, expected in ((False, 0), (True, 1), (False, 1)):
                session.run(updates, {mode: training})
                assert session.run(step) == expected


@pytest.mark.parametrize("mode", [True, "tensor"])
def test_renorm_corrects_the_batch_towards_its_slow_statistics(mode):
    x = images(4, 5, 6, 3)
    mean, variance, _ = moments(x)
    sigma = np.sqrt(variance + EPSILON)
    limits = {"rmin": 0.8, "rmax": 1.2, "dmax": 0.4}
    feed = {}
    with tf.Graph().as_default():
        inputs = tf.constant(x)
        is_training = True if mode is True else v1.placeholder(tf.bool, [])
        outputs = layers.batch_norm(
            inputs, DECAY, True, True, EPSILON, None, parameters(), is_training=is_training,
            renorm=True, renorm_clipping=limits, renorm_decay=0.8,
        )  # fmt: skip
        feed = {} if mode is True else {is_training: True}
        updates = v1.get_collection(v1.GraphKeys.UPDATE_OPS)
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            result, _ = session.run([outputs, updates], feed)
            values = {v.op.name.removeprefix("BatchNorm/"): session.run(v) for v in v1.global_variables()}
            if mode == "tensor":
                frozen, _ = session.run([outputs, updates], {is_training: False})
                again = {v.op.name.removeprefix("BatchNorm/"): session.run(v) for v in v1.global_variables()}
    slow = np.sqrt(VARIANCE)
    factor, offset = np.clip(sigma / slow, 0.8, 1.2), np.clip((mean - MEAN) / slow, -0.4, 0.4)
    np.testing.assert_allclose(result, ((x - mean) / sigma * factor + offset) * GAMMA + BETA, rtol=1e-4, atol=1e-4)
    stddev = DECAY * slow + 0.1 * sigma
    expected = {
        "gamma": GAMMA,
        "beta": BETA,
        "moving_mean": DECAY * MEAN + 0.1 * mean,
        "moving_variance": stddev**2 - EPSILON,
        "moving_stddev": stddev,
        "renorm_mean": 0.8 * MEAN + 0.2 * mean,
        "renorm_stddev": 0.8 * slow + 0.2 * sigma,
    }
    assert set(values) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(values[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
    if mode == "tensor":
        expected_frozen = normalised(x, values["moving_mean"], values["moving_variance"])
        np.testing.assert_allclose(frozen, expected_frozen, rtol=1e-4, atol=1e-4)
        for name, value in values.items():
            np.testing.assert_allclose(again[name], value, rtol=1e-6, err_msg=name)


def test_variables_are_in_slims_collections():
    with tf.Graph().as_default():
        layers.conv2d(
            tf.zeros([1, 4, 4, 3]),
            2,
            1,
            scope="c",
            normalizer_fn=layers.batch_norm,
            normalizer_params={
                "scale": True,
                "param_regularizers": {"gamma": layers.l2_regularizer(0.5)},
                "variables_collections": {"moving_mean": ["moving"], "moving_variance": "moving", "beta": ["beta"]},
                "outputs_collections": "out",
                "activation_fn": tf.nn.relu,
            },
        )
        names = ["weights", *(f"BatchNorm/{n}" for n in ("gamma", "beta", "moving_mean", "moving_variance"))]
        names = [f"c/{name}" for name in names]
        assert [v.op.name for v in layers.get_model_variables()] == names
        assert [v.op.name for v in v1.trainable_variables()] == names[:3]
        assert [v.op.name for v in v1.get_collection("moving")] == names[3:]
        assert [v.op.name for v in v1.get_collection("beta")] == names[2:3]
        loss = v1.get_collection(v1.GraphKeys.REGULARIZATION_LOSSES)
        assert [item.op.name for item in loss] == ["c/BatchNorm/gamma/Regularizer/l2_regularizer"]
        (output,) = v1.get_collection("out")
        assert layers.utils.get_tensor_aliases(output) == ["c/BatchNorm"]
        assert output.op.type == "Relu"


def test_untrainable_batch_norm_trains_nothing():
    with tf.Graph().as_default():
        layers.batch_norm(tf.zeros([2, 3]), scale=True, trainable=False)
        assert not v1.trainable_variables()
        assert len(layers.get_model_variables()) == 4


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_fused_and_composed_have_the_same_gradients(training, layout):
    x, seen = images(4, 3, 5, 3), []
    for fused in (True, False):
        with tf.Graph().as_default():
            inputs = tf.constant(x)
            outputs = layers.batch_norm(
                inputs, DECAY, True, True, EPSILON, tf.nn.tanh, parameters(),
                is_training=training, fused=fused, data_format=layout,
            )  # fmt: skip
            gradients = v1.gradients(outputs * outputs, [inputs, *v1.trainable_variables()])
            with v1.Session() as session:
                session.run(v1.global_variables_initializer())
                seen.append(session.run(gradients))
    for one, other in zip(*seen, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)
