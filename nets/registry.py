"""The one list of networks: a record for each, and the decorator that adds one.

A family's module registers its networks when it is imported. The built-in families are imported when somebody first
asks for a record, so importing this module (or `nets.nets_factory`) does not import TensorFlow.

A network of your own takes one decorator, in a file of your own that `load_module` reads:

    from nets import layers as slim, registry

    @registry.network("tiny", image_size=64, preprocessing="cifarnet", head_scopes="Tiny/logits")
    def tiny(images, num_classes=10, is_training=False, scope="Tiny"):
        with tf.compat.v1.variable_scope(scope, "Tiny", [images]):
            net = slim.flatten(slim.conv2d(images, 16, [3, 3], stride=2, scope="conv1"))
            logits = slim.fully_connected(net, num_classes, activation_fn=None, scope="logits")
        return logits, {"Flatten": net, "Logits": logits}
"""

import dataclasses
import importlib
import importlib.util
import os
import sys
import zlib
from collections.abc import Callable, Iterable
from typing import Any

from common import suggest
from common.errors import UserError
from common.published import PublishedCheckpoint

# In Slim's order, which is also the order of `records`.
_FAMILIES = (
    "nets.linear",
    "nets.alexnet",
    "nets.cifarnet",
    "nets.overfeat",
    "nets.vgg",
    "nets.inception_v1",
    "nets.inception_v2",
    "nets.inception_v3",
    "nets.inception_v4",
    "nets.inception_resnet_v2",
    "nets.i3d",
    "nets.s3dg",
    "nets.lenet",
    "nets.resnet_v1",
    "nets.resnet_v2",
    "nets.mobilenet_v1",
    "nets.mobilenet.mobilenet_v2",
    "nets.mobilenet.mobilenet_v3",
    "nets.nasnet.nasnet",
    "nets.nasnet.pnasnet",
)

_records: dict[str, "NetworkRecord"] = {}
_loaded_files: dict[str, tuple[str, ...]] = {}
_builtin_loaded = False


@dataclasses.dataclass(frozen=True)
class NetworkRecord:
    """All that the rest of the project knows about a network."""

    name: str
    function: Callable[..., Any]  # Slim's: (images, num_classes=, is_training=, ...) -> (logits, end_points)
    arg_scope: Callable[..., Any]  # (weight_decay=) -> arg scope to enter around the function
    image_size: int  # side of the default input, pixels
    preprocessing: str  # recipe's name in preprocessing_factory
    head_scopes: tuple[str, ...]  # what depends on the number of classes: the classifier and its auxiliaries
    features: str | None = None  # end point that the classifier reads (before dropout)
    channels: int = 3
    checkpoint: PublishedCheckpoint | None = None
    top1: float | None = None  # ImageNet validation accuracy in percent, single crop; None for the checkpoint's
    top5: float | None = None
    parameters: int | None = None  # trained values that a prediction uses, with `num_classes` classes (`nets.cost`)
    multiply_adds: int | None = None  # of a prediction; for video networks, of a clip of 64 frames
    paper: str = ""
    video: bool = False  # input is [batch, frames, height, width, channels]

    def __post_init__(self):
        if not self.name or not callable(self.function) or not callable(self.arg_scope):
            raise ValueError(f"network {self.name!r}: a name, a function and an arg scope function are needed")
        if self.image_size < 1 or self.channels < 1:
            raise ValueError(f"network {self.name!r}: image_size and channels must be positive")
        if not isinstance(self.head_scopes, tuple) or not all(isinstance(scope, str) for scope in self.head_scopes):
            raise ValueError(f"network {self.name!r}: head_scopes must be a tuple of scope names")
        for name in ("top1", "top5"):
            if self.checkpoint and getattr(self, name) is None:
                object.__setattr__(self, name, getattr(self.checkpoint, name))  # the class is frozen

    @property
    def num_classes(self) -> int:
        """Classes of the published checkpoint; without one ImageNet's 1000, or 10 for networks of small images."""
        return self.checkpoint.num_classes if self.checkpoint else 1000 if self.image_size > 64 else 10


def register(record: NetworkRecord) -> None:
    """Adds a record.

    Raises:
      ValueError: the name is taken.
    """
    if getattr(record.function, "__module__", None) not in _FAMILIES:
        _load_builtin()  # so that a clash with a built-in name is told here, whatever was imported first
    if record.name in _records:
        taken = getattr(_records[record.name].function, "__module__", "?")
        raise ValueError(f"a network named {record.name!r} is already registered (by {taken}); choose another name")
    _records[record.name] = record


