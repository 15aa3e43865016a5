"""Edits and moves checkpoints: what `convert_checkpoint.py` does. Read, edit in the order of the flags, write, say."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from checkpoint_tools import classes, edit, identify, pruning, soup
from checkpoint_tools.conversion import convert as frameworks
from checkpoint_tools.convert_config import RENAME_FLAG, ConvertConfig
from checkpoints import reader as reader_lib
from checkpoints import writer
from checkpoints.renames import Rename
from common import suggest
from common.errors import FlagError, UserError
from nets import registry
from training import runs

# What some expect to be a format of weights, and is none that can be written.
_NOT_WRITTEN = (".pb", ".tgz", ".tar.gz", ".tar", ".zip", ".npz", ".tflite", ".onnx", ".pth", ".pt", ".bin", ".json")


@dataclasses.dataclass(frozen=True)
class Loaded:
    """What was read.

    Attributes:
        values: name -> array.
        source: the path that was read, for messages.
        run: the content of the run.json beside it; None where there is none.
        model_name: the network, where the file or its run says it.
        lines: what to say of it.
    """

    values: dict[str, np.ndarray]
    source: str
    run: dict[str, Any] | None = None
    model_name: str | None = None
    lines: tuple[str, ...] = ()

    @property
    def step(self) -> int | None:
        """The global step; None without one."""
        return int(self.values[edit.STEP]) if edit.STEP in self.values else None


def convert(config: ConvertConfig) -> list[str]:
    """Does what the config says; returns lines for the user.

    Raises:
        UserError: something cannot be read, edited or written. Nothing is half-written then.
    """
    if config.network_module:
        registry.load_module(config.network_module)
    if config.prune:
        return pruning.prune(
            config.checkpoint_path, config.keep_last, config.keep_every, config.parsed_steps(), config.dry_run
        )
    _check_model_name(config)
    before = _read(config)
    output = _output(config, before)
    values, run, lines = _edited(config, before)
    _write(config, before, output, values, run, lines)
    return [
        f"Read {before.source}: {_size(before.values)}",
        *(f"  {line}" for line in (*before.lines, *lines)),
        f"Wrote {output}: {_size(values) if not _is_framework(output) else f'{os.path.getsize(output) / 1e6:.2f} MB'}",
        *_use(config, output, before, values, run),
    ]


def _check_model_name(config: ConvertConfig) -> None:
    if config.model_name and config.model_name not in registry.names():
        raise FlagError(f"--model_name: {suggest.unknown('network', config.model_name, registry.names())}")


# -- reading ----------------------------------------------------------------------------------------------------------


def _read(config: ConvertConfig) -> Loaded:
    paths = soup.paths(config.checkpoint_path, config.last)
    if not config.average:
        if len(paths) > 1:
            raise FlagError(
                f"--checkpoint_path={config.checkpoint_path} names {len(paths)} checkpoints: add --average to average "
                "them, or name one"
            )
        return _load(paths[0], config.model_name)
    weights = config.parsed_weights() or (1 / len(paths),) * len(paths)
    if len(paths) < 2:
        raise FlagError("--average needs several checkpoints: --checkpoint_path=A,B, a glob, or a folder with --last=3")
    if len(weights) != len(paths):
        raise FlagError(f"--weights={config.weights} has {len(weights)} numbers for {len(paths)} checkpoints")
    mean, lines = soup.Soup(), []
    for path, weight in zip(paths, weights, strict=True):
        loaded = _load(path, config.model_name)
        values, done = loaded.values, []
        if config.fold_averages:
            values, text = edit.fold_averages(values, loaded.source)
            done = [f"  {text}"]
        mean.add(values, weight, loaded.source)
        lines += [f"{weight:.3g} of {loaded.source}", *done]
    values, said = mean.result()
    source = f"{len(paths)} checkpoints"
    return dataclasses.replace(loaded, values=values, source=source, lines=(*lines, *said))


def _load(path: str, model_name: str | None) -> Loaded:
    if frameworks.is_weights_file(path):
        imported = frameworks.import_weights(path, model_name)
        lines = [f"{imported.other} of {imported.framework}", f"input: {imported.preprocessing}", *imported.notes]
        return Loaded(dict(imported.values), path, model_name=imported.model_name, lines=tuple(lines))
    reader = reader_lib.open_checkpoint(path)
    values = {name: _array(value) for name, value in reader.read(reader.shapes).items()}
    run = runs.read(reader.path)
    return Loaded(values, reader.path, run, runs.model_info(run).model_name if run else None)


def _array(tensor: tf.Tensor) -> np.ndarray:
    value = tensor.numpy()
    return np.array(value, object) if isinstance(value, bytes) else value  # NumPy's own strings lose zeros at their end


def _network(config: ConvertConfig, loaded: Loaded, values: Mapping[str, np.ndarray], what_for: str) -> str:
    """The network that values are of."""
    if name := config.model_name or loaded.model_name:
        return name
    name, rename = _identified(values)
    if name and rename:
        raise FlagError(f"{loaded.source} is a {name} under other names: add {RENAME_FLAG}={rename}")
    if not name:
        raise FlagError(
            f"--model_name is missing: {what_for} needs one, and {loaded.source} is of no network of the zoo"
        )
    return name


def _identified(values: Mapping[str, np.ndarray]) -> tuple[str | None, Rename | None]:
    """The network that values are of, and what makes their names the network's, where they are others."""
    identity = identify.identify({name: np.shape(value) for name, value in values.items()})
    return identity.model_name, identity.rename


# -- editing ----------------------------------------------------------------------------------------------------------


