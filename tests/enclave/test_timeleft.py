"""How much time is left: pure values, a clock that the test turns."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.messages import Notice, PulseAnswer
from enclave.storage import Told
from enclave.timeleft import TimeLeft


class Hands:
    """A clock's hands, in seconds."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def time_left(seconds: float, **changes) -> tuple[TimeLeft, Hands]:
    hands = Hands()
    return TimeLeft(hands.at + seconds, monotonic=hands, now=hands, **changes), hands


@pytest.mark.parametrize(
    ("seconds", "left"),
    [
        (8 * 3600, "8 h 0 min left"), (7501, "2 h 6 min left"), (3600, "1 h 0 min left"), (3541, "1 h 0 min left"),
        (3540, "59 min left"), (61, "2 min left"), (1, "1 min left"), (0, "0 min left"), (-5, "0 min left"),
    ],
)  # fmt: skip
def test_what_is_always_in_sight(seconds, left):
    assert time_left(seconds)[0].view().left == left


def test_warnings_come_at_30_10_5_and_1_minutes_and_documents_are_saved_at_the_last_two():
    found, hands = time_left(2000)
    seen = []
    while hands.at < found.deadline:
        view = found.view()
        if not seen or (view.step, view.save) != seen[-1][1:]:
            seen.append((found.deadline - hands.at, view.step, view.save))
        hands.at += 1
    assert seen == [
        (2000, "", ""), (1800, "1800-3000", ""), (600, "600-3000", ""), (300, "300-3000", "300-3000"), (60, "60-3000", "60-3000"),
    ]  # fmt: skip


def test_what_was_done_for_an_end_that_was_put_off_is_done_again_for_the_new_one():
    found, hands = time_left(200)
    before = found.view()
    found.told(PulseAnswer(deadline=found.deadline + 3600))
    assert (found.view().warning, found.view().save) == ("", "")
    hands.at = found.deadline - 200
    assert before.save != found.view().save != ""


def test_an_end_that_is_moved_nearer_saves_at_once():
    found, _ = time_left(4 * 3600)
    found.told(PulseAnswer(deadline=1000 + 240, notices=(Notice(id="n", text="The power goes off."),)))
    assert (found.view().urgent, found.view().save, found.view().notices[0].text) == (True, "300-1240", "The power goes off.")


def test_idle_is_when_no_kernel_runs_and_no_browser_speaks():
    found, hands = time_left(36_000, idle_s=3600)
    hands.at += 3500
    assert not found.idle()
    assert found.view().step == "idle"
    assert "2 min" in found.view().warning
    found.busy()
    assert (found.idle_for(), found.browser_s(), found.view().warning) == (0, 3500, "")
    hands.at += 3599
    found.spoke()
    hands.at += 3600
    assert found.idle()
    assert found.idle_for() == found.browser_s() == 3600


def test_where_the_site_sets_no_limit_nothing_is_ever_idle():
    found, hands = time_left(36_000)
    hands.at += 30_000
    assert not found.idle()
    assert found.view().warning == ""


async def test_the_end_moves_with_the_deadline():
    found = TimeLeft(TimeLeft(0.0).now() + 3600)
    over = asyncio.create_task(found.over())
    await asyncio.sleep(0.05)
    assert not over.done()
    found.told(PulseAnswer(deadline=found.now() + 0.05))
    await asyncio.wait_for(over, 5)


@pytest.mark.parametrize(("line", "again_s"), [("", 15), ("up", 5), ("unknown", 5), ("paused", 2), ("given-up", 5)])
def test_a_page_asks_again_sooner_while_there_is_more_to_see(line, again_s):
    view = time_left(3600, storage=lambda: Told(line=line))[0].view()
    assert (view.storage.line, view.again_s) == (line, again_s)


@given(st.floats(-1e6, 1e9), st.floats(0, 1e6), st.one_of(st.none(), st.floats(1, 1e6)))
def test_there_is_always_something_to_show(seconds, passed, idle_s):
    found, hands = time_left(seconds, idle_s=idle_s)
    hands.at += passed
    view = found.view()
    assert view.left.endswith("left")
    assert "{" not in view.left + view.warning
    assert bool(view.warning) == bool(view.step)
