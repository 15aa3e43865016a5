import contextlib
import io
import tarfile
import zipfile

import pytest

from common.errors import UserError
from datasets import file_trees
from datasets.image_headers import BadImage

FILES = {"a/2.jpg": b"two", "a/deep/1.jpg": b"one" * 500, "b.txt": b""}


@pytest.fixture
def places(tmp_path, make_tar):
    for name, data in FILES.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(data)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a/", b"")
        for name, data in FILES.items():
            archive.writestr(name, data)
    make_tar(tmp_path / "x.tar", {f"./{name}": data for name, data in reversed(FILES.items())})
    inner = make_tar(tmp_path / "inner.tar", {"2.jpg": b"two", "deep/1.jpg": b"one" * 500})
    make_tar(tmp_path / "nested.tar", {"b.txt": b"", "a.tar": inner.read_bytes()})
    return {name: str(tmp_path / name) for name in ("folder", "x.zip", "x.tar", "nested.tar")}


@pytest.mark.parametrize("name", ["folder", "x.zip", "x.tar", "nested.tar"])
def test_files_are_listed_in_order_and_read(places, name):
    with contextlib.ExitStack() as stack:
        tree = file_trees.open_tree(places[name], stack)
        assert sorted(tree.files()) == [(path, len(data)) for path, data in sorted(FILES.items())]
        assert list(tree.files()) == list(tree.files())
        assert {path: tree.read(path) for path, _ in tree.files()} == FILES
        with pytest.raises(BadImage, match=r"has no such file|cannot be read: No such file"):
            tree.read("a/3.jpg")


def test_links_in_a_tar_are_passed_over(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        link = tarfile.TarInfo("passwd.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo("a.jpg"), io.BytesIO())
    with contextlib.ExitStack() as stack:
        assert [path for path, _ in file_trees.open_tree(str(tmp_path / "x.tar"), stack).files()] == ["a.jpg"]


def test_what_is_no_tree(tmp_path, make_tar):
    make_tar(tmp_path / "x.tar.gz", FILES, "w:gz")
    (tmp_path / "x.jpg").write_bytes(b"\xff\xd8")
    cases = {
        "x.tar.gz": "is not an uncompressed .tar or a .zip archive",
        "x.jpg": "is not an uncomp",
        "gone": "no such fol",
    }
    for name, message in cases.items():
        with contextlib.ExitStack() as stack, pytest.raises(UserError, match=message):
            file_trees.open_tree(str(tmp_path / name), stack)


def test_damage_is_told(places, tmp_path):
    data = (tmp_path / "x.zip").read_bytes()
    (tmp_path / "x.zip").write_bytes(data.replace(b"two", b"owt"))
    short = tmp_path / "nested.tar"
    with contextlib.ExitStack() as stack:
        with pytest.raises(BadImage, match=r"cannot be read from x.zip: (Bad CRC-32|Error -3)"):
            file_trees.open_tree(places["x.zip"], stack).read("a/2.jpg")
        tree = file_trees.open_tree(places["nested.tar"], stack)
        list(tree.files())
        short.write_bytes(short.read_bytes()[:2000])
        with pytest.raises(BadImage, match=r"nested.tar ends inside it"):
            tree.read("a/deep/1.jpg")


@pytest.mark.parametrize("name", ["x.tar", "nested.tar"])
@pytest.mark.parametrize("damage", ["cut", "cut between members", "overwritten"])
def test_a_tar_that_is_damaged_between_its_members_is_told(places, tmp_path, name, damage):
    path = tmp_path / name
    data = path.read_bytes()
    with tarfile.open(path) as archive:
        header = archive.getmembers()[1].offset
    ends = {"cut": data[: header + 100], "cut between members": data[:header]}
    path.write_bytes(ends.get(damage, data[:header] + b"x" * 512 + data[header + 512 :]))
    with contextlib.ExitStack() as stack, pytest.raises(UserError, match=rf"{name} is damaged .* at byte {header}"):
        list(file_trees.open_tree(str(path), stack).files())


def test_links_of_a_folder_are_followed_but_not_round(places, tmp_path):
    (tmp_path / "folder" / "other").symlink_to("a")
    for name, target in {"a/root": "..", "a/above": tmp_path, "itself": "."}.items():
        (tmp_path / "folder" / name).symlink_to(target)
    with contextlib.ExitStack() as stack:
        tree = file_trees.open_tree(places["folder"], stack)
        files = [path for path, _ in tree.files()]
    assert files == ["b.txt", "a/2.jpg", "a/deep/1.jpg", "other/2.jpg", "other/deep/1.jpg"]
    links = ["a/above", "a/root", "itself", "other/above", "other/root"]
    assert tree.left_out == [(link, "link to a folder above it") for link in links]


def test_identity_follows_names_and_sizes(places, tmp_path):
    before = file_trees.identity(places["folder"])
    assert file_trees.identity(places["folder"]) == before
    (tmp_path / "folder" / "b.txt").write_bytes(b"x")
    assert file_trees.identity(places["folder"]) != before
    assert file_trees.identity(places["x.tar"]) == "x.tar 10240"


@pytest.mark.parametrize("name", ["folder", "x.zip", "x.tar"])
def test_what_is_too_large_is_not_read(places, name, monkeypatch):
    monkeypatch.setattr(file_trees, "MAX_BYTES", 1000)
    with contextlib.ExitStack() as stack:
        tree = file_trees.open_tree(places[name], stack)
        assert dict(tree.files())["a/deep/1.jpg"] == 1500
        with pytest.raises(BadImage, match="0 MB: too large for an image"):
            tree.read("a/deep/1.jpg")
