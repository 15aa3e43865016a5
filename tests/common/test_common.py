"""User errors, near matches, atomic files, flags made from configs."""

import dataclasses
import json
import os
import subprocess
import sys
import textwrap

import pytest

from common import config as config_lib
from common import errors, files, suggest


def test_unknown_names_are_answered_with_near_matches_and_all_names():
    message = suggest.unknown("network", "resnet_50", ["vgg_16", "resnet_v1_50", "resnet_v2_50"])
    assert message.startswith("unknown network 'resnet_50'; did you mean 'resnet_v")
    assert message.endswith("Known: resnet_v1_50, resnet_v2_50, vgg_16.")


def test_near_matches_ignore_case():
    assert suggest.near_matches("MOBILENETV1/logits", ["MobilenetV1/Logits"]) == ["MobilenetV1/Logits"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "value.json"
    files.write_json(path, {"a": 1})

    def fail_in_mid_write():
        with files.atomic_path(path) as temporary:
            with open(temporary, "w") as file:
                file.write("half")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        fail_in_mid_write()
    assert json.loads(path.read_text()) == {"a": 1}
    assert os.listdir(tmp_path) == ["value.json"]


@dataclasses.dataclass(frozen=True)
class Example:
    rate: float = config_lib.option(0.5, "Rate.", minimum=0.0)
    size: int | None = config_lib.option(None, "Size.")
    mode: str = config_lib.option("a", "Mode.", choices=("a", "b"))


def test_optional_fields_have_plain_types():
    kinds = {field.name: config_lib.value_type(Example, field) for field in dataclasses.fields(Example)}
    assert kinds == {"rate": float, "size": int, "mode": str}


SCRIPT = '''
"""A script."""
import dataclasses
from common import scripts
from common.config import option
from common.errors import FlagError, UserError

@dataclasses.dataclass(frozen=True)
class Config:
    rate: float = option(0.5, "Rate.", minimum=0.0)
    mode: str = option("run", "What to do.", choices=("run", "fail", "flag"))

def main(_):
    config, given = scripts.config_from_flags(Config)
    if config.mode == "fail":
        raise UserError("photos/: no images; name a folder with images")
    if config.mode == "flag":
        raise FlagError("--mode: bad")
    print(config, sorted(given))

scripts.define_flags(Config)
scripts.run(main)
'''


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["--rate=0.25"], 0, "Config(rate=0.25, mode='run') ['rate']"),
        (["--mode=fail"], 1, "error: photos/: no images; name a folder with images"),
        (["--mode=flag"], 2, "error: --mode: bad"),
        (["--rate=-1"], 2, "flag --rate=-1"),
        (["--rat=1"], 2, "Unknown command line flag 'rat'. Did you mean: rate"),
        (["--mode=other"], 2, "value should be one of <run|fail|flag>"),
        (["stray"], 2, "unexpected argument 'stray'"),
        (["--help"], 0, "--rate (default: 0.5)\n      Rate."),
    ],
)
def test_scripts_say_one_line_and_exit_with_the_right_status(tmp_path, project_root, arguments, status, text):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(project_root)},
    )
    assert done.returncode == status, done.stderr
    assert text in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if status:
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr


@pytest.mark.parametrize(
    "message",
    [
        "Unknown format.",
        "{{function_node __wrapped__x}} Unknown format. [Op:IteratorGetNext]",
        "Graph execution error:\n\nDetected at node a/b defined at (most recent call last):\n"
        "<stack traces unavailable>\nUnknown format.\n\t [[{{node a/b}}]] [Op:__inference_1]",
        "{{function_node x}} Error in user-defined function passed to MapDataset:1 transformation with iterator: "
        "Iterator::Root::ParallelMapV2: Unknown format.\n\t [[{{node y}}]] [Op:IteratorGetNext] name: ",
        "{{function_node x}} {{function_node y}} Unknown format.\n\t [[{{node DecodeImage}}]]",
    ],
)
def test_tensorflows_words_come_without_its_graph(message):
    assert errors.tensorflow_reason(Exception(message)) == "Unknown format."
