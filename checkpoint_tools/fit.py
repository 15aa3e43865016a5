"""Whether a checkpoint fits a network and a command line, by the very plan that training restores by."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from checkpoint_tools import identify as identify_lib
from checkpoint_tools import signatures
from checkpoints import first_layer, renames, restore, restore_messages, scopes
from checkpoints.reader import Reader
from checkpoints.restore import RestorePlan
from nets.network import Network
from training import models


@dataclasses.dataclass(frozen=True)
class Fit:
    """How a checkpoint and a network compare.

    Attributes:
        network: the network.
        plan: what would be restored.
        renamed: the renames that are applied.
        trained: what --trainable_scopes selects; None without it.
        explanation: the error that training would end in; None where it fits.
        flags: what to add to `--model_name --checkpoint_path` to make it work; "" for nothing.
    """

    network: Network
    plan: RestorePlan
    renamed: tuple[renames.Rename, ...]
    trained: tuple[str, ...] | None
    explanation: str | None
    flags: str


def check(
    reader: Reader,
    model_name: str,
    num_classes: int | None = None,
    image_size: int | None = None,
    channels: int | None = None,
    exclude: str | None = None,
    trainable: str | None = None,
    rename: str | None = None,
) -> Fit:
    """Compares a checkpoint with a network, as training does.

    Args:
        reader: the checkpoint.
        model_name: the network.
        num_classes: its classes; None: as many as the checkpoint has.
        image_size, channels: of its input; None: its default.
        exclude, trainable, rename: --checkpoint_exclude_scopes, --trainable_scopes and --checkpoint_rename.

    Raises:
        UserError: a scope or a rename that matches nothing.
    """
    signature = _signature(model_name)
    if num_classes is None:
        found, _ = renames.renamed(reader, signature.variables, rename)
        num_classes = identify_lib.compare(signature, found.shapes).num_classes or signature.num_classes
    network = Network(model_name, num_classes, image_size=image_size, channels=channels)
    found, applied = renames.renamed(reader, network.shapes, rename)
    plan = restore.compare(
        network.shapes,
        found.shapes,
        exclude,
        network.record.head_scopes,
        stages=network.stages,
        adaptations=first_layer.adaptations(network.shapes, found.shapes),
        source=reader.path,
    )
    plan = dataclasses.replace(plan, original_names=getattr(found, "original_names", {}))
    trained = None
    if trainable:
        vocabulary = scopes.Vocabulary(network.record.head_scopes, network.stages)
        trained = tuple(scopes.select(network.trainable_names, scopes.split(trainable), vocabulary))
    given = {
        "use_grayscale": "" if channels == 1 and network.record.channels != 1 else None,
        "train_image_size": image_size,
        "checkpoint_rename": rename,
        "checkpoint_exclude_scopes": exclude,
        "trainable_scopes": trainable,
    }
    if plan.fits:
        return Fit(network, plan, applied, trained, None, _text_of(given))
    explanation = restore_messages.explain(plan, trainable, True, models.name_other(model_name))
    size = _other_size(signature, network, found.shapes)
    identity = identify_lib.identify(found.shapes)
    again = functools.partial(check, reader, num_classes=num_classes, channels=channels, trainable=trainable)
    if size:
        explanation += f"\nBy its shapes it is for images of {size}x{size}: use --train_image_size={size}"
        flags = again(model_name, image_size=size, exclude=exclude, rename=rename).flags
    elif identity.model_name and identity.model_name != model_name and len(plan.restored) < len(plan.wanted) / 2:
        right = again(identity.model_name, rename=identity.rename and str(identity.rename), trainable=None)
        flags = " ".join(filter(None, [f"--model_name={identity.model_name}", right.flags]))
    elif identity.rename and not rename and identity.candidates[0].model_name == model_name:
        flags = again(model_name, image_size=image_size, exclude=exclude, rename=str(identity.rename)).flags
    elif plan.restored:
        before = {flag: given[flag] for flag in ("use_grayscale", "train_image_size", "checkpoint_rename")}
        flags = " ".join(filter(None, [_text_of(before), plan.flags(trainable)]))
    else:
        flags = ""
    return Fit(network, plan, applied, trained, explanation, flags)


def _signature(model_name: str) -> signatures.Signature:
    return next((s for s in signatures.stored() if s.model_name == model_name), None) or signatures.make(model_name)


def _other_size(signature: signatures.Signature, network: Network, shapes: Mapping[str, Any]) -> int | None:
    """The image size that the checkpoint's shapes tell, where it is not the network's."""
    candidate = identify_lib.compare(signature, dict(shapes))
    if candidate.score < 0.5 or not candidate.tells_size:
        return None
    size = identify_lib.image_size(signature, candidate)
    if size is None or size == network.image_size:
        return None
    differs = (name for name in candidate.other_size or signature.variables if name in shapes)
    return size if any(network.shapes[name] != tuple(shapes[name]) for name in differs) else None


def _text_of(flags: Mapping[str, Any]) -> str:
    return " ".join(f"--{flag}={value}".removesuffix("=") for flag, value in flags.items() if value is not None)


def facts(fit: Fit) -> dict[str, Any]:
    """A fit in types that JSON has."""
    plan, network = fit.plan, fit.network

    def shapes(names: Any, of: Mapping[str, tuple[int, ...]]) -> dict[str, list[int]]:
        return {name: list(of[name]) for name in names}

    return {
        "path": plan.source,
        "model_name": network.record.name,
        "num_classes": network.num_classes,
        "image_size": network.image_size,
        "channels": network.channels,
        "fits": plan.fits,
        "restored": {name: plan.original_names.get(source, source) for name, source in plan.restored.items()},
        "adapted": {name: adaptation.text for name, adaptation in plan.adapted.items()},
        "excluded": shapes(plan.excluded, plan.wanted),
        "missing": shapes(plan.missing, plan.wanted),
        "mismatched": {
            name: {"network": list(ours), "checkpoint": list(theirs)}
            for name, (ours, theirs) in plan.mismatched.items()
        },
        "extra": shapes(plan.extra, plan.found),
        "left_aside": list(plan.bookkeeping),
        "renamed": [str(rename) for rename in fit.renamed],
        "trained": None if fit.trained is None else list(fit.trained),
        "explanation": fit.explanation,
        "flags": fit.flags,
    }


def text(fit: Fit) -> str:
    """The table of all variables, and what to do."""
    plan, network = fit.plan, fit.network
    lines = [
        f"{plan.source} and {network.record.name} with {network.num_classes} classes, {network.image_size}x"
        f"{network.image_size} images of {network.channels} channels:",
        plan.table(),
        "",
    ]
    if fit.renamed:
        lines.append(f"Renamed: {', '.join(map(str, fit.renamed))}")
    if fit.trained is not None:
        lines.append(f"Trained: {len(fit.trained)} of {len(network.trainable_names)} trainable variables")
    if fit.explanation:
        return "\n".join([*lines, fit.explanation])
    flags = f" {fit.flags}" if fit.flags else ""
    return "\n".join([*lines, f"It fits: --model_name={network.record.name} --checkpoint_path={plan.source}{flags}"])
