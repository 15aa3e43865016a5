"""A conversion that is killed by the kernel, in a process of its own."""

import itertools
import os
import signal
import subprocess
import sys
import types

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from datasets import dataset_factory, targets, writer
from datasets.convert import convert

# Dies at the n-th time that an image is read or a file gets its name: no handler, no `finally`, nothing is flushed.
_CHILD = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from datasets import image_folder, targets
from datasets.convert import convert

left = int(sys.argv[2])

def dying(function):
    def call(*args, **kwargs):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return call

image_folder.load, targets.os.replace = dying(image_folder.load), dying(os.replace)
convert("image_folder", sys.argv[4], image_dir=sys.argv[3], num_threads=2, num_shards=3)
"""


def content(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "conversion_report.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


class Killed(BaseException):
    """Stands for a signal."""


@pytest.mark.parametrize("again", ["the same", "another name"])
def test_killed_while_it_replaces_a_data_set_it_runs_again_to_the_same_bytes(photos, tmp_path, monkeypatch, again):
    out, options = tmp_path / "out", {"image_dir": str(photos), "num_threads": 1}
    changed = {**options, "name": "pets"}
    last = changed if again == "the same" else {**options, "name": "other"}
    convert("image_folder", str(tmp_path / "whole"), **last)
    for steps in itertools.count():
        convert("image_folder", str(out), **options, num_folds=2, overwrite=True)
        left = iter(range(steps))

        def dying(function, left=left):
            def call(*args):
                if next(left, None) is None:
                    raise Killed
                return function(*args)

            return call

        with monkeypatch.context() as patched:
            patched.setattr(targets, "os", types.SimpleNamespace(**vars(os)))
            patched.setattr(targets.os, "replace", dying(os.replace))
            patched.setattr(targets.os, "remove", dying(os.remove))
            patched.setattr(writer.shutil, "rmtree", lambda *_, **__: None)  # a killed process cleans nothing up
            try:
                convert("image_folder", str(out), **changed, overwrite=True)
                break
            except Killed:
                pass
        if steps:  # dataset.json is gone; before, the old data set is whole
            with pytest.raises(UserError, match=r"holds a conversion that did not finish"):
                dataset_factory.get_dataset(None, "train", str(out))
        convert("image_folder", str(out), **last, overwrite=not steps)
        assert content(out) == content(tmp_path / "whole")
    assert steps > 10


def test_an_error_while_files_get_their_names_leaves_nothing_that_looks_finished(photos, tmp_path, monkeypatch):
    def full(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(targets, "os", types.SimpleNamespace(**{**vars(os), "replace": full}))
        with pytest.raises(OSError, match="disk full"):
            convert("image_folder", str(tmp_path / "out"), image_dir=str(photos))
    with pytest.raises(UserError, match=r"holds a conversion that did not finish"):
        dataset_factory.get_dataset(None, "train", str(tmp_path / "out"))
    convert("image_folder", str(tmp_path / "out"), image_dir=str(photos))
    assert not [name for name in os.listdir(tmp_path / "out") if name.startswith(".")]


@pytest.mark.slow
def test_killed_at_any_point_it_leaves_nothing_that_looks_finished(project_root, tmp_path, encoded):
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(20):
            image = Image.fromarray(random.integers(0, 256, (18, 24, 3), np.uint8))
            (tmp_path / "photos" / name / f"{k}.jpg").write_bytes(encoded(image))
    convert("image_folder", str(tmp_path / "whole"), image_dir=str(tmp_path / "photos"), num_threads=2, num_shards=3)
    out = tmp_path / "out"
    # 40 images, three JSON files and labels.txt, then eleven files into their places, dataset.json last.
    for steps in (0, 17, 39, 41, 44, 48, 52):
        child = [sys.executable, "-c", _CHILD, str(project_root), str(steps), str(tmp_path / "photos"), str(out)]
        done = subprocess.run(child, capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, f"after {steps} steps: {done.stderr}"
        assert not (out / "dataset.json").exists()
        with pytest.raises(UserError, match=r"holds a conversion that did not finish; run download_and_convert_data"):
            dataset_factory.get_dataset(None, "train", str(out))
    convert("image_folder", str(out), image_dir=str(tmp_path / "photos"), num_threads=1, num_shards=3)
    assert content(out) == content(tmp_path / "whole")
