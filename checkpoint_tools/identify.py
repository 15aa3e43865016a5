"""Which network a checkpoint is of, by the names and shapes in it, against the whole zoo. Builds no network."""

import collections
import dataclasses
import re
from collections.abc import Iterable, Mapping, Set

from checkpoint_tools import signatures
from checkpoint_tools.signatures import CHANNELS, CLASSES, SIZE, Dimension, Pattern, Signature
from checkpoints import averages, renames, restore
from checkpoints.patterns import matching
from checkpoints.renames import Rename

Shape = tuple[int, ...]

_SHOWN = 5  # candidates kept
_ALIKE = 0.5  # share of variables in common below which other root scopes are tried
_SLOT = re.compile(r"^(RMSProp|Momentum|AdamW|Adam|Adagrad|Adadelta|Ftrl|LARS|LAMB)(_\d+)?$")


@dataclasses.dataclass(frozen=True)
class Candidate:
    """How a checkpoint's variables compare with those of one network.

    Attributes:
        model_name: the network.
        fitting: number of variables with the same name and shape.
        total: number of variables of the network.
        missing: in the network, not in the checkpoint; heads that are wholly missing aside.
        mismatched: in both, name -> (shape in the network, shape in the checkpoint).
        extra: in the checkpoint, not in the network; optimizer slots and the like aside.
        num_classes: of the classifier; None where it has none.
        channels: of the images; None where it cannot be told.
        other_size: name -> shape in the checkpoint, of those whose shape is that of another image size.
        tells_size: whether there is a variable whose shape depends on the image size.
        missing_heads: head scopes that are wholly missing.
        rename: what turns the checkpoint's names into the network's; None where they are the same.
        score: share of all variables of both that fit, in [0, 1].
    """

    model_name: str
    fitting: int
    total: int
    missing: tuple[str, ...]
    mismatched: Mapping[str, tuple[Shape, Shape]]
    extra: tuple[str, ...]
    num_classes: int | None
    channels: int | None
    other_size: Mapping[str, Shape]
    tells_size: bool
    missing_heads: tuple[str, ...]
    rename: Rename | None
    score: float

    @property
    def fits(self) -> bool:
        """Whether all is alike but heads that are missing, and names that a rename repairs."""
        return self.fitting > 0 and not (self.missing or self.mismatched or self.extra)

    @property
    def differences(self) -> int:
        """Number of variables that do not fit."""
        return len(self.missing) + len(self.mismatched) + len(self.extra)


@dataclasses.dataclass(frozen=True)
class Identity:
    """What a checkpoint is.

    Attributes:
        model_name: the network that it fits, heads that are missing aside; None where none does.
        num_classes: width of the classifier; None without one (or without a network).
        image_size: side in pixels, where the shapes tell it; else None: any size, the network's default by custom.
        channels: of the images.
        has_averages: whether moving averages are in it.
        only_averages: whether the averages are there and the variables are not.
        slots: kinds of optimizer slots, such as `RMSProp`, `RMSProp_1`.
        optimizer: the `--optimizer` that keeps such slots; None where there are none.
        auxiliary: whether the auxiliary classifier is in it; None for networks without one.
        rename: see `Candidate`; also of a near miss.
        candidates: the networks that come nearest, best first; at least one where any variable is alike.
        variables: name -> shape of what is no slot, average or counter, under the checkpoint's names.
    """

    model_name: str | None
    num_classes: int | None
    image_size: int | None
    channels: int | None
    has_averages: bool
    only_averages: bool
    slots: tuple[str, ...]
    optimizer: str | None
    auxiliary: bool | None
    rename: Rename | None
    candidates: tuple[Candidate, ...]
    variables: Mapping[str, Shape]


