"""Training images per second: ours against the same ops written plainly, and against decoding alone.

Slim's `inception` training recipe to 224 x 224 (random crop, resize, mirror, brightness, saturation, scale), from
TFRecords of photos of 500 x 375, batches of 32. Contestants, each a process of its own in each round:

    ours     `training.data`, as `train_image_classifier.py` uses it
    plain    the recipe's ops as Slim's code has them, on tf.data: decode whole, to float, slice, resize, distort
    crops    decodes the random crops and does nothing else: what is left when all but decoding costs nothing

The photos are those of --photos (a folder of class folders), enlarged to 500 x 375; without such a folder, noise with a
photo's spectrum. Peak memory is that of the process, for a data set and for one of ten times as many images.

    python benchmarks/input_pipeline.py [--rounds=5] [--photos=../shared/data/flowers] [--quality=90] [--images=8000]
"""

import argparse
import glob
import io
import os
import random
import statistics
import sys
import tempfile

import rounds

_DISTINCT = 256  # photos; data sets repeat them
_FILES = 8

CHILD = """
import sys, time
import tensorflow as tf
from datasets import dataset_factory

from training import loop
from training.config import TrainConfig
from training.data import TrainData

contestant, folder, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
dataset = dataset_factory.get_dataset(None, "train", folder)
AREA, ASPECT = (0.05, 1.0), (0.75, 1.33)

def box(shape):
    whole = tf.constant([[[0.0, 0.0, 1.0, 1.0]]])
    begin, size, _ = tf.image.sample_distorted_bounding_box(
        shape, whole, min_object_covered=0.1, aspect_ratio_range=ASPECT, area_range=AREA, max_attempts=100,
        use_image_if_no_bounding_boxes=True)
    return begin, size

def parse(record):
    one = tf.io.FixedLenFeature
    features = {"image/encoded": one([], tf.string), "image/class/label": one([], tf.int64)}
    return tf.io.parse_single_example(record, features)

def plain(record):
    example = parse(record)
    image = tf.image.convert_image_dtype(tf.io.decode_jpeg(example["image/encoded"], channels=3), tf.float32)
    image = tf.slice(image, *box(tf.shape(image)))
    image.set_shape([None, None, 3])
    image = tf.compat.v1.image.resize_bilinear(image[tf.newaxis], [224, 224])[0]
    image = tf.image.random_flip_left_right(image)
    image = tf.image.random_brightness(image, 32.0 / 255.0)
    image = tf.image.random_saturation(image, 0.5, 1.5)
    image = (tf.clip_by_value(image, 0.0, 1.0) - 0.5) * 2.0
    return image, example["image/class/label"]

def crops(record):
    example = parse(record)
    begin, size = box(tf.io.extract_jpeg_shape(example["image/encoded"]))
    window = tf.concat([begin[:2], size[:2]], 0)
    image = tf.io.decode_and_crop_jpeg(example["image/encoded"], window, channels=3)
    return tf.shape(image), example["image/class/label"]

def batches():
    if contestant == "ours":
        config = TrainConfig(dataset_dir=folder, model_name="inception_v1", batch_size=32)
        return TrainData(config, loop._model_info(config, dataset), dataset).batches(0, 0)
    files = tf.data.Dataset.from_tensor_slices(sorted(dataset.files))
    data = files.interleave(tf.data.TFRecordDataset, cycle_length=4, num_parallel_calls=4).repeat().shuffle(1000)
    data = data.map({"plain": plain, "crops": crops}[contestant], num_parallel_calls=4)
    return iter(data.batch(32, drop_remainder=True).prefetch(2))

began = time.perf_counter()
data = batches()
next(data)
first = time.perf_counter() - began
for _ in range(20):
    next(data)
images, began, cpu = 0, time.perf_counter(), time.process_time()
while time.perf_counter() - began < seconds:
    next(data)
    images += 32
elapsed, cpu = time.perf_counter() - began, time.process_time() - cpu
with open("/proc/self/status") as file:  # not getrusage, which starts from the parent's peak
    memory = next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024
print("result", images / elapsed, 1000 * cpu / images, first, memory, file=sys.stderr)
"""


def photos(folder: str, quality: int) -> list[bytes]:
    """Returns JPEGs of 500 x 375, always the same."""
    import numpy as np
    from PIL import Image

    paths = sorted(glob.glob(os.path.join(folder, "*", "*.jpg")))
    chosen = random.Random(0).sample(paths, min(_DISTINCT, len(paths)))
    random_numbers = np.random.default_rng(0)
    made = []
    for number in range(len(chosen) or _DISTINCT):
        if chosen:
            picture = Image.open(chosen[number]).convert("RGB").resize((500, 375), Image.Resampling.BICUBIC)
        else:
            picture = Image.fromarray(_noise(random_numbers))
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        made.append(file.getvalue())
    return made


