"""Seconds per training step of ResNet-50 in float32 and bfloat16: ours against Keras, on images in memory.

Each contestant is a process of its own that trains some steps to warm up and then times each of the next ones; its
result is their median. Both run forward, backward and an SGD update with momentum on the same shapes.

    python benchmarks/step_time.py [--rounds=3] [--batch_size=32] [--steps=5]
"""

import argparse
import sys

import rounds

OURS = """
import statistics, sys, time
import tensorflow as tf
from nets.network import Network
from training.batch_norm import BatchNormAverages
from training.config import TrainConfig
from training.optimizers import Optimizer
from training.schedules import learning_rate
from training.step import make_train_step

precision, batch_size, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
config = TrainConfig(dataset_dir="none", optimizer="momentum", precision=precision)
network = Network("resnet_v1_50", 1000, weight_decay=1e-4, compute_dtype=tf.as_dtype(precision))
network.initialize()
step_number = tf.Variable(0, dtype=tf.int64)
optimizer = Optimizer(config, {name: network.variables_by_name[name] for name in network.trained_names})
schedule, batch_norm = learning_rate(config, 1000), BatchNormAverages("fitted", network)
step = make_train_step(config, network, optimizer, None, schedule, batch_norm, step_number)
images = tf.random.uniform((batch_size, 224, 224, 3))
labels = tf.random.uniform((batch_size,), maxval=1000, dtype=tf.int32)

def train():
    return float(step(images, labels)["total_loss"])
"""

KERAS = """
import statistics, sys, time
import keras, tensorflow as tf

precision, batch_size, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if precision == "bfloat16":
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
model = keras.applications.ResNet50(weights=None)
model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy")
images = tf.random.uniform((batch_size, 224, 224, 3))
labels = tf.random.uniform((batch_size,), maxval=1000, dtype=tf.int32)

def train():
    return float(model.train_on_batch(images, labels))
"""

TIMING = """
for _ in range(2):
    train()
times = []
for _ in range(steps):
    began = time.perf_counter()
    train()
    times.append(time.perf_counter() - began)
print("median", statistics.median(times), file=sys.stderr)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()

    def contestant(program: str, precision: str):
        def run() -> float:
            process = rounds.script(["-c", program + TIMING, precision, str(options.batch_size), str(options.steps)])
            _, errors = process.communicate()
            lines = [line for line in errors.splitlines() if line.startswith("median ")]
            if process.returncode or not lines:
                raise RuntimeError(errors)
            return float(lines[-1].split()[1])

        return run

    for precision in ("float32", "bfloat16"):
        print(precision, file=sys.stderr)
        contestants = {"ours": contestant(OURS, precision), "Keras": contestant(KERAS, precision)}
        results = rounds.in_turn(contestants, options.rounds)
        title = f"Training step, ResNet-50, batch {options.batch_size}, {precision}"
        rounds.print_table(title, results, "seconds a step")


if __name__ == "__main__":
    main()
