"""Fixtures shared by all tests."""

import os
import pathlib

# Before TensorFlow is imported: its C++ start-up lines are noise here.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """Folder with the real photos and the real ImageNet checkpoint; skips where it is not beside the project."""
    path = ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip("no ../shared/data beside the project (real photos and checkpoint)")
    return path


@pytest.fixture(scope="session")
def project_root() -> pathlib.Path:
    """The top folder of the checkout, where the scripts are."""
    return ROOT
