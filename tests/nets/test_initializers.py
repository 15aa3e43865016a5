"""Initial distributions: Slim's numbers, and stateless draws from anything that get_variable takes."""

import numpy as np
import pytest
import tensorflow as tf
import tf_slim

from nets import initializers

v1 = tf.compat.v1

# shape -> (fan in, fan out)
FANS = {(40, 30): (40, 30), (3, 5, 16, 8): (240, 120), (50,): (50, 50), (2, 3, 3, 4, 6): (72, 108)}


@pytest.mark.parametrize("shape", FANS)
@pytest.mark.parametrize("mode", ["FAN_IN", "FAN_OUT", "FAN_AVG"])
@pytest.mark.parametrize("uniform", [False, True])
def test_spread_is_slims(shape, mode, uniform):
    count = {"FAN_IN": FANS[shape][0], "FAN_OUT": FANS[shape][1], "FAN_AVG": sum(FANS[shape]) / 2}[mode]
    expected = np.sqrt((3.0 if uniform else 1.3) * 2.0 / count)
    assert initializers.variance_scaling_initializer(2.0, mode, uniform).spread(shape) == pytest.approx(expected)


def test_xavier_is_a_uniform_average():
    assert initializers.xavier_initializer().spread([3, 3, 8, 16]) == pytest.approx(np.sqrt(6 / (72 + 144)))
    assert initializers.xavier_initializer_conv2d(False).spread([10, 20]) == pytest.approx(np.sqrt(2.6 / 30))


def draw(initializer, shape, dtype=tf.float32):
    """One stateful draw in a graph with a fixed seed."""
    with tf.Graph().as_default():
        v1.set_random_seed(11)
        with v1.Session() as session:
            return session.run(tf.cast(initializer(shape, dtype=dtype), tf.float32))


@pytest.mark.parametrize("mode", ["FAN_IN", "FAN_OUT", "FAN_AVG"])
@pytest.mark.parametrize("uniform", [False, True])
def test_a_seeded_draw_is_slims_value_for_value(mode, uniform):
    arguments = {"factor": 1.5, "mode": mode, "uniform": uniform, "seed": 5}
    ours = draw(initializers.variance_scaling_initializer(**arguments), [3, 3, 8, 16])
    theirs = draw(tf_slim.variance_scaling_initializer(**arguments), [3, 3, 8, 16])
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("mode", ["fan_in", "FAN", None])
def test_unknown_mode_is_refused(mode):
    with pytest.raises(TypeError, match="mode"):
        initializers.variance_scaling_initializer(mode=mode)


def test_integer_types_are_refused():
    with pytest.raises(TypeError, match="floating"):
        initializers.xavier_initializer(dtype=tf.int32)
    with pytest.raises(TypeError, match="floating"):
        initializers.xavier_initializer()([2, 2], dtype=tf.int32)


def test_half_types_are_drawn():
    for dtype in (tf.float16, tf.bfloat16):
        values = draw(initializers.xavier_initializer(), [30, 40], dtype)
        assert values.std() == pytest.approx(np.sqrt(2 / 70), rel=0.1)


def test_configuration_makes_the_same_initializer_again():
    first = initializers.variance_scaling_initializer(0.5, "FAN_OUT", True, 3)
    assert initializers.VarianceScaling(**first.get_config()).get_config() == first.get_config()


def test_partitions_are_drawn_as_parts_of_the_whole():
    with tf.Graph().as_default(), v1.variable_scope("s", partitioner=v1.fixed_size_partitioner(2)):
        # Slim's own takes the slice for the whole and draws too widely.
        variable = v1.get_variable("w", [100, 50], initializer=initializers.xavier_initializer(), use_resource=True)
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            values = session.run(variable.as_tensor())
    assert np.abs(values).max() <= np.sqrt(6 / 150)


