"""Weights in frozen graphs, SavedModels and object-based checkpoints, through the one interface."""

import os
import pathlib
import shutil
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from checkpoints import reader as reader_lib
from checkpoints.formats import object_graph
from checkpoints.reader import open_checkpoint
from common import protobuf_wire
from common.errors import UserError

WEIGHTS = np.arange(54, dtype=np.float32).reshape(3, 3, 3, 2)
GAMMA = np.array([2.0, 3.0], np.float32)
VALUES = {"Net/conv/weights": WEIGHTS, "Net/conv/BatchNorm/gamma": GAMMA}


def check(opened, values=None):
    """Every format gives the same names, shapes, types and numbers."""
    values = VALUES if values is None else values
    assert set(values) <= set(opened.shapes)
    assert list(opened.shapes) == sorted(opened.shapes)
    read = opened.read(values)
    for name, value in values.items():
        assert opened.shapes[name] == value.shape
        assert opened.dtypes[name] == tf.as_dtype(value.dtype)
        np.testing.assert_array_equal(read[name].numpy(), value)
    assert opened.read([]) == {}
    with pytest.raises(KeyError, match="has no Net/biases"):
        opened.read(["Net/biases"])
    assert all(os.path.isfile(path) for path in opened.files)


def message(path):
    with pytest.raises(UserError) as error:
        open_checkpoint(path)
    assert "\n" not in str(error.value)
    return str(error.value)


# -- frozen graphs --------------------------------------------------------------------------------


def slim_graph(use_resource):
    """A graph such as Slim's networks make, with constants that are no weights."""
    with tf.compat.v1.variable_scope("Net", use_resource=use_resource):
        images = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 3], name="input")
        weights = tf.compat.v1.get_variable("conv/weights", initializer=WEIGHTS)
        net = tf.nn.conv2d(images - tf.constant([1.0, 2.0, 3.0], name="mean_pixel"), weights, 1, "SAME")
        gamma = tf.compat.v1.get_variable("conv/BatchNorm/gamma", initializer=GAMMA)
        return tf.reshape(net * gamma, tf.constant([-1, 2], name="shape"), name="output")


def frozen(path, use_resource=False, change=None):
    """Writes a frozen graph with TensorFlow 1's own tool."""
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        slim_graph(use_resource)
        session.run(tf.compat.v1.global_variables_initializer())
        frozen_def = tf.compat.v1.graph_util.convert_variables_to_constants(
            session, graph.as_graph_def(), ["Net/output"]
        )
    if change:
        change(frozen_def)
    pathlib.Path(path).write_bytes(frozen_def.SerializeToString())
    return path


@pytest.mark.parametrize("use_resource", [False, True])
def test_a_frozen_graph_gives_its_weights_by_node_name(tmp_path, use_resource):
    path = frozen(tmp_path / "net.pb", use_resource)
    opened = open_checkpoint(path)
    assert set(opened.shapes) == set(VALUES)  # neither `mean_pixel` nor `shape`, nor `weights/read`
    check(opened)
    assert (opened.format, opened.path, opened.step, opened.notes) == ("frozen graph", str(path), None, ())
    assert not opened.is_object_based


def test_the_step_in_a_frozen_graph(tmp_path):
    def add_step(graph):
        node = graph.node.add(name="global_step", op="Const")
        node.attr["dtype"].type = tf.int64.as_datatype_enum
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.int64(12)))

    assert open_checkpoint(frozen(tmp_path / "net.pb", change=add_step)).step == 12


def without_identities(graph):
    kept = [node for node in graph.node if not node.name.endswith("/read")]
    del graph.node[:]
    graph.node.extend(kept)


def test_weights_that_nothing_marks_are_guessed_and_it_is_said(tmp_path, caplog):
    opened = open_checkpoint(frozen(tmp_path / "net.pb", change=without_identities))
    check(opened)
    assert "identities that mark variables were removed" in caplog.text
    assert opened.notes == (
        "the identities that mark variables were removed, so some of what is listed may be no weight",
    )


