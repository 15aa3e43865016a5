"""The table of pairs in the docs is the program's, and has all pairs."""

import pathlib
import types

import pytest

from checkpoint_tools.conversion import table
from checkpoint_tools.conversion.pairs import Pair

PAGE = pathlib.Path(table.PAGE).read_text(encoding="utf-8")


def test_the_page_is_what_the_program_writes_from_its_figures():
    """Every pair has its row, every row its pair, and all words are those of the code."""
    rows = table.make(["nothing"], PAGE)
    assert table.in_page(PAGE, rows) == PAGE, "write it anew: python -m checkpoint_tools.conversion.table NETWORK"


def test_every_pair_has_been_measured_and_exact_ones_agree():
    for row in table.make(["nothing"], PAGE):
        if row.pair is None:
            assert (row.difference, row.scale) == ("", "")
            assert row.refused
        else:
            assert row.difference != "not measured", (
                f"{row.key}: python -m checkpoint_tools.conversion.table {row.network}"
            )
            limit = 1e-4 * max(1, float(row.scale))  # rounding grows with the logits
            assert not row.pair.exact or float(row.difference) < limit, row.key
            assert row.pair.exact or row.pair.notes, f"{row.key}: not exact, and no word of why"


def page(*rows):
    return "\n".join(["# Title", table.START, "", *rows, "", table.END, "The end"])


def row(difference="1.0e-06", scale="2.0", network="vgg_16", **facts):
    pair = Pair(network, "toy", "VGG", (), "the same", **facts)
    return table.Row(network, "toy", "VGG", ".toy", difference, scale, pair)


def test_figures_that_are_not_measured_again_stay():
    text = table.in_page(page(), [row(), row("5.0e-01", "3.0", "vgg_19", exact=False, notes="pads more")])
    assert text.count(table.START) == text.count(table.END) == 1
    assert text.endswith(f"{table.END}\nThe end")
    assert "| `vgg_19` | toy | VGG | .toy | no | 5.0e-01 | 3.0 | the same; pads more |" in text
    assert table.old_figures(text) == {
        ("vgg_16", "toy", "VGG"): ("1.0e-06", "2.0"),
        ("vgg_19", "toy", "VGG"): ("5.0e-01", "3.0"),
    }
    assert table.in_page(text, [row()]).count("| `vgg") == 1


def test_what_is_asked_for_is_measured_and_a_framework_that_is_not_there_keeps_its_row(monkeypatch, capsys):
    class Toy:
        NETWORKS = ("vgg_16", "vgg_19", "vgg_a")
        REFUSED = types.MappingProxyType({"linear": "Linear is something else"})

        @staticmethod
        def pair(network, num_classes):
            return Pair(network, "toy", "VGG", (), "the same")

        @staticmethod
        def measure(pair):
            if pair.network == "vgg_a":
                raise ImportError("no toys here")
            return 2e-7, 1.04

    framework = table.Framework("toys", ("toy",), (".toy",))
    monkeypatch.setattr(table, "FRAMEWORKS", (framework,))
    monkeypatch.setattr(table.Framework, "load", lambda self: Toy)
    before = table.in_page(page(), [row(network="vgg_16"), row(network="vgg_a")])
    rows = {row.network: row for row in table.make(["vgg_19", "vgg_a"], before, table.measure)}
    assert (rows["vgg_16"].difference, rows["vgg_16"].scale) == ("1.0e-06", "2.0")
    assert (rows["vgg_19"].difference, rows["vgg_19"].scale) == ("2.0e-07", "1.0")
    assert rows["vgg_a"].difference == "1.0e-06"
    assert rows["linear"].line() == "| `linear` | toy | Linear |  | refused |  |  | something else |"
    assert "vgg_a and VGG of toy ... (no toys here) not measured" in capsys.readouterr().out


def test_a_page_without_markers_is_told():
    with pytest.raises(ValueError, match="the page has no"):
        table.in_page("nothing", [])
