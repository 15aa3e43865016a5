"""The language of `--augmentation`: what it accepts, and what it says of what it does not."""

import pathlib
import re
import subprocess
import sys

import pytest

from preprocessing import augmentation
from preprocessing.augmentation_words import OPERATIONS, PRESETS, STAGES

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flip", "flip(probability=0.5)"),
        ("flip(0.3)", "flip(probability=0.3)"),
        (" flip ( probability = .3 ) ", "flip(probability=0.3)"),
        ("erase(0.5,largest=1e-1)", "erase(probability=0.5, smallest=0.02, largest=0.1)"),
        ("posterize()", "posterize(bits=4, probability=0.5)"),
        ("color(0.2)", "colour(strength=0.2, hue=0.1)"),
        # The crop comes first and the batch last, the rest as written.
        ("mixup,hue,flip,scale(0.5)", "scale hue flip mixup"),
        ("cutmix,recipe,blur", "recipe blur cutmix"),
        ("flip,flip", "flip flip"),
        ("none", ""),
        ("light", "scale flip"),
        ("light,rotate(5)", "scale flip rotate"),
        # What may be there only once takes the place of a preset's, before or after it.
        ("strong,mixup(0.4)", "scale flip randaugment erase mixup cutmix"),
        ("mixup(0.4),strong", "scale flip randaugment erase mixup cutmix"),
        ("scale(0.9),light", "scale flip"),
    ],
)
def test_a_text_becomes_steps(text, expected):
    parsed = augmentation.parse(text)
    if "(" in expected:
        assert str(parsed) == expected
    else:
        assert [step.operation.name for step in parsed.steps] == expected.split()


@pytest.mark.parametrize("text", ["strong,mixup(0.4)", "mixup(0.4),strong"])
def test_own_arguments_win_over_a_presets(text):
    assert "mixup(alpha=0.4, probability=1)" in str(augmentation.parse(text))


def test_what_is_written_for_a_text_means_the_same():
    for text in ["none", *PRESETS, ",".join(name for name in OPERATIONS if name not in ("recipe", "scale"))]:
        written = str(augmentation.parse(text))
        assert str(augmentation.parse(written)) == written


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "character 1: a name is missing"),
        ("flip,", "character 6: a name is missing"),
        ("flip,3", "character 6: expected the name of an operation, found '3'"),
        ("flip;rotate", "character 5: expected ',' or the end, found ';'"),
        ("rotate 15", "character 8: expected ',' or the end, found '15'"),
        ("flip, rotat(15)", "character 7: unknown operation 'rotat'; did you mean 'rotate' or 'contrast'? Known: auto"),
        ("rotate(15", "character 10: expected ',' or ')', found the end"),
        ("rotate(15))", "character 11: expected ',' or the end, found ')'"),
        ("rotate(", "character 8: expected a number, found the end"),
        ("rotate(x)", "character 8: expected a number, found 'x'"),
        ("rotate(degrees=)", "character 8: expected a number, found ')'"),
        ("rotate(300)", "character 8: degrees of rotate must be 0 to 180 (the farthest, either way), found 300"),
        ("posterize(2.5)", "character 11: bits of posterize must be a whole number of 1 to 8 (kept of 8), found 2.5"),
        ("rotate(deg=3)", "character 8: rotate has no argument 'deg'; it takes at most 1 argument (degrees)"),
        ("flip(0.5,1)", "character 10: flip takes at most 1 argument (probability), found 2"),
        ("trivialaugment(2)", "character 16: trivialaugment takes no arguments, found 1"),
        ("erase(1,probability=1)", "character 9: probability of erase is there twice"),
        ("scale", "character 1: scale needs smallest (least area of the window, as a share of the image's)"),
        ("scale(.7,.5)", "character 1: smallest of scale must be at most largest, found 0.7 and 0.5"),
        ("mixup,mixup", "character 7: mixup is there twice"),
        ("recipe,light", "character 1: 'recipe' and 'scale' both cut the image to size"),
        ("medium(3)", "character 1: the preset 'medium' takes no arguments; it stands for scale(0.25,1),flip"),
        ("none,flip", "character 1: 'none' stands alone"),
        ("none(5)", "character 1: 'none' takes no arguments"),
        ("none()", "character 1: 'none' takes no arguments"),
        ("light, medium", "character 8: medium (scale(0.25,1),flip,colour(0.3,0.05)) is a second preset after light ("),
        ("light,blur,light", "character 12: light (scale(0.5,1),flip) is a second preset after light"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)) as error:
        augmentation.parse(text)
    assert "\n" not in str(error.value)


def test_the_language_needs_no_tensorflow():
    code = "import sys, preprocessing.augmentation as a; a.parse('strong'); sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_defaults_are_within_their_ranges():
    for operation in OPERATIONS.values():
        assert operation.stage in STAGES
        for argument in operation.arguments:
            assert argument.default is None or argument.minimum <= argument.default <= argument.maximum


def test_the_documentation_has_every_word():
    text = (ROOT / "docs/augmentation.md").read_text()
    for operation in OPERATIONS.values():
        arguments = ", ".join(
            argument.name if argument.default is None else f"{argument.name}={argument.default:.3g}"
            for argument in operation.arguments
        )
        row = f"| `{operation.name}({arguments})` |" if arguments else f"| `{operation.name}` |"
        assert row in text, row
        for argument in operation.arguments:
            assert f"{argument.minimum:g} to {argument.maximum:g}" in text
    for name, meaning in PRESETS.items():
        assert f"| `{name}` | `{meaning}` |" in text
