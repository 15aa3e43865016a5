"""Parameters and multiply-adds of a prediction."""

import json
import math

import pytest

from nets import cost, registry

RECORDS = registry.records()


@pytest.mark.parametrize(
    ("name", "parameters", "multiply_adds"),
    [
        ("linear", 32 * 32 * 3 * 10 + 10, 32 * 32 * 3 * 10),
        (
            "lenet",
            (25 * 32 + 32) + (25 * 32 * 64 + 64) + (3136 * 1024 + 1024) + (1024 * 10 + 10),
            28 * 28 * 32 * 25 + 14 * 14 * 64 * 25 * 32 + 3136 * 1024 + 1024 * 10,
        ),
        # The paper's network without its classifier is given as 3,185,088 weights (no batch norm) and 567,716,352.
        ("mobilenet_v1", 3_185_088 + 2 * 10_944 + 1025 * 1001, 567_716_352 + 1024 * 1001),
    ],
)
def test_costs_worked_by_hand(name, parameters, multiply_adds):
    assert cost.measure(name) == (parameters, multiply_adds)


def test_options_and_sizes_count():
    assert cost.measure("mobilenet_v1", 1001, 128, depth_multiplier=0.75).multiply_adds == 106_002_432 + 768 * 1001
    assert cost.measure("linear", num_classes=3, image_size=4).parameters == 4 * 4 * 3 * 3 + 3


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_the_record_says_what_is_measured(record):
    measured = cost.measure(record.name)
    assert (record.parameters, record.multiply_adds) == measured, f"write parameters={measured[0]:_}, ={measured[1]:_}"


@pytest.mark.parametrize("name", [record.name for record in RECORDS])
def test_parameters_are_the_trained_ones_of_the_golden_without_the_auxiliary_head(name, golden_tools):
    golden = json.loads((golden_tools.GOLDENS / f"{name}.json").read_text())
    trained = [
        math.prod(variable["shape"])
        for variable in golden["variables"]
        if variable["trainable"] and not variable["name"].startswith("aux_") and "/AuxLogits/" not in variable["name"]
    ]
    assert cost.measure(name, golden["num_classes"]).parameters == sum(trained)
