"""`Network`: initial values, what moves in which mode, dtypes, sizes, and where it can be called."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from nets.network import Network, class_count

SIZE = 32
NAME = "mobilenet_v1_025"  # small, with batch norm and dropout


def images_of(batch=4, size=SIZE, channels=3, seed=0):
    return tf.random.stateless_uniform([batch, size, size, channels], [seed, 1], -1.0, 1.0)


def make_network(name=NAME, num_classes=5, *, seed=0, **options):
    network = Network(name, num_classes, **{"image_size": SIZE, **options}, seed=seed)
    network.initialize()
    return network


@pytest.fixture(scope="module")
def mobilenet():
    """A network for tests that change nothing of it."""
    return make_network()


def values_of(network):
    return {name: variable.numpy() for name, variable in network.variables_by_name.items()}


def changed(before, network):
    return [name for name, value in values_of(network).items() if value.tobytes() != before[name].tobytes()]


def call(network, images, **options):
    return tf.function(lambda batch: network(batch, **options)[0], autograph=False)(images).numpy()


# -- initial values --------------------------------------------------------------------------------------------------


def test_values_are_used_and_only_the_others_are_drawn(mobilenet):
    network = Network(NAME, 5, image_size=SIZE)
    weights, gamma = network.specs[0], network.specs[1]
    given = {weights.name: np.full(weights.shape, 0.25, np.float16), gamma.name: tf.fill(gamma.shape, 2.0)}
    network.initialize(given)
    values, drawn = values_of(network), values_of(mobilenet)
    assert (values[weights.name] == 0.25).all(), "a float16 checkpoint's values are cast"
    assert values[weights.name].dtype == np.float32
    assert (values[gamma.name] == 2.0).all()
    others = set(values) - set(given)
    assert all(values[name].tobytes() == drawn[name].tobytes() for name in others), "what is given changes no draw"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"MobilenetV1/Conv2d_0/weigths": np.zeros(3)}, "has no variables MobilenetV1/Conv2d_0/weigths"),
        ({"MobilenetV1/Conv2d_0/weights": np.zeros([3, 3, 3, 9])}, r"\(3, 3, 3, 8\)"),
    ],
)
def test_values_that_do_not_fit_are_refused(values, words):
    with pytest.raises(ValueError, match=words):
        Network(NAME, 5, image_size=SIZE).initialize(values)


def test_initial_values_follow_from_the_seed_and_the_name_alone(mobilenet):
    first, again, other = values_of(mobilenet), values_of(make_network()), values_of(make_network(seed=1))
    wider = values_of(make_network(num_classes=6))  # other variables are drawn beside them
    random = [name for name in first if name.endswith("weights")]
    assert len(random) == 28
    for name in first:
        assert first[name].tobytes() == again[name].tobytes(), name
        if "Logits" not in name:
            assert first[name].tobytes() == wider[name].tobytes(), name
    for name in random:
        assert (first[name] != other[name]).mean() > 0.99, name
    flat = [first[name].ravel()[:72] for name in random]
    assert len({values.tobytes() for values in flat}) == len(flat), "equal shapes draw different values"
    assert all((first[name] == 1).all() for name in first if name.endswith(("gamma", "moving_variance")))


def test_a_call_before_initialize_says_so():
    with pytest.raises(ValueError, match=r"no variables yet: call initialize\(\) first"):
        Network(NAME, 5, image_size=SIZE)(images_of())


def test_initialize_again_takes_effect_in_eager_calls():
    network = make_network("linear")
    assert (network(images_of())[0].numpy() == 0).all()
    network.initialize({"Linear/logits/biases": np.arange(5.0)})
    np.testing.assert_array_equal(network(images_of())[0], np.tile(np.arange(5.0, dtype=np.float32), (4, 1)))


# -- what moves ------------------------------------------------------------------------------------------------------


def test_training_moves_the_averages_and_inference_nothing():
    network = make_network()
    before = values_of(network)
    call(network, images_of())
    assert changed(before, network) == []
    call(network, images_of(), training=True)
    assert changed(before, network) == network.moving_statistics_names()
    assert len(network.moving_statistics_names()) == 54


def test_frozen_layers_do_not_move():
    network = make_network()
    trained = [n for n in network.trainable_names if "Logits" in n or "Conv2d_13_pointwise" in n]
    network.train_only(trained)
    assert network.trained_names == trained
    moving = [f"MobilenetV1/Conv2d_13_pointwise/BatchNorm/moving_{what}" for what in ("mean", "variance")]
    assert network.moving_statistics_names() == moving
    before = values_of(network)
    for _ in range(2):
        call(network, images_of(), training=True)
    assert changed(before, network) == moving
    network.train_only(["MobilenetV1/Logits/Conv2d_1c_1x1/weights"])
    assert network.moving_statistics_names() == []
    same = [call(network, images_of(), training=mode, seed=[1, 2]) for mode in (True, True)]
    np.testing.assert_array_equal(*same)


def test_frozen_batch_norm_normalises_as_evaluation_does():
    network = make_network("resnet_v1_50")  # no dropout
    network.train_only([])
    np.testing.assert_allclose(call(network, images_of(), training=True), call(network, images_of()), atol=1e-5)


def test_batch_statistics_without_training_leave_the_averages():
    network = make_network()
    before = values_of(network)
    by_batch = call(network, images_of(), batch_statistics=True)
    assert changed(before, network) == []
    assert np.abs(by_batch - call(network, images_of())).max() > 1e-3
    np.testing.assert_array_equal(by_batch, call(network, images_of(), batch_statistics=True))  # no dropout


def test_training_can_keep_to_the_averages():
    network = make_network()
    before = values_of(network)
    call(network, images_of(), training=True, batch_statistics=False)
    assert changed(before, network) == []


def test_batch_norm_decay_replaces_the_networks():
    """With decay 0 the averages become the batch's own, so that both modes agree up to Bessel's correction."""
    network = make_network("resnet_v1_50", image_size=64)
    images, decays = images_of(16, 64), []

    def none_of_it(decay):
        decays.append(decay)
        return tf.constant(0.0)

    by_batch = call(network, images, training=True, batch_norm_decay=none_of_it)
    assert set(decays) == {0.997}
    assert len(decays) == len(network.moving_statistics_names()) / 2
    name = "resnet_v1_50/conv1/BatchNorm/moving_mean"
    weights = network.variables_by_name["resnet_v1_50/conv1/weights"]
    padded = tf.pad(images, [[0, 0], [3, 3], [3, 3], [0, 0]])
    mean = tf.reduce_mean(tf.nn.conv2d(padded, weights, 2, "VALID"), axis=[0, 1, 2])
    np.testing.assert_allclose(network.variables_by_name[name], mean, atol=1e-5)
    assert np.abs(call(network, images) - by_batch).mean() < 0.2 * by_batch.std()


def test_a_seed_fixes_the_dropout_masks():
    network = make_network("lenet", channels=3)

    @tf.function(autograph=False)
    def function(seed):
        return network(images_of(), training=True, seed=seed)[0]

    def logits(seed):
        return function(seed).numpy()

    first = logits(tf.constant([3, 4]))
    np.testing.assert_array_equal(first, logits(tf.constant([3, 4])))
    assert (first != logits(tf.constant([3, 5]))).any()
    assert (logits(None) != logits(None)).any()


# -- types and sizes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [False, True])
def test_bfloat16_keeps_variables_and_logits_in_float32(training):
    wide, narrow = (make_network(compute_dtype=dtype) for dtype in (tf.float32, tf.bfloat16))
    assert {variable.dtype for variable in narrow.variables_by_name.values()} == {tf.float32}
    options = {"training": training, "seed": [1, 2]}
    expected, logits = call(wide, images_of(32), **options), call(narrow, images_of(32), **options)
    assert logits.dtype == np.float32
    assert (logits != expected).any()
    assert np.abs(logits - expected).mean() < (0.4 if training else 0.05) * expected.std()
    if training:
        name = "MobilenetV1/Conv2d_0/BatchNorm/moving_mean"
        np.testing.assert_allclose(wide.variables_by_name[name], narrow.variables_by_name[name], atol=1e-4)


@pytest.mark.parametrize(("name", "shape"), [("mobilenet_v1_025", (3, 3, 1, 8)), ("lenet", (5, 5, 1, 32))])
def test_gray_images_and_another_size(name, shape):
    network = make_network(name, channels=1, image_size=48)
    assert network.specs[0].shape == shape
    logits, _ = network(images_of(2, 48, 1))
    assert logits.shape == [2, 5]


@pytest.mark.parametrize("num_classes", [0, None])
def test_without_classes_the_features_come_back(num_classes):
    network = make_network(num_classes=num_classes)
    net, end_points = network(images_of(2))
    assert net.shape == [2, 1, 1, 256]
    assert "Logits" not in end_points
    assert not [name for name in network.shapes if "Logits" in name]


def test_images_may_come_as_integers_or_arrays(mobilenet):
    images = np.arange(2 * SIZE * SIZE * 3).reshape(2, SIZE, SIZE, 3) % 3
    expected = mobilenet(images.astype(np.float32))[0]
    np.testing.assert_array_equal(mobilenet(images.astype(np.uint8))[0], expected)


def test_another_size_is_fine_where_it_needs_the_same_variables(mobilenet):
    assert mobilenet(images_of(2, 64))[0].shape == [2, 5]


@pytest.mark.parametrize(("name", "size"), [("linear", 16), ("lenet", 16), ("cifarnet", 24)])
def test_another_size_that_needs_other_variables_is_told(name, size):
    network = make_network(name, channels=3)
    with pytest.raises(ValueError, match=rf"'{name}' was built for 32x32 images with 3 channels and has no"):
        network(images_of(2, size))


@pytest.mark.parametrize(
    ("name", "size", "own", "reason"),
    [
        ("mobilenet_v1_025", 300, 224, "the classifier's output is a map of 2x2, not one answer per image"),
        ("vgg_16", 64, 224, "Negative dimension size"),
        ("inception_v3", 40, 299, "is too small for"),
    ],
)
def test_a_size_that_the_network_does_not_take_is_the_users_matter(name, size, own, reason):
    with pytest.raises(
        ValueError, match=rf"^network '{name}' does not take images of {size}x{size}: .*{reason}"
    ) as error:
        Network(name, 5, image_size=size)
    assert isinstance(error.value, UserError), "a script tells it in one line"
    assert f"Its own size is {own}x{own}; leave out --train_image_size" in str(error.value)


def test_what_is_wrong_at_any_size_is_no_matter_of_size():
    with pytest.raises(ValueError, match=r"^depth_multiplier must be greater than zero"):
        Network("inception_v3", 5, image_size=200, depth_multiplier=-1.0)


def test_regularization_loss_sums_what_is_asked():
    network = make_network("cifarnet", weight_decay=0.5)
    squares = {n: 0.5 * (v**2).sum() / 2 for n, v in values_of(network).items() if "fc" in n and n.endswith("weights")}
    assert len(squares) == 2
    assert float(network.regularization_loss()) == pytest.approx(sum(squares.values()), rel=1e-5)
    name = "CifarNet/fc3/weights"
    assert float(network.regularization_loss([name, "CifarNet/fc3/biases"])) == pytest.approx(squares[name], rel=1e-5)
    assert float(network.regularization_loss([])) == 0
    assert float(make_network("cifarnet").regularization_loss()) == 0, "no weight decay, no terms"


# -- where it can be called ------------------------------------------------------------------------------------------


def test_eager_calls_equal_those_in_a_function():
    eager, compiled = make_network(), make_network()
    for options in (
        {},
        {"batch_statistics": True},
        {"training": True, "seed": [1, 2]},
        {"training": True, "seed": [1, 3], "batch_norm_decay": lambda decay: 0.5},
        {"training": True, "seed": [1, 3], "batch_norm_decay": lambda decay: 0.9},
        {},
    ):
        logits, end_points = eager(images_of(), **options)
        np.testing.assert_allclose(logits, call(compiled, images_of(), **options), atol=1e-6)
        assert next(iter(end_points)) == "Conv2d_0"
    expected = values_of(compiled)
    for name, value in values_of(eager).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_one_function_may_call_it_twice_and_take_gradients(mobilenet):
    weights = mobilenet.variables_by_name["MobilenetV1/Conv2d_0/weights"]

    @tf.function(autograph=False)
    def both(first, second):
        with tf.GradientTape() as tape:
            results = mobilenet(first)[0], mobilenet(second)[0]
            loss = tf.reduce_sum(results[0] - 2 * results[1])
        return *results, tape.gradient(loss, weights)

    first, second, gradient = both(images_of(seed=1), images_of(seed=2))
    np.testing.assert_allclose(first, call(mobilenet, images_of(seed=1)), atol=1e-6)
    np.testing.assert_allclose(second, call(mobilenet, images_of(seed=2)), atol=1e-6)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


TWO_DEVICES = """
import numpy as np, tensorflow as tf
from nets.network import Network
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
images = tf.random.stateless_uniform([8, 32, 32, 3], [0, 1], -1.0, 1.0)
with strategy.scope():
    network = Network("mobilenet_v1_025", 5, image_size=32, weight_decay=0.1)
    network.initialize()
