"""Cross-validation through the scripts' own functions: the run remembers its fold."""

import json

import pytest

from common.errors import UserError
from datasets.convert import convert
from training import evaluate, loop
from training.config import EvalConfig, TrainConfig


@pytest.fixture(scope="module")
def folds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folds")
    convert("shapes", str(folder), shapes_task="target", num_images=50, image_size=32, num_folds=5)
    return folder


def train(folds, folder, steps=2, **options):
    loop.train(
        TrainConfig(
            dataset_dir=str(folds),
            train_dir=str(folder),
            model_name="linear",
            batch_size=8,
            max_number_of_steps=steps,
            **options,
        )
    )
    return json.loads((folder / "run.json").read_text())


@pytest.fixture(scope="module")
def run(folds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(folds, folder, fold=2)
    return folder


def evaluated(run, **options):
    return evaluate.evaluate(EvalConfig(checkpoint_path=str(run), **options), frozenset(options))


def test_a_run_trains_on_the_other_folds_and_is_evaluated_on_its_own(folds, run):
    said = json.loads((run / "run.json").read_text())["dataset"]
    assert (said["fold"], said["split"], said["num_samples"]) == (2, "train", 40)
    result = evaluated(run)
    assert (result.split, result.metrics.count) == ("validation", 10)
    assert json.loads((run / "eval_validation" / "metrics.json").read_text())["examples"] == 10
    assert evaluated(run, dataset_split_name="train").metrics.count == 40
    assert evaluated(run, dataset_split_name="fold0").metrics.count == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_dir": "run", "fold": 3}, "--train_dir=.* was trained with fold 2 held out, so on images of fold 3"),
        ({"checkpoint_path": "run", "fold": 0}, "--checkpoint_path=.* was trained with fold 2 held out, so on images"),
        ({"fold": 7}, "--fold=7: .* has the folds 0 to 4"),
        ({}, "is in 5 folds: name the one that is held out for validation, --fold=0 to 4"),
    ],
)
def test_no_run_sees_what_it_is_evaluated_on(folds, run, tmp_path, options, message):
    options = {key: str(run) if value == "run" else value for key, value in options.items()}
    folder = tmp_path / "other"
    with pytest.raises(UserError, match=message):
        train(folds, run if options.pop("train_dir", None) else folder, steps=4, **options)
    assert not (folder / "run.json").exists()
    with pytest.raises(UserError, match="was trained with fold 2 held out, so on images of fold 1, which is held out"):
        evaluated(run, fold=1, dataset_split_name="validation")


def test_a_run_on_a_fold_goes_on_and_is_fine_tuned(folds, run, tmp_path):
    said = train(folds, tmp_path / "tuned", fold=2, checkpoint_path=str(run))
    assert said["start"]["kind"] == "fine-tuned"
    said = train(folds, tmp_path / "tuned", fold=2, steps=3)
    assert said["start"]["kind"] == "resumed"


def test_all_folds_together(folds, tmp_path):
    said = train(folds, tmp_path / "all", dataset_split_name="all")
    assert (said["dataset"]["num_samples"], said["dataset"]["fold"]) == (50, None)
    with pytest.raises(UserError, match="was trained on all folds, so on images of fold 1"):
        evaluated(tmp_path / "all", fold=1)
    with pytest.raises(UserError, match=r"was trained on all folds of .*, so no image is left to evaluate it on"):
        evaluated(tmp_path / "all")


def test_a_fold_of_data_without_folds(shapes, tmp_path):
    with pytest.raises(UserError, match=r"--fold=0: .* is not divided into folds"):
        train(shapes["target"], tmp_path / "run", fold=0)
