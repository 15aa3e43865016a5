"""TensorBoard event files, with Slim's tags where Slim had them.

Tags: `learning_rate`, `total_loss`, `losses/...`, `Losses/clone_loss`, `Losses/regularization_loss`, `global_step/sec`,
`activations/END_POINT`, `sparsity/END_POINT`, one histogram per model variable; ours: `images/sec`, `input` (pictures).
"""

from collections.abc import Mapping

import tensorflow as tf

from nets.network import Network

_PICTURES = 16
_VALUES = 20_000  # of a tensor that go into a histogram: all of a large network's would take longer than many steps


class TrainSummaries:
    """Writes the events of a training run into `folder`."""

    def __init__(self, folder: str, network: Network):
        self._writer = tf.summary.create_file_writer(folder)
        self._network = network
        self._forward = tf.function(self._end_points, autograph=False)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes scalars by their tags."""
        with self._writer.as_default(step):
            for tag, value in values.items():
                tf.summary.scalar(tag, value)

    def pictures(self, step: int, images: tf.Tensor) -> None:
        """Writes some images [N, H, W, C] of a batch as the network sees them, each stretched to its full range."""
        if images.shape.rank != 4 or images.shape[-1] not in (1, 3):
            return
        images = images[:_PICTURES]
        low = tf.reduce_min(images, axis=(1, 2, 3), keepdims=True)
        high = tf.reduce_max(images, axis=(1, 2, 3), keepdims=True)
        with self._writer.as_default(step):
            tf.summary.image("input", (images - low) / tf.maximum(high - low, 1e-6), max_outputs=_PICTURES)

    def histograms(self, step: int, images: tf.Tensor) -> None:
        """Writes the distributions of all end points on a batch and of all variables."""
        with self._writer.as_default(step):
            for key, end_point in self._forward(images).items():
                tf.summary.histogram(f"activations/{key}", _some(end_point))
                tf.summary.scalar(f"sparsity/{key}", tf.math.zero_fraction(end_point))
            for name, variable in self._network.variables_by_name.items():
                tf.summary.histogram(name, _some(variable))

    def close(self) -> None:
        """Writes what is left."""
        self._writer.close()

    def _end_points(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        # As in training, but without dropout and without moving the averages.
        return {
            key: tf.cast(value, tf.float32) for key, value in self._network(images, batch_statistics=True)[1].items()
        }


def _some(values: tf.Tensor) -> tf.Tensor:
    """Evenly spaced values of a tensor, at most about `_VALUES`."""
    flat = tf.reshape(values, [-1])
    return flat[:: max(1, flat.shape[0] // _VALUES)]


def write_scalars(folder: str, step: int, values: Mapping[str, float]) -> None:
    """Writes one set of scalars into an event file of its own."""
    with tf.summary.create_file_writer(folder).as_default(step):
        for tag, value in values.items():
            tf.summary.scalar(tag, value)
