"""`bin/bench walls`: how many of the known leak paths are closed, by the tests that the threat model names."""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import pytest

from bench import cost, revocation
from bench.report import Report, say
from bench.threats import PAGE, Row, rows
from testbed.host import TestbedError
from testbed.site import Testbed

ROOT = Path(__file__).parents[1]
ROUNDS = 10
SABOTAGE = "tests/leaks/test_sabotage.py"


class Outcomes:
    """A plugin of pytest's that keeps each test's outcome: whether all of its parts passed."""

    def __init__(self) -> None:
        self.passed: dict[str, bool] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One of a test's three parts: setup, call, teardown."""
        self.passed[report.nodeid] = self.passed.get(report.nodeid, True) and report.passed
        if report.when == "call":
            say(f"{'passed' if report.passed else 'FAILED'}: {report.nodeid}")


def run(tests: Collection[str], *, quick: bool = False) -> dict[str, bool]:
    """Run `tests`, or the `quick` ones among them; id → whether it passed. What is not run has no outcome.

    Raises TestbedError when pytest does not run them, as when one of them does not exist.
    """
    outcomes = Outcomes()
    chosen = ["-m", "not site and not slow"] if quick else []
    with contextlib.redirect_stdout(sys.stderr):
        code = pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT), *chosen, *sorted(tests)], plugins=[outcomes])
    if code not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
        raise TestbedError(f"pytest ended with {code}")
    return outcomes.passed


def covers(test: str, outcome: str) -> bool:
    """Whether the test that ran as `outcome` is one of those that the id `test` stands for."""
    return outcome == test or outcome.startswith((f"{test}::", f"{test}["))


def closed(row: Row, passed: Mapping[str, bool]) -> bool:
    """Whether each test of `row` ran, and passed in all its forms."""
    for test in row.tests:
        of_test = [good for outcome, good in passed.items() if covers(test, outcome)]
        if not of_test or not all(of_test):
            return False
    return True


def score(table: Iterable[Row], passed: Mapping[str, bool]) -> tuple[float, dict[str, object]]:
    """The part of the rows with tests that is closed, and which are not."""
    table = tuple(table)
    testable = [row for row in table if row.tests]
    found = {row.number: closed(row, passed) for row in testable}
    detail: dict[str, object] = {
        "rows": len(table),
        "testable": len(testable),
        "closed": sum(found.values()),
        "open": [number for number, good in found.items() if not good],
        "excluded": {str(row.number): row.excluded for row in table if row.excluded},
    }
    return sum(found.values()) / len(testable), detail


def sabotaged(passed: Mapping[str, bool]) -> dict[str, object]:
    """Of the walls that were taken away: how many, and where the check still found nothing, as if it was closed."""
    found = {outcome.partition("::")[2]: good for outcome, good in passed.items() if covers(SABOTAGE, outcome)}
    unnoticed = [name for name, good in found.items() if not good]
    return {"walls_taken_away": len(found), "closed": len(unnoticed), "not_noticed": unnoticed}


def measured(rounds: int, pairs: int) -> dict[str, object]:
    """What needs a testbed of its own and a quiet machine: revocation, and what the walls cost."""
    testbed = Testbed("bench-walls", progress=say)
    try:
        testbed.up()
        seconds = revocation.measure(testbed, rounds)
        price = cost.measure(testbed, pairs)
    finally:
        testbed.down()
    return {"revocation_to_last_byte_s": worst(seconds), "cost": price}


def worst(seconds: list[float]) -> dict[str, float]:
    """Median and worst."""
    return {"rounds": len(seconds), "median": round(statistics.median(seconds), 2), "worst": round(max(seconds), 2)}


def main() -> int:
    """Run the table's tests, then measure."""
    parser = argparse.ArgumentParser(prog="bin/bench walls")
    parser.add_argument("--quick", action="store_true", help="tests without a site, and no measurement: to see that this works")
    parser.add_argument("--row", type=int, action="append", metavar="NUMBER", help="this row of the table, may be said again (all)")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--pairs", type=int, default=cost.PAIRS)
    options = parser.parse_args()
    table = tuple(row for row in rows(PAGE.read_text()) if options.row is None or row.number in options.row)
    wanted = {test for row in table for test in row.tests} | {SABOTAGE}
    try:
        passed = run(wanted, quick=options.quick)
        value, detail = score(table, passed)
        detail |= {"tests": len(passed), "sabotage": sabotaged(passed)}
        detail |= {} if options.quick else measured(options.rounds, options.pairs)
    except TestbedError as error:
        say(str(error))
        return 1
    Report(bench="walls", value=round(value, 4), unit="closed / testable", better="higher", detail=detail).print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
