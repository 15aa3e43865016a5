import io

import pytest

from common import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    return now


def test_terminal_gets_a_bar_in_place_that_is_wiped(clock):
    stream = Terminal()
    bar = progress.Progress("converting", 1500, stream=stream)
    for clock[0], done in ((0.05, 10), (1.0, 500), (1.02, 510), (2.0, 1500)):
        bar.update(done)
    bar.close()
    shown = stream.getvalue().split("\r")[1:]
    assert shown[0] == "converting [##########....................] 500/1500 images, 500 images/s, 0:02 left"
    assert shown[1].startswith("converting [##############################] 1500/1500 images")
    assert len(shown) == 4  # two states, wiped, back at the start of the line
    assert shown[2].strip() == shown[3] == ""


def test_elsewhere_a_line_every_few_seconds_and_none_for_what_is_quick(clock):
    stream = io.StringIO()
    bar = progress.Progress("downloading", 228_000_000, "MB", 100_000_000, stream)
    for second in range(1, 12):
        clock[0] = second
        bar.update(100_000_000 + second * 10_000_000)
    bar.close()
    assert stream.getvalue() == (
        "downloading 150/228 MB, 10 MB/s, 0:08 left\ndownloading 200/228 MB, 10 MB/s, 0:03 left\n"
    )


def test_unknown_total(clock):
    stream = io.StringIO()
    bar = progress.Progress("downloading", None, "MB", stream=stream)
    clock[0] = 10
    bar.update(20_000_000)
    assert stream.getvalue() == "downloading 20 MB, 2 MB/s\n"
