"""Which variables of a network the flags mean: what is trained, at which rate, with how much decay."""

import collections
from collections.abc import Mapping

import tensorflow as tf

from checkpoints import scopes
from common.errors import UserError
from nets.network import Network
from training.config import TrainConfig

RATE_FLAG = "--learning_rate_multipliers"
DECAY_FLAG = "--weight_decay_multipliers"


def vocabulary(network: Network) -> scopes.Vocabulary:
    """What `head` and `last:N` mean in a network."""
    return scopes.Vocabulary(network.record.head_scopes, network.stages)


def names_to_train(config: TrainConfig, network: Network) -> list[str]:
    """Names of the variables that `--trainable_scopes` selects, in creation order; all trainable ones without it."""
    names = network.trainable_names
    if not config.trainable_scopes:
        return names
    return scopes.select(names, scopes.split(config.trainable_scopes), vocabulary(network), "--trainable_scopes")


def rate_factors(config: TrainConfig, network: Network) -> dict[str, float]:
    """Trained variable -> what the learning rate is multiplied by for it, where that is not 1.

    Raises:
        UserError: a term selects no variable that is trained.
    """
    text, trained = config.learning_rate_multipliers, set(network.trained_names)
    found = scopes.factors(network.trainable_names, text, vocabulary(network), RATE_FLAG)
    for term, _ in scopes.split_factors(text, RATE_FLAG):
        if trained.isdisjoint(scopes.select(network.trainable_names, [term], vocabulary(network), RATE_FLAG)):
            raise UserError(
                f"{RATE_FLAG}: {term!r} selects frozen variables alone, which have no rate; leave it out, or train "
                f"them: --trainable_scopes={config.trainable_scopes},{term}"
            )
    return {name: factor for name, factor in found.items() if name in trained and factor != 1}


def decay_factors(config: TrainConfig, network: Network) -> dict[str, float]:
    """Variable -> what its weight decay is multiplied by, where that is not 1.

    Raises:
        UserError: a term other than `...=0` selects no variable that has a decay.
    """
    text, names = config.weight_decay_multipliers, list(network.shapes)
    if not text:
        return {}
    found = scopes.factors(names, text, vocabulary(network), DECAY_FLAG)
    decays = weight_decays(network)
    if not decays:
        raise UserError(
            f"{DECAY_FLAG} multiplies --weight_decay, which is {config.weight_decay:g} here: give it a value above 0"
        )
    for term, factor in scopes.split_factors(text, DECAY_FLAG):
        if factor and decays.keys().isdisjoint(scopes.select(names, [term], vocabulary(network), DECAY_FLAG)):
            rest = [part for part in scopes.split(text) if part.rpartition("=")[0].strip() != term]
            repaired = f"use {DECAY_FLAG}={','.join(rest)}" if rest else "leave the flag out"
            raise UserError(
                f"{DECAY_FLAG}: {term!r} selects no variable with a decay to multiply (of this network "
                f"{len(decays)} of {len(names)} have one, {next(iter(decays))} for one): {repaired}"
            )
    return {name: factor for name, factor in found.items() if name in decays and factor != 1}


def weight_decays(network: Network) -> dict[str, float]:
    """Variable -> scale of its L2 term, `scale * sum(v ** 2) / 2`, of those that have one."""
    one = tf.constant(1.0)
    terms = {spec.name: spec.regularizer(one) for spec in network.specs if spec.regularizer is not None}
    return {name: 2 * float(term) for name, term in terms.items() if term is not None}


def describe(rates: Mapping[str, float], decays: Mapping[str, float], network: Network) -> list[str]:
    """Lines for the log about multipliers that are not 1."""
    lines = []
    if rates:
        lines.append(f"Learning rate multipliers: {_counts(rates, len(network.trained_names))}")
    if 0 in rates.values():
        lines.append(
            "A multiplier of 0 keeps variables as they are, but not the batch-norm averages of their layers; "
            "--trainable_scopes freezes whole layers"
        )
    if decays:
        lines.append(f"Weight decay multipliers: {_counts(decays, len(weight_decays(network)))}")
    return lines


def _counts(factors: Mapping[str, float], total: int) -> str:
    """`0.1 for 81 variables, 1 for 2`, of `total` variables."""
    counts = collections.Counter(factors.values())
    counts[1.0] += total - len(factors)
    return ", ".join(f"{factor:g} for {n} variable{'s' if n > 1 else ''}" for factor, n in sorted(counts.items()) if n)
