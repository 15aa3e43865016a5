import contextlib
import hashlib

import pytest

from common import downloads
from common.downloads import Remote
from common.errors import UserError
from datasets.downloads import Shelf

CONTENT = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture
def server(file_server):
    file_server.content = CONTENT
    file_server.url += "photos.tgz"
    return file_server


@pytest.fixture
def remote(server):
    digest = hashlib.sha256(CONTENT).hexdigest()
    return Remote("photos.tgz", (server.url,), len(CONTENT), digest)


@pytest.mark.parametrize("place", ["archive_dir", "dataset_dir"])
def test_a_file_brought_by_hand_is_taken_and_kept(server, remote, tmp_path, place):
    for name in ("archive_dir", "dataset_dir"):
        (tmp_path / name).mkdir()
    (tmp_path / place / "photos.tgz").write_bytes(CONTENT)
    shelf = Shelf(str(tmp_path / "dataset_dir"), str(tmp_path / "archive_dir"))
    with contextlib.ExitStack() as stack:
        assert shelf.get(remote, stack) == str(tmp_path / place / "photos.tgz")
    assert server.asked == []
    assert (tmp_path / place / "photos.tgz").exists()


@pytest.mark.parametrize("keep", [True, False])
def test_a_download_is_removed_after_success_and_kept_after_a_failure(server, remote, tmp_path, keep):
    shelf = Shelf(str(tmp_path), None, keep=keep)
    with contextlib.suppress(ZeroDivisionError), contextlib.ExitStack() as stack:
        shelf.get(remote, stack)
        raise ZeroDivisionError
    assert (tmp_path / "photos.tgz").read_bytes() == CONTENT
    (tmp_path / "photos.tgz").unlink()
    with contextlib.ExitStack() as stack:
        path = shelf.get(remote, stack)
        assert shelf.get(remote, stack) == path
    assert (tmp_path / "photos.tgz").exists() == keep
    assert server.asked == [None, None]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CONTENT[:-1], "has 1048575 bytes, the published file has 1048576"),
        (CONTENT[::-1], "its SHA-256 is [0-9a-f]{64}, the"),
    ],
)
def test_another_file_by_hand_is_refused_unless_asked_for(remote, tmp_path, content, message):
    (tmp_path / "photos.tgz").write_bytes(content)
    with pytest.raises(
        UserError, match=rf"photos.tgz.*{message}.*; copy it again, or take it as it is with --nocheck_arch"
    ):
        Shelf(str(tmp_path / "out"), str(tmp_path)).get(remote, contextlib.ExitStack())
    shelf = Shelf(str(tmp_path / "out"), str(tmp_path), check=False)
    assert shelf.get(remote, contextlib.ExitStack()) == str(tmp_path / "photos.tgz")
    assert shelf.identity([remote]) == [f"photos.tgz {len(content)} {hashlib.sha256(content).hexdigest()}"]


def test_a_mirror_helps_where_the_first_place_fails(server, remote, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads.time, "sleep", lambda _: None)
    remote = remote._replace(urls=("http://127.0.0.1:9/gone", server.url))
    Shelf(str(tmp_path), None, keep=True).get(remote, contextlib.ExitStack())
    assert (tmp_path / "photos.tgz").read_bytes() == CONTENT


def test_no_place_has_it(server, remote, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads.time, "sleep", lambda _: None)
    server.status = 404
    remote = remote._replace(urls=("http://127.0.0.1:9/gone", server.url))
    message = r"127.0.0.1:9/gone: .*; .*the server says 404.*; put photos.tgz, other.zip into --archive_dir="
    with pytest.raises(UserError, match=message):
        Shelf(str(tmp_path / "out"), str(tmp_path), names=["photos.tgz", "other.zip"]).get(
            remote, contextlib.ExitStack()
        )
    with pytest.raises(
        UserError, match=r"photos.tgz cannot be downloaded without an account; bring photos.tgz by hand"
    ):
        Shelf(str(tmp_path), None).get(remote._replace(urls=()), contextlib.ExitStack())


def test_a_page_instead_of_the_file_is_no_download(server, remote, tmp_path):
    """A portal or proxy that answers with a page of its own and status 200."""
    server.content = b"<html>Please log in"
    with pytest.raises(UserError, match=r"is not the file expected from .*: its SHA-256 is"):
        Shelf(str(tmp_path), None).get(remote, contextlib.ExitStack())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("page", "what"), [(b"<!-- proxy --><html>Log in", "an HTML page"), (b"Try later.", "something else")]
)
def test_what_is_no_archive_is_not_kept_where_no_checksum_is_known(server, remote, tmp_path, page, what):
    server.content = page
    with pytest.raises(UserError, match=rf"photos.tgz sent no archive but {what}, which is not kept; bring photos.tgz"):
        Shelf(str(tmp_path), None).get(remote._replace(sha256=None, bytes=None), contextlib.ExitStack())
    assert not (tmp_path / "photos.tgz").exists()


def test_identity_of_a_file_by_hand_follows_its_content(remote, tmp_path):
    unknown, by_hand = remote._replace(sha256=None), tmp_path / "photos.tgz"
    known = []
    for content in (CONTENT, CONTENT[::-1]):  # of one size
        by_hand.write_bytes(content)
        known.append(Shelf(str(tmp_path / "out"), str(tmp_path)).identity([unknown]))
    assert known[0] != known[1]
    # In the data set's own folder it may be a download that was kept.
    assert Shelf(str(tmp_path), None).identity([unknown]) == Shelf("gone", None).identity([unknown])
    by_hand.write_bytes(CONTENT)
    assert Shelf("out", str(tmp_path), check=False).identity([remote]) == [remote.sha256]


def test_identity_needs_no_download(remote, tmp_path):
    shelf = Shelf(str(tmp_path), None)
    unknown = Remote("other.zip", ("http://127.0.0.1:9/other.zip",))
    assert shelf.identity([remote, unknown]) == [remote.sha256, "other.zip"]
    (tmp_path / "photos.tgz").write_bytes(CONTENT)
    assert shelf.identity([remote]) == [remote.sha256]
