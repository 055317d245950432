"""Bytes and rates, counted against a clock of the test's own."""

from __future__ import annotations

import pytest

from enclave.budget import PATIENCE, TRICKLE_BURST, TRICKLE_LIMIT, TRICKLE_RATE, Bucket, Budget
from enclave.messages import Level


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_gives_its_burst_and_then_its_rate():
    clock = Clock()
    bucket = Bucket(rate=2, burst=3, clock=clock)
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    clock.now = 1.0
    assert [bucket.take() for _ in range(3)] == [True, True, False]
    clock.now = 1000.0
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]


def test_each_level_is_told_once():
    told = []
    budget = Budget(1000, lambda level, spent: told.append((level, spent)))
    while budget.allows(10**9):
        budget.spend(79)
    assert told == [(Level.WARNING, 869), (Level.USED_UP, 1027)]


def test_one_large_answer_may_use_it_up_at_once():
    told = []
    budget = Budget(1000, lambda level, spent: told.append((level, spent)))
    assert budget.spend(5000) == 0.0
    assert told == [(Level.USED_UP, 5000)]


def test_when_it_is_used_up_only_a_trickle_passes():
    clock = Clock()
    budget = Budget(1000, clock=clock)
    budget.spend(1000)
    assert budget.allows(TRICKLE_LIMIT)
    assert not budget.allows(TRICKLE_LIMIT + 1)
    passed = waited = 0.0
    while clock.now < 3600:
        if budget.allows(TRICKLE_LIMIT):
            passed += TRICKLE_LIMIT
            waited = max(waited, budget.spend(TRICKLE_LIMIT))
        clock.now += 1.0
    assert passed <= TRICKLE_BURST + TRICKLE_RATE * (3600 + PATIENCE) + TRICKLE_LIMIT
    assert waited == pytest.approx(PATIENCE + TRICKLE_LIMIT / TRICKLE_RATE, abs=20)


def test_small_talk_does_not_wait():
    clock = Clock()
    budget = Budget(1000, clock=clock)
    budget.spend(1000)
    for _ in range(600):
        assert budget.allows(1500)
        assert budget.spend(1500) == 0.0
        clock.now += 1.0
