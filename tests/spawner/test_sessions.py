"""Who waits for a session hears of every step, however quickly they come."""

import asyncio

from spawner.sessions import Session, Step
from tests.spawner.stage import record


async def test_a_step_that_is_reached_while_the_one_before_is_being_told_is_told_too():
    session = Session(record())
    session.note(Step.SUBMITTED)
    told = []
    async for note in session.told():
        told.append(note.step)
        match note.step:
            case Step.SUBMITTED:
                session.note(Step.CERTIFICATE)
            case Step.CERTIFICATE:
                asyncio.get_running_loop().call_later(0.01, session.note, Step.MOUNT)
            case Step.MOUNT:
                session.closed = True

    assert told == [Step.SUBMITTED, Step.CERTIFICATE, Step.MOUNT]
