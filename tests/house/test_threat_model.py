"""docs/threat-model.md and docs/compliance.md say no more than is there: every row has tests that exist, or a reason."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.threats import PAGE, rows
from tests.leaks.sabotage import SABOTAGES

ROOT = Path(__file__).parents[2]
ROWS = rows(PAGE.read_text())
PATHS = 40
"""Leak paths that were known before the first line was written; those that were found since come after."""


def test_every_path_has_its_row_once():
    numbers = [row.number for row in ROWS]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= PATHS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.number))
def test_a_row_says_how_it_is_closed_and_has_tests_or_a_reason(row):
    assert bool(row.tests) != bool(row.excluded)
    assert not row.excluded or len(row.excluded.split()) >= 5
    assert row.closed.strip("–")
    assert row.remains


def named() -> dict[str, set[str]]:
    """File of tests → the functions that the pages name in it."""
    pages = PAGE.read_text() + (ROOT / "docs" / "compliance.md").read_text()
    found: dict[str, set[str]] = {}
    for test in re.findall(r"`(tests/[^`]+)`", pages):
        file, _, function = test.partition("::")
        found.setdefault(file, set()).update(filter(None, [function.partition("[")[0]]))
    return found


@pytest.mark.parametrize("file", named())
def test_the_tests_that_a_page_names_exist(file):
    path = ROOT / file
    assert path.exists()
    files = [path] if path.is_file() else path.rglob("test_*.py")
    nodes = [node for each in files for node in ast.walk(ast.parse(each.read_text()))]
    there = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert named()[file] <= there


def test_pytest_finds_each_test_of_the_table_by_its_id():
    ids = sorted({test for row in ROWS for test in row.tests})
    argv = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *ids]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_a_wall_is_taken_away_for_rows_that_have_tests():
    testable = {row.number for row in ROWS if row.tests}
    assert {number for sabotage in SABOTAGES for number in sabotage.rows} <= testable


LINES = (ROOT / "docs" / "compliance.md").read_text().splitlines()
CELLS = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in LINES if line.startswith("| ")]
STATEMENTS = [row for row in CELLS if row[0] != "id"]


def test_statements_are_found_once_each():
    names = [row[0] for row in STATEMENTS]
    assert len(names) == len(set(names)) > 40


@pytest.mark.parametrize("row", STATEMENTS, ids=lambda row: row[0])
def test_a_score_has_its_evidence_or_says_what_is_missing(row):
    _, _, score, evidence, missing = row
    assert score in {"0", "1", "2"}
    assert bool(evidence) == (score != "0")
    assert bool(missing) == (score != "2")
    assert not evidence or re.search(r"`tests/[^`]+`|\]\([^)]+\.md\)", evidence)
