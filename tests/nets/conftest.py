"""Fixtures of the networks' tests."""

import functools
import importlib.util
import json
import pathlib

import pytest

TESTS = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def golden_tools():
    """The module tests/make_golden.py: graphs, weights made from names, statistics."""
    spec = importlib.util.spec_from_file_location("make_golden", TESTS / "make_golden.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Golden:
    """A network as its golden has it, and as the present code builds it."""

    def __init__(self, tools, name):
        self.name = name
        self.expected = json.loads((tools.GOLDENS / f"{name}.json").read_text())
        self.images = tools.image(**self.expected["input"])
        self.weights = functools.cache(lambda name, shape: tools.weights(name, shape))
        self.train, self.eval = (
            tools.Graph(
                name,
                is_training,
                self.expected["num_classes"],
                self.expected["input"]["shape"],
                self.expected["weight_decay"],
                self.expected["kwargs"],
            )
            for is_training in (True, False)
        )

    def run(self, graph, fetches, images=None):
        """Runs with weights made from names, drawn once for both graphs."""
        return graph.run(fetches, lambda name, shape: self.weights(name, tuple(shape)), images)


@pytest.fixture(scope="module")
def golden(request, golden_tools):
    """`Golden` of the network that the test is parametrized with (indirectly), built once for the module's tests."""
    path = golden_tools.GOLDENS / f"{request.param}.json"
    if not path.exists():
        pytest.fail(f"{request.param} has no golden; make one: python tests/make_golden.py {request.param}")
    return Golden(golden_tools, request.param)


@pytest.fixture
def graph():
    """A TensorFlow 1 graph to build in, with a fixed seed."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        tf.compat.v1.set_random_seed(1)
        yield graph


@pytest.fixture
def run(graph):
    """`run(fetches)`: values in one session with freshly initialised variables."""
    import tensorflow as tf

    sessions = []

    def run(fetches, feeds=None):
        if not sessions:
            sessions.append(tf.compat.v1.Session(graph=graph))
            with graph.as_default():
                sessions[0].run(tf.compat.v1.global_variables_initializer())
        return sessions[0].run(fetches, feeds)

    yield run
    for session in sessions:
        session.close()