def test_folded_batch_norms_are_told(tmp_path):
    def fold(graph):
        for node in [node for node in graph.node if "BatchNorm" in node.name]:
            graph.node.remove(node)
        graph.node.add(name="Net/conv/BatchNorm/add_fold", op="BiasAdd")

    opened = open_checkpoint(frozen(tmp_path / "net.pb", change=fold), warn=False)
    assert list(opened.shapes) == ["Net/conv/weights"]
    assert "batch norms are folded into the convolutions" in opened.notes[0]


@pytest.mark.parametrize(
    ("op", "note"),
    [("Dequantize", "weights in it are quantised to 8 bits"), ("FakeQuantWithMinMaxVars", "trained for 8 bits")],
)
def test_quantised_graphs_are_told(tmp_path, op, note):
    path = frozen(tmp_path / "net.pb", change=lambda graph: graph.node.add(name="x", op=op))
    assert note in open_checkpoint(path, warn=False).notes[0]


def test_a_graph_without_weights_says_so(tmp_path):
    with tf.Graph().as_default() as graph:
        slim_graph(use_resource=False)
    (tmp_path / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())
    # The initial values are constants too, but nobody reads them as variables.
    assert "whose 2 variables are not frozen into it: it holds no weights" in message(tmp_path / "graph.pb")


def test_a_cut_off_graph_is_named(tmp_path):
    path = frozen(tmp_path / "net.pb")
    path.write_bytes(path.read_bytes()[:-50])
    assert message(path) == f"{path} is cut off, or no frozen graph (.pb); copy or fetch it again"
    path.write_bytes(b"")
    assert message(path) == f"{path} is empty; copy or fetch it again"
    path.write_bytes(b"<!DOCTYPE html>")
    assert "is an HTML page (a failed download?)" in message(path)
    assert "there is no checkpoint" in message(tmp_path / "gone.pb")


def test_a_folder_with_a_frozen_graph_alone_leads_to_it(tmp_path):
    path = frozen(tmp_path / "net.pb")
    assert message(tmp_path).endswith(f"give the frozen graph in it, {path}")


# -- object-based checkpoints ---------------------------------------------------------------------


class Module(tf.Module):
    """Variables with names, without, and with a name that another has."""

    def __init__(self):
        super().__init__()
        self.variables_of_slim = {name: tf.Variable(value, name=name) for name, value in VALUES.items()}
        self.unnamed = tf.Variable([1.0])
        self.twice = [tf.Variable(1.0, name="twin"), tf.Variable(2.0, name="twin")]
        self.step = tf.Variable(5, dtype=tf.int64, name="global_step")

    @tf.function(input_signature=[tf.TensorSpec([2])])
    def scale(self, values):
        return values * self.variables_of_slim["Net/conv/BatchNorm/gamma"]


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    folder = tmp_path_factory.mktemp("objects")
    tf.train.Checkpoint(model=Module()).write(f"{folder}/checkpoint/net")
    tf.saved_model.save(Module(), f"{folder}/saved/1")
    return folder


def test_object_based_checkpoints_have_the_variables_own_names(objects):
    opened = open_checkpoint(f"{objects}/checkpoint/net")
    check(opened)
    assert (opened.format, opened.is_object_based, opened.step) == ("TF2 object-based checkpoint", True, 5)
    # Without a name, or with one that does not tell it apart: the path of the object.
    assert [name for name in opened.shapes if name not in VALUES] == [
        "global_step",
        "model/twice/0",
        "model/twice/1",
        "model/unnamed",
    ]
    assert opened.read(["model/twice/1"])["model/twice/1"].numpy() == 2.0


