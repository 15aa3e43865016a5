"""The rules that keep the parts apart, read off the source files."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
JOINING = ("checkpoint_tools", "exporting", "reporting", "training")
PACKAGES = ("checkpoints", "common", "datasets", "nets", "preprocessing", *JOINING)
LEAVES = ("checkpoints", "datasets", "nets", "preprocessing")  # these never import one another
MAX_LINES = 500


def python_files(*tops):
    return [path for top in tops for path in sorted((ROOT / top).rglob("*.py"))]


SCRIPTS = sorted(ROOT.glob("*.py"))
LIBRARY = python_files(*PACKAGES)
ALL = SCRIPTS + LIBRARY + python_files("tests", "benchmarks")


def imports(path):
    """Dotted names of all that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def relative(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_they_may(package):
    allowed = set(PACKAGES) - set(LEAVES) if package not in (*LEAVES, "common") else {"common"}
    allowed |= set(LEAVES) if package in JOINING else set()
    allowed.add(package)
    wrong = {
        relative(path): sorted(name for name in imports(path) if name.split(".")[0] in set(PACKAGES) - allowed)
        for path in python_files(package)
    }
    assert {path: names for path, names in wrong.items() if names} == {}


def test_only_scripts_touch_flags():
    users = {relative(path) for path in LIBRARY if any(name.startswith("absl.flags") for name in imports(path))}
    assert users <= {"common/scripts.py"}, "flags become a config in common/scripts.py; the library takes configs"


def test_tf_slim_is_imported_in_one_place():
    users = {relative(path) for path in LIBRARY + SCRIPTS if any(n.split(".")[0] == "tf_slim" for n in imports(path))}
    assert users == {"nets/slim.py"}


def test_no_private_tensorflow():
    private = ("tensorflow.python", "keras.src")
    users = {relative(path) for path in ALL if any(name.startswith(private) for name in imports(path))}
    assert users == set()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_are_short_and_import_tensorflow_late(script):
    """--help and a wrong flag must answer at once."""
    assert len(script.read_text().splitlines()) <= 100
    top_level = {
        alias.name
        for node in ast.parse(script.read_text()).body
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert "tensorflow" not in top_level


def test_no_module_needs_scrolling():
    long = {relative(path): n for path in ALL if (n := len(path.read_text().splitlines())) > MAX_LINES}
    assert long == {}
