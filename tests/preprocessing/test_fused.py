"""Fused chains: the same results, in fewer passes."""

import numpy as np
import pytest
import tensorflow as tf

from preprocessing import augmentation_ops, colour_ops, core, fused, ops, recipes

SEEDS = [(seed, 3) for seed in range(3)]


def in_graph(function, image):
    """`function(image)` in a graph where the image's shape is known, and the names of the compiled functions in it."""
    traced = tf.function(lambda x: function(x), autograph=False).get_concrete_function(
        tf.TensorSpec(image.shape, image.dtype)
    )
    compiled = [node for node in traced.graph.as_graph_def().library.function if node.attr["_XlaMustCompile"].b]
    return traced(tf.constant(image)).numpy(), len(compiled)


CHAINS = {
    "inception": (ops.flip_left_right(), colour_ops.distort_color(), ops.scale_and_shift(2 / 255, -1.0)),
    "other order": (
        ops.flip_left_right(),
        colour_ops.distort_color(ordering=1),
        ops.subtract_means((123.68, 116.78, 103.94)),
    ),
    "twice": (
        colour_ops.distort_color(),
        colour_ops.distort_color(),
        augmentation_ops.random_colour(0.4, 0.4, 0.4, 0.1),
        ops.flip_left_right(0.3),
        augmentation_ops.random_grayscale(0.5),
        augmentation_ops.cutout(0.5, 0.7),
        ops.scale_and_shift(0.5, 1.0),
    ),
}


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("name", list(CHAINS))
def test_a_fused_chain_gives_what_the_ops_give(photo, channels, name, dtype):
    image = photo(13, 18, channels).astype(dtype)
    for seed in SEEDS:
        seeds = core.op_seeds(CHAINS[name], seed)
        expected = core.run(CHAINS[name], tf.constant(image), seeds)
        result, compiled = in_graph(lambda x, seeds=seeds: fused.run(CHAINS[name], x, seeds), image)
        assert compiled == 1
        np.testing.assert_allclose(result, expected, atol=2e-4 if name == "inception" else 2e-2)


@pytest.mark.parametrize("amount", [0.0, 0.5, 1.0, 1.5])
@pytest.mark.parametrize(("low", "high"), [(0, 255), (-80, 300), (-200, -1)], ids=["inside", "outside", "negative"])
def test_fused_saturation_is_tf_images_also_outside_the_range(amount, low, high):
    image = np.random.default_rng(1).uniform(low, high, (30, 20, 3)).astype(np.float32)
    image[0] = image[0, :, :1]  # gray pixels
    image[1] = 0
    result = tf.function(colour_ops._saturate_fused, jit_compile=True)(image, amount)
    np.testing.assert_allclose(result, tf.image.adjust_saturation(image, amount), atol=2e-3)


def test_ops_that_cannot_be_fused_run_between(photo):
    chain = (*CHAINS["inception"], augmentation_ops.flip_up_down(), *CHAINS["twice"])
    seeds = core.op_seeds(chain, (1, 2))
    expected = core.run(chain, tf.constant(photo(13, 18)), seeds)
    result, compiled = in_graph(lambda x: fused.run(chain, x, seeds), photo(13, 18))
    assert compiled == 2
    np.testing.assert_allclose(result, expected, atol=2e-2)


def test_slow_mode_and_short_chains_are_not_compiled(photo):
    for chain in (CHAINS["inception"][::2], (ops.flip_left_right(), colour_ops.distort_color(fast_mode=False))):
        seeds = core.op_seeds(chain, (1, 2))
        _, compiled = in_graph(lambda x, chain=chain, seeds=seeds: fused.run(chain, x, seeds), photo(13, 18))
        assert compiled == 0


def test_nothing_is_compiled_where_the_shape_is_unknown_or_xla_is_missing(photo, monkeypatch):
    chain = CHAINS["inception"]
    seeds = core.op_seeds(chain, (1, 2))
    image = photo(13, 18)
    expected = core.run(chain, tf.constant(image), seeds)
    spec = tf.TensorSpec([None, None, 3], tf.uint8)
    unknown = tf.function(lambda x: fused.run(chain, x, seeds), input_signature=[spec])
    np.testing.assert_allclose(unknown(image), expected, atol=1e-4)
    monkeypatch.setattr(fused, "can_compile", lambda: False)
    result, compiled = in_graph(lambda x: fused.run(chain, x, seeds), image)
    assert compiled == 0
    np.testing.assert_allclose(result, expected, atol=1e-4)


def test_the_inception_recipe_is_fused_in_the_pipeline(photo):
    chain = recipes.get("inception").ops(24, 20, is_training=True)
    seeds = core.op_seeds(chain, (1, 2))
    image = photo(37, 52)
    data = tf.data.Dataset.from_tensors(image).map(lambda x: fused.run(chain, x, seeds), num_parallel_calls=2)
    np.testing.assert_allclose(next(iter(data)), core.run(chain, tf.constant(image), seeds), atol=1e-4)
