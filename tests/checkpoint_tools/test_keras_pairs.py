"""Keras Applications and our networks are one function of the same weights, and weights go both ways unchanged."""

import numpy as np
import pytest

from checkpoint_tools.conversion import convert, keras_measure, keras_models, keras_pairs, slim_side
from checkpoint_tools.conversion.drawn_weights import draw_images
from checkpoint_tools.conversion.pairs import to_slim

# Keras's own, when it saves.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TOLERANCE = 1e-4
CLASSES = keras_measure.CLASSES

# Images small, but large enough for every layer; the slow ones are large networks.
SIZES = {
    "mobilenet_v1_025": 64,
    "mobilenet_v2_035": 64,
    "mobilenet_v3_small_minimalistic": 64,
    "mobilenet_v3_small": 64,
}
SLOW_SIZES = {
    "inception_v3": 75,
    "resnet_v2_50": 64,
    "vgg_16": 224,
    "vgg_19": 224,
    "inception_resnet_v2": 96,
    "resnet_v2_101": 64,
    "resnet_v2_152": 64,
    "mobilenet_v1": 64,
    "mobilenet_v1_075": 64,
    "mobilenet_v1_050": 64,
    "mobilenet_v2": 64,
    "mobilenet_v2_140": 64,
    "mobilenet_v3_large": 64,
    "mobilenet_v3_large_minimalistic": 64,
    "nasnet_mobile": 96,
    "nasnet_large": 96,
}


@pytest.fixture(autouse=True)
def _no_model_stays():
    yield
    keras_measure.forget_models()


def with_slims_pools(model):
    """A Keras model as it would be if it did not pad its pools by hand: what an inexact pair is exact with."""
    import keras

    def without_padding(layer):
        settings = layer.get_config()
        if layer.name.startswith(("reduction_pad_1_", "pool1_pad")):
            return keras.layers.Identity(name=layer.name)
        if layer.name.startswith(("reduction_left2_", "reduction_left3_", "reduction_right5_", "pool1_pool")):
            settings["padding"] = "same"
        return type(layer).from_config(settings)

    clone = keras.models.clone_model(model, clone_function=without_padding)
    clone.set_weights(model.get_weights())
    return clone


def check_same_outputs(network, model, values, size):
    """Our network with these values gives what the Keras model gives; returns Keras's logits."""
    images = draw_images(3, size, seed=5)
    theirs = keras_measure.keras_outputs(model, keras_measure.keras_images(network, images))
    ours = keras_measure.slim_outputs(network, values, images)
    for mine, other in zip(ours, theirs, strict=True):
        if mine.shape:  # VGG has no end point for probabilities
            np.testing.assert_allclose(mine, other, rtol=0, atol=TOLERANCE)
    variation = np.abs(theirs[0] - theirs[0].mean(0)).max()
    assert variation > 50 * TOLERANCE, "the images give the same logits: this proves nothing"
    return theirs[0]


def check_both_ways(network, size, folder):
    """File -> import -> our outputs are Keras's; other values -> export -> Keras's outputs are ours; the same bits."""
    model = keras_measure.random_model(network, image_size=size)
    model.save_weights(folder / "theirs.weights.h5")
    imported = convert.import_weights(folder / "theirs.weights.h5")
    assert (imported.model_name, imported.num_classes, imported.framework) == (network, CLASSES, "keras")
    assert {name: value.shape for name, value in imported.values.items()} == slim_side.prediction_shapes(
        network, CLASSES
    )
    pools = "pool" in keras_models.MODELS[network].notes
    before = check_same_outputs(network, with_slims_pools(model) if pools else model, imported.values, size)

    pair = keras_pairs.pair(network, CLASSES)
    keras_measure.randomise(model, network, seed=1)
    values = to_slim(pair, keras_models.arrays(model), "the model")
    model.load_weights(folder / "theirs.weights.h5")
    convert.export_weights(values, network, folder / "ours.weights.h5")
    model.load_weights(folder / "ours.weights.h5")
    after = check_same_outputs(network, with_slims_pools(model) if pools else model, values, size)
    assert np.abs(after - before).max() > 10 * TOLERANCE

    back = to_slim(pair, keras_models.arrays(model), "the model")
    assert back.keys() == values.keys()
    assert [name for name in back if back[name].tobytes() != values[name].tobytes()] == []


@pytest.mark.parametrize(("network", "size"), SIZES.items())
def test_keras_and_our_network_are_one_function_both_ways(network, size, tmp_path):
    check_both_ways(network, size, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("network", "size"), SLOW_SIZES.items())
def test_keras_and_our_network_are_one_function_both_ways_large(network, size, tmp_path):
    check_both_ways(network, size, tmp_path)


def test_every_pair_is_compared():
    assert {*SIZES, *SLOW_SIZES} == set(keras_pairs.NETWORKS)


@pytest.mark.parametrize("network", ["mobilenet_v2_035", "mobilenet_v3_small_minimalistic"])
def test_odd_sizes_are_the_same_function(network):
    model = keras_measure.random_model(network, image_size=75)
    values = to_slim(keras_pairs.pair(network, CLASSES), keras_models.arrays(model), "the model")
    check_same_outputs(network, model, values, 75)


def test_mobilenet_v1_differs_where_a_side_is_no_multiple_of_32_as_its_notes_say():
    assert "multiple of 32" in keras_models.MODELS["mobilenet_v1_025"].notes
    model = keras_measure.random_model("mobilenet_v1_025", image_size=75)
    values = to_slim(keras_pairs.pair("mobilenet_v1_025", CLASSES), keras_models.arrays(model), "the model")
    with pytest.raises(AssertionError):
        check_same_outputs("mobilenet_v1_025", model, values, 75)


@pytest.mark.parametrize("num_classes", [None, 1, 7, 1280])
@pytest.mark.parametrize("network", keras_pairs.NETWORKS)
def test_shapes_alone_tell_each_network_and_its_classes(network, num_classes):
    shapes = keras_pairs.other_shapes(network, num_classes)
    model = keras_models.MODELS[network]
    assert len(shapes) == model.arrays - (0 if num_classes else 2 * len(model.top))
    assert keras_pairs.find(list(shapes.values()), "x.h5") == (network, num_classes)


def test_vggs_first_kernel_has_its_channels_reversed_and_its_first_matrix_is_a_convolution():
    entries = {entry.slim: entry for entry in keras_pairs.pair("vgg_16", 3).entries}
    first = entries["vgg_16/conv1/conv1_1/weights"]
    kernel = np.arange(2 * 1 * 3 * 1).reshape(2, 1, 3, 1)
    assert first.layout.to_slim(kernel).ravel().tolist() == [2, 1, 0, 5, 4, 3]
    assert first.layout.from_slim(first.layout.to_slim(kernel)).tolist() == kernel.tolist()

    fc6 = entries["vgg_16/fc6/weights"]
    matrix = np.broadcast_to(np.arange(25088.0)[:, None], (25088, 4096))
    kernel = fc6.layout.to_slim(matrix)
    assert (kernel[0, 1, 2, 0], kernel[1, 0, 0, 9]) == (512 + 2, 7 * 512)  # height, width, channel
    assert fc6.layout.from_slim(kernel).shape == matrix.shape