@pytest.mark.parametrize("shape", [(3, 1, 1, 4, 4), (1, 1, 2, 2), (5, 3, 6, 6), (4, 4)])
@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16, tf.float16])
def test_an_identity_kernel_passes_each_channel_at_the_middle_of_its_window(shape, dtype):
    expected = np.zeros(shape)
    expected[tuple(side // 2 for side in shape[:-2])] = np.eye(shape[-1])
    np.testing.assert_array_equal(draw(initializers.CenterIdentity(), shape, dtype), expected)
    tensor = initializers.sample(initializers.CenterIdentity(), shape, dtype, (1, 2))
    assert tensor.dtype == dtype
    np.testing.assert_array_equal(tf.cast(tensor, tf.float32), expected)


@pytest.mark.parametrize("shape", [(3, 1, 1, 4, 5), (2, 1, 1, 4, 4), (3, 3, 2, 4, 4), (4,)])
def test_a_kernel_that_cannot_be_the_identity_is_refused(shape):
    with pytest.raises(ValueError, match="an identity kernel has"):
        initializers.CenterIdentity()(shape)


def test_partitions_of_an_identity_kernel_are_parts_of_the_whole():
    partitioner = v1.fixed_size_partitioner(3)
    with tf.Graph().as_default(), v1.variable_scope("s", partitioner=partitioner):
        initializer = initializers.CenterIdentity()
        variable = v1.get_variable("w", [3, 1, 4, 4], initializer=initializer, use_resource=True)
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            values = session.run(variable.as_tensor())
    np.testing.assert_array_equal(values, np.stack([np.zeros([1, 4, 4]), np.eye(4)[None], np.zeros([1, 4, 4])]))


# -- sample ----------------------------------------------------------------------------------------------------------

SHAPE = (60, 70)
RANDOM = {  # initializer, mean, standard deviation, largest distance from the mean
    "slim uniform": (initializers.xavier_initializer(), 0.0, np.sqrt(2 / 130), np.sqrt(6 / 130)),
    "slim normal": (
        initializers.variance_scaling_initializer(),
        0.0,
        0.8796 * np.sqrt(2.6 / 60),
        2 * np.sqrt(2.6 / 60),
    ),
    "truncated normal": (v1.truncated_normal_initializer(1.0, 0.1), 1.0, 0.08796, 0.2),
    "normal": (v1.random_normal_initializer(1.0, 0.1), 1.0, 0.1, 0.6),
    "uniform": (v1.random_uniform_initializer(1.0, 4.0), 2.5, 3 / np.sqrt(12), 1.5),
    "variance scaling": (v1.variance_scaling_initializer(2.0), 0.0, np.sqrt(2 / 60), 2.28 * np.sqrt(2 / 60)),
    "variance scaling uniform": (
        v1.variance_scaling_initializer(2.0, "fan_out", "uniform"),
        0.0,
        np.sqrt(2 / 70),
        np.sqrt(6 / 70),
    ),
    "variance scaling normal": (
        v1.variance_scaling_initializer(1.0, "fan_avg", "untruncated_normal"),
        0.0,
        np.sqrt(1 / 65),
        6 * np.sqrt(1 / 65),
    ),
    "glorot uniform": (v1.glorot_uniform_initializer(), 0.0, np.sqrt(2 / 130), np.sqrt(6 / 130)),
    "glorot normal": (v1.glorot_normal_initializer(), 0.0, np.sqrt(2 / 130), 2.28 * np.sqrt(2 / 130)),
    "a class": (v1.glorot_uniform_initializer, 0.0, np.sqrt(2 / 130), np.sqrt(6 / 130)),
    "none": (None, 0.0, np.sqrt(2 / 130), np.sqrt(6 / 130)),
    "a function": (lambda shape, dtype: tf.random.normal(shape, 2.0, 0.5, dtype), 2.0, 0.5, 3.0),
    "tf-slim's own": (tf_slim.xavier_initializer(), 0.0, np.sqrt(2 / 130), np.sqrt(6 / 130)),
}


@pytest.mark.parametrize("case", RANDOM, ids=lambda case: case.replace(" ", "_"))
@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_sample_draws_the_initializers_distribution(case, dtype):
    initializer, mean, stddev, limit = RANDOM[case]
    tensor = initializers.sample(initializer, SHAPE, dtype, (1, 2))
    assert (tensor.dtype, tuple(tensor.shape)) == (dtype, SHAPE)
    values = tf.cast(tensor, tf.float32).numpy()
    assert values.mean() == pytest.approx(mean, abs=5 * stddev / 60)
    assert values.std() == pytest.approx(stddev, rel=0.05)
    assert np.abs(values - mean).max() <= limit * (1.02 if dtype == tf.bfloat16 else 1.0001)


@pytest.mark.parametrize("case", RANDOM, ids=lambda case: case.replace(" ", "_"))
def test_sample_is_a_function_of_the_seed(case):
    def values(*seed):
        return initializers.sample(RANDOM[case][0], SHAPE, tf.float32, seed).numpy()

    np.testing.assert_array_equal(values(1, 2), values(1, 2))
    assert (values(1, 2) != values(1, 3)).mean() > 0.99
    assert (values(1, 2) != values(2, 2)).mean() > 0.99


CONSTANTS = {
    "zeros": (v1.zeros_initializer(), 0),
    "ones class": (v1.ones_initializer, 1),
    "constant": (v1.constant_initializer(0.1), 0.1),
    "array": (np.full([2, 3], 4.0), 4),
    "list": ([[1.0, 1.0, 1.0]] * 2, 1),
}


@pytest.mark.parametrize("case", CONSTANTS, ids=lambda case: case.replace(" ", "_"))
def test_sample_gives_constants(case):
    initializer, value = CONSTANTS[case]
    tensor = initializers.sample(initializer, [2, 3], tf.float32, (0, 0))
    np.testing.assert_array_equal(tensor, np.full([2, 3], value, np.float32))


def test_sample_defaults_to_zeros_for_integers():
    np.testing.assert_array_equal(initializers.sample(None, [3], tf.int64, (0, 0)), np.zeros(3, np.int64))


def test_a_constant_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"\(3,\)"):
        initializers.sample(np.zeros(3), [4], tf.float32, (0, 0))


def test_sample_in_a_function_takes_a_seed_tensor():
    @tf.function
    def many(seed):
        shapes = [[3, 3, 8, 8], [8], [64, 10]]
        return [initializers.sample(initializers.xavier_initializer(), s, tf.float32, seed) for s in shapes]

    eager = initializers.sample(initializers.xavier_initializer(), [8], tf.float32, (4, 5))
    np.testing.assert_array_equal(many(tf.constant([4, 5]))[1], eager)


def test_an_unknown_callable_needs_a_seed_known_in_python():
    @tf.function
    def call(seed):
        return initializers.sample(lambda shape, dtype: tf.zeros(shape, dtype), [2], tf.float32, seed)

    with pytest.raises(ValueError, match="stateless"):
        call(tf.constant([1, 2]))


@pytest.mark.parametrize("case", [*RANDOM, *CONSTANTS], ids=lambda case: case.replace(" ", "_"))
def test_has_stateless_draw_says_what_can_be_drawn_with_a_seed_not_known_in_python(case):
    initializer = (RANDOM.get(case) or CONSTANTS[case])[0]
    assert initializers.has_stateless_draw(initializer) == (case not in ("a function", "tf-slim's own"))

    @tf.function
    def draw(seed):
        return initializers.sample(initializer, [2, 3], tf.float32, seed)

    if initializers.has_stateless_draw(initializer):
        expected = initializers.sample(initializer, [2, 3], tf.float32, (4, 5))
        np.testing.assert_allclose(draw(tf.constant([4, 5])), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("initializer", "fixed"),
    [
        (tf.compat.v1.zeros_initializer(), True),
        (tf.compat.v1.ones_initializer, True),
        (tf.compat.v1.constant_initializer(0.1), True),
        (3.0, True),
        (None, False),
        (initializers.CenterIdentity(), True),
        (initializers.xavier_initializer(), False),
        (tf.compat.v1.truncated_normal_initializer, False),
        (lambda shape, dtype: tf.zeros(shape, dtype), False),
    ],
)
def test_fixed_initializers_are_told_from_random_ones(initializer, fixed):
    assert initializers.is_fixed(initializer) == fixed
