"""Plain text tables."""

import pytest

from common import tables


def test_the_first_column_is_to_the_left_and_the_others_to_the_right():
    text = tables.table(["class", "images", "accuracy"], [["emu", 7, "100.0%"], ["small cat", 12, "-"]])
    assert text.splitlines() == [
        "class      images  accuracy",
        "emu             7    100.0%",
        "small cat      12         -",
    ]


def test_a_table_may_have_no_rows_or_one_column():
    assert tables.table(["a", "bb"], []) == "a  bb"
    assert tables.table(["name"], [["x"], ["longer"]]) == "name\nx\nlonger"


def test_rows_must_be_as_wide_as_the_header():
    with pytest.raises(ValueError, match="zip"):
        tables.table(["a", "b"], [["x", 1, 2]])


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (0.0, "0.0%"), (0.93349, "93.3%"), (1.0, "100.0%")])
def test_shares_are_shown_in_percent(value, text):
    assert tables.percent(value) == text
