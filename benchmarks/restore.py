"""Restoring resnet_v1_50 from disk into the network, against plainly reading the checkpoint's files.

Ours: open the checkpoint, compare it with the network, read it, make the variables with its values. The plain reader
reads the same files' bytes into memory. Each round both run once on files that are in the system's memory, and once on
files that were dropped from it (where the system can do that), which is what restoring on a fresh machine is like.
Both run once before the rounds. The network is built before: building is graph_building.py's.

    python benchmarks/restore.py [--rounds=15] [--model_name=resnet_v1_50]
"""

import argparse
import os
import tempfile
import time

import rounds

_BLOCK = 1 << 22


def forget(paths: list[str]) -> bool:
    """Drops files from the system's memory; False where it cannot be told to."""
    if not hasattr(os, "posix_fadvise"):
        return False
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
    return True


def read_plainly(paths: list[str]) -> int:
    """Reads files into memory; returns their size."""
    total = 0
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            content = bytearray(os.path.getsize(path))
            total += file.readinto(content)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--model_name", default="resnet_v1_50")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

    from checkpoints import reader, restore, writer
    from nets.network import Network

    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        made = Network(options.model_name, 1000)
        made.initialize()
        prefix = os.path.join(folder, "model.ckpt")
        writer.write(prefix, made.variables_by_name)
        del made
        paths = [os.path.join(folder, name) for name in writer.parts(prefix)]
        network = Network(options.model_name, 1000)

        def restored() -> None:
            opened = reader.open_checkpoint(prefix)
            plan = restore.plan(network.shapes, opened, head_scopes=network.record.head_scopes)
            network.initialize(plan.values(opened))

        def timed(run, cold: bool) -> float:
            if cold:
                forget(paths)
            began = time.perf_counter()
            run()
            return time.perf_counter() - began

        restored()
        for cold in (True, False) if forget(paths) else (False,):
            contestants = {
                "restored": lambda cold=cold: timed(restored, cold),
                "bytes read": lambda cold=cold: timed(lambda: read_plainly(paths), cold),
            }
            results = rounds.in_turn(contestants, options.rounds)
            size = sum(map(os.path.getsize, paths)) / 1e6
            where = "from disk" if cold else "from the system's memory"
            rounds.print_table(f"{options.model_name}, {size:.0f} MB, {where}", results, "seconds")


if __name__ == "__main__":
    main()
