"""Comparing a network with a checkpoint: everything on hand-made maps of shapes."""

import itertools
import re
import subprocess
import sys
import types

import pytest

from checkpoints import averages, restore, scopes
from common.errors import UserError

HEADS = ("Net/Logits", "Net/AuxLogits")


def net(classes, width=8, aux=True, layers=6):
    """A network of a few layers with batch norm and two heads."""
    shapes, inputs = {}, 3
    for i in range(layers):
        shapes[f"Net/Conv2d_{i}/weights"] = (3, 3, inputs, width)
        for part in ("gamma", "beta", "moving_mean", "moving_variance"):
            shapes[f"Net/Conv2d_{i}/BatchNorm/{part}"] = (width,)
        inputs = width
    for scope in ("AuxLogits", "Logits") if aux else ("Logits",):
        shapes[f"Net/{scope}/Conv2d_1x1/weights"] = (1, 1, width, classes)
        shapes[f"Net/{scope}/Conv2d_1x1/biases"] = (classes,)
    return shapes


def plan(wanted, found, exclude=None, heads=HEADS, **options):
    return restore.plan(wanted, types.SimpleNamespace(path="x.ckpt", shapes=found), exclude, heads, **options)


def error(*arguments, **options):
    with pytest.raises(UserError) as raised:
        plan(*arguments, **options)
    return str(raised.value)


def last_line(text):
    return text.splitlines()[-1].strip()


def without(shapes, *parts):
    return {name: shape for name, shape in shapes.items() if not any(part in name for part in parts)}


# -- what fits ------------------------------------------------------------------------------------


def test_equal_sides_are_restored_in_the_networks_order():
    wanted = net(5)
    result = plan(wanted, dict(sorted(wanted.items())))
    assert list(result.restored) == list(wanted)
    assert list(result.restored.values()) == list(wanted)
    assert result.fits
    assert result.flags() == ""


@pytest.mark.parametrize(
    "exclude", ["Net/Logits,Net/AuxLogits", "head", "*Net/*Logits", "auto", " auto , head", "*/Conv2d_1x1"]
)
def test_a_new_head_is_excluded_in_any_spelling(exclude):
    result = plan(net(5), net(1001), exclude)
    assert result.excluded == tuple(list(net(5))[-4:])
    assert len(result.restored) == 30


def test_auto_excludes_just_the_heads_that_do_not_fit():
    found = net(5) | {"Net/AuxLogits/Conv2d_1x1/biases": (7,)}
    result = plan(net(5), found, "auto")
    assert result.exclude == ("Net/AuxLogits",)
    assert result.excluded == ("Net/AuxLogits/Conv2d_1x1/weights", "Net/AuxLogits/Conv2d_1x1/biases")
    assert plan(net(5), net(5), "auto").excluded == ()
    assert plan(net(5), net(5, aux=False), "auto").exclude == ("Net/AuxLogits",)
    assert plan(net(5, aux=False), net(5), "auto").exclude == ("Net/AuxLogits",)


def test_auto_does_not_hide_what_is_wrong_elsewhere():
    text = error(net(5), without(net(1001), "Conv2d_2"), "auto")
    assert "Logits" not in text.rpartition("\n")[0]
    assert last_line(text).startswith("--checkpoint_exclude_scopes=Net/Logits,Net/AuxLogits,Net/Conv2d_2")


@pytest.mark.parametrize(
    "name",
    [
        "global_step",
        "beta1_power",
        "beta2_power_1",
        "Net/mean_rgb",
        "Net/Conv2d_0/weights/RMSProp",
        "Net/Conv2d_0/weights/RMSProp_1",
        "Net/Conv2d_0/weights/Momentum",
        "Net/Conv2d_0/BatchNorm/moving_mean/ExponentialMovingAverage",
        "Net/Conv2d_0/weights/SomeNewOptimizer",
        "Net/Conv2d_0/BatchNorm/moving_mean/biased",
        "Other/weights/Adam_1",
        "Net/Conv2d_0/act_quant/min",
        "Net/Conv2d_0/weights_quant/max",
    ],
)
def test_bookkeeping_is_never_extra(name):
    result = plan(net(5), net(5) | {name: (3,)})
    assert result.bookkeeping == (name,)
    assert result.extra == ()


