"""Whether a pair with timm or torchvision is one function; needs PyTorch and these libraries."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from checkpoint_tools.conversion import drawn_weights, keras_measure
from checkpoint_tools.conversion.pairs import Pair, to_slim
from nets import registry

CLASSES = 10

# What keeps the numbers of residual and added paths from growing: kernels are multiplied by it.
GAINS = {
    "mobilenet_v3_large": 0.95,
    "mobilenet_v3_large_minimalistic": 0.85,
    "mobilenet_v3_small_minimalistic": 0.9,
    "nasnet_large": 0.79,
    "pnasnet_large": 0.77,
    "inception_v4": 0.97,
    "inception_resnet_v2": 0.95,
}


def measure(pair: Pair) -> tuple[float, float]:
    """See `torch_files.measure`.

    Raises:
        ImportError: PyTorch, timm or torchvision is not installed.
    """
    images = drawn_weights.draw_images(2, registry.get(pair.network).image_size)
    model = build(pair.framework, pair.other)
    weights = drawn_weights.draw(state_shapes(model), GAINS.get(pair.network, 1.0))
    load(model, weights)
    theirs = outputs(model, images)
    ours, _ = keras_measure.slim_outputs(pair.network, to_slim(pair, weights, pair.other), images)
    return float(np.abs(ours - theirs).max()), float(np.abs(theirs).max())


def build(framework: str, name: str, num_classes: int = CLASSES, **options: Any) -> Any:
    """Makes a model of timm or torchvision for predictions, with random weights."""
    if framework == "timm":
        import timm

        return timm.create_model(name, num_classes=num_classes, **options).eval()
    from torchvision import models

    return models.get_model(name, weights=None, num_classes=num_classes, **options).eval()


def state_shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """Name -> shape of all that a model's state dict holds."""
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def load(model: Any, weights: Mapping[str, np.ndarray]) -> None:
    """Gives a model all its weights; raises RuntimeError for a name or shape that does not fit."""
    import torch

    model.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in weights.items()}, strict=True)


def outputs(model: Any, images: np.ndarray) -> np.ndarray:
    """Logits [N, classes] of images [N, height, width, 3]."""
    import torch

    with torch.no_grad():
        return model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
