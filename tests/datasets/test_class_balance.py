"""How often examples are drawn: by hand, exactly, and the same for the same seed and epoch."""

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from datasets import class_balance, input_pipeline, reading, records
from datasets.class_balance import Labels


def plain(encoded, seed=None):
    image = tf.cast(tf.io.decode_image(encoded, channels=1, expand_animations=False), tf.float32)
    return tf.ensure_shape(image, [2, 3, 1])


@pytest.fixture
def uneven(write_numbers, tmp_path):
    """30 examples: 24 of class 0, 4 of class 1, 1 of class 2, none of class 3, 1 of no class."""
    labels = [0] * 24 + [1] * 4 + [2] + [-1]
    return write_numbers(tmp_path, counts=(10, 20), labels=lambda k: labels[k])


def planned(dataset, balance, offset=0):
    share = reading.share(dataset)
    labels = class_balance.read_labels(dataset, share)
    return class_balance.plan(labels, balance, dataset, share, offset), labels.counts(dataset.num_classes, offset)


def drawn_in(dataset, plan, epoch, seed=3):
    """Labels of one epoch's examples."""
    stream = input_pipeline.train_batches(dataset, plain, batch_size=1, seed=seed, start_step=30 * epoch, balance=plan)
    return [(int(batch["image"][0, 0, 0, 0]), int(batch["label"][0])) for batch in stream.take(30)]


# Expected numbers of the classes: 30 * n ** (1 - b) / sum.
BY_HAND = [(1.0, [10, 10, 10]), (0.5, [30 * 24**0.5 / 7.898979, 30 * 2 / 7.898979, 30 / 7.898979])]


@pytest.mark.parametrize(("balance", "expected"), BY_HAND)
def test_numbers_of_the_classes(uneven, balance, expected):
    plan, counts = planned(uneven, balance)
    assert counts.tolist() == [24, 4, 1, 0]
    np.testing.assert_allclose(plan.drawn, [*expected, 0], rtol=1e-6)
    for epoch in range(4):
        drawn = drawn_in(uneven, plan, epoch)
        of_class = np.bincount([label for _, label in drawn], minlength=4)
        assert np.all(np.abs(of_class - plan.drawn) < 1), of_class
        assert of_class.sum() == 30
        times = np.bincount([number for number, _ in drawn], minlength=30)
        for label, members in enumerate((range(24), range(24, 28), [28])):
            each = plan.drawn[label] / len(members)
            assert set(times[members]) <= {int(each), int(each) + 1}
        assert times[29] == 0  # it has no class


def test_epochs_take_turns_with_the_examples_of_a_frequent_class(uneven):
    plan, _ = planned(uneven, 1.0)

    def times(epoch, seed=3):
        return tuple(class_balance.repeats(plan, seed, tf.constant(epoch, tf.int64)).numpy())

    epochs = [times(epoch) for epoch in range(12)]
    assert len(set(epochs)) == 12
    assert np.all(np.sum(epochs, axis=0)[:29] > 0)
    assert times(5) == epochs[5]
    assert times(5, seed=4) != epochs[5]


def test_an_offset_leaves_classes_out(uneven):
    plan, counts = planned(uneven, 1.0, offset=1)
    assert counts.tolist() == [4, 1, 0]
    np.testing.assert_allclose(plan.drawn, [15, 15, 0])
    assert {number for number, _ in drawn_in(uneven, plan, 0)} == {24, 25, 26, 27, 28}


def test_of_several_classes_the_rarest_decides_and_none_is_one_more(write_numbers, tmp_path):
    """9 examples of class 0, one of them of class 1 too, and 2 without a class: groups of 8, 1 and 2."""
    labels = [[0]] * 8 + [[0, 1]] + [[], []]
    several = write_numbers(tmp_path, counts=(11,), labels=lambda k: labels[k])
    plan, counts = planned(several, 1.0)
    assert counts.tolist() == [9, 1, 0, 0]
    assert plan.group.tolist() == [0] * 8 + [1, -1, -1]
    weights = np.array([1 / 9] * 8 + [1] + [1 / 2] * 2)
    expected = weights * 11 / weights.sum()
    np.testing.assert_allclose(plan.lengths / class_balance._UNIT, expected, rtol=1e-6)
    np.testing.assert_allclose(plan.drawn, [expected[:9].sum(), expected[8], 0, 0], rtol=1e-6)


def test_the_sum_is_exact_for_odd_numbers():
    """Whatever rounding does, an epoch has as many examples as the data: a run finds its place by that."""
    random = np.random.default_rng(0)
    for count in (1, 7, 1000, 100_003):
        classes = random.zipf(1.5, count) % 50
        dataset = type("Data", (), {"num_classes": 50, "multi_label": False, "name": "x"})
        share = reading.Share((), 0, count, True)
        for balance in (0.01, 1 / 3, 1.0):
            plan = class_balance.plan(Labels(np.arange(count), classes), balance, dataset, share)
            for epoch in range(3):
                times = class_balance.repeats(plan, 1, tf.constant(epoch, tf.int64)).numpy()
                assert (times.sum(), times.min() >= 0) == (count, True)


def test_no_class_at_all_is_told(write_numbers, tmp_path):
    with pytest.raises(UserError, match="no example of numbers has a class"):
        planned(write_numbers(tmp_path, labels=lambda k: -1), 1.0)


def test_labels_are_read_once(uneven, tmp_path, monkeypatch):
    share, path = reading.share(uneven), str(tmp_path / "run" / "labels.npz")
    first = class_balance.remembered_labels(path, uneven, share)
    monkeypatch.setattr(class_balance, "read_labels", None)
    again = class_balance.remembered_labels(path, uneven, share)
    np.testing.assert_array_equal(again.classes, first.classes)
    np.testing.assert_array_equal(again.examples, range(30))
    monkeypatch.undo()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/labels.npz cannot be written: "):
        class_balance.remembered_labels(str(tmp_path / "file" / "labels.npz"), uneven, share)
    half = reading.share(uneven, 2, 1)
    assert len(class_balance.remembered_labels(path, uneven, half).classes) == 15


def test_records_that_cannot_be_read_have_no_class(write_numbers, tmp_path):
    dataset = write_numbers(tmp_path, damage=lambda k, record: b"\xff" if k == 3 else record)
    labels = class_balance.read_labels(dataset, reading.share(dataset))
    assert labels.examples.tolist() == [k for k in range(23) if k != 3]
    assert labels.classes[3] == 0  # of example 4
    assert records.NO_LABEL not in labels.classes


def test_the_log_says_it_in_one_line(uneven):
    plan, counts = planned(uneven, 1.0)
    assert class_balance.described(plan, counts, 1.0) == (
        "Class balance 1: classes have 1 to 24 examples; an epoch of 30 draws 10 to 10 of each, "
        "an example of the rarest 10 times, of the most frequent 0.42 times"
    )
