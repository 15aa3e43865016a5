"""TensorBoard event files: the tags that are promised, with the values that were given."""

import numpy as np
import pytest
import tensorflow as tf

from nets.network import Network
from reporting import summaries


@pytest.fixture(scope="module")
def network():
    network = Network("lenet", 4, channels=3)
    network.initialize()
    return network


IMAGES = tf.random.stateless_uniform([20, 28, 28, 3], [0, 1], -1.0, 1.0)


@pytest.fixture
def written(tmp_path, network):
    """`written(write)`: (step, tag) -> the plugin's name and the tensor, of what `write(summaries)` wrote."""

    def call(write):
        train = summaries.TrainSummaries(str(tmp_path), network)
        write(train)
        train.close()
        return read(tmp_path)

    return call


def read(folder):
    (path,) = folder.glob("events.out.tfevents.*")
    found = {}
    for serialized in tf.data.TFRecordDataset(str(path)):
        event = tf.compat.v1.Event.FromString(serialized.numpy())
        for value in event.summary.value:
            found[event.step, value.tag] = (value.metadata.plugin_data.plugin_name, tf.make_ndarray(value.tensor))
    return found


def test_scalars_are_written_by_their_tags(written):
    values = {"total_loss": 0.5, "learning_rate": 0.01, "global_step/sec": 2.0}
    found = written(lambda train: (train.scalars(3, values), train.scalars(5, {"total_loss": 0.25})))
    assert {key: (plugin, float(value)) for key, (plugin, value) in found.items()} == {
        **{(3, tag): ("scalars", pytest.approx(value)) for tag, value in values.items()},
        (5, "total_loss"): ("scalars", 0.25),
    }


def test_histograms_cover_all_end_points_and_variables(written, network):
    found = written(lambda train: train.histograms(7, IMAGES))
    logits, end_points = network(IMAGES)
    expected = {f"activations/{key}": "histograms" for key in end_points}
    expected |= {f"sparsity/{key}": "scalars" for key in end_points}
    expected |= dict.fromkeys(network.variables_by_name, "histograms")
    assert {tag: plugin for (_, tag), (plugin, _) in found.items()} == expected
    assert {step for step, _ in found} == {7}
    buckets = found[7, "activations/Logits"][1]  # left edge, right edge, count
    assert buckets[:, 2].sum() == 20 * 4
    np.testing.assert_allclose([buckets[0, 0], buckets[-1, 1]], [np.min(logits), np.max(logits)], rtol=1e-3)
    zeros = float(found[7, "sparsity/fc3"][1])
    assert zeros == pytest.approx(np.mean(end_points["fc3"].numpy() == 0), abs=1e-3)
    assert 0.2 < zeros < 0.8


def test_histograms_of_large_tensors_are_of_some_values(written, network):
    found = written(lambda train: train.histograms(1, IMAGES))
    size = int(tf.size(network.variables_by_name["LeNet/fc3/weights"]))
    assert size > 1_000_000
    for tag in ("LeNet/fc3/weights", "activations/conv1"):
        count = found[1, tag][1][:, 2].sum()
        assert summaries._VALUES <= count < 2 * summaries._VALUES


def test_histograms_change_nothing(tmp_path):
    network = Network("mobilenet_v1_025", 4, image_size=32)
    network.initialize()
    before = {name: variable.numpy() for name, variable in network.variables_by_name.items()}
    train = summaries.TrainSummaries(str(tmp_path), network)
    train.histograms(1, tf.image.resize(IMAGES, (32, 32)))
    train.close()
    for name, variable in network.variables_by_name.items():
        np.testing.assert_array_equal(variable, before[name])


@pytest.mark.parametrize(("channels", "shown"), [(3, 16), (1, 16), (2, 0)])
def test_pictures_show_what_the_network_sees(written, channels, shown):
    images = tf.concat([IMAGES[..., :1] * 30 + 7] * channels, axis=-1)
    found = written(lambda train: train.pictures(2, images))
    if not shown:
        assert found == {}
        return
    ((step, tag), (plugin, value)) = next(iter(found.items()))
    assert (len(found), step, tag, plugin) == (1, 2, "input", "images")
    width, height, *pictures = value
    assert (int(width), int(height), len(pictures)) == (28, 28, shown)
    picture = tf.io.decode_png(pictures[0]).numpy()
    assert (picture.shape, picture.min(), picture.max()) == ((28, 28, channels), 0, 255)


def test_a_picture_of_one_colour_is_black(written):
    found = written(lambda train: train.pictures(2, tf.fill([1, 4, 4, 3], 0.5)))
    assert (tf.io.decode_png(found[2, "input"][1][2]).numpy() == 0).all()


def test_one_set_of_scalars_in_a_file_of_its_own(tmp_path):
    summaries.write_scalars(str(tmp_path / "deep"), 12, {"eval/Accuracy": 0.75})
    found = read(tmp_path / "deep")
    assert {key: float(value) for key, (_, value) in found.items()} == {(12, "eval/Accuracy"): 0.75}


def test_tensorboard_reads_the_files(written, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def write(train):
        train.scalars(3, {"total_loss": 0.5})
        train.histograms(3, IMAGES)
        train.pictures(3, IMAGES)

    written(write)
    accumulator = EventAccumulator(str(tmp_path))
    accumulator.Reload()
    tags = set(accumulator.Tags()["tensors"])
    assert {"total_loss", "LeNet/conv1/weights", "activations/pool2", "sparsity/pool2", "input"} <= tags
