"""What joins data sets and preprocessing."""

import pytest
import tensorflow as tf

from common.errors import UserError
from training import inputs


def test_a_record_that_cannot_be_decoded_is_told_in_one_line():
    good = tf.io.encode_png(tf.zeros((4, 4, 3), tf.uint8)).numpy()
    data = tf.data.Dataset.from_tensor_slices([good, b"no image"])
    images = data.map(lambda encoded: {"image": inputs.preprocess_fn("lenet", 8, 3, is_training=False)(encoded)})
    batches = inputs.readable(images, "photos")
    assert next(batches)["image"].shape == (8, 8, 3)
    with pytest.raises(UserError, match=r"^a record in photos cannot be read or decoded: .*Unknown image file format"):
        next(batches)
