"""Fixtures shared by all tests."""

import dataclasses
import hashlib
import http.server
import os
import pathlib
import subprocess
import sys
import threading
from collections.abc import Callable

# Before TensorFlow is imported: its C++ log lines are noise here.
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


@pytest.fixture(scope="session")
def run_script() -> Callable[..., subprocess.CompletedProcess]:
    """Runs a script as a user does: `run_script("train_image_classifier.py", "--flag=x", status=0)`.

    Fails where the exit status is another than `status`, or where a failure shows a traceback.
    """

    def run(name: str, *arguments: object, status: int = 0, **options: object) -> subprocess.CompletedProcess:
        command = [sys.executable, str(ROOT / name), *map(str, arguments)]
        environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
        done = subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=ROOT, env=environment, **options
        )
        assert done.returncode == status, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


@pytest.fixture
def own_networks(monkeypatch) -> None:
    """Lets a test register networks and load modules of them without leaving them behind."""
    from nets import registry

    registry.names()  # so that what is put back has the built-in networks
    monkeypatch.setattr(registry, "_records", dict(registry._records))
    monkeypatch.setattr(registry, "_loaded_files", {})
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def logged(monkeypatch) -> list[str]:
    """All lines that are logged in this process, warnings marked."""
    from absl import logging

    lines: list[str] = []
    monkeypatch.setattr(logging, "info", lambda text, *values: lines.append(text % values))
    monkeypatch.setattr(logging, "warning", lambda text, *values: lines.append("warning: " + text % values))
    return lines


@pytest.fixture(scope="session")
def shapes(tmp_path_factory) -> dict[str, pathlib.Path]:
    """Two small data sets of drawn shapes as TFRecords, 32 x 32: `source` and `target`."""
    from datasets import convert

    root = tmp_path_factory.mktemp("shapes")
    for task in ("source", "target"):
        convert.convert("shapes", str(root / task), shapes_task=task, num_images=96, image_size=32)
    return {task: root / task for task in ("source", "target")}


@pytest.fixture(scope="session")
def pretrained(shapes, tmp_path_factory) -> pathlib.Path:
    """The folder of a short run of mobilenet_v1_025 on the source shapes."""
    from training import loop
    from training.config import TrainConfig

    folder = tmp_path_factory.mktemp("pretrained")
    loop.train(
        TrainConfig(
            dataset_dir=str(shapes["source"]),
            train_dir=str(folder),
            model_name="mobilenet_v1_025",
            train_image_size=32,
            batch_size=8,
            max_number_of_steps=4,
        )
    )
    return folder


class FileHandler(http.server.BaseHTTPRequestHandler):
    """Serves the server's `files` by name, else its `content`, with ranges; see the fixture `file_server`."""

    def do_GET(self):
        server = self.server
        server.asked.append(self.headers.get("Range"))
        if server.status != 200:
            self.send_error(server.status)
            return
        content = server.files.get(self.path.rsplit("/", 1)[-1], server.content)
        if content is None:
            self.send_error(404)
            return
        start = 0
        etag = f'"{hashlib.md5(content).hexdigest()}"'
        wanted = self.headers.get("Range")
        if wanted and server.ranges and self.headers.get("If-Range") == etag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = start + (server.break_after.pop(0) if server.break_after else len(content))
        self.wfile.write(content[start:stop])

    def log_message(self, *_):
        pass


@pytest.fixture
def file_server():
    """A server on this machine.

    `url` is its address with a final slash. It answers with `files[name]`, else with `content` (None: 404); with
    `status` where that is not 200; it breaks each answer off after so many bytes as `break_after` says; `ranges=False`
    sends whole files only. `asked` collects the ranges asked for.
    """
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), FileHandler) as server:
        server.files, server.content = {}, None
        server.asked, server.break_after, server.ranges, server.status = [], [], True, 200
        server.url = f"http://127.0.0.1:{server.server_address[1]}/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def write_numbers() -> Callable[..., object]:
    """write_numbers(folder, counts=(7, 8, 8), labels=None, damage=None) -> its `train` split.

    Gray images of 2 x 3 pixels in a file for each count; image k is filled with k. `labels(k)` is its class, k modulo 4
    by default, or a list of its classes; `damage(k, record)` the bytes written in the record's place.
    """
    import numpy as np
    import tensorflow as tf

    from datasets import dataset_factory, dataset_utils, records

    def write(folder, counts=(7, 8, 8), labels=lambda k: k % 4, classes=4, damage=lambda k, record: record):
        tf.io.gfile.makedirs(str(folder))
        k, several = 0, False
        for shard, count in enumerate(counts):
            path = f"{folder}/numbers_train_{shard:05d}-of-{len(counts):05d}.tfrecord"
            with tf.io.TFRecordWriter(path) as file:
                for _ in range(count):
                    label, extra = labels(k), {}
                    if isinstance(label, list):
                        several, extra = True, {records.LABELS: records.int64_feature(label)}
                        label = label[0] if label else -1
                    image = tf.io.encode_png(np.full([2, 3, 1], k, np.uint8)).numpy()
                    file.write(damage(k, records.encode(image, "png", 2, 3, label, extra)))
                    k += 1
        with tf.io.gfile.GFile(f"{folder}/{dataset_utils.LABELS_FILENAME}", "w") as file:
            file.write("".join(f"{k}:class {k}\n" for k in range(classes)))
        return dataclasses.replace(dataset_factory.get_dataset(None, "train", str(folder)), multi_label=several)

    return write
