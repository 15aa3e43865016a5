"""The checkpoint doctor: what a checkpoint is, whether it fits, what is in it, how it differs from another."""

import dataclasses
import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from common.config import option
from common.errors import FlagError

if TYPE_CHECKING:
    from checkpoints.reader import Reader

_FOR_A_NETWORK = (
    "num_classes",
    "image_size",
    "use_grayscale",
    "checkpoint_exclude_scopes",
    "trainable_scopes",
    "checkpoint_rename",
)


@dataclasses.dataclass(frozen=True)
class DoctorConfig:
    """What `inspect_checkpoint.py` does."""

    checkpoint_path: str | None = option(
        None,
        "Checkpoint: prefix or one of its files, folder (its newest; FOLDER@STEP: of a step), .tar.gz as published, V1 "
        "file, SavedModel, frozen graph (.pb). Required.",
    )
    model_name: str | None = option(None, "Compare with this network, variable by variable.")
    num_classes: int | None = option(None, "Classes of the network; default: the checkpoint's.", minimum=1)
    image_size: int | None = option(None, "Side of the network's input in pixels; default: the network's.", minimum=1)
    use_grayscale: bool = option(False, "The network takes gray images, one channel.")
    checkpoint_exclude_scopes: str | None = option(None, "Scopes not to restore, as in training.")
    trainable_scopes: str | None = option(None, "Scopes to train, as in training.")
    checkpoint_rename: str | None = option(None, "FROM:TO,... as in training.")
    network_module: str | None = option(None, "Python file that registers networks of your own; they are tried too.")
    list: bool = option(False, "List the variables: name, shape, type, values.")
    stats: bool = option(False, "Statistics of every variable, what is suspicious first: NaN, dead filters, ...")
    diff: str | None = option(None, "Another checkpoint: what differs from it.")
    json: bool = option(False, "Print JSON.")

    def __post_init__(self):
        if not self.checkpoint_path:
            raise FlagError("--checkpoint_path is missing: name a checkpoint, its folder, a SavedModel or a .pb file")
        modes = [f"--{name}" for name in ("model_name", "list", "stats", "diff") if getattr(self, name)]
        if len(modes) > 1:
            raise FlagError(f"{' and '.join(modes)} do different things: give one of them")
        if not self.model_name:
            for name in _FOR_A_NETWORK:
                if getattr(self, name):
                    raise FlagError(f"--{name} says how to compare with a network: --model_name is missing")


def inspect(config: DoctorConfig) -> tuple[bool, str]:
    """Returns whether all is well (see `inspect_checkpoint.py`), and what to print."""
    from checkpoints import reader as reader_lib

    reader = reader_lib.open_checkpoint(config.checkpoint_path, warn=bool(config.model_name))
    mode: Callable[[DoctorConfig, Reader], tuple[bool, Any, str]]
    if config.model_name:
        mode = _check
    elif config.list:
        mode = _list
    elif config.stats:
        mode = _statistics
    elif config.diff:
        mode = _difference
    else:
        mode = _describe
    is_well, facts, text = mode(config, reader)
    return is_well, _to_json(facts) if config.json else text


def _to_json(facts: Any) -> str:
    """JSON as the standard has it: numbers that are not finite become strings."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [plain(inner) for inner in value]
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)
        return value

    return json.dumps(plain(facts), indent=2, ensure_ascii=False, allow_nan=False)


def _own_networks(config: DoctorConfig) -> "tuple[str, ...]":
    """Names of the networks that --network_module registers."""
    if not config.network_module:
        return ()
    from nets import registry

    return registry.load_module(config.network_module)


def _describe(config: DoctorConfig, reader: "Reader") -> tuple[bool, Any, str]:
    from checkpoint_tools import description, signatures

    described = description.describe(reader, [signatures.make(name) for name in _own_networks(config)])
    return described.fits, described.facts, described.text


def _check(config: DoctorConfig, reader: "Reader") -> tuple[bool, Any, str]:
    from checkpoint_tools import fit as fit_lib
    from nets import registry
    from training import models

    _own_networks(config)
    models.known("--model_name", registry.get, config.model_name)
    fit = fit_lib.check(
        reader,
        config.model_name,
        num_classes=config.num_classes,
        image_size=config.image_size,
        channels=1 if config.use_grayscale else None,
        exclude=config.checkpoint_exclude_scopes,
        trainable=config.trainable_scopes,
        rename=config.checkpoint_rename,
    )
    return fit.plan.fits, fit_lib.facts(fit), fit_lib.text(fit)


def _list(config: DoctorConfig, reader: "Reader") -> tuple[bool, Any, str]:
    from checkpoints.restore_messages import text as shape_text
    from common import tables

    sizes = {name: math.prod(shape) for name, shape in reader.shapes.items()}
    dtypes = {name: dtype.name for name, dtype in reader.dtypes.items()}
    rows = [(name, shape_text(shape), dtypes[name], f"{sizes[name]:,}") for name, shape in reader.shapes.items()]
    table = tables.table(("variable", "shape", "type", "values"), rows, left=("variable", "shape", "type"))
    by_type = {dtype: sum(sizes[name] for name in sizes if dtypes[name] == dtype) for dtype in dtypes.values()}
    totals = ", ".join(f"{count:,} {dtype}" for dtype, count in by_type.items())
    facts = {
        "path": reader.path,
        "format": reader.format,
        "variables": [
            {"name": name, "shape": list(shape), "dtype": dtypes[name], "values": sizes[name]}
            for name, shape in reader.shapes.items()
        ],
        "values": sum(sizes.values()),
    }
    return True, facts, f"{table}\n{len(sizes)} variables, {sum(sizes.values()):,} values ({totals})"


def _statistics(config: DoctorConfig, reader: "Reader") -> tuple[bool, Any, str]:
    from checkpoint_tools import statistics

    measured = list(statistics.measure(reader))
    findings = statistics.ranked(finding for one in measured for finding in one.findings)
    facts = {
        "path": reader.path,
        "findings": [dataclasses.asdict(finding) for finding in findings],
        "variables": [
            {key: value for key, value in dataclasses.asdict(one).items() if key != "findings"} for one in measured
        ],
    }
    is_finite = all(finding.kind != "not_finite" for finding in findings)
    return is_finite, facts, statistics.report(measured)


def _difference(config: DoctorConfig, reader: "Reader") -> tuple[bool, Any, str]:
    from checkpoint_tools import difference
    from checkpoints import reader as reader_lib

    found = difference.compare(reader, reader_lib.open_checkpoint(config.diff, warn=False))
    return found.is_none, {**dataclasses.asdict(found), "same": found.is_none}, difference.report(found)
