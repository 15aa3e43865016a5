"""DCGAN, pix2pix and CycleGAN: what the original's unit tests fix, the arguments, numbers by hand, a step of each."""

import pathlib
import re
import runpy

import numpy as np
import pytest
import tensorflow as tf

from nets import cyclegan, dcgan, pix2pix
from nets import layers as slim

v1 = tf.compat.v1

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "generators.md"


def images(*shape):
    return v1.placeholder(tf.float32, shape)


def noise(*shape):
    return tf.random.stateless_uniform(shape, [5, 6], -1.0, 1.0)


def shapes(end_points):
    return {key: value.shape.as_list()[1:] for key, value in end_points.items()}


def variables(suffix=""):
    """Shapes of the trained variables by name, in order of creation."""
    return {v.op.name: v.shape.as_list() for v in v1.trainable_variables() if v.op.name.endswith(suffix)}


# -- dcgan -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, 2, 3, 4, 5])
def test_dcgan_discriminator_halves_the_side_and_doubles_the_depth(graph, layers):
    side = 2**layers
    logits, end_points = dcgan.discriminator(images(None, side, side, 3), depth=32)
    expected = {f"conv{i}": [side // 2**i, side // 2**i, 32 * 2 ** (i - 1)] for i in range(1, layers + 1)}
    assert shapes(end_points) == {**expected, "logits": [1]}
    assert logits.shape.as_list() == [None, 1]
    assert end_points["logits"] is logits


@pytest.mark.parametrize("final_size", [8, 16, 32, 64])
def test_dcgan_generator_ends_at_the_final_size(graph, final_size):
    logits, end_points = dcgan.generator(images(None, 7), depth=32, final_size=final_size, num_outputs=2)
    layers = int(np.log2(final_size)) - 1
    sides = [4 * 2**i for i in range(layers)]
    expected = {f"deconv{i + 1}": [side, side, 32 * final_size // side] for i, side in enumerate(sides)}
    assert shapes(end_points) == {**expected, "logits": [final_size, final_size, 2]}
    assert logits.shape.as_list() == [None, final_size, final_size, 2]


def test_dcgan_variables(graph):
    dcgan.discriminator(images(2, 8, 8, 1), depth=2)
    assert variables() == {
        "Discriminator/conv1/weights": [4, 4, 1, 2],
        "Discriminator/conv1/biases": [2],
        "Discriminator/conv2/weights": [4, 4, 2, 4],
        "Discriminator/conv2/BatchNorm/beta": [4],
        "Discriminator/conv3/weights": [4, 4, 4, 8],
        "Discriminator/conv3/BatchNorm/beta": [8],
        "Discriminator/Conv/weights": [1, 1, 8, 1],
        "Discriminator/Conv/biases": [1],
    }
    with tf.Graph().as_default():
        dcgan.generator(images(2, 5), depth=2, final_size=16, scope="G")
        assert variables() == {
            "G/deconv1/weights": [4, 4, 8, 5],
            "G/deconv1/BatchNorm/beta": [8],
            "G/deconv2/weights": [4, 4, 4, 8],
            "G/deconv2/BatchNorm/beta": [4],
            "G/deconv3/weights": [4, 4, 2, 4],
            "G/deconv3/biases": [2],
            "G/logits/weights": [1, 1, 2, 3],
            "G/logits/biases": [3],
        }


@pytest.mark.parametrize(
    "shape", [(2, 8, 16, 3), (2, 6, 6, 3), (2, None, 8, 3), (2, 8, None, 3), (2, 64), (2, 0, 0, 3)]
)
def test_dcgan_discriminator_takes_square_images_of_a_power_of_two(graph, shape):
    with pytest.raises(ValueError, match=r"^the discriminator's images must be .* got \S.*$"):
        dcgan.discriminator(images(*shape))


@pytest.mark.parametrize("final_size", [30, 4, 0, -8, 48, 2])
def test_dcgan_generator_refuses_other_sizes(graph, final_size):
    with pytest.raises(ValueError, match=f"final_size must be a power of two and at least 8, not {final_size}"):
        dcgan.generator(images(2, 5), final_size=final_size)


def test_dcgan_generator_takes_vectors(graph):
    with pytest.raises(ValueError, match=r"the generator's inputs must be \[batch, numbers\], got"):
        dcgan.generator(images(2, 1, 1, 5))


def test_dcgan_numbers_of_a_constant_network(graph, run):
    """A 2x2 image of ones under -1/4 weights: -1 in each filter, leaky relu makes -0.2 of it, two filters -0.4."""
    with slim.arg_scope([slim.conv2d], weights_initializer=v1.constant_initializer(-0.25)):
        logits, end_points = dcgan.discriminator(tf.ones([1, 2, 2, 1]), depth=2)
    np.testing.assert_allclose(run(end_points["conv1"]), np.full([1, 1, 1, 2], -0.2), rtol=1e-6)
    np.testing.assert_allclose(run(logits), [[0.1]], rtol=1e-6)


@pytest.mark.parametrize("fused", [False, True])
def test_dcgan_moving_mean_is_the_batchs_after_one_step_and_the_variance_moves_slowly(graph, run, fused):
    """Zero-debiased, with decay 0.999; the fused op averages the Bessel-corrected variance of 12 values."""
    dcgan.discriminator(noise(3, 4, 4, 2), depth=2, fused_batch_norm=fused)
    convolved = graph.get_operation_by_name("Discriminator/conv2/Conv2D").outputs[0]
    updates = v1.get_collection(v1.GraphKeys.UPDATE_OPS)
    assert len(updates) == 2
    values = run(convolved)
    assert values.shape == (3, 1, 1, 4)
    run(updates)
    mean, variance = (
        run(slim.get_variables_by_suffix(f"conv2/BatchNorm/{name}")[0]) for name in ("moving_mean", "moving_variance")
    )
    np.testing.assert_allclose(mean, values.mean(axis=(0, 1, 2)), rtol=1e-4, atol=1e-6)
    biased = values.var(axis=(0, 1, 2))
    np.testing.assert_allclose(variance, 0.999 + 0.001 * biased * (3 / 2 if fused else 1), rtol=1e-6)
    name = "Discriminator/conv2/BatchNorm/Discriminator/conv2/BatchNorm/moving_mean/biased"
    np.testing.assert_allclose(run(slim.get_variables(name)[0]), 0.001 * mean, rtol=1e-3)


def test_dcgan_evaluation_reuses_the_variables_and_the_averages(graph, run):
    trained, _ = dcgan.generator(noise(4, 5), 2, 8)
    evaluated, _ = dcgan.generator(noise(4, 5), 2, 8, is_training=False, reuse=True)
    assert len(v1.get_collection(v1.GraphKeys.UPDATE_OPS)) == 2
    assert not np.allclose(run(trained), run(evaluated))


# -- pix2pix ---------------------------------------------------------------------------------------------------------

PAPER = [64, 128, 256, 512, 512, 512, 512]


@pytest.mark.parametrize("method", ["nn_upsample_conv", "conv2d_transpose"])
def test_pix2pix_generator_gives_images_of_the_inputs_size(graph, method):
    """Decoder layers beyond the first take the mirrored encoder layer's channels too."""
    with slim.arg_scope(pix2pix.pix2pix_arg_scope()):
        logits, end_points = pix2pix.pix2pix_generator(images(None, 256, 256, 3), 4, upsample_method=method)
    assert logits.shape.as_list() == [None, 256, 256, 4]
    expected = {f"encoder{i}": [128 >> i, 128 >> i, depth] for i, depth in enumerate(PAPER)}
    expected |= {f"decoder{i}": [4 << i, 4 << i, depth] for i, depth in enumerate(reversed(PAPER))}
    expected |= {"logits": [256, 256, 4], "predictions": [256, 256, 4]}
    assert shapes(end_points) == expected
    assert list(end_points) == list(expected)
    inputs = [512, 512 + 512, 512 + 512, 512 + 512, 512 + 256, 256 + 128, 128 + 64]
    transposed = method == "conv2d_transpose"
    weights = [shape for name, shape in variables("weights").items() if name.startswith("decoder")]
    depths = zip(inputs, reversed(PAPER), strict=True)
    assert weights == [[4, 4, *((out, into) if transposed else (into, out))] for into, out in depths]
    normalized = {name.rpartition("/InstanceNorm")[0] for name in variables("gamma")}
    layer = "Conv2d_transpose" if transposed else "Conv"
    assert normalized == {
        *(f"encoder/Conv_{i}" for i in range(1, 6)),
        *(f"decoder/{layer}_{i}" if i else f"decoder/{layer}" for i in range(7)),
    }


BLOCKS = [pix2pix.Block(4, 0.5), pix2pix.Block(6, 0.5), pix2pix.Block(8, 0)]


@pytest.mark.parametrize(
    ("shape", "blocks"),
    [
        ((2, 16, 24, 3), BLOCKS),
        ((2, 4, 4, 1), [(3, 0), (5, 1)]),
        ((None, None, None, 3), BLOCKS),
        ((1, 2, 6, 1), [(2, 0)]),
    ],
)
def test_pix2pix_blocks(graph, run, shape, blocks):
    inputs = images(*shape)
    logits, end_points = pix2pix.pix2pix_generator(inputs, 2, blocks)
    assert logits.shape.as_list() == [*shape[:3], 2]
    for side in ("encoder", "decoder"):
        assert [key for key in end_points if key.startswith(side)] == [f"{side}{i}" for i in range(len(blocks))]
    fed = np.ones([side or 16 for side in shape], np.float32)
    assert run(logits, {inputs: fed}).shape == (*fed.shape[:3], 2)


def test_pix2pix_dropout_is_always_on_where_a_block_has_it(graph, run):
    def build(keep):
        with v1.variable_scope("", reuse=v1.AUTO_REUSE):
            blocks = [pix2pix.Block(8, keep), pix2pix.Block(8, 0)]
            return pix2pix.pix2pix_generator(noise(1, 8, 8, 3), 3, blocks, is_training=False)[0]

    dropping, whole = build(0.5), build(0)
    assert (run(dropping) != run(dropping)).any()
    np.testing.assert_array_equal(run(whole), run(whole))


@pytest.mark.parametrize("shape", [(1, 100, 128, 3), (1, 128, 130, 3), (1, 64, 64, 3), (128, 128, 3)])
def test_pix2pix_generator_takes_sides_that_halve_once_a_block(graph, shape):
    with pytest.raises(ValueError, match=r"^the generator's images must .*, got .*$"):
        pix2pix.pix2pix_generator(images(*shape), 3)


def test_pix2pix_unknown_upsampling(graph):
    with pytest.raises(ValueError, match="unknown upsampling method 'bicubic'; expected nn_upsample_conv or"):
        pix2pix.pix2pix_generator(images(1, 128, 128, 3), 3, upsample_method="bicubic")
    with pytest.raises(ValueError, match="unknown upsampling method 'bicubic'"):
        pix2pix.upsample(images(1, 4, 4, 3), 3, [2, 2], "bicubic")


def test_pix2pix_upsampling_by_hand(graph, run):
    """[1, 2] under ones 4x4, padded by one before and two after: each place of the result sums 4x4 of the repeated."""
    inputs = tf.constant([1.0, 2.0], shape=[1, 1, 2, 1])
    with slim.arg_scope([slim.conv2d, slim.conv2d_transpose], weights_initializer=v1.ones_initializer()):
        nearest = pix2pix.upsample(inputs, 1, [2, 2])
        transposed = pix2pix.upsample(inputs, 1, [2, 2], "conv2d_transpose")
        odd = pix2pix.upsample(inputs, 2, [3, 1])
    # Repeated: two rows of 1 1 2 2. A window at x covers x-1 .. x+2, and both rows wherever it is.
    np.testing.assert_allclose(run(nearest)[0, :, :, 0], [[8, 12, 10, 8]] * 2)
    # Spread out: 1 and 2 each over four columns, from -1 to 2 and from 1 to 4.
    np.testing.assert_allclose(run(transposed)[0, :, :, 0], [[1, 3, 3, 2]] * 2)
    assert odd.shape == [1, 3, 2, 2]


@pytest.mark.parametrize(
    ("padding", "sides"), [(2, [129, 65, 33, 34, 35]), (0, [127, 62, 30, 27, 24]), (1, [128, 64, 32, 31, 30])]
)
def test_pix2pix_discriminator_judges_patches(graph, padding, sides):
    with slim.arg_scope(pix2pix.pix2pix_arg_scope()):
        filters = [64, 128, 256, 512]
        logits, end_points = pix2pix.pix2pix_discriminator(images(3, 256, 256, 6), filters, padding=padding)
    expected = {f"conv{i}": [side, side, depth] for i, (side, depth) in enumerate(zip(sides[:4], filters, strict=True))}
    answers = [sides[4], sides[4], 1]
    assert shapes(end_points) == {**expected, "logits": answers, "predictions": answers}
    assert end_points["logits"] is logits
    assert list(variables("biases")) == ["conv0/biases", "conv4/biases"]
    assert list(variables("gamma")) == [f"conv{i}/InstanceNorm/gamma" for i in (1, 2, 3)]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"padding": 1.5}, TypeError, "padding must be an integer, not 1.5"),
        ({"padding": -1}, ValueError, "padding must not be negative, not -1"),
        ({"num_filters": [64]}, ValueError, r"num_filters must have at least two numbers, not \[64\]"),
    ],
)
def test_pix2pix_discriminator_checks_its_arguments(graph, options, error, message):
    with pytest.raises(error, match=message):
        pix2pix.pix2pix_discriminator(images(1, 64, 64, 3), **{"num_filters": [8, 16], **options})