alone = Network("mobilenet_v1_025", 5, image_size=32, weight_decay=0.1)
alone.initialize()

@tf.function(autograph=False)
def step(network, batch):
    name = "MobilenetV1/Logits/Conv2d_1c_1x1/weights"
    with tf.GradientTape() as tape:
        logits, _ = network(batch, training=True, seed=tf.constant([1, 2]))
        loss = tf.reduce_sum(logits**2) + network.regularization_loss()
    return logits, tape.gradient(loss, network.variables_by_name[name])

halves = strategy.experimental_distribute_values_from_function(
    lambda context: images[4 * context.replica_id_in_sync_group:][:4])
per_replica = strategy.run(step, (network, halves))
each = [strategy.experimental_local_results(value) for value in per_replica]
moments = []
for half in range(2):
    before = {name: value.numpy() for name, value in alone.variables_by_name.items()}
    logits, gradient = step(alone, images[4 * half:][:4])
    np.testing.assert_allclose(each[0][half], logits, atol=1e-5)
    np.testing.assert_allclose(each[1][half], gradient, rtol=1e-4, atol=1e-4)
    moments.append({name: alone.variables_by_name[name].numpy() for name in alone.moving_statistics_names()})
    for name, value in before.items():
        alone.variables_by_name[name].assign(value)
