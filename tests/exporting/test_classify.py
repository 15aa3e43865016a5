"""Classifying files with an export, and a real network on real photos."""

import json
import pathlib

import numpy as np
import pytest

from common.errors import FlagError, UserError
from exporting import classify, saved_model
from exporting.config import ClassifyConfig, ExportConfig


@pytest.fixture
def ask(exported, capsys):
    """`ask(*paths, flag=value)`: the lines that are printed, and the message of the failure in the end (or None)."""

    def call(*paths, **flags):
        config = ClassifyConfig(**{"saved_model": str(exported), **flags})
        failure = None
        try:
            classify.classify(config, [str(path) for path in paths])
        except UserError as error:
            failure = str(error)
        return capsys.readouterr().out.splitlines(), failure

    return call


@pytest.fixture
def photos(tmp_path, picture) -> pathlib.Path:
    """A folder with images of all kinds, one in a folder below, and a file that is none."""
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    for k, (name, image_format) in enumerate(
        {"a.jpg": "JPEG", "b.PNG": "PNG", "c.bmp": "BMP", "d.gif": "GIF", "below/e.jpeg": "JPEG"}.items()
    ):
        (folder / name).write_bytes(picture(k, image_format))
    (folder / "notes.txt").write_text("no image")
    return folder


def test_a_folder_is_searched_and_files_are_taken_as_named(ask, photos, picture):
    (photos / "f.data").write_bytes(picture(5))
    lines, failure = ask(photos, photos / "f.data", json=True)
    assert failure is None
    asked = [pathlib.Path(json.loads(line)["file"]).name for line in lines]
    assert asked == ["a.jpg", "b.PNG", "c.bmp", "d.gif", "e.jpeg", "f.data"]


def test_json_has_the_exports_answer(ask, photos, exported, serve):
    lines, _ = ask(photos / "a.jpg", json=True, top_k=2)
    answer = serve(exported / "1", [(photos / "a.jpg").read_bytes()])
    (line,) = lines
    assert json.loads(line) == {
        "file": str(photos / "a.jpg"),
        "classes": [
            {
                "name": answer["class_names"][0, k].decode(),
                "index": answer["class_indices"][0, k],
                "probability": pytest.approx(float(answer["probabilities"][0, k]), abs=1e-6),
            }
            for k in range(2)
        ],
    }


def test_the_table_has_a_line_for_each_image(ask, photos, exported, serve):
    lines, failure = ask(photos / "a.jpg", photos / "below", top_k=1)
    assert failure is None
    answer = serve(exported / "1", [(photos / name).read_bytes() for name in ("a.jpg", "below/e.jpeg")])
    width = len(str(photos / "below/e.jpeg"))
    for line, name, k in zip(lines, ("a.jpg", "below/e.jpeg"), (0, 1), strict=True):
        best, probability = answer["class_names"][k, 0].decode(), answer["probabilities"][k, 0]
        assert line == f"{photos / name!s:<{width}}  {best} {probability:.3f}"


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_what_is_no_image_is_told_in_its_place_and_the_others_are_answered(ask, photos, batch_size):
    (photos / "b.PNG").write_bytes(b"<html>not found</html>")
    (photos / "c.bmp").write_bytes(b"")
    (photos / "below" / "e.jpeg").write_bytes((photos / "a.jpg").read_bytes()[:300])
    lines, failure = ask(photos, photos / "gone.jpg", photos / "a.jpg", json=True, batch_size=batch_size)
    answers = [json.loads(line) for line in lines]
    names = [pathlib.Path(answer["file"]).name for answer in answers]
    assert names == ["a.jpg", "b.PNG", "c.bmp", "d.gif", "e.jpeg", "gone.jpg", "a.jpg"]
    assert [name for name, answer in zip(names, answers, strict=True) if "error" in answer] == [
        "b.PNG", "c.bmp", "e.jpeg", "gone.jpg"
    ]  # fmt: skip
    errors = {name: answer.get("error", "") for name, answer in zip(names, answers, strict=True)}
    assert errors["gone.jpg"] == "No such file or directory"
    for name in ("b.PNG", "c.bmp", "e.jpeg"):
        assert errors[name].startswith("not an image that can be decoded (")
        assert "\n" not in errors[name]
        assert "Graph execution error" not in errors[name]
    assert failure == "4 of 7 files could not be classified"


