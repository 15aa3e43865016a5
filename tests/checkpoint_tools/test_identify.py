"""Every network is told by the names and shapes of its checkpoint."""

import json
import pathlib

import pytest

from checkpoint_tools import identify as identify_lib
from checkpoint_tools import signatures
from checkpoint_tools.identify import identify
from nets import registry
from nets.network import Network

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
NAMES = registry.names()


def golden(name):
    """Shapes of a network with 10 classes, as read off the original; the project's copy where it lies alone."""
    for folder in (ROOT.parent / "shared" / "goldens", ROOT / "tests" / "goldens"):
        path = folder / f"{name}.json"
        if path.exists():
            return {
                variable["name"]: tuple(variable["shape"]) for variable in json.loads(path.read_text())["variables"]
            }
    return pytest.fail(f"no golden of {name}: python tests/make_golden.py {name}")


def signature(name):
    return next(signature for signature in signatures.stored() if signature.model_name == name)


def test_there_is_a_signature_of_every_network():
    stored = {signature.model_name: signature for signature in signatures.stored()}
    assert tuple(stored) == NAMES, "run python -m checkpoint_tools.signatures"
    for record in registry.records():
        told = stored[record.name]
        assert (told.image_size, told.channels, told.num_classes, told.head_scopes) == (
            record.image_size,
            record.channels,
            record.num_classes,
            record.head_scopes,
        ), "run python -m checkpoint_tools.signatures"


