"""The examples of docs/networks.md run as they stand there."""

import re

import pytest
import tensorflow as tf

from nets import registry
from nets.network import Network


@pytest.fixture(scope="module")
def blocks(project_root):
    """The page's Python blocks."""
    return re.findall(r"```python\n(.*?)```", (project_root / "docs" / "networks.md").read_text(), re.DOTALL)


def block_with(blocks, words):
    (found,) = [block for block in blocks if words in block]
    return found


def test_a_network_of_ones_own_trains_and_evaluates(blocks, run_script, shapes, tmp_path):
    module, run = tmp_path / "my_network.py", tmp_path / "run"
    module.write_text(block_with(blocks, "# my_network.py"))
    options = [f"--dataset_dir={shapes['target']}", f"--train_dir={run}", "--batch_size=4", "--max_number_of_steps=1"]
    run_script("train_image_classifier.py", f"--network_module={module}", "--model_name=tiny", *options)
    done = run_script("eval_image_classifier.py", f"--checkpoint_path={run}")
    assert "accuracy" in (done.stdout + done.stderr).lower()


def test_a_file_of_the_original_slim_runs_with_its_import_line_changed(blocks, own_networks, tmp_path):
    old = block_with(blocks, "# old_network.py")
    assert old.count("from nets import layers as slim  # was: import tf_slim as slim") == 1
    (tmp_path / "old_network.py").write_text(old)
    module = tmp_path / "registers.py"
    module.write_text(block_with(blocks, "# registers it"))
    assert registry.load_module(str(module)) == ("old_network",)
    network = Network("old_network", 3, weight_decay=0.1)
    network.initialize()
    logits, end_points = network(tf.zeros([2, 32, 32, 3]), training=True)
    assert logits.shape == [2, 3]
    assert next(iter(end_points)) == "old_network/conv1/conv1_1"
    assert float(network.regularization_loss()) > 0, "its own arg scope"


def test_the_score_map_has_the_size_that_the_page_says(blocks, monkeypatch):
    code = block_with(blocks, "scores, _ = network(images)")
    small = {"Network": lambda *args, **kwargs: Network(*args, depth_multiplier=0.125, **kwargs)}
    names = {"images": tf.zeros([1, 65, 90, 3])}
    exec(code.replace("from nets.network import Network", ""), small | names, names)
    assert names["scores"].shape == [1, 9, 12, 5]


def test_the_calls_of_the_first_section_run(blocks):
    names = {"images": tf.zeros([1, 64, 64, 3])}
    with tf.Graph().as_default():
        names["images"] = tf.compat.v1.placeholder(tf.float32, [1, 64, 64, 3])
        exec(block_with(blocks, "network_fn = "), names)
    assert names["logits"].shape == [1, 5]
    names["images"] = tf.zeros([1, 64, 64, 3])
    exec(block_with(blocks, "initialize({name"), names)
    assert names["logits"].shape == [1, 5]
    assert registry.get("resnet_v1_50").name == names["network"].record.name