def test_errors_stand_in_the_table_too(ask, photos):
    (photos / "a.jpg").write_bytes(b"no")
    lines, failure = ask(photos / "a.jpg", photos / "b.PNG")
    assert f"{photos / 'a.jpg'}  error: not an image that can be decoded" in lines[0]
    assert failure == "1 of 2 files could not be classified"


def test_no_images_are_told(ask, tmp_path):
    for paths in ([], [tmp_path]):
        assert ask(*paths)[1] == "no images named: give image files or folders of images after the flags"


def test_the_newest_version_is_used_or_the_one_named(export, photos, capsys, tmp_path):
    for names in ("a b c", "d e f"):
        (tmp_path / "names.txt").write_text("\n".join(names.split()))
        export(labels_file=str(tmp_path / "names.txt"))

    def names_from(path):
        classify.classify(ClassifyConfig(saved_model=str(path), json=True), [str(photos / "a.jpg")])
        return {answer["name"] for answer in json.loads(capsys.readouterr().out)["classes"]}

    assert names_from(tmp_path / "served") == {"d", "e", "f"}
    assert names_from(tmp_path / "served" / "1") == {"a", "b", "c"}


def test_what_is_no_export_is_told(ask, photos, tmp_path):
    import tensorflow as tf

    image = photos / "a.jpg"
    with pytest.raises(FlagError, match="--saved_model is missing"):
        ClassifyConfig()
    assert "is no SavedModel and has no version folders" in ask(image, saved_model=str(tmp_path / "nowhere"))[1]
    (tmp_path / "empty" / "3").mkdir(parents=True)
    assert "3 cannot be loaded as a SavedModel: " in ask(image, saved_model=str(tmp_path / "empty"))[1]
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "saved_model.pb").write_bytes(b"\xff\xff nothing")
    assert "broken cannot be loaded as a SavedModel: " in ask(image, saved_model=str(tmp_path / "broken"))[1]
    tf.saved_model.save(tf.Module(), str(tmp_path / "other"))
    assert "was not written by export_saved_model.py" in ask(image, saved_model=str(tmp_path / "other"))[1]


# -- real photos -----------------------------------------------------------------------------------------------------


def test_the_imagenet_checkpoint_names_what_is_on_a_photo(shared_data, tmp_path, capsys):
    """The published network, restored whole: 1001 classes by ImageNet's names, and a daisy is a daisy."""
    checkpoint = shared_data / "mobilenet_v1_0.25_224" / "mobilenet_v1_0.25_224.ckpt"
    served = tmp_path / "served"
    flags = {"checkpoint_path": str(checkpoint), "export_dir": str(served), "model_name": "mobilenet_v1_025"}
    version = pathlib.Path(saved_model.export(ExportConfig(**flags)))
    names = (version / "assets" / "labels.txt").read_text().splitlines()
    assert (len(names), names[0], names[986]) == (1001, "background", "daisy")

    daisies = sorted((shared_data / "flowers" / "daisy").glob("*.jpg"))[:60]
    config = ClassifyConfig(saved_model=str(served), json=True, batch_size=20)
    classify.classify(config, [str(path) for path in daisies])
    answers = [json.loads(line)["classes"] for line in capsys.readouterr().out.splitlines()]
    first = np.mean([answer[0]["name"] == "daisy" for answer in answers])
    in_top_5 = np.mean([any(c["name"] == "daisy" for c in answer) for answer in answers])
    assert first > 0.6
    assert in_top_5 > 0.8
