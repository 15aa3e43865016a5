import contextlib
import hashlib

import pytest

from common import downloads
from common.errors import UserError

CONTENT = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture
def server(file_server):
    file_server.content = CONTENT
    file_server.url += "photos.tgz"
    return file_server


def test_a_file_arrives_whole_and_nothing_else_is_left(server, tmp_path):
    path = tmp_path / "new" / "photos.tgz"
    assert downloads.fetch(server.url, str(path), hashlib.sha256(CONTENT).hexdigest()) == str(path)
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == ["photos.tgz"]


def test_broken_connections_are_resumed_where_they_broke(server, tmp_path):
    server.break_after = [300_000, 300_000]
    path = tmp_path / "photos.tgz"
    downloads.fetch(server.url, str(path), hashlib.sha256(CONTENT).hexdigest(), wait=0)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-", "bytes=600000-"]


def test_a_later_call_goes_on_where_the_first_gave_up(server, tmp_path):
    path = tmp_path / "photos.tgz"
    server.break_after = [400_000, 0]
    with pytest.raises(UserError, match=r"the connection closed after 400000 of 1048576 bytes"):
        downloads.fetch(server.url, str(path), retries=0, wait=0, help="or bring it")
    assert not path.exists()
    downloads.fetch(server.url, str(path), wait=0)
    assert path.read_bytes() == CONTENT
    assert server.asked[-1] == "bytes=400000-"


def test_all_arrived_but_not_renamed(server, tmp_path):
    path = tmp_path / "photos.tgz"
    downloads.fetch(server.url, str(path))
    path.rename(tmp_path / "photos.tgz.part")
    (tmp_path / "photos.tgz.part.etag").write_text(f'"{hashlib.md5(CONTENT).hexdigest()}"')
    downloads.fetch(server.url, str(path))
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("ranges", [True, False])
def test_another_file_on_the_server_or_no_ranges_starts_anew(server, tmp_path, ranges):
    path = tmp_path / "photos.tgz"
    server.break_after = [400_000, 0]
    with contextlib.suppress(UserError):
        downloads.fetch(server.url, str(path), retries=0)
    server.ranges = ranges
    if ranges:
        server.content = CONTENT[::-1]
    downloads.fetch(server.url, str(path), wait=0)
    assert path.read_bytes() == server.content


def test_wrong_checksum_is_never_kept(server, tmp_path):
    path = tmp_path / "photos.tgz"
    with pytest.raises(UserError, match=r"its SHA-256 is [0-9a-f]{64}, expected 0000"):
        downloads.fetch(server.url, str(path), "0" * 64)
    assert not path.exists()
    assert not (tmp_path / "photos.tgz.part").exists()


def test_a_file_that_is_there_is_not_downloaded_but_checked(server, tmp_path):
    path = tmp_path / "photos.tgz"
    path.write_bytes(b"mine")
    assert downloads.fetch(server.url, str(path)) == str(path)
    assert server.asked == []
    with pytest.raises(UserError, match=r"is not the file expected from"):
        downloads.fetch(server.url, str(path), hashlib.sha256(CONTENT).hexdigest())
    assert path.read_bytes() == b"mine"


@pytest.mark.parametrize(("status", "tries"), [(404, 1), (403, 1), (503, 3)])
def test_what_will_not_pass_is_not_retried(server, tmp_path, status, tries):
    server.status = status
    with pytest.raises(UserError, match=f"cannot download {server.url}: the server says {status} .*; or bring it"):
        downloads.fetch(server.url, str(tmp_path / "x"), retries=2, wait=0, help="or bring it")
    assert len(server.asked) == tries


def test_offline_says_what_else_can_be_done(tmp_path):
    with pytest.raises(UserError, match=r"cannot download http://127.0.0.1:9/x: .*\(tried 2 times\); or bring it"):
        downloads.fetch("http://127.0.0.1:9/x", str(tmp_path / "x"), retries=1, wait=0, help="or bring it")
    with pytest.raises(UserError, match=r"expected an address that starts with http"):
        downloads.fetch("file:///etc/passwd", str(tmp_path / "x"))
