"""Words for a `RestorePlan`: the table, the error with the flags that repair it, the lines for the log. Pure Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from checkpoints import averages, first_layer, renames, scopes
from checkpoints.patterns import cover, matching, top_level
from common.errors import UserError

if TYPE_CHECKING:
    from checkpoints.restore import RestorePlan, Shape

_MOST_LISTED = 10  # variables of each kind in an error
_MOST_TERMS = 12  # a flag that excludes more scopes than this repairs nothing: it is the wrong network
_FEW_SHARED = 0.1  # share of the network's names in the checkpoint below which it is another network's
_MANY_MISMATCHED = 0.5  # share of other shapes above which it is another variant of the network
_CHECK_BOTH = "check --model_name and --checkpoint_path"
_OBJECT_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


# -- the error ------------------------------------------------------------------------------------


NameNetwork = Callable[[Mapping[str, "Shape"]], str | None]


def explain(
    plan: RestorePlan,
    trainable: str | None = None,
    can_exclude: bool = True,
    name_network: NameNetwork | None = None,
) -> str:
    """The whole error for a plan that does not fit: what, why as far as it can be told, the flags.

    Args:
        plan: a plan that does not fit.
        trainable: --trainable_scopes as given.
        can_exclude: whether the program has --checkpoint_exclude_scopes, and with it --checkpoint_rename.
        name_network: tells from a checkpoint's shapes which network it is of.
    """
    name = name_network or (lambda shapes: None)
    considered = [name for name in plan.wanted if name not in set(plan.excluded)]
    shared = len(plan.restored) + len(plan.mismatched)
    if shared < _FEW_SHARED * len(considered) or not shared:
        return _another_network(plan, shared, len(considered), can_exclude, name)
    body = [name for name in considered if not _in_head(plan, name)]
    if sum(name in plan.mismatched for name in body) > _MANY_MISMATCHED * len(body):
        return _another_variant(plan, len(considered), name)
    lines = [f"{plan.source} does not fit the network: {_counts(plan)}", *_differences(plan), *_class_hints(plan)]
    refusal = first_layer.refusal(plan.wanted, plan.found)
    lines += [f"{refusal}."] if refusal else []
    if len(needed_terms(plan)) > _MOST_TERMS:
        end = f"So much differs that it is another variant of the network. {_model_advice(plan, name)}"
    elif not can_exclude:
        right = name(plan.found)
        advice = f"use --model_name={right}, or another --checkpoint_path" if right else _CHECK_BOTH
        end = f"It must be a checkpoint of this very network: {advice}"
    elif not plan.restored:
        end = "Nothing is left to restore: leave --checkpoint_path out to train from scratch"
    else:
        end = f"{_advice(plan)}\n  {repair_flags(plan, trainable)}"
    return "\n".join([*lines, end])


def _counts(plan: RestorePlan) -> str:
    parts = [
        (len(plan.mismatched), "of another shape (!)"),
        (len(plan.missing), "missing in the checkpoint (-)"),
        (len(plan.extra), "not in the network (+)"),
    ]
    told = ", ".join(f"{count} {what}" for count, what in parts if count)
    return f"{told}; {len(plan.restored)} of {len(plan.wanted)} variables fit"


def _differences(plan: RestorePlan, most: int = _MOST_LISTED) -> list[str]:
    lines = []
    kinds: list[tuple[str, list[str]]] = [
        (
            "!",
            [
                f"{name}: network {text(ours)}, checkpoint {text(theirs)}"
                for name, (ours, theirs) in plan.mismatched.items()
            ],
        ),
        ("-", [f"{name} {text(plan.wanted[name])}" for name in plan.missing]),
        ("+", [f"{name} {text(plan.found[name])}" for name in plan.extra]),
    ]
    for mark, entries in kinds:
        lines += [f"  {mark} {entry}" for entry in entries[:most]]
        if len(entries) > most:
            lines.append(f"  {mark} ... and {len(entries) - most} more")
    return lines


def _model_advice(plan: RestorePlan, name_network: NameNetwork) -> str:
    """What to do about the wrong network: the flag where it can be told which is right."""
    name = name_network(plan.found)
    if name:
        return f"Use --model_name={name}, or another --checkpoint_path"
    return "Give the --model_name that it belongs to, or another --checkpoint_path"


def _another_network(
    plan: RestorePlan, shared: int, considered: int, can_rename: bool, name_network: NameNetwork
) -> str:
    names = [name for name in plan.found if name not in set(plan.bookkeeping)]
    if any(name.endswith(_OBJECT_SUFFIX) for name in names):
        return (
            f"{plan.source} is an object-based TF2 checkpoint (of Keras or tf.train.Checkpoint, its names are paths of "
            f"objects like {names[0]!r}): give a name-based one, as Slim and this program write"
        )
    start = f"{plan.source} is the checkpoint of another network: it has {shared} of {considered} variables"
    scopes_of_both = [f"  network     {_scopes_text(plan.wanted)}", f"  checkpoint  {_scopes_text(names)}"]
    body = {name: shape for name, shape in plan.wanted.items() if not _in_head(plan, name)}
    of_a_model = {name: plan.found[name] for name in names}
    rename = renames.suggestion(body, of_a_model) if can_rename and not name_network(plan.found) else None
    if rename:
        start = f"{plan.source} has this network under other names: {shared} of {considered} variables are the same"
        return "\n".join([start, *scopes_of_both, f"Use {renames.FLAG}={rename}"])
    return "\n".join([start, *scopes_of_both, _model_advice(plan, name_network)])


def _another_variant(plan: RestorePlan, considered: int, name_network: NameNetwork) -> str:
    factor = width_factor(plan.mismatched)
    how = f" (its layers are {factor:g} times as wide)" if factor else ""
    return "\n".join(
        [
            f"{plan.source} is of another variant of this network{how}: {len(plan.mismatched)} of {considered} "
            f"variables have another shape",
            *_differences(plan, most=3),
            _model_advice(plan, name_network),
        ]
    )


def width_factor(mismatched: Mapping[str, tuple[Shape, Shape]]) -> float | None:
    """Checkpoint's width by the network's, where most layers agree on it; name -> (network's shape, checkpoint's)."""
    ratios = [
        round(theirs[-1] / ours[-1], 3)
        for ours, theirs in mismatched.values()
        if ours and theirs and ours[-1] and ours[-1] != theirs[-1]
    ]
    if not ratios:
        return None
    commonest = max(set(ratios), key=ratios.count)
    return commonest if ratios.count(commonest) > len(ratios) / 2 else None


def _scopes_text(names: Iterable[str], most: int = 6) -> str:
    counts = top_level(names)
    listed = [f"{scope} ({count})" for scope, count in list(counts.items())[:most]]
    return ", ".join(listed) + (f", ... ({len(counts)} scopes)" if len(counts) > most else "") or "no variables"


def class_counts(plan: RestorePlan) -> tuple[int, int] | None:
    """(classes of the network, classes of the checkpoint) where the heads differ in nothing else; else None."""
    in_head = [plan.mismatched[name] for name in plan.mismatched if _in_head(plan, name)]
    pairs = {(ours[-1], theirs[-1]) for ours, theirs in in_head if ours and theirs and ours[:-1] == theirs[:-1]}
    return pairs.pop() if len(pairs) == 1 else None


def _class_hints(plan: RestorePlan) -> list[str]:
    counts = class_counts(plan)
    if counts is None:
        return []
    ours, theirs = counts
    lines = [f"The network has {ours} classes, the checkpoint {theirs}."]
    if (ours, theirs) == (1001, 1000):
        lines.append(
            "The data count a background class and the checkpoint does not: to keep its classifier, use "
            "--labels_offset=1"
        )
    elif (ours, theirs) == (1000, 1001):
        lines.append(
            "The checkpoint counts a background class (0): to keep its classifier, use data that have one too, "
            "with --labels_offset=0"
        )
    return lines


def _advice(plan: RestorePlan) -> str:
    new = [*plan.missing, *plan.mismatched]
    if new and all(_in_head(plan, name) for name in new) and not plan.extra:
        return "To restore the rest and train a new classifier (--checkpoint_exclude_scopes=auto finds these scopes):"
    if plan.missing and not plan.mismatched and not plan.extra:
        return "To begin with new values there (as does --ignore_missing_vars):"
    return "To restore all the rest and begin with new values there:" if new else "To leave these aside:"


# -- the flags ------------------------------------------------------------------------------------


def needed_terms(plan: RestorePlan) -> list[str]:
    """The scopes to exclude beyond those that are: whole heads where something in a head does not fit, else no more
    than what does not fit."""
    problems = [*plan.missing, *plan.mismatched, *plan.extra]
    heads = [scope for scope in plan.head_scopes if matching(problems, scope)]
    rest = [name for name in problems if not _in_head(plan, name)]
    kept = set(plan.bookkeeping)
    names = [name for name in dict.fromkeys([*plan.wanted, *plan.found]) if name not in kept]
    return heads + cover(rest, names)


def repair_flags(plan: RestorePlan, trainable: str | None = None) -> str:
    """The flags that make a plan fit: what is excluded already, and the rest; new scopes are trained.

    Args:
        plan: any plan.
        trainable: --trainable_scopes as given; None: not given. It is then proposed where nothing but heads is new.
    """
    needed = needed_terms(plan)
    old = [term for term in plan.exclude if not any(_within(term, scope) for scope in needed)]
    terms = old + needed
    if not terms:
        return ""
    flags = [f"--checkpoint_exclude_scopes={','.join(terms)}"]
    trained = _trained_terms(plan, terms, trainable)
    return " ".join([*flags, f"--trainable_scopes={','.join(trained)}"] if trained else flags)


def _trained_terms(plan: RestorePlan, terms: Sequence[str], trainable: str | None) -> list[str]:
    new = [name for name in plan.wanted if name not in plan.restored]
    if trainable is None:
        only_heads = new and all(_in_head(plan, name) for name in new)
        return [term for term in terms if term == scopes.HEAD or matching(new, term)] if only_heads else []
    given = scopes.split(trainable)
    try:
        trained = set(scopes.select(plan.wanted, given, scopes.Vocabulary(plan.head_scopes, plan.stages)))
    except UserError:  # told elsewhere
        return given
    statistics = ("/moving_mean", "/moving_variance")
    frozen = [name for name in new if name not in trained and not name.endswith(statistics)]
    return given + [term for term in terms if frozen and term not in given and matching(frozen, term)] if given else []


def _within(term: str, scope: str) -> bool:
    return term == scope or term.startswith(f"{scope}/")


def _in_head(plan: RestorePlan, name: str) -> bool:
    return any(matching([name], scope) for scope in plan.head_scopes)


# -- the log and the doctor -----------------------------------------------------------------------


def text(shape: Shape) -> str:
    """`3x3x64x128`; a scalar is `scalar`."""
    return "x".join(map(str, shape)) or "scalar"


def missing_warning(plan: RestorePlan) -> str:
    """The warning of --ignore_missing_vars."""
    listed = ", ".join(plan.missing[:_MOST_LISTED])
    more = len(plan.missing) - _MOST_LISTED
    return f"{len(plan.missing)} variables are not in {plan.source} and start with new values: {listed}" + (
        f" and {more} more" if more > 0 else ""
    )


def not_finite(plan: RestorePlan, names: Sequence[str]) -> str:
    """The error for values that are NaN or infinite."""
    terms = cover(names, plan.wanted)
    listed = ", ".join(names[:3]) + (f", ... ({len(names)})" if len(names) > 3 else "")
    exclude = ",".join(dict.fromkeys([*plan.exclude, *terms]))
    return (
        f"{plan.source} holds values that are NaN or infinite, of training that had diverged: {listed}; take an "
        f"earlier checkpoint, or in training begin anew there: --checkpoint_exclude_scopes={exclude}"
    )


def summary(plan: RestorePlan) -> str:
    """One line: `136 of 138 variables restored from PATH; new: MobilenetV1/Logits`."""
    new = [name for name in plan.wanted if name not in plan.restored]
    line = f"{len(plan.restored)} of {len(plan.wanted)} variables restored from {plan.source}"
    from_averages = sum(source.endswith(averages.SUFFIX) for source in plan.restored.values())
    line += f", {from_averages} of them from moving averages" if from_averages else ""
    adapted = [f"{name} ({adaptation.text})" for name, adaptation in plan.adapted.items()]
    if adapted:
        line += f"; adapted: {', '.join(adapted[:4])}" + (", ..." if len(adapted) > 4 else "")
    if not new:
        return line
    listed = cover(new, plan.wanted)
    return f"{line}; new: {', '.join(listed[:4])}" + (", ..." if len(listed) > 4 else "")


def origin(plan: RestorePlan, name: str) -> str:
    """How a variable is restored: `restored`, `restored from NAME`, `restored: 3 channels summed to 1`."""
    source = plan.restored[name]
    source = plan.original_names.get(source, source)
    text = "restored" if source == name else f"restored from {source}"
    return f"{text}: {plan.adapted[name].text}" if name in plan.adapted else text


def table(plan: RestorePlan) -> str:
    """All variables of both sides, one a line, then the totals; see `RestorePlan.table`."""
    excluded, missing = set(plan.excluded), set(plan.missing)
    rows = []
    for name, shape in plan.wanted.items():
        if name in plan.restored:
            rows.append(("=", name, text(shape), origin(plan, name)))
        elif name in excluded:
            rows.append(("x", name, text(shape), "excluded, starts new"))
        elif name in missing:
            rows.append(("-", name, text(shape), "missing in the checkpoint"))
        else:
            rows.append(("!", name, text(shape), f"checkpoint has {text(plan.mismatched[name][1])}"))
    rows += [("+", name, text(plan.found[name]), "not in the network") for name in plan.extra]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    lines = [f"{mark} {name:{widths[1]}}  {shape:{widths[2]}}  {what}" for mark, name, shape, what in rows]
    totals = [
        f"{len(plan.restored)} restored (=)",
        f"{len(plan.excluded)} excluded (x)",
        f"{len(plan.missing)} missing (-)",
        f"{len(plan.mismatched)} of another shape (!)",
        f"{len(plan.extra)} not in the network (+)",
        f"{len(plan.bookkeeping)} optimizer slots, averages and the like left aside",
    ]
    return "\n".join([*lines, ", ".join(totals)])
