"""Opening whatever a user calls "the checkpoint", and what is said where it is none."""

import io
import os
import shutil
import tarfile

import numpy as np
import pytest
import tensorflow as tf

from checkpoints.reader import CheckpointReader, resolve
from common.errors import UserError

VALUES = {"Net/weights": np.arange(6.0, dtype=np.float32).reshape(2, 3), "global_step": np.int64(7)}


def saver_checkpoint(prefix, version=2, values=None, step=None):
    """Writes a checkpoint as the original did: a v1 graph, a session and a Saver."""
    os.makedirs(os.path.dirname(prefix), exist_ok=True)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variables = {name: tf.compat.v1.Variable(value, name=name) for name, value in (values or VALUES).items()}
        session.run(tf.compat.v1.global_variables_initializer())
        # The Saver logs that V1 is old, through Python's logging; that is no warning to fail on.
        saver = tf.compat.v1.train.Saver(variables, write_version=version)
        return saver.save(session, str(prefix), global_step=step)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A folder with model.ckpt-7 (V2) and a folder with one V1 file."""
    root = tmp_path_factory.mktemp("original")
    saver_checkpoint(f"{root}/v2/model.ckpt", step=7)
    saver_checkpoint(f"{root}/v1/net.ckpt", version=1)
    return root


@pytest.fixture
def folder(original, tmp_path):
    """A copy of the V2 folder that a test may damage; its state file no longer names the original."""
    folder = shutil.copytree(original / "v2", tmp_path / "run")
    state(folder, "model.ckpt-7")
    return folder


def message(path):
    with pytest.raises(UserError) as error:
        CheckpointReader(path)
    assert "\n" not in str(error.value)
    return str(error.value)


# -- what opens -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "prefix"),
    [
        ("v2/model.ckpt-7", "v2/model.ckpt-7"),
        ("v2/model.ckpt-7.index", "v2/model.ckpt-7"),
        ("v2/model.ckpt-7.meta", "v2/model.ckpt-7"),
        ("v2/model.ckpt-7.data-00000-of-00001", "v2/model.ckpt-7"),
        ("v2", "v2/model.ckpt-7"),
        ("v2/", "v2/model.ckpt-7"),
        ("v2/checkpoint", "v2/model.ckpt-7"),
        ("v1/net.ckpt", "v1/net.ckpt"),
        ("v1/net.ckpt.meta", "v1/net.ckpt"),
        ("v1", "v1/net.ckpt"),
    ],
)
def test_any_part_of_a_checkpoint_opens_it(original, path, prefix):
    opened = CheckpointReader(f"{original}/{path}")
    assert opened.path == f"{original}/{prefix}"
    assert opened.shapes == {"Net/weights": (2, 3), "global_step": ()}
    assert opened.dtypes == {"Net/weights": tf.float32, "global_step": tf.int64}
    assert opened.step == 7
    np.testing.assert_array_equal(opened.read(["Net/weights"])["Net/weights"], VALUES["Net/weights"])


def test_home_and_relative_paths(original, monkeypatch):
    monkeypatch.setenv("HOME", str(original))
    assert resolve("~/v2") == f"{original}/v2/model.ckpt-7"
    monkeypatch.chdir(original / "v1")
    assert resolve("net.ckpt") == "net.ckpt"
    assert CheckpointReader("net.ckpt").step == 7


def test_reading_is_one_operation_and_follows_the_names(original):
    opened = CheckpointReader(original / "v2")
    assert list(opened.read(["global_step", "Net/weights", "global_step"])) == ["global_step", "Net/weights"]
    assert opened.read([]) == {}
    with pytest.raises(KeyError, match="has no Net/biases"):
        opened.read(["Net/biases"])


def test_a_checkpoint_without_a_step_has_none(tmp_path):
    saver_checkpoint(f"{tmp_path}/model.ckpt", values={"w": np.zeros(3, np.float32)}, step=40)
    assert CheckpointReader(tmp_path).step is None


def test_partitioned_and_sharded_variables_are_read_whole(tmp_path):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        value = np.arange(40.0, dtype=np.float32).reshape(10, 4)
        tf.compat.v1.get_variable(
            "w",
            [10, 4],
            initializer=lambda shape, dtype, partition_info: value[partition_info.var_offset[0] :][: shape[0]],
            partitioner=tf.compat.v1.fixed_size_partitioner(3),
        )
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver(sharded=True).save(session, f"{tmp_path}/model.ckpt")
    opened = CheckpointReader(tmp_path)
    assert opened.shapes == {"w": (10, 4)}
    np.testing.assert_array_equal(opened.read(["w"])["w"], value)


def test_keras_checkpoints_are_recognised(tmp_path):
    tf.train.Checkpoint(weights=tf.Variable(tf.zeros([2]))).write(f"{tmp_path}/keras")
    opened = CheckpointReader(f"{tmp_path}/keras")
    assert opened.is_object_based
    assert opened.shapes["weights/.ATTRIBUTES/VARIABLE_VALUE"] == (2,)


def test_the_published_mobilenet_opens(shared_data):
    opened = CheckpointReader(shared_data / "mobilenet_v1_0.25_224")
    assert opened.path.endswith("mobilenet_v1_0.25_224.ckpt")
    assert opened.step == 0
    assert len([name for name in opened.shapes if name.startswith("MobilenetV1/")]) == 137
    assert opened.shapes["MobilenetV1/Logits/Conv2d_1c_1x1/biases"] == (1001,)
    values = opened.read(opened.shapes)
    # Its README: the background class is synthetic, with a bias of -20.
    assert values["MobilenetV1/Logits/Conv2d_1c_1x1/biases"][0] == -20
    assert values["MobilenetV1/Conv2d_0/weights"].shape == (3, 3, 3, 8)


# -- folders --------------------------------------------------------------------------------------


def copy_as(folder, name):
    for end in (".index", ".data-00000-of-00001"):
        shutil.copy(f"{folder}/model.ckpt-7{end}", f"{folder}/{name}{end}")


def state(folder, *paths):
    lines = [f'model_checkpoint_path: "{paths[-1]}"', *[f'all_model_checkpoint_paths: "{path}"' for path in paths]]
    (folder / "checkpoint").write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("listed", "newest"),
    [
        (None, "model.ckpt-100"),  # no state file: by number, not by letter
        (["model.ckpt-100", "model.ckpt-9"], "model.ckpt-9"),  # the state file's word
        (["/gone/model.ckpt-100", "/gone/model.ckpt-9"], "model.ckpt-9"),  # the folder was moved
        (["model.ckpt-9", "model.ckpt-200"], "model.ckpt-9"),  # its current one is gone
        (["model.ckpt-200"], "model.ckpt-100"),
    ],
)
def test_the_newest_checkpoint_of_a_folder(folder, listed, newest):
    copy_as(folder, "model.ckpt-100")
    copy_as(folder, "model.ckpt-9")
    if listed:
        state(folder, *listed)
    else:
        (folder / "checkpoint").unlink()
    assert resolve(folder) == f"{folder}/{newest}"


def test_falling_back_to_an_older_checkpoint_is_told(folder, caplog):
    state(folder, "model.ckpt-7", "model.ckpt-9")
    with caplog.at_level("WARNING", logger="absl"):
        assert resolve(folder) == f"{folder}/model.ckpt-7"
    assert f"{folder}/checkpoint names model.ckpt-9, which is not (wholly) there; using" in caplog.text


def test_a_copied_folder_is_read_itself_not_its_original(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    state(copy, f"{folder}/model.ckpt-7")
    assert resolve(copy) == f"{copy}/model.ckpt-7"


@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe garbage", b"model_checkpoint_path: "])
def test_a_broken_state_file_is_passed_over(folder, content):
    (folder / "checkpoint").write_bytes(content)
    assert resolve(folder) == f"{folder}/model.ckpt-7"


def test_several_checkpoints_without_a_step_are_not_guessed_at(folder):
    copy_as(folder, "a.ckpt")
    copy_as(folder, "b.ckpt")
    for name in ("checkpoint", "model.ckpt-7.index"):
        (folder / name).unlink()
    expected = f"holds 2 checkpoints and no word on which is newest: name one of {folder}/a.ckpt, {folder}/b.ckpt"
    assert expected in message(folder)


# -- what does not open ---------------------------------------------------------------------------


def test_nothing_there(folder):
    assert message("") == "the path of the checkpoint is empty"
    assert message(f"{folder}/gone/x/model.ckpt") == (
        f"there is no checkpoint {folder}/gone/x/model.ckpt: its folder does not exist (only {folder} does)"
    )
    assert message(f"{folder}/model.ckpt") == (
        f"there is no checkpoint {folder}/model.ckpt; did you mean {folder}/model.ckpt-7?"
    )
    assert message(f"{folder}/modle.ckpt-7").endswith(f"did you mean {folder}/model.ckpt-7?")
    assert message(f"{folder}/zzz").endswith(f"nor one of a similar name in {folder} (it holds model.ckpt-7)")


def test_a_folder_without_a_checkpoint_says_what_is_in_it(tmp_path, original):
    assert message(tmp_path).endswith(f"no checkpoint in the folder {tmp_path}: it is empty")
    (tmp_path / "a.txt").write_text("x")
    assert message(tmp_path).endswith("it holds a.txt")
    (tmp_path / "run").symlink_to(original / "v2")
    assert message(tmp_path).endswith(f"did you mean {tmp_path}/run?")
    (tmp_path / "saved_model.pb").write_bytes(b"x")
    assert "it is a SavedModel, which is an export" in message(tmp_path)
    (tmp_path / "net.tgz").write_bytes(b"x")
    assert message(tmp_path).endswith(f"give the archive in it, {tmp_path}/net.tgz")


@pytest.mark.parametrize(
    ("gone", "missing", "beside"),
    [
        ("model.ckpt-7.data-00000-of-00001", "model.ckpt-7.data-00000-of-00001", "model.ckpt-7.index"),
        ("model.ckpt-7.index", "model.ckpt-7.index", "its data"),
    ],
)
def test_a_part_of_a_checkpoint_names_the_missing_file(folder, gone, missing, beside):
    (folder / gone).unlink()
    prefix = f"{folder}/model.ckpt-7"
    expected = (
        f"the checkpoint {prefix} is not whole: {missing} is missing beside {beside}; copy or fetch all its files"
    )
    assert message(prefix) == expected
    assert message(folder).endswith(f"{prefix} is not whole, {missing} is missing")


def test_a_missing_shard_is_named(folder):
    (folder / "model.ckpt-7.data-00000-of-00001").rename(folder / "model.ckpt-7.data-00002-of-00003")
    expected = "model.ckpt-7.data-00000-of-00003, model.ckpt-7.data-00001-of-00003 is missing"
    assert expected in message(f"{folder}/model.ckpt-7")


@pytest.mark.parametrize("size", [0, 10])
def test_a_cut_off_data_file_is_found_when_opening(folder, size):
    data = folder / "model.ckpt-7.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:size])
    assert message(folder) == f"{data} is cut off: {size} bytes where its index promises 32; copy or fetch it again"


def test_a_damaged_data_file_is_found_when_reading(folder):
    data = folder / "model.ckpt-7.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[5] ^= 1
    data.write_bytes(content)
    with pytest.raises(
        UserError, match=r"model\.ckpt-7 is cut off or damaged \(.*Checksum does not match.*\); copy or"
    ):
        CheckpointReader(folder).read(["Net/weights"])


@pytest.mark.parametrize(("size", "what"), [(0, "is empty"), (50, "is cut off, or not a TensorFlow checkpoint at all")])
def test_a_cut_off_index_is_named(folder, size, what):
    index = folder / "model.ckpt-7.index"
    index.write_bytes(index.read_bytes()[:size])
    assert message(f"{folder}/model.ckpt-7") == f"{index} {what}; copy or fetch the checkpoint again"


def test_a_broken_index_with_a_whole_tail_is_no_traceback(folder):
    index = folder / "model.ckpt-7.index"
    content = index.read_bytes()
    index.write_bytes(b"\x55" * (len(content) - 8) + content[-8:])
    assert "cannot be opened as a checkpoint" in message(folder)


def test_a_cut_off_v1_file_is_named(original, tmp_path):
    (tmp_path / "net.ckpt").write_bytes((original / "v1" / "net.ckpt").read_bytes()[:-20])
    assert message(tmp_path / "net.ckpt") == (
        f"{tmp_path}/net.ckpt is cut off, or not a TensorFlow checkpoint at all; give a TensorFlow checkpoint: prefix, "
        f"folder, .tar.gz or V1 file"
    )


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("x.ckpt", b"", "is empty"),
        ("x.ckpt", b"version https://git-lfs.github.com/spec/v1\noid", "is a Git LFS pointer"),
        ("x.ckpt", b"\n<!DOCTYPE html><html>", "is an HTML page (a failed download?)"),
        ("x.ckpt", b"<?xml version='1.0'?><Error>", "is an XML document (a failed download?)"),
        ("x.zip", b"PK\x03\x04rest", "is a zip archive"),
        ("x.ckpt", b"\xff\xd8\xff\xe0", "is a JPEG image"),
        ("x.ckpt", b"some text", "is cut off, or not a TensorFlow checkpoint at all"),
    ],
)
def test_foreign_files_are_named(tmp_path, name, content, what):
    (tmp_path / name).write_bytes(content)
    assert f"{tmp_path / name} {what}" in message(tmp_path / name)
    assert "give a TensorFlow checkpoint" in message(tmp_path / name)


# -- archives -------------------------------------------------------------------------------------


def make_archive(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as tar:
        for name, source in members.items():
            if isinstance(source, bytes):
                info = tarfile.TarInfo(name)
                info.size = len(source)
                tar.addfile(info, io.BytesIO(source))
            else:
                tar.add(source, name)
    return path


def v2_members(original, inner):
    ends = (".index", ".data-00000-of-00001", ".meta")
    return {f"{inner}{end}": f"{original}/v2/model.ckpt-7{end}" for end in ends}


@pytest.mark.parametrize(("name", "mode"), [("n.tar.gz", "w:gz"), ("n.tgz", "w:gz"), ("n.tar", "w")])
def test_a_published_archive_is_extracted_once(original, tmp_path, name, mode, caplog):
    members = v2_members(original, "./net.ckpt") | {"./net_frozen.pb": b"big", "./README": b"text"}
    archive = make_archive(tmp_path / name, members, mode)
    with caplog.at_level("INFO", logger="absl"):
        opened = CheckpointReader(archive)
        again = CheckpointReader(archive)
    assert opened.step == 7
    assert again.path == opened.path
    assert opened.path.startswith(f"{archive}.extracted/")
    assert sorted(os.listdir(os.path.dirname(opened.path))) == ["net.ckpt.data-00000-of-00001", "net.ckpt.index"]
    assert [text for text in caplog.messages if text.startswith("Extracted")] == [
        f"Extracted the checkpoint of {archive} to {os.path.dirname(opened.path)}"
    ]


def test_a_v1_file_in_an_archive_opens(original, tmp_path):
    archive = make_archive(tmp_path / "inception.tar.gz", {"inception.ckpt": f"{original}/v1/net.ckpt"})
    assert CheckpointReader(archive).step == 7


def test_a_replaced_archive_is_extracted_again(original, tmp_path):
    archive = make_archive(tmp_path / "n.tgz", v2_members(original, "a.ckpt"))
    assert resolve(archive).endswith("/a.ckpt")
    make_archive(archive, v2_members(original, "b.ckpt") | {"x": b"123"})
    assert resolve(archive).endswith("/b.ckpt")


def test_an_archive_that_cannot_be_extracted_beside_goes_to_the_cache(original, tmp_path, monkeypatch):
    archive = make_archive(tmp_path / "n.tgz", v2_members(original, "a.ckpt"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    make_folder = os.makedirs

    def read_only(path, *arguments, **options):
        if str(path).startswith(f"{archive}.extracted"):
            raise PermissionError(13, "Permission denied")
        make_folder(path, *arguments, **options)

    monkeypatch.setattr(os, "makedirs", read_only)
    assert resolve(archive).startswith(f"{tmp_path}/cache/tf_slim_checkpoints/n.tgz-")
    monkeypatch.setattr(os, "makedirs", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    shutil.rmtree(tmp_path / "cache")
    assert "cannot extract" in message(archive)
    assert "No space left on device" in message(archive)


def test_of_several_checkpoints_in_an_archive_one_is_named(original, tmp_path):
    members = v2_members(original, "v3/ema/model-5") | v2_members(original, "v3/pristine/model-5")
    archive = make_archive(tmp_path / "v3.tgz", members)
    assert message(archive) == (
        f"{archive} holds 2 checkpoints; name one of {archive}/v3/ema/model-5, {archive}/v3/pristine/model-5"
    )
    assert CheckpointReader(f"{archive}/v3/ema/model-5").step == 7
    assert CheckpointReader(f"{archive}/v3/pristine").step == 7
    assert f"there is no checkpoint {archive}/v3/emma" in message(f"{archive}/v3/emma")


def test_the_archive_of_a_run_gives_its_newest(original, tmp_path):
    members = v2_members(original, "run/model.ckpt-9") | v2_members(original, "run/model.ckpt-10")
    assert resolve(make_archive(tmp_path / "run.tgz", members)).endswith("run/model.ckpt-10")


def test_members_cannot_leave_the_folder(original, tmp_path):
    members = v2_members(original, "good.ckpt") | {"../evil.ckpt": b"x", "/tmp_evil.ckpt": b"y"}
    archive = make_archive(tmp_path / "n.tgz", members)
    with tarfile.open(tmp_path / "link.tar", "w") as tar:
        link = tarfile.TarInfo("link.ckpt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert resolve(archive).endswith("good.ckpt")
    assert not (tmp_path / "n.tgz.extracted" / "evil.ckpt").exists()
    assert not os.path.exists("/tmp_evil.ckpt")
    assert "holds no checkpoint" in message(tmp_path / "link.tar")


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda content: content[: len(content) // 2], "is cut off or broken"),
        (lambda content: b"<!DOCTYPE html>", "is cut off or broken"),
        (lambda content: b"", "is cut off or broken"),
        (lambda content: content[:200] + b"\x00" * 40 + content[240:], "is cut off or broken"),
    ],
)
def test_a_broken_archive_is_named_and_leaves_nothing(original, tmp_path, damage, what):
    members = v2_members(original, "a.ckpt") | {"noise": os.urandom(50_000)}
    archive = make_archive(tmp_path / "n.tgz", members)
    archive.write_bytes(damage(archive.read_bytes()))
    text = message(archive)
    assert f"{archive} {what}" in text
    assert text.endswith("fetch it again")
    assert not [name for _, _, names in os.walk(f"{archive}.extracted") for name in names]


def test_archives_without_a_whole_checkpoint_say_so(original, tmp_path):
    archive = make_archive(tmp_path / "a.tgz", {"graph.pb": b"x", "labels.txt": b"y"})
    assert message(archive).endswith("it holds graph.pb, labels.txt")
    members = {"a.ckpt.index": f"{original}/v2/model.ckpt-7.index"}
    archive = make_archive(tmp_path / "b.tgz", members)
    assert message(archive) == f"the checkpoint in {archive} lacks files (index or data); fetch the archive again"
