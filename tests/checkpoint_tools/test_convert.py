"""Converting checkpoints from end to end, in this process: read, edit, write, say."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf

from checkpoint_tools import convert
from checkpoint_tools.convert_config import ConvertConfig
from checkpoints import reader, writer
from common.errors import FlagError, UserError
from nets.network import Network
from training import models, runs

MODEL = "mobilenet_v1_025"
AVERAGE = "/ExponentialMovingAverage"


@pytest.fixture(scope="module")
def network():
    """A small network with weights drawn from a seed."""
    network = Network(MODEL, 4, image_size=32, seed=3)
    network.initialize()
    return network


@pytest.fixture(scope="module")
def checkpoint(network, tmp_path_factory):
    """A checkpoint as training leaves it: variables, slots, averages, step; without a run.json."""
    tensors = {name: variable.numpy() for name, variable in network.variables_by_name.items()}
    slots = {f"{name}/RMSProp": np.ones_like(value) for name, value in tensors.items()}
    shadows = {f"{name}{AVERAGE}": value * np.float32(0.5) for name, value in tensors.items()}
    return writer.save(tmp_path_factory.mktemp("plain"), 40, {**tensors, **slots, **shadows})


def read(path):
    opened = reader.open_checkpoint(path)
    return {name: value.numpy() for name, value in opened.read(opened.shapes).items()}


def run(checkpoint_path, output=None, **flags):
    output = str(output) if output else None
    return convert.convert(ConvertConfig(checkpoint_path=str(checkpoint_path), output=output, **flags))


def test_strip_leaves_the_variables_bit_identical(network, checkpoint, tmp_path):
    lines = run(checkpoint, tmp_path / "new" / "model.ckpt", strip=True)
    values = read(tmp_path / "new" / "model.ckpt")
    assert sorted(values) == sorted([*network.shapes, "global_step"])
    for name, variable in network.variables_by_name.items():
        assert values[name].tobytes() == variable.numpy().tobytes()
        assert values[name].dtype == variable.numpy().dtype
    assert (values["global_step"], values["global_step"].dtype) == (40, np.int64)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "model.ckpt.data-00000-of-00001",
        "model.ckpt.index",
    ]
    assert lines[0].startswith(f"Read {checkpoint}: {3 * len(network.shapes) + 1} variables, ")
    assert lines[1].startswith(f"  strip: {2 * len(network.shapes)} of ")
    assert lines[2].startswith(f"Wrote {tmp_path}/new/model.ckpt: {len(network.shapes) + 1} variables, ")
    assert f"--checkpoint_path={tmp_path}/new/model.ckpt --model_name={MODEL} " in lines[3]


def test_a_saver_of_tensorflow_1_reads_what_is_written(network, checkpoint, tmp_path):
    run(checkpoint, tmp_path / "model.ckpt", strip=True)
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        restored = [v1.get_variable(name, shape) for name, shape in network.shapes.items()]
        v1.train.Saver([*restored, v1.train.create_global_step()]).restore(session, str(tmp_path / "model.ckpt"))
        values = dict(zip(network.shapes, session.run(restored), strict=True))
    for name, variable in network.variables_by_name.items():
        assert values[name].tobytes() == variable.numpy().tobytes()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_cast_checkpoint_is_half_as_large_and_is_read_by_our_tools(network, checkpoint, tmp_path, dtype):
    run(checkpoint, tmp_path / "half.ckpt", strip=True, cast=dtype, step=7)
    run(checkpoint, tmp_path / "whole.ckpt", strip=True)
    sizes = [os.path.getsize(f"{tmp_path}/{name}.ckpt.data-00000-of-00001") for name in ("half", "whole")]
    assert sizes[0] == pytest.approx(sizes[1] / 2, rel=0.01)
    loaded = models.load(str(tmp_path / "half.ckpt"), {"model_name": MODEL, "image_size": 32})
    assert loaded.step == 7
    for name, variable in loaded.network.variables_by_name.items():
        assert variable.dtype == tf.float32
        expected = tf.cast(tf.cast(network.variables_by_name[name], dtype), tf.float32)
        np.testing.assert_array_equal(variable, expected)


def test_folded_averages_are_the_variables(network, checkpoint, tmp_path):
    run(checkpoint, tmp_path / "x", fold_averages=True, strip=True)
    values = read(tmp_path / "x")
    for name, variable in network.variables_by_name.items():
        np.testing.assert_array_equal(values[name], variable.numpy() * np.float32(0.5))


def test_a_soup_of_averages(network, checkpoint, tmp_path):
    values = read(checkpoint)
    doubled = {name: value * np.float32(2) for name, value in values.items() if name in network.shapes}
    writer.write(str(tmp_path / "b.ckpt"), values | {f"{name}{AVERAGE}": value for name, value in doubled.items()})
    lines = run(f"{checkpoint},{tmp_path}/b.ckpt", tmp_path / "soup", average=True, weights="2,1", fold_averages=True)
    values = read(tmp_path / "soup")
    for name, variable in network.variables_by_name.items():  # 2/3 * 0.5 + 1/3 * 2
        np.testing.assert_allclose(values[name], variable.numpy(), rtol=1e-6, atol=1e-12)
    assert values.keys() == {*network.shapes, "global_step"}
    assert lines[1] == f"  0.667 of {checkpoint}"


def test_renamed_there_and_back(checkpoint, tmp_path):
    lines = run(checkpoint, tmp_path / "x", rename="MobilenetV1:backbone/MobilenetV1")
    assert "backbone/MobilenetV1/Logits/Conv2d_1c_1x1/weights" in read(tmp_path / "x")
    assert lines[-1] == f"Look at it: python inspect_checkpoint.py --checkpoint_path={tmp_path}/x"
    run(tmp_path / "x", tmp_path / "y", rename="backbone:")
    again = read(tmp_path / "y")
    for name, value in read(checkpoint).items():
        assert again[name].tobytes() == value.tobytes()
    with pytest.raises(FlagError, match="under other names: add --rename=backbone"):
        run(tmp_path / "x", tmp_path / "x.weights.h5")


def test_classes_are_edited_with_those_of_the_network(checkpoint, tmp_path):
    run(checkpoint, tmp_path / "x", strip=True, remove_classes="1,3", add_background=True)
    before, after = read(checkpoint), read(tmp_path / "x")
    name = "MobilenetV1/Logits/Conv2d_1c_1x1/weights"
    np.testing.assert_array_equal(after[name][..., 1:], before[name][..., [0, 2]])
    assert after[name].shape[-1] == 3


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3 with NumPy 2
def test_to_another_framework_and_back(network, checkpoint, tmp_path):
    lines = run(checkpoint, tmp_path / "keras.weights.h5")
    assert any("MobileNet" in line and "keras" in line for line in lines)
    run(tmp_path / "keras.weights.h5", tmp_path / "back")
    values = read(tmp_path / "back")
    assert values.keys() == network.shapes.keys()
    for name, variable in network.variables_by_name.items():
        assert values[name].tobytes() == variable.numpy().tobytes()
    with pytest.raises(UserError, match="is there already: add --overwrite"):
        run(checkpoint, tmp_path / "keras.weights.h5")


def test_strings_integers_and_empty_arrays_go_through(tmp_path):
    odd = {
        "text": tf.constant(b"a\0b\0"),
        "texts": tf.constant(["x", ""]),
        "n": tf.constant(3),
        "none": tf.zeros([0, 2]),
    }
    writer.write(str(tmp_path / "a"), odd)
    run(tmp_path / "a", tmp_path / "b", cast="float16")
    values = reader.open_checkpoint(tmp_path / "b").read(odd)
    assert values["text"].numpy() == b"a\0b\0"
    assert values["texts"].numpy().tolist() == [b"x", b""]
    assert (values["n"].dtype, values["none"].shape) == (tf.int32, (0, 2))


def test_what_is_there_is_replaced_only_on_demand(checkpoint, tmp_path):
    run(checkpoint, tmp_path / "x", strip=True)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match=r"x is there already: add --overwrite, or give --output another name"):
        run(checkpoint, tmp_path / "x", fold_averages=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    run(checkpoint, f"{tmp_path}/x.index", fold_averages=True, strip=True, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == before.keys()
    assert (tmp_path / "x.data-00000-of-00001").read_bytes() != before["x.data-00000-of-00001"]


def test_a_folder_as_output_gets_slims_name(checkpoint, tmp_path):
    run(checkpoint, f"{tmp_path}/new/", strip=True)
    assert reader.open_checkpoint(tmp_path / "new").path == f"{tmp_path}/new/model.ckpt-40"
    run(checkpoint, tmp_path / "new", strip=True, step=0)
    assert reader.open_checkpoint(tmp_path / "new").step == 40, "the newest"
    assert reader.open_checkpoint(tmp_path / "new" / "model.ckpt-0").step == 0


@pytest.fixture
def run_folder(checkpoint, tmp_path):
    """The folder of a run, with the run.json that training writes."""
    folder = tmp_path / "run"
    writer.save(folder, 40, read(checkpoint))
    model = {"model_name": MODEL, "num_classes": 4, "image_size": 32, "channels": 3, "preprocessing_name": "inception"}
    model["labels"] = ["cat", "dog", "fox", "owl"]
    runs.write(str(folder), {"model": model, "dataset": {"dir": "d", "name": None, "split": "train"}, "seed": 1})
    return folder


def test_the_description_of_the_run_goes_with_its_checkpoint(run_folder, tmp_path):
    lines = run(run_folder, tmp_path / "out" / "model.ckpt", fold_averages=True)
    written = json.loads((tmp_path / "out" / "run.json").read_text())
    assert written["seed"] == 1
    assert written["converted"][0]["from"] == f"{run_folder}/model.ckpt-40"
    assert written["converted"][0]["edits"][0].startswith("fold_averages: ")
    assert lines[-1] == f"Use it: python eval_image_classifier.py --checkpoint_path={tmp_path}/out/model.ckpt"
    run(run_folder, tmp_path / "fewer" / "model.ckpt", remove_classes="dog")
    described = runs.model_info(runs.read(str(tmp_path / "fewer")))
    assert (described.labels, described.num_classes) == (("cat", "fox", "owl"), 3)


def test_the_description_of_another_run_is_not_replaced(run_folder, tmp_path):
    run(run_folder, run_folder / "folded.ckpt", fold_averages=True)
    assert "converted" not in json.loads((run_folder / "run.json").read_text()), "it is that of the others, too"
    with pytest.raises(UserError, match="which have other classes: give --output a folder of its own"):
        run(run_folder, run_folder / "fewer.ckpt", remove_classes="dog")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "run.json").write_text("{}")
    with pytest.raises(UserError, match="describes another run: give --output a folder of its own"):
        run(run_folder, tmp_path / "other" / "x", strip=True)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["run.json"]
    run(run_folder, tmp_path / "other" / "x", strip=True, overwrite=True)
    assert runs.read(str(tmp_path / "other"))["seed"] == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"checkpoint_path": None}, "--checkpoint_path is missing"),
        ({"output": None}, "--output is missing: name what to write"),
        ({"weights": "1,2"}, "--weights is about averaging checkpoints: add --average"),
        ({"last": 2}, "--last is about averaging checkpoints: add --average"),
        ({"average": True, "weights": "a,b"}, "--weights=a,b: expected numbers with commas between, such as"),
        ({"average": True, "weights": "-1,2"}, "--weights=-1,2: expected numbers"),
        ({"average": True, "weights": "0,0"}, "their sum must be above 0"),
        ({"average": True}, "--average needs several checkpoints: --checkpoint_path=A,B, a glob, or a folder"),
        ({"checkpoint_path": "a,b"}, "names 2 checkpoints: add --average to average them"),
        ({"checkpoint_path": "a,b", "average": True, "weights": "1,1,1"}, "has 3 numbers for 2 checkpoints"),
        ({"add_background": True, "drop_background": True}, "say one of them"),
        ({"rename": "Net"}, "--rename: 'Net' is not FROM:TO"),
        ({"merge_classes": "a"}, "--merge_classes=a: expected NEW=A+B"),
        ({"keep_last": 2}, "--keep_last is about deleting checkpoints: add --prune"),
        ({"dry_run": True}, "--dry_run is about deleting checkpoints: add --prune"),
        ({"prune": True, "output": None}, "--prune needs a rule for what stays: --keep_last=3"),
        ({"prune": True, "keep_last": 1}, "--prune deletes checkpoints and writes none: leave --output out"),
        ({"prune": True, "output": None, "keep_steps": "a"}, "--keep_steps=a: expected numbers"),
        ({"output": "x.pth"}, "such a file cannot be written; give the prefix of a checkpoint"),
        ({"model_name": "mobilenet_v1_25"}, "--model_name: unknown network 'mobilenet_v1_25'; did you mean"),
    ],
)
def test_wrong_flags_say_what_repairs_them(checkpoint, flags, message):
    with pytest.raises(FlagError) as caught:
        convert.convert(ConvertConfig(**{"checkpoint_path": checkpoint, "output": "x", **flags}))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_failing_write_leaves_nothing(checkpoint, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot save the checkpoint"):
        run(checkpoint, tmp_path / "file" / "model.ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
