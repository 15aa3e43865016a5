import collections
import random

import pytest

from common.errors import UserError
from datasets import splits
from datasets.sources import Item


def items(*sizes):
    return [Item(f"class{label}/{k}.jpg", label) for label, size in enumerate(sizes) for k in range(size)]


def classes(members):
    return dict(sorted(collections.Counter(item.label for item in members).items()))


@pytest.mark.parametrize(
    ("sizes", "total", "taken"),
    [
        ([300, 300, 300], 90, [30, 30, 30]),
        ([100, 50, 10], 16, [10, 5, 1]),
        ([1000, 3, 2], 5, [3, 1, 1]),  # at least one of each
        ([1000, 1], 5, [5, 0]),  # never the last one
        ([5, 5, 5], 4, [2, 1, 1]),
        ([5, 5, 5], 2, [1, 1, 0]),  # not possible for all
        ([2, 2], 4, [1, 1]),  # no more than leaves one each
        ([10, 10], 0, [0, 0]),
        ([], 0, []),
    ],
)
def test_each_class_gives_its_share(sizes, total, taken):
    assert splits.allocate(sizes, total) == taken


def test_split_and_order_depend_on_seed_and_keys_alone():
    everything = items(20, 30)
    plan = splits.plan(everything, seed=3, fraction=0.2)
    for seed in range(3):
        shuffled = random.Random(seed).sample(everything, len(everything))
        assert splits.plan(shuffled, seed=3, fraction=0.2) == plan
    assert splits.plan(everything, seed=4, fraction=0.2) != plan
    # Written down once: the same on every machine, in every version.
    assert [item.key for item in plan["validation"]][:3] == PINNED


PINNED = ["class1/9.jpg", "class0/13.jpg", "class0/5.jpg"]


def test_splits_are_stratified_whole_and_disjoint():
    plan = splits.plan(items(100, 50, 10), seed=0)
    assert {split: classes(members) for split, members in plan.items()} == {
        "train": {0: 90, 1: 45, 2: 9},
        "validation": {0: 10, 1: 5, 2: 1},
    }
    keys = [item.key for members in plan.values() for item in members]
    assert sorted(keys) == sorted(item.key for item in items(100, 50, 10))
    first = [item.label for item in plan["train"][:30]]
    assert len(set(first)) == 3  # in mixed order


def test_one_file_less_moves_hardly_any_other():
    before = splits.plan(items(100, 100), seed=0, fraction=0.2)
    after = splits.plan(items(100, 100)[1:], seed=0, fraction=0.2)
    moved = {item.key for item in before["validation"]} ^ {item.key for item in after["validation"]}
    assert len(moved) <= 2


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({"count": 7}, {"train": 13, "validation": 7}),
        ({"count": 0}, {"train": 20}),
        ({"fraction": 0.0}, {"train": 20}),
        ({"fraction": 0.01}, {"train": 18, "validation": 2}),
    ],
)
def test_count_and_fraction(options, sizes):
    plan = splits.plan(items(10, 10), seed=0, **options)
    assert {split: len(members) for split, members in plan.items()} == sizes


def test_count_that_leaves_nothing_to_train_on():
    with pytest.raises(UserError, match="--validation_count=9 is too many: of 10 images in 2 classes at most 8"):
        splits.plan(items(5, 5), seed=0, count=9)


def test_named_splits_are_kept():
    given = [item._replace(split="test") for item in items(4, 4)] + [Item(f"t/{k}", k % 2) for k in range(20)]
    plan = splits.plan(given, seed=0)
    assert {split: len(members) for split, members in plan.items()} == {"test": 8, "train": 18, "validation": 2}
    given += [Item("v/0", 0, "validation")]
    plan = splits.plan(given, seed=0)
    assert {split: len(members) for split, members in plan.items()} == {"test": 8, "train": 20, "validation": 1}
