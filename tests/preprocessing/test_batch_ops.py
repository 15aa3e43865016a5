"""Mixup and cutmix: images and labels move together."""

import numpy as np
import pytest
import tensorflow as tf

from preprocessing import augmentation, batch_ops

SEED = (7, 8)


def steps(text):
    return augmentation.parse(text).stage("batch")


def batch(count=6, height=8, width=12, channels=3):
    """Images of one value each, 0, 10, 20, ..., and labels of as many classes."""
    values = 10.0 * np.arange(count, dtype=np.float32)
    return tf.constant(np.broadcast_to(values[:, None, None, None], (count, height, width, channels))), tf.range(count)


def mix(text, images, labels, classes=6, seed=SEED):
    return tuple(part.numpy() for part in batch_ops.mix(steps(text), images, labels, classes, tf.constant(seed)))


def test_without_steps_all_stays_as_it_is():
    images, labels = batch()
    same, classes = batch_ops.mix((), images, labels, 6, SEED)
    assert same is images
    assert classes is labels


@pytest.mark.parametrize("channels", [1, 3])
def test_mixup_blends_each_example_with_the_next_one_by_one_share(channels):
    images, labels = batch(channels=channels)
    mixed, shares = mix("mixup(1)", images, labels)
    assert shares.dtype == np.float32
    assert mixed.shape == images.shape
    for k in range(6):
        own, partner = shares[k, k], shares[k, (k + 1) % 6]
        assert own + partner == pytest.approx(1)
        assert np.delete(shares[k], [k, (k + 1) % 6]).tolist() == [0] * 4
        np.testing.assert_allclose(mixed[k], own * 10 * k + partner * 10 * ((k + 1) % 6), atol=1e-4)
    assert len(set(shares.diagonal())) == 6  # each has its own


def test_cutmix_shares_labels_by_the_area_that_is_seen():
    images, labels = batch(count=40, height=20, width=30)
    mixed, shares = mix("cutmix(1)", images, labels, classes=40)
    sizes = []
    for k in range(40):
        partner = (k + 1) % 40
        pasted = mixed[k, ..., 0] == 10 * partner
        assert (mixed[k][~pasted] == 10 * k).all()
        assert shares[k, partner] == pytest.approx(pasted.mean(), abs=1e-6)
        assert shares[k, k] == pytest.approx(1 - pasted.mean(), abs=1e-6)
        ys, xs = np.nonzero(pasted)
        if len(ys):  # one rectangle
            assert pasted[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1].all()
        sizes.append(pasted.mean())
    assert min(sizes) < 0.1
    assert max(sizes) > 0.6


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 20.0])
def test_shares_are_of_the_beta_distribution(alpha):
    values = batch_ops.shares(tf.zeros([20000, 1, 1, 1]), SEED, alpha, 1.0).numpy()
    assert np.isfinite(values).all()
    assert values.min() >= 0
    assert values.max() <= 1
    assert values.mean() == pytest.approx(0.5, abs=0.02)
    assert values.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_probability_leaves_examples_alone(name):
    images, labels = batch(count=400, height=4, width=4)
    mixed, shares = mix(f"{name}(1,0.25)", images, labels, classes=400)
    alone = np.array([(mixed[k] == 10 * k).all() for k in range(400)])
    assert (shares.diagonal()[alone] == 1).all()
    assert 0.65 < alone.mean() < 0.85
    untouched, whole = mix(f"{name}(1,0)", images, labels, classes=400)
    np.testing.assert_array_equal(untouched, images)
    np.testing.assert_array_equal(whole, np.eye(400))


def test_of_two_steps_each_batch_takes_one():
    images, labels = batch(height=16, width=16)
    seen = set()
    for step in range(20):
        mixed, _ = mix("mixup(1),cutmix(1)", images, labels, seed=(0, step))
        seen.add("mixup" if np.ptp(mixed, axis=(1, 2, 3)).max() < 1e-4 else "cutmix")
    assert seen == {"mixup", "cutmix"}


def test_a_label_that_is_no_class_counts_for_nothing():
    images, _ = batch(count=2)
    _, shares = mix("mixup(1)", images, tf.constant([-1, 1]), classes=3)
    assert shares[:, [0, 2]].sum() == 0
    assert 0 < shares[0, 1] < 1


def test_examples_of_several_classes_are_mixed_class_by_class():
    images, _ = batch(count=2)
    labels = tf.constant([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    mixed, shares = mix("mixup(1)", images, labels, classes=3)
    own = 1 - mixed[0, 0, 0, 0] / 10
    assert shares[0] == pytest.approx([own, 1, 0], abs=1e-5)


def test_mixing_repeats_by_seed_and_runs_in_a_graph():
    images, labels = batch()
    graph = tf.function(lambda x, y: batch_ops.mix(steps("mixup,cutmix"), x, y, 6, tf.constant(SEED)))
    for one, two in zip(graph(images, labels), mix("mixup,cutmix", images, labels), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)
    assert not np.array_equal(mix("mixup", images, labels)[0], mix("mixup", images, labels, seed=(7, 9))[0])


def test_half_precision_images_stay_so():
    images, labels = batch()
    mixed, shares = batch_ops.mix(steps("mixup"), tf.cast(images, tf.bfloat16), labels, 6, SEED)
    assert (mixed.dtype, shares.dtype) == (tf.bfloat16, tf.float32)
