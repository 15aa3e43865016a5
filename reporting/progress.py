"""The progress line of a training run."""

import time
from typing import Any, TextIO

from common.progress import StatusLine


def duration(seconds: float) -> str:
    """Returns `seconds` as people read it: `8 s`, `2:05`, `1:02:09`."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class Progress:
    """Prints how training goes: Slim's own words first, so that what reads old logs reads these, then ours.

        global step 120: loss = 0.8123 (0.197 sec/step)  24% of 500, 162 images/s, 1:14 left

    On a terminal the line is rewritten in place, elsewhere each is a line of its own.

    Args:
        first_step: global step at the start.
        last_step: global step at which training stops; None for never.
        batch_size: images per step.
    """

    def __init__(self, first_step: int, last_step: int | None, batch_size: int, stream: TextIO | None = None):
        self._status = StatusLine(stream)
        self._last_step = last_step
        self._batch_size = batch_size
        self._step = first_step
        self._time = time.perf_counter()
        self._rate: float | None = None  # smoothed seconds per step

    def start(self, step: int, loss: float) -> None:
        """Prints the loss of the first step, whose time is compilation, and starts the clock."""
        self._status.show(f"global step {step}: loss = {loss:.4f}")
        self.mark(step)

    def mark(self, step: int) -> None:
        """Starts the clock anew at `step`, so that what took the time since (compilation, saving) does not count."""
        self._step, self._time = step, time.perf_counter()

    def report(self, step: int, loss: float) -> tuple[float, float]:
        """Prints the line for `step`; returns (seconds per step, images per second) since the last one."""
        now = time.perf_counter()
        seconds = (now - self._time) / max(step - self._step, 1)
        self._rate = seconds if self._rate is None else 0.7 * self._rate + 0.3 * seconds
        self._step, self._time = step, now
        speed = self._batch_size / seconds
        line = f"global step {step}: loss = {loss:.4f} ({seconds:.3f} sec/step)  "
        if self._last_step:
            line += f"{step / self._last_step:.0%} of {self._last_step}, "
        line += f"{speed:.1f} images/s" if speed < 100 else f"{speed:.0f} images/s"
        if self._last_step and step < self._last_step:
            line += f", {duration((self._last_step - step) * self._rate)} left"
        self._status.show(line)
        return seconds, speed

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: Any) -> None:
        """Ends a line that is being rewritten."""
        self._status.end()
