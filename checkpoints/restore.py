"""Compares a network's variables with a checkpoint's, strictly.

Works on {name: shape} alone, so it needs neither TensorFlow nor files; `restore_messages` words what differs.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from absl import logging

from checkpoints import restore_messages, scopes
from checkpoints.adaptation import Adaptation
from checkpoints.patterns import matching, prefixes
from common.errors import UserError

Shape = tuple[int, ...]

AUTO = "auto"
EXCLUDE_FLAG = "--checkpoint_exclude_scopes"

# Names that no Slim network gives to a variable of its own: what optimizers, averages, training loops and quantisation
# leave in a checkpoint, and the pixel means in the first VGG and ResNet files.
_BOOKKEEPING = re.compile(
    r"""(^|/)(
      global_step | local_step | sync_rep_local_step | save_counter | learning_rate | mean_rgb |
      beta[12]_power(_\d+)? | _CHECKPOINTABLE_OBJECT_GRAPH |
      (RMSProp|Momentum|Adam|AdamW|Adagrad|Adadelta|Ftrl|LARS|LAMB)(_\d+)? | ExponentialMovingAverage
    )$ | (^|/)[^/]*_quant(_\d+)?/""",
    re.VERBOSE,
)


class Reader(Protocol):
    """What `plan` needs of a checkpoint; `reader.CheckpointReader` has it."""

    path: str
    shapes: Mapping[str, Shape]

    def read(self, names: Iterable[str]) -> Mapping[str, Any]:
        """Returns name -> tensor."""


@dataclasses.dataclass(frozen=True)
class RestorePlan:
    """How the variables of a network and of a checkpoint compare.

    Attributes:
        source: the checkpoint, for messages.
        wanted: the network's variables, name -> shape, in its order.
        found: the checkpoint's, name -> shape.
        restored: name in the network -> name in the checkpoint, of all that fits. The two differ for averages.
        excluded: in the network, not restored because the user said so.
        missing: in the network, not in the checkpoint.
        mismatched: in both, name -> (shape in the network, shape in the checkpoint).
        extra: in the checkpoint, not in the network.
        bookkeeping: in the checkpoint, but no model's variable: optimizer slots, averages, the step. Never an error.
        exclude: the terms excluded; `auto` replaced by the head scopes that it found not to fit.
        head_scopes: the network's heads.
        stages: the network's stages, what `last:N` counts.
        adapted: name in the network -> how it is made, of those in `restored` that take another form.
        original_names: name in `found` -> name in the file, where the checkpoint is looked at under other names.
    """

    source: str
    wanted: Mapping[str, Shape]
    found: Mapping[str, Shape]
    restored: Mapping[str, str]
    excluded: tuple[str, ...]
    missing: tuple[str, ...]
    mismatched: Mapping[str, tuple[Shape, Shape]]
    extra: tuple[str, ...]
    bookkeeping: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    head_scopes: tuple[str, ...] = ()
    stages: tuple[scopes.Stage, ...] = ()
    adapted: Mapping[str, Adaptation] = dataclasses.field(default_factory=dict)
    original_names: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def fits(self) -> bool:
        """Whether nothing is missing, extra or of another shape but what was excluded."""
        return not (self.missing or self.mismatched or self.extra)

    def values(self, reader: Reader) -> dict[str, Any]:
        """Reads what is restored, all in one go: name in the network -> value, adapted where it must be.

        Raises:
            UserError: a value is not finite: nothing can be computed with it.
        """
        read = reader.read(self.restored.values())
        broken = [name for name, source in self.restored.items() if not _is_finite(read[source])]
        if broken:
            raise UserError(restore_messages.not_finite(self, broken))
        return {
            name: self.adapted[name].apply(np.asarray(read[source])) if name in self.adapted else read[source]
            for name, source in self.restored.items()
        }

    def summary(self) -> str:
        """One line for the log: how many variables are restored and which are new."""
        return restore_messages.summary(self)

    def table(self) -> str:
        """All variables, one a line: mark, name, shape(s), what happens to it; then the totals."""
        return restore_messages.table(self)

    def flags(self, trainable: str | None = None) -> str:
        """The flags that make it work, `trainable` being the present --trainable_scopes; see `restore_messages`."""
        return restore_messages.repair_flags(self, trainable)


def _is_finite(value: Any) -> bool:
    array = np.asarray(value)
    if array.dtype.kind != "f":
        return True
    # The sum is finite only where all are, and is made several times as fast as a test of each.
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(array.sum()) or np.isfinite(array).all())


def is_bookkeeping(name: str, variables: Mapping[str, Shape]) -> bool:
    """Whether a name in a checkpoint is no model variable: a known name, or something kept below a variable.

    Args:
        name: name in the checkpoint.
        variables: all names of checkpoint and network; `X/weights/Anything` is a slot where `X/weights` is among them.
    """
    return bool(_BOOKKEEPING.search(name)) or any(prefix in variables for prefix in prefixes(name)[:-1])


def compare(
    wanted: Mapping[str, Shape],
    found: Mapping[str, Shape],
    exclude: str | Sequence[str] | None = None,
    head_scopes: Sequence[str] = (),
    *,
    stages: Sequence[scopes.Stage] = (),
    sources: Mapping[str, str] | None = None,
    adaptations: Mapping[str, Adaptation] | None = None,
    source: str = "the checkpoint",
) -> RestorePlan:
    """Compares variables by name and shape; raises for nothing but a term of `exclude` that cannot be meant.

    Args:
        wanted: the network's variables, name -> shape.
        found: the checkpoint's.
        exclude: terms of `scopes`, matched against the names of both; `auto`: those head scopes that do not fit.
        head_scopes: the network's heads.
        stages: the network's stages, as `scopes.Vocabulary` has them.
        sources: name in the network -> name in the checkpoint, where they differ (`averages.sources`).
        adaptations: name in the network -> how it is made of the checkpoint's, where the two may differ in shape. One
          that is excluded is not made; one that is not a variable of the network does not count.
        source: what to call the checkpoint.

    Raises:
        UserError: a term matches nothing, or everything is excluded.
    """
    terms = scopes.split(exclude) if isinstance(exclude, str) or exclude is None else list(exclude)
    adaptations = {name: adaptation for name, adaptation in (adaptations or {}).items() if name in wanted}
    sources = dict(sources or {}) | {name: adaptation.source for name, adaptation in adaptations.items()}
    known = {**wanted, **found}
    if AUTO in terms:
        whole = _compare(wanted, found, frozenset(), sources, adaptations, source)
        unfit = {*whole.missing, *whole.mismatched, *whole.extra}
        heads = [scope for scope in head_scopes if matching(unfit, scope)]
        terms = list(dict.fromkeys(new for term in terms for new in (heads if term == AUTO else [term])))
    vocabulary = scopes.Vocabulary(tuple(head_scopes), tuple(stages))
    excluded = frozenset(scopes.select(known, terms, vocabulary, EXCLUDE_FLAG))
    if wanted and excluded.issuperset(wanted):
        raise UserError(
            f"{EXCLUDE_FLAG}={','.join(terms)} excludes all {len(wanted)} variables of the network, so nothing is left "
            f"to restore: exclude less, or leave --checkpoint_path out to train from scratch"
        )
    plan = _compare(wanted, found, excluded, sources, adaptations, source)
    return dataclasses.replace(plan, exclude=tuple(terms), head_scopes=tuple(head_scopes), stages=tuple(stages))


def _compare(
    wanted: Mapping[str, Shape],
    found: Mapping[str, Shape],
    excluded: frozenset[str],
    sources: Mapping[str, str],
    adaptations: Mapping[str, Adaptation],
    source: str,
) -> RestorePlan:
    restored, missing, mismatched = {}, [], {}
    for name, shape in wanted.items():
        key = sources.get(name, name)
        if name in excluded:
            continue
        if key not in found:
            missing.append(name)
        elif name not in adaptations and tuple(found[key]) != tuple(shape):
            mismatched[name] = (tuple(shape), tuple(found[key]))
        else:
            restored[name] = key
    known = {**wanted, **found}
    used = set(wanted) | set(sources.values())
    others = [name for name in found if name not in used]
    bookkeeping = [name for name in others if is_bookkeeping(name, known)]
    kept = set(bookkeeping) | excluded
    return RestorePlan(
        source=source,
        wanted=dict(wanted),
        found=dict(found),
        restored=restored,
        excluded=tuple(name for name in wanted if name in excluded),
        missing=tuple(missing),
        mismatched=mismatched,
        extra=tuple(name for name in others if name not in kept),
        bookkeeping=tuple(bookkeeping),
        adapted={name: adaptations[name] for name in restored if name in adaptations},
    )


def plan(
    wanted: Mapping[str, Shape],
    reader: Reader,
    exclude: str | Sequence[str] | None = None,
    head_scopes: Sequence[str] = (),
    ignore_missing: bool = False,
    trainable_text: str | None = None,
    *,
    allow_extra: bool = False,
    stages: Sequence[scopes.Stage] = (),
    sources: Mapping[str, str] | None = None,
    adaptations: Mapping[str, Adaptation] | None = None,
    can_exclude: bool = True,
    name_network: Callable[[Mapping[str, Shape]], str | None] | None = None,
) -> RestorePlan:
    """Plans the restoring of a checkpoint into a network, strictly.

    Args:
        wanted: the network's variables, name -> shape.
        reader: the checkpoint.
        exclude: text or terms of --checkpoint_exclude_scopes, `auto` included.
        head_scopes: the network's heads.
        ignore_missing: Slim's --ignore_missing_vars: what the checkpoint lacks is left out, with a warning.
        trainable_text: --trainable_scopes as given, for the flags in the message.
        allow_extra: the checkpoint may have more than the network, as when a run's auxiliary classifier is not built
          for evaluation.
        stages, sources, adaptations: as in `compare`.
        can_exclude: False for programs without --checkpoint_exclude_scopes: the message then says what else to do.
        name_network: tells from a checkpoint's shapes which network it is of; asked where it is not this one.

    Raises:
        UserError: something is missing, extra or of another shape and not excluded, or nothing would be restored. The
          message lists it and ends in the flags to use.
    """
    compared = compare(
        wanted,
        reader.shapes,
        exclude,
        head_scopes,
        stages=stages,
        sources=sources,
        adaptations=adaptations,
        source=reader.path,
    )
    compared = dataclasses.replace(compared, original_names=getattr(reader, "original_names", {}))
    problems = compared
    if ignore_missing and compared.restored:
        problems = dataclasses.replace(problems, missing=())
    if allow_extra:
        problems = dataclasses.replace(problems, extra=())
    if not problems.fits:
        raise UserError(restore_messages.explain(problems, trainable_text, can_exclude, name_network))
    if compared.missing:
        logging.warning("%s", restore_messages.missing_warning(compared))
    return compared
