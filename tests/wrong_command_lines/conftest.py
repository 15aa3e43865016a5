"""The files that the wrong command lines name, made when they are first asked for, and what all lines have."""

import json
import os
import shutil
import tarfile

import h5py
import numpy as np
import pytest
import tensorflow as tf

from checkpoints import writer
from nets.network import Network

TRAIN, EVAL, EXPORT, INSPECT = (
    "train_image_classifier.py",
    "eval_image_classifier.py",
    "export_saved_model.py",
    "inspect_checkpoint.py",
)

_TINY = """
import tensorflow as tf
from nets import layers as slim, registry

@registry.network("tiny_aux", image_size=32, preprocessing="cifarnet", head_scopes=("Tiny/Logits", "Tiny/AuxLogits"))
def tiny_aux(images, num_classes=10, is_training=False, scope="Tiny"):
    with tf.compat.v1.variable_scope(scope, "Tiny", [images]):
        net = slim.conv2d(images, 4, [3, 3], stride=2, scope="conv1")
        net = slim.conv2d(net, 4, [3, 3], stride=2, scope="conv2")
        flat = slim.flatten(net)
        end_points = {}
        if is_training:
            end_points["AuxLogits"] = slim.fully_connected(flat, num_classes, activation_fn=None, scope="AuxLogits")
        logits = slim.fully_connected(flat, num_classes, activation_fn=None, scope="Logits")
    return logits, {**end_points, "Logits": logits}
"""


@pytest.fixture(autouse=True)
def _no_network_stays(own_networks):
    """What a line's --network_module registers is gone after it."""


def _save(folder, shapes, **changed):
    """A checkpoint of these shapes, zeros but for what is given."""
    writer.save(folder, 1, {name: tf.zeros(shape) for name, shape in shapes.items()} | changed)
    return str(folder)


def _copy(source, folder, without=None):
    """A run's newest checkpoint alone, less the files whose names end so."""
    os.makedirs(folder)
    for path in source.glob("model.ckpt-4*"):
        if without is None or without not in path.name:
            shutil.copy(path, folder)
    return os.path.join(folder, "model.ckpt-4")


@pytest.fixture(scope="module")
def files(shapes, pretrained, tmp_path_factory):
    """Name in the table -> path, made when it is first asked for."""
    root = tmp_path_factory.mktemp("wrong")
    made = {}

    def write(name, content):
        (root / name).write_bytes(content)
        return str(root / name)

    def values():
        reader = tf.train.load_checkpoint(writer.latest(str(pretrained)))
        names = [name for name in reader.get_variable_to_shape_map() if name.startswith("MobilenetV1/")]
        return {name: reader.get_tensor(name) for name in names if "RMSProp" not in name}

    def data_1001():
        folder = root / "data_1001"
        shutil.copytree(shapes["target"], folder)
        facts = json.loads((folder / "dataset.json").read_text())
        names = [f"class {k}" for k in range(1001)]
        (folder / "labels.txt").write_text("".join(f"{k}:{name}\n" for k, name in enumerate(names)))
        facts["num_classes"] = 1001
        (folder / "dataset.json").write_text(json.dumps(facts))
        return str(folder)

    def truncated():
        prefix = _copy(pretrained, root / "truncated")
        os.truncate(f"{prefix}.data-00000-of-00001", 10_000)
        return prefix

    def nan():
        name = "MobilenetV1/Conv2d_3_depthwise/BatchNorm/moving_mean"
        broken = values()
        broken[name][3] = np.nan
        writer.save(root / "nan", 1, broken)
        return str(root / "nan")

    def several():
        with tarfile.open(root / "several.tar.gz", "w:gz") as tar:
            for name in ("a", "b"):
                _copy(pretrained, root / f"several_{name}")
                tar.add(root / f"several_{name}", arcname=name)
        return str(root / "several.tar.gz")

    def keras_h5():
        with h5py.File(root / "weights.h5", "w") as file:
            file["dense/kernel"] = np.zeros((2, 2))
        return str(root / "weights.h5")

    def run():
        _copy(pretrained, root / "run")
        return str(root / "run")

    def exported():
        module = tf.Module()
        module.weights = tf.Variable(tf.zeros([3]))
        tf.saved_model.save(module, str(root / "exported"))
        return str(root / "exported")

    def under_module():
        writer.save(root / "module", 1, {f"module/{name}": value for name, value in values().items()})
        return str(root / "module")

    def tiny_7():
        return _save(
            root / "tiny_7",
            {
                "Tiny/conv1/weights": (3, 3, 3, 4),
                "Tiny/conv1/biases": (4,),
                "Tiny/conv2/weights": (3, 3, 4, 4),
                "Tiny/conv2/biases": (4,),
                **{f"Tiny/{head}/weights": (256, 7) for head in ("AuxLogits", "Logits")},
                **{f"Tiny/{head}/biases": (7,) for head in ("AuxLogits", "Logits")},
            },
        )

    def above():
        _copy(pretrained, root / "above" / "run")
        return str(root / "above")

    makers = {
        "pretrained": lambda: str(pretrained),
        "source": lambda: str(shapes["source"]),
        "alone": lambda: _copy(pretrained, root / "alone"),
        "no_data": lambda: _copy(pretrained, root / "no_data", without=".data-"),
        "no_index": lambda: _copy(pretrained, root / "no_index", without=".index"),
        "tiny": lambda: write("tiny.py", _TINY.encode()),
        "broken_pb": lambda: write("broken.pb", b"no graph at all"),
        "pickle": lambda: write("weights.pth", b"\x80\x02}q\x00."),
        "html": lambda: write("model.ckpt", b"<!DOCTYPE html><title>404</title>"),
        "objects": lambda: tf.train.Checkpoint(scale=tf.Variable(tf.zeros([3]))).save(str(root / "objects" / "ckpt")),
        "saved_model": exported,
        "resnet_v1_101": lambda: _save(root / "resnet", Network("resnet_v1_101", 5).shapes),
        "inception_v2": lambda: _save(root / "inception", Network("inception_v2", 5, image_size=64).shapes),
        "mobilenet_1000": lambda: _save(root / "1000", Network("mobilenet_v1_025", 1000).shapes),
        "mobilenet_1001": lambda: _save(root / "1001", Network("mobilenet_v1_025", 1001).shapes),
    }
    local = (data_1001, truncated, nan, several, keras_h5, run, under_module, tiny_7, above)
    makers |= {make.__name__: make for make in local}

    def path(name):
        if name not in made:
            made[name] = makers[name]()
        return made[name]

    return path


@pytest.fixture
def usual(shapes, tmp_path):
    """The flags that every command line has, of each script."""
    return {
        TRAIN: {
            "dataset_dir": str(shapes["target"]),
            "train_dir": str(tmp_path / "new"),
            "model_name": "mobilenet_v1_025",
            "train_image_size": "32",
            "batch_size": "4",
            "max_number_of_steps": "1",
            "dry_run": "true",
        },
        EVAL: {"max_num_batches": "1", "batch_size": "4", "eval_dir": str(tmp_path / "eval")},
        EXPORT: {"export_dir": str(tmp_path / "served")},
        INSPECT: {"model_name": "mobilenet_v1_025", "image_size": "32"},
    }