@pytest.mark.parametrize("name", ["linear", "lenet", "cifarnet", "mobilenet_v1_025"])
def test_stored_signatures_are_those_of_the_networks(name):
    made = signatures.make(name)
    assert list(made.variables.items()) == list(signature(name).variables.items()), (
        "run python -m checkpoint_tools.signatures"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_all_stored_signatures_are_those_of_the_networks(name):
    assert signatures.make(name) == signature(name), "run python -m checkpoint_tools.signatures"


@pytest.mark.parametrize("name", NAMES)
def test_every_network_is_told(name):
    shapes = golden(name)
    found = identify(shapes)
    assert (found.model_name, found.num_classes) == (name, 10)
    assert found.channels == (None if name == "linear" else registry.get(name).channels)
    # NASNet's drop path counts steps somewhere deep in it, where the first layer is that asks for the step.
    assert found.variables == {key: shape for key, shape in shapes.items() if not key.endswith("/global_step")}
    assert (found.has_averages, found.slots, found.optimizer, found.rename) == (False, (), None, None)
    assert found.auxiliary == (True if signature(name).auxiliary_scopes else None)
    assert found.image_size in (None, registry.get(name).image_size)


@pytest.mark.parametrize("name", NAMES)
def test_other_classes_slots_averages_and_a_scope_around_it_change_nothing(name):
    shapes = signature(name).shapes(num_classes=1001)
    kept = {
        f"{variable}{end}": shape
        for variable, shape in shapes.items()
        for end in ("", "/RMSProp", "/RMSProp_1", "/ExponentialMovingAverage")
    }
    found = identify(kept | {"global_step": (), "learning_rate": ()})
    assert (found.model_name, found.num_classes) == (name, 1001)
    assert (found.has_averages, found.only_averages) == (True, False)
    assert (found.slots, found.optimizer) == (("RMSProp", "RMSProp_1"), "rmsprop")
    assert found.variables == shapes
    if name == "nasnet_mobile" or len(shapes) < 300:  # of the deepest ones it takes a while
        found = identify({f"module/{variable}": shape for variable, shape in kept.items()})
        assert (found.model_name, str(found.rename)) == (name, "module:")


@pytest.mark.parametrize(
    ("slots", "optimizer"),
    [
        (("Momentum",), "momentum"),
        (("Adam", "Adam_1"), "adam"),
        (("Adagrad",), "adagrad"),
        (("Adadelta", "Adadelta_1"), "adadelta"),
        (("Ftrl", "Ftrl_1"), "ftrl"),
        ((), None),
    ],
)
def test_the_optimizer_is_told_by_its_slots(slots, optimizer):
    shapes = signature("lenet").shapes()
    shapes |= {f"LeNet/fc4/weights/{slot}": (1024, 10) for slot in slots}
    found = identify(shapes)
    assert (found.model_name, found.slots, found.optimizer) == ("lenet", slots, optimizer)


@pytest.mark.parametrize(
    ("name", "size", "channels"),
    [
        ("linear", 28, 1),
        ("linear", 64, 3),
        ("cifarnet", 64, 3),
        ("lenet", 64, 1),
        ("lenet", 28, 3),
        pytest.param("inception_v4", 363, 3, marks=pytest.mark.slow),
        ("mobilenet_v1_025", 128, 4),
        ("inception_v2", 224, 1),
    ],
)
def test_image_size_and_channels_where_the_shapes_tell_them(name, size, channels):
    """From networks that are built, not from signatures."""
    built = Network(name, 7, image_size=size, channels=channels).shapes
    found = identify(built)
    assert (found.model_name, found.num_classes) == (name, 7)
    assert found.channels == (None if name == "linear" else channels)
    if name in ("mobilenet_v1_025", "inception_v2"):  # the same variables at any size
        assert found.image_size is None
    else:  # the very size, or one that makes the same variables
        again = Network(name, 7, image_size=found.image_size, channels=channels).shapes
        assert again == built
        assert abs(found.image_size - size) <= 32
    assert identify_lib.compare(signature(name), built).fits


def test_heads_may_be_missing():
    shapes = signature("inception_v3").shapes()
    without_aux = {name: shape for name, shape in shapes.items() if "/AuxLogits/" not in name}
    found = identify(without_aux)
    assert (found.model_name, found.num_classes, found.auxiliary) == ("inception_v3", 1001, False)
    assert found.candidates[0].missing_heads == ("InceptionV3/AuxLogits",)
    body = {name: shape for name, shape in without_aux.items() if "/Logits/" not in name}
    found = identify(body)
    assert (found.model_name, found.num_classes) == ("inception_v3", None)


def test_a_head_that_is_there_in_part_is_missing_something():
    shapes = signature("inception_v3").shapes()
    del shapes["InceptionV3/Logits/Conv2d_1c_1x1/biases"]
    found = identify(shapes)
    assert found.model_name is None
    assert found.candidates[0].missing == ("InceptionV3/Logits/Conv2d_1c_1x1/biases",)


def test_a_near_miss_says_what_differs():
    shapes = signature("resnet_v1_50").shapes(num_classes=5)
    shapes["resnet_v1_50/conv1/weights"] = (3, 3, 3, 64)
    shapes["resnet_v1_50/attention/weights"] = (64, 64)
    del shapes["resnet_v1_50/conv1/BatchNorm/beta"]
    found = identify(shapes)
    assert (found.model_name, found.num_classes) == (None, 5)
    best = found.candidates[0]
    assert (best.model_name, best.fits, best.differences) == ("resnet_v1_50", False, 3)
    assert best.mismatched == {"resnet_v1_50/conv1/weights": ((7, 7, 3, 64), (3, 3, 3, 64))}
    assert best.missing == ("resnet_v1_50/conv1/BatchNorm/beta",)
    assert best.extra == ("resnet_v1_50/attention/weights",)
    assert best.score > 0.98


def test_another_root_scope_is_recognised():
    shapes = signature("mobilenet_v2").shapes()
    other = {name.replace("MobilenetV2/", "tower/backbone/"): shape for name, shape in shapes.items()}
    found = identify(other)
    assert (found.model_name, str(found.rename)) == ("mobilenet_v2", "tower/backbone:MobilenetV2")


def test_averages_alone_are_a_network_too():
    shapes = {f"{name}/ExponentialMovingAverage": shape for name, shape in signature("lenet").shapes().items()}
    found = identify(shapes)
    assert (found.model_name, found.only_averages, found.has_averages) == ("lenet", True, True)


def test_auxiliary_classifiers_of_another_width_do_not_fit():
    shapes = signature("inception_v3").shapes(num_classes=5)
    scope = "InceptionV3/AuxLogits/Conv2d_2b_1x1"
    shapes |= {f"{scope}/weights": (1, 1, 768, 1001), f"{scope}/biases": (1001,)}
    found = identify(shapes)
    assert (found.model_name, found.num_classes) == (None, 5)
    assert set(found.candidates[0].mismatched) == {f"{scope}/weights", f"{scope}/biases"}


@pytest.mark.parametrize("shapes", [{}, {"global_step": ()}, {"a/b": (3,)}])
def test_nothing_is_told_of_what_nobody_knows(shapes):
    found = identify(shapes)
    assert (found.model_name, found.num_classes, found.candidates) == (None, None, ())


def test_networks_of_ones_own_are_tried_too():
    own = signatures.Signature(
        "mine", {"Mine/conv/weights": (3, 3, "C", 8), "Mine/logits/weights": (8, "K")}, 64, 3, 10, ("Mine/logits",)
    )
    found = identify({"Mine/conv/weights": (3, 3, 1, 8), "Mine/logits/weights": (8, 4)}, [own])
    assert (found.model_name, found.num_classes, found.channels) == ("mine", 4, 1)
