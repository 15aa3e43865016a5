"""Whether a pair is one function: both sides with the same random weights on the same random images."""

import gc
from collections.abc import Mapping
from typing import Any

import numpy as np

from checkpoint_tools.conversion import keras_models
from checkpoint_tools.conversion.drawn_weights import draw_images
from checkpoint_tools.conversion.pairs import Pair, to_slim
from nets import registry
from nets.network import Network

CLASSES = 10

# Their auxiliary classifiers are built for a prediction too, and do not fit small images.
_WITHOUT_AUXILIARY = {"inception_v3": {"create_aux_logits": False}, "inception_resnet_v2": {"create_aux_logits": False}}

Outputs = tuple[np.ndarray, np.ndarray]  # logits, probabilities: float32 [N, classes]


def measure(pair: Pair) -> tuple[float, float]:
    """Compares both sides of a pair with random weights, at our network's default image size.

    Returns:
        The largest difference of two logits, and the largest magnitude of a logit.
    """
    images = draw_images(2, registry.get(pair.network).image_size)
    model = random_model(pair.network)
    theirs, _ = keras_outputs(model, keras_images(pair.network, images))
    values = to_slim(pair, keras_models.arrays(model), pair.other)
    ours, _ = slim_outputs(pair.network, values, images)
    del model
    forget_models()
    return float(np.abs(ours - theirs).max()), float(np.abs(theirs).max())


def forget_models() -> None:
    """Frees what Keras keeps of models that nobody holds any more: gigabytes, after a few large ones."""
    import keras

    keras.utils.clear_session()
    gc.collect()


def keras_images(network: str, images: np.ndarray) -> np.ndarray:
    """The same images as the Keras model takes them."""
    if network.startswith("vgg"):
        return images[..., ::-1]
    return (images + 1) * 127.5 if network.startswith("mobilenet_v3") else images


def random_model(network: str, num_classes: int | None = CLASSES, image_size: int | None = None, seed: int = 0) -> Any:
    """A Keras model all of whose variables are random, and whose outputs depend on the image, see `randomise`."""
    model = keras_models.build(network, num_classes, image_size)
    randomise(model, network, seed)
    return model


def randomise(model: Any, network: str, seed: int = 0) -> None:
    """Draws all variables of a Keras model.

    Batch norms get the statistics that random images have there, so that no map dies out or overflows on the way, and
    are then moved off them.
    """
    rng = np.random.default_rng(seed)
    variables = keras_models.variables(model)
    for name, variable in variables.items():
        variable.assign(_draw(name, tuple(variable.shape), rng))
    classifier = variables.get(f"{keras_models.MODELS[network].top[-1]}/kernel")
    if classifier is not None:  # logits of the size that they have at the start of training: rounding grows with them
        classifier.assign(0.3 * np.asarray(classifier))
    _calibrate(model, keras_images(network, draw_images(16, model.input_shape[1], seed + 1)))
    for name, variable in variables.items():
        value = np.asarray(variable)
        if name.endswith("/moving_mean"):
            variable.assign(value + 0.1 * rng.standard_normal(value.shape) * (value.std() + 0.01))
        elif name.endswith("/moving_variance"):
            variable.assign(value * rng.uniform(0.7, 1.4, value.shape) + 0.01)


def _draw(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    kind = name.rpartition("/")[2]
    if kind.endswith("kernel"):
        fan_in = np.prod(shape[:-1]) if shape[-1] > 1 else np.prod(shape[:2])
        return rng.standard_normal(shape, np.float32) * np.sqrt(2 / fan_in, dtype=np.float32)
    if kind in ("gamma", "moving_variance"):
        return rng.uniform(0.5, 1.5, shape)
    return 0.2 * rng.standard_normal(shape)


def _calibrate(model: Any, images: np.ndarray) -> None:
    layers = [layer for layer in model.layers if hasattr(layer, "moving_variance")]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    if layers:
        model(images, training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


def keras_outputs(model: Any, images: np.ndarray) -> Outputs:
    """Logits and probabilities of a Keras model that ends in softmax."""
    last = model.layers[-1]
    probabilities = np.asarray(model(images, training=False))
    softmax, last.activation = last.activation, lambda logits: logits
    try:
        return np.asarray(model(images, training=False)), probabilities
    finally:
        last.activation = softmax


def slim_outputs(
    network: str, values: Mapping[str, np.ndarray], images: np.ndarray, num_classes: int = CLASSES
) -> Outputs:
    """Logits and probabilities of our network with these variables."""
    ours = slim_network(network, images.shape[1], num_classes)
    ours.initialize(values)
    logits, end_points = ours(images)
    return logits.numpy(), np.asarray(end_points.get("Predictions", end_points.get("predictions")))


def slim_network(network: str, image_size: int, num_classes: int = CLASSES, seed: int = 0) -> Network:
    """Our network for a prediction on images of this size, without variables yet."""
    options = _WITHOUT_AUXILIARY.get(network, {})
    return Network(network, num_classes, image_size=image_size, seed=seed, **options)
