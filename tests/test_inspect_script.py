"""inspect_dataset.py as a user runs it."""

import json

import pytest


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--dataset_dir is missing: name a folder with TFRecords, or with class folders of photos"),
        (["--dataset_dir=x", "--checks=all"], "checks"),
        (["--dataset_dir=x", "--near_duplicates=17"], "near_duplicates"),
    ],
)
def test_wrong_flags_exit_with_2(run_script, flags, message):
    assert message in run_script("inspect_dataset.py", *flags, status=2).stderr


def test_a_sound_data_set_exits_with_0_and_a_bad_one_with_1(run_script, shapes, tmp_path):
    report = tmp_path / "report.json"
    done = run_script("inspect_dataset.py", f"--dataset_dir={shapes['target']}", f"--report={report}")
    assert "(TFRecords): 96 images in 4 classes, looked through in" in done.stdout
    assert "Nothing found that is worth a word." in done.stdout
    assert json.loads(report.read_text())["is_sound"]

    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k, path in enumerate(sorted((shapes["target"] / "examples").iterdir())[:2]):
            (tmp_path / "photos" / name / f"{k}.jpg").write_bytes(path.read_bytes())
    flags = [f"--dataset_dir={tmp_path / 'photos'}", f"--report={report}", "--checks=headers", "--json"]
    done = run_script("inspect_dataset.py", *flags, status=1)
    assert json.loads(done.stdout) == json.loads(report.read_text())
    assert json.loads(done.stdout)["summary"]["copies_of_other_classes"]["count"] == 2