def test_a_scope_that_only_the_checkpoint_has_can_be_excluded():
    found = net(5) | {"Net/Embedding/weights": (3, 4)}
    result = plan(net(5), found, "Net/Embedding")
    assert (result.extra, result.excluded) == ((), ())
    assert len(result.restored) == len(net(5))


def test_allow_extra_lets_the_checkpoint_have_more():
    result = plan(net(5, aux=False), net(5), allow_extra=True)
    assert result.extra == ("Net/AuxLogits/Conv2d_1x1/weights", "Net/AuxLogits/Conv2d_1x1/biases")


def test_ignore_missing_begins_anew_with_a_warning(caplog):
    with caplog.at_level("WARNING", logger="absl"):
        result = plan(net(5), without(net(5), "Conv2d_2/weights", "Conv2d_3/weights"), ignore_missing=True)
    assert result.missing == ("Net/Conv2d_2/weights", "Net/Conv2d_3/weights")
    assert caplog.messages == [
        "2 variables are not in x.ckpt and start with new values: Net/Conv2d_2/weights, Net/Conv2d_3/weights"
    ]


def test_ignore_missing_still_fails_on_other_shapes_and_on_another_network():
    assert "Net/Logits" in last_line(error(net(5), net(7), ignore_missing=True))
    assert "another network" in error(net(5), {"vgg/conv1/weights": (3, 3, 3, 64)}, ignore_missing=True)


def test_averages_are_read_in_place_of_variables():
    found = net(5) | {name + averages.SUFFIX: shape for name, shape in net(5).items() if "Conv2d_0" in name}
    shadows = averages.required_sources(net(5), found, "x.ckpt")
    result = plan(net(5), found, sources=shadows)
    assert result.restored["Net/Conv2d_0/weights"] == "Net/Conv2d_0/weights/ExponentialMovingAverage"
    assert result.restored["Net/Conv2d_1/weights"] == "Net/Conv2d_1/weights"
    assert "restored from Net/Conv2d_0/weights/ExponentialMovingAverage" in result.table()
    only_averages = {name: shape for name, shape in found.items() if name not in shadows}
    assert len(plan(net(5), only_averages, sources=shadows).restored) == len(net(5))


def test_averages_that_are_not_there_are_an_error():
    assert averages.sources(net(5), net(5)) == {}
    with pytest.raises(UserError, match=r"--moving_average_decay asks for moving averages, and x\.ckpt holds none"):
        averages.required_sources(net(5), net(5), "x.ckpt")


# -- what does not fit ----------------------------------------------------------------------------


def test_another_class_count_ends_in_the_flags_for_a_new_head():
    assert error(net(5), net(1001)) == (
        "x.ckpt does not fit the network: 4 of another shape (!); 30 of 34 variables fit\n"
        "  ! Net/AuxLogits/Conv2d_1x1/weights: network 1x1x8x5, checkpoint 1x1x8x1001\n"
        "  ! Net/AuxLogits/Conv2d_1x1/biases: network 5, checkpoint 1001\n"
        "  ! Net/Logits/Conv2d_1x1/weights: network 1x1x8x5, checkpoint 1x1x8x1001\n"
        "  ! Net/Logits/Conv2d_1x1/biases: network 5, checkpoint 1001\n"
        "The network has 5 classes, the checkpoint 1001.\n"
        "To restore the rest and train a new classifier (--checkpoint_exclude_scopes=auto finds these scopes):\n"
        "  --checkpoint_exclude_scopes=Net/Logits,Net/AuxLogits --trainable_scopes=Net/Logits,Net/AuxLogits"
    )


