"""A network of the user's own, from a file: trained, evaluated, exported, in nothing behind the built-in ones."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from checkpoints import writer
from common.errors import UserError
from exporting import saved_model
from exporting.config import ExportConfig
from nets import registry
from training import evaluate, loop
from training.config import EvalConfig, TrainConfig

# Unusual on purpose: an initializer of its own, batch norms that debias and renormalise, one that stands still, one
# without variables of its own.
FILE = """
import tensorflow as tf
from nets import layers as slim, registry

def around_a_tenth(shape, dtype=tf.float32, partition_info=None):
    return tf.random.normal(shape, 0.1, 0.3, dtype)

@registry.network("own", image_size=16, preprocessing="cifarnet", head_scopes="Own/logits", features="Flatten")
def own(images, num_classes=10, is_training=False, scope="Own"):
    with tf.compat.v1.variable_scope(scope, "Own", [images]):
        norm = {"is_training": is_training, "zero_debias_moving_mean": True}
        net = slim.batch_norm(images, is_training=is_training, center=False, scope="input")
        net = slim.conv2d(net, 8, [3, 3], stride=2, scope="conv1", weights_initializer=around_a_tenth,
                          normalizer_fn=slim.batch_norm, normalizer_params=norm)
        net = slim.conv2d(net, 8, [3, 3], stride=2, scope="conv2", normalizer_fn=slim.batch_norm,
                          normalizer_params={"is_training": is_training, "renorm": True})
        net = slim.batch_norm(net, is_training=False, scope="still")
        net = slim.flatten(slim.dropout(net, 0.9, is_training=is_training))
        logits = slim.fully_connected(net, num_classes, activation_fn=None, scope="logits")
    return logits, {"Flatten": net, "Logits": logits}
"""


@pytest.fixture
def network_file(tmp_path, own_networks):
    path = tmp_path / "networks" / "mine.py"
    path.parent.mkdir()
    path.write_text(FILE)
    return path


def values_of(folder):
    reader = tf.train.load_checkpoint(writer.latest(str(folder)))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def test_an_own_network_goes_the_whole_way(network_file, shapes, tmp_path, serve, picture):
    config = TrainConfig(
        dataset_dir=str(shapes["target"]),
        train_dir=str(tmp_path / "run"),
        model_name="own",
        network_module=str(network_file),
        batch_size=8,
        max_number_of_steps=3,
        moving_average_decay=0.9,
    )
    loop.train(config)
    first = values_of(tmp_path / "run")
    assert (first["Own/conv1/BatchNorm/moving_mean"] != 0).all()
    assert (first["Own/still/moving_mean"] == 0).all()
    assert (first["Own/input/moving_mean"] != 0).all()

    head = dataclasses.replace(
        config, train_dir=str(tmp_path / "head"), checkpoint_path=str(tmp_path / "run"), trainable_scopes="head"
    )
    loop.train(head)
    second = values_of(tmp_path / "head")
    moved = [name for name in second if name.startswith("Own/") and "Moving" not in name and "RMSProp" not in name]
    moved = [name for name in moved if not np.array_equal(first[name], second[name])]
    assert sorted(moved) == ["Own/logits/biases", "Own/logits/weights"]

    result = evaluate.evaluate(EvalConfig(checkpoint_path=str(tmp_path / "head")))
    assert result.metrics.count > 0
    version = saved_model.export(ExportConfig(str(tmp_path / "head"), str(tmp_path / "served")))
    labels = json.loads((shapes["target"] / "dataset.json").read_text())["class_names"]
    assert set(serve(version, [picture()])["class_names"].ravel().astype(str)) == set(labels)

    # The run says where the file is; it can be elsewhere by now.
    moved_to = network_file.rename(tmp_path / "elsewhere.py")
    registry._records.pop("own")
    registry._loaded_files.clear()
    with pytest.raises(UserError, match=r"mine.py: no such file"):
        evaluate.evaluate(EvalConfig(checkpoint_path=str(tmp_path / "head")))
    config = EvalConfig(checkpoint_path=str(tmp_path / "head"), network_module=str(moved_to))
    again = evaluate.evaluate(config, frozenset({"network_module"}))
    assert again.metrics.loss == pytest.approx(result.metrics.loss)
