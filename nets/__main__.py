"""Lists the networks: input, parameters, multiply-adds, ImageNet accuracy, published checkpoint, head scopes.

python -m nets [NAME_OR_GLOB ...] [--json] [--network_module=FILE]
"""

import dataclasses
import fnmatch
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from common import scripts, suggest, tables
from common.config import option
from common.errors import UserError

if TYPE_CHECKING:
    from nets.registry import NetworkRecord

_HEADER = ("--model_name", "input", "parameters", "multiply-adds", "top-1", "top-5", "checkpoint", "head scopes")


@dataclasses.dataclass(frozen=True)
class ZooConfig:
    """What `python -m nets` lists."""

    json: bool = option(False, "Print a JSON list with all that the records hold.")
    network_module: str | None = option(None, "Python file with networks of your own to list, too.")


def select(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """Returns the names that match one of the patterns (shell-style globs), all of them without patterns.

    Raises:
      UserError: a pattern matches nothing.
    """
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise UserError(suggest.unknown("network", pattern, names))
    return [name for name in names if not patterns or any(fnmatch.fnmatchcase(name, p) for p in patterns)]


def describe(record: "NetworkRecord") -> dict[str, Any]:
    """Returns what a record holds, in types that JSON has; what a network costs is measured where it is not stated."""
    facts = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    if record.parameters is None or record.multiply_adds is None:
        from nets import cost

        facts.update(cost.measure(record.name)._asdict())
    del facts["function"], facts["arg_scope"]
    facts["head_scopes"] = list(record.head_scopes)
    facts["num_classes"] = record.num_classes
    if record.checkpoint:
        facts["checkpoint"] = {"url": record.checkpoint.url, **dataclasses.asdict(record.checkpoint)}
    return facts


def shortened(count: float) -> str:
    """Returns a count with three digits and its unit: `25.6M`, `3.48G`.

    >>> shortened(25_557_032)
    '25.6M'
    """
    units = iter(("", "k", "M", "G"))
    unit = next(units)
    while count >= 999.5 and unit != "G":
        count, unit = count / 1000, next(units)
    digits = 0 if not unit or count >= 99.95 else 1 if count >= 9.995 else 2
    return f"{count:.{digits}f}{unit}"


def _row(facts: dict[str, Any]) -> tuple[str, ...]:
    def accuracy(value: float | None) -> str:
        return "" if value is None else f"{value:.1f}"

    return (
        facts["name"],
        f"{facts['image_size']}{' video' if facts['video'] else ''}",
        shortened(facts["parameters"]),
        shortened(facts["multiply_adds"]),
        accuracy(facts["top1"]),
        accuracy(facts["top5"]),
        facts["checkpoint"]["archive"] if facts["checkpoint"] else "",
        ",".join(facts["head_scopes"]),
    )


def main(patterns: list[str]) -> None:
    config, _ = scripts.config_from_flags(ZooConfig)

    scripts.start_tensorflow()
    from nets import registry

    if config.network_module:
        registry.load_module(config.network_module)
    zoo = [describe(registry.get(name)) for name in select(registry.names(), patterns)]
    if config.json:
        print(json.dumps(zoo, indent=2))
    else:
        print(tables.table(_HEADER, [_row(facts) for facts in zoo], left=("--model_name", "checkpoint", "head scopes")))


if __name__ == "__main__":
    scripts.define_flags(ZooConfig)
    scripts.run(main, positional=True)
