"""`zoo:` paths: fetched, checked, cached."""

import hashlib
import io
import json
import tarfile

import pytest
import tensorflow as tf

from checkpoints import reader, writer, zoo
from common import downloads, published
from common.errors import UserError

NAME = "tiny_2016_08_28"


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> bytes:
    """A .tar.gz with a small checkpoint in it."""
    folder = tmp_path_factory.mktemp("archive")
    writer.save(folder, 7, {"Tiny/weights": tf.ones([2, 3])})
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for path in sorted(folder.glob("model.ckpt-7.*")):
            tar.add(path, f"./{path.name}")
    return data.getvalue()


@pytest.fixture
def zoo_of_one(monkeypatch, tmp_path, file_server, archive):
    """Sets up a catalogue with one file, which the local server has; returns a function that changes its facts."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(zoo.FOLDER_VARIABLE, raising=False)
    monkeypatch.delenv(zoo.MIRROR_VARIABLE, raising=False)
    monkeypatch.setattr(downloads.time, "sleep", lambda _: None)
    file_server.files = {f"{NAME}.tar.gz": archive}

    def set_up(**facts):
        facts = {"folder": file_server.url, "network": "tiny", **facts}
        entry = published.PublishedCheckpoint(f"{NAME}.tar.gz", **facts)
        monkeypatch.setattr(published, "catalogue", lambda: (entry,))
        return entry

    set_up()
    return set_up


@pytest.mark.parametrize("path", [f"zoo:{NAME}", "zoo:tiny", f"zoo:{NAME}.tar.gz"])
def test_a_zoo_path_is_fetched_once_and_opened_as_any_other(zoo_of_one, file_server, tmp_path, path):
    opened = reader.open_checkpoint(path)
    assert opened.given == path
    assert (opened.shapes["Tiny/weights"], opened.step) == ((2, 3), 7)
    assert opened.path.startswith(str(tmp_path / "cache" / "tf_slim_checkpoints"))
    file_server.shutdown()
    assert reader.CheckpointReader(path).step == 7, "from the cache"
    assert len(file_server.asked) == 1


def test_an_unknown_name_lists_near_ones(zoo_of_one):
    with pytest.raises(UserError, match=r"zoo:tinny: .*did you mean tiny"):
        reader.open_checkpoint("zoo:tinny")


def test_a_download_that_broke_off_goes_on(zoo_of_one, file_server, archive):
    file_server.break_after = [1000, 1000]
    assert reader.open_checkpoint("zoo:tiny").step == 7
    assert file_server.asked == [None, "bytes=1000-", "bytes=2000-"][: 1 + len(archive) // 1000]


def test_a_known_checksum_is_enforced(zoo_of_one, file_server, archive, tmp_path):
    zoo_of_one(sha256=hashlib.sha256(archive).hexdigest())
    assert reader.open_checkpoint("zoo:tiny").step == 7
    other = zoo_of_one(sha256="0" * 64)
    with pytest.raises(UserError, match=r"is not the file expected from http.*expected 0000"):
        zoo.fetch(other, str(tmp_path / "elsewhere"))
    assert not (tmp_path / "elsewhere" / other.archive).exists()


def test_without_a_published_checksum_the_first_fetch_counts(zoo_of_one, file_server, archive, tmp_path):
    entry = zoo_of_one()
    path = zoo.fetch(entry)
    note = json.loads((tmp_path / "cache" / "tf_slim_checkpoints" / f"{entry.archive}.sha256.json").read_text())
    assert note["sha256"] == hashlib.sha256(archive).hexdigest()
    with open(path, "ab") as file:
        file.write(b"more")
    with pytest.raises(UserError, match=r"is not the file that was published.*sha256.json.*remove it.*--sha256="):
        zoo.fetch(entry)
    tf.io.gfile.remove(path)
    file_server.files[entry.archive] = archive + b"more"
    with pytest.raises(UserError, match="is not the file expected from"):
        zoo.fetch(entry)
    changed = hashlib.sha256(archive + b"more").hexdigest()
    assert zoo.fetch(entry, sha256=changed) == path, "the user's word wins"
    assert zoo.fetch(entry) == path, "and is remembered"


def test_a_page_of_a_proxy_is_no_archive(zoo_of_one, file_server, tmp_path):
    entry = zoo_of_one()
    file_server.files[entry.archive] = b"<html>Please log in"
    with pytest.raises(UserError, match="is no archive"):
        zoo.fetch(entry)
    assert not list((tmp_path / "cache" / "tf_slim_checkpoints").glob("tiny*"))


def test_files_brought_by_hand_need_no_network(zoo_of_one, file_server, archive, tmp_path, monkeypatch):
    entry = zoo_of_one(folder="http://127.0.0.1:9/", sha256=hashlib.sha256(archive).hexdigest())
    (tmp_path / "brought").mkdir()
    (tmp_path / "brought" / entry.archive).write_bytes(archive)
    monkeypatch.setenv(zoo.FOLDER_VARIABLE, str(tmp_path / "brought"))
    assert reader.open_checkpoint("zoo:tiny").step == 7
    (tmp_path / "brought" / entry.archive).write_bytes(archive + b"more")
    with pytest.raises(UserError, match="is not the file that was published"):
        zoo.fetch(entry)
    monkeypatch.setenv(zoo.FOLDER_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"TF_SLIM_ZOO=.*nowhere: no such folder"):
        zoo.fetch(entry)


def test_a_file_that_was_checked_is_not_read_again(zoo_of_one, archive, monkeypatch):
    entry = zoo_of_one(sha256=hashlib.sha256(archive).hexdigest())
    zoo.fetch(entry)
    monkeypatch.setattr(downloads, "sha256_of", None)
    zoo.fetch(entry)


def test_a_mirror_takes_the_place_of_the_published_addresses(zoo_of_one, file_server, monkeypatch):
    entry = zoo_of_one(folder="http://127.0.0.1:9/")
    monkeypatch.setenv(zoo.MIRROR_VARIABLE, file_server.url + "mirror/")
    assert zoo.fetch(entry).endswith(entry.archive)


def test_without_a_network_the_error_says_the_address_and_where_the_file_goes(zoo_of_one, tmp_path):
    entry = zoo_of_one(folder="http://127.0.0.1:9/models/")
    cache = tmp_path / "cache" / "tf_slim_checkpoints"
    message = rf"cannot download http://127.0.0.1:9/models/{NAME}.tar.gz: .*put {NAME}.tar.gz into {cache}, .*SLIM_ZOO"
    with pytest.raises(UserError, match=message) as caught:
        reader.open_checkpoint("zoo:tiny")
    assert "\n" not in str(caught.value)
    assert not (cache / entry.archive).exists()


def test_a_place_that_cannot_be_written_is_told(zoo_of_one, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot make the folder .*set XDG_CACHE_HOME"):
        reader.open_checkpoint("zoo:tiny")
