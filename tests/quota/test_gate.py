"""What a start asks, and how sessions are settled: by the batch system's times, whatever is away meanwhile."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from enclave.messages import Reason
from spawner.quota import gate as gates
from spawner.quota.gate import Gate, Over, QuotaError, until_night
from spawner.quota.ledger import Ledger, Source, State
from spawner.quota.policy import Kind, When
from spawner.schedulers.base import UNKNOWN, JobState, JobStatus, SchedulerError, Times
from spawner.store.database import Database, DatabaseDownError
from tests.quota.samples import NOW, TOKYO, H, rule, wish

ENDED = JobStatus(state=JobState.ENDED, node="cx01", starts=NOW + 10, ends=NOW + 10 + H)


class Hub:
    """A gate whose batch system, accounting and sessions say what the test wants."""

    def __init__(self, ledger: Ledger, *, accounting: bool = False) -> None:
        self.ledger = ledger
        self.answers: list[object] = []
        self.asked = 0
        self.known: dict[str, Times] = {}
        self.alive: dict[str, tuple[str, float | None]] = {}
        self.gate = Gate(ledger, self, self if accounting else None, lambda: self.alive, logging.getLogger("quota"))

    def apart(self, job):
        return None

    async def query(self, jobs):
        self.asked += 1
        answer = self.answers.pop(0) if self.answers else UNKNOWN
        if isinstance(answer, Exception):
            raise answer
        return {} if answer is UNKNOWN else dict.fromkeys(jobs, answer)

    async def times(self, jobs):
        return {job: self.known[job] for job in jobs if job in self.known}

    async def over(self, session: str, job: str = "17", began: float | None = NOW + 12, status: JobStatus = UNKNOWN):
        """Close the session and wait until it is settled; its entry."""
        self.gate.closed(Over(session=session, user="tanaka", job=job, began=began, status=status))
        await asyncio.wait(list(self.gate._settling), timeout=5)
        return self.entry(session)

    def entry(self, session: str):
        return next(each for each in self.ledger.charges(0.0) if each.charge.session == session)


@pytest.fixture
def hub(ledger, monkeypatch) -> Hub:
    monkeypatch.setattr(gates, "PAUSE_S", 0.01)
    made = Hub(ledger)
    yield made
    made.gate.close()


async def test_a_wish_above_a_rule_is_refused_with_its_numbers(hub):
    hub.ledger.set_rule(rule(Kind.GPUS, 2, id=0))

    with pytest.raises(QuotaError, match="2 left, 4 wanted") as caught:
        await hub.gate.reserve(wish(gpus=4))
    assert caught.value.refused.when is When.NEVER


async def test_without_its_database_nobody_is_let_in(tmp_path):
    hub = Hub(Ledger(Database(f"sqlite:///{tmp_path}/nowhere/at-all.sqlite"), TOKYO))

    with pytest.raises(DatabaseDownError):
        await hub.gate.reserve(wish())


async def test_a_session_is_settled_by_the_batch_system_s_own_times(hub):
    await hub.gate.reserve(wish(session="a"))

    entry = await hub.over("a", status=ENDED)

    assert (entry.state, entry.source) == (State.SETTLED, Source.SCHEDULER)
    assert (entry.charge.began, entry.charge.ended) == (ENDED.starts, ENDED.ends)
    assert hub.asked == 0


async def test_a_job_that_is_not_over_is_waited_for_and_silence_is_no_end(hub):
    hub.ledger.set_rule(rule(Kind.SESSIONS, 1, id=0))
    await hub.gate.reserve(wish(session="a"))
    down = SchedulerError(Reason.SCHEDULER_DOWN, "no answer")
    hub.answers = [JobStatus(state=JobState.ENDING, node="cx01"), down, down, UNKNOWN, down, ENDED]

    entry = await hub.over("a", status=JobStatus(state=JobState.RUNNING, node="cx01"))

    assert (entry.source, hub.asked) == (Source.SCHEDULER, 6)


async def test_a_job_that_the_batch_system_has_forgotten_is_settled_by_the_hub_s_times(hub):
    await hub.gate.reserve(wish(session="a"))

    entry = await hub.over("a")

    assert (entry.state, entry.source, entry.charge.began) == (State.SETTLED, Source.HUB, NOW + 12)
    # It had asked for an hour, however late the hub hears of the end.
    assert entry.charge.ended == NOW + 12 + H


@pytest.mark.parametrize(("job", "status"), [("", UNKNOWN), ("17", JobStatus(state=JobState.ENDED, starts=NOW + 5, ends=NOW + 5))])
async def test_what_never_ran_is_void(hub, job, status):
    await hub.gate.reserve(wish(session="a"))

    assert (await hub.over("a", job=job, began=None, status=status)).state is State.VOID


async def test_who_starts_again_at_once_is_not_held_up_by_what_they_have_just_ended(hub):
    hub.ledger.set_rule(rule(Kind.SESSIONS, 1, id=0))
    await hub.gate.reserve(wish(session="a"))
    hub.gate.closed(Over(session="a", user="tanaka", job="17", began=NOW, status=ENDED))

    await hub.gate.reserve(wish(session="b", at=ENDED.ends + 1))


async def test_a_start_that_is_given_up_while_it_is_reserved_keeps_nothing(hub):
    starting = asyncio.ensure_future(hub.gate.reserve(wish(session="a")))
    await asyncio.sleep(0.001)
    starting.cancel()
    await asyncio.wait([starting])
    await asyncio.wait(list(hub.gate._settling) or [asyncio.ensure_future(asyncio.sleep(0))], timeout=5)

    assert all(each.state is State.VOID for each in hub.ledger.charges(0.0))


async def test_a_session_that_began_says_when_it_is_over_at_the_latest(hub):
    hub.ledger.set_rule(rule(Kind.SESSIONS, 1, id=0))
    await hub.gate.reserve(wish(session="a", hours=2.0))
    hub.alive["a"] = ("17", NOW + 60)

    with pytest.raises(QuotaError) as caught:
        await hub.gate.reserve(wish(session="b", at=NOW + 120))
    assert caught.value.refused.fits_at == NOW + 60 + 2 * H
    (standing,) = await hub.gate.standing("tanaka", ())
    assert (standing.used, standing.left) == (1, 0)


async def test_what_ended_while_the_hub_was_away_is_settled_and_what_runs_is_left(ledger, monkeypatch):
    hub = Hub(ledger, accounting=True)
    for name, job in (("ended", "1"), ("runs", "2"), ("alive", "3"), ("no-job", ""), ("forgotten", "5")):
        await hub.gate.reserve(wish(session=name))
        if job:
            ledger.began(name, job, NOW + 12)
    hub.alive = {"alive": ("3", NOW + 12)}
    hub.known = {"1": Times(began=NOW + 10, ended=NOW + 10 + H)}
    hub.answers = [UNKNOWN, JobStatus(state=JobState.RUNNING, node="cx01", starts=NOW + 10), UNKNOWN]

    await hub.gate.reconcile(NOW + 3 * H)

    states = {each.charge.session: (each.state, each.source) for each in ledger.charges(0.0)}
    assert states["ended"] == (State.SETTLED, Source.SCHEDULER)
    assert states["runs"] == states["alive"] == (State.RESERVED, None)
    assert states["no-job"] == (State.VOID, Source.HUB)
    # It had an hour, and nobody knows of an earlier end.
    assert states["forgotten"] == (State.SETTLED, Source.HUB)
    assert hub.entry("forgotten").charge.ended == NOW + 12 + H


async def test_charges_are_held_against_the_accounting_and_differences_are_said(ledger, caplog):
    hub = Hub(ledger, accounting=True)
    now = time.time()
    await hub.gate.reserve(wish(session="a", at=now - 3 * H))
    await hub.over("a", status=JobStatus(state=JobState.ENDED, node="cx01", starts=now - 3 * H, ends=now - 1 * H))
    hub.known = {"17": Times(began=now - 3 * H, ended=now - 2 * H)}

    await hub.gate.reconcile(now)

    assert [(each.charged_s, each.counted_s) for each in ledger.differences(0.0)] == [(2 * H, H)]
    assert "charged 7200 s, the batch system counts 3600 s" in caplog.text


@pytest.mark.parametrize("hour", [0, 2, 3, 12, 23])
def test_the_next_night_is_never_more_than_a_day_away(hour):
    at = NOW - NOW % (24 * H) + hour * H

    assert 0 < until_night(at, TOKYO) <= 24 * H
