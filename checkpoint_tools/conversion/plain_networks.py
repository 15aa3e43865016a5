"""Networks of Caffe and MXNet in plain operations, by their own names and conventions: what ours are measured by.

They are written from the published network descriptions, and know nothing of the tables of names. Arrays are as in the
files (channels first); maps are [batch, height, width, channels] here, since TensorFlow computes those on any machine.
"""

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from checkpoint_tools.conversion import drawn_weights, keras_measure, slim_side
from checkpoint_tools.conversion.pairs import Pair, to_slim
from nets import registry

CLASSES = 10

Arrays = Mapping[str, np.ndarray]

# Images at which Caffe's pools, which round up, see what ours see.
_SIZES = {"alexnet_v2": 195}


def measure(pair: Pair) -> tuple[float, float]:
    """The largest difference of two logits, and the largest magnitude of a logit, for random weights and images."""
    images = drawn_weights.draw_images(2, _SIZES.get(pair.network) or registry.get(pair.network).image_size)
    arrays = drawn_weights.draw(shapes_of(pair))
    theirs = outputs(pair, arrays, images)
    ours, _ = keras_measure.slim_outputs(pair.network, to_slim(pair, arrays, pair.other), images)
    return float(np.abs(ours - theirs).max()), float(np.abs(theirs).max())


