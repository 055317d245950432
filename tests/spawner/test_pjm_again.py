"""A batch system that says that it will soon be there again: the job is handed in again, the person is told, never twice."""

import pytest

from enclave.messages import Reason
from spawner import launch
from spawner.schedulers.base import Found, JobState, SchedulerError
from spawner.sessions import State, Step
from tests.spawner.stage import JOB
from tests.spawner.test_desk import Stubborn, desk, session

__all__ = ["desk"]

NOT_PRESENT = SchedulerError(Reason.SCHEDULER_DOWN, "0090", again=True)
INTERNAL = SchedulerError(Reason.SCHEDULER_DOWN, "0091", lost=True, again=True)


class Resting(Stubborn):
    """Answers the first submissions with these errors; `taken`, of those what it had done all the same."""

    def __init__(self, *errors: SchedulerError, taken: tuple[Found, ...] = ()) -> None:
        super().__init__()
        self.known: set[tuple[str, str]] = set()
        self.errors, self.taken, self.handed_in = list(errors), taken, 0

    def know(self, account, job=""):
        self.known.add((account, job))

    async def submit(self, script, account):
        self.handed_in += 1
        if self.errors:
            raise self.errors.pop(0)
        return JOB

    async def find(self, names):
        return self.taken


@pytest.fixture(autouse=True)
def _quickly(monkeypatch):
    monkeypatch.setattr(launch, "AGAIN_S", (0.01, 0.01, 0.01))
    monkeypatch.setattr(launch, "LOST_S", 0.01)


def steps(one) -> list[Step]:
    return [note.step for note in one.notes]


async def test_it_is_handed_in_again_and_the_person_is_told(desk):
    centre, one = Resting(NOT_PRESENT, NOT_PRESENT), session(State.RESERVED, job="")

    await launch.submit(desk(centre), one)

    assert (one.saved.job, centre.handed_in) == (JOB, 3)
    assert Step.SCHEDULER_SILENT in steps(one)


async def test_after_a_while_it_is_given_up_with_the_sentence_for_it(desk):
    centre = Resting(*[NOT_PRESENT] * 9)

    with pytest.raises(launch.FailureError) as caught:
        await launch.submit(desk(centre), session(State.RESERVED, job=""))

    assert (caught.value.reason, centre.handed_in) == (Reason.SCHEDULER_DOWN, 4)


async def test_what_may_have_been_taken_is_looked_for_before_it_is_handed_in_again(desk):
    one = session(State.RESERVED, job="")
    centre = Resting(INTERNAL, taken=(Found(name=one.name, job="77", uid=one.saved.uid, state=JobState.PENDING),))

    await launch.submit(desk(centre), one)

    assert (one.saved.job, centre.handed_in) == ("77", 1)


async def test_a_refusal_is_no_reason_to_ask_again(desk):
    centre = Resting(SchedulerError(Reason.CENTRE_LIMIT, "0072"))

    with pytest.raises(launch.FailureError) as caught:
        await launch.submit(desk(centre), session(State.RESERVED, job=""))

    assert (caught.value.reason, centre.handed_in) == (Reason.CENTRE_LIMIT, 1)


async def test_whose_job_it_is_is_told_before_anybody_asks_about_it(desk):
    """A centre may show a job to its own account alone: also after a restart of the hub, and for a job that nobody needs now."""
    centre = Resting()
    here = desk(centre)
    here.attend(session(State.SUBMITTING, job=""))
    assert centre.known == {("rs-tanaka", "")}
    here.attend(session(State.RUNNING))
    assert ("rs-tanaka", JOB) in centre.known

    centre.known.clear()
    here.adoption.disown("abcdefgh12345678", "rs-suzuki", 20102)
    assert centre.known == {("rs-suzuki", "")}
    here.adoption.close()
    assert await here.end(session(State.RUNNING, job=JOB), Reason.CANCELLED)
    assert ("rs-tanaka", JOB) in centre.known
