"""The progress line."""

import io

import pytest

from reporting import progress as progress_lib
from reporting.progress import Progress, duration


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    times = {"now": 100.0}
    monkeypatch.setattr(progress_lib.time, "perf_counter", lambda: times["now"])
    return times


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.4, "59 s"), (60, "1:00"), (125, "2:05"), (3729, "1:02:09")]
)
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text


def test_line_has_step_loss_speed_and_time_left(clock):
    stream = io.StringIO()
    progress = Progress(0, 500, batch_size=32, stream=stream)
    clock["now"] += 20.0
    progress.report(100, 0.81234)
    assert stream.getvalue() == (
        "global step 100: loss = 0.8123 (0.200 sec/step)  20% of 500, 160 images/s, 1:20 left\n"
    )


def test_without_an_end_there_is_no_time_left(clock):
    stream = io.StringIO()
    progress = Progress(0, None, batch_size=2, stream=stream)
    clock["now"] += 1.0
    progress.report(1, 2.0)
    assert stream.getvalue() == "global step 1: loss = 2.0000 (1.000 sec/step)  2.0 images/s\n"


def test_a_terminal_line_is_rewritten_and_ended_once(clock):
    stream = Terminal()
    with Progress(0, 4, batch_size=1, stream=stream) as progress:
        for step in (1, 2):
            clock["now"] += 1.0
            progress.report(step, 1.0)
    assert stream.getvalue().count("\r") == 2
    assert stream.getvalue().count("\n") == 1