def test_a_variable_that_is_saved_twice_is_there_once():
    keys = ["_all/0/.ATTRIBUTES/VARIABLE_VALUE", "variables/3/.ATTRIBUTES/VARIABLE_VALUE"]
    names = dict.fromkeys(keys, "dense/kernel")
    assert object_graph.readable_names(keys, names, lambda _: True) == {"dense/kernel": keys[0]}
    assert set(object_graph.readable_names(keys, names, lambda _: False)) == {"_all/0", "variables/3"}


def test_a_broken_object_graph_leaves_the_paths(objects, tmp_path, monkeypatch):
    def fail(graph):
        raise ValueError("not of this version")

    monkeypatch.setattr(object_graph, "full_names", fail)
    opened = open_checkpoint(f"{objects}/checkpoint/net")
    assert "model/step" in opened.shapes
    assert opened.step == 5  # found by the path's last part


def test_wire_format():
    # Field 1: varint 300 (from the format's own documentation); field 2: "ab"; field 3: a fixed32.
    data = b"\x08\xac\x02\x12\x02ab\x1d\x01\x00\x00\x00"
    assert [(n, v if isinstance(v, int) else bytes(v)) for n, v in protobuf_wire.fields(data)] == [
        (1, 300),
        (2, b"ab"),
        (3, b"\x01\x00\x00\x00"),
    ]
    for broken in (b"\x12\x05ab", b"\x08\xff", b"\x0f"):
        with pytest.raises(ValueError, match=r"cut off|wire type"):
            list(protobuf_wire.fields(broken))


# -- SavedModels ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["saved/1", "saved", "saved/1/saved_model.pb", "saved/1/"])
def test_a_saved_model_opens_by_its_folder_its_file_and_its_export_folder(objects, path):
    opened = open_checkpoint(f"{objects}/{path}")
    check(opened)
    assert (opened.format, opened.path, opened.step) == ("SavedModel", f"{objects}/saved/1", 5)
    assert opened.given == f"{objects}/{path}"


def test_the_newest_version_of_an_export_folder(objects, tmp_path):
    for version in ("9", "10"):
        shutil.copytree(objects / "saved" / "1", tmp_path / version)
    assert open_checkpoint(tmp_path).path == f"{tmp_path}/10"


def test_saved_models_of_tensorflow_1_have_names_already(tmp_path):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        output = slim_graph(use_resource=False)
        session.run(tf.compat.v1.global_variables_initializer())
        inputs = {"x": session.graph.get_tensor_by_name("Net/input:0")}
        tf.compat.v1.saved_model.simple_save(session, f"{tmp_path}/v1", inputs, {"y": output})
    opened = open_checkpoint(tmp_path / "v1")
    check(opened)
    assert (opened.format, opened.is_object_based, opened.step) == ("SavedModel", False, None)
    assert set(opened.shapes) == set(VALUES)


def test_what_is_wrong_with_a_saved_model_is_said(objects, tmp_path):
    copy = shutil.copytree(objects / "saved" / "1", tmp_path / "copy")
    data = copy / "variables" / "variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:100])
    assert f"{data} is cut off: 100 bytes where its index promises" in message(copy)
    data.unlink()
    assert "variables.data-00000-of-00001 is missing" in message(copy)
    shutil.rmtree(copy / "variables")
    assert "is a SavedModel without a folder `variables`: it is not wholly copied" in message(copy)


# -- folders by step ------------------------------------------------------------------------------


def test_a_folder_and_a_step(tmp_path):
    for step in (9, 10):
        tf.raw_ops.SaveV2(
            prefix=f"{tmp_path}/run/model.ckpt-{step}",
            tensor_names=["global_step"],
            shape_and_slices=[""],
            tensors=[tf.constant(step, tf.int64)],
        )
    assert open_checkpoint(f"{tmp_path}/run").step == 10
    opened = open_checkpoint(f"{tmp_path}/run@9")
    assert (opened.step, opened.path) == (9, f"{tmp_path}/run/model.ckpt-9")
    assert opened.given == f"{tmp_path}/run@9"
    assert open_checkpoint(f"{tmp_path}/run/@9").step == 9
    assert message(f"{tmp_path}/run@11") == (
        f"there is no checkpoint of step 11 in {tmp_path}/run: it has those of 9, 10 (FOLDER@STEP)"
    )
    (tmp_path / "empty").mkdir()
    assert "it has none with a step in its name" in message(f"{tmp_path}/empty@1")
    (tmp_path / "run").rename(tmp_path / "run@3")  # a folder that is called so
    assert open_checkpoint(f"{tmp_path}/run@3").step == 10


