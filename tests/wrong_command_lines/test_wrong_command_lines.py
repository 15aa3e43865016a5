"""Wrong command lines: each error contains the flag that repairs it, and the repaired line runs.

A row is what a user typed beyond the flags of the fixture `usual`, the words that the error must contain, and how it is
repaired: by flags taken from the message itself (`taken`), by a value that the message names (`named`: a flag and a
pattern whose group is the value), by flags that the message says to leave out (`dropped`), or, where only the user can
know, by flags of the row (`given`).
"""

import dataclasses
import re

import pytest

from checkpoint_tools import doctor
from common import config as config_lib
from common.errors import FlagError, UserError
from exporting import saved_model
from exporting.config import ExportConfig
from training import evaluate, loop
from training.config import EvalConfig, TrainConfig

TRAIN, EVAL, EXPORT, INSPECT = (
    "train_image_classifier.py",
    "eval_image_classifier.py",
    "export_saved_model.py",
    "inspect_checkpoint.py",
)


@dataclasses.dataclass(frozen=True)
class Row:
    """One wrong command line; see above."""

    name: str
    wrong: dict[str, str]
    words: tuple[str, ...]
    taken: tuple[str, ...] = ()
    named: tuple[str, str] | None = None
    dropped: tuple[str, ...] = ()
    given: dict[str, str] = dataclasses.field(default_factory=dict)
    script: str = TRAIN
    process: str = ""  # by the real script: the `error` alone, or the repaired line too (`both`)
    steps: bool = False  # real steps, not --dry_run


FROM_PRETRAINED = {"checkpoint_path": "{pretrained}", "checkpoint_exclude_scopes": "head"}
REAL = {"checkpoint_path": "{pretrained}"}