for name in network.moving_statistics_names():
    mean = (moments[0][name] + moments[1][name]) / 2
    np.testing.assert_allclose(network.variables_by_name[name].numpy(), mean, rtol=1e-4, atol=1e-5)
print("agreed on", len(network.moving_statistics_names()), type(network.variables_by_name[name]).__name__)
"""


def test_two_devices_do_what_one_does_with_each_half(project_root):
    command = [sys.executable, "-c", TWO_DEVICES]
    done = subprocess.run(command, cwd=project_root, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.strip() == "agreed on 54 SyncOnReadVariable", done.stderr[-3000:]


# -- class_count -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["linear", "lenet", "cifarnet", "alexnet_v2", "overfeat", "vgg_a", "inception_v1", "inception_v3"]
    + ["resnet_v1_50", "resnet_v2_50", "mobilenet_v1_025"],
)
def test_class_count_is_read_off_the_shapes(name):
    shapes = Network(name, 7).shapes
    assert class_count(name, shapes) == 7
    without_head = {variable: shape for variable, shape in shapes.items() if 7 not in shape}
    assert class_count(name, without_head) is None
    assert class_count(name, {"global_step": (), "dense/kernel": (1024, 7)}) is None


def test_class_count_does_not_need_the_auxiliary_head():
    shapes = {name: shape for name, shape in Network("inception_v3", 7).shapes.items() if "AuxLogits" not in name}
    assert class_count("inception_v3", shapes) == 7