def identify(shapes: Mapping[str, Shape], others: Iterable[Signature] = ()) -> Identity:
    """Compares a checkpoint with every network of the zoo.

    Args:
        shapes: name -> shape of all that is in the checkpoint.
        others: signatures of networks beyond the zoo (`signatures.make`); one of a built-in name takes its place.
    """
    variables, only_averages = _variables(shapes)
    known = {signature.model_name: signature for signature in (*signatures.stored(), *others)}
    candidates = _ranked(known.values(), variables)
    best = candidates[0] if candidates else None
    fits = best is not None and best.fits
    slots = _slots(shapes, variables)
    return Identity(
        model_name=best.model_name if fits else None,
        num_classes=best.num_classes if best else None,
        image_size=image_size(known[best.model_name], best) if fits else None,
        channels=best.channels if best else None,
        has_averages=any(name.endswith(averages.SUFFIX) for name in shapes),
        only_averages=only_averages,
        slots=slots,
        optimizer=re.sub(r"_\d+$", "", slots[0]).lower() if slots else None,
        auxiliary=_has_auxiliary(known[best.model_name], best) if best else None,
        rename=best.rename if best else None,
        candidates=candidates,
        variables=variables,
    )


def _variables(shapes: Mapping[str, Shape]) -> tuple[dict[str, Shape], bool]:
    """The model's variables, without slots and the like; those of averages where the variables are not there."""
    variables = {name: tuple(shape) for name, shape in shapes.items() if not restore.is_bookkeeping(name, shapes)}
    if variables:
        return variables, False
    lone = {
        name.removesuffix(averages.SUFFIX): tuple(shape)
        for name, shape in shapes.items()
        if name.endswith(averages.SUFFIX)
    }
    return lone, bool(lone)


def _slots(shapes: Mapping[str, Shape], variables: Mapping[str, Shape]) -> tuple[str, ...]:
    kinds = {
        last
        for scope, _, last in (name.rpartition("/") for name in shapes)
        if _SLOT.match(last) and (scope in variables or scope in shapes)
    }
    return tuple(sorted(kinds))


# -- comparing ------------------------------------------------------------------------------------


def _ranked(known: Iterable[Signature], variables: Mapping[str, Shape]) -> tuple[Candidate, ...]:
    """The networks that have anything in common with the checkpoint, the most alike first."""
    known = list(known)
    quick = {signature.model_name: _alike(signature, variables) for signature in known}
    likely = sorted((s for s in known if quick[s.model_name]), key=lambda s: -quick[s.model_name])[:_SHOWN]
    candidates = [compare(signature, variables) for signature in likely]
    if not any(candidate.score >= _ALIKE for candidate in candidates):
        candidates += _renamed(known, variables)
    return tuple(sorted(candidates, key=lambda c: (-c.score, c.differences)))[:_SHOWN]


def _alike(signature: Signature, variables: Mapping[str, Shape]) -> float:
    """A quick measure of likeness: names and fixed dimensions in common; names alone count a little."""
    common = signature.variables.keys() & variables.keys()
    fitting = sum(_agrees(signature.variables[name], variables[name]) for name in common)
    everything = len(signature.variables) + len(variables) - len(common)
    return (fitting + 0.1 * len(common)) / everything if everything else 0.0


def _agrees(pattern: Pattern, shape: Shape) -> bool:
    return len(pattern) == len(shape) and all(
        isinstance(ours, str) or ours == theirs for ours, theirs in zip(pattern, shape, strict=True)
    )


def _renamed(known: Iterable[Signature], variables: Mapping[str, Shape]) -> list[Candidate]:
    """Networks that the checkpoint fits once its outermost scopes are called something else."""
    found = []
    for signature in known:
        varying = {_tail(name) for name, pattern in signature.variables.items() if any(map(_varies, pattern))}

        def comparable(shapes: Mapping[str, Pattern], varying: Set[str] = varying) -> dict[str, Shape]:
            """Of what varies with the classes, channels and image size, the number of axes alone."""
            return {name: (len(shape),) if _tail(name) in varying else shape for name, shape in shapes.items()}

        rename = renames.suggestion(comparable(signature.variables), comparable(variables))
        if rename:
            new = {rename.apply(name) or name: shape for name, shape in variables.items()}
            found.append(dataclasses.replace(compare(signature, new), rename=rename))
    return found


def _varies(dimension: Dimension) -> bool:
    return isinstance(dimension, str)


def _tail(name: str) -> str:
    return "/".join(name.split("/")[-2:])


