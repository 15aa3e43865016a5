"""convert_checkpoint.py as a user runs it."""

import pytest


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--checkpoint_path is missing"),
        (["--checkpoint_path=x", "--output=y", "--cast=float8"], "cast"),
        (["--checkpoint_path=x", "--prune"], "--prune needs a rule for what stays"),
    ],
)
def test_wrong_flags_exit_with_2(run_script, flags, message):
    assert message in run_script("convert_checkpoint.py", *flags, status=2).stderr


def test_a_run_is_folded_stripped_evaluated_and_pruned(run_script, pretrained, tmp_path):
    output = tmp_path / "small" / "model.ckpt"
    missing = run_script("convert_checkpoint.py", f"--checkpoint_path={tmp_path}", f"--output={output}", status=1)
    assert "there is no checkpoint in the folder" in missing.stderr
    done = run_script("convert_checkpoint.py", f"--checkpoint_path={pretrained}", f"--output={output}", "--strip")
    assert "  strip: " in done.stdout
    command = done.stdout.strip().splitlines()[-1]
    assert command == f"Use it: python eval_image_classifier.py --checkpoint_path={output}"
    run_script(
        "eval_image_classifier.py",
        f"--checkpoint_path={output}",
        f"--eval_dir={tmp_path / 'eval'}",
        "--dataset_split_name=validation",
    )
    assert (tmp_path / "eval" / "metrics.json").exists()
    dry = run_script(
        "convert_checkpoint.py", f"--checkpoint_path={pretrained}", "--prune", "--keep_last=1", "--dry_run"
    )
    assert "Would delete 0 of 1 checkpoints" in dry.stdout
