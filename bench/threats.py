"""The table of docs/threat-model.md as values: every leak path, how it is closed, the tests that show it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "threat-model.md"
EXCLUDED = "Excluded: "
_ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
_TEST = re.compile(r"`(tests/[^`]+)`")


@dataclass(frozen=True)
class Row:
    """One leak path."""

    number: int
    path: str
    closed: str
    tests: tuple[str, ...]
    """Ids as pytest understands them; each may stand for several tests."""
    excluded: str
    """Why it has no test; empty where it has some."""
    remains: str


def rows(text: str) -> tuple[Row, ...]:
    """The rows of the page `text`, in their order. A row without a test and without a reason has neither `tests` nor `excluded`."""
    found = []
    for number, path, closed, tests, remains in _ROW.findall(text):
        reason = tests.partition(EXCLUDED)[2]
        found.append(Row(int(number), path, closed, tuple(_TEST.findall(tests)), reason, remains))
    return tuple(found)
