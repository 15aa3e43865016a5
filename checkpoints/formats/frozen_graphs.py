"""Frozen graphs: a `.pb` file with a GraphDef whose variables have become constants under the variables' names.

The variable `X` of a network becomes a constant `X`, which is read through an identity `X/read` (TensorFlow 1's own
variables) or `.../ReadVariableOp` (resource variables). These identities tell weights from the constants that a graph
computes with. Where a tool has removed them, every float constant with at least one axis counts.
"""

import functools
import os
import re
from collections.abc import Iterable
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError

from checkpoints import foreign
from checkpoints.formats import common
from common.errors import UserError

FORMAT = "frozen graph"

_VARIABLES = {"Variable", "VariableV2", "VarHandleOp"}
_QUANTISED = re.compile(r"^(Dequantize|Quantize.*|Quantized.*)$")
_OF_BATCH_NORM = ("/gamma", "/beta", "/moving_variance")
_COMPUTED_WITH = re.compile(r"(^|/)(Const|Reshape|ones|zeros|mul|sub|add|truediv|Pad|Mean|reduction)[^/]*(/[^/]*)?$")


class FrozenGraphReader:
    """The weights in a frozen graph; attributes and methods as of `checkpoints.reader.CheckpointReader`.

    Attributes:
        notes: what a user has to know: that weights were quantised, folded, or told from other constants by guess.
    """

    format = FORMAT
    is_object_based = False

    def __init__(self, path: str):
        """Reads the graph of the `.pb` file.

        Raises:
            UserError: it is cut off, something else, or a graph without weights.
        """
        self.given = self.path = path
        self.files = [path]
        graph = _parse(path)
        constants = {node.name: node for node in graph.node if node.op == "Const"}
        weights = _read_through_identities(graph, constants)
        by_guess = not weights and not any(node.op in _VARIABLES for node in graph.node)
        if by_guess:
            weights = [name for name, node in constants.items() if _may_be_weight(node)]
        self._nodes = {name: constants[name] for name in sorted(weights)}
        self.shapes: dict[str, tuple[int, ...]] = {
            name: tuple(dim.size for dim in node.attr["value"].tensor.tensor_shape.dim)
            for name, node in self._nodes.items()
        }
        self.dtypes: dict[str, tf.DType] = {
            name: tf.as_dtype(node.attr["dtype"].type) for name, node in self._nodes.items()
        }
        self.notes = tuple(_notes(graph, constants, by_guess))
        if not self._nodes:
            raise UserError(_no_weights(path, graph, self.notes))

    @functools.cached_property
    def step(self) -> int | None:
        """The value of `global_step`, where it was frozen too."""
        return common.global_step(self)

    def read(self, names: Iterable[str]) -> dict[str, tf.Tensor]:
        """Returns name -> tensor in CPU memory.

        Raises:
            UserError: a constant is damaged.
            KeyError: a name that the graph does not have.
        """
        names = common.each_once(names, self._nodes, self.path)
        with tf.init_scope(), tf.device("cpu:0"):
            return {name: tf.constant(self._array(name)) for name in names}

    def _array(self, name: str) -> Any:
        try:
            return tf.make_ndarray(self._nodes[name].attr["value"].tensor)
        except (ValueError, TypeError) as error:
            raise UserError(f"{self.path} is damaged: its constant {name}: {error}; copy or fetch it again") from None


def _parse(path: str) -> tf.compat.v1.GraphDef:
    graph = tf.compat.v1.GraphDef()
    with tf.io.gfile.GFile(path, "rb") as file:
        content = file.read()
    try:
        graph.ParseFromString(content)
    except DecodeError:
        raise UserError(f"{path} {foreign.describe(path)}; {foreign.advice(path)}") from None
    if not graph.node:
        raise UserError(f"{path} {foreign.describe(path)}; {foreign.advice(path)}")
    return graph


def _read_through_identities(graph: tf.compat.v1.GraphDef, constants: dict[str, Any]) -> list[str]:
    """Constants that an identity reads as a variable is read, with the step, which nothing reads."""
    found = {
        source: None
        for node in graph.node
        if node.op == "Identity" and node.input and (source := node.input[0].removesuffix(":0")) in constants
        if node.name == f"{source}/read" or node.name.rsplit("/", 1)[-1].startswith("ReadVariableOp")
    }
    return [*found, *(["global_step"] if found and "global_step" in constants else [])]


def _may_be_weight(node: Any) -> bool:
    is_float = tf.as_dtype(node.attr["dtype"].type).is_floating
    return is_float and bool(node.attr["value"].tensor.tensor_shape.dim) and not _COMPUTED_WITH.search(node.name)


def _notes(graph: tf.compat.v1.GraphDef, constants: dict[str, Any], by_guess: bool) -> Iterable[str]:
    ops = {node.op for node in graph.node}
    if any(_QUANTISED.match(op) for op in ops) or any(
        tf.as_dtype(node.attr["dtype"].type).is_quantized for node in constants.values()
    ):
        yield "weights in it are quantised to 8 bits, which are not read: fetch the float checkpoint"
    elif any(op.startswith("FakeQuant") for op in ops):
        yield "it was trained for 8 bits (FakeQuant): its float weights are rounded again when it runs"
    convolves = any("Conv2D" in op or op.startswith("DepthwiseConv2d") for op in ops)
    had_batch_norm = any("BatchNorm" in node.name for node in graph.node)
    has_batch_norm = any("BatchNorm" in op for op in ops) or any(name.endswith(_OF_BATCH_NORM) for name in constants)
    if convolves and had_batch_norm and not has_batch_norm:
        yield (
            "its batch norms are folded into the convolutions, so its weights are not those that training knows: "
            "fetch the checkpoint"
        )
    if by_guess:
        yield "the identities that mark variables were removed, so some of what is listed may be no weight"


def _no_weights(path: str, graph: tf.compat.v1.GraphDef, notes: tuple[str, ...]) -> str:
    variables = sum(node.op in _VARIABLES for node in graph.node)
    if variables:
        return (
            f"{path} is a graph whose {variables} variables are not frozen into it: it holds no weights; give the "
            f"checkpoint that belongs to it"
        )
    return f"{path} is a graph of {len(graph.node)} nodes without weights" + (f": {notes[0]}" if notes else "")


def is_one(path: str) -> bool:
    """Whether `path` is a file called `.pb` (that of a SavedModel aside)."""
    return path.lower().endswith(".pb") and os.path.basename(path) != "saved_model.pb" and not tf.io.gfile.isdir(path)