def test_pix2pix_discriminator_pads_by_reflection_and_predicts_with_a_sigmoid(graph, run):
    """Constant images: reflected, each convolution sees the same everywhere; padded with zeros it does not."""
    ones, activation = tf.ones([1, 32, 32, 1]), {"activation_fn": tf.nn.tanh}
    with v1.variable_scope("", reuse=v1.AUTO_REUSE):
        reflected, end_points = pix2pix.pix2pix_discriminator(ones, [4, 4], **activation)
        padded, _ = pix2pix.pix2pix_discriminator(ones, [4, 4], pad_mode="CONSTANT", **activation)
    reflected, padded, conv0, predictions = run([reflected, padded, end_points["conv0"], end_points["predictions"]])
    assert np.ptp(reflected) < 1e-5 < np.ptp(padded)
    assert -1 < conv0.min() < 0
    np.testing.assert_allclose(predictions, 1 / (1 + np.exp(-reflected)), rtol=1e-5)


def test_pix2pix_arg_scope():
    scope = pix2pix.pix2pix_arg_scope()
    for layer in (slim.conv2d, slim.conv2d_transpose):
        arguments = scope[slim.arg_scope_func_key(layer)]
        assert arguments["normalizer_fn"] is slim.instance_norm
        assert arguments["normalizer_params"] == {"center": True, "scale": True, "epsilon": 1e-5}
        initializer = arguments["weights_initializer"].get_config()
        assert (initializer["mean"], initializer["stddev"]) == (0.0, 0.02)


