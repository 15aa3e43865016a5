"""What `convert_checkpoint.py` is told. Needs no TensorFlow."""

import dataclasses

from checkpoint_tools.classes import ClassEdits
from checkpoints import renames
from common.config import option
from common.errors import FlagError, UserError

DTYPES = ("float32", "float16", "bfloat16")
RENAME_FLAG = "--rename"


@dataclasses.dataclass(frozen=True)
class ConvertConfig:
    """What `convert_checkpoint.py` does. The edits are made in the order of the flags."""

    checkpoint_path: str | None = option(
        None,
        "Checkpoint: whatever the other scripts take, zoo:NAME, or another framework's file (.h5, .weights.h5, .keras, "
        ".safetensors, .caffemodel, .params). For --average several with commas between, or a glob.",
    )
    output: str | None = option(
        None,
        "Prefix of the checkpoint to write, a folder (the name is then model.ckpt-STEP), or another framework's file, "
        "by its suffix.",
    )
    overwrite: bool = option(False, "Replace a checkpoint that is there already.")
    model_name: str | None = option(
        None, "Network, for files of other frameworks and edits of classes; default: found by names and shapes."
    )
    network_module: str | None = option(None, "Python file that registers networks of your own.")

    # Edits.
    average: bool = option(False, "Average the variables of several checkpoints (a soup).")
    weights: str | None = option(None, "Weights of --average, such as 0.5,0.3,0.2; default: all alike.")
    last: int | None = option(None, "With --average: the newest so many checkpoints of the folder.", minimum=2)
    rename: str | None = option(
        None, "FROM:TO, scopes or whole names and what to call them; several with commas between."
    )
    fold_averages: bool = option(False, "Put the moving averages in the place of the variables.")
    strip: bool = option(False, "Leave out optimizer slots, moving averages and counters; global_step stays.")
    remove_classes: str | None = option(None, "Classes to leave out, by label: a,b, or a file with one a line.")
    merge_classes: str | None = option(None, "Classes to merge: NEW=A+B, several of them with ; between.")
    reorder_classes: str | None = option(None, "All classes in their new order: a,b, or a file with one a line.")
    add_background: bool = option(False, "Put a background class before all others.")
    drop_background: bool = option(False, "Leave the background class out.")
    cast: str | None = option(None, "Type of all variables of real numbers; integers stay.", choices=DTYPES)
    step: int | None = option(None, "Global step to write; default: the one that is there.", minimum=0)

    # Pruning.
    prune: bool = option(False, "Delete checkpoints of the run's folder --checkpoint_path; the newest always stays.")
    keep_last: int | None = option(None, "With --prune: keep the newest so many.", minimum=1)
    keep_every: int | None = option(None, "With --prune: keep those whose step is a multiple of this.", minimum=1)
    keep_steps: str | None = option(None, "With --prune: keep those of these steps, with commas between.")
    dry_run: bool = option(False, "With --prune: show what would be deleted, delete nothing.")

    def __post_init__(self):
        if not self.checkpoint_path:
            raise FlagError("--checkpoint_path is missing: name the checkpoint to convert")
        self._check_pruning()
        if not self.prune and not self.output:
            raise FlagError("--output is missing: name what to write, such as --output=converted/model.ckpt")
        for flag in ("weights", "last"):
            if getattr(self, flag) and not self.average:
                raise FlagError(f"--{flag} is about averaging checkpoints: add --average, or leave it out")
        if self.add_background and self.drop_background:
            raise FlagError("--add_background and --drop_background: say one of them")
        self.parsed_weights(), self.class_edits(), self.renames()  # so that a wrong one is told at once

    def _check_pruning(self) -> None:
        rules = {flag: getattr(self, flag) for flag in ("keep_last", "keep_every", "keep_steps")}
        given = [flag for flag, value in rules.items() if value]
        if self.prune and not given:
            raise FlagError("--prune needs a rule for what stays: --keep_last=3, --keep_every=1000 or --keep_steps=500")
        if not self.prune and (given or self.dry_run):
            raise FlagError(f"--{given[0] if given else 'dry_run'} is about deleting checkpoints: add --prune")
        if self.prune and self.output:
            raise FlagError("--prune deletes checkpoints and writes none: leave --output out, or --prune")
        self.parsed_steps()

    def parsed_steps(self) -> frozenset[int]:
        """The steps of --keep_steps."""
        return frozenset(int(part) for part in _numbers("--keep_steps", self.keep_steps, "100,200", str.isdecimal))

    def parsed_weights(self) -> tuple[float, ...] | None:
        """The weights of --weights, of sum 1; None where there are none."""
        if self.weights is None:
            return None
        weights = [float(part) for part in _numbers("--weights", self.weights, "0.5,0.3,0.2", _is_weight)]
        if not sum(weights) > 0:
            raise FlagError(f"--weights={self.weights}: their sum must be above 0")
        return tuple(weight / sum(weights) for weight in weights)

    def renames(self) -> tuple[renames.Rename, ...]:
        """The renames of --rename."""
        try:
            return renames.parse(self.rename)
        except UserError as error:
            raise FlagError(str(error).replace(renames.FLAG, RENAME_FLAG)) from None

    def class_edits(self) -> ClassEdits:
        """The edits of classes that the flags ask for."""
        background = "add" if self.add_background else "drop" if self.drop_background else None
        return ClassEdits.from_flags(self.remove_classes, self.merge_classes, self.reorder_classes, background)


def _numbers(flag: str, text: str | None, example: str, is_number) -> list[str]:
    parts = [part.strip() for part in (text or "").split(",") if part.strip()]
    wrong = [part for part in parts if not is_number(part)]
    if wrong or (text is not None and not parts):
        raise FlagError(f"{flag}={text}: expected numbers with commas between, such as {flag}={example}")
    return parts


def _is_weight(text: str) -> bool:
    try:
        return 0 <= float(text) < float("inf")
    except ValueError:
        return False
