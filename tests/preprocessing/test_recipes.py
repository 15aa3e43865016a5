"""Slim's four recipes: evaluation against the formulas in numpy, training by its promises."""

import inspect

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from preprocessing import (
    cifarnet_preprocessing,
    core,
    inception_preprocessing,
    lenet_preprocessing,
    ops,
    preprocessing_factory,
    recipes,
    vgg_preprocessing,
)

MEANS = np.array([123.68, 116.78, 103.94])
GRAY = np.array([0.2989, 0.5870, 0.1140])
ALL = ["cifarnet", "inception", "lenet", "vgg"]
SMALL_SIDES = {"vgg": {"resize_side_min": 28, "resize_side_max": 40}}
# What float32 gives against float64. Where it interpolates, the kernel rounds source coordinates as well.
TOLERANCE = {"vgg": 5e-3, "inception": 2e-5}


def to_gray(image):
    return (image.astype(np.float64) * GRAY).sum(-1, keepdims=True) if image.shape[-1] == 3 else image


def crop_or_pad(image, height, width):
    """Each side by itself: the middle, or zeros around."""
    for axis, size in enumerate((height, width)):
        have = image.shape[axis]
        if have > size:
            start = (have - size) // 2
            image = np.take(image, range(start, start + size), axis)
        else:
            before = (size - have) // 2
            padding = [(0, 0)] * 3
            padding[axis] = (before, size - have - before)
            image = np.pad(image, padding)
    return image


def standardize(image):
    return (image - image.mean()) / max(image.std(), 1 / np.sqrt(image.size))


@pytest.fixture
def expected(numpy_bilinear):
    """`expected(recipe, image, height, width)`: the evaluation formulas of the original, in float64."""

    def inception(image, height, width):
        image = image.astype(np.float64) / 255.0
        y, x = (int((side - side * 0.875) / 2) for side in image.shape[:2])
        image = image[y : image.shape[0] - y, x : image.shape[1] - x]
        return (numpy_bilinear(image, height, width) - 0.5) * 2

    def vgg(image, height, width, side=28):
        scale = np.float32(side) / np.float32(min(image.shape[:2]))
        image = numpy_bilinear(image, *(int(np.rint(np.float32(side) * scale)) for side in image.shape[:2]))
        y, x = int((image.shape[0] - height) / 2), int((image.shape[1] - width) / 2)
        image = image[y : y + height, x : x + width]
        return image - (MEANS if image.shape[-1] == 3 else MEANS.mean())

    formulas = {
        "inception": inception,
        "vgg": vgg,
        "cifarnet": lambda image, height, width: standardize(crop_or_pad(image, height, width).astype(np.float64)),
        "lenet": lambda image, height, width: (crop_or_pad(image, height, width).astype(np.float64) - 128) / 128,
    }
    return lambda name, image, *sizes: formulas[name](image, *sizes)