# -- cyclegan --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape",
    [(2, 32, 32, 3), (1, 128, 128, 3), (2, 80, 400, 3), (None, 12, 8, 1), (None, None, None, 3), (1, 8, None, 2)],
)
def test_cyclegan_gives_images_of_the_inputs_shape(graph, shape):
    predictions, end_points = cyclegan.cyclegan_generator_resnet(images(*shape))
    assert predictions.shape.as_list() == list(shape)
    assert list(end_points) == [
        *(f"encoder_{i}" for i in range(3)),
        *(f"resnet_block_{i}" for i in range(6)),
        *("decoder1", "decoder2", "logits", "predictions"),
    ]
    assert end_points["predictions"] is predictions


@pytest.mark.parametrize("kernel_size", [3, 4, (3, 5)])
@pytest.mark.parametrize("method", ["conv2d_transpose", "nn_upsample_conv", "bilinear_upsample_conv"])
def test_cyclegan_end_points_and_kernels(graph, run, kernel_size, method):
    def upsample(*args, **kwargs):
        return cyclegan.cyclegan_upsample(*args, method=method, **kwargs)

    for sides in ((24, 16), (None, None)):
        with tf.Graph().as_default(), v1.Session() as session:
            inputs = images(2, *sides, 3)
            _, end_points = cyclegan.cyclegan_generator_resnet(
                inputs, num_resnet_blocks=1, num_filters=4, kernel_size=kernel_size, upsample_fn=upsample
            )
            assert next(iter(variables("encoder/Conv/weights").values()))[:2] == list(np.broadcast_to(kernel_size, 2))
            session.run(v1.global_variables_initializer())
            found = session.run(end_points, {inputs: np.random.RandomState(0).uniform(-1, 1, [2, 24, 16, 3])})
            assert {key: value.shape[1:] for key, value in found.items()} == {
                "encoder_0": (24, 16, 4),
                "encoder_1": (12, 8, 8),
                "encoder_2": (6, 4, 16),
                "resnet_block_0": (6, 4, 16),
                "decoder1": (12, 8, 8),
                "decoder2": (24, 16, 4),
                "logits": (24, 16, 3),
                "predictions": (24, 16, 3),
            }


