"""The words of `--augmentation`: what can be done to training images, and what each operation takes.

docs/augmentation.md shows this table; a test compares them.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Argument:
    """A number that an operation takes.

    Attributes:
        name: for `name=value`.
        default: None where it must be given.
        minimum, maximum: the least and the largest that is allowed.
        meaning: what it is, with its unit.
        whole: whether it must be a whole number.
    """

    name: str
    default: float | None
    minimum: float
    maximum: float
    meaning: str
    whole: bool = False


@dataclasses.dataclass(frozen=True)
class Operation:
    """A word of the language: what it takes and does, and when it is done (see `STAGES`)."""

    name: str
    stage: str
    meaning: str
    arguments: tuple[Argument, ...] = ()


# In this order, whatever the order of the words; the operations of one stage in the order in which they are written.
STAGES = ("crop", "image", "batch")


def _chance(default: float) -> Argument:
    return Argument("probability", default, 0, 1, "of doing it to an image")


def _strength(default: float, what: str) -> Argument:
    return Argument("strength", default, 0, 1, f"{what} is multiplied by 1 - strength to 1 + strength")


_ALL = (
    Operation("recipe", "crop", "the recipe's own random steps, which other operations then follow"),
    Operation(
        "scale",
        "crop",
        "cuts a window of random area and shape out of the whole image and scales it to the network's size",
        (
            Argument("smallest", None, 0.01, 1, "least area of the window, as a share of the image's"),
            Argument("largest", 1, 0.01, 1, "largest area"),
            Argument("aspect", 4 / 3, 1, 10, "largest ratio of the window's sides"),
        ),
    ),
    Operation("flip", "image", "mirrors left and right", (_chance(0.5),)),
    Operation("flip_vertical", "image", "mirrors top and bottom", (_chance(0.5),)),
    Operation(
        "translate",
        "image",
        "moves the image; its mirror image fills the rim",
        (Argument("share", 0.1, 0, 1, "of height and width, the farthest, either way"),),
    ),
    Operation(
        "rotate",
        "image",
        "turns the image; its mirror image fills the corners",
        (Argument("degrees", 15, 0, 180, "the farthest, either way"),),
    ),
    Operation(
        "shear",
        "image",
        "slants the image; its mirror image fills the corners",
        (Argument("degrees", 10, 0, 60, "the farthest, either way"),),
    ),
    Operation(
        "colour",
        "image",
        "changes brightness, contrast, saturation and hue at once",
        (
            _strength(0.4, "each of brightness, contrast and saturation"),
            Argument("hue", 0.1, 0, 0.5, "part of the full circle of colours, the farthest, either way"),
        ),
    ),
    Operation("brightness", "image", "makes the image lighter or darker", (_strength(0.4, "every value"),)),
    Operation(
        "contrast", "image", "moves values away from medium gray or towards it", (_strength(0.4, "the distance"),)
    ),
    Operation(
        "saturation",
        "image",
        "moves colours away from gray of their lightness or towards it",
        (_strength(0.4, "the distance"),),
    ),
    Operation(
        "hue",
        "image",
        "turns the colours at their lightness",
        (Argument("turn", 0.1, 0, 0.5, "part of the full circle of colours, the farthest, either way"),),
    ),
    Operation("grayscale", "image", "takes the colours away", (_chance(0.2),)),
    Operation("autocontrast", "image", "stretches each channel to the full range", (_chance(0.5),)),
    Operation("equalize", "image", "makes each channel's values about equally frequent", (_chance(0.5),)),
    Operation(
        "posterize",
        "image",
        "keeps the highest bits of each value",
        (Argument("bits", 4, 1, 8, "kept of 8", whole=True), _chance(0.5)),
    ),
    Operation(
        "solarize",
        "image",
        "inverts the values from a threshold on",
        (Argument("threshold", 128, 0, 256, "on the scale 0 to 255"), _chance(0.5)),
    ),
    Operation("sharpness", "image", "sharpens or softens", (_strength(0.5, "the difference to a smoothed image"),)),
    Operation(
        "blur",
        "image",
        "blurs by a Gaussian",
        (Argument("sigma", 2, 0.1, 10, "the largest standard deviation, in pixels"), _chance(0.5)),
    ),
    Operation(
        "cutout",
        "image",
        "covers a gray square, anywhere (DeVries and Taylor 2017)",
        (Argument("share", 0.25, 0.01, 1, "side of the square, of the image's smaller side"), _chance(1)),
    ),
    Operation(
        "erase",
        "image",
        "covers a rectangle with noise (random erasing, Zhong et al. 2017)",
        (
            _chance(0.25),
            Argument("smallest", 0.02, 0.001, 1, "least area, as a share of the image's"),
            Argument("largest", 0.33, 0.001, 1, "largest area"),
        ),
    ),
    Operation(
        "randaugment",
        "image",
        "some operations out of 14, drawn anew for each image (Cubuk et al. 2020)",
        (
            Argument("layers", 2, 1, 8, "how many, one after the other", whole=True),
            Argument("magnitude", 9, 0, 30, "how strong; 10 is the end of the published ranges"),
        ),
    ),
    Operation(
        "trivialaugment",
        "image",
        "one operation out of 14 at a random strength, over wide ranges (Mueller and Hutter 2021)",
    ),
    Operation(
        "mixup",
        "batch",
        "blends each image and its label with another one's (Zhang et al. 2018)",
        (Argument("alpha", 0.2, 0.01, 100, "of the beta distribution of the shares"), _chance(1)),
    ),
    Operation(
        "cutmix",
        "batch",
        "pastes a rectangle of another image; the labels' shares are those of the areas (Yun et al. 2019)",
        (Argument("alpha", 1, 0.01, 100, "of the beta distribution of the shares"), _chance(1)),
    ),
)
OPERATIONS: dict[str, Operation] = {operation.name: operation for operation in _ALL}
NONE = "none"  # nothing random: images as in evaluation
SPELLINGS = {"color": "colour"}
ONCE = ("recipe", "scale", "mixup", "cutmix")

PRESETS: dict[str, str] = {
    "light": "scale(0.5,1),flip",
    "medium": "scale(0.25,1),flip,colour(0.3,0.05)",
    "strong": "scale(0.08,1),flip,randaugment(2,9),erase(0.25),mixup(0.2),cutmix(1)",
    "trivial": "scale(0.25,1),flip,trivialaugment",
}
