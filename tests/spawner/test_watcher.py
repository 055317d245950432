"""One question for everybody; silence is never taken for the end of a job."""

import asyncio
import logging
import time

import pytest

from enclave.messages import Reason
from spawner.schedulers import watcher as watchers
from spawner.schedulers.base import JobState, JobStatus, NodeStatus, SchedulerError
from spawner.schedulers.watcher import Watcher

RUNNING = JobStatus(state=JobState.RUNNING, node="cx01")
PENDING = JobStatus(state=JobState.PENDING, reason="Priority", before=3)
NODES = (NodeStatus(node="cx01", partition="ct-link", up=True),)
DOWN = SchedulerError(Reason.SCHEDULER_DOWN, "no answer")


class Script:
    """A batch system that gives these answers one after the other, the last one for ever."""

    def __init__(self, *answers, takes_s=0.0, accounts=()) -> None:
        self.answers = list(answers)
        self.takes_s = takes_s
        self.accounts = dict(accounts)
        self.at_once = self.most_at_once = 0
        self.asked: list[tuple[str, ...]] = []
        self.nodes_asked = 0

    async def capacity(self):
        self.nodes_asked += 1
        if isinstance(self.answers[0], Exception):
            raise self.answers[0]
        return NODES

    def apart(self, job):
        return self.accounts.get(job)

    async def query(self, jobs):
        self.asked.append(tuple(sorted(jobs)))
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        await asyncio.sleep(self.takes_s)
        self.at_once -= 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def watcher():
    made = []

    def make(*answers, fast_s=0.01, **more):
        script = Script(*answers, **more)
        made.append(Watcher(script, fast_s, logging.getLogger("watcher")))
        return made[-1], script

    yield make
    for each in made:
        each.close()


async def states(watcher, job: str, count: int) -> list[JobState]:
    """The job's state after each of `count` questions."""
    found = []
    for _ in range(count):
        await watcher.ask()
        found.append(watcher.status(job).state)
    return found


async def test_a_job_that_is_missing_once_has_not_ended(watcher, monkeypatch):
    monkeypatch.setattr(watchers, "MISSING_APART_S", 0.0)
    watch, _ = watcher({"1": RUNNING}, {}, {"1": RUNNING}, {}, {})
    watch.watch("1", lambda _: None)

    assert await states(watch, "1", 5) == [JobState.RUNNING, JobState.RUNNING, JobState.RUNNING, JobState.RUNNING, JobState.ENDED]


async def test_two_empty_answers_at_once_end_nothing(watcher, monkeypatch):
    monkeypatch.setattr(watchers, "MISSING_APART_S", 0.2)
    watch, _ = watcher({"1": RUNNING}, {})
    watch.watch("1", lambda _: None)

    assert await states(watch, "1", 4) == [JobState.RUNNING] * 4
    await asyncio.sleep(0.2)
    assert await states(watch, "1", 1) == [JobState.ENDED]


async def test_answers_that_do_not_come_do_not_count_as_missing(watcher):
    watch, _ = watcher({"1": RUNNING}, {}, DOWN, DOWN, DOWN, {"1": RUNNING})
    watch.watch("1", lambda _: None)

    assert set(await states(watch, "1", 6)) == {JobState.RUNNING}


async def test_an_old_answer_says_nothing(watcher, monkeypatch):
    watch, _ = watcher({"1": RUNNING}, DOWN)
    watch.watch("1", lambda _: None)
    await watch.ask()
    monkeypatch.setattr("spawner.schedulers.watcher.STALE_S", -1.0)

    assert watch.stale
    assert watch.status("1").state is JobState.UNKNOWN


async def test_what_has_ended_is_not_asked_for_again_and_stays_ended(watcher, monkeypatch):
    ended = JobStatus(state=JobState.ENDED, ending=Reason.TIME_UP)
    watch, script = watcher({"1": ended, "2": RUNNING}, {"2": RUNNING})
    watch.watch("1", lambda _: None)
    watch.watch("2", lambda _: None)
    await watch.ask()
    await watch.ask()
    monkeypatch.setattr("spawner.schedulers.watcher.STALE_S", -1.0)

    assert script.asked == [("1", "2"), ("2",)]
    assert watch.status("1") == ended