def test_cyclegan_variables(graph):
    """The transposed convolutions have the layers' defaults: bias and no norm."""
    with slim.arg_scope([slim.conv2d], weights_regularizer=slim.l2_regularizer(1.0)):
        cyclegan.cyclegan_generator_resnet(images(1, 16, 16, 3), num_resnet_blocks=1, num_filters=4)
    assert v1.get_collection(v1.GraphKeys.REGULARIZATION_LOSSES) == [], "only its own arg scope holds"
    normalized = (
        "input/Conv",
        "encoder/Conv",
        "encoder/Conv_1",
        *(f"residual_blocks/block_0/{c}" for c in ("Conv", "Conv_1")),
    )
    upsampled = ("decoder/decoder1/upconv/Conv2d_transpose", "decoder/decoder2/upconv/Conv2d_transpose")
    assert list(variables()) == [
        *(f"{conv}/{name}" for conv in normalized for name in ("weights", "InstanceNorm/beta", "InstanceNorm/gamma")),
        *(f"{conv}/{name}" for conv in (*upsampled, "output/Conv") for name in ("weights", "biases")),
    ]
    assert variables()["output/Conv/weights"] == [7, 7, 4, 3]


@pytest.mark.parametrize("side", [29, 30, 31])
@pytest.mark.parametrize("name", ["height", "width"])
def test_cyclegan_takes_multiples_of_four(graph, side, name):
    sides = {"height": 32, "width": 32, name: side}
    with pytest.raises(ValueError, match=f"must have a {name} that is a multiple of 4, got {side}"):
        cyclegan.cyclegan_generator_resnet(images(1, sides["height"], sides["width"], 3))