def shapes_of(pair: Pair, num_classes: int = CLASSES) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the arrays of a file."""
    shapes = slim_side.prediction_shapes(pair.network, num_classes)
    zero = np.float32(0)  # spread over the shape: takes no memory
    found = {e.other: e.layout.from_slim(np.broadcast_to(zero, shapes[e.slim])).shape for e in pair.entries}
    return found | {factor.other: found[factor.like] for factor in pair.factors}


def outputs(pair: Pair, arrays: Arrays, images: np.ndarray, **options: bool) -> np.ndarray:
    """Logits [N, classes] of the other framework's network.

    Args:
        pair: which network.
        arrays: all of its arrays.
        images: as our network takes them.
        **options: of the network's function below.
    """
    if pair.framework == "caffe":
        network = _caffe_alexnet if pair.network == "alexnet_v2" else _vgg
        get = lambda layer: (arrays[f"{layer}/0"], arrays[f"{layer}/1"])  # noqa: E731 (a table in disguise)
        return network(images[..., ::-1], get, **options).numpy()  # blue first
    if pair.network == "inception_v3":
        return _mxnet_inception_v3(images, arrays, **options).numpy()
    return _vgg(images, lambda layer: (arrays[f"{layer}_weight"], arrays[f"{layer}_bias"]), **options).numpy()


# -- operations ------------------------------------------------------------------------------------------------------


def _convolution(net: tf.Tensor, weights: np.ndarray, stride: int = 1, pad: tuple[int, int] = (0, 0)) -> tf.Tensor:
    net = tf.pad(net, [[0, 0], [pad[0]] * 2, [pad[1]] * 2, [0, 0]])
    return tf.nn.conv2d(net, tf.transpose(weights, [2, 3, 1, 0]), stride, "VALID")


def _fully_connected(net: tf.Tensor, weights: np.ndarray, biases: np.ndarray) -> tf.Tensor:
    flat = tf.reshape(tf.transpose(net, [0, 3, 1, 2]), [len(net), -1]) if net.shape.rank == 4 else net
    return tf.linalg.matmul(flat, weights, transpose_b=True) + biases


def _caffe_max_pool(net: tf.Tensor, size: int, stride: int) -> tf.Tensor:
    """Windows that reach beyond the right and lower edge count: the number of windows is rounded up."""
    beyond = [-(length - size) % stride for length in net.shape[1:3]]
    net = tf.pad(net, [[0, 0], [0, beyond[0]], [0, beyond[1]], [0, 0]], constant_values=-np.inf)
    return tf.nn.max_pool2d(net, size, stride, "VALID")


# -- networks --------------------------------------------------------------------------------------------------------


def _vgg(net: tf.Tensor, get: Callable[[str], tuple[np.ndarray, np.ndarray]]) -> tf.Tensor:
    for group in range(1, 6):
        for number in range(1, 5):
            try:
                weights, biases = get(f"conv{group}_{number}")
            except KeyError:
                break
            net = tf.nn.relu(_convolution(net, weights, 1, (1, 1)) + biases)
        net = _caffe_max_pool(net, 2, 2)
    net = tf.nn.relu(_fully_connected(net, *get("fc6")))
    net = tf.nn.relu(_fully_connected(net, *get("fc7")))
    return _fully_connected(net, *get("fc8"))


def _caffe_alexnet(net: tf.Tensor, get: Callable[[str], tuple[np.ndarray, np.ndarray]]) -> tf.Tensor:
    for number, (stride, pad, is_pooled) in enumerate(
        [(4, 0, True), (1, 2, True), (1, 1, False), (1, 1, False), (1, 1, True)], start=1
    ):
        weights, biases = get(f"conv{number}")
        # A grouped kernel sees its share of the channels.
        groups = net.shape[3] // weights.shape[1]
        parts = zip(tf.split(net, groups, 3), np.split(weights, groups), strict=True)
        net = tf.concat([_convolution(part, kernel, stride, (pad, pad)) for part, kernel in parts], 3)
        net = tf.nn.relu(net + biases)
        net = _caffe_max_pool(net, 3, 2) if is_pooled else net
    net = tf.nn.relu(_fully_connected(net, *get("fc6")))
    net = tf.nn.relu(_fully_connected(net, *get("fc7")))
    return _fully_connected(net, *get("fc8"))


def _mxnet_inception_v3(net: tf.Tensor, arrays: Arrays, pools_as_slim: bool = False) -> tf.Tensor:
    """`pools_as_slim`: with Slim's pools instead of MXNet's, to see whether these are all the difference."""

    def conv(net: tf.Tensor, name: str, stride: int = 1, pad: tuple[int, int] = (0, 0)) -> tf.Tensor:
        net = _convolution(net, arrays[f"{name}_conv2d_weight"], stride, pad)
        mean, variance, beta = (arrays[f"{name}_batchnorm_{part}"] for part in ("moving_mean", "moving_var", "beta"))
        return tf.nn.relu((net - mean) / np.sqrt(variance + np.float32(1e-3)) + beta)  # fix_gamma: a factor of 1

    def chain(net: tf.Tensor, name: str, *pads: tuple[int, int], last_stride: int = 1) -> tf.Tensor:
        for number, pad in enumerate(pads):
            stride = last_stride if number == len(pads) - 1 else 1
            net = conv(net, f"{name}_{number}" if number else name, stride, pad)
        return net

    def pool(net: tf.Tensor, kind: str = "avg") -> tf.Tensor:
        if pools_as_slim:
            return tf.nn.avg_pool2d(net, 3, 1, "SAME")
        edge = 0.0 if kind == "avg" else -np.inf
        net = tf.pad(net, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=edge)
        return (tf.nn.avg_pool2d if kind == "avg" else tf.nn.max_pool2d)(net, 3, 1, "VALID")

    def shrink(net: tf.Tensor) -> tf.Tensor:
        return tf.nn.max_pool2d(net, 3, 2, "VALID")

    def fork(net: tf.Tensor, name: str) -> list[tf.Tensor]:
        return [conv(net, f"{name}_mixed_conv", 1, (0, 1)), conv(net, f"{name}_mixed_conv_1", 1, (1, 0))]

    one, square, wide, high = (0, 0), (1, 1), (0, 3), (3, 0)
    net = conv(conv(net, "conv", 2), "conv_1")
    net = shrink(conv(net, "conv_2", 1, square))
    net = shrink(conv(conv(net, "conv_3"), "conv_4"))
    for name in ("mixed", "mixed_1", "mixed_2"):
        towers = [conv(net, f"{name}_conv"), chain(net, f"{name}_tower_conv", one, (2, 2))]
        towers += [chain(net, f"{name}_tower_1_conv", one, square, square), conv(pool(net), f"{name}_tower_2_conv")]
        net = tf.concat(towers, 3)
    tower = chain(net, "mixed_3_tower_conv", one, square, one, last_stride=2)
    net = tf.concat([conv(net, "mixed_3_conv", 2), tower, shrink(net)], 3)
    for name in ("mixed_4", "mixed_5", "mixed_6", "mixed_7"):
        towers = [conv(net, f"{name}_conv"), chain(net, f"{name}_tower_conv", one, wide, high)]
        towers += [chain(net, f"{name}_tower_1_conv", one, high, wide, high, wide)]
        net = tf.concat([*towers, conv(pool(net), f"{name}_tower_2_conv")], 3)
    towers = [chain(net, "mixed_8_tower_conv", one, one, last_stride=2)]
    towers += [chain(net, "mixed_8_tower_1_conv", one, wide, high, one, last_stride=2), shrink(net)]
    net = tf.concat(towers, 3)
    for name, kind in (("mixed_9", "avg"), ("mixed_10", "max")):
        first, second = conv(net, f"{name}_tower_conv"), chain(net, f"{name}_tower_1_conv", one, square)
        towers = [conv(net, f"{name}_conv"), *fork(first, f"{name}_tower"), *fork(second, f"{name}_tower_1")]
        net = tf.concat([*towers, conv(pool(net, kind), f"{name}_tower_2_conv")], 3)
    net = tf.reduce_mean(net, [1, 2])  # one window of 8x8 for images of 299 pixels
    return _fully_connected(net, arrays["fc1_weight"], arrays["fc1_bias"])
