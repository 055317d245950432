"""What is fetched ahead, for readers of different kinds."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from cloudlink.planner import Planner

WINDOW = 32
DICE = random.Random(7)  # noqa: S311


class Trace:
    """A planner fed with single blocks; what it had fetched by when."""

    def __init__(self) -> None:
        self.planner = Planner()
        self.fetched: set[int] = set()
        self.hits = self.reads = 0

    def read(self, *blocks: int, window: int = WINDOW) -> list[int]:
        planned: list[int] = []
        for block in blocks:
            self.reads += 1
            self.hits += block in self.fetched
            planned = list(self.planner.note(block, block, window))
            self.fetched |= {block, *planned}
        return planned


def test_who_reads_on_is_read_ahead_for_further_and_further():
    trace = Trace()

    assert trace.read(0) == [1]
    assert trace.read(1) == [2, 3]
    assert trace.read(2, 3) == [4, 5, 6, 7]
    assert trace.read(*range(4, 100)) == list(range(100, 100 + WINDOW))
    assert trace.hits == trace.reads - 1


def test_in_the_middle_of_a_file_the_second_block_decides():
    trace = Trace()

    assert trace.read(50) == []
    assert trace.read(51) == [52, 53]


def test_who_reads_backwards_too():
    trace = Trace()

    assert trace.read(90, 89) == [88, 87]
    assert trace.read(*range(88, 60, -1)) == list(range(60, 60 - 30, -1))


def test_who_jumps_by_equal_distances_gets_what_lies_there():
    trace = Trace()
    trace.read(*(start + at for start in range(0, 300, 100) for at in range(3)))

    assert trace.read(300) == [400, 401, 402, 500, 501, 502, 600, 601, 602, 700, 701, 702]
    assert trace.read(301) == [302]
    assert trace.read(302) == []


def test_for_who_jumps_about_nothing_is_fetched():
    trace = Trace()
    chosen = DICE.sample(range(0, 1_000_000, 7), 500)

    assert all(trace.read(block) == [] for block in chosen if block)


def test_short_rows_here_and_there_are_fetched_as_far_as_they_went_before():
    trace = Trace()
    starts = DICE.sample(range(1, 100_000, 50), 40)
    trace.read(*(start + at for start in starts[:30] for at in range(8)))
    before = len(trace.fetched)
    trace.read(*(start + at for start in starts[30:] for at in range(8)))

    assert len(trace.fetched) - before == 80
    assert trace.hits > 150


def test_readers_of_one_file_do_not_disturb_each_other():
    trace = Trace()
    for step in range(50):
        trace.read(*(reader * 10_000 + step for reader in range(6)))

    assert trace.hits / trace.reads > 0.9


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 3)), max_size=60), st.integers(0, 40))
def test_no_plan_is_too_long_or_for_what_is_asked_for_anyway(requests, window):
    planner = Planner()
    for first, more in requests:
        plan = list(planner.note(first, first + more, window))

        assert len(plan) == len(set(plan)) <= window
        assert all(block >= 0 and not first <= block <= first + more for block in plan)
