"""How far a mean over cases can be trusted: percentile bootstrap over patients.

Source: B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13. With few patients (under about 20) such
intervals are too narrow: a test cohort of five says little, whatever stands in brackets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 2000
LEVEL = 0.95
MOST_AT_ONCE = 2_000_000
"""Numbers drawn in one piece, so that a thousand cases need no more memory than ten."""


@dataclass(frozen=True)
class Estimate:
    """A mean and the interval that holds it with LEVEL."""

    mean: float
    low: float
    high: float
    count: int
    """Values it is the mean of."""


def estimate(values: Sequence[float], patients: Sequence[str] | None = None, *, seed: int = 0) -> Estimate | None:
    """The mean of `values` and its interval; None when there are none. The same arguments give the same numbers.

    `patients` says whose each value is: patients are drawn, each with all values, because two scans of one person are no two
    witnesses. Without it every value is a patient's own. With a single patient the interval is from minus to plus infinity.

    Raises ValueError when a value is not a finite number, or `patients` has another length.
    """
    numbers = np.asarray(values, np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError("a mean over values that are not numbers")
    if not len(numbers):
        return None
    whose = np.arange(len(numbers)) if patients is None else np.unique(np.asarray(patients, str), return_inverse=True)[1]
    if len(whose) != len(numbers):
        raise ValueError(f"{len(numbers)} values of {len(whose)} patients")
    sums, counts = np.bincount(whose, numbers), np.bincount(whose)
    mean = float(numbers.mean())
    if len(sums) < 2:
        return Estimate(mean, -np.inf, np.inf, len(numbers))
    means = _drawn_means(sums, counts, np.random.default_rng(seed))
    low, high = np.percentile(means, [50 * (1 - LEVEL), 100 - 50 * (1 - LEVEL)])
    return Estimate(mean, float(low), float(high), len(numbers))


def _drawn_means(sums: np.ndarray, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The mean of each of DRAWS cohorts of as many patients, drawn with replacement."""
    rows = max(1, MOST_AT_ONCE // len(sums))
    means = []
    for first in range(0, DRAWS, rows):
        drawn = rng.integers(len(sums), size=(min(rows, DRAWS - first), len(sums)))
        means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    return np.concatenate(means)
