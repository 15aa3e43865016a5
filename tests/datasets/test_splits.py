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


def groups_of(members):
    return {item.group for item in members}


def grouped(*sizes, photos=4):
    """Each class has objects of `photos` photos each."""
    return [
        Item(f"{label}/{k}.jpg", label, group=f"object{label}-{k // photos}")
        for label, size in enumerate(sizes)
        for k in range(size)
    ]


@pytest.mark.parametrize("options", [{"fraction": 0.2}, {"count": 16}, {"num_folds": 4}, {"test_fraction": 0.2}])
def test_a_group_goes_to_one_split(options):
    plan = splits.plan(grouped(40, 40), seed=1, **options)
    assert sum(len(groups_of(members)) for members in plan.values()) == 20
    assert splits.torn_groups(plan) == {}
    assert sum(map(len, plan.values())) == 80
    for seed in range(3):
        assert splits.plan(random.Random(seed).sample(grouped(40, 40), 80), seed=1, **options) == plan


def test_groups_are_stratified_as_far_as_they_allow():
    plan = splits.plan(grouped(40, 80), seed=0, fraction=0.1)
    assert classes(plan["validation"]) == {0: 4, 1: 8}
    # A group is taken where it brings the class nearer to its share: 3 of 8 wanted images are 4 or nothing.
    assert classes(splits.plan(grouped(8, 80), seed=0, fraction=0.3)["validation"]) == {0: 4, 1: 24}


def test_groups_too_large_for_their_share_still_give_every_class_one():
    plan = splits.plan(grouped(40, 40, photos=20), seed=0, fraction=0.1)
    assert {split: classes(members) for split, members in plan.items()} == {
        "train": {0: 20, 1: 20},
        "validation": {0: 20, 1: 20},
    }
    # One object only: it stays for training.
    plan = splits.plan([*grouped(40), *(Item(f"b/{k}", 1, group="b") for k in range(6))], seed=0, fraction=0.1)
    assert classes(plan["validation"]) == {0: 4}
    assert classes(plan["train"]) == {0: 36, 1: 6}


def test_a_group_follows_the_member_that_names_its_split():
    given = [*grouped(12, 12), Item("x", 0, "test", group="object0-0"), Item("y", 0, "test", group="object1-1")]
    plan = splits.plan(given, seed=0, fraction=0.2)
    assert len(plan["test"]) == 10
    torn = [Item("a", 0, "train", group="g"), Item("b", 0, "test", group="g"), Item("c", 0, group="g")]
    plan = splits.plan([*torn, *items(5, 5)], seed=0)
    assert splits.torn_groups(plan) == {"g": ["test", "train"]}
    assert {item.key for item in plan["train"]} >= {"a", "c"}


def test_folds_hold_every_example_once_and_are_stratified():
    plan = splits.plan(items(50, 23, 5), seed=0, num_folds=5)
    assert sorted(plan) == [f"fold{k}" for k in range(5)]
    assert sorted(item.key for members in plan.values() for item in members) == sorted(
        item.key for item in items(50, 23, 5)
    )
    counts = [collections.Counter(item.label for item in members) for members in plan.values()]
    assert [count[0] for count in counts] == [10] * 5
    assert sorted(count[1] for count in counts) == [4, 4, 5, 5, 5]
    assert [count[2] for count in counts] == [1] * 5
    assert {sum(count.values()) for count in counts} <= {15, 16}


def test_folds_move_hardly_where_a_file_is_gone():
    before = splits.plan(items(100, 100), seed=0, num_folds=5)
    after = splits.plan(items(100, 100)[1:], seed=0, num_folds=5)
    moved = [{item.key for item in before[fold]} ^ {item.key for item in after[fold]} for fold in before]
    assert sum(map(len, moved)) <= 2 * 5


def test_folds_take_in_validation_and_leave_test_alone():
    given = [
        item._replace(split=split)
        for split, item in zip(["train", "validation", "test"] * 10, items(15, 15), strict=True)
    ]
    plan = splits.plan(given, seed=0, num_folds=2)
    assert {split: len(members) for split, members in plan.items()} == {"fold0": 10, "fold1": 10, "test": 10}
    assert all(item.split == "test" for item in plan["test"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (items(2, 1), "--num_folds=4 is too many: there are 3 images; every fold needs one"),
        (grouped(8, 4), "--num_folds=4 is too many: there are 3 images or groups of images"),
    ],
)
def test_more_folds_than_images(given, message):
    with pytest.raises(UserError, match=message):
        splits.plan(given, seed=0, num_folds=4)


def test_folds_of_a_few_large_groups_are_none_of_them_empty():
    for seed in range(20):
        plan = splits.plan(grouped(40, 3, photos=20), seed=seed, num_folds=3)
        assert sorted(len(members) for members in plan.values()) == [3, 20, 20]


def test_a_test_split_is_drawn_beside_validation():
    plan = splits.plan(items(100, 50, 2), seed=0, fraction=0.1, test_fraction=0.2)
    assert classes(plan["test"]) == {0: 20, 1: 10}  # the class of two keeps one each for training and validation
    assert classes(plan["validation"]) == {0: 9, 1: 5, 2: 1}  # a tenth of 152 images
    assert sum(map(len, plan.values())) == 152
    plan = splits.plan([*items(10, 10), Item("t", 0, "test")], seed=0, test_fraction=0.5)
    assert [item.key for item in plan["test"]] == ["t"]  # there is one already


def test_images_of_several_classes_are_stratified_by_each():
    given = [Item(str(k), 0, labels=labels) for k, labels in enumerate([(0,), (0, 1), (1, 2), ()] * 25)]
    plan = splits.plan(given, seed=0, fraction=0.2)
    counts = collections.Counter(label for item in plan["validation"] for label in item.labels)
    for label, wanted in {0: 10, 1: 10, 2: 5}.items():
        assert abs(counts[label] - wanted) <= 1
    assert sum(item.labels == () for item in plan["validation"]) == 5
