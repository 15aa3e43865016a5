import contextlib
import hashlib
import http.server
import threading

import pytest

from common.errors import UserError
from datasets import downloads

CONTENT = bytes(range(256)) * 4096  # 1 MiB


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT with ranges; the server's `break_after` says after how many bytes each answer breaks off."""

    def do_GET(self):
        server = self.server
        server.asked.append(self.headers.get("Range"))
        if server.status != 200:
            self.send_error(server.status)
            return
        start = 0
        etag = f'"{hashlib.md5(server.content).hexdigest()}"'
        wanted = self.headers.get("Range")
        if wanted and server.ranges and self.headers.get("If-Range") == etag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= len(server.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(server.content) - start))
        self.end_headers()
        stop = start + (server.break_after.pop(0) if server.break_after else len(server.content))
        self.wfile.write(server.content[start:stop])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.content, server.asked, server.break_after = CONTENT, [], []
        server.ranges, server.status = True, 200
        server.url = f"http://127.0.0.1:{server.server_address[1]}/photos.tgz"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


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


@pytest.fixture
def remote(server):
    digest = hashlib.sha256(CONTENT).hexdigest()
    return downloads.Remote("photos.tgz", (server.url,), len(CONTENT), digest)


@pytest.mark.parametrize("place", ["archive_dir", "dataset_dir"])
def test_a_file_brought_by_hand_is_taken_and_kept(server, remote, tmp_path, place):
    for name in ("archive_dir", "dataset_dir"):
        (tmp_path / name).mkdir()
    (tmp_path / place / "photos.tgz").write_bytes(CONTENT)
    shelf = downloads.Shelf(str(tmp_path / "dataset_dir"), str(tmp_path / "archive_dir"))
    with contextlib.ExitStack() as stack:
        assert shelf.get(remote, stack) == str(tmp_path / place / "photos.tgz")
    assert server.asked == []
    assert (tmp_path / place / "photos.tgz").exists()


@pytest.mark.parametrize("keep", [True, False])
def test_a_download_is_removed_after_success_and_kept_after_a_failure(server, remote, tmp_path, keep):
    shelf = downloads.Shelf(str(tmp_path), None, keep=keep)
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
        downloads.Shelf(str(tmp_path / "out"), str(tmp_path)).get(remote, contextlib.ExitStack())
    shelf = downloads.Shelf(str(tmp_path / "out"), str(tmp_path), check=False)
    assert shelf.get(remote, contextlib.ExitStack()) == str(tmp_path / "photos.tgz")
    assert shelf.identity([remote]) == [f"photos.tgz {len(content)}"]


def test_a_mirror_helps_where_the_first_place_fails(server, remote, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads.time, "sleep", lambda _: None)
    remote = remote._replace(urls=("http://127.0.0.1:9/gone", server.url))
    downloads.Shelf(str(tmp_path), None, keep=True).get(remote, contextlib.ExitStack())
    assert (tmp_path / "photos.tgz").read_bytes() == CONTENT


def test_no_place_has_it(server, remote, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads.time, "sleep", lambda _: None)
    server.status = 404
    remote = remote._replace(urls=("http://127.0.0.1:9/gone", server.url))
    message = r"127.0.0.1:9/gone: .*; .*the server says 404.*; put photos.tgz, other.zip into --archive_dir="
    with pytest.raises(UserError, match=message):
        downloads.Shelf(str(tmp_path / "out"), str(tmp_path), names=["photos.tgz", "other.zip"]).get(
            remote, contextlib.ExitStack()
        )
    with pytest.raises(
        UserError, match=r"photos.tgz cannot be downloaded without an account; bring photos.tgz by hand"
    ):
        downloads.Shelf(str(tmp_path), None).get(remote._replace(urls=()), contextlib.ExitStack())


def test_a_page_instead_of_the_file_is_no_download(server, remote, tmp_path):
    """A portal or proxy that answers with a page of its own and status 200."""
    server.content = b"<html>Please log in"
    with pytest.raises(UserError, match=r"is not the file expected from .*: its SHA-256 is"):
        downloads.Shelf(str(tmp_path), None).get(remote, contextlib.ExitStack())
    assert not (tmp_path / "photos.tgz").exists()


def test_identity_needs_no_download(remote, tmp_path):
    shelf = downloads.Shelf(str(tmp_path), None)
    unknown = downloads.Remote("other.zip", ("http://127.0.0.1:9/other.zip",))
    assert shelf.identity([remote, unknown]) == [remote.sha256, "other.zip"]
    (tmp_path / "photos.tgz").write_bytes(CONTENT)
    assert shelf.identity([remote]) == [remote.sha256]