ROWS = [
    # -- scopes
    Row(
        "a typo in an excluded scope",
        {**REAL, "checkpoint_exclude_scopes": "MobilenetV1/Logit"},
        ("'MobilenetV1/Logit' matches no variable", "whole path components"),
        taken=("checkpoint_exclude_scopes",),
        process="both",
    ),
    Row(
        "the wrong case",
        {**REAL, "checkpoint_exclude_scopes": "mobilenetv1/logits"},
        ("did you mean 'MobilenetV1/Logits'",),
        taken=("checkpoint_exclude_scopes",),
    ),
    Row(
        "the outer scope is missing",
        {**REAL, "checkpoint_exclude_scopes": "Logits"},
        ("did you mean 'MobilenetV1/Logits'",),
        taken=("checkpoint_exclude_scopes",),
    ),
    Row(
        "a typo in what to train",
        {**FROM_PRETRAINED, "trainable_scopes": "haed"},
        ("did you mean 'head'",),
        taken=("trainable_scopes",),
        steps=True,
    ),
    Row(
        "a regular expression of the original",
        {**FROM_PRETRAINED, "trainable_scopes": "MobilenetV1/Conv2d_1[0-3].*"},
        ("not regular expressions",),
        taken=("trainable_scopes",),
    ),
    Row(
        "more stages than there are",
        {**FROM_PRETRAINED, "trainable_scopes": "last:99"},
        ("N from 1 to 15", "head, Conv2d_13, Conv2d_12"),
        taken=("trainable_scopes",),
    ),
    Row(
        "stages in words",
        {**REAL, "checkpoint_exclude_scopes": "last:two"},
        ("'last:two' is not last:N",),
        taken=("checkpoint_exclude_scopes",),
    ),
    Row(
        "everything trained is taken away again",
        {**FROM_PRETRAINED, "trainable_scopes": "head,-head"},
        ("takes away all variables",),
        taken=("trainable_scopes",),
    ),
    Row(
        "everything is excluded",
        {**REAL, "checkpoint_exclude_scopes": "all"},
        ("excludes all 137 variables", "leave --checkpoint_path out"),
        dropped=("checkpoint_path", "checkpoint_exclude_scopes"),
    ),
    Row(
        "an exclusion from nothing",
        {"checkpoint_exclude_scopes": "head"},
        ("--checkpoint_path names none", "leave --checkpoint_exclude_scopes out"),
        dropped=("checkpoint_exclude_scopes",),
    ),
    # -- multipliers
    Row(
        "a typo in a multiplier's scope",
        {**FROM_PRETRAINED, "learning_rate_multipliers": "all=0.1,MobilenetV1/Logit=1"},
        ("--learning_rate_multipliers: 'MobilenetV1/Logit' matches no variable",),
        taken=("learning_rate_multipliers",),
    ),
    Row(
        "a multiplier without a number",
        {**FROM_PRETRAINED, "learning_rate_multipliers": "head"},
        ("--learning_rate_multipliers: 'head' is not TERM=FACTOR",),
        taken=("learning_rate_multipliers",),
        process="error",
    ),
    Row(
        "a rate for what is frozen",
        {**FROM_PRETRAINED, "trainable_scopes": "head", "learning_rate_multipliers": "MobilenetV1/Conv2d_13*=0.1"},
        ("selects frozen variables alone",),
        taken=("trainable_scopes",),
    ),
    Row(
        "decay where there is none",
        {**FROM_PRETRAINED, "weight_decay_multipliers": "head=2,*/BatchNorm=2"},
        ("'*/BatchNorm' selects no variable with a decay",),
        taken=("weight_decay_multipliers",),
    ),
    # -- the checkpoint is not the network's
    Row(
        "logits of other classes are not excluded",
        REAL,
        ("2 of another shape (!)", "The network has 4 classes, the checkpoint 8"),
        taken=("checkpoint_exclude_scopes", "trainable_scopes"),
        steps=True,
    ),
    Row(
        "an auxiliary head is left in",
        {
            "network_module": "{tiny}",
            "model_name": "tiny_aux",
            "checkpoint_path": "{tiny_7}",
            "checkpoint_exclude_scopes": "Tiny/Logits",
        },
        ("! Tiny/AuxLogits/weights", "The network has 4 classes, the checkpoint 7"),
        taken=("checkpoint_exclude_scopes", "trainable_scopes"),
    ),
    Row(
        "the wrong network",
        {**FROM_PRETRAINED, "model_name": "lenet"},
        ("is the checkpoint of another network",),
        taken=("model_name",),
        process="both",
    ),
    Row(
        "the wrong width",
        {**FROM_PRETRAINED, "model_name": "mobilenet_v1_050"},
        ("another variant of this network", "0.5 times as wide"),
        taken=("model_name",),
    ),
    Row(
        "another depth of the same network",
        {
            "checkpoint_path": "{resnet_v1_101}",
            "checkpoint_exclude_scopes": "head",
            "model_name": "resnet_v1_50",
        },
        ("is the checkpoint of another network",),
        taken=("model_name",),
    ),
    Row(
        "1001 classes of data for a checkpoint of 1000",
        {"dataset_dir": "{data_1001}", "checkpoint_path": "{mobilenet_1000}"},
        ("The network has 1001 classes, the checkpoint 1000", "background class"),
        taken=("labels_offset",),
    ),
    Row(
        "1000 classes for a checkpoint of 1001",
        {"dataset_dir": "{data_1001}", "checkpoint_path": "{mobilenet_1001}", "labels_offset": "1"},
        ("The network has 1000 classes, the checkpoint 1001",),
        taken=("labels_offset",),
    ),
    Row(
        "an offset that leaves no class",
        {**FROM_PRETRAINED, "labels_offset": "50"},
        ("--labels_offset=50 leaves no class of the 4",),
        taken=("labels_offset",),
    ),
    Row(
        "gray images for a separable first layer",
        {
            "checkpoint_path": "{inception_v2}",
            "checkpoint_exclude_scopes": "head",
            "model_name": "inception_v2",
            "train_image_size": "64",
            "use_grayscale": "true",
        },
        ("InceptionV2/Conv2d_1a_7x7 is a separable convolution", "leave --use_grayscale out"),
        taken=("checkpoint_exclude_scopes",),
    ),
    Row(
        "the network under another scope",
        {"checkpoint_path": "{under_module}", "checkpoint_exclude_scopes": "head"},
        ("this network under other names",),
        taken=("checkpoint_rename",),
    ),
    Row(
        "a rename of nothing",
        {"checkpoint_path": "{under_module}", "checkpoint_exclude_scopes": "head", "checkpoint_rename": "modul:"},
        ("the checkpoint has no 'modul'",),
        taken=("checkpoint_rename",),
    ),
    Row(
        "values that are not finite",
        {"checkpoint_path": "{nan}", "checkpoint_exclude_scopes": "head"},
        ("NaN or infinite", "MobilenetV1/Conv2d_3_depthwise/BatchNorm/moving_mean"),
        taken=("checkpoint_exclude_scopes",),
    ),
    Row(
        "averages of a checkpoint that has none",
        {**FROM_PRETRAINED, "checkpoint_averages": "true"},
        ("--checkpoint_averages asks for moving averages", "leave it out"),
        dropped=("checkpoint_averages",),
    ),
    # -- files
    Row(
        "a truncated data file",
        {**FROM_PRETRAINED, "checkpoint_path": "{truncated}"},
        (".data-00000-of-00001 is cut off", "copy or fetch it again"),
        given=REAL,
        process="error",
    ),
    Row(
        "a missing data file",
        {**FROM_PRETRAINED, "checkpoint_path": "{no_data}"},
        ("is not whole", ".data-00000-of-00001 is missing"),
        given=REAL,
    ),
    Row(
        "a missing index",
        {**FROM_PRETRAINED, "checkpoint_path": "{no_index}"},
        ("is not whole", ".index is missing"),
        given=REAL,
    ),
    Row(
        "a folder above that of the checkpoint",
        {**FROM_PRETRAINED, "checkpoint_path": "{above}"},
        ("there is no checkpoint in the folder", "did you mean"),
        named=("checkpoint_path", r"did you mean (\S+)\?"),
    ),
    Row(
        "a misspelled path",
        {**FROM_PRETRAINED, "checkpoint_path": "{pretrained}/model.ckp-4"},
        ("there is no checkpoint", "did you mean"),
        named=("checkpoint_path", r"did you mean (\S+)\?"),
    ),
    Row(
        "an archive of several checkpoints",
        {**FROM_PRETRAINED, "checkpoint_path": "{several}"},
        ("holds 2 checkpoints; name one of",),
        named=("checkpoint_path", r"name one of (\S+),"),
    ),
    Row(
        "a .pb that is no graph",
        {**FROM_PRETRAINED, "checkpoint_path": "{broken_pb}"},
        ("broken.pb",),
        given=REAL,
    ),
    Row(
        "weights of Keras",
        {**FROM_PRETRAINED, "checkpoint_path": "{keras_h5}"},
        ("HDF5", "convert_checkpoint.py"),
        given=REAL,
    ),
    Row(
        "a pickle of PyTorch",
        {**FROM_PRETRAINED, "checkpoint_path": "{pickle}"},
        ("pickle", "safetensors"),
        given=REAL,
    ),
    Row(
        "a failed download",
        {**FROM_PRETRAINED, "checkpoint_path": "{html}"},
        ("is an HTML page",),
        given=REAL,
    ),
    Row(
        "a SavedModel of something else",
        {**FROM_PRETRAINED, "checkpoint_path": "{saved_model}"},
        ("another network", "--model_name"),
        given=REAL,
    ),
    Row(
        "an object-based checkpoint of something else",
        {**FROM_PRETRAINED, "checkpoint_path": "{objects}"},
        ("--checkpoint_path",),
        given=REAL,
    ),
    # -- runs, names, data
    Row(
        "a run's folder for another network",
        {"train_dir": "{run}", "model_name": "lenet"},
        ("holds a run that does not fit lenet with 4 classes",),
        taken=("train_dir",),
    ),
    Row(
        "a run's folder for other classes",
        {"train_dir": "{run}"},
        ("holds a run that does not fit mobilenet_v1_025 with 4 classes",),
        taken=("train_dir",),
    ),
    Row(
        "a misspelled network",
        {**FROM_PRETRAINED, "model_name": "mobilenet_v1_25"},
        ("--model_name: unknown network 'mobilenet_v1_25'",),
        named=("model_name", r"did you mean '(\w+)'"),
    ),
    Row(
        "a network of videos",
        {"model_name": "i3d"},
        ("--model_name=i3d takes video clips", "inception_v1"),
        given={"model_name": "lenet"},
    ),
    Row(
        "an unknown optimizer",
        {**FROM_PRETRAINED, "optimizer": "adamm"},
        ("--optimizer=adamm", "adam"),
        given={"optimizer": "adam"},
        process="error",
    ),
    Row(
        "a misspelled flag",
        {**FROM_PRETRAINED, "trainable_scope": "head"},
        ("Unknown command line flag 'trainable_scope'", "trainable_scopes"),
        given={"trainable_scopes": "head"},
        dropped=("trainable_scope",),
        process="error",
    ),
    # -- evaluation and export
    Row(
        "evaluation that does not know the network",
        {"checkpoint_path": "{alone}", "dataset_dir": "{source}", "dataset_split_name": "validation"},
        ("--model_name is missing",),
        taken=("model_name",),
        given={"eval_image_size": "32"},
        script=EVAL,
    ),
    Row(
        "export that does not know the network",
        {"checkpoint_path": "{alone}"},
        ("--model_name is missing",),
        taken=("model_name",),
        given={"image_size": "32"},
        script=EXPORT,
    ),
    Row(
        "evaluation as another width",
        {"checkpoint_path": "{pretrained}", "model_name": "mobilenet_v1_050", "eval_image_size": "32"},
        ("another variant of this network",),
        taken=("model_name",),
        script=EVAL,
    ),
    Row(
        "evaluation by averages that are not there",
        {"checkpoint_path": "{pretrained}", "moving_average_decay": "0.999"},
        ("--moving_average_decay asks for moving averages", "leave it out"),
        dropped=("moving_average_decay",),
        script=EVAL,
    ),
    Row(
        "evaluation of a split that is not there",
        {"checkpoint_path": "{pretrained}", "dataset_split_name": "validate"},
        ("validation",),
        given={"dataset_split_name": "validation"},
        script=EVAL,
    ),
    # -- the doctor
    Row(
        "the doctor with another width",
        {"checkpoint_path": "{pretrained}", "model_name": "mobilenet_v1_050"},
        ("another variant of this network (its layers are 0.5 times as wide)",),
        taken=("model_name",),
        script=INSPECT,
    ),
    Row(
        "the doctor with other classes",
        {"checkpoint_path": "{pretrained}", "num_classes": "4"},
        ("The network has 4 classes, the checkpoint 8",),
        taken=("checkpoint_exclude_scopes",),
        script=INSPECT,
    ),
    Row(
        "the doctor with a typo in a scope",
        {"checkpoint_path": "{pretrained}", "num_classes": "4", "checkpoint_exclude_scopes": "MobilenetV1/Logit"},
        ("'MobilenetV1/Logit' matches no variable",),
        taken=("checkpoint_exclude_scopes",),
        script=INSPECT,
    ),
]


