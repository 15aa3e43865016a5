"""Fine-tuning and evaluation start from a frozen graph or a SavedModel as from a checkpoint."""

import numpy as np
import pytest
import tensorflow as tf

from checkpoints import writer
from nets.network import Network
from training import models, runs, start
from training.config import TrainConfig


@pytest.fixture(scope="module")
def network():
    made = Network("lenet", 10)
    made.initialize()
    return made


@pytest.fixture(scope="module")
def paths(network, tmp_path_factory):
    """The same weights in every format."""
    folder = tmp_path_factory.mktemp("formats")
    variables = network.variables_by_name
    writer.save(folder / "run", 5, variables)
    module = tf.Module()
    module.network_variables = dict(variables)  # as the module has them that export_saved_model.py saves
    tf.saved_model.save(module, f"{folder}/saved/1")
    tf.train.Checkpoint(module=module).write(f"{folder}/objects/net")
    graph = tf.compat.v1.GraphDef()
    for name, variable in variables.items():
        node = graph.node.add(name=name, op="Const")
        node.attr["dtype"].type = tf.float32.as_datatype_enum
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(variable.numpy()))
        graph.node.add(name=f"{name}/read", op="Identity").input.append(name)
    (folder / "frozen.pb").write_bytes(graph.SerializeToString())
    return folder


FORMATS = ["run", "run@5", "saved", "saved/1/saved_model.pb", "objects", "frozen.pb"]


@pytest.mark.parametrize("path", FORMATS)
def test_evaluation_and_export_load_it(paths, network, path):
    loaded = models.load(f"{paths}/{path}", {"model_name": "lenet"})
    assert (loaded.info.num_classes, loaded.step) == (10, 5 if path.startswith("run") else 0)
    assert runs.digest(loaded.network.variables_by_name) == runs.digest(network.variables_by_name)


@pytest.mark.parametrize("path", FORMATS)
def test_training_starts_from_it(paths, network, path, tmp_path):
    config = TrainConfig(
        dataset_dir="unused",
        train_dir=str(tmp_path / "run"),
        model_name="lenet",
        checkpoint_path=f"{paths}/{path}",
        checkpoint_exclude_scopes="head",
    )
    found = start.starting_point(config, Network("lenet", 4))
    assert found.kind == "fine-tuned"
    assert len(found.values) == 6  # all but the weights and biases of the head
    for name, value in found.values.items():
        np.testing.assert_array_equal(value, network.variables_by_name[name])
