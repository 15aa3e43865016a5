"""A folder with everything that goes wrong with photos: each is converted or told, and nothing good is lost."""

import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from common.errors import UserError
from datasets import dataset_factory, image_folder, images, records
from datasets.convert import convert


@pytest.fixture
def corpus(photos, encoded, pixels, bomb):
    cat = photos / "cat"
    exif = Image.Exif()
    exif[0x0112] = 8
    palette = Image.fromarray(pixels(9)).convert("P")
    frames = [Image.fromarray(pixels(k)) for k in range(3)]
    good = {
        "is_a_png.jpg": encoded(40, "PNG"),
        "is_a_jpeg": encoded(41),
        "cmyk.jpg": encoded(Image.fromarray(pixels(42)).convert("CMYK")),
        "deep.png": encoded(Image.fromarray(np.full([5, 7], 40000, np.uint16)), "PNG"),
        "moving.gif": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "palette.png": encoded(palette, "PNG"),
        "palette_alpha.png": encoded(palette, "PNG", transparency=3),
        "turned.jpg": encoded(43, exif=exif),
        "sign.ppm": encoded(44, "PPM"),
        "photo.webp": encoded(45, "WEBP"),
        "scan.TIF": encoded(46, "TIFF"),
        "old.bmp": encoded(47, "BMP"),
    }
    bad = {
        "truncated.jpg": (encoded(48)[:-100], "truncated JPEG: the end of the image is missing"),
        "truncated.png": (encoded(49, "PNG")[:-30], "truncated PNG: the end of the image is missing"),
        "zero.jpg": (b"", "empty file"),
        "page.jpg": (b"<!DOCTYPE html><html>404", "not an image but an HTML page"),
        "text.png": (b"sorry", "not an image that can be read"),
        "camera.NEF": (b"II*\x00whatever", "camera raw file; export it as JPEG"),
    }
    for name, data in {**good, **{name: data for name, (data, _) in bad.items()}}.items():
        (cat / name).write_bytes(data)
    for name in ("notes.txt", ".hidden.jpg", "Thumbs.db", ".DS_Store", "readme"):
        (cat / name).write_bytes(b"not for conversion")
    (photos / "LICENSE.txt").write_text("CC BY")
    (photos / "gone").symlink_to("/nowhere")
    (cat / "round").symlink_to("round")
    os.mkfifo(cat / "pipe.jpg")
    (cat / "null.jpg").symlink_to(os.devnull)
    shutil.copy(cat / "0.jpg", photos / "loose.jpg")
    (cat / "gone.jpg").symlink_to(photos / "nowhere.jpg")
    shutil.copy(cat / "0.jpg", os.fsencode(cat) + b"/caf\xe9.jpg")  # Latin-1, from an old archive
    (photos / "nothing").mkdir()
    (cat / "bomb.png").write_bytes(bomb)
    reasons = {f"cat/{name}": reason for name, (_, reason) in bad.items()}
    reasons |= dict.fromkeys(["cat/gone.jpg", "cat/round", "gone"], "broken link")
    special = "a named pipe, a socket or a device, not a file"
    reasons |= {"cat/pipe.jpg": special, "cat/null.jpg": special, "loose.jpg": "it lies outside the class folders"}
    reasons["cat/bomb.png"] = "30000x30000 pixels: more than 134 million (a decompression bomb?)"
    reasons["nothing"] = "no images in this folder"
    return photos, len(good), reasons


def test_each_bad_file_is_told_and_each_good_one_converted(corpus, tmp_path):
    folder, good, reasons = corpus
    limit = Image.MAX_IMAGE_PIXELS
    dataset = convert("image_folder", str(tmp_path / "out"), image_dir=str(folder), validation_count=0)
    assert limit == Image.MAX_IMAGE_PIXELS
    report = json.loads((tmp_path / "out" / "conversion_report.json").read_text())
    assert {entry["file"]: entry["reason"] for entry in report["left_out"]} == reasons
    assert report["ignored_files"] == {".txt": 2, "without suffix": 1}
    assert report["images"] == 15 + good + 1
    assert report["encoded_anew"] == {
        "16-bit PNG": 1,
        "BMP": 1,
        "CMYK JPEG": 1,
        "GIF, first frame": 1,
        "PPM": 1,
        "TIFF": 1,
        "WEBP": 1,
        "rotated by EXIF": 1,
        "transparent PNG": 1,
    }
    assert dataset["splits"]["train"]["examples_per_class"] == [6 + good + 1, 5, 4]
    names = (tmp_path / "out" / "train_files.txt").read_bytes().splitlines()
    assert b"cat/caf\xe9.jpg" in names
    assert all(os.path.exists(os.path.join(os.fsencode(folder), name)) for name in names)


