"""It runs on somebody else's machine: an older Python, nothing installed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOM = Path(__file__).parents[2] / "dataowner"
FILES = sorted(ROOM.glob("*.py"))


def imported(tree: ast.AST) -> set[str]:
    """The top-level names of all modules that `tree` imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_is_python_3_9_and_needs_the_standard_library_alone(path):
    tree = ast.parse(path.read_text(), feature_version=(3, 9))

    assert imported(tree) <= set(sys.stdlib_module_names) - {"tomllib"} | {"dataowner"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_annotation_may_be_newer_than_python_3_9(path):
    # `X | None` is text there, as long as nobody evaluates it.
    tree = ast.parse(path.read_text())
    future = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]

    assert path.name == "__init__.py" or future


def test_it_runs_as_a_file_in_an_isolated_python():
    argv = ["/usr/bin/python3", "-I", "-S", str(ROOM / "__main__.py"), "no-such-verb"]
    answer = subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/", env={})

    assert answer.returncode == 2
    assert answer.stderr.startswith("Usage: ")
