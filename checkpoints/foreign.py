"""Says what a file is that is not a checkpoint, by its first bytes."""

import os

import tensorflow as tf

_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself (fetch it with `git lfs pull`)"),
    (b"\x89HDF\r\n", "an HDF5 file (Keras weights)"),
    (b"PK\x03\x04", "a zip archive (a .keras, .npz or PyTorch file?)"),
    (b"\x1f\x8b", "a gzip file (a .tar.gz under another name?)"),
    (b"<!DOCTYPE", "an HTML page (a failed download?)"),
    (b"<!doctype", "an HTML page (a failed download?)"),
    (b"<html", "an HTML page (a failed download?)"),
    (b"<?xml", "an XML document (a failed download?)"),
    (b"\x80\x02", "a Python pickle (an old PyTorch file?)"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
)
_SUFFIXES: dict[str, str] = {
    ".pb": "a frozen graph or SavedModel (.pb)",
    ".pbtxt": "a graph as text (.pbtxt)",
    ".tflite": "a TFLite model",
    ".safetensors": "a safetensors file",
    ".caffemodel": "a Caffe model",
    ".params": "an MXNet parameter file",
    ".tfrecord": "a TFRecord file",
}


def describe(path: str) -> str:
    """Returns a clause about a file that is no checkpoint: "is empty", "is an HTML page ...", "is not ..."."""
    with tf.io.gfile.GFile(path, "rb") as file:
        head = file.read(64)
    if not head:
        return "is empty"
    for magic, kind in _KINDS:
        if head.lstrip(b" \t\r\n").startswith(magic) or head.startswith(magic):
            return f"is {kind}"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 30:
        return f"is {_SUFFIXES['.safetensors']}"
    suffix = os.path.splitext(path)[1].lower()
    if suffix in _SUFFIXES:
        return f"is {_SUFFIXES[suffix]}"
    return "is cut off, or not a TensorFlow checkpoint at all"
