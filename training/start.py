"""Where a run starts: its own last checkpoint, else a checkpoint to fine-tune, else from scratch. In this order."""

import dataclasses
from collections.abc import Mapping, Sequence

import tensorflow as tf
from absl import logging

from checkpoints import averages, first_layer, renames, restore, writer
from checkpoints import reader as reader_lib
from checkpoints.adaptation import Adaptation
from common.errors import UserError
from datasets import folds
from nets.network import Network
from training import class_rows, models, runs
from training.class_rows import ClassRows
from training.config import TrainConfig
from training.extending import Extension

_OF_A_CHECKPOINT = (
    "checkpoint_exclude_scopes",
    "ignore_missing_vars",
    "checkpoint_rename",
    "checkpoint_averages",
    "checkpoint_labels",
)


@dataclasses.dataclass(frozen=True)
class Start:
    """The state that a run starts from.

    Attributes:
        kind: "resumed", "fine-tuned" or "scratch".
        step: global step.
        values: name -> tensor, of variables and, when resumed, of optimizer state and averages.
        text: the one line for the log.
        source: checkpoint read; None from scratch.
        plan: which variable is restored from what; None from scratch.
        rows: the classes whose rows of the classifier are the checkpoint's; None where it is not taken by class.
    """

    kind: str
    step: int
    values: dict[str, tf.Tensor]
    text: str
    source: str | None = None
    plan: restore.RestorePlan | None = None
    rows: ClassRows | None = None


def starting_point(
    config: TrainConfig, network: Network, labels: Sequence[str] | None = None, extension: Extension | None = None
) -> Start:
    """Decides where the run starts and reads the values it starts with.

    Args:
        config: all settings.
        network: its variables need not be made.
        labels: the network's classes; None where they have no names.
        extension: the classes of a network that is extended.
    """
    own = writer.latest(config.train_dir)
    source = config.train_dir if own is not None else config.checkpoint_path
    if source and config.fold is not None:
        flag = "--train_dir" if own is not None else "--checkpoint_path"
        folds.check_trained_elsewhere(runs.read(source), config.dataset_dir, config.fold, f"{flag}={source}")
    if own is not None:
        return _resume(config, network, own)
    if config.checkpoint_path:
        return _fine_tune(config, network, labels, extension)
    for flag in _OF_A_CHECKPOINT:
        if getattr(config, flag):
            raise UserError(
                f"--{flag} says what to take from a checkpoint, but --checkpoint_path names none; add it, or leave "
                f"--{flag} out"
            )
    return Start("scratch", 0, {}, "Start: from scratch (no --checkpoint_path)")


def _resume(config: TrainConfig, network: Network, prefix: str) -> Start:
    reader = reader_lib.CheckpointReader(prefix)
    try:
        plan = restore.plan(
            network.shapes, reader, head_scopes=network.record.head_scopes, allow_extra=True, can_exclude=False
        )
    except UserError as error:
        raise UserError(
            f"--train_dir={config.train_dir} holds a run that does not fit {network.record.name} with "
            f"{network.num_classes} classes: use another folder, such as "
            f"--train_dir={config.train_dir.rstrip('/')}_{network.record.name}_{network.num_classes}, or remove that "
            f"run. {error}"
        ) from None
    text = f"Start: resuming this run from {prefix} at step {reader.step}"
    if config.checkpoint_path:
        text += " (so --checkpoint_path is not read)"
    return Start("resumed", reader.step or 0, reader.read(list(reader.shapes)), text, prefix, plan)


def _fine_tune(
    config: TrainConfig, network: Network, labels: Sequence[str] | None, extension: Extension | None
) -> Start:
    opened = reader_lib.open_checkpoint(config.checkpoint_path)
    reader, applied = renames.renamed(opened, network.shapes, config.checkpoint_rename)
    if applied:
        logging.info("Renamed: %s", renames.describe(applied, len(reader.original_names)))
    sources = _averages(config, network, reader)
    rows = class_rows.chosen(config, network, reader, labels, extension)
    try:
        plan = restore.plan(
            network.shapes,
            reader,
            exclude=config.checkpoint_exclude_scopes,
            head_scopes=network.record.head_scopes,
            ignore_missing=config.ignore_missing_vars,
            trainable_text=config.trainable_scopes,
            stages=network.stages,
            sources=sources,
            adaptations=_adaptations(network, reader, sources, rows),
            name_network=models.name_other(network.record.name),
        )
    except UserError as error:
        raise class_rows.with_hint(error, labels, network, reader) from None
    told = class_rows.described(rows, labels, network, plan, reader)
    return Start(
        kind="fine-tuned",
        step=0,
        values=plan.values(reader),
        text="\n".join([f"Start: fine-tuning, {plan.summary()}", *told]),
        source=reader.path,
        plan=plan,
        rows=rows,
    )


def _averages(config: TrainConfig, network: Network, reader: restore.Reader) -> dict[str, str]:
    """Name in the network -> its average's in the checkpoint, where the averages are asked for."""
    if config.checkpoint_averages:
        return averages.required_sources(network.shapes, reader.shapes, reader.path, "--checkpoint_averages")
    if averages.sources(network.shapes, reader.shapes):
        logging.info(
            "%s has moving averages, which evaluation would use; training starts from the variables themselves "
            "(--checkpoint_averages: from the averages)",
            reader.path,
        )
    return {}


def _adaptations(
    network: Network, reader: restore.Reader, sources: Mapping[str, str], rows: ClassRows | None
) -> dict[str, Adaptation]:
    """Name in the network -> how it is made of what the checkpoint has, of those that are not taken as they are."""
    found = first_layer.adaptations(network.shapes, reader.shapes) | dict(rows.adaptations if rows else {})
    return {
        name: dataclasses.replace(adaptation, source=sources.get(adaptation.source, adaptation.source))
        for name, adaptation in found.items()
    }