def _config(kind, flags):
    """A script's config, without absl's global flags."""
    values = {}
    for field in dataclasses.fields(kind):
        if field.name in flags:
            convert = config_lib.value_type(kind, field)
            text = flags[field.name]
            values[field.name] = text == "true" if convert is bool else convert(text)
    assert values.keys() == flags.keys()
    return kind(**values), frozenset(values)


def run_here(script, flags):
    """Runs a script's one call in this process."""
    if script == TRAIN:
        loop.train(*_config(TrainConfig, flags))
    elif script == EVAL:
        evaluate.evaluate(*_config(EvalConfig, flags))
    elif script == EXPORT:
        saved_model.export(_config(ExportConfig, flags)[0])
    else:
        is_well, text = doctor.inspect(_config(doctor.DoctorConfig, flags)[0])
        if not is_well:
            raise UserError(text)


def arguments(flags):
    return [f"--{name}={value}" for name, value in flags.items()]


def error_of(row, flags, run_script):
    """What a command line that fails says."""
    if row.process:
        status = 2 if row.name in ("an unknown optimizer", "a misspelled flag", "a multiplier without a number") else 1
        return run_script(row.script, *arguments(flags), status=status).stderr
    with pytest.raises((UserError, FlagError)) as raised:
        run_here(row.script, flags)
    return str(raised.value)


