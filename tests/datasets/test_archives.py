import gzip
import io
import shutil
import stat
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
    with pytest.raises(UserError, match=r"x is damaged or not a .tar.gz or .zip archive") as told:
        archives.extract(str(tmp_path / "x"), str(tmp_path / "out"))
    assert "\n" not in str(told.value)
    with pytest.raises(UserError, match=r"no such archive: .*missing"):
        archives.extract(str(tmp_path / "missing"), str(tmp_path / "out"))


def test_a_tar_cut_inside_a_header_is_damaged(tmp_path):
    path = tmp_path / "a"
    whole = tar(path, {"1.bin": bytes(512), "2.bin": bytes(512)}, "w")
    path.write_bytes(path.read_bytes()[: 2 * 512 + 100])
    for read in (lambda: archives.extract(whole, str(tmp_path / "out")), lambda: list(archives.read_files(whole, len))):
        with pytest.raises(UserError, match=r"a is damaged .*truncated header at byte 1024"):
            read()


def special(kind):
    def make(path, name):
        with tarfile.open(path, "w") as archive:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "target"
            archive.addfile(member)
        return str(path)

    return make


def zip_link(path, name):
    with zipfile.ZipFile(path, "w") as archive:
        member = zipfile.ZipInfo(name)
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "/etc")
    return str(path)


@pytest.mark.parametrize(
    "make",
    [special(tarfile.SYMTYPE), special(tarfile.LNKTYPE), special(tarfile.CHRTYPE), special(tarfile.FIFOTYPE), zip_link],
)
def test_links_and_devices_are_refused(tmp_path, make):
    with pytest.raises(UserError, match=r"a is not extracted: .*(link|special file|device)"):
        archives.extract(make(tmp_path / "a", "x"), str(tmp_path / "out"))
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("make", [tar, zip_file])
@pytest.mark.parametrize(
    ("limit", "message"),
    [("_ALWAYS_ALLOWED", "grows to more than 200 times its size"), ("disk", "needs more space than is free")],
)
def test_bombs_are_refused(tmp_path, monkeypatch, make, limit, message):
    path = make(tmp_path / "a", {f"{k}.bin": bytes(2_000_000) for k in range(3)})
    if limit == "disk":
        usage = shutil.disk_usage(tmp_path)._replace(free=5_000_000)
        monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: usage)
    else:
        monkeypatch.setattr(archives, limit, 1_000_000)
        if make is zip_file:  # stored, not packed: shrink what is believed of it
            monkeypatch.setattr(archives, "_MAX_GROWTH", 0.5)
            message = "grows to more than 0.5 times"
    with pytest.raises(UserError, match=message):
        archives.extract(path, str(tmp_path / "out"))
    assert sum(file.stat().st_size for file in (tmp_path / "out").iterdir()) <= 5_000_000


def test_an_archive_of_a_reasonable_size_is_extracted(tmp_path):
    archives.extract(tar(tmp_path / "a", {"1.bin": bytes(5_000_000)}), str(tmp_path / "out"))
    assert (tmp_path / "out" / "1.bin").stat().st_size == 5_000_000


@pytest.mark.parametrize("make", [tar, zip_file])
def test_files_are_read_without_being_extracted(tmp_path, make):
    path = make(tmp_path / "a", {"../x/1.bin": b"one", "2.bin": b"two", "3.txt": b"three"})
    assert dict(archives.read_files(path, lambda name: name.endswith(".bin"))) == {
        "../x/1.bin": b"one",
        "2.bin": b"two",
    }
    with pytest.raises(UserError, match=r"a: 3.txt has 0 MB, at most 0 MB are expected"):
        list(archives.read_files(path, lambda name: name == "3.txt", max_bytes=4))
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_compressed_or_not(tmp_path):
    (tmp_path / "a").write_bytes(b"hello")
    (tmp_path / "b").write_bytes(gzip.compress(b"hello"))
    assert [archives.read_compressed(str(tmp_path / name), 100) for name in "ab"] == [b"hello", b"hello"]
    assert archives.read_compressed(str(tmp_path / "b"), 2) == b"hel"
