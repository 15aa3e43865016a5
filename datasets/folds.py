"""Data sets in folds (`--num_folds`): which files are training and which validation, for one fold that is held out."""

from collections.abc import Mapping, Sequence
from typing import Any

from common.errors import UserError
from datasets import filesystem, folders, shards, splits

ALL = "all"  # the split of all folds together: to train on everything in the end


def parts(description: Mapping[str, Any] | None, split: str, fold: int | None, dataset_dir: str) -> list[str]:
    """Returns the names of the stored splits that make up a split.

    Args:
        description: content of dataset.json; None where there is none.
        split: name; `train` is all folds but `fold`, `validation` is it, `all` is all.
        fold: number of the fold held out; None if none is named.
        dataset_dir: the folder, for errors.

    Raises:
        UserError: a fold of a data set that has none, one that it does not have, or none where one is needed.
    """
    number = (description or {}).get("num_folds", 0)
    if not number:
        if fold is not None:
            raise UserError(
                f"--fold={fold}: {dataset_dir} is not divided into folds; leave the flag out, or convert the images "
                "with --num_folds"
            )
        return [split]
    if fold is not None and not 0 <= fold < number:
        raise UserError(f"--fold={fold}: {dataset_dir} has the folds 0 to {number - 1}")
    if split == ALL:
        return [splits.fold_name(k) for k in range(number)]
    if split not in (splits.TRAIN, splits.VALIDATION):
        return [split]
    if fold is None:
        raise UserError(
            f"{dataset_dir} is in {number} folds: name the one that is held out for validation, --fold=0 to "
            f"{number - 1}; or take all, --dataset_split_name={ALL}"
        )
    if split == splits.VALIDATION:
        return [splits.fold_name(fold)]
    return [splits.fold_name(k) for k in range(number) if k != fold]


def names(description: Mapping[str, Any]) -> list[str]:
    """Returns the names of the splits that a data set can be asked for, sorted; of folds `train` and `validation`."""
    number = description.get("num_folds", 0)
    own = set(description["splits"]) - {splits.fold_name(k) for k in range(number)}
    return sorted(own | ({splits.TRAIN, splits.VALIDATION} if number else set()))


def joined(folder: str, description: Mapping[str, Any], stored: Sequence[str]) -> folders.Split:
    """Returns several stored splits as one, after a look at its files' sizes."""
    found = [folders.described_split(folder, description, name) for name in stored]
    if len(found) == 1:
        return found[0]
    files = sorted(pair for split in found for pair in zip(split.files, split.file_examples, strict=True))
    counted = [split.class_examples for split in found if split.class_examples]
    return folders.Split(
        files=tuple(file for file, _ in files),
        examples=sum(split.examples for split in found),
        bytes=sum(split.bytes for split in found),
        fingerprint=shards.joined_fingerprint(split.fingerprint for split in found),
        file_examples=tuple(examples for _, examples in files),
        class_examples=tuple(map(sum, zip(*counted, strict=True))) if len(counted) == len(found) else None,
    )


def check_trained_elsewhere(run: Mapping[str, Any] | None, dataset_dir: str, fold: int | None, what: str) -> None:
    """Fails where weights were trained on images that are held out now: those of another fold's run.

    Args:
        run: content of the run.json beside the weights; None where there is none.
        dataset_dir: the data set trained on now.
        fold: held out now.
        what: the flag and folder of the weights, for the error.
    """
    said = (run or {}).get("dataset", {})
    before = said.get("fold")
    if fold is None or before == fold or said.get("dir") != filesystem.absolute(dataset_dir):
        return
    held_out = f"with fold {before} held out" if before is not None else "on all folds"
    raise UserError(
        f"{what} was trained {held_out}, so on images of fold {fold}, which is held out now: its accuracy would be too "
        "good. Give each fold runs of its own, in folders of their own"
    )


def check_not_all(run: Mapping[str, Any], dataset_dir: str, fold: int | None, what: str) -> None:
    """Fails where a run is to be evaluated on a fold, but has none that it was not trained on.

    Args:
        run: content of the run.json beside the weights.
        dataset_dir: the data set evaluated on.
        fold: held out now; None if none is named.
        what: the flag and folder of the weights, for the error.
    """
    said = run["dataset"]
    if said.get("split") == ALL and fold is None and said.get("dir") == filesystem.absolute(dataset_dir):
        raise UserError(
            f"{what} was trained on all folds of {dataset_dir}, so no image is left to evaluate it on; the runs that "
            "held one fold out each have told its accuracy. Other data: --dataset_dir"
        )
