"""The README's workflow on real photos and a real ImageNet checkpoint."""

import json
import os
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_fine_tuning_reaches_what_the_readme_says(shared_data, project_root, tmp_path):
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])  # the demo calls `python`
    done = subprocess.run(
        ["bash", str(project_root / "demo" / "flowers.sh"), str(shared_data), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": path},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    metrics = json.loads((tmp_path / "out" / "all" / "eval_validation" / "metrics.json").read_text())
    assert metrics["examples"] == 350
    assert metrics["Accuracy"] >= 0.85
