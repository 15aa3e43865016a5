"""Conversion by an Apache Beam pipeline gives what conversion without it gives."""

import importlib
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import warnings

import pytest

from common.errors import FlagError, UserError
from datasets import folders, image_folder, images, writer
from datasets.convert import ConvertConfig, convert
from datasets.image_headers import BadImage

HAS_BEAM = bool(importlib.util.find_spec("apache_beam"))
if HAS_BEAM:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries below it
        importlib.import_module("apache_beam")
needs_beam = pytest.mark.skipif(not HAS_BEAM, reason="no apache_beam (pip install '.[beam]')")


def content(folder):
    """Bytes of each file; the report without the time that it took."""
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    report = json.loads(found.pop("conversion_report.json"))
    del report["seconds"]
    return {**found, "conversion_report.json": report}


@pytest.fixture
def bad_photos(photos, encoded, bomb):
    """Photos of which some cannot be used, one is a copy of another and one has to be encoded anew."""
    (photos / "cat" / "cut.jpg").write_bytes(encoded(50)[:-100])
    (photos / "cat" / "page.jpg").write_bytes(b"<!DOCTYPE html><html>404")
    (photos / "dog" / "bomb.png").write_bytes(bomb)
    (photos / "dog" / "moving.gif").write_bytes(encoded(51, "GIF"))
    (photos / "emu" / "notes.txt").write_text("not an image")
    (photos / "emu" / "copy.jpg").write_bytes((photos / "emu" / "0.jpg").read_bytes())
    os.symlink(photos / "nowhere.jpg", photos / "emu" / "gone.jpg")
    return photos


@needs_beam
@pytest.mark.parametrize(
    "options",
    [
        {"num_shards": 3, "validation_fraction": 0.3},
        {"num_folds": 3, "duplicates": "together", "checks": "pixels"},
        {"duplicates": "leave_out", "validation_count": 4},
    ],
    ids=["two splits", "folds", "no copies"],
)
def test_the_same_files_as_without_beam(bad_photos, tmp_path, options):
    made = {}
    for name, more in {"local": {}, "beam": {"beam": True}}.items():
        convert("image_folder", str(tmp_path / name), image_dir=str(bad_photos), **options, **more)
        made[name] = content(tmp_path / name)
    assert made["beam"] == made["local"]
    assert {os.path.basename(entry["file"]) for entry in made["beam"]["conversion_report.json"]["left_out"]} >= {
        "cut.jpg",
        "page.jpg",
        "bomb.png",
        "gone.jpg",
    }


@needs_beam
def test_a_manifest_and_a_source_without_files(photos, tmp_path, make_mnist):
    (photos / "list.csv").write_text("path,labels\ncat/0.jpg,cat|pet\ndog/0.jpg,dog|pet\nemu/0.jpg,\nemu/1.jpg,emu\n")
    sources = {
        "manifest": {"manifest": str(photos / "list.csv"), "validation_count": 0},
        "mnist": {"archive_dir": str(make_mnist(tmp_path / "files")), "check_archives": False},
    }
    for name, options in sources.items():
        local, beam = tmp_path / f"{name}_local", tmp_path / f"{name}_beam"
        convert(name, str(local), **options)
        convert(name, str(beam), **options, beam=True)
        assert content(beam) == content(local)


@needs_beam
def test_nothing_is_converted_again(photos, tmp_path, caplog):
    options = {"image_dir": str(photos), "num_shards": 2}
    convert("image_folder", str(tmp_path / "out"), **options)
    caplog.set_level("INFO")
    convert("image_folder", str(tmp_path / "out"), **options, beam=True)
    assert "already holds this data set; nothing to do" in caplog.text