@pytest.mark.parametrize(
    ("wanted", "found", "options", "flags"),
    [
        # An auxiliary head left in; what was given stays.
        (
            net(5),
            net(1001),
            {"exclude": "Net/Logits", "trainable_text": "Net/Logits"},
            "--checkpoint_exclude_scopes=Net/Logits,Net/AuxLogits --trainable_scopes=Net/Logits,Net/AuxLogits",
        ),
        (
            net(5),
            net(1001),
            {"exclude": "Net/AuxLogits/Conv2d_1x1/biases"},
            "--checkpoint_exclude_scopes=Net/Logits,Net/AuxLogits --trainable_scopes=Net/Logits,Net/AuxLogits",
        ),
        (
            net(5),
            net(1001),
            {"trainable_text": "head,Net/Conv2d_5"},
            "--checkpoint_exclude_scopes=Net/Logits,Net/AuxLogits --trainable_scopes=head,Net/Conv2d_5",
        ),
        # Missing in the checkpoint: no more is excluded than that, and it is trained.
        (
            net(5),
            without(net(5), "Conv2d_3"),
            {},
            "--checkpoint_exclude_scopes=Net/Conv2d_3",
        ),
        (
            net(5),
            without(net(1001), "Conv2d_3"),
            {"exclude": "head", "trainable_text": "head"},
            "--checkpoint_exclude_scopes=head,Net/Conv2d_3 --trainable_scopes=head,Net/Conv2d_3",
        ),
        (net(5), without(net(5), "gamma"), {}, "--checkpoint_exclude_scopes=*/gamma"),
        (
            net(5),
            without(net(5), "moving_"),
            {"trainable_text": "head"},
            "--checkpoint_exclude_scopes=*/moving_mean,*/moving_variance --trainable_scopes=head",
        ),
        (
            net(5),
            net(5) | {"Net/Conv2d_0/weights": (3, 3, 1, 8)},
            {},
            "--checkpoint_exclude_scopes=Net/Conv2d_0/weights",
        ),
        # Extra in the checkpoint.
        (net(5, layers=5), net(5), {}, "--checkpoint_exclude_scopes=Net/Conv2d_5"),
        (net(5), net(5) | {"Tower/w": (1,), "Tower/v": (2,)}, {}, "--checkpoint_exclude_scopes=Tower"),
        (without(net(5), "Logits"), net(1001), {}, "--checkpoint_exclude_scopes=Net/Logits,Net/AuxLogits"),
    ],
)
def test_the_last_line_is_the_flags_and_they_work(wanted, found, options, flags):
    text = error(wanted, found, **options)
    assert last_line(text) == flags
    exclude = re.search(r"--checkpoint_exclude_scopes=(\S+)", flags)[1]
    result = plan(wanted, found, exclude)
    assert result.fits
    trainable = re.search(r"--trainable_scopes=(\S+)", flags)
    assert trainable is None or scopes.select(wanted, scopes.split(trainable[1]), HEADS)


@pytest.mark.parametrize("seed", range(8))
def test_the_flags_work_whatever_is_wrong(seed):
    wanted, found = net(5), net(9 if seed % 2 else 5)
    names = list(found)
    for i, name in enumerate(itertools.islice(names, seed, None, 7)):
        if i % 3 == 0:
            del found[name]
        elif i % 3 == 1:
            found[name] = (1, *found[name])
        else:
            found[f"{name}_new"] = (2,)
    text = error(wanted, found)
    exclude = re.search(r"--checkpoint_exclude_scopes=(\S+)", last_line(text))[1]
    assert plan(wanted, found, exclude).fits


@pytest.mark.parametrize(
    ("ours", "theirs", "hint"),
    [
        (1001, 1000, "to keep its classifier, use --labels_offset=1"),
        (1000, 1001, "to keep its classifier, use data that have one too, with --labels_offset=0"),
        (5, 6, None),
        (5, 1001, None),
    ],
)
def test_a_background_class_is_recognised(ours, theirs, hint):
    text = error(net(ours), net(theirs))
    assert f"The network has {ours} classes, the checkpoint {theirs}." in text
    assert (hint in text) if hint else ("labels_offset" not in text)
    assert last_line(text).startswith("--checkpoint_exclude_scopes=Net/Logits,Net/AuxLogits")


def test_missing_and_extra_are_marked_and_long_lists_are_cut():
    found = without(net(5, layers=30), "gamma") | {f"Net/Extra_{i}/weights": (i,) for i in range(12)}
    lines = error(net(5, layers=30), found).splitlines()
    assert lines[0] == (
        "x.ckpt does not fit the network: 30 missing in the checkpoint (-), 12 not in the network (+); "
        "124 of 154 variables fit"
    )
    assert lines[1] == "  - Net/Conv2d_0/BatchNorm/gamma 8"
    assert lines[11] == "  - ... and 20 more"
    assert lines[12] == "  + Net/Extra_0/weights 0"
    assert lines[22] == "  + ... and 2 more"


def test_missing_alone_mentions_slims_flag():
    assert "(as does --ignore_missing_vars):\n  --checkpoint" in error(net(5), without(net(5), "Conv2d_3/weights"))


