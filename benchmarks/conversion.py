"""Photos a second from a folder to TFRecords: ours, against decoding every image in one thread, and copying the files.

The original decoded each JPEG to learn its size and wrote one record after the other; the first peer does that with
TensorFlow's decoder. The second copies the files and makes nothing of them. All work on the same generated photos of
500 x 375; start-up and imports are not counted; what is written is deleted after each round.

    python benchmarks/conversion.py [--rounds=3] [--photos=2000]
"""

import argparse
import contextlib
import io
import logging
import os
import pathlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np
import rounds
from PIL import Image

CLASSES = ("first", "second", "third", "fourth")


def make_photos(folder: pathlib.Path, count: int) -> list[pathlib.Path]:
    """Writes photos that differ, of noise smooth enough to compress as photos do (about 79 kB)."""
    random, paths = np.random.default_rng(0), []
    for label in CLASSES:
        (folder / label).mkdir(parents=True)
    for k in range(count):
        small = Image.fromarray(random.integers(0, 256, (94, 125, 3), np.uint8))
        paths.append(folder / CLASSES[k % len(CLASSES)] / f"{k:05d}.jpg")
        small.resize((500, 375), Image.Resampling.BICUBIC).save(paths[-1], quality=85)
    return paths


def ours(folder: pathlib.Path, out: pathlib.Path) -> None:
    """The converter with its defaults."""
    from datasets import convert

    with contextlib.redirect_stdout(io.StringIO()):
        convert.convert("image_folder", str(out), image_dir=str(folder))


def decode_in_one_thread(paths: list[pathlib.Path], out: pathlib.Path) -> None:
    """Each image decoded for its size, one record after the other."""
    import tensorflow as tf

    out.mkdir()
    with tf.io.TFRecordWriter(str(out / "train.tfrecord")) as writer:
        for path in paths:
            data = path.read_bytes()
            height, width = tf.io.decode_jpeg(data, channels=3).shape[:2]
            values = {
                "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[data])),
                "image/format": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"jpg"])),
            }
            label = CLASSES.index(path.parent.name)
            for name, value in (("class/label", label), ("height", height), ("width", width)):
                values[f"image/{name}"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
            writer.write(tf.train.Example(features=tf.train.Features(feature=values)).SerializeToString())


def copy(paths: list[pathlib.Path], out: pathlib.Path) -> None:
    """The files, one after the other."""
    out.mkdir()
    for path in paths:
        shutil.copyfile(path, out / path.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--photos", type=int, default=2000)
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as root:
        folder = pathlib.Path(root) / "photos"
        paths = make_photos(folder, arguments.photos)

        def per_second(convert: Callable[[pathlib.Path], None]) -> float:
            out = pathlib.Path(root) / "out"
            began = time.perf_counter()
            convert(out)
            seconds = time.perf_counter() - began
            shutil.rmtree(out)
            return len(paths) / seconds

        contestants = {
            "ours": lambda: per_second(lambda out: ours(folder, out)),
            "copying the files": lambda: per_second(lambda out: copy(paths, out)),
            "decoding in one thread": lambda: per_second(lambda out: decode_in_one_thread(paths, out)),
        }
        for run in contestants.values():
            run()  # imports, and the files come into the page cache
        rounds.print_table(f"converting {len(paths)} photos", rounds.in_turn(contestants, arguments.rounds), "images/s")


if __name__ == "__main__":
    sys.exit(main())