async def test_everybody_is_asked_for_at_once_and_told(watcher):
    watch, script = watcher({str(job): RUNNING for job in range(50)})
    told: list[JobStatus] = []
    for job in range(50):
        watch.watch(str(job), told.append)
    await watch.ask()

    assert len(script.asked) == 1
    assert told == [RUNNING] * 50


async def test_silence_is_told_as_unknown(watcher):
    watch, _ = watcher(DOWN)
    told: list[JobStatus] = []
    watch.watch("1", told.append)

    assert not await watch.ask()
    assert [status.state for status in told] == [JobState.UNKNOWN]


async def test_it_asks_often_while_somebody_waits_and_seldom_otherwise(watcher):
    watch, script = watcher({"1": RUNNING})
    watch.watch("1", lambda _: None, fast=True)
    begun = time.monotonic()
    while len(script.asked) <= 5:  # noqa: ASYNC110  (the script says nothing when it is asked)
        await asyncio.sleep(0.01)
    often = time.monotonic() - begun
    watch.watch("1", lambda _: None, fast=False)
    await asyncio.sleep(0.05)
    before = len(script.asked)
    # As long as five questions took: on a machine that others use too that may be longer than it would take alone.
    await asyncio.sleep(min(often, 0.2))

    assert len(script.asked) <= before + 1


async def test_it_backs_off_while_nobody_answers(watcher):
    watch, script = watcher(DOWN)
    watch.watch("1", lambda _: None)
    await asyncio.sleep(0.35)

    assert 2 <= len(script.asked) <= 6


async def test_it_stops_asking_when_nobody_is_left(watcher):
    watch, script = watcher({"1": RUNNING})
    watch.watch("1", lambda _: None)
    await asyncio.sleep(0.05)
    watch.forget("1")
    await asyncio.sleep(0.05)
    asked = len(script.asked)
    await asyncio.sleep(0.1)

    assert len(script.asked) == asked
    assert watch.status("1").state is JobState.UNKNOWN


@pytest.mark.parametrize("state", [JobState.PENDING, JobState.ENDING, JobState.RUNNING])
async def test_it_is_quick_only_while_seconds_matter(watcher, monkeypatch, state):
    monkeypatch.setattr(watchers, "QUICK_FOR_S", dict.fromkeys(JobState, 0.1))
    watch, script = watcher({"1": JobStatus(state=state)})
    watch.watch("1", lambda _: None)
    await asyncio.sleep(0.3)
    asked = len(script.asked)
    await asyncio.sleep(0.2)

    assert asked > 3
    assert len(script.asked) == asked


async def test_who_begins_to_wait_again_makes_it_quick_again(watcher, monkeypatch):
    monkeypatch.setattr(watchers, "QUICK_FOR_S", dict.fromkeys(JobState, 0.1))
    watch, script = watcher({"1": RUNNING})
    watch.watch("1", lambda _: None, fast=False)
    await asyncio.sleep(0.15)
    before = len(script.asked)
    watch.watch("1", lambda _: None, fast=True)
    await asyncio.sleep(0.08)

    assert before == 1
    assert len(script.asked) > 2


async def test_a_slow_answer_makes_the_next_question_later(watcher):
    watch, script = watcher({"1": RUNNING}, takes_s=0.05)
    watch.watch("1", lambda _: None)
    await asyncio.sleep(0.6)

    assert 2 <= len(script.asked) <= 3
    assert 0.05 <= watch.took_s < 0.2


async def test_two_hundred_who_ask_at_once_share_a_question(watcher):
    watch, script = watcher({str(job): RUNNING for job in range(200)}, takes_s=0.02)
    answers = await asyncio.gather(*(watch.query((str(job),)) for job in range(200)))

    assert len(script.asked) == 1
    assert [set(answer) for answer in answers] == [{str(job)} for job in range(200)]


