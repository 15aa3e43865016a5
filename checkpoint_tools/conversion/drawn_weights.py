"""Random weights and images by a rule, so that two programs make the same ones without a file: for measuring pairs."""

import zlib
from collections.abc import Mapping, Sequence

import numpy as np


def draw(shapes: Mapping[str, Sequence[int]], gain: float = 1.0) -> dict[str, np.ndarray]:
    """Weights for arrays of another framework, each a function of its name and shape alone.

    Kernels keep the size of what goes through them; batch norms' factors and variances lie around 1, all else around 0.

    Args:
        shapes: name -> shape, channels first.
        gain: what kernels are multiplied by.

    Returns:
        name -> float32 array, int64 where a name tells a counter.
    """
    return {name: _draw(name, tuple(shape), gain) for name, shape in shapes.items()}


def _draw(name: str, shape: tuple[int, ...], gain: float) -> np.ndarray:
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    uniform = np.random.default_rng(zlib.crc32(name.encode())).random(shape, np.float32)
    if name.endswith(("var", "gamma")) or (len(shape) == 1 and name.endswith("weight")):
        return uniform + np.float32(0.5)
    uniform -= np.float32(0.5)
    if len(shape) < 2:
        return uniform * np.float32(0.4)
    uniform *= np.sqrt(24 / np.prod(shape[1:]), dtype=np.float32) * np.float32(gain)  # a variance of 2 / fan in
    return uniform


def draw_images(count: int, size: int, seed: int = 0) -> np.ndarray:
    """Images, float32 [count, size, size, 3] in [-1, 1]: coarse patches and some noise."""
    rng = np.random.default_rng(seed)
    patch = -(-size // 6)
    coarse = rng.uniform(-0.8, 0.8, (count, 6, 6, 3)).repeat(patch, 1).repeat(patch, 2)[:, :size, :size]
    return (coarse + rng.uniform(-0.2, 0.2, coarse.shape)).astype(np.float32)