@pytest.mark.parametrize(("shape", "size"), [((37, 52), (24, 20)), ((41, 19), (17, 26))])
@pytest.mark.parametrize("name", ALL)
def test_evaluation_is_the_formula_to_the_pixel(apply, photo, expected, channels, name, shape, size):
    image = photo(*shape, channels)
    preprocess = preprocessing_factory.get_preprocessing(name)
    result = apply(lambda image: preprocess(image, *size, **SMALL_SIDES.get(name, {})), image)
    assert result.dtype == np.float32
    assert result.shape == (*size, channels)
    np.testing.assert_allclose(result, expected(name, image, *size), atol=TOLERANCE.get(name, 2e-6), rtol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_evaluation_on_real_sizes(photo, expected, name):
    """The published size, from a photo's size: a slip of one pixel in an offset shows here."""
    image = photo(375, 500)
    sides = (256,) if name == "vgg" else ()
    result = recipes.get(name)(image, 224, 192)
    np.testing.assert_allclose(result, expected(name, image, 224, 192, *sides), atol=TOLERANCE.get(name, 2e-6))


@pytest.mark.parametrize("name", ALL)
def test_gray_evaluation_is_the_formula_on_the_weighted_sum(apply, photo, expected, channels, name):
    image = photo(37, 52, channels)
    preprocess = preprocessing_factory.get_preprocessing(name, use_grayscale=True)
    result = apply(lambda image: preprocess(image, 24, 20, **SMALL_SIDES.get(name, {})), image)
    assert result.shape == (24, 20, 1)
    np.testing.assert_allclose(result, expected(name, to_gray(image), 24, 20), atol=TOLERANCE.get(name, 1e-5))


@pytest.mark.parametrize("use_grayscale", [False, True])
@pytest.mark.parametrize("name", ALL)
def test_training_repeats_by_seed_and_keeps_its_shape(apply, photo, channels, name, use_grayscale):
    image = photo(37, 52, channels)
    preprocess = preprocessing_factory.get_preprocessing(name, is_training=True, use_grayscale=use_grayscale)

    def result(seed):
        options = SMALL_SIDES.get(name, {})
        return apply(lambda image: preprocess(image, 24, 20, seed=tf.constant(seed, tf.int64), **options), image)

    first = result([5, 6])
    assert first.dtype == np.float32
    assert first.shape == (24, 20, 1 if use_grayscale else channels)
    np.testing.assert_array_equal(first, result([5, 6]))
    if name != "lenet":
        assert np.abs(first - result([5, 7])).max() > 1e-3
    if name == "inception":
        assert np.abs(first).max() <= 1
    if name == "vgg":
        assert first.min() >= -124
        assert first.max() <= 152
    if name == "cifarnet":
        assert first.mean() == pytest.approx(0, abs=1e-4)
        assert first.std() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("is_training", [False, True])
@pytest.mark.parametrize("name", ALL)
def test_the_static_shape_is_known_for_batching(name, is_training):
    def trace(image):
        result = recipes.get(name)(image, 24, 20, is_training, (1, 2))
        assert result.shape[:2] == (24, 20)
        return result

    for spec in ([None, None, 3], [None, None, 1], [None, None, None], None, [30, 40, 3]):
        tf.function(trace).get_concrete_function(tf.TensorSpec(spec, tf.uint8))
    three = tf.function(trace).get_concrete_function(tf.TensorSpec([None, None, 3], tf.uint8))
    assert three.output_shapes == (24, 20, 3)


def test_without_a_seed_every_call_draws_anew(photo):
    image = photo(37, 52)
    fn = tf.function(lambda image: recipes.get("inception")(image, 8, 8, is_training=True))
    assert np.abs(fn(image) - fn(image)).max() > 1e-3


def test_float_images_are_unit_range_for_inception_and_bytes_for_the_others(photo):
    image = photo(37, 52)
    for name in ALL:
        recipe = recipes.get(name)
        scale = 255.0 if name == "inception" else 1.0
        options = SMALL_SIDES.get(name, {})
        as_bytes = recipe(image, 24, 20, **options)
        np.testing.assert_allclose(recipe(image / np.float32(scale), 24, 20, **options), as_bytes, atol=1e-3)
    wide = image.astype(np.uint16) * 257
    np.testing.assert_allclose(
        recipes.get("inception")(wide, 24, 20), recipes.get("inception")(image, 24, 20), atol=1e-5
    )


@pytest.mark.parametrize("name", ALL)
def test_normalize_alone_is_the_end_of_the_evaluation(photo, name):
    recipe = recipes.get(name)
    image = photo(28, 28)  # nothing to crop or resize
    whole = recipe(image, 28, 28, **{"vgg": {"resize_side_min": 28}, "inception": {"crop_image": False}}.get(name, {}))
    np.testing.assert_allclose(recipe.normalize(image.astype(np.float32)), whole, atol=1e-5)


def names_of(recipe, **options):
    return " ".join(step.name for step in recipe.ops(24, 20, **options))


def test_recipes_read_as_tuples_of_ops():
    inception, vgg = recipes.get("inception"), recipes.get("vgg")
    assert (
        names_of(inception, is_training=True) == "distorted_crop resize flip_left_right distort_color scale_and_shift"
    )
    assert names_of(inception, is_training=True, fast_mode=False, crop_image=False, use_grayscale=True) == (
        "random_method_resize flip_left_right distort_color grayscale scale_and_shift"
    )
    assert names_of(inception) == "central_crop resize scale_and_shift"
    assert names_of(vgg, is_training=True) == "random_resize_smaller_side random_crop flip_left_right subtract_means"
    assert names_of(vgg) == "resize_smaller_side central_window subtract_means"
    assert names_of(recipes.get("cifarnet"), is_training=True) == (
        "pad random_crop flip_left_right random_brightness random_contrast standardize"
    )
    assert names_of(recipes.get("lenet")) == "crop_or_pad scale_and_shift"


def test_every_recipe_ends_in_its_own_normalize():
    for name in recipes.names():
        recipe = recipes.get(name)
        assert recipe.ops(24, 20, is_training=True)[-1] is recipe.normalize is recipe.ops(24, 20)[-1]
        assert recipe.output_range


def test_extra_ops_run_in_training_only_and_leave_the_other_draws_alone(photo):
    recipe, image = recipes.get("inception"), photo(37, 52)
    extra = [ops.flip_left_right(probability=1.0)]
    plain = recipe(image, 24, 20, True, (1, 2)).numpy()
    np.testing.assert_array_equal(recipe(image, 24, 20, True, (1, 2), extra_ops=extra), plain[:, ::-1])
    np.testing.assert_array_equal(recipe(image, 24, 20, extra_ops=extra), recipe(image, 24, 20))


def test_seeds_go_by_name_and_count():
    flip, color = ops.flip_left_right(), ops.resize(2, 2)
    one = core.op_seeds([flip], (1, 2))
    two = core.op_seeds([color, flip, flip], (1, 2))
    assert two[0] is None
    np.testing.assert_array_equal(one[0], two[1])
    assert (two[1].numpy() != two[2].numpy()).all()
    assert core.op_seeds([flip], tf.constant([1, 2], tf.int64))[0].dtype == tf.int64
    assert core.op_seeds([color], None) == [None]


def test_an_op_draws_independently_of_its_neighbours(photo):
    """Flips of one seed's two flip ops agree half the time."""
    image = tf.constant([[[0], [1]]], tf.uint8)

    def both(seed):
        seeds = core.op_seeds([ops.flip_left_right()] * 2, seed)
        return tf.stack([ops.flip_left_right()(image, one)[0, 0, 0] for one in seeds])

    seeds = tf.stack([tf.zeros(800, tf.int32), tf.range(800)], 1)
    first, second = tf.map_fn(both, seeds, fn_output_signature=tf.uint8).numpy().T
    assert 340 < (first == second).sum() < 460
    assert 340 < (first[1:] == second[:-1]).sum() < 460  # nor does one image repeat the next one's draw


def test_inception_training_follows_the_box(photo):
    """With a box in a corner and little room, the crop lies in that corner."""
    image = np.zeros((100, 100, 3), np.uint8)
    image[:20, :20] = 255
    box = tf.constant([[[0.0, 0.0, 0.2, 0.2]]])
    preprocess = preprocessing_factory.get_preprocessing("inception_v3", is_training=True)
    bright = [preprocess(image, 16, 16, seed=(seed, 0), bbox=box).numpy().max() for seed in range(20)]
    assert min(bright) > 0


def test_inception_evaluation_without_a_size_only_crops(photo):
    result = inception_preprocessing.preprocess_for_eval(photo(32, 48), None, None)
    assert result.shape == (28, 42, 3)


def test_vgg_names_the_options_when_the_output_is_too_large(photo):
    for is_training in (False, True):
        with pytest.raises(UserError, match=r"256 pixels, less than the output of 299x299: pass resize_side_min=299"):
            recipes.get("vgg")(photo(400, 500), 299, 299, is_training)
    assert recipes.get("vgg")(photo(40, 50), 299, 299, resize_side_min=320).shape == (299, 299, 3)
    with pytest.raises(UserError, match="resize_side_max=20 is less than resize_side_min=30"):
        recipes.get("vgg")(photo(40, 50), 16, 16, True, resize_side_min=30, resize_side_max=20)


def test_cifarnet_names_an_image_that_is_too_small(photo):
    with pytest.raises(UserError, match=r"smaller than the 32x32 crop .* Image shape: \[28, 31, 3\]"):
        recipes.get("cifarnet")(photo(20, 23), 32, 32, is_training=True)


def test_images_of_the_wrong_kind_are_named(photo):
    with pytest.raises(ValueError, match=r"expected one image \[height, width, channels\], found shape \(1, 8, 8, 3\)"):
        recipes.get("lenet")(np.zeros((1, 8, 8, 3), np.uint8), 8, 8)
    with pytest.raises(ValueError, match=r"1 or 3 channels, found shape \(8, 8, 4\)"):
        recipes.get("lenet")(np.zeros((8, 8, 4), np.uint8), 8, 8)


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        *((name, name) for name in ALL),
        ("inception_resnet_v2", "inception"),
        ("mobilenet_v1", "inception"),
        ("pnasnet_mobile", "inception"),
        ("resnet_v1_50", "vgg"),
        ("vgg_a", "vgg"),
        # Slim lacked these.
        ("mobilenet_v1_025", "inception"),
        ("alexnet_v2", "vgg"),
        ("overfeat", "vgg"),
        ("nasnet_cifar", "cifarnet"),
    ],
)
def test_slims_names_find_their_recipe(name, recipe):
    assert recipes.get(name).name == recipe


