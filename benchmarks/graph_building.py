"""Seconds to build a network's training graph: our layers against tf-slim's, under the same network functions.

Each contestant is a process of its own that builds the graph several times and reports the median. The peer runs our
network functions on tf-slim's own layers (nets.layers replaced by tf_slim), repaired by two lines: its batch norm looks
for a module that today's tf_keras keeps under another name.

    python benchmarks/graph_building.py [--rounds=3] [--networks=nasnet_mobile,inception_v3,resnet_v1_50]
"""

import argparse
import sys

import rounds

TF_SLIM = """
import contextlib, sys, types
import tensorflow as tf, tf_slim
import tf_keras.src.legacy_tf_layers as legacy, tf_keras.src.legacy_tf_layers.normalization as normalization
sys.modules["tf_keras.legacy_tf_layers"] = legacy
sys.modules["tf_keras.legacy_tf_layers.normalization"] = normalization
layers = types.ModuleType("nets.layers")
vars(layers).update({name: value for name, value in vars(tf_slim).items() if not name.startswith("__")})
layers.call_context = lambda **_: contextlib.nullcontext()
layers.training_step = tf.compat.v1.train.get_or_create_global_step
import nets
sys.modules["nets.layers"] = nets.layers = layers
"""

BUILD = """
import gc, statistics, sys, time, warnings
import tensorflow as tf
from nets import nets_factory, registry

warnings.simplefilter("ignore")
tf.get_logger().setLevel("ERROR")
record, seconds = registry.get(sys.argv[1]), []
for _ in range(int(sys.argv[2])):
    gc.collect()
    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.float32, [32, record.image_size, record.image_size, 3])
        began = time.perf_counter()
        nets_factory.get_network_fn(record.name, 1001, weight_decay=4e-5, is_training=True)(images)
        seconds.append(time.perf_counter() - began)
print(statistics.median(seconds), file=sys.stderr)
"""


def measure(code: str, network: str, repeat: int) -> float:
    """Median seconds of one process."""
    process = rounds.script(["-c", code, network, str(repeat)])
    _, err = process.communicate()
    if process.returncode:
        raise SystemExit(f"{network} failed:\n{err}")
    return float(err.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=3, help="graphs built in one process")
    parser.add_argument("--networks", default="nasnet_mobile,inception_v3,resnet_v1_50")
    arguments = parser.parse_args()
    for network in arguments.networks.split(","):
        contestants = {
            "ours": lambda network=network: measure(BUILD, network, arguments.repeat),
            "tf-slim": lambda network=network: measure(TF_SLIM + BUILD, network, arguments.repeat),
        }
        rounds.print_table(
            f"building the training graph of {network}", rounds.in_turn(contestants, arguments.rounds), "s"
        )


if __name__ == "__main__":
    sys.exit(main())
