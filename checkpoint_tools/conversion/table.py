"""Measures every pair and writes the table of docs/other_frameworks.md.

    python -m checkpoint_tools.conversion.table                     all pairs whose framework is installed
    python -m checkpoint_tools.conversion.table keras vgg_16        those of a framework, or of a network

Rows that are not measured stay as they are in the page, except for their words.
"""

import multiprocessing
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from checkpoint_tools.conversion.convert import FRAMEWORKS, Framework
from checkpoint_tools.conversion.pairs import Pair
from common.files import write_text

PAGE = os.path.normpath(os.path.join(os.path.dirname(__file__), "..", "..", "docs", "other_frameworks.md"))
START, END = "<!-- the table of pairs, by checkpoint_tools.conversion.table -->", "<!-- end of the table -->"

_HEADER = (
    "network",
    "framework",
    "its name",
    "files",
    "same function",
    "largest difference of logits",
    "largest logit",
    "input, and what differs",
)
_CLASSES = 10
Key = tuple[str, str, str]  # network, framework, its name there
Result = tuple[float, float] | str | None  # largest difference and largest logit; why there are none
Measure = Callable[[Key], Result]
_UNKNOWN = ("not measured", "")


class Row(NamedTuple):
    """A line of the table. `difference` and `scale` are texts, `refused` is why there is no conversion."""

    network: str
    framework: str
    other: str
    endings: str
    difference: str
    scale: str
    pair: Pair | None
    refused: str = ""

    @property
    def key(self) -> Key:
        """What tells it from other rows."""
        return self.network, self.framework, self.other

    def line(self) -> str:
        """As Markdown."""
        if self.pair is None:
            exact, words = "refused", self.refused
        else:
            exact = "yes" if self.pair.exact else "no"
            words = "; ".join(filter(None, (self.pair.preprocessing, self.pair.notes)))
        network, other = f"`{self.network}`", self.other
        cells = (network, self.framework, other, self.endings, exact, self.difference, self.scale, words)
        return f"| {' | '.join(cells)} |"


def pairs() -> Iterator[tuple[Framework, Pair]]:
    """All pairs, framework by framework."""
    for framework in FRAMEWORKS:
        module = framework.load()
        if hasattr(module, "pairs"):  # a network may have several counterparts
            every = module.pairs(_CLASSES)
        else:
            every = [module.pair(network, _CLASSES) for network in module.NETWORKS]
        yield from ((framework, pair) for pair in every)


def make(wanted: Sequence[str], page: str, measured: Measure | None = None) -> list[Row]:
    """The table's rows, measured where `wanted` (frameworks, networks; empty for all) says so, else as in `page`.

    Args:
        wanted: frameworks and networks to measure; empty for all.
        page: the page as it is.
        measured: what measures; by default each pair is measured in a process of its own.
    """
    known = old_figures(page)
    rows = []
    for framework, pair in pairs():
        key = (pair.network, pair.framework, pair.other)
        figures = known.get(key, _UNKNOWN)
        if not wanted or {pair.network, pair.framework} & set(wanted):
            figures = _figures(pair, measured or _in_own_process) or figures
        rows.append(Row(*key, ", ".join(framework.endings), *figures, pair))
    for framework in FRAMEWORKS:
        for network, why in getattr(framework.load(), "REFUSED", {}).items():
            other, _, reason = why.partition(" is ")
            rows.append(Row(network, framework.names[0], other, "", "", "", None, reason))
    return rows


def _figures(pair: Pair, measured: Measure) -> tuple[str, str] | None:
    print(f"{pair.network} and {pair.other} of {pair.framework} ...", end=" ", flush=True)
    result = measured((pair.network, pair.framework, pair.other))
    if isinstance(result, str):
        print(f"({result})", end=" ")
        result = None
    figures = result and (f"{result[0]:.1e}", f"{result[1]:.1f}")
    print(" of ".join(figures) if figures else "not measured", flush=True)
    return figures


def _in_own_process(key: Key) -> Result:
    # What the large networks leave behind would fill the memory.
    with multiprocessing.get_context("spawn").Pool(1) as process:
        return process.apply(measure, (key,))


def measure(key: Key) -> Result:
    """What the framework's module measures of the pair with this key; why not, where something is not installed."""
    framework, pair = next(
        (framework, pair) for framework, pair in pairs() if (pair.network, pair.framework, pair.other) == key
    )
    try:
        return framework.load().measure(pair)
    except ImportError as error:
        return str(error)


def old_figures(page: str) -> dict[Key, tuple[str, str]]:
    """(network, framework, its name) -> difference and scale, of the rows in a page."""
    table = page.partition(START)[2].partition(END)[0]
    rows = [[cell.strip() for cell in line.strip(" |").split("|")] for line in table.splitlines() if "|" in line][2:]
    return {(cells[0].strip("`"), cells[1], cells[2]): (cells[5], cells[6]) for cells in rows if len(cells) > 6}


def in_page(page: str, rows: Sequence[Row]) -> str:
    """The page with these rows in place of its table.

    Raises:
        ValueError: the page lacks a marker.
    """
    if START not in page or END not in page:
        raise ValueError(f"the page has no {START!r} and {END!r}")
    lines = [f"| {' | '.join(_HEADER)} |", "|---" * len(_HEADER) + "|", *(row.line() for row in rows)]
    table = "\n".join(lines)
    return re.sub(f"{re.escape(START)}.*?{re.escape(END)}", lambda _: f"{START}\n\n{table}\n\n{END}", page, flags=re.S)


def main(wanted: Sequence[str]) -> None:
    """Rewrites the table in the page."""
    with open(PAGE, encoding="utf-8") as file:
        page = file.read()
    write_text(PAGE, in_page(page, make(wanted, page)))


if __name__ == "__main__":
    main(sys.argv[1:])
