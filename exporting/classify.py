"""Classifying image files with an export, and nothing but the export."""

import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from common.errors import UserError, tensorflow_reason
from exporting.config import ClassifyConfig
from exporting.saved_model import versions

_LIKELY = 0.5
_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")


def classify(config: ClassifyConfig, paths: Sequence[str]) -> None:
    """Prints the best classes of image files, and of all images in folders.

    A file that is no readable image is reported in its place and does not stop the others; it makes the whole fail in
    the end.
    """
    files = list(_image_files(paths))
    if not files:
        raise UserError("no images named: give image files or folders of images after the flags")
    signature = load(config.saved_model)
    width = max(len(path) for path in files)
    as_text = _several_as_text if signature._multi_label else _as_text
    failed = 0
    for k in range(0, len(files), config.batch_size):
        for path, answer in _answers(signature, files[k : k + config.batch_size]):
            failed += isinstance(answer, str)
            print(_as_json(path, answer, config) if config.json else as_text(path, answer, config, width))
    if failed:
        raise UserError(f"{failed} of {len(files)} files could not be classified")


def load(path: str) -> Any:
    """Loads the `serving_default` signature of a SavedModel, or of the newest version in an export folder."""
    if not os.path.isfile(os.path.join(path, "saved_model.pb")):
        found = versions(path)
        if not found:
            raise UserError(f"--saved_model={path} is no SavedModel and has no version folders 1, 2, ... of one")
        path = os.path.join(path, str(found[-1]))
    try:
        loaded = tf.saved_model.load(path)
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise UserError(f"{path} cannot be loaded as a SavedModel: {' '.join(str(error).split())}") from None
    signature = loaded.signatures.get("serving_default")
    if signature is None or "image_bytes" not in signature.structured_input_signature[1]:
        raise UserError(f"{path} does not take `image_bytes`: it was not written by export_saved_model.py")
    signature._keep = loaded  # the signature alone does not keep the variables alive
    signature._multi_label = _is_multi_label(path)
    return signature


def _is_multi_label(path: str) -> bool:
    """Whether the export says that an image may have several classes."""
    try:
        with open(os.path.join(path, "assets.extra", "export.json"), encoding="utf-8") as file:
            return bool(json.load(file)["model"].get("multi_label"))
    except (OSError, ValueError, KeyError):
        return False


def _image_files(paths: Sequence[str]) -> Iterator[str]:
    for path in paths:
        if os.path.isdir(path):
            for folder, folders, names in os.walk(path):
                folders.sort()
                yield from (os.path.join(folder, n) for n in sorted(names) if n.lower().endswith(_SUFFIXES))
        else:
            yield path


def _answers(signature: Any, paths: Sequence[str]) -> Iterator[tuple[str, dict[str, list] | str]]:
    """Yields (path, answer) or (path, what is wrong)."""
    contents: dict[str, bytes | str] = {}
    for path in paths:
        try:
            with open(path, "rb") as file:
                contents[path] = file.read()
        except OSError as error:
            contents[path] = error.strerror or str(error)
    readable = [path for path, content in contents.items() if isinstance(content, bytes)]
    answers = _call(signature, {path: contents[path] for path in readable})
    for path in paths:
        yield path, answers[path] if path in answers else contents[path]


def _call(signature: Any, contents: dict[str, bytes]) -> dict[str, dict[str, list] | str]:
    """Classifies encoded images; where one spoils the batch, each goes alone."""
    if not contents:
        return {}
    try:
        answer = {
            key: value.numpy() for key, value in signature(image_bytes=tf.constant(list(contents.values()))).items()
        }
    except tf.errors.InvalidArgumentError as error:
        if len(contents) == 1:
            return {path: f"not an image that can be decoded ({tensorflow_reason(error)})" for path in contents}
        return {path: answer for item in contents.items() for path, answer in _call(signature, dict([item])).items()}
    return {path: {key: value[k].tolist() for key, value in answer.items()} for k, path in enumerate(contents)}


def _as_text(path: str, answer: dict[str, list] | str, config: ClassifyConfig, width: int) -> str:
    if isinstance(answer, str):
        return f"{path:<{width}}  error: {answer}"
    best = zip(answer["class_names"], answer["probabilities"], strict=True)
    shown = [f"{name.decode()} {probability:.3f}" for name, probability in list(best)[: config.top_k]]
    return f"{path:<{width}}  {'  '.join(shown)}"


def _several_as_text(path: str, answer: dict[str, list] | str, config: ClassifyConfig, width: int) -> str:
    """All classes that are likelier there than not; where there is none, what comes nearest."""
    if isinstance(answer, str):
        return _as_text(path, answer, config, width)
    likely = sum(probability >= _LIKELY for probability in answer["probabilities"])
    if likely:
        return _as_text(path, answer, dataclasses.replace(config, top_k=likely), width)
    return f"{_as_text(path, answer, config, width)}  (none of {_LIKELY} or more)"


def _as_json(path: str, answer: dict[str, list] | str, config: ClassifyConfig) -> str:
    if isinstance(answer, str):
        return json.dumps({"file": path, "error": answer})
    classes = zip(answer["class_names"], answer["class_indices"], answer["probabilities"], strict=True)
    listed = [{"name": n.decode(), "index": i, "probability": p} for n, i, p in list(classes)[: config.top_k]]
    return json.dumps({"file": path, "classes": listed}, ensure_ascii=False)
