"""How the walls' figure is made of tests' outcomes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from bench.threats import Row, rows
from bench.walls import closed, sabotaged, score, worst

ROOT = Path(__file__).parents[2]
TABLE = """
| # | Path | How it is closed | Tests | What remains |
|---|---|---|---|---|
| 1 | disk | memory | `tests/a.py::test_one`<br>`tests/b.py` | – |
| 2 | swap | refused | Excluded: only root can switch it off here | kdump |
| 3 | network | none | `tests/a.py::test_two[network]` | – |
"""
ONE, TWO, THREE = rows(TABLE)


def test_a_row_of_the_table_is_a_value():
    assert Row(1, "disk", "memory", ("tests/a.py::test_one", "tests/b.py"), "", "–") == ONE
    assert (TWO.tests, TWO.excluded) == ((), "only root can switch it off here")


@pytest.mark.parametrize(
    ("passed", "expected"),
    [
        ({"tests/a.py::test_one[x]": True, "tests/a.py::test_one[y]": True, "tests/b.py::test_z": True}, True),
        ({"tests/a.py::test_one[x]": True, "tests/a.py::test_one[y]": False, "tests/b.py::test_z": True}, False),
        ({"tests/a.py::test_one": True, "tests/a.py::test_one_more": False, "tests/b.py::test_z": True}, True),
        ({"tests/a.py::test_one": True}, False),
        ({}, False),
    ],
    ids=["all forms", "one form fails", "another test fails", "a test did not run", "nothing ran"],
)
def test_a_row_is_closed_when_each_of_its_tests_ran_and_passed(passed, expected):
    assert closed(ONE, passed) is expected


def test_the_value_is_the_closed_part_of_the_rows_that_have_tests():
    value, detail = score((ONE, TWO, THREE), {"tests/a.py::test_two[network]": True})
    assert value == 0.5
    assert (detail["testable"], detail["closed"], detail["open"]) == (2, 1, [1])
    assert detail["excluded"] == {"2": "only root can switch it off here"}


def test_a_wall_that_is_missed_by_nobody_counts_as_closed_though_it_is_gone():
    file = "tests/leaks/test_sabotage.py"
    found = sabotaged({f"{file}::test_a[x]": True, f"{file}::test_a[y]": False, "tests/a.py::test_one": False})
    assert found == {"walls_taken_away": 2, "closed": 1, "not_noticed": ["test_a[y]"]}


def test_the_worst_is_told_beside_the_median():
    assert worst([1.0, 9.0, 2.0]) == {"rounds": 3, "median": 2.0, "worst": 9.0}


@pytest.mark.slow
def test_the_quick_run_counts_what_it_ran_and_leaves_the_rest_open():
    # Terminals, whose test is quick, and tools, whose test needs a site: all other quick ones run by themselves in this suite.
    argv = [str(ROOT / "bin" / "bench"), "walls", "--quick", "--row=26", "--row=22"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["value"], found["detail"]["testable"], found["detail"]["open"]) == (0.5, 2, [22])
    assert found["detail"]["sabotage"] == {"walls_taken_away": 0, "closed": 0, "not_noticed": []}
