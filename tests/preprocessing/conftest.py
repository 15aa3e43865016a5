"""Ways to run an image function, and images with height != width."""

import numpy as np
import pytest
import tensorflow as tf


def _eager(function, image):
    return function(tf.constant(image)).numpy()


def _dataset(function, image):
    data = tf.data.Dataset.from_tensors(image).map(function, num_parallel_calls=2)
    return next(iter(data)).numpy()


def _unknown_shape(function, image):
    spec = tf.TensorSpec([None] * image.ndim, tf.as_dtype(image.dtype))
    return tf.function(function, input_signature=[spec])(image).numpy()


@pytest.fixture(params=[_eager, _dataset, _unknown_shape], ids=["eager", "tf.data", "unknown shape"])
def apply(request):
    """`apply(function, image)` -> array, run eagerly, inside tf.data, and traced with nothing known of the shape."""
    return request.param


@pytest.fixture(params=[1, 3], ids=["gray", "rgb"])
def channels(request):
    return request.param


@pytest.fixture
def photo():
    """`photo(height, width, channels)`: uint8 noise over a gradient, the same every time."""

    def make(height, width, channels=3):
        random = np.random.default_rng(height * 1000 + width)
        ramp = np.linspace(0, 155, height * width).reshape(height, width, 1)
        return (ramp + random.integers(0, 100, (height, width, channels))).astype(np.uint8)

    return make


def _numpy_bilinear(image, height, width):
    """Output pixel i samples source coordinate i * in / out: no half-pixel offset."""
    image = image.astype(np.float64)

    def samples(size_in, size_out):
        position = np.arange(size_out) * (size_in / size_out)
        low = np.floor(position).astype(int)
        return low, np.minimum(low + 1, size_in - 1), position - low

    top, bottom, down = samples(image.shape[0], height)
    left, right, across = samples(image.shape[1], width)
    across, down = across[None, :, None], down[:, None, None]
    upper = image[top][:, left] * (1 - across) + image[top][:, right] * across
    lower = image[bottom][:, left] * (1 - across) + image[bottom][:, right] * across
    return upper * (1 - down) + lower * down


@pytest.fixture
def numpy_bilinear():
    """`numpy_bilinear(image, height, width)`: TensorFlow 1's resizing, written out in float64."""
    return _numpy_bilinear
