"""The documentation names only scripts, flags and files that exist."""

import dataclasses
import pathlib
import re

import pytest

from checkpoint_tools.convert_config import ConvertConfig as ConvertCheckpointConfig
from checkpoint_tools.doctor import DoctorConfig
from checkpoint_tools.fetching import FetchConfig
from datasets.convert import ConvertConfig
from datasets.doctor import InspectConfig
from exporting.config import ClassifyConfig, ExportConfig
from nets import registry
from training.config import EvalConfig, TrainConfig

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "benchmarks/README.md"]
CONFIGS = {
    "train_image_classifier.py": TrainConfig,
    "eval_image_classifier.py": EvalConfig,
    "export_saved_model.py": ExportConfig,
    "classify_images.py": ClassifyConfig,
    "download_and_convert_data.py": ConvertConfig,
    "inspect_checkpoint.py": DoctorConfig,
    "inspect_dataset.py": InspectConfig,
    "convert_checkpoint.py": ConvertCheckpointConfig,
    "fetch_checkpoint.py": FetchConfig,
}


def commands(text):
    """(script, arguments) of every `python SCRIPT.py ...` in a document, continued lines joined."""
    return re.findall(r"python (\w+\.py)((?:[^\n`|]|(?<=\\)\n)*)", text.replace("\\\n", " "))


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_commands_use_flags_that_exist(path):
    wrong = []
    for script, arguments in commands(path.read_text()):
        known = {"help", *(field.name for field in dataclasses.fields(CONFIGS[script]))}
        wrong += [f"{script} --{flag}" for flag in re.findall(r"--(\w+)", arguments) if flag not in known]
    assert wrong == []


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_the_readme_has_a_row_for_every_network():
    readme = (ROOT / "README.md").read_text()
    for record in registry.records():
        row = f"| `{record.name}` | {record.image_size} | {record.preprocessing} | `{','.join(record.head_scopes)}` |"
        assert row in readme


def test_no_placeholder_is_left():
    assert [path.name for path in DOCS if "@@" in path.read_text()] == []
