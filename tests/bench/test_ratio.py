"""The ratio of pairs says what it should of pairs whose ratio is known."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.ratio import ratio_of

TIMES = st.lists(st.floats(0.1, 10), min_size=1, max_size=30)


@settings(deadline=None, max_examples=30)
@given(TIMES, st.floats(0.5, 2))
def test_pairs_with_one_ratio_leave_no_doubt(times, factor):
    found = ratio_of([factor * each for each in times], times)

    assert found.median == found.low == found.high == pytest.approx(factor, abs=1e-4)
    assert found.pairs == len(times)


@settings(deadline=None, max_examples=30)
@given(TIMES)
def test_the_bounds_hold_the_median_between_them(times):
    found = ratio_of(times, times[::-1])

    assert found.low <= found.median <= found.high


def test_one_bad_minute_of_the_machine_does_not_decide():
    others = [1.0] * 21
    found = ratio_of([1.02] * 20 + [9.0], others)

    assert (found.median, found.high) == (1.02, 1.02)


def test_a_cost_that_is_there_is_found_and_one_that_is_not_is_not():
    draw = random.Random(3)  # noqa: S311  (statistics, no secret)
    others = [draw.gauss(1, 0.02) for _ in range(24)]

    assert ratio_of([1.2 * draw.gauss(1, 0.02) for _ in others], others).low > 1.05
    assert ratio_of([draw.gauss(1, 0.02) for _ in others], others).high < 1.05


@pytest.mark.parametrize(("times", "others"), [([], []), ([1.0], [1.0, 2.0]), ([0.0], [1.0]), ([1.0], [-1.0])])
def test_what_is_no_pair_of_times_is_refused(times, others):
    with pytest.raises(ValueError, match="no pairs"):
        ratio_of(times, others)
