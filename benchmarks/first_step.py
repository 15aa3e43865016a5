"""Time from process start to the first finished training step: `train_image_classifier.py` against Keras.

ResNet-50, 224 x 224, from scratch, the same TFRecords and optimizer on both sides: RMSProp, the default of both, and
SGD, which keeps no state. Keras: `keras.applications.ResNet50(weights=None)` under `fit`, on a plain tf.data pipeline
(decode, resize); ours: the script as a user calls it, with its own preprocessing.

    python benchmarks/first_step.py [--rounds=5] [--batch_size=8]
"""

import argparse
import functools
import os
import tempfile
import time

import rounds

KERAS = """
import sys
import keras, tensorflow as tf

files, batch_size, optimizer = sys.argv[1], int(sys.argv[2]), sys.argv[3]
one = tf.io.FixedLenFeature
features = {"image/encoded": one([], tf.string), "image/class/label": one([], tf.int64)}

def read(record):
    example = tf.io.parse_single_example(record, features)
    image = tf.io.decode_image(example["image/encoded"], channels=3, expand_animations=False)
    return tf.image.resize(image, (224, 224)), example["image/class/label"]

data = tf.data.TFRecordDataset(tf.io.gfile.glob(files)).repeat().shuffle(256).map(read, 2).batch(batch_size, True)
model = keras.applications.ResNet50(weights=None, classes=8)
model.compile(optimizer, "sparse_categorical_crossentropy")

class Say(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        print("first step done", file=sys.stderr, flush=True)

model.fit(data.prefetch(1), steps_per_epoch=1, epochs=1, verbose=0, callbacks=[Say()])
"""


def seconds_until(arguments: list[str], words: str) -> float:
    """Starts a process and returns the seconds until it writes a line with `words` to standard error."""
    began = time.perf_counter()
    process = rounds.script(arguments)
    said = []
    for line in process.stderr:
        said.append(line)
        if words in line:
            elapsed = time.perf_counter() - began
            process.stderr.read()
            process.wait()
            return elapsed
    raise RuntimeError(f"{arguments[0]} ended with {process.wait()} before its first step:\n{''.join(said)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch_size", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = os.path.join(folder, "shapes")
        convert = ["download_and_convert_data.py", "--dataset_name=shapes", "--num_images=400", f"--dataset_dir={data}"]
        process = rounds.script(convert)
        _, errors = process.communicate()
        if process.returncode:
            raise RuntimeError(errors)

        def ours(optimizer: str) -> float:
            train_dir = tempfile.mkdtemp(dir=folder)
            arguments = ["train_image_classifier.py", f"--dataset_dir={data}", f"--train_dir={train_dir}"]
            arguments += ["--model_name=resnet_v1_50", f"--optimizer={optimizer}", f"--batch_size={options.batch_size}"]
            return seconds_until([*arguments, "--max_number_of_steps=1"], "global step 1:")

        def keras(optimizer: str) -> float:
            files = os.path.join(data, "*train*.tfrecord")
            return seconds_until(["-c", KERAS, files, str(options.batch_size), optimizer], "first step")

        for optimizer in ("rmsprop", "sgd"):
            contestants = {"ours": functools.partial(ours, optimizer), "Keras": functools.partial(keras, optimizer)}
            results = rounds.in_turn(contestants, options.rounds)
            title = f"Process start to first finished step, ResNet-50, batch {options.batch_size}, {optimizer}"
            rounds.print_table(title, results, "seconds")


if __name__ == "__main__":
    main()
