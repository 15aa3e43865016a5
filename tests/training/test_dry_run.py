"""`--dry_run`: every variable with what would become of it, and nothing written."""

import dataclasses
import os

import pytest

from common.errors import UserError
from training import loop


def rows_of(text):
    """Name -> its line, of the table."""
    return {line.split()[0]: line for line in text.splitlines() if line.startswith("MobilenetV1/")}


@pytest.fixture
def shown(config, pretrained, capsys):
    """Runs a dry run with the flags given and returns what it prints."""

    def show(**flags):
        settings = {"checkpoint_path": str(pretrained), "checkpoint_exclude_scopes": "head", **flags}
        loop.train(dataclasses.replace(config, dry_run=True, **settings))
        return capsys.readouterr().out

    return show


def test_every_variable_has_a_row_and_the_totals_agree(shown):
    text = shown(trainable_scopes="last:2", learning_rate_multipliers="all=0.1,head=1", weight_decay=0.001)
    rows = rows_of(text)
    assert len(rows) == 137
    assert rows["MobilenetV1/Conv2d_0/weights"].split()[1:] == ["3x3x3x8", "no", "restored"]
    assert rows["MobilenetV1/Conv2d_0/BatchNorm/gamma"].split()[1:] == ["8", "no", "frozen", "restored"]
    last = rows["MobilenetV1/Conv2d_13_pointwise/weights"].split()[1:]
    assert last == ["1x1x256x256", "yes", "x0.1", "0.001", "restored"]
    average = rows["MobilenetV1/Conv2d_13_pointwise/BatchNorm/moving_mean"].split()[1:]
    assert average == ["256", "follows", "recomputed", "restored"]
    head = rows["MobilenetV1/Logits/Conv2d_1c_1x1/weights"]
    assert head.split()[2:5] == ["yes", "x1", "0.001"]
    assert head.endswith("new: truncated normal 0.09")
    totals = {line[:25].strip(): line.split()[-2:] for line in text.splitlines() if "MobilenetV1/" not in line}
    assert totals["all"][0] == "137"
    # Depthwise and pointwise kernel, gamma and beta of both, and the head's two.
    assert totals["trained"] == ["8", f"{3 * 3 * 256 + 256 * 256 + 4 * 256 + 256 * 4 + 4:,}"]
    assert totals["frozen"][0] == str(137 - 8 - 4)
    assert totals["following statistics"] == ["4", "1,024"]
    assert totals["restored as they are"][0] == "135"
    assert totals["new"] == ["2", f"{256 * 4 + 4:,}"]
    assert max(len(line) for line in rows.values() if line.endswith("restored")) <= 120


def test_from_scratch_everything_is_new_by_its_initializer(shown):
    rows = rows_of(shown(checkpoint_path=None, checkpoint_exclude_scopes=None))
    assert rows["MobilenetV1/Conv2d_0/weights"].endswith("new: truncated normal 0.09")
    assert rows["MobilenetV1/Conv2d_0/BatchNorm/gamma"].endswith("new: ones")
    assert rows["MobilenetV1/Conv2d_0/BatchNorm/moving_mean"].endswith("new: zeros")


def test_adapted_and_renamed_variables_say_from_what(shown):
    rows = rows_of(shown(use_grayscale=True))
    assert rows["MobilenetV1/Conv2d_0/weights"].endswith("restored: 3 channels summed to 1")


@pytest.mark.parametrize("mode", ["fitted", "frozen", "slim"])
def test_batch_norm_is_as_the_flag_says(shown, mode):
    rows = rows_of(shown(batch_norm=mode))
    assert rows["MobilenetV1/Conv2d_0/BatchNorm/beta"].split()[-2:] == [mode, "restored"]
    follows = "no" if mode == "frozen" else "follows"
    assert rows["MobilenetV1/Conv2d_0/BatchNorm/moving_mean"].split()[2] == follows


def test_nothing_is_written(config, pretrained, shown):
    before = sorted(os.walk(os.path.dirname(config.train_dir))), sorted(os.walk(pretrained))
    assert "nothing was written" in shown()
    assert not os.path.exists(config.train_dir)
    assert (sorted(os.walk(os.path.dirname(config.train_dir))), sorted(os.walk(pretrained))) == before


def test_a_run_that_would_go_on_shows_that(config, shown):
    loop.train(config)
    files = sorted(os.listdir(config.train_dir))
    text = shown()
    assert "resuming this run" in text
    assert "new" not in "".join(line.rpartition("  ")[2] for line in rows_of(text).values())
    assert sorted(os.listdir(config.train_dir)) == files


def test_wrong_flags_are_told_as_in_a_run(shown):
    with pytest.raises(UserError, match=r"Use --learning_rate_multipliers=head=1"):
        shown(learning_rate_multipliers="haed=1")
    with pytest.raises(UserError, match="--checkpoint_exclude_scopes=MobilenetV1/Logits"):
        shown(checkpoint_exclude_scopes=None)
