"""Near matches for names that people type."""

import difflib
from collections.abc import Iterable


def near_matches(word: str, choices: Iterable[str], n: int = 3) -> list[str]:
    """Returns up to `n` of `choices` that look like `word`, best first; case does not count."""
    by_lower: dict[str, str] = {}
    for choice in choices:
        by_lower.setdefault(choice.lower(), choice)
    found = difflib.get_close_matches(word.lower(), by_lower, n=n, cutoff=0.5)
    return [by_lower[match] for match in found]


def unknown(kind: str, word: str, choices: Iterable[str], show: int = 60) -> str:
    """Returns the message for a name that is not one of `choices`: near matches first, then all (up to `show`)."""
    choices = sorted(choices)
    near = near_matches(word, choices)
    hint = f"; did you mean {' or '.join(repr(name) for name in near)}?" if near else "."
    listed = ", ".join(choices[:show]) + (", ..." if len(choices) > show else "")
    return f"unknown {kind} {word!r}{hint} Known: {listed or 'none'}."
