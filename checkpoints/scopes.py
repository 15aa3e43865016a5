"""Which variables a list of scopes means.

A list is comma separated and read from left to right. Each term is

    PATTERN   the variables whose leading path components match. A pattern is a scope or a whole variable name;
              components are compared whole (`MobilenetV1/Conv2d_1` is not `MobilenetV1/Conv2d_10`), with `*`, `?` and
              `[...]` as wildcards inside one component (`MobilenetV1/Conv2d_1*`).
    */PATTERN the same at any depth, for a leading `*/` stands for any number of components, none included:
              `*/BatchNorm` is every batch norm, `*/biases` every bias.
    head      the network's own head: its classifier and auxiliary classifiers
    all       every variable
    -TERM     takes the term's variables away again; a list that begins so begins with all

Pure Python: nothing here needs TensorFlow.
"""

from collections.abc import Iterable, Sequence

from checkpoints import scope_hints
from checkpoints.patterns import matching
from common.errors import UserError

HEAD = "head"
ALL = "all"


def split(text: str | None) -> list[str]:
    """Splits a flag's text at its commas; blanks and empty terms are dropped, None is no term at all."""
    return [term for term in (part.strip() for part in (text or "").split(",")) if term]


def select(
    names: Iterable[str], patterns: Sequence[str], head_scopes: Sequence[str] = (), flag: str = "--trainable_scopes"
) -> list[str]:
    """Returns the names that a list of terms selects, each once, in the order of `names`.

    Args:
        names: variable names.
        patterns: terms, as `split` returns them; none selects nothing.
        head_scopes: what `head` means.
        flag: where the terms come from, for the messages.

    Raises:
        UserError: a term matches no name (with near matches, and the whole flag to use where that can be told), or the
          terms take away everything that they select.
    """
    names = list(names)
    chosen: set[str] = set(names) if patterns and patterns[0].startswith("-") else set()
    for term in patterns:
        found = _select_term(names, term, patterns, head_scopes, flag)
        chosen = chosen - found if term.startswith("-") else chosen | found
    if patterns and not chosen:
        raise UserError(f"{flag}={','.join(patterns)} takes away all variables that it selects; drop a '-' term")
    return [name for name in names if name in chosen]


def _select_term(
    names: list[str], term: str, patterns: Sequence[str], head_scopes: Sequence[str], flag: str
) -> set[str]:
    pattern = term.removeprefix("-")
    if pattern == ALL:
        return set(names)
    if pattern == HEAD:
        found = {name for scope in head_scopes for name in matching(names, scope)}
        if not found:
            raise UserError(scope_hints.no_head(names, head_scopes, flag))
        return found
    found = set(matching(names, pattern))
    if not found:
        raise UserError(scope_hints.no_match(term, patterns, names, head_scopes, flag))
    return found