def test_another_network_shows_the_scopes_of_both():
    found = {f"vgg_16/conv{i}/weights": (3, 3, 3, 3) for i in range(5)} | {"global_step": (), "vgg_16/mean_rgb": (3,)}
    assert error(net(5), found) == (
        "x.ckpt is the checkpoint of another network: it has 0 of 34 variables\n"
        "  network     Net (34)\n"
        "  checkpoint  vgg_16 (5)\n"
        "Give the --model_name that it belongs to, or another --checkpoint_path"
    )


def test_a_keras_checkpoint_is_named_as_such():
    found = {"layer/kernel/.ATTRIBUTES/VARIABLE_VALUE": (3,), "_CHECKPOINTABLE_OBJECT_GRAPH": ()}
    assert "is an object-based TF2 checkpoint" in error(net(5), found)


def test_another_width_is_named_as_such():
    lines = error(net(5, width=8), net(5, width=32)).splitlines()
    assert lines[0] == (
        "x.ckpt is of another variant of this network (its layers are 4 times as wide): "
        "32 of 34 variables have another shape"
    )
    assert lines[-1] == "Give the --model_name that it belongs to, or another --checkpoint_path"


def test_a_great_many_differences_are_not_listed_as_a_flag():
    wanted = net(5, layers=60)
    found = {name: shape for i, (name, shape) in enumerate(wanted.items()) if i % 4}
    assert "another variant of the network. Give the --model_name" in last_line(error(wanted, found))


@pytest.mark.parametrize("exclude", ["all", "Net", "*/weights,*/BatchNorm,*/biases", "-Nothing,all"])
def test_excluding_everything_is_an_error(exclude):
    text = error(net(5), net(5), exclude)
    if exclude.startswith("-"):
        assert "'Nothing' matches no variable" in text
    else:
        assert text == (
            f"--checkpoint_exclude_scopes={exclude} excludes all 34 variables of the network, so nothing is left to "
            f"restore: exclude less, or leave --checkpoint_path out to train from scratch"
        )


def test_a_network_that_is_all_head_and_does_not_fit_has_nothing_to_restore():
    wanted, found = {"Linear/logits/weights": (12, 5)}, {"Linear/logits/weights": (12, 7)}
    text = error(wanted, found, heads=("Linear/logits",))
    assert last_line(text) == "Nothing is left to restore: leave --checkpoint_path out to train from scratch"


def test_a_pattern_that_neither_side_has_names_the_flag():
    text = error(net(5), net(1001), "Net/Logit,Net/AuxLogits")
    assert text.endswith("Use --checkpoint_exclude_scopes=Net/Logit*,Net/AuxLogits")


def test_programs_without_the_flag_do_not_propose_it():
    text = error(net(5), net(1001), can_exclude=False)
    assert "exclude" not in text
    assert last_line(text).endswith("check --model_name and --checkpoint_path")


# -- table and summary ----------------------------------------------------------------------------


def test_the_table_has_all_variables_of_both_sides():
    wanted = {"a/w": (2, 3), "a/b": (3,), "c/w": (3, 3), "head/w": (3, 5), "s": ()}
    found = {"a/w": (2, 3), "c/w": (3, 4), "head/w": (3, 9), "s": (), "z/w": (1,), "global_step": ()}
    result = restore.compare(wanted, found, "head/w", ("head",), source="x.ckpt")
    assert result.table().splitlines() == [
        "= a/w     2x3     restored",
        "- a/b     3       missing in the checkpoint",
        "! c/w     3x3     checkpoint has 3x4",
        "x head/w  3x5     excluded, starts new",
        "= s       scalar  restored",
        "+ z/w     1       not in the network",
        "2 restored (=), 1 excluded (x), 1 missing (-), 1 of another shape (!), 1 not in the network (+), "
        "1 optimizer slots, averages and the like left aside",
    ]
    assert not result.fits


def test_the_summary_is_one_line():
    assert plan(net(5), net(5)).summary() == "34 of 34 variables restored from x.ckpt"
    assert plan(net(5), net(9), "head").summary() == (
        "30 of 34 variables restored from x.ckpt; new: Net/AuxLogits, Net/Logits"
    )


def test_none_of_this_needs_tensorflow(project_root):
    code = "import sys, checkpoints.restore, checkpoints.averages; print('tensorflow' in sys.modules)"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, cwd=project_root, capture_output=True, text=True, check=True).stdout == "False\n"
