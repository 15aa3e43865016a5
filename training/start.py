"""Where a run starts: its own last checkpoint, else a checkpoint to fine-tune, else from scratch. In this order."""

import dataclasses

import tensorflow as tf

from checkpoints import reader as reader_lib
from checkpoints import restore, scopes, writer
from common.errors import UserError
from datasets import folds
from nets.network import Network
from training import runs
from training.config import TrainConfig


@dataclasses.dataclass(frozen=True)
class Start:
    """The state that a run starts from.

    Attributes:
        kind: "resumed", "fine-tuned" or "scratch".
        step: global step.
        values: name -> tensor, of variables and, when resumed, of optimizer state and averages.
        text: the one line for the log.
        source: checkpoint read; None from scratch.
    """

    kind: str
    step: int
    values: dict[str, tf.Tensor]
    text: str
    source: str | None = None


def starting_point(config: TrainConfig, network: Network) -> Start:
    """Decides where the run starts and reads the values it starts with."""
    own = writer.latest(config.train_dir)
    source = config.train_dir if own is not None else config.checkpoint_path
    if source and config.fold is not None:
        flag = "--train_dir" if own is not None else "--checkpoint_path"
        folds.check_trained_elsewhere(runs.read(source), config.dataset_dir, config.fold, f"{flag}={source}")
    if own is not None:
        return _resume(config, network, own)
    if config.checkpoint_path:
        return _fine_tune(config, network)
    for flag in ("checkpoint_exclude_scopes", "ignore_missing_vars"):
        if getattr(config, flag):
            raise UserError(f"--{flag} says what to take from a checkpoint, but --checkpoint_path names none")
    return Start("scratch", 0, {}, "Start: from scratch (no --checkpoint_path)")


def _resume(config: TrainConfig, network: Network, prefix: str) -> Start:
    reader = reader_lib.CheckpointReader(prefix)
    try:
        restore.plan(
            network.shapes, reader, head_scopes=network.record.head_scopes, allow_extra=True, can_exclude=False
        )
    except UserError as error:
        raise UserError(
            f"--train_dir={config.train_dir} holds a run that does not fit {network.record.name} with "
            f"{network.num_classes} classes: use another folder, or remove that run. {error}"
        ) from None
    text = f"Start: resuming this run from {prefix} at step {reader.step}"
    if config.checkpoint_path:
        text += " (so --checkpoint_path is not read)"
    return Start("resumed", reader.step or 0, reader.read(list(reader.shapes)), text, prefix)


def _fine_tune(config: TrainConfig, network: Network) -> Start:
    reader = reader_lib.CheckpointReader(config.checkpoint_path)
    plan = restore.plan(
        network.shapes,
        reader,
        exclude=config.checkpoint_exclude_scopes,
        head_scopes=network.record.head_scopes,
        ignore_missing=config.ignore_missing_vars,
        trainable_text=config.trainable_scopes,
    )
    return Start(
        kind="fine-tuned",
        step=0,
        values=plan.values(reader),
        text=f"Start: fine-tuning, {plan.summary()}",
        source=reader.path,
    )


def names_to_train(config: TrainConfig, network: Network) -> list[str]:
    """Names of the variables that `--trainable_scopes` selects, in creation order; all trainable ones without it."""
    names = network.trainable_names
    if not config.trainable_scopes:
        return names
    return scopes.select(names, scopes.split(config.trainable_scopes), network.record.head_scopes, "--trainable_scopes")
