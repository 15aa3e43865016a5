"""Which variables a list of scopes means.

A list is comma separated and read from left to right. Each term is

    PATTERN   the variables whose leading path components match. A pattern is a scope or a whole variable name;
              components are compared whole (`MobilenetV1/Conv2d_1` is not `MobilenetV1/Conv2d_10`), with `*`, `?` and
              `[...]` as wildcards inside one component (`MobilenetV1/Conv2d_1*`).
    */PATTERN the same at any depth, for a leading `*/` stands for any number of components, none included:
              `*/BatchNorm` is every batch norm, `*/biases` every bias.
    head      the network's own head: its classifier and auxiliary classifiers
    last:N    its last N stages in the order of computation; `last:1` is the head, where it has one
    all       every variable
    -TERM     takes the term's variables away again; a list that begins so begins with all

Multipliers are such a list with a number to each term, `all=0.1,head=1`: a variable has that of the last term that
selects it.

Pure Python: nothing here needs TensorFlow.
"""

import dataclasses
import math
import re
from collections.abc import Iterable, Sequence

from checkpoints import scope_hints
from checkpoints.patterns import matching
from common.errors import FlagError, UserError

HEAD = "head"
ALL = "all"
LAST = "last"

_LAST = re.compile(rf"{LAST}(:.*)?")

Stage = tuple[str, tuple[str, ...]]


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """What the words of the language mean in one network.

    Attributes:
        head_scopes: what `head` means.
        stages: (name, scopes) of each stage, first to last: what `last:N` counts.
    """

    head_scopes: tuple[str, ...] = ()
    stages: tuple[Stage, ...] = ()


def split(text: str | None) -> list[str]:
    """Splits a flag's text at its commas; blanks and empty terms are dropped, None is no term at all."""
    return [term for term in (part.strip() for part in (text or "").split(",")) if term]


def select(
    names: Iterable[str],
    patterns: Sequence[str],
    vocabulary: Vocabulary | Sequence[str] = (),
    flag: str = "--trainable_scopes",
) -> list[str]:
    """Returns the names that a list of terms selects, each once, in the order of `names`.

    Args:
        names: variable names.
        patterns: terms, as `split` returns them; none selects nothing.
        vocabulary: what `head` and `last:N` mean, or the head scopes alone.
        flag: where the terms come from, for the messages.

    Raises:
        UserError: a term matches no name (with near matches, and the whole flag to use where that can be told), or the
          terms take away everything that they select.
    """
    names, vocabulary = list(names), _vocabulary(vocabulary)
    chosen: set[str] = set(names) if patterns and patterns[0].startswith("-") else set()
    for term in patterns:
        found = _select_term(names, term, patterns, vocabulary, flag)
        chosen = chosen - found if term.startswith("-") else chosen | found
    if patterns and not chosen:
        kept = [term for term in patterns if not term.startswith("-")] or [ALL]
        raise UserError(
            f"{flag}={','.join(patterns)} takes away all variables that it selects; drop a '-' term: "
            f"Use {flag}={','.join(kept)}"
        )
    return [name for name in names if name in chosen]


def _vocabulary(given: Vocabulary | Sequence[str]) -> Vocabulary:
    return given if isinstance(given, Vocabulary) else Vocabulary(tuple(given))


def _select_term(names: list[str], term: str, patterns: Sequence[str], vocabulary: Vocabulary, flag: str) -> set[str]:
    pattern = term.removeprefix("-")
    if pattern == ALL:
        return set(names)
    if pattern == HEAD:
        found = _in_scopes(names, vocabulary.head_scopes)
        if not found:
            raise UserError(scope_hints.no_head(names, vocabulary.head_scopes, flag))
        return found
    found = set(matching(names, pattern))
    if not found and _LAST.fullmatch(pattern):
        found = _in_scopes(names, _last_scopes(term, patterns, vocabulary, flag))
    if not found:
        raise UserError(scope_hints.no_match(term, patterns, names, vocabulary.head_scopes, flag))
    return found


def _in_scopes(names: Iterable[str], scopes: Iterable[str]) -> set[str]:
    names = list(names)
    return {name for scope in scopes for name in matching(names, scope)}


def _last_scopes(term: str, patterns: Sequence[str], vocabulary: Vocabulary, flag: str) -> list[str]:
    """The scopes of the last N stages."""
    count = term.removeprefix("-").removeprefix(LAST).removeprefix(":")
    stages = vocabulary.stages
    if not count.isdecimal() or not 1 <= int(count) <= len(stages):
        raise UserError(scope_hints.no_last(term, patterns, [name for name, _ in stages], flag))
    return [scope for _, scopes in stages[-int(count) :] for scope in scopes]


# -- multipliers ----------------------------------------------------------------------------------


def split_factors(text: str | None, flag: str) -> list[tuple[str, float]]:
    """Splits a flag's text `TERM=FACTOR,TERM=FACTOR` into (term, factor).

    Raises:
        FlagError: a term without a factor, or one that is no number >= 0.
    """
    pairs = []
    for part in split(text):
        term, _, number = (piece.strip() for piece in part.rpartition("="))
        try:
            factor = float(number)
        except ValueError:
            factor = math.nan
        if not term or not 0 <= factor < math.inf:
            raise FlagError(
                f"{flag}: {part!r} is not TERM=FACTOR with a factor of 0 or more, as in {flag}=all=0.1,head=1"
            )
        if term.startswith("-"):
            raise FlagError(f"{flag}: {part!r} takes away nothing here; say what they have: {term.removeprefix('-')}=1")
        pairs.append((term, factor))
    return pairs


def factors(
    names: Iterable[str], text: str | None, vocabulary: Vocabulary | Sequence[str], flag: str
) -> dict[str, float]:
    """Returns the multipliers that `TERM=FACTOR,...` gives, from left to right, the later one winning.

    Args:
        names: the variables that can have one.
        text: the flag's text; None and empty give none.
        vocabulary: as for `select`.
        flag: the flag, for messages.

    Returns:
        name -> factor of those variables that a term selects, in the order of `names`.

    Raises:
        UserError: a term selects nothing, with the whole flag to use where that can be told.
    """
    names, vocabulary = list(names), _vocabulary(vocabulary)
    pairs = split_factors(text, flag)
    found: dict[str, float] = {}
    for i, (term, factor) in enumerate(pairs):
        before, after = ([f"{t}={f:g}" for t, f in part] for part in (pairs[:i], pairs[i + 1 :]))
        try:
            selected = _select_term(names, term, [term], vocabulary, flag)
        except UserError as error:
            raise UserError(_with_factors(str(error), flag, before, f"{factor:g}", after)) from None
        found |= dict.fromkeys(selected, factor)
    return {name: found[name] for name in names if name in found}


def _with_factors(message: str, flag: str, before: list[str], factor: str, after: list[str]) -> str:
    """Completes the flag that a message about one term ends in by the factor and the other terms."""
    start, found, term = message.partition(f"Use {flag}=")
    if not found:
        return message
    repaired = ",".join([*before, *(f"{part}={factor}" for part in term.split(",")), *after])
    return f"{start}Use {flag}={repaired}"
