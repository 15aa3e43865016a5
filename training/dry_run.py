"""`--dry_run`: every variable, where it would start from and what would become of it, as one table."""

import math
from collections.abc import Iterable, Mapping

from checkpoints import restore_messages
from common import tables
from nets import initializers
from nets.network import Network, VariableSpec
from training import selection
from training.config import TrainConfig
from training.start import Start

_STATISTICS = ("moving_mean", "moving_variance")
_HEADER = ("variable", "shape", "trained", "rate", "decay", "batch norm", "value")


def table(config: TrainConfig, network: Network, start: Start) -> str:
    """Returns the table and its totals.

    Args:
        config: the run's settings.
        network: the network, told what to train; its variables need not be there.
        start: where the run starts from.

    Raises:
        UserError: a multiplier's term selects nothing.
    """
    rates, decays = selection.rate_factors(config, network), selection.decay_factors(config, network)
    scales = selection.weight_decays(network)
    trained, moving = set(network.trained_names), set()
    if config.batch_norm != "frozen":
        moving = set(network.moving_statistics_names())
    modes = _batch_norm_modes(config.batch_norm, network.shapes, moving)
    rows = []
    for spec in network.specs:
        name = spec.name
        is_trained = name in trained
        scale = scales.get(name, 0.0) * decays.get(name, 1.0) if is_trained else 0.0
        rows.append(
            (
                name,
                restore_messages.text(spec.shape),
                "yes" if is_trained else "follows" if name in moving else "no",
                f"x{rates.get(name, 1.0):g}" if is_trained else "",
                f"{scale:.3g}" if scale else "",
                modes.get(name, ""),
                _origin(spec, start),
            )
        )
    listed = tables.table(_HEADER, rows, left=("variable", "trained", "batch norm", "value"))
    totals = _totals(network, start, trained, moving)
    return "\n".join([listed, "", *totals, "", start.text, "Dry run: nothing was trained, nothing was written."])


def _origin(spec: VariableSpec, start: Start) -> str:
    if start.plan is not None and spec.name in start.plan.restored:
        return restore_messages.origin(start.plan, spec.name)
    return f"new: {initializers.describe(spec.initializer)}"


def _batch_norm_modes(mode: str, names: Iterable[str], moving: Iterable[str]) -> dict[str, str]:
    """Variable of a batch norm -> `frozen`, or the word of --batch_norm where the layer's averages move."""
    names, moving = list(names), set(moving)
    layers: dict[str, bool] = {}
    for name in names:
        scope, _, last = name.rpartition("/")
        if last in _STATISTICS:
            layers[scope] = layers.get(scope, False) or name in moving
    own = {name: name.rpartition("/")[0] for name in names}
    return {name: mode if layers[scope] else "frozen" for name, scope in own.items() if scope in layers}


def _totals(network: Network, start: Start, trained: Iterable[str], moving: Iterable[str]) -> list[str]:
    plan = start.plan
    restored = plan.restored if plan else {}
    adapted = plan.adapted if plan else {}
    kinds: Mapping[str, Iterable[str]] = {
        "all": network.shapes,
        "trained": trained,
        "frozen": set(network.shapes) - set(trained) - set(moving),
        "following statistics": moving,
        "restored as they are": restored.keys() - adapted.keys(),
        "restored and adapted": adapted,
        "new": network.shapes.keys() - restored.keys(),
    }
    counted = {kind: set(names) for kind, names in kinds.items()}
    rows = [
        (kind, len(names), f"{sum(math.prod(network.shapes[name]) for name in names):,}")
        for kind, names in counted.items()
        if names or kind in ("trained", "new")
    ]
    return tables.table(("", "variables", "values"), rows).splitlines()
