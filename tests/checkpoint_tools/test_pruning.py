"""Deleting old checkpoints of a run."""

import pytest
import tensorflow as tf

from checkpoint_tools import pruning
from checkpoints import folders, writer
from common.errors import UserError

STEPS = (100, 200, 300, 1000, 1100)


@pytest.fixture
def run(tmp_path):
    for step in STEPS:
        writer.save(tmp_path, step, {"a": tf.zeros(2)}, keep=0)
    (tmp_path / "best.ckpt-50.index").write_bytes((tmp_path / "model.ckpt-100.index").read_bytes())
    data = ".data-00000-of-00001"
    (tmp_path / f"best.ckpt-50{data}").write_bytes((tmp_path / f"model.ckpt-100{data}").read_bytes())
    return tmp_path


def steps(folder):
    names = [path.rsplit("/", 1)[-1] for path in folders.complete(str(folder))]
    return [int(name.rsplit("-", 1)[-1]) for name in names if name.startswith("model")]


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        ({"keep_last": 2}, [1000, 1100]),
        ({"keep_last": 1}, [1100]),
        ({"keep_every": 200}, [200, 1000, 1100]),
        ({"keep_steps": (300,)}, [300, 1100]),
        ({"keep_last": 2, "keep_every": 300, "keep_steps": (100,)}, [100, 300, 1000, 1100]),
        ({"keep_last": 9}, list(STEPS)),
    ],
)
def test_what_no_rule_keeps_goes_and_the_newest_never(run, rules, left):
    lines = pruning.prune(str(run), **rules)
    assert steps(run) == left
    assert lines[-1].startswith(f"Deleted {len(STEPS) - len(left)} of 5 checkpoints")
    assert folders.complete(str(run))[0].endswith("best.ckpt-50"), "another's checkpoint stays"
    state = tf.train.get_checkpoint_state(str(run))
    assert [int(path.rsplit("-", 1)[-1]) for path in state.all_model_checkpoint_paths] == left
    assert tf.train.latest_checkpoint(str(run)).endswith("model.ckpt-1100")
    assert not [path for path in run.iterdir() if path.name.startswith(".")]


def test_the_current_one_stays_even_where_others_have_later_steps(run):
    (run / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-200"\n')
    pruning.prune(str(run), keep_last=1)
    assert steps(run) == [200, 1100]


def test_a_dry_run_deletes_nothing_and_shows_what_would_go(run):
    before = sorted(path.name for path in run.iterdir())
    lines = pruning.prune(f"{run}/", keep_last=1, keep_steps=(200,), dry_run=True)
    assert sorted(path.name for path in run.iterdir()) == before
    assert lines[-1].startswith("Would delete 3 of 5 checkpoints, 0.0 MB; leave --dry_run out")
    rows = lines[0].splitlines()
    assert rows[1].split()[0] == "model.ckpt-100"
    assert rows[1].endswith("goes")
    assert rows[2].endswith("stays: named")
    assert rows[5].endswith("stays: the newest, one of the last 1")


@pytest.mark.parametrize(
    ("folder", "rules", "message"),
    [
        ("{run}/model.ckpt-100", {"keep_last": 1}, "must be the folder of a run"),
        ("{run}/empty", {"keep_last": 1}, "holds no checkpoint model.ckpt-STEP"),
        ("{run}", {"keep_steps": (150,)}, "has no checkpoint of step 150; it has 100, 200, 300, 1000, 1100"),
    ],
)
def test_wrong_uses(run, folder, rules, message):
    (run / "empty").mkdir()
    with pytest.raises(UserError, match=message):
        pruning.prune(folder.format(run=run), **rules)
    assert steps(run) == list(STEPS)
