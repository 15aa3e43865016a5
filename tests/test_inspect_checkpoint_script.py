"""inspect_checkpoint.py as a user runs it."""

import json

import numpy as np
import pytest

from checkpoint_tools import signatures
from checkpoints import writer


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--checkpoint_path is missing: name a checkpoint"),
        (["--checkpoint_path=x", "--num_classes=0"], "num_classes"),
        (["--checkpoint_path=x", "--list", "--stats"], "--list and --stats do different things: give one of them"),
    ],
)
def test_wrong_flags_exit_with_2(run_script, flags, message):
    assert message in run_script("inspect_checkpoint.py", *flags, status=2).stderr


def test_exit_status_and_json_for_programs(run_script, tmp_path):
    lenet = next(signature for signature in signatures.stored() if signature.model_name == "lenet")
    values = {name: np.ones(shape, np.float32) for name, shape in lenet.shapes(7).items()}
    path = writer.save(tmp_path, 3, values)

    done = run_script("inspect_checkpoint.py", f"--checkpoint_path={tmp_path}", "--json")
    facts = json.loads(done.stdout)
    assert (facts["model_name"], facts["num_classes"], facts["step"], facts["path"]) == ("lenet", 7, 3, path)
    assert done.stderr == ""

    flags = [f"--checkpoint_path={tmp_path}@3", "--model_name=lenet", "--num_classes=5"]
    done = run_script("inspect_checkpoint.py", *flags, status=1)
    repair = "--checkpoint_exclude_scopes=LeNet/fc4 --trainable_scopes=LeNet/fc4"
    assert done.stdout.rstrip().endswith(repair)
    assert "It fits" in run_script("inspect_checkpoint.py", *flags, *repair.split()).stdout
