"""Saving: who can read it, what is kept, and what is left when the process dies at any point."""

import contextlib
import json
import os
import pathlib
import resource
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from checkpoints import writer
from checkpoints.reader import CheckpointReader
from common.errors import UserError

DATA = ".data-00000-of-00001"


def values(number, size=4):
    return {"Net/weights": tf.fill([size], float(number)), "Net/weights/Momentum": tf.fill([size], -float(number))}


def number_in(prefix):
    """Which `values(number)` a checkpoint holds; fails where it is a mixture."""
    tensors = CheckpointReader(prefix).read(["Net/weights", "Net/weights/Momentum"])
    numbers = set(tensors["Net/weights"].numpy()) | set(-tensors["Net/weights/Momentum"].numpy())
    assert len(numbers) == 1
    return int(numbers.pop())


def files(folder):
    return sorted(os.listdir(folder))


def files_of(*steps):
    return sorted(["checkpoint", *(f"model.ckpt-{step}{end}" for step in steps for end in (".index", DATA))])


# -- who reads it ---------------------------------------------------------------------------------


def test_names_and_contents_are_those_of_the_original(tmp_path):
    prefix = writer.save(f"{tmp_path}/run/", 20, values(3) | {"b": tf.Variable(True), "h": np.float16(0.5)})
    assert prefix == f"{tmp_path}/run/model.ckpt-20"
    assert files(tmp_path / "run") == files_of(20)
    assert (tmp_path / "run" / "checkpoint").read_text() == (
        'model_checkpoint_path: "model.ckpt-20"\nall_model_checkpoint_paths: "model.ckpt-20"\n'
    )
    opened = CheckpointReader(tmp_path / "run")
    assert (opened.step, opened.dtypes["global_step"]) == (20, tf.int64)
    assert opened.dtypes["h"] == tf.float16
    assert bool(opened.read(["b"])["b"])


def test_a_given_global_step_is_kept(tmp_path):
    assert CheckpointReader(writer.save(tmp_path, 20, {"global_step": tf.Variable(21, dtype=tf.int64)})).step == 21


def test_tensorflow_finds_and_reads_it(tmp_path):
    prefix = writer.save(tmp_path, 5, values(3))
    assert tf.train.latest_checkpoint(tmp_path) == prefix
    assert tf.train.load_checkpoint(tmp_path).get_tensor("Net/weights").tolist() == [3.0] * 4


def test_the_originals_saver_restores_it_and_goes_on(tmp_path):
    prefix = writer.save(tmp_path, 5, values(3))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        with tf.compat.v1.variable_scope("Net"):
            weights = tf.compat.v1.get_variable("weights", [4])
        step = tf.compat.v1.train.create_global_step()
        saver = tf.compat.v1.train.Saver([weights, step])
        saver.restore(session, prefix)
        assert session.run([weights, step])[0].tolist() == [3.0] * 4
        saver.recover_last_checkpoints([prefix])
        session.run(tf.compat.v1.assign(step, 9))
        saver.save(session, f"{tmp_path}/model.ckpt", global_step=step)
    assert CheckpointReader(tmp_path).step == 9
    writer.save(tmp_path, 10, values(4), keep=1)
    assert files(tmp_path) == files_of(10)  # the .meta of the original's checkpoint included


# -- what is kept ---------------------------------------------------------------------------------


def test_the_newest_are_kept(tmp_path):
    for step in range(1, 9):
        writer.save(tmp_path, step, values(step))
    assert files(tmp_path) == files_of(4, 5, 6, 7, 8)
    state = tf.train.get_checkpoint_state(tmp_path)
    assert [path.rpartition("-")[2] for path in state.all_model_checkpoint_paths] == ["4", "5", "6", "7", "8"]
    assert number_in(writer.latest(tmp_path)) == 8


def test_all_can_be_kept(tmp_path):
    for step in range(1, 9):
        writer.save(tmp_path, step, values(step), keep=0)
    assert files(tmp_path) == files_of(*range(1, 9))


def test_files_that_no_save_of_this_run_made_are_left_alone(tmp_path):
    names = ["model.ckpt-3.index", f"model.ckpt-3{DATA}", "inception_v3.ckpt", "run.json", "model.ckpt-99.data.txt"]
    for name in names:
        (tmp_path / name).write_text("mine")
    for step in range(10, 14):
        writer.save(tmp_path, step, values(step), keep=1)
    assert files(tmp_path) == sorted([*names, *files_of(13)])
    assert all((tmp_path / name).read_text() == "mine" for name in names)


def test_going_on_from_an_older_step_deletes_none_of_the_later_ones(tmp_path):
    for step in (10, 20, 30):
        writer.save(tmp_path, step, values(step), keep=3)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-10"\n')
    assert writer.latest(tmp_path) == f"{tmp_path}/model.ckpt-10"
    writer.save(tmp_path, 15, values(15), keep=1)
    assert files(tmp_path) == files_of(15, 20, 30)
    assert number_in(writer.latest(tmp_path)) == 15


