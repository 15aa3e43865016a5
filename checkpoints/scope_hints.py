"""What to tell someone whose scope matches no variable: what it was meant to be, and the whole flag to use.

Slim took `--checkpoint_exclude_scopes` as string prefixes and `--trainable_scopes` as regular expressions; command
lines written for it are recognised by what they would have selected there.
"""

import re
from collections.abc import Iterable, Sequence

from checkpoints.patterns import cover, matching
from common.suggest import near_matches

_REGULAR_EXPRESSION = re.compile(r"[\\^$+(){}|.]")
_MOST_TERMS = 12
_MOST_STAGES = 30
_RULE = "scopes are whole path components, with * as a wildcard inside one"


def no_match(term: str, terms: Sequence[str], names: Sequence[str], head_scopes: Sequence[str], flag: str) -> str:
    """The message for a term that matches nothing.

    Args:
        term: the term, one of `terms`; may begin with `-`.
        terms: the whole list, to print it repaired.
        names: all variable names.
        head_scopes: the network's heads.
        flag: name of the flag, with its dashes.
    """
    pattern = term.removeprefix("-")
    start = f"{flag}: {pattern!r} matches no variable"
    selected = slim_selection(pattern, names)
    if selected:
        kind = "regular expressions" if _REGULAR_EXPRESSION.search(pattern) else "string prefixes"
        old = _equivalent(pattern, selected, names)
        if len(old) > _MOST_TERMS:
            return f"{start}: {_RULE}, not {kind}. In Slim it meant {len(selected)} variables, {selected[0]} for one"
        return f"{start}: {_RULE}, not {kind}. Use {_repaired(flag, terms, term, old)}"
    if pattern == "auto" and head_scopes:
        return f"{start}: 'auto' is for --checkpoint_exclude_scopes alone. Use {_repaired(flag, terms, term, ['head'])}"
    if re.match(r"\w{3,5}[:=]\d+$", pattern) and near_matches(re.split("[:=]", pattern)[0], ["last"]):
        meant = f"last:{re.split('[:=]', pattern)[1]}"
        return f"{start}; did you mean {meant!r}? Use {_repaired(flag, terms, term, [meant])}"
    near = near_scopes(pattern, names, ("head", "all") if head_scopes else ("all",))
    if near:
        meant = " or ".join(repr(scope) for scope in near)
        return f"{start}; did you mean {meant}? Use {_repaired(flag, terms, term, near[:1])}"
    return f"{start} ({_RULE}). {what_there_is(pattern, names)}"


def no_head(names: Sequence[str], head_scopes: Sequence[str], flag: str) -> str:
    """The message for `head` where there is none."""
    if not head_scopes:
        return f"{flag}: this network does not say what its head is; name the scopes. {what_there_is('', names)}"
    return f"{flag}: 'head' means {','.join(head_scopes)}, and there is no such variable. {what_there_is('', names)}"


_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def no_last(term: str, terms: Sequence[str], stages: Sequence[str], flag: str) -> str:
    """The message for `last`, `last:two`, `last:0` and for more stages than there are.

    Args:
        term: the term, one of `terms`; may begin with `-`.
        terms: the whole list, to print it repaired.
        stages: names of the network's stages, first to last.
        flag: name of the flag, with its dashes.
    """
    if not stages:
        return f"{flag}: {term!r} counts a network's stages, and here none are known; name the scopes"
    count = term.removeprefix("-").removeprefix("last").strip(": ").lower()
    wanted = _NUMBERS.index(count) + 1 if count in _NUMBERS else int(count) if count.isdecimal() else 1
    meant = f"last:{min(max(wanted, 1), len(stages))}"
    listed = ", ".join(reversed(stages[-_MOST_STAGES:])) + (", ..." if len(stages) > _MOST_STAGES else "")
    return (
        f"{flag}: {term.removeprefix('-')!r} is not last:N with N from 1 to {len(stages)}; the network's stages, last "
        f"first: {listed}. Use {_repaired(flag, terms, term, [meant])}"
    )


def slim_selection(pattern: str, names: Sequence[str]) -> list[str]:
    """Returns the variables that Slim selected for `pattern`, as a string prefix or else as a regular expression."""
    by_prefix = [name for name in names if name.startswith(pattern)]
    if by_prefix or not _REGULAR_EXPRESSION.search(pattern):
        return by_prefix
    try:
        match = re.compile(pattern).match
    except re.error:
        return []
    return [name for name in names if match(name)]


