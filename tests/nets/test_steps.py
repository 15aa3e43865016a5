"""One forward and backward step of every network in both precisions: finite, with a gradient for every variable."""

import numpy as np
import pytest
import tensorflow as tf

from nets import registry
from nets.network import Network

# Side of the images, and further arguments: as small as the network works with all its heads.
SMALL = {
    "vgg": (32, {"fc_conv_padding": "SAME"}),
    "inception_v1": (64, {"global_pool": True}),
    "inception_v2": (64, {}),
    "inception_v3": (139, {}),
    "inception_v4": (139, {}),
    "inception_resnet_v2": (139, {}),
    "i3d": (32, {}),
    "s3dg": (32, {}),
    "resnet": (33, {}),
    "mobilenet": (64, {}),
    "nasnet_mobile": (160, {}),
    "nasnet_large": (139, {}),
    "pnasnet": (160, {}),
}
FAMILIES = {record.function.__module__: record.name for record in reversed(registry.records())}
# One member of each family in the fast tests, but for those that take long at any size.
FAST = {*FAMILIES.values(), "mobilenet_v1_025", "mobilenet_v2_035", "mobilenet_v3_small"} - {
    "alexnet_v2",
    "overfeat",
    "vgg_a",
    "inception_v4",
    "inception_resnet_v2",
    "mobilenet_v1",
    "mobilenet_v2",
    "nasnet_cifar",
    "pnasnet_mobile",
}
# The slowest of all; `test_video` has a step in bfloat16 always.
SLOW_IN_BFLOAT16 = {"i3d", "s3dg"}
NAMES = registry.names()


def small(name):
    for prefix, found in SMALL.items():
        if name.startswith(prefix):
            return found
    return registry.get(name).image_size, {}


def clips_or_images(network):
    frames = (8,) if network.record.video else ()
    shape = (4, *frames, network.image_size, network.image_size, network.channels)
    return tf.random.stateless_uniform(shape, [1, 2], -1.0, 1.0)


def _case(name, dtype):
    is_slow = name not in FAST or (dtype == tf.bfloat16 and name in SLOW_IN_BFLOAT16)
    return pytest.param(name, dtype, marks=[pytest.mark.slow] if is_slow else [], id=f"{name}-{dtype.name}")


@pytest.mark.parametrize(
    ("name", "dtype"), [_case(name, dtype) for dtype in (tf.float32, tf.bfloat16) for name in NAMES]
)
def test_one_step_is_finite_and_reaches_every_variable(name, dtype):
    side, options = small(name)
    network = Network(name, 3, image_size=side, compute_dtype=dtype, weight_decay=1e-4, **options)
    network.initialize()
    trained = [network.variables_by_name[name] for name in network.trainable_names]
    labels = tf.constant([0, 1, 2, 0])

    @tf.function(autograph=False)
    def step(images):
        with tf.GradientTape() as tape:
            logits, end_points = network(images, training=True, seed=tf.constant([0, 1]), step=1)
            heads = [logits, *(tf.cast(value, tf.float32) for key, value in end_points.items() if key == "AuxLogits")]
            losses = [
                tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=head))
                for head in heads
            ]
            loss = tf.add_n(losses)  # without the L2 terms, which reach every weight by themselves
        gradients = tape.gradient(loss, trained)
        assert [v.name for v, gradient in zip(trained, gradients, strict=True) if gradient is None] == []
        return loss + network.regularization_loss(), tf.stack([tf.norm(gradient) for gradient in gradients])

    loss, norms = step(clips_or_images(network))
    assert np.isfinite(loss)
    assert [
        v.name for v, norm in zip(trained, norms.numpy(), strict=True) if not (np.isfinite(norm) and norm > 0)
    ] == []
