"""Running contestants in turn and reporting medians: what all benchmarks share."""

import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import TextIO

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)


def in_turn(contestants: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Runs each contestant once a round, so that the machine's moods fall on all alike; returns their results."""
    results: dict[str, list[float]] = {name: [] for name in contestants}
    for k in range(rounds):
        for name, run in contestants.items():
            results[name].append(run())
            print(f"  round {k + 1}/{rounds}  {name}: {results[name][-1]:.3f}", file=sys.stderr, flush=True)
    return results


def script(arguments: list[str], **options) -> subprocess.Popen:
    """Starts a Python process in the project's root, its standard error as text."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": ROOT},
        **options,
    )


def print_table(title: str, results: Mapping[str, list[float]], unit: str, file: TextIO = sys.stdout) -> None:
    """Prints median, smallest and largest of each contestant, and the median's ratio to the last one's."""
    from common.tables import table

    base = statistics.median(list(results.values())[-1])
    rows = [
        [
            name,
            f"{statistics.median(values):.3f}",
            f"{min(values):.3f}",
            f"{max(values):.3f}",
            f"{statistics.median(values) / base:.2f}",
        ]
        for name, values in results.items()
    ]
    print(f"\n{title} ({unit}; {machine()})", file=file)
    print(table(["", "median", "min", "max", f"ratio to {list(results)[-1]}"], rows), file=file)


def machine() -> str:
    """What the figures were measured on."""
    from importlib.metadata import version

    return (
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, TF {version('tensorflow')}"
    )