def _noise(random_numbers):
    """A picture whose amplitudes fall with the frequency, as a photo's do; its channels are alike."""
    import numpy as np

    y, x = np.fft.fftfreq(375)[:, None], np.fft.fftfreq(500)[None]
    amplitude = 1.0 / np.maximum(np.hypot(x, y), 1 / 500) ** 1.4
    planes = [np.fft.ifft2(amplitude * np.exp(2j * np.pi * random_numbers.random((375, 500)))).real for _ in range(4)]
    pixels = np.stack([planes[0] + 0.3 * plane for plane in planes[1:]], -1)
    return np.clip((pixels - pixels.mean()) / pixels.std() * 55 + 118, 0, 255).astype(np.uint8)


def write(folder: str, jpegs: list[bytes], count: int) -> None:
    """Writes a data set of `count` records."""
    import tensorflow as tf

    from common import files
    from datasets import folders, records, shards

    os.makedirs(folder)
    encoded = [records.encode(jpeg, "jpg", 375, 500, number % 5) for number, jpeg in enumerate(jpegs)]
    for number in range(_FILES):
        path = os.path.join(folder, f"photos_train_{number:05d}-of-{_FILES:05d}.tfrecord")
        with tf.io.TFRecordWriter(path) as writer:
            for k in range(number, count, _FILES):
                writer.write(encoded[k % len(encoded)])
    shards_of = [shards.scan(path) for path in sorted(glob.glob(os.path.join(folder, "*.tfrecord")))]
    description = {"version": folders.VERSION, "name": "photos", "made_from": {}, "channels": 3}
    description |= {"num_classes": 5, "class_names": list("abcde"), "splits": {"train": folders.split_entry(shards_of)}}
    files.write_json(os.path.join(folder, folders.DATASET_JSON), description)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--photos", default=os.path.join(rounds.ROOT, "..", "shared", "data", "flowers"))
    parser.add_argument("--quality", type=int, default=90, help="of the JPEGs")
    parser.add_argument("--images", type=int, default=8000, help="of the smaller data set")
    options = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    jpegs = photos(options.photos, options.quality)
    print(f"{len(jpegs)} photos, {statistics.mean(map(len, jpegs)) / 1000:.1f} kB each", file=sys.stderr)
    others: dict[str, dict[str, list[float]]] = {what: {} for what in ("cpu", "first", "memory")}
    with tempfile.TemporaryDirectory() as temporary:
        folders = {times: os.path.join(temporary, f"{times}") for times in (1, 10)}
        for times, folder in folders.items():
            write(folder, jpegs, times * options.images)

        def contestant(name: str, times: int):
            def run() -> float:
                process = rounds.script(["-c", CHILD, name, folders[times], str(options.seconds)])
                _, errors = process.communicate()
                lines = [line for line in errors.splitlines() if line.startswith("result ")]
                if process.returncode or not lines:
                    raise RuntimeError(errors)
                speed, cpu, first, memory = map(float, lines[-1].split()[1:])
                title = name if times == 1 else f"{name}, ten times the images"
                for what, value in (("cpu", cpu), ("first", first), ("memory", memory)):
                    others[what].setdefault(title, []).append(value)
                return speed

            return run

        names = ("crops", "ours", "plain")
        speeds = rounds.in_turn({name: contestant(name, 1) for name in names}, options.rounds)
        large = {f"{name}, ten times the images": contestant(name, 10) for name in ("plain", "ours")}
        rounds.in_turn(large, max(1, options.rounds // 2))
    rounds.print_table("Training images: speed", speeds, "images/s")
    ours, crops = (statistics.median(speeds[name]) for name in ("ours", "crops"))
    print(f"ours is {ours / crops:.2f} of decoding the crops alone")
    seconds_of = {name: others["cpu"][name] for name in names}
    rounds.print_table("Training images: processor time", seconds_of, "ms an image, all cores together")
    rounds.print_table("First batch", {name: others["first"][name] for name in names}, "seconds from the call")
    order = ("plain, ten times the images", "plain", "ours, ten times the images", "ours")
    rounds.print_table("Peak memory of the process", {name: others["memory"][name] for name in order}, "MiB")


if __name__ == "__main__":
    main()
