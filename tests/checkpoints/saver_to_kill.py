"""Run by test_checkpoint_writer: processes that save without end are killed, and what they leave is read.

Usage: python saver_to_kill.py FOLDER. Prints one line of JSON per kill: [latest step, all values are of that step].
One process imports TensorFlow and forks the others, for the import takes longer than all the rest.
"""

import json
import os
import random
import signal
import sys
import time
import traceback

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import tensorflow as tf

from checkpoints import writer
from checkpoints.reader import CheckpointReader

KILLS = 10
VALUES = 200_000


def save_without_end(folder):
    step = CheckpointReader(folder).step
    while True:
        # Every step is written twice with other values, so that replacing a checkpoint is killed too.
        for sign in (1.0, -1.0):
            writer.save(folder, step + 1, {f"v{i}": tf.fill([VALUES], sign * (step + 1)) for i in range(4)}, keep=2)
        step += 1


def inspect(folder):
    newest = tf.train.latest_checkpoint(folder)
    if newest != writer.latest(folder):
        return [newest, writer.latest(folder)]
    values = tf.train.load_checkpoint(newest)
    step = int(values.get_tensor("global_step"))
    whole = all((abs(values.get_tensor(f"v{i}")) == step).all() for i in range(4))
    one_save = len({float(values.get_tensor(f"v{i}")[0]) for i in range(4)}) == 1
    return [step, bool(whole and one_save)]


def in_child(function, *arguments):
    child = os.fork()
    if child == 0:
        try:
            function(*arguments)
        except BaseException:
            traceback.print_exc()
        os._exit(0)
    return child


def main(folder):
    random.seed(0)
    os.waitpid(in_child(writer.save, folder, 1, {f"v{i}": [1.0, 1.0] for i in range(4)}), 0)
    for _ in range(KILLS):
        before = writer.latest(folder)
        child = in_child(save_without_end, folder)
        deadline = time.monotonic() + 20
        while writer.latest(folder) == before and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(random.uniform(0.0, 0.06))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        in_one = in_child(lambda: print(json.dumps(inspect(folder)), flush=True))
        os.waitpid(in_one, 0)


if __name__ == "__main__":
    main(sys.argv[1])
