"""Patterns over variable names: whole path components, `*`, `?` and `[...]` inside one, a leading `*/` at any depth.

The scope language of the flags (`scopes`) is made of them. Pure Python.
"""

import fnmatch
import re
from collections.abc import Callable, Iterable

_FEW_SCOPES = 3  # so many are clearer spelled out than any wildcard
_MOST_WITH_WILDCARDS = 12


def matcher(pattern: str) -> Callable[[str], bool]:
    """Returns the test whether a variable is in the scope(s) that `pattern` means; `scopes` has the rules."""
    parts = pattern.removesuffix(":0").strip("/").split("/")
    at_any_depth = len(parts) > 1 and parts[0] == "*"
    tests = [re.compile(fnmatch.translate(part)).match for part in (parts[1:] if at_any_depth else parts)]

    def matches(name: str) -> bool:
        components = name.split("/")
        room = len(components) - len(tests)
        starts = range(room + 1) if at_any_depth else range(min(room + 1, 1))
        return any(
            all(test(component) for test, component in zip(tests, components[start:], strict=False)) for start in starts
        )

    return matches


def matching(names: Iterable[str], pattern: str) -> list[str]:
    """Returns those of `names` that one pattern (not `head`, `all` or `-`) matches, in their order."""
    matches = matcher(pattern)
    return [name for name in names if matches(name)]


def cover(wanted: Iterable[str], names: Iterable[str]) -> list[str]:
    """Returns a short list of patterns that selects exactly `wanted` out of `names`.

    The outermost scopes that hold nothing else; or, where these are many, fewer patterns such as
    `*/BatchNorm/gamma` that match nothing else.

    Args:
        wanted: some of `names`.
        names: all variable names.
    """
    names = list(names)
    wanted_set = set(wanted)
    wanted = [name for name in names if name in wanted_set]
    others = [name for name in names if name not in wanted_set]
    foreign = {prefix for name in others for prefix in prefixes(name)}
    scope_of = {name: next((scope for scope in prefixes(name) if scope not in foreign), name) for name in wanted}
    by_scope = list(dict.fromkeys(scope_of.values()))
    if len(by_scope) <= _FEW_SCOPES:
        return by_scope
    mixed = _with_wildcards(scope_of, others)
    return mixed if mixed is not None and len(mixed) < len(by_scope) else by_scope


def _with_wildcards(scope_of: dict[str, str], others: list[str]) -> list[str] | None:
    """Covers names by their scopes, or by a pattern `*/PART` where that does for several scopes; None: takes too many.

    Args:
        scope_of: name -> scope that holds no other names.
        others: names that must not be matched.
    """
    patterns: list[str] = []
    left = list(scope_of)
    while left:
        if len(patterns) == _MOST_WITH_WILDCARDS:
            return None
        parts = left[0].split("/")
        spans = [parts[i:j] for j in range(len(parts), 0, -1) for i in range(j - 1, 0, -1)]
        candidates = [pattern for span in spans if not matching_any(others, pattern := "*/" + "/".join(span))]
        found = {pattern: matching(left, pattern) for pattern in candidates}
        best = max(found, key=lambda pattern: len(found[pattern]), default=None)
        if best is None or len({scope_of[name] for name in found[best]}) == 1:
            best = scope_of[left[0]]
        taken = set(matching(left, best))
        patterns.append(best)
        left = [name for name in left if name not in taken]
    return patterns


def matching_any(names: Iterable[str], pattern: str) -> bool:
    """Whether a pattern matches one of `names`."""
    return any(map(matcher(pattern), names))


def prefixes(name: str) -> list[str]:
    """Returns the scopes around a variable, outermost first, and the name itself: `a/b/c` -> `a`, `a/b`, `a/b/c`."""
    parts = name.split("/")
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]


def top_level(names: Iterable[str]) -> dict[str, int]:
    """Returns the outermost scopes with the number of names in each, the fullest first."""
    counts: dict[str, int] = {}
    for name in names:
        top = name.split("/", 1)[0]
        counts[top] = counts.get(top, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))
