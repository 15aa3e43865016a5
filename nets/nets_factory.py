"""Slim's factory: from a network's name to a function that builds it.

`networks_map` and `arg_scopes_map` are views of the registry, kept for code that was written for Slim; what is known of
a network is in its record (`nets.registry`).
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nets import registry


class _RecordView(Mapping):
    """Read-only map from each network's name to one field of its record."""

    def __init__(self, field: str):
        self._field = field

    def __getitem__(self, name: str) -> Any:
        if name not in registry.names():
            raise KeyError(name)
        return getattr(registry.get(name), self._field)

    def __iter__(self) -> Iterator[str]:
        return iter(registry.names())

    def __len__(self) -> int:
        return len(registry.names())

    def __repr__(self) -> str:
        return f"<{self._field} of {', '.join(self)}>"


networks_map: Mapping[str, Callable[..., Any]] = _RecordView("function")
arg_scopes_map: Mapping[str, Callable[..., Any]] = _RecordView("arg_scope")


def get_network_fn(
    name: str, num_classes: int | None, weight_decay: float = 0.0, is_training: bool = False
) -> Callable[..., Any]:
    """Returns a function that builds the named network.

    Args:
      name: a name of `networks_map`.
      num_classes: width of the classifier; 0 or None for none, the function then returns the features.
      weight_decay: L2 scale for the network's arg scope; 0.0 adds no regularizer.
      is_training: dropout and batch norm in training mode.

    Returns:
      `network_fn(images, **kwargs) -> (net, end_points)`: images are float32 [batch, height, width, channels] in the
      range of the network's preprocessing, further arguments go to the network function, net is [batch, num_classes].
      Its `default_image_size` is the side of the network's default input.

    Raises:
      ValueError: unknown name; the message lists near matches.
    """
    record = registry.get(name)

    @functools.wraps(record.function)
    def network_fn(images, **kwargs):
        from nets import slim

        # float(): tf-slim takes an integer scale for a mistake, and 0 is what people type.
        with slim.arg_scope(record.arg_scope(weight_decay=float(weight_decay))):
            return record.function(images, num_classes=num_classes, is_training=is_training, **kwargs)

    # Through this link tf.function would find the network's own arguments, and fill their defaults in.
    del network_fn.__wrapped__
    network_fn.default_image_size = record.image_size
    return network_fn