def test_everything_written_is_read_by_tensorflow(corpus, tmp_path):
    folder, _, _ = corpus
    convert("image_folder", str(tmp_path / "out"), image_dir=str(folder), validation_count=0)
    files = dataset_factory.get_dataset(None, "train", str(tmp_path / "out")).files
    for serialized in tf.data.TFRecordDataset(list(files)):
        proto = tf.train.Example.FromString(serialized.numpy()).features.feature
        image = tf.io.decode_image(proto[records.ENCODED].bytes_list.value[0], channels=3)
        size = [proto[key].int64_list.value[0] for key in (records.HEIGHT, records.WIDTH)]
        assert image.shape == [*size, 3]
        assert proto[records.FORMAT].bytes_list.value[0] in (b"jpg", b"png")


def test_class_folders_that_differ_in_case_only_are_kept_and_told(photos, tmp_path, encoded, caplog):
    (photos / "Cat").mkdir()
    for k in range(4):
        (photos / "Cat" / f"{k}.jpg").write_bytes(encoded(70 + k))
    dataset = convert("image_folder", str(tmp_path / "out"), image_dir=str(photos))
    assert dataset["class_names"] == ["Cat", "cat", "dog", "emu"]
    report = json.loads((tmp_path / "out" / "conversion_report.json").read_text())
    assert [(entry["kind"], entry["weight"], entry["reason"]) for entry in report["findings"]] == [
        ("class_names_alike", "error", "'Cat' and 'cat'")
    ]
    assert "Class names that differ only in case or in accents (1). To do: rename or merge them." in caplog.text
    with pytest.raises(UserError, match="class names 'Cat' and 'cat' differ only in case"):
        convert("image_folder", str(tmp_path / "strict"), image_dir=str(photos), on_error="fail")


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told(photos, tmp_path):
    (photos / "cat" / "0.jpg").chmod(0)
    (photos / "dog").chmod(0)
    convert("image_folder", str(tmp_path / "out"), image_dir=str(photos))
    (photos / "dog").chmod(0o700)
    report = json.loads((tmp_path / "out" / "conversion_report.json").read_text())
    assert report["left_out"][0] == {"file": "cat/0.jpg", "reason": "cannot be read: Permission denied"}
    assert {"file": "dog", "reason": "folder cannot be read: Permission denied"} in report["left_out"]


def test_a_file_that_may_not_be_looked_into_is_told(photos, monkeypatch):
    def deny(*_, **__):
        raise PermissionError(13, "Permission denied")

    (photos / "cat" / "nameless").write_bytes(b"an image?")
    monkeypatch.setattr(image_folder, "open", deny, raising=False)
    contents = image_folder.list_folder(str(photos), "--image_dir")
    assert contents.left_out == [("cat/nameless", "cannot be read: Permission denied")]


def test_every_remark_names_its_example(corpus, tmp_path):
    folder, _, _ = corpus
    convert("image_folder", str(tmp_path / "out"), image_dir=str(folder), validation_count=0)
    report = json.loads((tmp_path / "out" / "conversion_report.json").read_text())
    remarks = {(entry["kind"], entry.get("key")): entry for entry in report["findings"]}
    keys = (tmp_path / "out" / "train_files.txt").read_text(errors="surrogateescape").splitlines()
    for kind, key, reason in [
        ("wrong_extension", "cat/is_a_png.jpg", "it is a PNG"),
        ("encoded_anew", "cat/cmyk.jpg", "CMYK JPEG"),
        ("encoded_anew", "cat/deep.png", "16-bit PNG"),
        ("encoded_anew", "cat/moving.gif", "GIF, first frame"),
        ("encoded_anew", "cat/turned.jpg", "rotated by EXIF"),
        ("tiny", "cat/deep.png", "7x5 pixels"),
    ]:
        entry = remarks[kind, key]
        assert (entry["reason"], entry["class"], entry["split"]) == (reason, "cat", "train")
        assert entry["shard"] == "images_train_00000-of-00001.tfrecord"
        assert keys[entry["record"]] == key
    assert report["summary"]["encoded_anew"]["count"] == 9
    # The non-UTF-8 name is a copy of 0.jpg: both names stand in the report.
    copies = next(entry for entry in report["findings"] if entry["kind"] == "copies")
    assert {member["key"] for member in copies["members"]} == {"cat/0.jpg", "cat/caf\\xe9.jpg"}


@pytest.mark.parametrize("bad", ["listed", "read"])
def test_on_error_fail_stops_at_the_first_and_leaves_nothing(photos, tmp_path, bad):
    if bad == "listed":
        (photos / "cat" / "gone.jpg").symlink_to(photos / "nowhere.jpg")
    else:
        (photos / "cat" / "zero.jpg").write_bytes(b"")
    reason = {"listed": "cat/gone.jpg: broken link", "read": "cat/zero.jpg: empty file"}[bad]
    with pytest.raises(UserError, match=f"{reason} .--on_error=quarantine leaves such files out"):
        convert("image_folder", str(tmp_path / "new" / "a" / "b"), image_dir=str(photos), on_error="fail")
    assert not (tmp_path / "new").exists()


