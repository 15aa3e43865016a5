"""Every network against its golden: the same variables, end points and numbers as the original Slim."""

import numpy as np
import pytest

from nets import registry

NAMES = registry.names()
# More than 100 million weights to draw (vgg_16 stands for them), or a deeper copy of 101 layers, or many cells
# (nasnet_mobile stands for them). Their names and shapes are checked always, their numbers by `make test-all`.
# Building the deepest as two graphs takes long already: their names are checked always by `test_network_goldens`.
DEEP = {
    "resnet_v1_152",
    "resnet_v1_200",
    "resnet_v2_152",
    "resnet_v2_200",
    "nasnet_cifar",
    "nasnet_large",
    "pnasnet_mobile",
    "pnasnet_large",
}
SLOW = DEEP | {
    "overfeat",
    "vgg_a",
    "vgg_19",
    "inception_v4",
}


def _each_network(slow):
    names = [pytest.param(name, marks=pytest.mark.slow) if name in slow else name for name in NAMES]
    return pytest.mark.parametrize("golden", names, indirect=True, scope="module")


each_network, each_network_some_slow = _each_network(DEEP), _each_network(SLOW)


def test_every_network_has_a_golden_and_every_golden_a_network(golden_tools):
    found = {path.stem for path in golden_tools.GOLDENS.glob("*.json")}
    missing = sorted(set(NAMES) - found)
    assert not missing, f"make them: python tests/make_golden.py {' '.join(missing)}"
    stale = sorted(found - set(NAMES))
    assert not stale, f"no such network is registered; remove these goldens: {stale}"


@each_network
def test_variables_have_the_names_shapes_and_order_of_the_golden(golden):
    assert golden.train.describe_variables() == golden.expected["variables"]


@each_network
def test_end_points_have_the_keys_shapes_and_order_of_the_golden(golden):
    train = {key: value.shape.as_list() for key, value in golden.train.end_points.items()}
    assert list(train.items()) == list(golden.expected["train_end_points"].items())
    evaluation = {key: value.shape.as_list() for key, value in golden.eval.end_points.items()}
    expected = {key: value["shape"] for key, value in golden.expected["eval_end_points"].items()}
    assert list(evaluation.items()) == list(expected.items())


@each_network
def test_update_ops_and_regularization_losses_are_as_many_as_in_the_golden(golden):
    assert len(golden.train.update_ops) == golden.expected["num_update_ops"]
    assert len(golden.train.losses) == golden.expected["num_regularization_losses"]
    assert not golden.eval.update_ops


@each_network
def test_record_tells_the_head_the_features_and_the_image_size(golden):
    record = registry.get(golden.name)
    assert record.image_size == golden.expected["default_image_size"]
    assert record.features in golden.eval.end_points
    classes = golden.expected["num_classes"]
    depend_on_classes = [v["name"] for v in golden.train.describe_variables() if v["shape"][-1:] == [classes]]
    for scope in record.head_scopes:
        assert any(name.startswith(f"{scope}/") for name in depend_on_classes), scope
    assert all(name.startswith(tuple(f"{scope}/" for scope in record.head_scopes)) for name in depend_on_classes)


@each_network_some_slow
def test_logits_and_end_points_have_the_numbers_of_the_golden(golden, golden_tools):
    logits, end_points = golden.run(golden.eval, [golden.eval.logits, golden.eval.end_points], golden.images)
    expected = np.array(golden.expected["eval_logits"])
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    for key, value in end_points.items():
        statistics, known = golden_tools.statistics(value), golden.expected["eval_end_points"][key]
        scale = max(known["abs_mean"], known["std"])
        for number in ("mean", "abs_mean", "std"):
            assert statistics[number] == pytest.approx(known[number], abs=1e-4 * scale), (key, number)


@each_network_some_slow
def test_regularization_loss_is_that_of_the_golden(golden):
    loss = golden.run(golden.train, golden.train.total_loss)
    assert loss == pytest.approx(golden.expected["regularization_loss"], rel=1e-5)
