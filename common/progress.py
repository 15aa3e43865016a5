"""A progress bar on standard error; a line now and then where that is no terminal."""

import sys
import time
from typing import TextIO

_TERMINAL_SECONDS = 0.1
_LINE_SECONDS = 5.0
_BAR_WIDTH = 30


class StatusLine:
    """Lines on a stream; on a terminal each is written over the one before.

    Args:
        stream: where they are shown; standard error by default.
    """

    def __init__(self, stream: TextIO | None = None):
        self._stream = stream or sys.stderr
        self.in_place = self._stream.isatty()
        self._width = 0

    def show(self, line: str) -> None:
        """Shows a line."""
        if self.in_place:
            print(f"\r{line:<{self._width}}", end="", file=self._stream, flush=True)
            self._width = len(line)
        else:
            print(line, file=self._stream, flush=True)

    def wipe(self) -> None:
        """Clears the line on a terminal; what was done is told by a line of its own."""
        if self._width:
            print(f"\r{'':<{self._width}}\r", end="", file=self._stream, flush=True)
        self._width = 0

    def end(self) -> None:
        """Leaves the line on a terminal as it is and goes to the next."""
        if self._width:
            print(file=self._stream, flush=True)
        self._width = 0


class Progress:
    """Shows how far something is.

        converting [############..................] 612/1500 images, 2310 images/s, 0:01 left

    Args:
        task: first word of the line.
        total: how many there are; None if that is not known.
        unit: what is counted; `MB` counts bytes and shows megabytes.
        start: how many were done before.
        stream: where it is shown; standard error by default.
    """

    def __init__(
        self, task: str, total: int | None, unit: str = "images", start: int = 0, stream: TextIO | None = None
    ):
        self._status = StatusLine(stream)
        self._task, self._total, self._unit, self._first = task, total, unit, start
        self._begin = self._shown = time.perf_counter()

    def update(self, done: int) -> None:
        """Shows that `done` of the total are done, unless that was shown just now."""
        now = time.perf_counter()
        if now - self._shown >= (_TERMINAL_SECONDS if self._status.in_place else _LINE_SECONDS):
            self._shown = now
            self._status.show(self._line(done, now - self._begin))

    def close(self) -> None:
        """Wipes the bar; what was done is told by a line of its own."""
        self._status.wipe()

    def _line(self, done: int, seconds: float) -> str:
        rate = (done - self._first) / max(seconds, 1e-6)
        line = self._task
        if self._total and self._status.in_place:
            filled = min(_BAR_WIDTH, _BAR_WIDTH * done // self._total)
            line += f" [{'#' * filled}{'.' * (_BAR_WIDTH - filled)}]"
        if self._unit == "MB":
            done, total, rate = done / 1e6, (self._total or 0) / 1e6, rate / 1e6
        else:
            total = self._total or 0
        line += f" {done:.0f}" + (f"/{total:.0f}" if total else "") + f" {self._unit}, {rate:.0f} {self._unit}/s"
        if total and rate > 0:
            left = round((total - done) / rate)
            line += f", {left // 60}:{left % 60:02d} left"
        return line
