"""What a measurement says."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from bench.report import Report, quartiles
from bench.spawn import report
from bench.visit import Phases

ROOT = Path(__file__).parents[2]


def test_the_last_line_is_one_json_object(capsys):
    Report(bench="spawn", value=0.9, unit="ours / stock", better="lower", detail={"pairs": 9}).print()

    line = capsys.readouterr().out.splitlines()[-1]
    assert json.loads(line) == {"bench": "spawn", "value": 0.9, "unit": "ours / stock", "better": "lower", "detail": {"pairs": 9}}


def test_quartiles():
    assert quartiles([1, 2, 3, 4, 5]) == {"q1": 2, "median": 3, "q3": 4}
    assert quartiles([7]) == {"q1": 7, "median": 7, "q3": 7}


def test_the_value_of_spawn_is_the_median_of_the_pairs_ratios():
    def visit(server: float) -> Phases:
        return Phases(server, lab=0.5, kernel=0.25, cell=0.25)

    found = report([visit(1), visit(3), visit(3)], [visit(3), visit(3), visit(1)])

    assert found.value == 1.0
    assert found.detail["ratio"] == quartiles([0.5, 1.0, 2.0])
    assert found.detail["seconds"]["ours"]["total"]["median"] == 4


@pytest.mark.parametrize("name", ["", "nosuch", "../testbed/demo", "report"])
def test_only_measurements_can_be_asked_for(name):
    asked = subprocess.run([str(ROOT / "bin" / "bench"), name], capture_output=True, text=True, check=False)

    assert asked.returncode == 2
    assert "spawn" in asked.stderr.partition("NAME is one of: ")[2].split()
