"""Where a centre hides others' jobs, what concerns one session is asked of its own account, however long the round of all takes."""

import asyncio
import functools
import logging

import msgspec
import pytest

from enclave.messages import Reason, encode
from spawner.schedulers import pjm as adapter
from spawner.schedulers.base import JobState, SchedulerError
from spawner.schedulers.command import run
from spawner.schedulers.watcher import Watcher
from spawner.site import Kind
from tests.spawner.stage import JOB
from tests.spawner.test_pjm_commands import NO_HISTORY, QUEUE, RUNNING, SUDO, Centre

PEOPLE = 40
SLOW = [f"rs-slow{number}" for number in range(adapter.TOGETHER + 1)]
"""More accounts than a round asks at the same time."""
STUCK = SUDO.replace(
    "shift 3",
    'waits() { case "$1" in rs-slow*) test ! -e "$(dirname "$0")/go" ;; *) false ;; esac; }\n'
    'while waits "$3"; do sleep 0.05; done\nshift 3',
)


@pytest.fixture
async def centre(tmp_path, monkeypatch):
    """Everybody's job runs; the first accounts of a round get no answer before the file `go` is there."""
    monkeypatch.setattr(adapter, "run", functools.partial(run, timeout_s=60))
    folder = tmp_path / "centre"
    folder.mkdir()
    made = Centre(folder)
    (folder / "sudo").write_text(STUCK)
    owners = {str(number): account for number, account in enumerate([*SLOW, *(f"rs-p{each}" for each in range(PEOPLE))], 1)}
    made.owners = {**owners, JOB: "rs-tanaka"}
    made.answer(**{"--choose=jid,st,rscg": (0, QUEUE + "".join(RUNNING.replace(",7,", f",{job},") for job in made.owners), "")})
    for job, account in made.owners.items():
        made.pjm.know(account, job)
    made.watcher = Watcher(made.pjm, 0.01, logging.getLogger("centre"))
    yield made
    (folder / "go").touch()
    made.watcher.close()
    await made.watcher.ask()


async def begun(centre) -> asyncio.Future[bool]:
    """A round about everybody that stands still."""
    for job in centre.owners:
        centre.watcher.watch(job, lambda _: None, fast=False)
    asking = asyncio.ensure_future(centre.watcher.ask())
    async with asyncio.timeout(60):
        while len(centre.accounts) < adapter.TOGETHER:  # noqa: ASYNC110  (commands say nothing to the test)
            await asyncio.sleep(0.02)
    return asking


async def test_a_first_call_is_answered_while_the_round_stands_still(centre, ticket_stage):
    stage = ticket_stage
    stage.callback.first.site = msgspec.structs.replace(
        stage.site, scheduler=msgspec.structs.replace(stage.site.scheduler, kind=Kind.PJM)
    )
    stage.callback.first.scheduler = centre.watcher
    asking = await begun(centre)
    async with asyncio.timeout(60):
        status, _ = await stage.post("start", encode(stage.start(ticket=stage.session.give_ticket())))

    assert status == 200
    assert not asking.done()


async def test_what_was_asked_alone_is_known_although_no_round_has_ended(centre):
    asking = await begun(centre)

    assert (await centre.watcher.look(JOB)).state is JobState.RUNNING
    assert centre.watcher.status("40").state is JobState.UNKNOWN
    assert not asking.done()


async def test_the_round_goes_on_and_knows_everybody(centre):
    asking = await begun(centre)
    await centre.watcher.look(JOB)
    (centre.folder / "go").touch()

    assert await asking
    assert {centre.watcher.status(job).state for job in centre.owners} == {JobState.RUNNING}
    assert sorted(set(centre.accounts)) == sorted(centre.owners.values())


async def test_silence_of_ones_own_account_ends_nothing_and_is_told(centre):
    centre.watcher.watch(JOB, lambda _: None, fast=False)
    centre.answer(**{"--data": (1, "", "[ERR.] PJM 0290 pjstat PJM daemon is not present."), **NO_HISTORY})

    assert (await centre.watcher.look(JOB)).state is JobState.UNKNOWN
    with pytest.raises(SchedulerError) as caught:
        await centre.watcher.query((JOB,))
    assert caught.value.reason is Reason.SCHEDULER_DOWN


async def test_where_the_hub_sees_all_jobs_everybody_shares_one_question(tmp_path):
    centre = Centre(tmp_path, sees_all=True)
    centre.answer(**{"-A --data": (0, QUEUE + RUNNING, "")})
    for number in range(PEOPLE):
        centre.pjm.know(f"rs-p{number}", str(number))
    watch = Watcher(centre.pjm, 0.01, logging.getLogger("centre"))
    await asyncio.gather(*(watch.query(("7",)) for _ in range(PEOPLE)))

    assert (len(centre.said), centre.accounts) == (1, [])