def compare(signature: Signature, variables: Mapping[str, Shape]) -> Candidate:
    """Compares a checkpoint's variables with one network's, whatever the classes, channels and image size."""
    bound = _bound(signature, variables)
    missing, mismatched, other_size, fitting = [], {}, {}, 0
    for name, pattern in signature.variables.items():
        shape = variables.get(name)
        if shape is None:
            missing.append(name)
            continue
        usual = tuple(signatures.number(ours, bound) for ours in pattern)
        wanted = tuple(
            ours if str(ours).startswith(SIZE) else value for ours, value in zip(pattern, usual, strict=True)
        )
        if _agrees(wanted, shape):
            fitting += 1
            if usual != shape:
                other_size[name] = shape
        else:
            mismatched[name] = (usual, shape)
    heads = {scope: matching(signature.variables, scope) for scope in signature.head_scopes}
    absent = [scope for scope, names in heads.items() if names and not any(name in variables for name in names)]
    lacking = {name for scope in absent for name in heads[scope]}
    extra = tuple(name for name in variables if name not in signature.variables)
    union = len(signature.variables) - len(lacking) + len(extra)
    return Candidate(
        model_name=signature.model_name,
        fitting=fitting,
        total=len(signature.variables),
        missing=tuple(name for name in missing if name not in lacking),
        mismatched=mismatched,
        extra=extra,
        num_classes=bound[CLASSES] or None,
        channels=bound[CHANNELS] or None,
        other_size=other_size,
        tells_size=any(
            name in variables and any(str(dimension).startswith(SIZE) for dimension in pattern)
            for name, pattern in signature.variables.items()
        ),
        missing_heads=tuple(absent),
        rename=None,
        score=fitting / union if union else 0.0,
    )


def _bound(signature: Signature, variables: Mapping[str, Shape]) -> dict[str, int]:
    """What `K` and `C` are in the checkpoint, 0 where it does not say; the main classifier's width counts, not an
    auxiliary one's."""
    auxiliary = {name for scope in signature.auxiliary_scopes for name in matching(signature.variables, scope)}
    values: dict[str, list[int]] = {CLASSES: [], CHANNELS: []}
    fallback: list[int] = []
    for name, pattern in signature.variables.items():
        shape = variables.get(name)
        if shape is None or len(shape) != len(pattern):
            continue
        for ours, theirs in zip(pattern, shape, strict=True):
            if isinstance(ours, int) or ours[0] == SIZE:
                continue
            found = fallback if ours == CLASSES and name in auxiliary else values[ours[0]]
            found.append(theirs // int(ours[1:] or 1))
    values[CLASSES] = values[CLASSES] or fallback
    return {key: collections.Counter(found).most_common(1)[0][0] if found else 0 for key, found in values.items()}


def _has_auxiliary(signature: Signature, candidate: Candidate) -> bool | None:
    scopes = signature.auxiliary_scopes
    return None if not scopes else not set(scopes) <= set(candidate.missing_heads)


# -- the image size -------------------------------------------------------------------------------


def image_size(signature: Signature, candidate: Candidate) -> int | None:
    """The image size that the shapes tell: the default where they are the default's, else found by trying."""
    if not candidate.tells_size:
        return None
    if not candidate.other_size:
        return signature.image_size
    return _search_size(signature, candidate)


def _search_size(signature: Signature, candidate: Candidate, tries: int = 8) -> int | None:
    """Builds the network at the sizes at which its shapes may be those found; None where none is hit."""
    from nets.network import Network

    name, shape = next(iter(candidate.other_size.items()))
    pattern = signature.variables[name]
    axis = next(i for i, dimension in enumerate(pattern) if str(dimension).startswith(SIZE))
    wanted, usual = shape[axis], int(str(pattern[axis])[1:])
    # A kernel over the whole picture grows with its side, a fully connected layer's input with its area.
    power = 1.0 if len(pattern) > 2 else 0.5
    channels = [candidate.channels] if candidate.channels else [3, 1, 4]

    def built(size: int, count: int) -> int | None:
        try:
            return Network(signature.model_name, 3, image_size=size, channels=count).shapes[name][axis]
        except ValueError:
            return None

    for count in channels:
        size, seen = float(signature.image_size) * (wanted / usual) ** power, set()
        for _ in range(tries):
            side = max(1, round(size))
            if side in seen:
                break
            seen.add(side)
            got = built(side, count)
            if got == wanted:
                return side
            if not got:
                break
            size = side * (wanted / got) ** power
    return None
