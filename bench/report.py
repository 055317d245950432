"""What every measurement says: progress on stderr, one JSON object as the last line of stdout."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from typing import Literal

import msgspec


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement's result."""

    bench: str
    value: float
    unit: str
    better: Literal["lower", "higher"]
    detail: dict[str, object]

    def print(self) -> None:
        """Print it as one line of JSON."""
        sys.stdout.write(msgspec.json.encode(self).decode() + "\n")
        sys.stdout.flush()


def say(text: str) -> None:
    """Progress for whoever waits."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def quartiles(values: Sequence[float]) -> dict[str, float]:
    """Median and both quartiles (inclusive method), rounded to a thousandth."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    return {"q1": round(low, 3), "median": round(middle, 3), "q3": round(high, 3)}
