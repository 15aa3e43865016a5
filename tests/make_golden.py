"""Measures a network: names and shapes of variables and end points, and numbers for weights made from names.

    python tests/make_golden.py NAME [NAME ...]

writes tests/goldens/NAME.json from the present code, in the format of the goldens that were read off the original
Slim. Do that for a network that has none; one that was read off the original is never to be written again.
"""

import json
import os
import pathlib
import sys
import zlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import numpy as np
import tensorflow as tf

from common import files
from nets import nets_factory, registry

v1 = tf.compat.v1

GOLDENS = pathlib.Path(__file__).resolve().parent / "goldens"
WEIGHT_DECAY = 4e-05
NUM_CLASSES = 10
BATCH, VIDEO_BATCH, FRAMES = 2, 1, 16
SEED = 7


def weights(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Values of a variable, made from its name: random, but such that activations keep their size."""
    random = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
    kind = name.rpartition("/")[2]
    if kind == "gamma":
        return 1 + 0.1 * random
    if kind == "moving_variance":
        return 1 + 0.2 * np.abs(random)
    if kind in ("beta", "biases", "moving_mean"):
        return 0.05 * random
    fan_in = np.prod(shape[:2] if kind == "depthwise_weights" else shape[:-1])
    return (random * np.sqrt(2.0 / fan_in)).astype(np.float32)


def image(seed: int, shape: list[int]) -> np.ndarray:
    """Uniform noise in [-1, 1]."""
    return np.random.RandomState(seed).uniform(-1, 1, shape).astype(np.float32)


class Graph:
    """A network in a TensorFlow 1 graph of its own, with sessions on weights made from names."""

    def __init__(self, name, is_training, num_classes, shape, weight_decay, kwargs):
        self.graph = tf.Graph()
        with self.graph.as_default():
            self.images = v1.placeholder(tf.float32, shape)
            function = nets_factory.get_network_fn(name, num_classes, weight_decay, is_training)
            self.logits, self.end_points = function(self.images, **kwargs)
            self.variables = v1.global_variables()
            self.update_ops = v1.get_collection(v1.GraphKeys.UPDATE_OPS)
            self.losses = v1.get_collection(v1.GraphKeys.REGULARIZATION_LOSSES)
            self.total_loss = tf.add_n(self.losses) if self.losses else tf.constant(0.0)

    def describe_variables(self):
        """Names, shapes and trainability in the order of creation."""
        with self.graph.as_default():
            trainable = {variable.name for variable in v1.trainable_variables()}
        return [
            {"name": v.name.removesuffix(":0"), "shape": v.shape.as_list(), "trainable": v.name in trainable}
            for v in self.variables
        ]

    def run(self, fetches, values, images=None):
        """Fetches with the variables set to `values`; through the initializers, so that nothing is added."""
        config = v1.ConfigProto(intra_op_parallelism_threads=2)
        with v1.Session(graph=self.graph, config=config) as session:
            feeds = {
                v.initializer.inputs[1]: values(v.name.removesuffix(":0"), v.shape.as_list()) for v in self.variables
            }
            session.run([v.initializer for v in self.variables], feeds)
            return session.run(fetches, None if images is None else {self.images: images})


def statistics(value: np.ndarray) -> dict:
    """Mean, mean of absolute values and standard deviation of an end point."""
    return {
        "shape": list(value.shape),
        "mean": float(np.mean(value)),
        "abs_mean": float(np.mean(np.abs(value))),
        "std": float(np.std(value)),
    }


def measure(name: str) -> dict:
    """Everything a golden says of a network, from the present code."""
    record = registry.get(name)
    lead = [VIDEO_BATCH, FRAMES] if record.video else [BATCH]
    shape = [*lead, record.image_size, record.image_size, record.channels]
    train, evaluation = (Graph(name, mode, NUM_CLASSES, shape, WEIGHT_DECAY, {}) for mode in (True, False))
    logits, end_points = evaluation.run([evaluation.logits, evaluation.end_points], weights, image(SEED, shape))
    return {
        "network": name,
        "num_classes": NUM_CLASSES,
        "kwargs": {},
        "weight_decay": WEIGHT_DECAY,
        "input": {"seed": SEED, "shape": shape},
        "default_image_size": record.image_size,
        "variables": train.describe_variables(),
        "train_end_points": {key: value.shape.as_list() for key, value in train.end_points.items()},
        "num_update_ops": len(train.update_ops),
        "num_regularization_losses": len(train.losses),
        "regularization_loss": float(train.run(train.total_loss, weights)),
        "eval_logits": logits.tolist(),
        "eval_end_points": {key: statistics(value) for key, value in end_points.items()},
    }


def main(names: list[str]) -> None:
    """Writes the goldens of `names`."""
    if not names:
        sys.exit("which network? python tests/make_golden.py NAME [NAME ...]")
    for name in names:
        path = GOLDENS / f"{name}.json"
        files.write_text(path, json.dumps(measure(name)))
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
