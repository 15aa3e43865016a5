"""`python -m nets`: the list of networks for people and for programs."""

import json
import os
import subprocess
import sys

import pytest

from common.errors import UserError
from nets import __main__ as zoo
from nets import registry

NAMES = ("resnet_v1_50", "resnet_v1_101", "vgg_16", "lenet")


def run(project_root, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "nets", *arguments],
        cwd=project_root,
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"},
    )


def test_the_table_has_a_row_for_each_network_asked_for(project_root):
    done = run(project_root, "resnet_v1_*", "inception_v3")
    assert done.returncode == 0
    assert done.stderr == ""
    header, *rows = done.stdout.splitlines()
    assert [row.split()[0] for row in rows] == [
        "inception_v3",
        *(f"resnet_v1_{layers}" for layers in (50, 101, 152, 200)),
    ]
    assert rows[0].split() == [
        "inception_v3",
        "299",
        "23.8M",
        "5.71G",
        "78.0",
        "93.9",
        "inception_v3_2016_08_28.tar.gz",
        "InceptionV3/Logits,InceptionV3/AuxLogits",
    ]
    assert header.startswith("--model_name")
    assert header.index("head scopes") == rows[0].index("InceptionV3/Logits,")


def test_json_has_every_network_with_all_its_facts_and_those_of_a_module(project_root, tmp_path):
    module = tmp_path / "mine.py"
    module.write_text(
        "from nets import layers as slim, registry\n\n\n"
        '@registry.network("mine", image_size=8, head_scopes="logits")\n'
        "def mine(images, num_classes, is_training=False):\n"
        '    logits = slim.fully_connected(slim.flatten(images), num_classes, activation_fn=None, scope="logits")\n'
        '    return logits, {"Logits": logits}\n'
    )
    done = run(project_root, "--json", f"--network_module={module}")
    listed = json.loads(done.stdout)
    assert [network["name"] for network in listed] == [*registry.names(), "mine"]
    mine = listed[-1]
    assert (mine["parameters"], mine["multiply_adds"], mine["num_classes"]) == (8 * 8 * 3 * 10 + 10, 8 * 8 * 3 * 10, 10)
    resnet = next(network for network in listed if network["name"] == "resnet_v1_50")
    assert resnet["checkpoint"]["url"] == "http://download.tensorflow.org/models/resnet_v1_50_2016_08_28.tar.gz"
    assert (resnet["checkpoint"]["num_classes"], resnet["checkpoint"]["label_offset"]) == (1000, 1)
    assert resnet["head_scopes"] == ["resnet_v1_50/logits"]
    assert resnet["features"] == "global_pool"


def test_an_unknown_name_is_one_line_with_near_matches(project_root):
    done = run(project_root, "resnet_v1_51")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("nets: error: unknown network 'resnet_v1_51'; did you mean ")
    assert "'resnet_v1_50'" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("patterns", "selected"),
    [
        ([], list(NAMES)),
        (["vgg_16"], ["vgg_16"]),
        (["lenet", "resnet*"], ["resnet_v1_50", "resnet_v1_101", "lenet"]),
        (["*_1[06]*"], ["resnet_v1_101", "vgg_16"]),
    ],
)
def test_patterns_select_names_in_the_order_of_the_list(patterns, selected):
    assert zoo.select(NAMES, patterns) == selected


def test_a_pattern_that_matches_nothing_is_an_error():
    with pytest.raises(UserError, match="unknown network 'mobilenet\\*'"):
        zoo.select(NAMES, ["lenet", "mobilenet*"])


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999, "999"),
        (30_730, "30.7k"),
        (470_329, "470k"),
        (999_499, "999k"),
        (999_500, "1.00M"),
        (9_996_000, "10.0M"),
        (25_557_032, "25.6M"),
        (138_357_544, "138M"),
        (3_482_255_360, "3.48G"),
    ],
)
def test_counts_are_shown_with_three_digits(count, text):
    assert zoo.shortened(count) == text