def _equivalent(pattern: str, selected: list[str], names: Sequence[str]) -> list[str]:
    """Patterns that select just `selected`: the pattern itself with wildcards, or else whole scopes."""
    plain = re.sub(r"\.[*+]|\[\^/\]\*", "*", pattern.lstrip("^").rstrip("$")).replace("\\", "")
    inner = plain.strip("*/")
    for candidate in (plain, plain + "*", f"*/{inner}", f"*/*{inner}", f"*/{inner}*", f"*/*{inner}*"):
        if not _REGULAR_EXPRESSION.search(candidate) and matching(names, candidate) == selected:
            return [candidate]
    return cover(selected, names)


def near_scopes(pattern: str, names: Iterable[str], keywords: Sequence[str] = (), n: int = 3) -> list[str]:
    """Returns up to `n` scopes or patterns that `pattern` may have been meant to be, the likeliest first."""
    names = list(names)
    tree = _children(names)
    parts = pattern.strip("/").split("/")
    found = near_matches(pattern, keywords, n=1) if len(parts) == 1 else []
    if parts[0] == "*":
        found += _at_any_depth(parts[1:], tree)
    else:
        tails = _with_tail(parts, tree)
        found += tails if len(tails) == 1 else [f"*/{pattern}", *tails]
        found += _walk(parts, tree)
    return [scope for scope in dict.fromkeys(found) if scope in keywords or matching(names, scope)][:n]


def _at_any_depth(parts: list[str], tree: dict[str, list[str]]) -> list[str]:
    """The pattern `*/PARTS` with each component replaced by the one nearest to it."""
    components = dict.fromkeys(component for below in tree.values() for component in below)
    nearest = [near_matches(part, components, n=1) for part in parts]
    return ["*/" + "/".join(near[0] for near in nearest)] if parts and all(nearest) else []


def _children(names: Iterable[str]) -> dict[str, list[str]]:
    """Scope -> the components right below it, in order; '' is the root."""
    tree: dict[str, dict[str, None]] = {"": {}}
    for name in names:
        scope = ""
        for component in name.split("/"):
            tree.setdefault(scope, {})[component] = None
            scope = f"{scope}/{component}" if scope else component
    return {scope: list(below) for scope, below in tree.items()}


def _with_tail(parts: list[str], tree: dict[str, list[str]]) -> list[str]:
    """Scopes that end in the pattern: it lacks its outer scopes, or its case is wrong."""
    tail = "/" + "/".join(parts).lower()
    return sorted(
        (scope for scope in tree if scope and ("/" + scope.lower()).endswith(tail)),
        key=lambda scope: scope.count("/"),
    )


def _walk(parts: list[str], tree: dict[str, list[str]]) -> list[str]:
    """Follows the pattern from the root, at each level by the same component or else by the nearest ones."""
    reached = [""]
    for part in parts:
        step = []
        for scope in reached:
            below = tree.get(scope, [])
            near = [part] if part in below else near_matches(part, below)
            step += [f"{scope}/{component}" if scope else component for component in near]
        reached = step[:8]
    return reached


def what_there_is(pattern: str, names: Iterable[str], most: int = 12) -> str:
    """Says which scopes there are where the pattern stops leading anywhere."""
    tree = _children(names)
    scope = ""
    for part in pattern.split("/"):
        deeper = f"{scope}/{part}" if scope else part
        if deeper not in tree:
            break
        scope = deeper
    if not scope and len(tree[""]) == 1:
        scope = tree[""][0]
    below = tree.get(scope, [])
    listed = ", ".join(below[:most]) + (f", ... ({len(below)})" if len(below) > most else "")
    return f"{scope or 'The network'} has: {listed or 'no variables'}"


def _repaired(flag: str, terms: Sequence[str], term: str, replacement: Sequence[str]) -> str:
    """The whole flag with one term replaced by others."""
    sign = "-" if term.startswith("-") else ""
    fixed = [new for old in terms for new in ([sign + new for new in replacement] if old == term else [old])]
    return f"{flag}={','.join(dict.fromkeys(fixed))}"
