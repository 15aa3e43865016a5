"""Says what a file is that is not a checkpoint, by its first bytes, and what to do with it."""

import os
import zipfile

import tensorflow as tf

_TENSORFLOW = "give a TensorFlow checkpoint: prefix, folder, .tar.gz or V1 file"
_CONVERT = "convert_checkpoint.py --checkpoint_path={path} --output=NEW.ckpt makes a Slim checkpoint of it"
_PICKLE = (
    "no pickle is loaded, for it can run any code: in PyTorch, "
    "safetensors.torch.save_file(state_dict, 'x.safetensors') makes a file that "
    "convert_checkpoint.py --checkpoint_path=x.safetensors --output=NEW.ckpt takes"
)
_FETCH = "copy or fetch it again"

_HDF5 = "an HDF5 file (Keras weights)"
_KERAS = "a Keras model (.keras)"
_SAFETENSORS = "a safetensors file"
_CAFFE = "a Caffe model"
_MXNET = "an MXNet parameter file"
_TORCH = "a PyTorch file, which is a pickle"

# First bytes -> what it is.
_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself (fetch it with `git lfs pull`)"),
    (b"\x89HDF\r\n", _HDF5),
    (b"\x12\x01\x00\x00\x00\x00\x00\x00", _MXNET),
    (b"\x1f\x8b", "a gzip file (a .tar.gz under another name?)"),
    (b"<!DOCTYPE", "an HTML page (a failed download?)"),
    (b"<!doctype", "an HTML page (a failed download?)"),
    (b"<html", "an HTML page (a failed download?)"),
    (b"<?xml", "an XML document (a failed download?)"),
    (b"\x80\x02", "a Python pickle (an old PyTorch file?)"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
)
_SUFFIXES: dict[str, str] = {
    ".pb": "cut off, or no frozen graph (.pb)",
    ".pbtxt": "a graph as text (.pbtxt)",
    ".tflite": "a TFLite model",
    ".onnx": "an ONNX model",
    ".safetensors": _SAFETENSORS,
    ".caffemodel": _CAFFE,
    ".params": _MXNET,
    ".tfrecord": "a TFRecord file",
}
# A member of a zip archive that tells what it is.
_IN_ZIP: tuple[tuple[str, str], ...] = (
    ("model.weights.h5", _KERAS),
    ("data.pkl", _TORCH),
    (".npy", "a NumPy archive (.npz)"),
)
_CONVERTIBLE = (_HDF5, _KERAS, _SAFETENSORS, _CAFFE, _MXNET)
_CONVERTIBLE_SUFFIXES = (".h5", ".hdf5", ".keras", ".safetensors", ".caffemodel", ".params")


def describe(path: str) -> str:
    """Returns a clause about a file that is no checkpoint: "is empty", "is an HTML page ...", "is not ..."."""
    kind = _kind(path)
    if kind == "":
        return "is empty"
    return f"is {kind}" if kind else "is cut off, or not a TensorFlow checkpoint at all"


def advice(path: str) -> str:
    """Returns what to do with a file that is no checkpoint, as a clause."""
    kind = _kind(path)
    if kind in _CONVERTIBLE:
        return _CONVERT.format(path=path)
    if kind and "pickle" in kind:
        return _PICKLE
    if path.lower().endswith(".pb"):
        return _FETCH
    return _TENSORFLOW


def is_convertible(path: str) -> bool:
    """Whether `convert_checkpoint.py` makes a checkpoint of the file, by its name."""
    return path.lower().endswith(_CONVERTIBLE_SUFFIXES) and not tf.io.gfile.isdir(path)


def _kind(path: str) -> str | None:
    """What a file is; "" for an empty one, None where nothing tells."""
    with tf.io.gfile.GFile(path, "rb") as file:
        head = file.read(64)
    if not head:
        return ""
    for magic, kind in _KINDS:
        if head.lstrip(b" \t\r\n").startswith(magic) or head.startswith(magic):
            return kind
    if head.startswith(b"PK\x03\x04"):
        return _in_zip(path)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 30:
        return _SAFETENSORS
    if head[4:8] == b"TFL3":
        return _SUFFIXES[".tflite"]
    return _SUFFIXES.get(os.path.splitext(path)[1].lower())


def _in_zip(path: str) -> str:
    try:
        with tf.io.gfile.GFile(path, "rb") as file, zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, tf.errors.OpError):
        cut = "a zip archive that is cut off or broken (a .keras, .npz or PyTorch file?)"
        return f"{cut}, and a pickle by its name" if path.lower().endswith((".pt", ".pth")) else cut
    for end, kind in _IN_ZIP:
        if any(name.endswith(end) for name in names):
            return kind
    return "a zip archive"
