"""The scope language: what is selected, and what is said where nothing is."""

import re

import pytest

from checkpoints import patterns, scopes
from common.errors import UserError

NAMES = [
    "Net/Conv2d_1/weights",
    "Net/Conv2d_1/BatchNorm/gamma",
    "Net/Conv2d_1/BatchNorm/beta",
    "Net/Conv2d_10/weights",
    "Net/Conv2d_10/BatchNorm/gamma",
    "Net/Mixed_5b/Branch_0/Conv2d_0a_1x1/weights",
    "Net/Mixed_5b/Branch_0/Conv2d_0a_1x1/biases",
    "Net/AuxLogits/Conv2d_2b_1x1/weights",
    "Net/Logits/Conv2d_1c_1x1/weights",
    "Net/Logits/Conv2d_1c_1x1/biases",
]
HEADS = ("Net/Logits", "Net/AuxLogits")


def select(text, names=NAMES, heads=HEADS, flag="--trainable_scopes"):
    return scopes.select(names, scopes.split(text), heads, flag)


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, []), ("", []), (" , ,", []), ("a", ["a"]), (" a/b , c ,,d ", ["a/b", "c", "d"])],
)
def test_split_drops_blanks_and_empty_terms(text, expected):
    assert scopes.split(text) == expected


@pytest.mark.parametrize(
    ("text", "indices"),
    [
        ("", []),
        ("all", range(10)),
        ("Net", range(10)),
        ("Net/", range(10)),
        ("/Net/Logits/", [8, 9]),
        ("Net/Conv2d_1", [0, 1, 2]),
        ("Net/Conv2d_1*", [0, 1, 2, 3, 4]),
        ("Net/Conv2d_1?", [3, 4]),
        ("Net/Conv2d_[02-9]*", []),
        ("Net/*/BatchNorm", [1, 2, 4]),
        ("*/BatchNorm", [1, 2, 4]),
        ("*/biases", [6, 9]),
        ("*/Branch_0/*/weights", [5]),
        ("*/Net/Logits", [8, 9]),
        ("*", range(10)),
        ("Net/Logits/Conv2d_1c_1x1/biases", [9]),
        ("Net/Logits/Conv2d_1c_1x1/biases:0", [9]),
        ("head", [7, 8, 9]),
        ("head,Net/Conv2d_10", [3, 4, 7, 8, 9]),
        ("Net/Logits,Net/Logits,Net", range(10)),
        ("head,-Net/AuxLogits", [8, 9]),
        ("all,-head,-*/BatchNorm", [0, 3, 5, 6]),
        ("-head", range(7)),
        ("Net,-*/weights,Net/Conv2d_1", [0, 1, 2, 4, 6, 9]),
    ],
)
def test_terms_select_whole_components_in_the_order_of_the_names(text, indices):
    if text == "Net/Conv2d_[02-9]*":
        with pytest.raises(UserError):
            select(text)
    else:
        assert select(text) == [NAMES[i] for i in indices]


