"""`last:N` and multipliers in the scope language."""

import re

import pytest

from checkpoints import scopes
from common.errors import FlagError, UserError

NAMES = ["Net/a/weights", "Net/a/biases", "Net/b/weights", "Net/b/biases", "Net/Aux/weights", "Net/Logits/weights"]
VOCABULARY = scopes.Vocabulary(
    ("Net/Logits", "Net/Aux"), (("a", ("Net/a",)), ("b", ("Net/b",)), ("head", ("Net/Logits", "Net/Aux")))
)


def select(text, names=NAMES, vocabulary=VOCABULARY):
    return scopes.select(names, scopes.split(text), vocabulary, "--trainable_scopes")


@pytest.mark.parametrize(
    ("text", "indices"),
    [
        ("last:1", [4, 5]),
        ("last:2", [2, 3, 4, 5]),
        ("last:3", range(6)),
        ("last:2,-head", [2, 3]),
        ("-last:1", [0, 1, 2, 3]),
        ("Net/a,last:1", [0, 1, 4, 5]),
        ("last:2,-*/biases", [2, 4, 5]),
    ],
)
def test_last_counts_stages_from_the_head_backwards(text, indices):
    assert select(text) == [NAMES[i] for i in indices]


def test_last_takes_what_the_checkpoint_has_in_these_scopes_too():
    assert select("last:1", ["Net/b/weights", "Net/Logits/Extra/weights"]) == ["Net/Logits/Extra/weights"]


def test_a_scope_of_that_name_is_a_scope():
    assert select("last", ["last/weights", "first/weights"]) == ["last/weights"]


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        ("last:0", "last:1"),
        ("last:99", "last:3"),
        ("last:two", "last:2"),
        ("last:-1", "last:1"),
        ("last:", "last:1"),
        ("last", "last:1"),
        ("Net/a,-last:7", "Net/a,-last:3"),
    ],
)
def test_a_wrong_count_is_told_with_the_stages_and_the_flag(text, repaired):
    with pytest.raises(UserError) as raised:
        select(text)
    message = str(raised.value)
    assert "the network's stages, last first: head, b, a." in message
    assert message.endswith(f"Use --trainable_scopes={repaired}")
    assert "\n" not in message
    if not repaired.startswith("Net/a"):
        select(repaired)


@pytest.mark.parametrize("text", ["lst:2", "Last:2", "lats:2", "last=2"])
def test_a_misspelled_last_is_recognised(text):
    with pytest.raises(UserError, match=r"did you mean 'last:2'\? Use --trainable_scopes=last:2"):
        select(text)


def test_without_stages_last_says_so():
    with pytest.raises(UserError, match="'last:2' counts a network's stages, and here none are known"):
        select("last:2", vocabulary=("Net/Logits",))


# -- multipliers ----------------------------------------------------------------------------------


def factors(text):
    return scopes.factors(NAMES, text, VOCABULARY, "--learning_rate_multipliers")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, [None] * 6),
        ("", [None] * 6),
        ("all=0.1", [0.1] * 6),
        ("all=0.1,head=1", [0.1, 0.1, 0.1, 0.1, 1, 1]),
        ("head=1,all=0.1", [0.1] * 6),
        (" last:2 = 2 , */biases = 0 ", [None, 0, 2, 0, 2, 2]),
        ("Net/a=1e-3", [0.001, 0.001, None, None, None, None]),
    ],
)
def test_the_last_term_that_selects_a_variable_gives_its_factor(text, expected):
    assert factors(text) == {name: f for name, f in zip(NAMES, expected, strict=True) if f is not None}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("head", "'head' is not TERM=FACTOR"),
        ("head=", "is not TERM=FACTOR"),
        ("=2", "is not TERM=FACTOR"),
        ("head=much", "is not TERM=FACTOR"),
        ("head=-1", "a factor of 0 or more"),
        ("head=nan", "is not TERM=FACTOR"),
        ("head=inf", "is not TERM=FACTOR"),
        ("-head=1", "say what they have: head=1"),
    ],
)
def test_a_term_without_a_good_factor_is_refused(text, words):
    with pytest.raises(FlagError, match=re.escape(words)):
        factors(text)


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        ("all=0.1,Net/Logit=1", "all=0.1,Net/Logit*=1"),
        ("net/b=2,head=0", "Net/b=2,head=0"),
        ("all=0.5,last:9=1,head=2", "all=0.5,last:3=1,head=2"),
    ],
)
def test_a_typo_in_a_term_ends_in_the_whole_flag(text, repaired):
    with pytest.raises(UserError) as raised:
        factors(text)
    assert str(raised.value).endswith(f"Use --learning_rate_multipliers={repaired}")
    factors(repaired)