def test_the_same_content_at_the_same_step_is_not_written_again(tmp_path):
    writer.save(tmp_path, 10, values(1))
    before = (tmp_path / f"model.ckpt-10{DATA}").stat()
    writer.save(tmp_path, 10, values(1))
    after = (tmp_path / f"model.ckpt-10{DATA}").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert files(tmp_path) == files_of(10)


def test_other_content_at_the_same_step_replaces_it(tmp_path):
    for number in (1, 2, 3):
        writer.save(tmp_path, 10, values(number, size=4 * number))
        assert number_in(f"{tmp_path}/model.ckpt-10") == number
        assert files(tmp_path) == files_of(10)


def test_a_cut_off_file_of_the_same_step_is_written_again(tmp_path):
    writer.save(tmp_path, 10, values(1))
    (tmp_path / f"model.ckpt-10{DATA}").write_bytes(b"xy")
    writer.save(tmp_path, 10, values(1))
    assert number_in(writer.latest(tmp_path)) == 1


def test_a_v1_file_of_the_same_step_is_left_until_it_is_old(tmp_path):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        weights = tf.compat.v1.Variable([1.0], name="w")
        session.run(weights.initializer)
        tf.compat.v1.train.Saver([weights], write_version=1).save(session, f"{tmp_path}/model.ckpt", global_step=10)
    (tmp_path / ".model.ckpt-10.tmp-0123abcd.index").write_text("left by a killed save")
    assert writer.latest(tmp_path) == f"{tmp_path}/model.ckpt-10"
    writer.save(tmp_path, 10, values(2))
    assert number_in(writer.latest(tmp_path)) == 2
    writer.save(tmp_path, 11, values(3), keep=1)
    assert files(tmp_path) == files_of(11)


def test_other_file_systems_work_where_tensorflow_opens_them():
    folder = "ram://checkpoint_writer/run"
    for number in (1, 2, 3):
        writer.save(folder, number, values(number), keep=2)
    assert writer.save(folder, 3, values(30), keep=2) == f"{folder}/model.ckpt-3"
    assert sorted(tf.io.gfile.listdir(folder)) == files_of(2, 3)
    assert number_in(folder) == 30


def test_latest_of_nothing_is_none(tmp_path):
    assert writer.latest(tmp_path) is None
    assert writer.latest(f"{tmp_path}/not/there") is None
    (tmp_path / "model.ckpt-3.index").write_text("x")
    assert writer.latest(tmp_path) is None


# -- being killed ---------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for the process's end: no handler in the writer catches it."""


class DyingFiles:
    """`tf.io.gfile` that dies before the operation number `last` that changes something."""

    def __init__(self, last):
        self.left = last

    def __getattr__(self, name):
        function = getattr(tf.io.gfile, name)

        def counted(*arguments, **options):
            if name in ("rename", "remove", "copy", "makedirs") or (name == "GFile" and "w" in arguments[1:]):
                if self.left == 0:
                    raise Killed(f"{name} {arguments}")
                self.left -= 1
            return function(*arguments, **options)

        return counted


def first_saves(folder):
    for step in (1, 2, 3):
        writer.save(folder, step, values(step), keep=2)


SCENARIOS = {
    # name: (save, number before, number after, files that the save leaves)
    "the next step": (lambda folder: writer.save(folder, 4, values(4), keep=2), 3, 4, files_of(3, 4)),
    "the same step, other values": (
        lambda folder: writer.save(folder, 3, values(30, 7), keep=2),
        3,
        30,
        files_of(2, 3),
    ),
    "the same step, same values": (lambda folder: writer.save(folder, 3, values(3), keep=2), 3, 3, files_of(2, 3)),
    "only one is kept": (lambda folder: writer.save(folder, 4, values(4), keep=1), 3, 4, files_of(4)),
}


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("second_kill", [False, True])
def test_dying_before_any_file_operation_leaves_the_old_state_or_the_new(tmp_path, monkeypatch, scenario, second_kill):
    save, before, after, left = SCENARIOS[scenario]
    seen = set()
    for last in range(60):
        folder = tmp_path / f"{last}"
        first_saves(folder)
        monkeypatch.setattr(writer, "gfile", DyingFiles(last))
        try:
            save(folder)
            died = False
        except Killed:
            died = True
        if second_kill:  # dies again while it clears up
            monkeypatch.setattr(writer, "gfile", DyingFiles(last % 7))
            with contextlib.suppress(Killed):
                save(folder)
        monkeypatch.setattr(writer, "gfile", tf.io.gfile)
        newest = writer.latest(folder)
        assert newest == tf.train.latest_checkpoint(folder)
        seen.add(number_in(newest))
        save(folder)  # the run goes on: nothing of the killed save is left
        assert number_in(writer.latest(folder)) == after
        allowed = {*left, *files_of(1, 2, 3, 4), *(f"model.ckpt-3.previous{end}" for end in (".index", DATA))}
        assert set(files(folder)) <= allowed
        writer.save(folder, 5, values(5), keep=1)
        assert files(folder) == files_of(5)
        if not died:
            break
    assert not died
    assert last >= 5
    assert seen == {before, after}


