"""The module that is saved: a network with its preprocessing and class names, from encoded images to answers."""

import os
from collections.abc import Sequence

import tensorflow as tf

from preprocessing import encoded as encoded_lib
from preprocessing import recipes
from training.models import LoadedModel

LABELS_FILE = "labels.txt"


class Classifier(tf.Module):
    """Signatures of an exported classifier.

    `serving_default`: `image_bytes`, string [N]: encoded images (JPEG, PNG, BMP, GIF), any size.
    `float_images`: `images`, float32 [N, H, W, C] in [0, 1], cropped and resized to the network's input by the caller.

    Both answer with the `top_k` best classes, best first: `probabilities` float32 [N, k], `class_indices` int64 [N, k],
    `class_names` string [N, k]. Where an image may have several classes, each probability stands for itself.

    Args:
        model: a restored network and what it is.
        labels: name of each class.
        top_k: number of classes in an answer.
        folder: a folder for the labels file, which becomes an asset.
    """

    def __init__(self, model: LoadedModel, labels: Sequence[str], top_k: int, folder: str):
        super().__init__(name=None)
        self._info = model.info
        # Closed over, not an attribute: what SavedModel has to track of the network is its variables.
        network = model.network
        self.network_variables = dict(network.variables_by_name)
        self._logits = lambda images: network(images)[0]
        self._top_k = min(top_k, model.info.num_classes)
        self._labels = tuple(labels)
        path = os.path.join(folder, LABELS_FILE)
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{label}\n" for label in labels)
        self.labels_asset = tf.saved_model.Asset(path)

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The traced signatures by name."""
        size, channels = self._info.image_size, self._info.channels
        return {
            "serving_default": tf.function(self.classify_encoded, autograph=False).get_concrete_function(
                image_bytes=tf.TensorSpec([None], tf.string, name="image_bytes")
            ),
            "float_images": tf.function(self.classify_floats, autograph=False).get_concrete_function(
                images=tf.TensorSpec([None, size, size, channels], tf.float32, name="images")
            ),
        }

    def classify_encoded(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encoded images -> answers, with evaluation's own preprocessing."""
        info = self._info
        shape = (info.image_size, info.image_size, info.channels)
        images = tf.map_fn(
            lambda encoded: encoded_lib.preprocess_encoded(
                encoded, info.preprocessing_name, *shape[:2], is_training=False, channels=info.channels
            ),
            image_bytes,
            fn_output_signature=tf.TensorSpec(shape, tf.float32),
        )
        return self._answer(images)

    def classify_floats(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Float images in [0, 1] of the network's size -> answers."""
        return self._answer(self.normalize(images))

    def normalize(self, images: tf.Tensor) -> tf.Tensor:
        """Brings float images [N, H, W, C] in [0, 1] to the range of the network's preprocessing."""
        recipe = recipes.get(self._info.preprocessing_name)
        return recipe.normalize(images * 255.0)

    def probabilities(self, logits: tf.Tensor) -> tf.Tensor:
        """Logits [N, K] -> probabilities of the classes: one of them is there, or each by itself may be."""
        return tf.sigmoid(logits) if self._info.multi_label else tf.nn.softmax(logits)

    def _answer(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        best = tf.math.top_k(self.probabilities(self._logits(images)), self._top_k)
        return {
            "probabilities": best.values,
            "class_indices": tf.cast(best.indices, tf.int64),
            "class_names": tf.gather(tf.constant(self._labels), best.indices),
        }
