"""fetch_checkpoint.py as a user runs it."""

import hashlib
import json

import pytest


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "say one of --list, --name=NAME and --all_of=GLOB"),
        (["--list", "--name=vgg_16"], "say one of"),
        (["--all_of=vgg*", "--sha256=" + "0" * 64], "--sha256 is that of one file: say which with --name"),
        (["--name=vgg_16", "--sha256=12"], "expected 64 digits"),
        (["--name=vgg_16", "--archive_dir=nowhere"], "--archive_dir=nowhere: no such folder"),
        (["--name=vgg_16", "vgg_19"], "unexpected argument 'vgg_19'"),
    ],
)
def test_wrong_flags_exit_with_2(run_script, flags, message):
    assert message in run_script("fetch_checkpoint.py", *flags, status=2).stderr


def test_the_catalogue_is_a_table_or_json(run_script):
    table = run_script("fetch_checkpoint.py", "--list", "vgg*", "v3-small_224_0.75*").stdout.splitlines()
    assert [line.split()[0] for line in table] == [
        "zoo:",
        "vgg_16_2016_08_28",
        "vgg_19_2016_08_28",
        "v3-small_224_0.75_float",
        "3",
    ]
    assert "(mobilenet_v3_small)" in table[3]
    (vgg,) = json.loads(run_script("fetch_checkpoint.py", "--list", "--json", "vgg_16").stdout)
    assert (vgg["label_offset"], vgg["top1"], vgg["key"]) == (1, 71.5, "vgg_16_2016_08_28")


def test_a_file_is_fetched_into_a_folder(run_script, file_server, tmp_path):
    content = b"\x1f\x8b not really"
    file_server.files = {"vgg_16_2016_08_28.tar.gz": content}
    flags = ["--name=vgg_16", f"--output_dir={tmp_path}", f"--mirror={file_server.url}"]
    shown = run_script("fetch_checkpoint.py", *flags).stdout
    digest = hashlib.sha256(content).hexdigest()
    path = tmp_path / "vgg_16_2016_08_28.tar.gz"
    assert path.read_bytes() == content
    for words in (str(path), digest, "--labels_offset=1", f"--checkpoint_path={path} --model_name=vgg_16"):
        assert words in shown
    wrong = run_script("fetch_checkpoint.py", *flags, "--sha256=" + "0" * 64, status=1)
    assert "is not the file that was published" in wrong.stderr
    unknown = run_script("fetch_checkpoint.py", "--name=vgg16", status=1)
    assert "did you mean vgg_16" in unknown.stderr