def test_bad_files_do_not_move_good_ones_between_splits(photos, tmp_path):
    before = convert("image_folder", str(tmp_path / "a"), image_dir=str(photos))
    validation = (tmp_path / "a" / "validation_files.txt").read_text().splitlines()
    train = (tmp_path / "a" / "train_files.txt").read_text().splitlines()
    (photos / train[0]).write_bytes(b"")
    after = convert("image_folder", str(tmp_path / "b"), image_dir=str(photos))
    assert (tmp_path / "b" / "validation_files.txt").read_text().splitlines() == validation
    assert (tmp_path / "b" / "train_files.txt").read_text().splitlines() == train[1:]
    assert after["splits"]["validation"]["fingerprint"] == before["splits"]["validation"]["fingerprint"]


def test_bad_files_do_not_empty_a_split(photos, tmp_path):
    """The validation image of a class turns out to be unreadable: another one takes its place."""
    convert("image_folder", str(tmp_path / "a"), image_dir=str(photos))
    for name in (tmp_path / "a" / "validation_files.txt").read_text().splitlines():
        (photos / name).write_bytes(b"")
    dataset = convert("image_folder", str(tmp_path / "b"), image_dir=str(photos))
    assert dataset["splits"]["validation"]["examples_per_class"] == [1, 1, 1]
    dataset = convert("image_folder", str(tmp_path / "c"), image_dir=str(photos), validation_count=5)
    assert dataset["splits"]["validation"]["examples"] == 5


def test_class_without_a_readable_image_is_left_out(photos, tmp_path):
    for path in (photos / "dog").iterdir():
        path.write_bytes(b"")
    dataset = convert("image_folder", str(tmp_path / "out"), image_dir=str(photos))
    assert dataset["class_names"] == ["cat", "emu"]
    assert (tmp_path / "out" / "labels.txt").read_text() == "0:cat\n1:emu\n"
    counts = np.sum([entry["examples_per_class"] for entry in dataset["splits"].values()], axis=0)
    assert counts.tolist() == [6, 4]


def test_no_readable_image_at_all(photos, tmp_path):
    for path in photos.glob("*/*"):
        path.write_bytes(b"<html>")
    with pytest.raises(
        UserError, match=r"none of the 15 images can be read; the first: .*: not an image but an HTML page"
    ):
        convert("image_folder", str(tmp_path / "out"), image_dir=str(photos))
    assert not (tmp_path / "out").exists()


def test_a_file_that_vanishes_is_told(tmp_path):
    with pytest.raises(images.BadImage, match=r"cannot be read: No such file"):
        image_folder.load(str(tmp_path / "gone.jpg"))


@pytest.mark.parametrize(
    ("suffix", "image_format"),
    [("ppm", "PPM"), ("webp", "WEBP"), ("tga", "TGA"), ("pcx", "PCX"), ("dds", "DDS"), ("sgi", "SGI")]
    + [
        ("jp2", "JPEG2000"),
        ("ico", "ICO"),
        ("tif", "TIFF"),
        ("avif", "AVIF"),
        ("bmp", "BMP"),
        ("gif", "GIF"),
        ("qoi", "QOI"),
    ],
)
def test_any_format_that_pillow_reads(photos, tmp_path, encoded, suffix, image_format):
    try:
        data = encoded(50, image_format)
    except (KeyError, OSError) as error:
        pytest.skip(f"this Pillow does not write {image_format}: {error}")
    for name in ("cat", "dog"):
        (photos / name / f"other.{suffix}").write_bytes(data)
    dataset = convert("image_folder", str(tmp_path / "out"), image_dir=str(photos), validation_count=0)
    assert dataset["splits"]["train"]["examples_per_class"] == [7, 6, 4]


def test_no_other_program_is_started(photos, tmp_path, monkeypatch):
    """Pillow hands PostScript to Ghostscript."""
    started = []
    monkeypatch.setattr("subprocess.check_call", lambda *args, **_: started.append(args))
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) print\n%%EOF\n"
    for name in ("page.eps", "page.jpg"):
        (photos / "cat" / name).write_bytes(eps)
    convert("image_folder", str(tmp_path / "out"), image_dir=str(photos))
    report = json.loads((tmp_path / "out" / "conversion_report.json").read_text())
    reasons = {entry["file"]: entry["reason"] for entry in report["left_out"]}
    assert (started, reasons) == ([], {"cat/page.jpg": "not an image that can be read"})