# -- files of other frameworks --------------------------------------------------------------------


def zipped(*members):
    def write(path):
        with zipfile.ZipFile(path, "w") as archive:
            for member in members:
                archive.writestr(member, b"x")

    return write


def written(content):
    return lambda path: path.write_bytes(content)


CONVERT = "convert_checkpoint.py --checkpoint_path={path} --output=NEW.ckpt makes a Slim checkpoint of it"
NO_PICKLE = "no pickle is loaded, for it can run any code: in PyTorch, safetensors.torch.save_file("


@pytest.mark.parametrize(
    ("name", "write", "what", "advice"),
    [
        ("x.h5", written(b"\x89HDF\r\n\x1a\n"), "is an HDF5 file (Keras weights)", CONVERT),
        ("x.weights.h5", written(b"\x89HDF\r\n\x1a\n"), "is an HDF5 file (Keras weights)", CONVERT),
        ("x.keras", zipped("config.json", "model.weights.h5"), "is a Keras model (.keras)", CONVERT),
        ("x", written((8).to_bytes(8, "little") + b'{"a": 1}'), "is a safetensors file", CONVERT),
        ("x.caffemodel", written(b"\x0a\x03VGG"), "is a Caffe model", CONVERT),
        ("x.params", written(b"\x12\x01" + bytes(14)), "is an MXNet parameter file", CONVERT),
        ("x.pth", zipped("archive/data.pkl", "archive/data/0"), "is a PyTorch file, which is a pickle", NO_PICKLE),
        ("x.pth", written(b"\x80\x02ctorch"), "is a Python pickle (an old PyTorch file?)", NO_PICKLE),
        ("x.pth", written(b"PK\x03\x04rest"), "is a zip archive that is cut off or broken", NO_PICKLE),
        ("x.npz", zipped("arr_0.npy"), "is a NumPy archive (.npz)", "give a TensorFlow checkpoint"),
        ("x.bin", written(b"\x1c\x00\x00\x00TFL3"), "is a TFLite model", "give a TensorFlow checkpoint"),
        ("x.onnx", written(b"\x08\x07\x12\x07pytorch"), "is an ONNX model", "give a TensorFlow checkpoint"),
    ],
)
def test_files_of_other_frameworks_are_named_with_the_way_to_use_them(tmp_path, name, write, what, advice):
    path = tmp_path / name
    write(path)
    assert message(path).startswith(f"{path} {what}")
    assert advice.format(path=path) in message(path)


def test_a_folder_with_a_keras_file_alone_leads_to_the_converter(tmp_path):
    (tmp_path / "vgg16.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    assert message(tmp_path).endswith(
        f"it holds vgg16.h5, which is an HDF5 file (Keras weights); {CONVERT}".format(path=tmp_path / "vgg16.h5")
    )


def test_plain_checkpoints_say_their_format(tmp_path):
    tf.raw_ops.SaveV2(prefix=f"{tmp_path}/a.ckpt", tensor_names=["w"], shape_and_slices=[""], tensors=[[1.0]])
    opened = open_checkpoint(f"{tmp_path}/a.ckpt.index")
    assert isinstance(opened, reader_lib.CheckpointReader)
    assert (opened.format, opened.notes) == ("V2 checkpoint", ())
    assert [os.path.basename(path) for path in opened.files] == ["a.ckpt.index", "a.ckpt.data-00000-of-00001"]
