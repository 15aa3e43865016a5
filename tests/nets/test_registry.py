"""The registry and Slim's factory on top of it."""

import inspect
import math
import re
import subprocess
import sys

import pytest
import tensorflow as tf

from common import published
from common.errors import UserError
from nets import layers as slim
from nets import nets_factory, registry
from nets.network import Network

v1 = tf.compat.v1

OWN_FILE = """
import tensorflow as tf
from nets import layers as slim, registry

@registry.network("own_net", image_size=16, preprocessing="cifarnet", head_scopes="Own/logits")
def own_net(images, num_classes=10, is_training=False, width=4):
    "An own network."
    with tf.compat.v1.variable_scope("Own"):
        net = slim.flatten(slim.conv2d(images, width, [3, 3], scope="conv1"))
        logits = slim.fully_connected(net, num_classes, activation_fn=None, scope="logits")
    return logits, {"Logits": logits}
"""


def run_python(code, project_root):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=project_root, capture_output=True, text=True, timeout=120, check=False)


def test_importing_the_factory_does_not_import_tensorflow(project_root):
    code = "import sys; from nets import nets_factory; print('tensorflow' in sys.modules)"
    assert run_python(code, project_root).stdout.strip() == "False"


def test_order_is_slims_whatever_was_imported_first(project_root):
    code = "from nets import mobilenet_v1, registry; print(*registry.names())"
    assert run_python(code, project_root).stdout.split() == list(registry.names())


def test_order_is_slims():
    slims = ["alexnet_v2", "cifarnet", "overfeat", "vgg_a", "vgg_16", "vgg_19", "inception_v1", "inception_v3", "lenet"]
    slims += [f"resnet_{version}_{layers}" for version in ("v1", "v2") for layers in (50, 101, 152, 200)]
    slims += ["mobilenet_v1", "mobilenet_v1_075", "mobilenet_v1_050", "mobilenet_v1_025"]
    assert [name for name in registry.names() if name in slims] == slims
    assert registry.names()[0] == "linear"


@pytest.mark.parametrize(
    ("typed", "near"), [("resnet_50", "resnet_v1_50"), ("VGG16", "vgg_16"), ("inceptionv3", "inception_v3")]
)
def test_unknown_name_lists_near_matches(typed, near):
    with pytest.raises(ValueError, match=f"unknown network '{typed}'; did you mean .*'{near}'"):
        registry.get(typed)
    with pytest.raises(ValueError, match=near):
        nets_factory.get_network_fn(typed, 10)


def test_a_name_is_taken_once(own_networks):
    with pytest.raises(ValueError, match=r"'lenet' is already registered \(by nets\.lenet\)"):

        @registry.network("lenet", image_size=28)
        def another(images, num_classes, is_training):
            raise NotImplementedError


def test_a_users_module_that_takes_a_builtin_name_is_the_one_told(tmp_path, project_root):
    path = tmp_path / "mine.py"
    path.write_text(OWN_FILE.replace("own_net", "lenet"))
    result = run_python(f"import runpy; runpy.run_path({str(path)!r})", project_root)
    assert "'lenet' is already registered (by nets.lenet)" in result.stderr
    assert str(path) in result.stderr


@pytest.mark.parametrize(
    "wrong", [{"image_size": 0}, {"channels": 0}, {"head_scopes": (1,)}, {"name": ""}, {"arg_scope": 3}]
)
def test_wrong_facts_are_refused(wrong):
    facts = {"name": "x", "image_size": 8, "arg_scope": registry.plain_arg_scope, "head_scopes": ()}
    with pytest.raises(ValueError, match="network "):
        registry.NetworkRecord(**{**facts, "function": len, "preprocessing": "vgg", **wrong})


def test_a_decorated_function_has_what_builtin_networks_have(own_networks, tmp_path, graph):
    path = tmp_path / "own.py"
    path.write_text(OWN_FILE)
    assert registry.load_module(str(path)) == ("own_net",)
    assert registry.load_module(str(path)) == ("own_net",), "a second load is none"
    record = registry.get("own_net")
    assert (record.head_scopes, record.preprocessing, registry.names()[-1]) == (("Own/logits",), "cifarnet", "own_net")

    function = nets_factory.get_network_fn("own_net", 5, weight_decay=0.1, is_training=True)
    assert (function.default_image_size, function.__name__, function.__doc__) == (16, "own_net", "An own network.")
    logits, _ = function(v1.placeholder(tf.float32, [2, 16, 16, 3]), width=8)
    assert logits.shape == [2, 5]
    assert v1.global_variables()[0].shape == [3, 3, 3, 8], "keywords go through"
    assert len(v1.get_collection(v1.GraphKeys.REGULARIZATION_LOSSES)) == 2, "weight decay without an arg scope"


def test_a_module_on_the_path_loads_by_its_name(own_networks, tmp_path, monkeypatch):
    (tmp_path / "own_networks.py").write_text(OWN_FILE)
    monkeypatch.syspath_prepend(tmp_path)
    assert registry.load_module("own_networks") == ("own_net",)


@pytest.mark.parametrize(
    ("where", "message"),
    [("nowhere.py", "nowhere.py: no such file"), ("no_such_module", "no such module"), ("math", "no network was")],
)
def test_a_module_without_networks_is_the_users_error(own_networks, where, message):
    with pytest.raises(UserError, match=message):
        registry.load_module(where)


def test_an_import_that_fails_inside_a_users_module_keeps_its_own_error(own_networks, tmp_path, monkeypatch):
    (tmp_path / "broken_networks.py").write_text("import no_such_thing_at_all")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_thing_at_all"):
        registry.load_module("broken_networks")