def network(
    name: str,
    *,
    image_size: int,
    preprocessing: str = "inception",
    head_scopes: str | Iterable[str] = (),
    arg_scope: Callable[..., Any] | None = None,
    **facts: Any,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator that registers a Slim-style network function and gives it `default_image_size`.

    Args:
      name: the network's name (`--model_name`).
      image_size: side of its default input, pixels.
      preprocessing: name of a preprocessing recipe.
      head_scopes: variable scopes of the layers that depend on the number of classes; needed for fine-tuning.
      arg_scope: function of `weight_decay` that returns an arg scope; None for `plain_arg_scope`.
      **facts: other fields of `NetworkRecord`.

    Returns:
      A decorator that returns the function itself.
    """
    head_scopes = (head_scopes,) if isinstance(head_scopes, str) else tuple(head_scopes)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        record = NetworkRecord(
            name=name,
            function=function,
            arg_scope=arg_scope or plain_arg_scope,
            image_size=image_size,
            preprocessing=preprocessing,
            head_scopes=head_scopes,
            **facts,
        )
        register(record)
        function.default_image_size = image_size
        return function

    return decorate


def plain_arg_scope(weight_decay: float = 0.0) -> Any:
    """Arg scope of a network that brings none: L2 on the weights of convolutions and fully connected layers."""
    from nets import layers as slim

    layers = [slim.conv2d, slim.conv3d, slim.separable_conv2d, slim.fully_connected]
    with slim.arg_scope(layers, weights_regularizer=slim.l2_regularizer(weight_decay)) as scope:
        return scope


def get(name: str) -> NetworkRecord:
    """Returns the record of a network.

    Raises:
      ValueError: unknown name; the message lists near matches.
    """
    _load_builtin()
    if name not in _records:
        raise ValueError(suggest.unknown("network", name, _records))
    return _records[name]


def records() -> tuple[NetworkRecord, ...]:
    """All records: the built-in ones in Slim's order, then others in order of registration."""
    _load_builtin()
    place = {module: i for i, module in enumerate(_FAMILIES)}
    modules = {record.name: getattr(record.function, "__module__", None) for record in _records.values()}
    return tuple(sorted(_records.values(), key=lambda record: place.get(modules[record.name], len(place))))


def names() -> tuple[str, ...]:
    """Names of all networks, in the order of `records`."""
    return tuple(record.name for record in records())


def load_module(where: str) -> tuple[str, ...]:
    """Imports a user's file (or dotted module name) of decorated networks; a second call does nothing.

    Args:
      where: path of a Python file, or the name of an importable module.

    Returns:
      Names of the networks that it registered.

    Raises:
      UserError: there is no such file or module, or it registers no network.
    """
    _load_builtin()
    is_file = where.endswith(".py") or os.sep in where
    key = os.path.realpath(where) if is_file else where
    if key not in _loaded_files:
        before = set(_records)
        _import_file(key, where) if is_file else _import_name(where)
        new = tuple(name for name in _records if name not in before)
        if not new:
            raise UserError(
                f"{where}: no network was registered there; decorate its function with "
                "@nets.registry.network(name, image_size=..., head_scopes=...)"
            )
        _loaded_files[key] = new
    return _loaded_files[key]


def _import_file(path: str, shown: str) -> None:
    if not os.path.isfile(path):
        raise UserError(f"{shown}: no such file; expected a Python file with a decorated network function")
    stem = os.path.splitext(os.path.basename(path))[0]
    name = f"network_module_{stem}_{zlib.crc32(path.encode()):08x}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if (folder := os.path.dirname(path)) not in sys.path:
        sys.path.append(folder)  # the file may import others beside it; last, so that none of ours is hidden
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _import_name(name: str) -> None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name + ".").startswith(error.name + "."):
            raise  # found, but something that it imports is missing
        raise UserError(f"{name}: no such module; give an importable module's name or the path of a .py file") from None


def _load_builtin() -> None:
    global _builtin_loaded
    if not _builtin_loaded:
        for module in _FAMILIES:
            importlib.import_module(module)
        _builtin_loaded = True
