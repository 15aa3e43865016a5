"""Reads off timm and torchvision what the tests compare with where these libraries are not installed.

    python tests/checkpoint_tools/make_torch_facts.py

writes torch_facts.json.gz: for each model the names and shapes of its state dict, and its logits for weights and images
that `checkpoint_tools.conversion.drawn_weights` makes by a rule. Where a model is not the same function as ours,
`like_slim` has the logits with the named differences taken out of it.
"""

import contextlib
import functools
import gzip
import importlib
import json
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import numpy as np

from checkpoint_tools.conversion import drawn_weights, torch_files, torch_measure

FACTS = pathlib.Path(__file__).with_name("torch_facts.json.gz")
IMAGES = 2
_SMALL = 97  # odd in most maps; no multiple of anything


def image_size(network: str) -> int:
    """Side of the images: small, but large enough for the network."""
    return 224 if network.startswith("vgg") else 139 if network.startswith("inception") else _SMALL


def load() -> dict[str, dict[str, Any]]:
    """`framework/name` -> facts, as this program wrote them."""
    return json.loads(gzip.decompress(FACTS.read_bytes()))


def facts(network: str, framework: str, name: str) -> dict[str, Any]:
    """Measures one model."""
    model = torch_measure.build(framework, name)
    shapes = torch_measure.state_shapes(model)
    torch_measure.load(model, drawn_weights.draw(shapes, torch_measure.GAINS.get(network, 1.0)))
    images = drawn_weights.draw_images(IMAGES, image_size(network))
    with like_slim(model):
        changed = torch_measure.outputs(model, images)
    return {
        "network": network,
        "shapes": shapes,
        "logits": torch_measure.outputs(model, images).tolist(),
        "like_slim": changed.tolist(),
    }


@contextlib.contextmanager
def like_slim(model: Any) -> Iterator[None]:
    """Takes out of a model of timm what tells it from Slim's network: pools that count zeros, and the gates' 1/6."""
    import torch.nn.functional
    from timm.layers import padding

    inception_v3 = importlib.import_module("timm.models.inception_v3")  # the package has a function of this name

    def pool_same(module: Any, net: Any) -> Any:
        def mean(net: Any) -> Any:
            padded = padding.pad_same(net, module.kernel_size, module.stride)
            return torch.nn.functional.avg_pool2d(padded, module.kernel_size, module.stride)

        return mean(net) / mean(torch.ones_like(net))

    def gate(net: Any) -> Any:
        return torch.nn.functional.relu6(net + 3) * 0.16667

    functional = inception_v3.F
    replaced = []
    for module in model.modules():
        if type(module).__name__ == "AvgPool2dSame":
            replaced.append((module, "forward", functools.partial(pool_same, module)))
        if type(module).__name__ == "SqueezeExcite":
            replaced.append((module.gate, "forward", gate))
    for module, attribute, value in replaced:
        setattr(module, attribute, value)
    inception_v3.F = _Functional(functional)
    try:
        yield
    finally:
        inception_v3.F = functional
        for module, attribute, _ in replaced:
            delattr(module, attribute)


class _Functional:
    """`torch.nn.functional` whose average pools do not count the padding."""

    def __init__(self, functional: Any):
        self._functional = functional

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._functional, name)
        return functools.partial(function, count_include_pad=False) if name == "avg_pool2d" else function


def main() -> None:
    """Writes the facts of all models."""
    found = {}
    for network, models in torch_files.MODELS.items():
        for model in models:
            key = f"{model.framework}/{model.name}"
            found[key] = facts(network, model.framework, model.name)
            differences = np.abs(np.subtract(found[key]["logits"], found[key]["like_slim"])).max()
            print(key, len(found[key]["shapes"]), np.abs(found[key]["logits"]).max(), differences, flush=True)
    text = json.dumps(found, separators=(",", ":"))
    FACTS.write_bytes(gzip.compress(text.encode(), mtime=0))
    print(f"{FACTS.name}: {FACTS.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
