"""A network for images of 1, 4 or any number of channels, from a checkpoint for images of another number.

The kernel of the first convolution is the only variable that knows how many channels an image has. What is done to it
keeps the network's output where there is a way to:

    to 1 channel    the sum over the checkpoint's channels: a gray image gives what it gave as three equal channels
    from 1 channel  an equal share of the kernel to each: three equal channels give what the gray image gave
    to more         the checkpoint's channels, and zeros for the new ones: nothing changes until they are trained
    to 3 or more    of more: the first ones are kept, as if the others were zero
    to 2            an equal share of the sum to each, as from gray

The equality is one of what the network sees, after preprocessing, and up to rounding. Pure NumPy.
"""

from collections.abc import Callable, Mapping

import numpy as np

from checkpoints.adaptation import Adaptation, Shape

_CHANNELS = -2  # axis of the input channels in a kernel [*window, in, out]
_DEPTHWISE, _POINTWISE = "depthwise_weights", "pointwise_weights"


def adaptations(wanted: Mapping[str, Shape], found: Mapping[str, Shape]) -> dict[str, Adaptation]:
    """Returns how the first layer's variables are made where the images' channels are all that differs in it.

    Args:
        wanted: the network's variables, name -> shape, in the order in which it makes them.
        found: the checkpoint's.

    Returns:
        name -> adaptation; empty where the first layer fits, is missing, or differs in anything else, and where it is
        a separable convolution that would have to do with fewer channels (see `refusal`).
    """
    name = _first_kernel(wanted)
    if name is None or not _differs_in_channels(wanted, found, name):
        return {}
    ours, theirs = wanted[name][_CHANNELS], found[name][_CHANNELS]
    if not name.endswith(_DEPTHWISE):
        return {name: Adaptation(name, _channels(ours, theirs), _text(ours, theirs))}
    pointwise = _pointwise_of(name)
    if ours < theirs or not _is_whole(wanted, found, name, pointwise):
        return {}
    return {
        name: Adaptation(name, _depthwise(ours), _text(ours, theirs)),
        pointwise: Adaptation(pointwise, _pointwise(ours, theirs), _text(ours, theirs)),
    }


def refusal(wanted: Mapping[str, Shape], found: Mapping[str, Shape]) -> str:
    """Says why a first layer that differs in nothing but its channels cannot be made of the checkpoint's; "" else."""
    name = _first_kernel(wanted)
    if name is None or not name.endswith(_DEPTHWISE) or not _differs_in_channels(wanted, found, name):
        return ""
    ours, theirs = wanted[name][_CHANNELS], found[name][_CHANNELS]
    if ours >= theirs:
        return ""
    scope = name.rpartition("/")[0]
    return (
        f"{scope} is a separable convolution: what it makes of {theirs} channels, {ours} cannot stand for. Give it "
        f"images of {theirs} channels (leave --use_grayscale out), or begin anew there"
    )


def _first_kernel(wanted: Mapping[str, Shape]) -> str | None:
    """The first convolution's kernel: the first variable with a window."""
    return next((name for name, shape in wanted.items() if len(shape) >= 4), None)


def _differs_in_channels(wanted: Mapping[str, Shape], found: Mapping[str, Shape], name: str) -> bool:
    """Whether the number of input channels, and nothing else in its shape, differs."""
    ours, theirs = tuple(wanted[name]), tuple(found.get(name, ()))
    same = len(ours) == len(theirs) and ours[:_CHANNELS] == theirs[:_CHANNELS] and ours[-1] == theirs[-1]
    return same and ours[_CHANNELS] != theirs[_CHANNELS]


def _pointwise_of(name: str) -> str:
    return name.removesuffix(_DEPTHWISE) + _POINTWISE


def _is_whole(wanted: Mapping[str, Shape], found: Mapping[str, Shape], depthwise: str, pointwise: str) -> bool:
    """Whether the 1x1 kernel takes what the depthwise one gives, on both sides: channels times multiplier."""
    for shapes in (wanted, found):
        shape = shapes.get(pointwise, ())
        if len(shape) != len(shapes[depthwise]) or shape[_CHANNELS] != np.prod(shapes[depthwise][_CHANNELS:]):
            return False
    return wanted[pointwise][-1] == found[pointwise][-1]


def _text(ours: int, theirs: int) -> str:
    if ours == 1:
        return f"{theirs} channels summed to 1"
    if theirs == 1:
        return f"1 channel shared out to {ours}"
    if ours == 2:
        return f"the sum of {theirs} channels shared out to 2"
    if ours < theirs:
        return f"the first {ours} of {theirs} channels"
    return f"{theirs} channels, {ours - theirs} more at zero"


def _channels(ours: int, theirs: int) -> Callable[[np.ndarray], np.ndarray]:
    """Kernel [*window, theirs, out] -> [*window, ours, out]."""

    def apply(kernel: np.ndarray) -> np.ndarray:
        if ours > theirs > 1:
            return _with_zeros(kernel, ours - theirs)
        if 2 < ours < theirs:
            return kernel[..., :ours, :]
        total = kernel.sum(_CHANNELS, keepdims=True)
        return total if ours == 1 else np.repeat(total / kernel.dtype.type(ours), ours, _CHANNELS)

    return apply


def _depthwise(ours: int) -> Callable[[np.ndarray], np.ndarray]:
    """Kernel [*window, theirs, multiplier] -> [*window, ours, multiplier]: a new channel gets the mean filters.

    Not zeros: those and the zeros of the 1x1 kernel would keep each other's gradients at zero for ever.
    """

    def apply(kernel: np.ndarray) -> np.ndarray:
        mean = kernel.mean(_CHANNELS, keepdims=True)
        return np.concatenate([kernel, np.repeat(mean, ours - kernel.shape[_CHANNELS], _CHANNELS)], _CHANNELS)

    return apply


def _pointwise(ours: int, theirs: int) -> Callable[[np.ndarray], np.ndarray]:
    """1x1 kernel [1, 1, theirs * multiplier, out] -> [1, 1, ours * multiplier, out]."""

    def apply(kernel: np.ndarray) -> np.ndarray:
        multiplier = kernel.shape[_CHANNELS] // theirs
        if theirs == 1:
            return np.concatenate([kernel / kernel.dtype.type(ours)] * ours, _CHANNELS)
        return _with_zeros(kernel, (ours - theirs) * multiplier)

    return apply


def _with_zeros(kernel: np.ndarray, count: int) -> np.ndarray:
    shape = list(kernel.shape)
    shape[_CHANNELS] = count
    return np.concatenate([kernel, np.zeros(shape, kernel.dtype)], _CHANNELS)
