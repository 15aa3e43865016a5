"""Peak memory of converting a folder of small images, as the folder grows tenfold.

    python benchmarks/conversion_memory.py --images=10000,100000

Draws the images into a temporary folder (about 5 KB of disk each), converts them with download_and_convert_data.py in a
process of its own, and takes the largest resident set that the kernel saw of it. The first row converts a few images:
what Python and TensorFlow take by themselves.
"""

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time

import rounds

_CLASSES = 100


def draw(folder: str, count: int, side: int) -> None:
    """Writes `count` JPEG files of noise into class folders."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    for k in range(_CLASSES):
        os.makedirs(os.path.join(folder, f"class_{k:03d}"))
    for k in range(count):
        buffer = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (side, side, 3), np.uint8)).save(buffer, "JPEG")
        with open(os.path.join(folder, f"class_{k % _CLASSES:03d}", f"image_{k:07d}.jpg"), "wb") as file:
            file.write(buffer.getvalue())


def convert(images: str, out: str, checks: str) -> tuple[float, float]:
    """Returns seconds and peak memory in MB of a conversion."""
    command = [
        sys.executable,
        os.path.join(rounds.ROOT, "download_and_convert_data.py"),
        "--dataset_name=image_folder",
        f"--image_dir={images}",
        f"--dataset_dir={out}",
        f"--checks={checks}",
    ]
    start = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(said.decode())
    return time.perf_counter() - start, usage.ru_maxrss / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default="10000,100000", help="numbers of images")
    parser.add_argument("--side", type=int, default=24, help="of an image, in pixels")
    parser.add_argument("--checks", default="headers,pixels", help="what is looked at")
    args = parser.parse_args()
    from common.tables import table

    rows = []
    for count in [2 * _CLASSES, *map(int, args.images.split(","))]:
        with tempfile.TemporaryDirectory() as folder:
            draw(os.path.join(folder, "images"), count, args.side)
            for checks in args.checks.split(","):
                out = os.path.join(folder, checks)
                seconds, peak = convert(os.path.join(folder, "images"), out, checks)
                written = sum(os.path.getsize(os.path.join(out, name)) for name in os.listdir(out)) / 1e6
                rows.append([checks, count, f"{written:.0f}", f"{seconds:.1f}", f"{peak:.0f}"])
                print(f"  {rows[-1]}", file=sys.stderr, flush=True)
    print(f"\nConversion of images of {args.side}x{args.side} pixels ({rounds.machine()})")
    print(table(["checks", "images", "MB written", "seconds", "peak memory in MB"], rows))


if __name__ == "__main__":
    main()
