"""What the doctor says of a checkpoint without being told the network."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf

from checkpoint_tools import identify as identify_lib
from checkpoint_tools.identify import Candidate, Identity
from checkpoint_tools.signatures import Signature, stored
from checkpoints import restore_messages
from checkpoints.patterns import top_level
from checkpoints.reader import Reader
from training import runs

_NEAR = 0.2  # share of variables that fit below which a network is no near miss
_STATISTICS = ("/moving_mean", "/moving_variance")
_IMAGENET = {1001: True, 1000: False}  # classes -> whether class 0 is the background


@dataclasses.dataclass(frozen=True)
class Description:
    """A checkpoint, told; `facts` are in types that JSON has."""

    facts: dict[str, Any]
    text: str

    @property
    def fits(self) -> bool:
        """Whether it is a network that is known."""
        return self.facts["model_name"] is not None


def describe(reader: Reader, others: Iterable[Signature] = ()) -> Description:
    """Says what a checkpoint is, against the zoo and `others` (the user's own networks)."""
    others = tuple(others)
    identity = identify_lib.identify(reader.shapes, others)
    known = {signature.model_name: signature for signature in (*stored(), *others)}
    signature = known[identity.candidates[0].model_name] if identity.candidates else None
    run = runs.read(reader.path)
    facts = _facts(reader, identity, signature, run)
    return Description(facts, "\n".join(_lines(facts, identity, signature)))


def _facts(
    reader: Reader, identity: Identity, signature: Signature | None, run: Mapping[str, Any] | None
) -> dict[str, Any]:
    size, size_from = _image_size(identity, signature, run)
    sizes = {name: math.prod(shape) for name, shape in identity.variables.items()}
    return {
        "path": reader.path,
        "format": reader.format,
        "files": list(reader.files),
        "file_bytes": sum(tf.io.gfile.stat(path).length for path in reader.files),
        "notes": list(reader.notes),
        "model_name": identity.model_name,
        "num_classes": identity.num_classes,
        "background_class": _IMAGENET.get(identity.num_classes),
        "image_size": size,
        "image_size_from": size_from,
        "channels": identity.channels,
        "auxiliary_heads": identity.auxiliary,
        "checkpoint_rename": str(identity.rename) if identity.rename else None,
        "step": reader.step,
        "has_averages": identity.has_averages,
        "only_averages": identity.only_averages,
        "optimizer": identity.optimizer,
        "slots": list(identity.slots),
        "tensors": len(reader.shapes),
        "variables": len(sizes),
        "parameters": sum(size for name, size in sizes.items() if not name.endswith(_STATISTICS)),
        "moving_statistics": sum(size for name, size in sizes.items() if name.endswith(_STATISTICS)),
        "candidates": [_candidate(candidate) for candidate in identity.candidates],
        "run": {key: run["model"].get(key) for key in ("model_name", "num_classes", "image_size")} if run else None,
    }


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return {
        "model_name": candidate.model_name,
        "fits": candidate.fits,
        "score": round(candidate.score, 4),
        "fitting": candidate.fitting,
        "total": candidate.total,
        "missing": list(candidate.missing),
        "mismatched": {name: {"network": a, "checkpoint": b} for name, (a, b) in candidate.mismatched.items()},
        "extra": list(candidate.extra),
        "missing_heads": list(candidate.missing_heads),
        "num_classes": candidate.num_classes,
        "checkpoint_rename": str(candidate.rename) if candidate.rename else None,
    }


def _image_size(
    identity: Identity, signature: Signature | None, run: Mapping[str, Any] | None
) -> tuple[int | None, str | None]:
    """The image size and who says so: `shapes`, `run.json` or `default`."""
    if identity.image_size:
        return identity.image_size, "shapes"
    if run and run["model"].get("model_name") == identity.model_name:
        return run["model"]["image_size"], "run.json"
    if identity.model_name and not identity.candidates[0].tells_size:
        return signature.image_size, "default"
    return None, None


# -- words ----------------------------------------------------------------------------------------


def _lines(facts: Mapping[str, Any], identity: Identity, signature: Signature | None) -> Iterable[str]:
    count = len(facts["files"])
    yield (f"{facts['path']}: {facts['format']}, {count} file{'s' if count > 1 else ''}, {_bytes(facts['file_bytes'])}")
    rows = [("network", _network(identity))]
    if identity.model_name:
        rows += [
            ("classes", _classes(facts, identity)),
            ("image size", _size(facts)),
            ("channels", str(facts["channels"] or "not told by the shapes")),
        ]
        if facts["auxiliary_heads"] is not None:
            words = "in it" if facts["auxiliary_heads"] else "not in it"
            rows.append(("auxiliary", f"{', '.join(signature.auxiliary_scopes)}: {words}"))
    rows += [
        ("step", "none" if facts["step"] is None else str(facts["step"])),
        ("variables", f"{facts['variables']}: {_values(facts)}"),
        ("averages", _averages(facts)),
        ("optimizer", f"{facts['optimizer']} ({', '.join(facts['slots'])})" if facts["optimizer"] else "no slots"),
    ]
    if facts["run"]:
        rows.append(("run.json", _run(facts)))
    rows += [("note", note) for note in facts["notes"]]
    yield from (f"  {name:12}{text}" for name, text in rows)
    if identity.model_name:
        yield from _use(facts, identity, signature)
    else:
        yield from _nearest(identity)


def _network(identity: Identity) -> str:
    if not identity.model_name:
        return "none of the zoo"
    best = identity.candidates[0]
    absent = f", without {', '.join(best.missing_heads)}" if best.missing_heads else ""
    text = f"{identity.model_name} ({best.fitting} of {best.total} variables{absent}; names and shapes fit)"
    return f"{text}, under other names" if identity.rename else text


def _classes(facts: Mapping[str, Any], identity: Identity) -> str:
    if facts["num_classes"] is None:
        return "no classifier in it"
    words = {True: ", so class 0 is the background", False: ", so there is no background class (--labels_offset=1)"}
    return f"{facts['num_classes']}{words.get(facts['background_class'], '')}"


def _size(facts: Mapping[str, Any]) -> str:
    if facts["image_size"] is None:
        return "not the network's default: its shapes are those of another size"
    words = {
        "shapes": "by its shapes",
        "run.json": "by run.json",
        "default": "the network's default; its shapes are the same for any",
    }
    return f"{facts['image_size']} ({words[facts['image_size_from']]})"


def _values(facts: Mapping[str, Any]) -> str:
    statistics = facts["moving_statistics"]
    text = f"{facts['parameters']:,} parameters"
    return f"{text} and {statistics:,} batch norm statistics" if statistics else text


def _averages(facts: Mapping[str, Any]) -> str:
    if facts["only_averages"]:
        return "there, in place of the variables"
    return "there (evaluation and export use them)" if facts["has_averages"] else "none"


def _run(facts: Mapping[str, Any]) -> str:
    run = facts["run"]
    said = (run["model_name"], run["num_classes"])
    seen = (facts["model_name"], facts["num_classes"])
    text = f"{run['model_name']}, {run['num_classes']} classes, image size {run['image_size']}"
    return text if said == seen or facts["model_name"] is None else f"{text}: not what the checkpoint holds"


def _use(facts: Mapping[str, Any], identity: Identity, signature: Signature) -> Iterable[str]:
    rename = f" --checkpoint_rename={identity.rename}" if identity.rename else ""
    yield "To use it:"
    yield f"  --model_name={identity.model_name} --checkpoint_path={facts['path']}{rename}"
    heads = ",".join(signature.head_scopes)
    yield f"and for classes of your own: --checkpoint_exclude_scopes={heads} --trainable_scopes={heads}"


def _nearest(identity: Identity, most: int = 3) -> Iterable[str]:
    near = [candidate for candidate in identity.candidates if candidate.score >= _NEAR][:most]
    if not near and identity.candidates:
        near = [candidate for candidate in identity.candidates if candidate.mismatched][:1]
    if near:
        yield "Nearest:"
        yield from (f"  {near_miss(candidate)}" for candidate in near)
        yield f"Compare: --model_name={near[0].model_name}"
        return
    scopes = [f"{scope} ({count})" for scope, count in list(top_level(identity.variables).items())[:6]]
    yield f"Its outermost scopes: {', '.join(scopes) or 'none'}; for a network of your own, add --network_module=FILE"


def near_miss(candidate: Candidate, most: int = 3) -> str:
    """`inception_v3 but for 4 variables: a, b, c, ...`; or that its names are there in another width."""
    rename = f" under --checkpoint_rename={candidate.rename}" if candidate.rename else ""
    if len(candidate.mismatched) > candidate.total / 2:
        factor = restore_messages.width_factor(candidate.mismatched)
        wide = f", {factor:g} times as wide" if factor else ""
        shapes = f"{len(candidate.mismatched)} of {candidate.total} variables have other shapes"
        return f"a variant of {candidate.model_name}{rename}{wide}: {shapes}"
    marked = [
        *(f"{name} of another shape" for name in candidate.mismatched),
        *(f"{name} missing" for name in candidate.missing),
        *(f"{name} extra" for name in candidate.extra),
    ]
    listed = ", ".join(marked[:most]) + (", ..." if len(marked) > most else "")
    plural = "s" if len(marked) > 1 else ""
    return f"{candidate.model_name}{rename} but for {len(marked)} variable{plural}: {listed}"


def _bytes(count: int) -> str:
    return f"{count:,} bytes" if count < 100_000 else f"{count / 1e6:,.1f} MB"