def test_a_head_that_is_built_in_part_is_selected_in_part():
    assert select("head", [name for name in NAMES if "AuxLogits" not in name]) == NAMES[8:]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # Near matches: a typo, the wrong case, a lost outer scope, a scope of another network.
        (
            "Net/Logitz",
            "--trainable_scopes: 'Net/Logitz' matches no variable; did you mean 'Net/Logits' or 'Net/AuxLogits'? "
            "Use --trainable_scopes=Net/Logits",
        ),
        ("net/logits", "Use --trainable_scopes=Net/Logits"),
        ("Logits", "did you mean 'Net/Logits'? Use --trainable_scopes=Net/Logits"),
        ("Nat/Logits", "did you mean 'Net/Logits'? Use --trainable_scopes=Net/Logits"),
        ("BatchNorm", "did you mean '*/BatchNorm' or 'Net/Conv2d_1/BatchNorm' or"),
        ("*/BatchNorms", "did you mean '*/BatchNorm'? Use --trainable_scopes=*/BatchNorm"),
        ("Conv2d_1*", "Use --trainable_scopes=*/Conv2d_1*"),
        ("heads", "did you mean 'head'? Use --trainable_scopes=head"),
        ("Net/Mixed_5b/Branch_7", "did you mean 'Net/Mixed_5b/Branch_0'?"),
        # The other terms of the flag stay.
        ("head, Net/Conv2d_1 ,-*/bias", "Use --trainable_scopes=head,Net/Conv2d_1,-*/biases"),
        # What Slim took: string prefixes and regular expressions.
        (
            "Net/Log",
            "--trainable_scopes: 'Net/Log' matches no variable: scopes are whole path components, with * as a wildcard "
            "inside one, not string prefixes. Use --trainable_scopes=Net/Log*",
        ),
        ("Net/Conv2d_", "not string prefixes. Use --trainable_scopes=Net/Conv2d_*"),
        ("Net/.*", "not regular expressions. Use --trainable_scopes=Net/*"),
        ("^Net/Conv2d.*", "not regular expressions. Use --trainable_scopes=Net/Conv2d*"),
        (".*/BatchNorm/.*", "not regular expressions. Use --trainable_scopes=*/BatchNorm/*"),
        ("Net/(Logits|AuxLogits)", "not regular expressions. Use --trainable_scopes=Net/AuxLogits,Net/Logits"),
        ("head,Net.Mixed_5b", "not regular expressions. Use --trainable_scopes=head,Net/Mixed_5b"),
        # Nothing like it.
        ("xyz", "Net has: Conv2d_1, Conv2d_10, Mixed_5b, AuxLogits, Logits"),
        ("Net/Mixed_5b/xyz", "Net/Mixed_5b has: Branch_0"),
        ("Net/(", "Net has: Conv2d_1, Conv2d_10, Mixed_5b, AuxLogits, Logits"),
        ("auto", "'auto' is for --checkpoint_exclude_scopes alone. Use --trainable_scopes=head"),
        ("head,-head", "--trainable_scopes=head,-head takes away all variables that it selects"),
    ],
)
def test_a_term_that_matches_nothing_says_what_to_use(text, message):
    with pytest.raises(UserError) as error:
        select(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    repaired = re.search(r"Use --trainable_scopes=(\S+)$", str(error.value))
    assert repaired is None or select(repaired[1])


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ((), "--learning_rate_scopes: this network does not say what its head is; name the scopes. Net has: Conv2d_1,"),
        (
            ("Net/fc8",),
            "--learning_rate_scopes: 'head' means Net/fc8, and there is no such variable. Net has: Conv2d_1,",
        ),
    ],
)
def test_head_without_a_head_names_the_scopes_there_are(heads, message):
    with pytest.raises(UserError) as error:
        select("head", heads=heads, flag="--learning_rate_scopes")
    assert message in str(error.value)


def test_names_without_an_outer_scope_are_listed_as_the_networks():
    with pytest.raises(UserError, match="The network has: cell_0, final_layer"):
        select("zz", ["cell_0/w", "final_layer/FC/weights"], ())


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ([8, 9], ["Net/Logits"]),
        ([7, 8, 9], ["Net/AuxLogits", "Net/Logits"]),
        (range(10), ["Net"]),
        ([9], ["Net/Logits/Conv2d_1c_1x1/biases"]),
        ([1, 2, 4], ["Net/Conv2d_1/BatchNorm", "Net/Conv2d_10/BatchNorm"]),
        ([0, 3, 5, 7, 8], ["*/weights"]),
        ([0, 3, 5, 6, 7, 8, 9], ["*/weights", "*/biases"]),
        ([0, 2, 3, 6, 9], ["Net/Conv2d_1/weights", "Net/Conv2d_1/BatchNorm/beta", "Net/Conv2d_10/weights", "*/biases"]),
        ([], []),
    ],
)
def test_cover_is_a_short_list_that_selects_exactly_these(wanted, expected):
    names = [NAMES[i] for i in wanted]
    terms = patterns.cover(names, NAMES)
    assert terms == expected
    assert scopes.select(NAMES, terms) == names


def test_top_level_counts_the_fullest_first():
    assert patterns.top_level(["b/x", "a/x", "a/y/z"]) == {"a": 2, "b": 1}
