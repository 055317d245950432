"""What the tree itself must look like."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
LONGEST = 450
"""Lines; a longer file holds two subjects."""


def tree(*patterns: str) -> list[Path]:
    """The project's own files: tracked ones, and new ones that git does not ignore."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns]
    names = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\0")
    return [ROOT / name for name in sorted(set(names)) if name and (ROOT / name).is_file()]


def test_the_tree_is_found():
    assert ROOT / "pyproject.toml" in tree()


def test_no_source_file_holds_two_subjects():
    lengths = {path: len(path.read_text().splitlines()) for path in tree("*.py", "*.sh", "bin/*", "testbed/install")}

    assert {path: length for path, length in lengths.items() if length > LONGEST} == {}


def test_no_file_is_larger_than_5_mib():
    assert [path for path in tree() if path.stat().st_size > 5 * 2**20] == []


def test_notebooks_carry_no_outputs():
    cells = [(path, cell) for path in tree("*.ipynb") for cell in json.loads(path.read_text())["cells"]]
    code = [(path, cell) for path, cell in cells if cell["cell_type"] == "code"]

    assert [path for path, cell in code if cell["outputs"] or cell["execution_count"] is not None] == []


def test_no_private_key_is_kept():
    begin = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{16}")

    assert [path for path in tree() if begin.search(path.read_bytes())] == []


def test_nothing_is_left_unfinished_or_skipped():
    # Written so that this line is not one of those it looks for.
    mark = re.compile(r"T[O]DO|F[I]XME|NotImplemented[E]rror|pytest\.(mark\.)?([s]kip|[x]fail)\b")

    assert [path for path in tree("*.py", "*.toml", "bin/*", "testbed/install") if mark.search(path.read_text())] == []


def test_every_folder_of_tests_is_a_package():
    """Otherwise tests/spawner would hide the room spawner."""
    folders = {path.parent for path in tree("tests/*.py")}

    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


@pytest.mark.parametrize("page", tree("*.md"), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_pictures_of_a_page_are_there(page: Path):
    targets = re.findall(r"!?\[[^\]]*\]\(([^)\s]+)\)", page.read_text())
    local = [unquote(target.partition("#")[0]) for target in targets if not re.match(r"[a-z]+:|#", target)]

    assert [target for target in local if not (page.parent / target).exists()] == []
