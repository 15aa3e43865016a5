"""Downloads that go on where they broke off and are checked when they are whole."""

import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, NamedTuple

from absl import logging

from common.errors import UserError
from common.progress import Progress

_TIMEOUT = 30  # seconds without a byte
_BLOCK = 1 << 18
_WORTH_RETRYING = frozenset([408, 425, 429, 500, 502, 503, 504])


class Remote(NamedTuple):
    """A file that is published.

    Attributes:
        name: of the file.
        urls: where it can be downloaded, in the order in which they are tried; none if it cannot without an account.
        bytes: its size, None if not known.
        sha256: hex digest of its content, None if none is published.
    """

    name: str
    urls: tuple[str, ...] = ()
    bytes: int | None = None
    sha256: str | None = None


class _Broken(Exception):
    """The connection failed; trying again may help."""


def fetch(
    url: str, path: str, sha256: str | None = None, *, retries: int = 4, wait: float = 1.0, help: str = ""
) -> str:
    """Downloads `url` to `path`.

    What has arrived is kept in `PATH.part`; a later try, in this call or another, asks for the rest only, if the server
    says that the file is still the same. `path` appears when all has arrived and the checksum is right.

    Args:
        url: http or https.
        path: file to write; one that is there is returned as it is, if the checksum is right.
        sha256: hex digest of the whole file, if known.
        retries: tries after the first that bring nothing; a try that brings bytes starts the count anew.
        wait: seconds before the second try, doubled before each further one.
        help: what else the user can do, for the error.

    Raises:
        UserError: it cannot be had, or is not what it should be.
    """
    name_in(url)  # fails for what is no address
    if os.path.exists(path):
        _check(path, sha256, url, help)
        return path
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    part = path + ".part"
    failures = 0
    while True:
        before = _size(part)
        try:
            _fetch_rest(url, part)
            break
        except _Broken as error:
            failures = 1 if _size(part) > before else failures + 1
            if failures > retries:
                tail = f"; {help}" if help else ""
                raise UserError(f"cannot download {url}: {error} (tried {retries + 1} times){tail}") from error
            pause = wait * 2 ** (failures - 1)
            logging.info("Download interrupted (%s); trying again in %.0f s.", error, pause)
            time.sleep(pause)
        except urllib.error.HTTPError as error:
            tail = f"; {help}" if help else ""
            raise UserError(f"cannot download {url}: the server says {error.code} {error.reason}{tail}") from error
    _check(part, sha256, url, help)
    os.replace(part, path)
    _remove(part + ".etag")
    return path


def name_in(url: str) -> str:
    """Returns the name of the file that an address names, '' if it names none.

    Raises:
        UserError: it is no address of the net.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        is_address = parts.scheme in ("http", "https") and parts.hostname
    except ValueError:
        is_address = False
    if not is_address:
        raise UserError(f"cannot download {url}: expected an address that starts with http:// or https://, then a host")
    return parts.path.rpartition("/")[2]


def fetch_any(remote: Remote, path: str, help: str = "", retries: int = 4) -> str:
    """Downloads a file from the first of its places that has it.

    Args:
        remote: the file.
        path: file to write, as `fetch` does.
        help: what else the user can do, for the error.
        retries: as in `fetch`.

    Raises:
        UserError: none of them has it, or what came is not the published file.
    """
    reasons = []
    for url in remote.urls:
        logging.info("Downloading %s ...", url)
        try:
            alone = len(remote.urls) == 1
            return fetch(url, path, remote.sha256, retries=retries, help=help if alone else "")
        except UserError as error:
            if len(remote.urls) == 1:
                raise
            logging.info("%s", error)
            reasons.append(str(error))
    raise UserError(f"{'; '.join(reasons)}; {help}")


def sha256_of(path: str) -> str:
    """Returns the hex SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _check(path: str, sha256: str | None, url: str, help: str) -> None:
    if sha256 and (found := sha256_of(path)) != sha256.lower():
        remedy = "remove it and try again"
        if path.endswith(".part"):
            _remove(path)
            _remove(path + ".etag")
            remedy = "it is removed again; try once more"
        raise UserError(
            f"{path} is not the file expected from {url}: its SHA-256 is {found}, expected {sha256.lower()}; "
            f"{remedy}{', or ' + help if help else ''}"
        )


def _fetch_rest(url: str, part: str) -> None:
    """Appends to `part` what is missing of it; `_Broken` for a failure that may pass."""
    start, validator = _size(part), _read(part + ".etag")
    if not validator:
        start = 0  # nothing says that the file on the server is the one that was begun
    headers = {"User-Agent": "tf-slim-zoo"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": validator}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT) as response:
            _receive(response, part, start)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing after `start`: all had arrived, or the file has changed
            total = re.search(r"/(\d+)$", error.headers.get("Content-Range", ""))
            if total and int(total[1]) == start:
                return
            _remove(part)
            raise _Broken("the file on the server has changed") from error
        if error.code in _WORTH_RETRYING:
            raise _Broken(f"the server says {error.code} {error.reason}") from error
        raise
    except urllib.error.URLError as error:
        raise _Broken(str(error.reason)) from error
    except (ConnectionError, TimeoutError, http.client.HTTPException) as error:
        raise _Broken(str(error) or type(error).__name__) from error


def _receive(response: Any, part: str, start: int) -> None:
    if start and not (response.status == 206 and f"bytes {start}-" in response.headers.get("Content-Range", "")):
        start = 0  # the server sends the whole file
    length = response.headers.get("Content-Length")
    total = start + int(length) if length else None
    etag = response.headers.get("ETag", "")
    validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
    progress, done = Progress("downloading", total, "MB", start), start
    try:
        with open(part + ".etag", "w", encoding="utf-8") as file:
            file.write(validator)
        with open(part, "ab" if start else "wb") as file:
            while block := response.read(_BLOCK):
                _write(file, block)
                done += len(block)
                progress.update(done)
    finally:
        progress.close()
    if total is not None and done < total:
        raise _Broken(f"the connection closed after {done} of {total} bytes")


def _write(file: Any, block: bytes) -> None:
    try:
        file.write(block)
    except OSError as error:
        raise UserError(f"cannot write {file.name}: {error.strerror}; free some space and try again") from error


def _size(path: str) -> int:
    return os.path.getsize(path) if os.path.exists(path) else 0


def _read(path: str) -> str:
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as file:
        return file.read().strip()


def _remove(path: str) -> None:
    if os.path.exists(path):
        os.remove(path)