async def test_an_answer_to_a_question_that_was_put_before_is_not_enough(watcher):
    watch, script = watcher({}, {"1": RUNNING}, takes_s=0.05)
    early = asyncio.ensure_future(watch.query(("1",)))
    await asyncio.sleep(0.02)
    late = await watch.query(("1",))

    assert await early == {}
    assert late == {"1": RUNNING}
    assert len(script.asked) == 2


async def test_who_asks_is_told_that_nobody_answered(watcher):
    watch, _ = watcher(DOWN)
    with pytest.raises(SchedulerError) as caught:
        await watch.query(("1",))

    assert caught.value.reason is Reason.SCHEDULER_DOWN


async def test_the_nodes_are_asked_about_when_somebody_looks_and_not_for_each_who_does(watcher):
    watch, script = watcher({"1": RUNNING, "other": PENDING})
    looks = await asyncio.gather(*(watch.overview() for _ in range(50)))

    assert (script.nodes_asked, len(script.asked)) == (1, 1)
    assert all(look.nodes == NODES for look in looks)
    assert looks[0].queue["other"].before == 3


async def test_a_look_at_nodes_that_nobody_tells_about_does_no_harm(watcher):
    watch, _ = watcher(DOWN)
    look = await watch.overview()

    assert (look.nodes, look.at) == ((), 0.0)


async def test_the_trouble_of_one_who_is_told_is_not_everybody_s(watcher):
    watch, _ = watcher({"1": RUNNING, "2": RUNNING})

    def trouble(_) -> None:
        raise ValueError("a full disk, say")

    told: list[JobStatus] = []
    watch.watch("1", trouble)
    watch.watch("2", told.append)

    assert await watch.ask()
    assert told


async def test_who_has_to_be_asked_alone_shares_the_question_with_those_of_the_same_account(watcher):
    watch, script = watcher({"1": RUNNING, "2": RUNNING}, takes_s=0.02, accounts={"1": "a", "2": "a"})
    answers = await asyncio.gather(*(watch.query((job,)) for job in ("1", "2") * 20))

    assert script.asked == [("1", "2")]
    assert answers == [{"1": RUNNING}, {"2": RUNNING}] * 20


async def test_not_more_than_a_few_accounts_are_asked_at_the_same_time(watcher):
    watch, script = watcher({}, takes_s=0.01, accounts={str(job): f"rs-{job}" for job in range(50)})
    await asyncio.gather(*(watch.query((str(job),)) for job in range(50)))

    assert (len(script.asked), script.most_at_once) == (50, watchers.ALONE)


async def test_an_account_is_left_alone_for_a_while_after_its_answer(watcher):
    watch, script = watcher({"1": RUNNING}, takes_s=0.05, accounts={"1": "a"})
    begun = time.monotonic()
    for _ in range(4):
        await watch.query(("1",))

    assert time.monotonic() - begun >= 4 * 0.05 + 3 * watchers.SHARE * 0.05
    assert len(script.asked) == 4


async def test_a_round_that_was_put_before_says_nothing_against_a_later_answer(watcher):
    ended = JobStatus(state=JobState.ENDED, ending=Reason.TIME_UP)
    watch, script = watcher({"1": RUNNING, "2": RUNNING}, {"1": ended}, accounts={"1": "a"}, takes_s=0.2)
    for job in ("1", "2"):
        watch.watch(job, lambda _: None, fast=False)
    round_ = asyncio.ensure_future(watch.ask())
    await asyncio.sleep(0.05)
    script.answers.reverse()
    script.takes_s = 0.0

    assert await watch.look("1") == ended
    script.answers = [{"1": RUNNING, "2": RUNNING}]
    await round_
    assert (watch.status("1"), watch.status("2")) == (ended, RUNNING)