def _edited(config: ConvertConfig, loaded: Loaded) -> tuple[dict[str, np.ndarray], dict[str, Any] | None, list[str]]:
    """Returns the arrays after all edits, the content of their run.json, and what was done."""
    values, run, lines = loaded.values, loaded.run, []
    if config.rename:
        values, text = edit.rename(values, config.renames(), RENAME_FLAG)
        lines.append(text)
    if config.fold_averages and not config.average:
        values, text = edit.fold_averages(values, loaded.source)
        lines.append(text)
    if config.strip:
        values, text = edit.strip(values)
        lines.append(text)
    if edits := config.class_edits():
        values, run, texts = _edit_classes(config, edits, loaded, values)
        lines += texts
    if config.cast:
        values, text = edit.cast(values, np.dtype(tf.as_dtype(config.cast).as_numpy_dtype), loaded.source)
        lines.append(text)
    if config.step is not None:
        values = values | {edit.STEP: np.asarray(config.step, np.int64)}
        lines.append(f"step: {config.step}" + ("" if loaded.step is None else f" in place of {loaded.step}"))
    return values, run, lines


def _edit_classes(
    config: ConvertConfig, edits: classes.ClassEdits, loaded: Loaded, values: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, Any] | None, list[str]]:
    name = _network(config, loaded, values, "editing classes")
    from nets.network import class_count

    count = class_count(name, {key: np.shape(value) for key, value in values.items()})
    if count is None:
        raise UserError(f"{loaded.source} has no classifier of {name} to edit: is --model_name right?")
    labels = runs.model_info(loaded.run).labels if loaded.run else None
    values, labels, lines = classes.apply(edits, values, labels, name, count)
    run = classes.edited_run(loaded.run, labels, edits) if loaded.run else None
    if not run:
        lines = [*lines, f"the classes now: {', '.join(labels[:6])}{', ...' if len(labels) > 6 else ''}"]
    return values, run, lines


# -- writing ----------------------------------------------------------------------------------------------------------


def _is_framework(path: str) -> bool:
    return path.endswith(tuple(ending for framework in frameworks.FRAMEWORKS for ending in framework.endings))


def _output(config: ConvertConfig, before: Loaded) -> str:
    """The path to write, checked as far as that is possible before anything is done."""
    output = os.path.expanduser(config.output)
    if _is_framework(output):
        if os.path.exists(output) and not config.overwrite:
            raise UserError(f"{output} is there already: add --overwrite, or give another name")
        return output
    if output.lower().endswith(_NOT_WRITTEN):
        endings = [ending for framework in frameworks.FRAMEWORKS for ending in framework.endings]
        raise FlagError(
            f"--output={config.output}: such a file cannot be written; give the prefix of a checkpoint, such as "
            f"--output=converted/model.ckpt, or a file that ends in {', '.join(endings)}"
        )
    output = output.removesuffix(".index")
    if output.endswith("/") or tf.io.gfile.isdir(output):
        step = before.step if config.step is None else config.step
        output = os.path.join(output, writer.NAME if step is None else f"{writer.NAME}-{step}")
    if writer.parts(output) and not config.overwrite:
        raise UserError(f"{output} is there already: add --overwrite, or give --output another name")
    _check_run_file(config, before, output)
    return output


def _check_run_file(config: ConvertConfig, before: Loaded, output: str) -> None:
    """Fails where a run.json of another run is in the way."""
    if before.run is None:
        return
    path = os.path.join(os.path.dirname(output), runs.FILE_NAME)
    if not tf.io.gfile.exists(path):
        return
    if not _beside(before, output):
        if not config.overwrite:
            raise UserError(f"{path} is there and describes another run: give --output a folder of its own")
    elif config.class_edits():
        raise UserError(
            f"{path} describes the checkpoints of this folder, which have other classes: give --output a folder of its "
            "own"
        )


def _beside(before: Loaded, output: str) -> bool:
    """Whether the new checkpoint lies beside the one read."""
    return os.path.realpath(os.path.dirname(before.source)) == os.path.realpath(os.path.dirname(output))


def _write(
    config: ConvertConfig,
    before: Loaded,
    output: str,
    values: Mapping[str, np.ndarray],
    run: Mapping[str, Any] | None,
    lines: list[str],
) -> None:
    if _is_framework(output):
        lines += frameworks.export_weights(values, _network(config, before, values, "another framework's file"), output)
        return
    writer.write(output, values, config.overwrite)
    if run and not _beside(before, output):
        converted = {"from": before.source, "edits": lines}
        runs.write(os.path.dirname(output) or ".", {**run, "converted": [*run.get("converted", []), converted]})


# -- saying -----------------------------------------------------------------------------------------------------------


def _size(values: Mapping[str, np.ndarray]) -> str:
    size = sum(value.nbytes for value in values.values())
    return f"{len(values)} variables, {size / 1e6:.2f} MB"


def _use(
    config: ConvertConfig,
    output: str,
    before: Loaded,
    values: Mapping[str, np.ndarray],
    run: Mapping[str, Any] | None,
) -> list[str]:
    """How to use what was written."""
    if _is_framework(output):
        return []
    if run:
        return [f"Use it: python eval_image_classifier.py --checkpoint_path={output}"]
    name, rename = (config.model_name or before.model_name, None) if not config.rename else (None, None)
    if name is None:
        name, rename = _identified(values)
    if name is None or rename:
        return [f"Look at it: python inspect_checkpoint.py --checkpoint_path={output}"]
    return [f"Use it: python export_saved_model.py --checkpoint_path={output} --model_name={name} --export_dir=served"]