@needs_beam
@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("read", BadImage("cannot be read: Input/output error")),  # with --on_error=fail
        ("write", UserError("the disk is full")),
        ("write", RuntimeError("a worker died")),
    ],
)
def test_a_worker_that_fails_leaves_nothing(photos, tmp_path, monkeypatch, step, error):
    load, write_shard = image_folder.load, writer.write_shard

    def failing_load(path):
        if path.endswith("dog/3.jpg"):
            raise error
        return load(path)

    def failing_write(task, *args):
        result = write_shard(task, *args)
        if any(item.key == "dog/3.jpg" for item in task.items):
            raise error
        return result

    if step == "read":
        monkeypatch.setattr(image_folder, "load", failing_load)
    else:
        monkeypatch.setattr(writer, "write_shard", failing_write)
    out, options = tmp_path / "out", {"image_dir": str(photos), "num_shards": 3}
    kind, words = (UserError, "dog/3.jpg: cannot be read: Input") if step == "read" else (type(error), str(error))
    flags = "--direct_running_mode=in_memory"  # which are not to blame
    with pytest.raises(kind, match=words):
        convert("image_folder", str(out), **options, on_error="fail", beam=True, beam_options=flags)
    assert not out.exists()
    monkeypatch.undo()
    convert("image_folder", str(out), **options, on_error="fail", beam=True)
    convert("image_folder", str(tmp_path / "local"), **options)
    assert content(out) == content(tmp_path / "local")


@needs_beam
def test_a_shard_that_is_written_twice_is_there_once(photos, tmp_path, monkeypatch):
    write_shard, attempts = writer.write_shard, []

    def twice(task, *args):
        attempts.append(task.path)
        write_shard(task._replace(path=f"{task.path}.lost"), *args)  # of an attempt whose end nobody saw
        return write_shard(task, *args)

    monkeypatch.setattr(writer, "write_shard", twice)
    convert("image_folder", str(tmp_path / "out"), image_dir=str(photos), num_shards=2, beam=True)
    assert len(attempts) == len(set(attempts)) == 4
    convert("image_folder", str(tmp_path / "local"), image_dir=str(photos), num_shards=2)
    assert content(tmp_path / "out") == content(tmp_path / "local")


@needs_beam
def test_a_worker_that_does_not_see_the_images_is_told(photos, tmp_path, monkeypatch):
    def load(_):
        raise BadImage("cannot be read: No such file or directory")

    monkeypatch.setattr(image_folder, "load", load)
    with pytest.raises(UserError, match=r"not there on worker .*; the folder of the images must have the same"):
        convert("image_folder", str(tmp_path / "out"), image_dir=str(photos), beam=True)
    assert not (tmp_path / "out").exists()


@needs_beam
def test_open_archives_are_refused(tmp_path, make_imagenet):
    files = make_imagenet(tmp_path / "files")
    with pytest.raises(UserError, match=r"is read from open archives.*; extract them and name the folders"):
        convert("imagenet", str(tmp_path / "out"), archive_dir=str(files), check_archives=False, beam=True)
    assert not (tmp_path / "out").exists()


@needs_beam
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--runner=NoSuchRunner", "--beam_options: Unexpected pipeline runner: NoSuchRunner. Valid values are"),
        ("--direct_num_workers=x", "argument --direct_num_workers: invalid int value: 'x'"),
        ("--runner='DirectRunner", "No closing quotation"),
        ("--direct_num_worker=2 --on_fire", "DirectRunner has no --direct_num_worker, --on_fire"),
        ("--direct_num_workers=-3", "--direct_num_workers must be 0 (one for each core) or more"),
        ("runner", "--beam_options=runner: 'runner' is no flag; expected --NAME=VALUE, with two dashes"),
        ("--streaming direct_num_workers=2", "'direct_num_workers=2' is no flag"),
        ("-f x", "'-f' is no flag"),
        ("--runner=FlinkRunner --flink_master=a:1 on_fire", "'on_fire' is no flag"),
        ("--runner=FlinkRunner --their_own 7 on_fire", "'on_fire' is no flag"),
        ("--help", "--beam_options=--help: expected flags of a pipeline; DirectRunner's are in Beam's documentation"),
    ],
)
def test_flags_that_beam_does_not_take(tmp_path, photos, flags, message):
    with pytest.raises(FlagError, match=re.escape(message)):
        convert("image_folder", str(tmp_path / "out"), image_dir=str(photos), beam=True, beam_options=flags)
    assert not (tmp_path / "out").exists()