def test_an_unknown_name_lists_near_matches():
    with pytest.raises(ValueError, match="unknown preprocessing 'incpetion'; did you mean 'inception'"):
        preprocessing_factory.get_preprocessing("incpetion")


def test_an_unknown_option_lists_the_known_ones(photo):
    with pytest.raises(TypeError, match=r"'vgg' has no option 'fast_mode'; it has resize_side_min, resize_side_max"):
        preprocessing_factory.get_preprocessing("vgg")(photo(30, 30), 8, 8, fast_mode=True)


MODULES = [cifarnet_preprocessing, inception_preprocessing, lenet_preprocessing, vgg_preprocessing]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.RECIPE.name)
def test_slims_modules_are_fronts_of_the_recipes(photo, module):
    image, name = photo(300, 350), module.RECIPE.name
    seed = (3, 4)
    evaluation, training = (recipes.get(name)(image, 24, 20, flag, seed).numpy() for flag in (False, True))
    np.testing.assert_array_equal(module.preprocess_image(image, 24, 20, False), evaluation)
    np.testing.assert_array_equal(module.preprocess_image(image, 24, 20, is_training=True, seed=seed), training)
    sides = (256,) if name == "vgg" else ()
    np.testing.assert_array_equal(module.preprocess_for_eval(image, 24, 20, *sides), evaluation)
    seeded = {} if name == "lenet" else {"seed": seed}
    np.testing.assert_array_equal(module.preprocess_for_train(image, 24, 20, **seeded), training)


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (
            inception_preprocessing.preprocess_image,
            "image height width is_training bbox fast_mode add_image_summaries crop_image use_grayscale",
        ),
        (
            vgg_preprocessing.preprocess_image,
            "image output_height output_width is_training resize_side_min resize_side_max use_grayscale",
        ),
        (
            cifarnet_preprocessing.preprocess_image,
            "image output_height output_width is_training add_image_summaries use_grayscale",
        ),
        (lenet_preprocessing.preprocess_image, "image output_height output_width is_training use_grayscale"),
    ],
)
def test_slims_positional_arguments_keep_their_places(function, parameters):
    assert list(inspect.signature(function).parameters) == [*parameters.split(), "seed"]


def test_slims_factory_takes_slims_keywords(photo):
    """`add_image_summaries` has nothing to do any more but is passed by old code."""
    for name in ("inception", "cifarnet"):
        preprocess = preprocessing_factory.get_preprocessing(name, is_training=True)
        assert preprocess(photo(40, 40), 24, 20, add_image_summaries=False).shape == (24, 20, 3)
