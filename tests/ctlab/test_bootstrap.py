"""Means with intervals: repeatable, by patient, and true about what few cases can say."""

import math

import numpy as np
import pytest
from ctlab.bootstrap import estimate
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.integers(0, 3))
def test_the_mean_lies_within_and_the_same_seed_says_the_same(values, seed):
    first = estimate(values, seed=seed)
    assert first == estimate(values, seed=seed)
    assert first.mean == pytest.approx(np.mean(values))
    assert first.low <= first.high
    assert (first.low >= min(values) - 1e-6 and first.high <= max(values) + 1e-6) or len(values) == 1


def test_the_interval_is_about_two_standard_errors_wide():
    values = np.random.default_rng(1).normal(0.9, 0.05, 400)
    found = estimate(values)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * 0.05 / 20, rel=0.15)


def test_scans_of_one_patient_are_no_witnesses_for_each_other():
    values = [0.5] * 10 + [0.9] * 10
    alone, grouped = estimate(values), estimate(values, ["one"] * 10 + ["two"] * 10)
    assert alone.mean == pytest.approx(grouped.mean)
    assert (grouped.low, grouped.high) == pytest.approx((0.5, 0.9))
    assert alone.high - alone.low < 0.25


def test_patients_count_with_each_of_their_scans():
    assert estimate([0.0, 1.0, 1.0, 1.0], ["a", "b", "b", "b"]).mean == 0.75


def test_one_patient_says_nothing_about_others():
    assert estimate([0.8, 0.9], ["a", "a"]) == estimate([0.8, 0.9], ["a", "a"], seed=5)
    assert math.isinf(estimate([0.8, 0.9], ["a", "a"]).low)


def test_no_values_have_no_mean():
    assert estimate([]) is None


@pytest.mark.parametrize("values", [[math.nan], [1.0, math.inf]])
def test_what_is_no_number_is_never_averaged(values):
    with pytest.raises(ValueError, match="not numbers"):
        estimate(values)


def test_the_order_of_patients_in_the_list_does_not_matter():
    values, patients = [0.1, 0.5, 0.9, 0.7], ["d", "a", "c", "b"]
    assert estimate(values, patients).mean == pytest.approx(estimate(values[::-1], patients[::-1]).mean)
    assert estimate(values, patients).low == pytest.approx(estimate(values[::-1], patients[::-1]).low)