@needs_beam
@pytest.mark.parametrize(
    ("flags", "kind", "message"),
    [
        ("", IndexError, "^list index$"),  # no flag can be to blame
        (
            "--direct_running_mode=in_memory",
            UserError,
            r"^--beam_options=--direct_running_mode=in_memory: DirectRunner failed \(list index\); change or leave out",
        ),
    ],
)
def test_a_runner_that_fails_by_itself(tmp_path, photos, monkeypatch, flags, kind, message):
    def fail(*_):
        raise IndexError("list\nindex" if flags else "list index")

    monkeypatch.setattr("apache_beam.runners.direct.direct_runner.SwitchingDirectRunner.run_pipeline", fail)
    with pytest.raises(kind, match=message):
        convert("image_folder", str(tmp_path / "out"), image_dir=str(photos), beam=True, beam_options=flags)
    assert not (tmp_path / "out").exists()


@needs_beam
def test_flags_reach_the_runner(tmp_path, photos, monkeypatch):
    from apache_beam.runners import PipelineRunner

    class Recorder(PipelineRunner):
        def run_pipeline(self, pipeline, options):
            seen.append(options.get_all_options(retain_unknown_options=True))
            raise RuntimeError("no cluster\nhere")

    seen, module = [], "recorder_of_flags"
    monkeypatch.setitem(sys.modules, module, type(sys)(module))
    sys.modules[module].Recorder = Recorder
    flags = f"--runner={module}.Recorder --direct_num_workers=3 --flink_master='a b:1' --their_own 7"
    with pytest.raises(UserError, match=f"the pipeline failed on {module}.Recorder: no cluster here"):
        convert("image_folder", str(tmp_path / "out"), image_dir=str(photos), beam=True, beam_options=flags)
    assert (seen[0]["direct_num_workers"], seen[0]["flink_master"], seen[0]["their_own"]) == (3, "a b:1", "7")
    assert not (tmp_path / "out").exists()


@needs_beam
@pytest.mark.slow
def test_workers_in_processes_of_their_own(bad_photos, tmp_path, project_root):
    flags = "--direct_num_workers=2 --direct_running_mode=multi_processing"
    command = [sys.executable, str(project_root / "download_and_convert_data.py"), "--dataset_name=image_folder"]
    command += [f"--image_dir={bad_photos.name}", "--dataset_dir=out", "--num_shards=4"]
    environment = {**os.environ, "PYTHONPATH": str(project_root)}
    done = subprocess.run(
        [*command, "--beam", f"--beam_options={flags}"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, shlex.join(command) + done.stderr
    convert("image_folder", str(tmp_path / "local"), image_dir=str(bad_photos), num_shards=4)
    assert content(tmp_path / "out") == content(tmp_path / "local")


def test_the_account_of_a_shard_travels(photos, tmp_path):
    import pickle

    item = image_folder.list_folder(str(photos), "--image_dir").items[0]
    task = pickle.loads(pickle.dumps(writer.Task(str(tmp_path / "shard"), "train", [item])))
    with images.large_images_allowed():
        written = writer.write_shard(
            task, lambda item: image_folder.load(str(photos / item.key)), writer.WriteOptions(checks="pixels")
        )
    again = pickle.loads(pickle.dumps(written))
    assert (again.written, again.shard, len(again.facts)) == ([item], written.shard, 1)
    assert again.facts.table().tobytes() == written.facts.table().tobytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_options": "--runner=DirectRunner"}, "--beam_options are for a conversion by Apache Beam; add --beam"),
        ({"beam": True, "num_threads": 2}, "--num_threads does not go with --beam"),
        ({"beam": True, "dataset_name": "tfds:pets"}, "--beam does not go with tfds:NAME, .* leave --beam out"),
    ],
)
def test_options_that_do_not_go_together(options, message):
    with pytest.raises(FlagError, match=message):
        ConvertConfig(**{"dataset_name": "image_folder", "dataset_dir": "out", **options})


def test_remote_folders_are_not_written():
    with pytest.raises(FlagError, match=r"--dataset_dir=gs://bucket/x: records are written to a folder of"):
        ConvertConfig("image_folder", "gs://bucket/x")


def test_missing_library_is_told_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    monkeypatch.setitem(sys.modules, "apache_beam.options", None)
    with pytest.raises(FlagError, match=r"--beam needs Apache Beam .*; install it by: pip install '\.\[beam\]'"):
        convert("image_folder", str(tmp_path / "out"), image_dir="missing", beam=True)
    assert folders.listed(str(tmp_path)) == []