@pytest.mark.parametrize(
    "names",
    [
        [f".model.ckpt-4.tmp-0123abcd{DATA}.tempstate17342"],
        [f".model.ckpt-4.tmp-0123abcd{DATA}"],
        [".model.ckpt-4.tmp-0123abcd.index.tempstate17342"],
        [f".model.ckpt-4.tmp-0123abcd{DATA}", ".model.ckpt-4.tmp-0123abcd.index"],
        [f"model.ckpt-4{DATA}", ".model.ckpt-4.tmp-0123abcd.index"],
        ["model.ckpt-1.meta", f"model.ckpt-1{DATA}", ".model.ckpt-1.tmp-0123abcd.index"],
        [".checkpoint.tmp-0123abcd"],
        [f"model.ckpt-3.previous{DATA}"],
        [f"model.ckpt-3.previous{DATA}", "model.ckpt-3.previous.index"],
    ],
)
def test_what_a_killed_save_left_is_removed_by_the_next(tmp_path, names):
    first_saves(tmp_path)
    for name in names:
        (tmp_path / name).write_text("rubbish")
    assert number_in(writer.latest(tmp_path)) == 3
    writer.save(tmp_path, 4, values(4), keep=2)
    assert files(tmp_path) == files_of(3, 4)


def test_a_process_killed_at_random_leaves_a_whole_checkpoint(tmp_path, project_root):
    script = pathlib.Path(__file__).with_name("saver_to_kill.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(tmp_path / "run")],
        env={**os.environ, "PYTHONPATH": str(project_root)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == 10, done.stderr[-2000:]
    assert all(whole is True for _, whole in results), results
    steps = [step for step, _ in results]
    assert steps == sorted(steps)
    writer.save(tmp_path / "run", steps[-1] + 5, values(1), keep=1)
    assert not [name for name in files(tmp_path / "run") if name.startswith(".")]


# -- no place to write ----------------------------------------------------------------------------


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError) as error:
        writer.save(tmp_path / "file" / "run", 3, values(3))
    assert str(error.value).startswith(f"cannot save the checkpoint {tmp_path}/file/run/model.ckpt-3: ")
    assert str(error.value).endswith("; free space or give another folder")
    assert "\n" not in str(error.value)


def test_a_full_disk_is_told_and_what_was_there_stays(tmp_path):
    first_saves(tmp_path)
    before = files(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:  # as near to a full disk as a test gets without one: no file may grow beyond 4000 bytes
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
        with pytest.raises(
            UserError, match=r"cannot save the checkpoint .*model\.ckpt-4: .*File too large; free space"
        ):
            writer.save(tmp_path, 4, values(4, size=10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files(tmp_path) == before
    assert number_in(writer.latest(tmp_path)) == 3


class FailingFiles:
    """`tf.io.gfile` whose operation number `last` that changes something fails."""

    def __init__(self, last):
        self.dying = DyingFiles(last)

    def __getattr__(self, name):
        function = getattr(self.dying, name)

        def failing(*arguments, **options):
            try:
                return function(*arguments, **options)
            except Killed:
                self.dying.left = 1000
                raise tf.errors.ResourceExhaustedError(None, None, "No space left on device") from None

        return failing


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_failing_at_any_file_operation_is_one_line_and_leaves_a_whole_checkpoint(tmp_path, monkeypatch, scenario):
    save, before, after, _ = SCENARIOS[scenario]
    for last in range(60):
        folder = tmp_path / f"{last}"
        first_saves(folder)
        failing = FailingFiles(last)
        monkeypatch.setattr(writer, "gfile", failing)
        with contextlib.suppress(UserError):
            save(folder)
        monkeypatch.setattr(writer, "gfile", tf.io.gfile)
        assert number_in(writer.latest(folder)) in (before, after)
        assert writer.latest(folder) == tf.train.latest_checkpoint(folder)
        save(folder)
        writer.save(folder, 5, values(5), keep=1)
        assert files(folder) == files_of(5)
        if failing.dying.left < 900:
            break
    assert failing.dying.left < 900


def test_an_old_checkpoint_that_cannot_be_deleted_is_a_warning(tmp_path, monkeypatch, caplog):
    first_saves(tmp_path)

    def refuse(prefix):
        raise tf.errors.PermissionDeniedError(None, None, "no")

    monkeypatch.setattr(writer, "_remove_checkpoint", refuse)
    with caplog.at_level("WARNING", logger="absl"):
        writer.save(tmp_path, 4, values(4), keep=2)
    assert "An old checkpoint in" in caplog.text
    assert number_in(writer.latest(tmp_path)) == 4
