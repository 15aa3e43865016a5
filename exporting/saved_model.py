"""Publishing a classifier as a SavedModel for TensorFlow Serving: whole, checked and warmed up, or not at all."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from common.errors import UserError
from common.files import write_json
from exporting import labels, samples, warmup
from exporting.classifier import Classifier
from exporting.config import ExportConfig
from preprocessing import encoded as encoded_lib
from training import models, runs
from training.models import LoadedModel

_TOLERANCE = 1e-4  # of a probability; the same ops on the same machine differ by much less


def export(config: ExportConfig) -> str:
    """Exports a checkpoint to `config.export_dir/N` and returns that folder.

    The version is written beside its place under a name that TensorFlow Serving does not look at, loaded again,
    compared with the checkpoint on images, and only then renamed to the next free number.
    """
    model = models.load(
        config.checkpoint_path, _said_of_model(config), config.use_moving_averages, "--use_moving_averages"
    )
    models.check_takes_images(model.network.record)
    names = labels.class_names(model.info, config.labels_file)
    encoded = samples.encoded_images(model.run, model.info.channels)
    with _unpublished(config.export_dir) as unpublished:
        with tempfile.TemporaryDirectory() as folder:
            classifier = Classifier(model, names, config.top_k, folder)
            saved = os.path.join(unpublished, "model")
            with _quiet():
                tf.saved_model.save(classifier, saved, signatures=classifier.signatures())
        difference = check(saved, model, classifier, encoded)
        _write_extras(saved, model, encoded, difference)
        version = _publish(saved, config.export_dir)
    logging.info(
        "Checked: checkpoint and export agree on %d images (largest difference of a probability: %.1e)",
        len(encoded),
        difference,
    )
    averages = ", moving averages" if model.uses_averages else ""
    logging.info("Exported %s (step %d%s) to %s", model.checkpoint, model.step, averages, version)
    logging.info("  saved_model_cli show --dir %s --all", version)
    logging.info("  python classify_images.py --saved_model=%s PHOTOS", config.export_dir)
    return version


@contextlib.contextmanager
def _unpublished(export_dir: str) -> Iterator[str]:
    """A folder in `export_dir` that TensorFlow Serving does not look at; gone in the end, and so is what it was put in
    where that was made for it and nothing got published."""
    is_new = not os.path.exists(export_dir)
    try:
        os.makedirs(export_dir, exist_ok=True)
        folder = tempfile.mkdtemp(prefix=".unpublished-", dir=export_dir)
    except OSError as error:
        raise UserError(f"--export_dir={export_dir} cannot be written: {error.strerror}") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if is_new:
            with contextlib.suppress(OSError):  # not empty: published
                os.rmdir(export_dir)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Holds back what TensorFlow says of its own steps (renamed inputs, sharding, assets, fingerprint)."""
    level = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)
    try:
        yield
    finally:
        logging.set_verbosity(level)


def _said_of_model(config: ExportConfig) -> dict[str, Any]:
    names = ("model_name", "preprocessing_name", "image_size", "network_module", "multi_label")
    said = {name: getattr(config, name) for name in names if getattr(config, name)}
    if config.use_grayscale:
        said["channels"] = 1
    return said


def check(saved: str, model: LoadedModel, classifier: Classifier, encoded: list[bytes]) -> float:
    """Compares a SavedModel with the checkpoint's network, on encoded images and on float images.

    Returns:
        The largest absolute difference of a probability.

    Raises:
        UserError: it is larger than 1e-4, or the order of the classes differs.
    """
    info = model.info
    loaded = tf.saved_model.load(saved)  # kept: the signatures alone do not keep the variables alive
    signatures = loaded.signatures
    logits = models.predict_fn(model.network)
    images = tf.stack(
        [
            encoded_lib.preprocess_encoded(
                data, info.preprocessing_name, info.image_size, info.image_size, channels=info.channels
            )
            for data in encoded
        ]
    )
    floats = tf.random.stateless_uniform((2, info.image_size, info.image_size, info.channels), seed=(0, 0))
    answers = {
        "serving_default": (signatures["serving_default"](image_bytes=tf.constant(encoded)), images),
        "float_images": (signatures["float_images"](images=floats), classifier.normalize(floats)),
    }
    differences = []
    for name, (answer, network_input) in answers.items():
        expected = classifier.probabilities(logits(network_input)).numpy()
        indices = answer["class_indices"].numpy()
        got = answer["probabilities"].numpy()
        differences.append(float(np.max(np.abs(got - np.take_along_axis(expected, indices, axis=1)))))
        best = np.take_along_axis(expected, indices[:, :1], axis=1)[:, 0]
        differences.append(float(np.max(expected.max(axis=1) - best)))
        largest = float(np.max(differences))  # NaN where one is, unlike max()
        if not largest <= _TOLERANCE:
            raise UserError(
                f"export and checkpoint disagree on {name} by {largest:.3g} of a probability "
                f"(expected at most {_TOLERANCE:g}); nothing was published"
            )
    return max(differences)


def _write_extras(saved: str, model: LoadedModel, encoded: list[bytes], difference: float) -> None:
    info = model.info
    one_float = np.zeros((1, info.image_size, info.image_size, info.channels), np.float32)
    warmup.write_requests(
        saved,
        [
            ("serving_default", {"image_bytes": np.array(encoded[:1], object)}),
            ("serving_default", {"image_bytes": np.array(encoded, object)}),
            ("float_images", {"images": one_float}),
        ],
    )
    description = {
        "model": vars(info),
        "checkpoint": model.checkpoint,
        "step": model.step,
        "uses_moving_averages": model.uses_averages,
        "largest_difference_of_a_probability": difference,
        "versions": runs.versions(),
    }
    write_json(os.path.join(saved, "assets.extra", "export.json"), description)


def versions(export_dir: str) -> list[int]:
    """Version numbers in an export folder, ascending."""
    if not os.path.isdir(export_dir):
        return []
    return sorted(int(name) for name in os.listdir(export_dir) if name.isdecimal())


def _publish(saved: str, export_dir: str) -> str:
    """Renames to the next free version number."""
    number = max(versions(export_dir), default=0) + 1
    while True:
        version = os.path.join(export_dir, str(number))
        try:
            os.rename(saved, version)  # fails where another export has taken the number: its folder is not empty
            return version
        except OSError:
            if not os.path.exists(version):
                raise
            number += 1
