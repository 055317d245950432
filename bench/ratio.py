"""How much longer one thing takes than another, from pairs of times: the median ratio, and how sure it is. Pure."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence

import msgspec

RESAMPLES = 10_000


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """The median of the pairs' ratios, and its one-sided 95 % bounds by the percentile bootstrap over pairs."""

    median: float
    low: float
    high: float
    pairs: int


def ratio_of(times: Sequence[float], others: Sequence[float], seed: int = 1) -> Ratio:
    """`times` over `others`, pair by pair; the same seed draws the same resamples.

    Raises ValueError when they are not pairs of positive times.
    """
    if len(times) != len(others) or not times or min(*times, *others) <= 0:
        raise ValueError("these are no pairs of times")
    ratios = [one / other for one, other in zip(times, others, strict=True)]
    draw = random.Random(seed)  # noqa: S311  (statistics, no secret)
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    low, high = medians[round(0.05 * RESAMPLES)], medians[round(0.95 * RESAMPLES) - 1]
    return Ratio(median=round(statistics.median(ratios), 4), low=round(low, 4), high=round(high, 4), pairs=len(ratios))
