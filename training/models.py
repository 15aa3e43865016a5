"""From a checkpoint to a network ready to be applied: what evaluation, export and prediction share."""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import tensorflow as tf

from checkpoints import averages, restore
from checkpoints import reader as reader_lib
from common.errors import FlagError, UserError
from nets import registry
from nets.network import Network, class_count
from preprocessing import recipes
from training import runs
from training.runs import ModelInfo

Named = TypeVar("Named")


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A restored network and where it came from."""

    network: Network
    info: ModelInfo
    checkpoint: str  # prefix
    step: int  # 0 where the checkpoint has no global step
    uses_averages: bool
    run: dict[str, Any] | None  # the content of run.json


def describe(reader: "reader_lib.Reader", run: Mapping[str, Any] | None, given: Mapping[str, Any]) -> ModelInfo:
    """Works out which model a checkpoint holds.

    `given` are the user's words (fields of `ModelInfo` to value) and win over the run's `run.json`; what neither says
    comes from the network's record and from the shape of the checkpoint's classifier.
    """
    module = given.get("network_module") or (run and run["model"].get("network_module"))
    if module:
        registry.load_module(module)
    values = dict(given)
    if run is not None:
        of_run = dataclasses.asdict(runs.model_info(run))
        same_network = given.get("model_name", of_run["model_name"]) == of_run["model_name"]
        values = (of_run if same_network else {}) | given
    if "model_name" not in values:
        fits = name_other("")(reader.shapes)
        raise FlagError(
            f"--model_name is missing: there is no {runs.FILE_NAME} beside {reader.path} that says which network it is"
            + (f"; by its variables it is --model_name={fits}" if fits else "")
        )
    record = known("--model_name", registry.get, values["model_name"])
    values.setdefault("image_size", record.image_size)
    values.setdefault("channels", record.channels)
    values.setdefault("preprocessing_name", record.preprocessing)
    values["preprocessing_name"] = known("--preprocessing_name", recipes.get, values["preprocessing_name"]).name
    values.setdefault("labels", None)
    if "num_classes" not in values:
        values["num_classes"] = class_count(record.name, reader.shapes)
        if values["num_classes"] is None:
            raise UserError(
                f"{reader.path} has no classifier of {record.name} ({', '.join(record.head_scopes)}): "
                f"is --model_name right?"
            )
    return ModelInfo(**values)


def known(flag: str, get: Callable[[str], Named], name: str) -> Named:
    """Looks a name up in a registry; an unknown one becomes an error about the flag that gave it."""
    try:
        return get(name)
    except ValueError as error:
        raise FlagError(f"{flag}: {error}") from None


def name_other(name: str) -> Callable[[Mapping[str, tuple[int, ...]]], str | None]:
    """Returns what tells from a checkpoint's shapes which network of the zoo it is of, where it is not `name`."""

    def name_network(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
        from checkpoint_tools import identify  # only here: few checkpoints are wrong

        found = identify.identify(shapes).model_name
        return None if found == name else found

    return name_network


def load(
    checkpoint_path: str, given: Mapping[str, Any], use_averages: bool | None = None, averages_flag: str = ""
) -> LoadedModel:
    """Restores a network, strictly: every variable that evaluation uses must be in the checkpoint with its shape.

    Args:
        checkpoint_path: run folder, prefix, or what else `checkpoints.reader.open_checkpoint` takes.
        given: what the user said of the model, see `describe`.
        use_averages: restore moving averages in place of the variables; None: where the checkpoint has them.
        averages_flag: the flag that says so, for the message where there are none.
    """
    reader = reader_lib.open_checkpoint(checkpoint_path)
    run = runs.read(reader.path)
    info = describe(reader, run, given)
    network = Network(info.model_name, info.num_classes, image_size=info.image_size, channels=info.channels)
    if use_averages is None:
        use_averages = bool(averages.sources(network.shapes, reader.shapes))
    sources = None
    if use_averages:
        sources = averages.required_sources(network.shapes, reader.shapes, reader.path, averages_flag)
    # What the run has beyond the network (an auxiliary classifier that is not built for evaluation) is no mistake here.
    plan = restore.plan(
        _needed_shapes(network, reader.shapes.keys() | (sources or {}).keys()),
        reader,
        head_scopes=network.record.head_scopes,
        allow_extra=True,
        sources=sources,
        can_exclude=False,
        name_network=name_other(network.record.name),
    )
    network.initialize(plan.values(reader))
    return LoadedModel(network, info, reader.path, reader.step or 0, use_averages, run)


def _needed_shapes(network: Network, available: Collection[str]) -> dict[str, tuple[int, ...]]:
    """Shapes of the variables to restore: auxiliary heads, which predictions do not need, may be missing."""
    auxiliary = tuple(
        f"{scope}/"
        for scope in network.record.head_scopes[1:]
        if not any(name.startswith(f"{scope}/") for name in available)  # one with holes is a mistake
    )
    return {
        name: shape
        for name, shape in network.shapes.items()
        if name in available or (name in network.evaluation_names and not (auxiliary and name.startswith(auxiliary)))
    }


def check_takes_images(record: registry.NetworkRecord) -> None:
    """Fails for networks that do not take single images."""
    if record.video:
        others = ", ".join(other.name for other in registry.records() if not other.video and other.name[0] == "i")
        raise UserError(
            f"--model_name={record.name} takes video clips, this script images: name a network of images, such as "
            f"{others}"
        )


def predict_fn(network: Network) -> Any:
    """Returns a compiled function: images [N, H, W, C] -> logits [N, K] float32."""
    return tf.function(lambda images: network(images)[0], autograph=False, reduce_retracing=True)