def repaired(row, flags, message, fill):
    """The flags after doing what the message says."""
    flags = {name: value for name, value in flags.items() if name not in row.dropped} | fill(row.given)
    for name in row.taken:
        found = re.findall(rf"--{name}=([^\s;]+)", message)
        assert found, f"the message has no --{name}=...:\n{message}"
        flags[name] = found[-1].rstrip(".,)")
    if row.named:
        name, pattern = row.named
        found = re.search(pattern, message)
        assert found, f"the message does not name a {name}:\n{message}"
        flags[name] = found[1]
    return flags


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name.replace(" ", "-"))
def test_the_error_contains_the_flag_that_repairs_it_and_the_repaired_line_runs(row, usual, files, run_script, capsys):
    def fill(flags):
        names = re.compile(r"\{(\w+)\}")
        return {name: names.sub(lambda match: files(match[1]), value) for name, value in flags.items()}

    flags = usual[row.script] | fill(row.wrong)
    if row.steps:
        del flags["dry_run"]
    message = error_of(row, flags, run_script)
    for word in row.words:
        assert word in message
    better = repaired(row, flags, message, fill)
    assert better != flags
    if row.process == "both":
        run_script(row.script, *arguments(better))
    else:
        run_here(row.script, better)


def test_the_table_is_as_long_as_was_promised():
    assert len(ROWS) >= 30
    assert len({row.name for row in ROWS}) == len(ROWS)
