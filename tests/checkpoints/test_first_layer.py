"""The first layer for images of another number of channels: the same output where there is a way to."""

import numpy as np
import pytest

from checkpoints import first_layer, restore
from checkpoints.adaptation import Adaptation

RNG = np.random.default_rng(0)


def shapes(channels, out=5, window=(3, 3), rest=True):
    """A network of two convolutions and a classifier."""
    body = {"Net/conv2/weights": (3, 3, out, 4), "Net/logits/weights": (1, 1, 4, 2)} if rest else {}
    return {"Net/conv1/weights": (*window, channels, out), "Net/conv1/biases": (out,), **body}


def separable(channels, multiplier=2, out=6):
    return {
        "Net/conv1/depthwise_weights": (3, 3, channels, multiplier),
        "Net/conv1/pointwise_weights": (1, 1, channels * multiplier, out),
        "Net/conv1/biases": (out,),
    }


def adapt(ours, theirs, make=shapes):
    """The adapted values of the first layer, and the checkpoint's."""
    values = {name: RNG.normal(size=shape).astype(np.float32) for name, shape in make(theirs).items()}
    found = first_layer.adaptations(make(ours), make(theirs))
    adapted = {name: adaptation.apply(values[adaptation.source]) for name, adaptation in found.items()}
    for name, value in adapted.items():
        assert value.shape == make(ours)[name]
        assert value.dtype == np.float32
    return adapted, values


def response(kernel, image):
    """What a convolution answers at one place: the sum over window and channels."""
    return np.einsum("hwio,hwi->o", kernel, image)


def separable_response(values, image):
    inner = np.einsum("hwim,hwi->im", values["Net/conv1/depthwise_weights"], image)
    return inner.reshape(-1) @ values["Net/conv1/pointwise_weights"][0, 0]


def gray(channels):
    return np.repeat(np.random.default_rng(1).normal(size=(3, 3, 1)), channels, -1).astype(np.float32)


@pytest.mark.parametrize(("ours", "theirs"), [(1, 3), (3, 1), (1, 4), (2, 3), (2, 5), (2, 1), (7, 1)])
def test_a_gray_image_gives_what_it_gave(ours, theirs):
    adapted, values = adapt(ours, theirs)
    np.testing.assert_allclose(
        response(adapted["Net/conv1/weights"], gray(ours)),
        response(values["Net/conv1/weights"], gray(theirs)),
        rtol=1e-5,
        atol=1e-5,
    )


def test_summing_and_sharing_out_by_hand():
    kernel = np.float32([[[[1, 10], [2, 20], [4, 40]]]])  # 1 x 1 window, 3 channels, 2 out
    to_one = first_layer.adaptations({"w": (1, 1, 1, 2)}, {"w": (1, 1, 3, 2)})["w"]
    assert to_one.apply(kernel).tolist() == [[[[7, 70]]]]
    assert to_one.text == "3 channels summed to 1"
    to_four = first_layer.adaptations({"w": (1, 1, 4, 2)}, {"w": (1, 1, 3, 2)})["w"]
    assert to_four.apply(kernel).tolist() == [[[[1, 10], [2, 20], [4, 40], [0, 0]]]]
    assert to_four.text == "3 channels, 1 more at zero"
    to_two = first_layer.adaptations({"w": (1, 1, 2, 2)}, {"w": (1, 1, 3, 2)})["w"]
    assert to_two.apply(kernel).tolist() == [[[[3.5, 35], [3.5, 35]]]]
    from_one = first_layer.adaptations({"w": (1, 1, 4, 2)}, {"w": (1, 1, 1, 2)})["w"]
    assert from_one.apply(kernel[:, :, 2:]).tolist() == [[[[1, 10]] * 4]]
    to_three = first_layer.adaptations({"w": (1, 1, 3, 2)}, {"w": (1, 1, 4, 2)})["w"]
    assert to_three.apply(to_four.apply(kernel)).tolist() == kernel.tolist()


def test_more_channels_change_nothing_at_the_start_whatever_they_hold():
    adapted, values = adapt(4, 3)
    image = RNG.normal(size=(3, 3, 4)).astype(np.float32)
    expected = response(values["Net/conv1/weights"], image[..., :3])
    np.testing.assert_allclose(response(adapted["Net/conv1/weights"], image), expected, rtol=1e-5, atol=1e-6)


def test_video_kernels_have_one_axis_more():
    found = first_layer.adaptations({"w": (2, 7, 7, 1, 8)}, {"w": (2, 7, 7, 3, 8)})
    assert found["w"].apply(np.ones((2, 7, 7, 3, 8), np.float32)).tolist() == np.full((2, 7, 7, 1, 8), 3.0).tolist()


def test_a_separable_first_layer_takes_more_channels():
    adapted, values = adapt(4, 3, separable)
    image = RNG.normal(size=(3, 3, 4)).astype(np.float32)
    expected = separable_response(values, image[..., :3])
    np.testing.assert_allclose(separable_response(adapted, image), expected, rtol=1e-4, atol=1e-5)
    # Zeros on both sides of the new channel would never be trained.
    assert np.abs(adapted["Net/conv1/depthwise_weights"][:, :, 3]).max() > 0


def test_a_separable_first_layer_of_one_channel_takes_three():
    adapted, values = adapt(3, 1, separable)
    np.testing.assert_allclose(
        separable_response(adapted, gray(3)), separable_response(values, gray(1)), rtol=1e-4, atol=1e-5
    )


def test_a_separable_first_layer_cannot_do_with_fewer_channels():
    assert first_layer.adaptations(separable(1), separable(3)) == {}
    words = first_layer.refusal(separable(1), separable(3))
    assert words.startswith("Net/conv1 is a separable convolution")
    assert "leave --use_grayscale out" in words
    assert first_layer.refusal(separable(4), separable(3)) == ""
    assert first_layer.refusal(shapes(1), shapes(3)) == ""


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (shapes(3), shapes(3)),  # fits
        (shapes(1), shapes(3, out=6)),  # another width as well
        (shapes(1), shapes(3, window=(5, 5))),  # another window as well
        (shapes(1), {}),  # missing
        ({"Linear/logits/weights": (1024, 10)}, {"Linear/logits/weights": (3072, 10)}),  # no convolution
        (shapes(3) | {"Net/conv2/weights": (3, 3, 8, 4)}, shapes(3)),  # a later layer
        (separable(4), separable(3, multiplier=3)),
    ],
)
def test_nothing_else_is_adapted(wanted, found):
    assert first_layer.adaptations(wanted, found) == {}


def test_a_plan_restores_the_adapted_layer_and_says_so():
    class Reader:
        path = "x.ckpt"
        shapes = shapes(3)

        def read(self, names):
            return {name: np.ones(self.shapes[name], np.float32) for name in names}

    adaptations = first_layer.adaptations(shapes(1), Reader.shapes)
    plan = restore.plan(shapes(1), Reader(), adaptations=adaptations)
    assert plan.fits
    assert plan.values(Reader())["Net/conv1/weights"].tolist() == np.full((3, 3, 1, 5), 3.0).tolist()
    assert "adapted: Net/conv1/weights (3 channels summed to 1)" in plan.summary()
    again = restore.plan(shapes(1), Reader(), "Net/conv1", adaptations=adaptations)
    assert again.adapted == {}
    assert isinstance(adaptations["Net/conv1/weights"], Adaptation)
