"""A recipe with an augmentation in place of its own random steps."""

from collections.abc import Callable, Mapping
from typing import Any

from preprocessing import augmentation_ops, colour_ops, ops, randaugment
from preprocessing.augmentation import Augmentation, Step
from preprocessing.core import Op, Recipe, sequence

# Operations that move pixels: what they call the amount, and what `random_affine` calls it.
_MOVES = {"translate": ("share", "share"), "rotate": ("degrees", "degrees"), "shear": ("degrees", "shear")}


def chain(recipe: Recipe, augmentation: Augmentation, height: int, width: int, **options: Any) -> tuple[Op, ...]:
    """Returns the ops of training, `recipe.normalize` at the end included.

    The image gets to height x width by `scale`, else as in the recipe's evaluation, or as in its training where the
    augmentation keeps the `recipe`. Then come the augmentation's operations on images, in the order written;
    neighbours that move pixels (translate, rotate, shear) become one op, which interpolates once.

    Args:
      **options: the recipe's own; `use_grayscale` holds with `scale`, too.
    """
    steps = augmentation.stage("crop")
    if steps and steps[0].operation.name == "scale":
        sized = _scaled(steps[0].arguments, height, width, bool(options.get("use_grayscale")))
    else:
        sized = recipe.steps(height, width, bool(steps), **options)
    return (*sized, *_image_ops(augmentation.stage("image")), recipe.normalize)


def _scaled(arguments: Mapping[str, float], height: int, width: int, use_grayscale: bool) -> tuple[Op, ...]:
    crop = ops.distorted_crop(
        min_object_covered=0.0,
        aspect_ratio_range=(1.0 / arguments["aspect"], arguments["aspect"]),
        area_range=(arguments["smallest"], arguments["largest"]),
    )
    return sequence(crop, ops.resize(height, width), colour_ops.grayscale() if use_grayscale else None)


def _image_ops(steps: tuple[Step, ...]) -> list[Op]:
    made: list[Op] = []
    moves: dict[str, float] = {}

    def end_moves() -> None:
        if moves:
            made.append(augmentation_ops.random_affine(**moves))
            moves.clear()

    for step in steps:
        name = step.operation.name
        if name not in _MOVES:
            end_moves()
            made.append(_MAKERS[name](**step.arguments))
            continue
        own, argument = _MOVES[name]
        if argument in moves:
            end_moves()
        moves[argument] = step.arguments[own]
    end_moves()
    return made


_MAKERS: dict[str, Callable[..., Op]] = {
    "flip": ops.flip_left_right,
    "flip_vertical": augmentation_ops.flip_up_down,
    "colour": lambda strength, hue: augmentation_ops.random_colour(strength, strength, strength, hue),
    "brightness": lambda strength: augmentation_ops.random_colour(brightness=strength),
    "contrast": lambda strength: augmentation_ops.random_colour(contrast=strength),
    "saturation": lambda strength: augmentation_ops.random_colour(saturation=strength),
    "hue": lambda turn: augmentation_ops.random_colour(hue=turn),
    "grayscale": augmentation_ops.random_grayscale,
    "autocontrast": augmentation_ops.random_autocontrast,
    "equalize": augmentation_ops.random_equalize,
    "posterize": augmentation_ops.random_posterize,
    "solarize": augmentation_ops.random_solarize,
    "sharpness": augmentation_ops.random_sharpness,
    "blur": augmentation_ops.random_blur,
    "cutout": augmentation_ops.cutout,
    "erase": augmentation_ops.random_erase,
    "randaugment": randaugment.randaugment,
    "trivialaugment": randaugment.trivialaugment,
}
