import io
import tarfile
import zipfile

import pytest

from common.errors import UserError
from datasets import archives


def tar(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, value in members.items():
            member = tarfile.TarInfo(name)
            if isinstance(value, bytes):
                member.size = len(value)
                archive.addfile(member, io.BytesIO(value))
            else:
                member.type, member.linkname = tarfile.SYMTYPE, value
                archive.addfile(member)
    return str(path)


def zip_file(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return str(path)


@pytest.mark.parametrize("make", [tar, zip_file])
def test_members_land_in_the_folder(tmp_path, make):
    archives.extract(make(tmp_path / "a", {"photos/cat/1.jpg": b"one", "photos/2.jpg": b"two"}), str(tmp_path / "out"))
    assert (tmp_path / "out" / "photos" / "cat" / "1.jpg").read_bytes() == b"one"
    assert (tmp_path / "out" / "photos" / "2.jpg").read_bytes() == b"two"


@pytest.mark.parametrize(
    ("make", "members"),
    [
        (tar, {"../outside": b"x"}),
        (tar, {"/../../outside": b"x"}),
        (tar, {"link": "../..", "link/outside": b"x"}),
        (zip_file, {"../outside": b"x"}),
        (zip_file, {"a/../../outside": b"x"}),
    ],
)
def test_nothing_lands_outside_the_folder(tmp_path, make, members):
    with pytest.raises(UserError, match=r"a is not extracted"):
        archives.extract(make(tmp_path / "a", members), str(tmp_path / "deep" / "out"))
    assert not list(tmp_path.rglob("outside"))


@pytest.mark.parametrize("make", [tar, zip_file])
def test_damaged_archive_is_named(tmp_path, make):
    path = tmp_path / "a"
    whole = make(path, {f"{k}.bin": bytes(range(256)) * 50 for k in range(20)})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"a is damaged or not a .tar.gz or .zip archive"):
        archives.extract(whole, str(tmp_path / "out"))


def test_no_archive(tmp_path):
    (tmp_path / "x").write_bytes(b"hello")
    with pytest.raises(UserError, match=r"x is damaged or not a .tar.gz or .zip archive"):
        archives.extract(str(tmp_path / "x"), str(tmp_path / "out"))
    with pytest.raises(UserError, match=r"no such archive: .*missing"):
        archives.extract(str(tmp_path / "missing"), str(tmp_path / "out"))