@pytest.mark.parametrize("shape", [(32, 32, 3), (1, 32, 32, None)])
def test_cyclegan_takes_batches_of_images_with_known_channels(graph, shape):
    with pytest.raises(ValueError, match=r"must be \[batch, height, width, channels\] with known channels, got"):
        cyclegan.cyclegan_generator_resnet(images(*shape))


@pytest.mark.parametrize(
    ("method", "options", "expected"),
    [
        # Each place spreads over three columns, two apart; the first row and column are cut off.
        ("conv2d_transpose", {}, [[1, 3, 2, 2]] * 2),
        # Rows and columns repeated, reflected by one (1 1 2 2 -> 1 1 1 2 2 2), then sums of 3x3.
        ("nn_upsample_conv", {}, [[9, 12, 15, 18]] * 2),
        ("nn_upsample_conv", {"pad_mode": "CONSTANT"}, [[4, 8, 10, 8]] * 2),
        # Halfway between 1 and 2: 1 1.5 2 2; to the corners: 1 4/3 5/3 2.
        ("bilinear_upsample_conv", {}, [[12, 13.5, 16.5, 18]] * 2),
        ("bilinear_upsample_conv", {"align_corners": True}, [[11, 12, 15, 16]] * 2),
    ],
)
def test_cyclegan_upsampling_by_hand(graph, run, method, options, expected):
    inputs = tf.constant([1.0, 2.0], shape=[1, 1, 2, 1])
    with slim.arg_scope([slim.conv2d, slim.conv2d_transpose], weights_initializer=v1.ones_initializer()):
        net = cyclegan.cyclegan_upsample(inputs, 1, [2, 2], method=method, **options)
    np.testing.assert_allclose(run(net)[0, :, :, 0], expected, rtol=1e-5)
    assert next(iter(variables())).startswith("upconv/Conv")


def test_cyclegan_unknown_upsampling(graph):
    with pytest.raises(ValueError, match="unknown upsampling method 'bicubic'; expected one of conv2d_transpose, nn_"):
        cyclegan.cyclegan_upsample(images(1, 8, 8, 3), 4, [2, 2], method="bicubic")


def test_cyclegan_predictions_are_the_tanh_and_a_share_of_the_logits(graph, run):
    _, end_points = cyclegan.cyclegan_generator_resnet(noise(1, 16, 16, 3) * 50, tanh_linear_slope=0.25, num_filters=4)
    logits, predictions = run([end_points["logits"], end_points["predictions"]])
    assert np.abs(logits).max() > 0
    np.testing.assert_allclose(predictions, np.tanh(logits) + 0.25 * logits, rtol=1e-5, atol=1e-7)


