"""Where there is no MUNGE: a ticket proves the job, once; shown again or by somebody else, it ends the session."""

import asyncio

import msgspec
import pytest

from enclave.messages import Event, Phase, Reason, Welcome, decode, encode
from spawner.schedulers.base import SchedulerError
from spawner.sessions import State
from tests.spawner.stage import refused


async def test_a_ticket_is_a_proof_where_there_is_no_munge(ticket_stage):
    ticket = ticket_stage.session.give_ticket()

    status, _ = await ticket_stage.post("start", encode(ticket_stage.start(ticket=ticket)))

    assert status == 200


@pytest.mark.parametrize("ticket", ["", "wrong"])
async def test_another_ticket_is_none_and_does_not_hurt_the_session(ticket_stage, ticket):
    ticket_stage.session.give_ticket()

    assert await refused(ticket_stage, encode(ticket_stage.start(ticket=ticket))) == (403, Reason.PROOF_REFUSED)
    assert ticket_stage.session.saved.state is State.QUEUED


async def test_a_ticket_shown_twice_ends_the_session(ticket_stage):
    ticket = ticket_stage.session.give_ticket()
    await ticket_stage.post("start", encode(ticket_stage.start(ticket=ticket)))

    assert await refused(ticket_stage, encode(ticket_stage.start(ticket=ticket))) == (409, Reason.PROOF_REFUSED)
    await asyncio.sleep(0)
    assert ticket_stage.ended == [ticket_stage.session.id]


async def ended_for_its_ticket(stage) -> bool:
    await asyncio.sleep(0)
    return stage.ended == [stage.session.id] and stage.session.failure[0] is Reason.PROOF_REFUSED


async def test_a_batch_system_that_is_silent_for_a_moment_costs_no_session(ticket_stage):
    start = encode(ticket_stage.start(ticket=ticket_stage.session.give_ticket()))
    silent, ticket_stage.scheduler.query = ticket_stage.scheduler.query, _silent
    asking = asyncio.create_task(ticket_stage.post("start", start))
    await asyncio.sleep(0.5)
    ticket_stage.scheduler.query = silent

    assert (await asking)[0] == 200
    assert ticket_stage.ended == []


async def test_a_ticket_that_was_not_honoured_is_spent_too(ticket_stage, monkeypatch):
    """The job shows it once and dies of the refusal: who shows it afterwards is somebody else."""
    monkeypatch.setattr("spawner.firstcall.JOB_KNOWN_S", 0.3)
    start = encode(ticket_stage.start(ticket=ticket_stage.session.give_ticket()))
    silent, ticket_stage.scheduler.query = ticket_stage.scheduler.query, _silent
    assert await refused(ticket_stage, start) == (503, Reason.SCHEDULER_DOWN)
    assert ticket_stage.ended == []
    ticket_stage.scheduler.query = silent

    assert await refused(ticket_stage, start) == (409, Reason.PROOF_REFUSED)
    assert await ended_for_its_ticket(ticket_stage)
    assert ticket_stage.authority.signed == []


async def _silent(_jobs):
    raise SchedulerError(Reason.SCHEDULER_DOWN, "no answer")


async def test_of_two_calls_with_the_ticket_at_once_neither_keeps_the_session(ticket_stage):
    ticket = ticket_stage.session.give_ticket()
    bodies = [encode(ticket_stage.start(ticket=ticket)) for _ in range(2)]

    answers = await asyncio.gather(*(ticket_stage.post("start", body) for body in bodies))

    assert 409 in {status for status, _ in answers}
    assert await ended_for_its_ticket(ticket_stage)


async def test_a_ticket_from_outside_the_nodes_networks_ends_the_session(ticket_stage):
    ticket = ticket_stage.session.give_ticket()
    group = msgspec.structs.replace(ticket_stage.site.resource_group[0], subnets=("10.77.1.0/24",))
    ticket_stage.callback.first.site = msgspec.structs.replace(ticket_stage.site, resource_group=(group,))

    assert await refused(ticket_stage, encode(ticket_stage.start(ticket=ticket))) == (403, Reason.PROOF_REFUSED)
    assert await ended_for_its_ticket(ticket_stage)


@pytest.mark.parametrize("change", [{"job": "4712"}, {"tls_request": "x"}, {"session": "other00012345678"}])
async def test_a_ticket_with_something_else_than_its_jobs_call_ends_the_session(ticket_stage, change):
    start = ticket_stage.start(ticket=ticket_stage.session.give_ticket(), **change)

    assert (await refused(ticket_stage, encode(start)))[1] is Reason.PROOF_REFUSED
    assert await ended_for_its_ticket(ticket_stage)


async def test_a_ticket_from_another_node_ends_the_session(ticket_stage):
    ticket = ticket_stage.session.give_ticket()
    ticket_stage.scheduler.addresses = ("127.0.0.2",)

    assert await refused(ticket_stage, encode(ticket_stage.start(ticket=ticket))) == (403, Reason.PROOF_REFUSED)
    assert await ended_for_its_ticket(ticket_stage)


async def test_a_ticket_during_the_session_ends_it_and_its_key_is_worth_nothing(ticket_stage):
    start = encode(ticket_stage.start(ticket=ticket_stage.session.give_ticket()))
    key = decode((await ticket_stage.post("start", start))[1], Welcome).key
    assert (await ticket_stage.post("event", encode(Event(phase=Phase.READY)), key=key))[0] == 204

    assert (await refused(ticket_stage, start))[0] == 409
    assert await ended_for_its_ticket(ticket_stage)
    assert (await refused(ticket_stage, b"", "renew", key=key))[0] == 404


async def test_who_has_no_ticket_can_not_end_a_session(ticket_stage):
    ticket_stage.session.give_ticket()
    for start in (ticket_stage.start(ticket="guessed"), ticket_stage.start(ticket="", job="4712"), ticket_stage.start()):
        await refused(ticket_stage, encode(start))

    await asyncio.sleep(0)
    assert (ticket_stage.ended, ticket_stage.session.failure) == ([], None)
    assert ticket_stage.session.saved.state is State.QUEUED


async def test_a_munge_credential_is_no_ticket(ticket_stage):
    assert await refused(ticket_stage, encode(ticket_stage.start())) == (403, Reason.PROOF_REFUSED)