def test_maps_of_slim_are_views_of_the_records():
    assert list(nets_factory.networks_map) == list(registry.names()) == list(nets_factory.arg_scopes_map)
    assert len(nets_factory.networks_map) == len(registry.names())
    assert "vgg_16" in nets_factory.networks_map
    assert "vgg_17" not in nets_factory.networks_map
    for record in registry.records():
        assert nets_factory.networks_map[record.name] is record.function
        assert nets_factory.arg_scopes_map[record.name] is record.arg_scope
        assert record.function.default_image_size == record.image_size
    with pytest.raises(KeyError):
        nets_factory.networks_map["vgg_17"]


@pytest.mark.parametrize("record", registry.records(), ids=lambda record: record.name)
def test_builtin_records_are_complete(record):
    assert record.features
    assert record.head_scopes
    assert record.preprocessing in ("lenet", "cifarnet", "vgg", "inception")
    assert record.paper or record.name == "linear"
    parameters = inspect.signature(record.function).parameters
    takes_more = any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values())
    assert {"num_classes", "scope"} <= set(parameters)
    assert "is_training" in parameters or takes_more
    assert inspect.signature(record.arg_scope).parameters["weight_decay"].default >= 0.0
    shape = "float32 [batch, frames, height, width," if record.video else "float32 [batch, height, width,"
    for word in ("Args:", "Returns:", shape):
        assert word in record.function.__doc__, word


def test_published_checkpoints_of_vgg_and_resnet_v1_have_1000_classes():
    for record in registry.records():
        if record.checkpoint is None:
            continue
        thousand = record.name.startswith(("vgg", "resnet_v1"))
        assert re.fullmatch(r"https?://[^ ]+/[^/ ]+\.(tgz|tar\.gz)", record.checkpoint.url)
        assert (record.checkpoint.num_classes, record.checkpoint.label_offset) == ((1000, 1) if thousand else (1001, 0))
        assert record.top1 < (record.top5 or 100), "of MobileNet v3 and Edge TPU only top-1 is published"


def test_records_and_catalogue_name_the_same_checkpoints():
    for record in registry.records():
        assert record.checkpoint is published.of_network(record.name)
    for entry in published.catalogue():
        record = registry.get(entry.network or entry.family)
        assert entry.preprocessing == record.preprocessing or record.name.startswith("resnet_v2")
        if entry is record.checkpoint:
            assert not entry.quantized
            assert (record.top1, record.top5) == (entry.top1, entry.top5)
            assert entry.image_size == record.image_size or record.name.startswith("resnet_v2")


@pytest.mark.parametrize(
    ("key", "millions"),  # of parameters, as the README of the MobileNets says
    [
        ("mobilenet_v2_1.3_224", 5.34),
        ("mobilenet_v2_0.75_224", 2.61),
        ("mobilenet_v2_0.5_224", 1.95),
        ("v3-large_224_0.75_float", 4.0),
    ],
)
def test_options_of_a_width_that_is_not_registered_make_the_published_network(key, millions):
    entry = published.get(key)
    network = Network(entry.family, 1000, **entry.options)
    parameters = sum(math.prod(spec.shape) for spec in network.specs if spec.trainable)
    assert parameters == pytest.approx(millions * 1e6, rel=0.03)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("inception_v3", "inception_v3_2016_08_28.tar.gz"),
        ("resnet_v1_152", "resnet_v1_152_2016_08_28.tar.gz"),
        ("resnet_v2_50", "resnet_v2_50_2017_04_14.tar.gz"),
        ("vgg_19", "vgg_19_2016_08_28.tar.gz"),
        ("mobilenet_v1", "mobilenet_v1_2018_08_02/mobilenet_v1_1.0_224.tgz"),
        ("mobilenet_v1_050", "mobilenet_v1_2018_08_02/mobilenet_v1_0.5_224.tgz"),
    ],
)
def test_published_checkpoints_are_where_slim_says(name, url):
    assert registry.get(name).checkpoint.url == "http://download.tensorflow.org/models/" + url


def test_get_network_fn_is_the_wrapped_function_with_its_defaults():
    function = nets_factory.get_network_fn("inception_v3", 5)
    assert function.__name__ == "inception_v3"
    assert "1512.00567" in function.__doc__
    assert function.default_image_size == 299
    assert list(inspect.signature(function).parameters) == ["images", "kwargs"], "what tf.function goes by"


def test_weight_decay_overrides_the_arg_scopes_own(graph, run):
    function = nets_factory.get_network_fn("lenet", 5, weight_decay=0.5, is_training=True)
    function(v1.placeholder(tf.float32, [1, 28, 28, 1]))
    loss, weights = run([v1.get_collection(v1.GraphKeys.REGULARIZATION_LOSSES)[0], v1.global_variables()[0]])
    assert loss == pytest.approx(0.5 * (weights**2).sum() / 2)
    assert slim.arg_scope_func_key(slim.conv2d) not in slim.current_arg_scope(), "the scope is left again"


@pytest.mark.parametrize("weight_decay", [0.0, 0])
def test_no_weight_decay_makes_no_loss(graph, weight_decay):
    function = nets_factory.get_network_fn("lenet", 5, weight_decay=weight_decay)
    function(v1.placeholder(tf.float32, [1, 28, 28, 1]))
    assert v1.get_collection(v1.GraphKeys.REGULARIZATION_LOSSES) == []