def test_cyclegan_arg_scope(graph):
    def scope():
        return cyclegan.cyclegan_arg_scope(
            instance_norm_center=False, instance_norm_epsilon=0.5, weights_init_stddev=0.1, weight_decay=0.01
        )

    arguments = scope()[slim.arg_scope_func_key(slim.conv2d)]
    assert arguments["normalizer_params"] == {"center": False, "scale": True, "epsilon": 0.5}
    assert arguments["weights_initializer"].get_config()["stddev"] == 0.1
    cyclegan.cyclegan_generator_resnet(images(1, 16, 16, 3), scope, num_filters=4)
    assert variables("beta") == {}
    assert len(variables("gamma")) == 3 + 2 * 6
    assert len(v1.get_collection(v1.GraphKeys.REGULARIZATION_LOSSES)) == 3 + 2 * 6 + 1


# -- training --------------------------------------------------------------------------------------------------------


def dcgan_pair(real):
    fake, _ = dcgan.generator(noise(8, 5), depth=4, final_size=8)
    return [dcgan.discriminator(value, depth=4)[0] for value in (real, fake)]


def pix2pix_pair(real):
    with slim.arg_scope(pix2pix.pix2pix_arg_scope()):
        with v1.variable_scope("Generator"):
            fake = pix2pix.pix2pix_generator(real, 3, BLOCKS)[1]["predictions"]
        with v1.variable_scope("Discriminator"):
            first, _ = pix2pix.pix2pix_discriminator(real, [4, 6])
        with v1.variable_scope("Discriminator"):
            second, _ = pix2pix.pix2pix_discriminator(fake, [4, 6])
    return [first, second]


def cyclegan_pair(real):
    with v1.variable_scope("Generator"):
        fake, _ = cyclegan.cyclegan_generator_resnet(real, num_resnet_blocks=2, num_filters=4)
    return [tf.reduce_mean(real), fake - noise(*fake.shape)]


@pytest.mark.parametrize(
    ("pair", "scopes", "side"),
    [
        (dcgan_pair, {"Generator", "Discriminator"}, 8),
        (pix2pix_pair, {"Generator", "Discriminator"}, 16),
        (cyclegan_pair, {"Generator"}, 16),
    ],
    ids=["dcgan", "pix2pix", "cyclegan"],
)
def test_a_step_in_a_function_is_finite_and_reaches_every_variable(pair, scopes, side):
    """With variables that a custom getter keeps, and networks that are applied twice."""
    kept = {}

    def keep(getter, name, shape=None, dtype=tf.float32, initializer=None, trainable=None, **options):
        if name not in kept:
            with tf.init_scope():
                value = initializer(shape, dtype=dtype)
                kept[name] = tf.Variable(value, trainable=trainable is not False, name=name)
        return kept[name]

    @tf.function(autograph=False)
    def step(real):
        with tf.GradientTape() as tape, v1.variable_scope("", custom_getter=keep):
            first, second = pair(real)
            loss = tf.reduce_mean(tf.nn.softplus(-first)) + tf.reduce_mean(tf.square(second - 0.3))
        trained = [variable for variable in kept.values() if variable.trainable]
        gradients = tape.gradient(loss, trained)
        assert [v.name for v, gradient in zip(trained, gradients, strict=True) if gradient is None] == []
        return loss, {v.name: tf.norm(gradient) for v, gradient in zip(trained, gradients, strict=True)}

    loss, norms = step(noise(8, side, side, 3))
    assert np.isfinite(loss)
    assert {name.split("/")[0] for name in norms} == scopes
    assert [name for name, norm in norms.items() if not (np.isfinite(norm) and norm > 0)] == []
    if pair is dcgan_pair:
        (steps,) = (
            v for name, v in kept.items() if name.startswith("Discriminator/conv2") and name.endswith("local_step")
        )
        assert steps.numpy() == 2, "the discriminator was applied to real and to made images"


@pytest.mark.parametrize("blocks", [(0,), (1, 2), (1, 3)], ids=["dcgan", "pix2pix", "cyclegan"])
def test_the_documents_examples_run(blocks, tmp_path, monkeypatch):
    """Each in a file of its own; the last two share the block that keeps the variables."""
    found = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert len(found) == 4
    script = tmp_path / "example.py"
    script.write_text("\n".join(found[block] for block in blocks))
    monkeypatch.chdir(tmp_path)
    result = runpy.run_path(str(script))
    assert all(np.isfinite(value) for value in result.get("values", result["losses"]).values())
