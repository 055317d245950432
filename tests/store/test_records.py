"""Sessions in the database: what is read is what was written, in order, and later when it can't be at once."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from enclave.messages import Reason
from spawner.sessions import Session, State
from spawner.store import records as rooms
from spawner.store.database import Database, DatabaseDownError
from spawner.store.records import Records
from tests.spawner.stage import record


@pytest.fixture
def records(database) -> Records:
    return Records(database, logging.getLogger("records"))


async def test_what_is_read_is_what_was_written(records):
    session = Session(record(job="12"))
    session.keeper = records
    for state in (State.WISH, State.RESERVED, State.SUBMITTING, State.QUEUED, State.STARTING):
        session.enter(state)
    session.give_key()
    session.saved.reason = Reason.NODE_LOST
    session.saved.words = ("sshfs ended with 1", "read: … Permission denied")
    await session.write()

    assert records.unfinished() == [session.saved]


async def test_what_is_over_is_not_unfinished(records):
    saved = record(state=State.ENDED)
    await records.now(saved)

    assert records.unfinished() == []


async def test_only_what_was_handed_in_lately_without_a_job_is_doubtful(records):
    handed_in = {State.WISH: 1.0, State.SUBMITTING: time.time() - 5}
    await records.now(record(id="a" * 16, state=State.ENDED, job="", times=handed_in))
    await records.now(record(id="b" * 16, state=State.ENDED, job="7", times=handed_in))
    await records.now(record(id="c" * 16, state=State.ENDED, job="", times={State.WISH: 1.0}))
    await records.now(record(id="d" * 16, state=State.ENDED, job="", times={State.SUBMITTING: 5.0}))

    assert [each.id for each in records.doubtful()] == ["a" * 16]


async def test_a_database_that_is_away_says_so_now_and_is_told_later(tmp_path, monkeypatch):
    monkeypatch.setattr(rooms, "AGAIN_S", 0.05)
    folder = tmp_path / "later"
    database = Database(f"sqlite:///{folder}/renkei.sqlite")
    records = Records(database, logging.getLogger("records"))
    session = Session(record(state=State.RUNNING))
    session.keeper = records

    with pytest.raises(DatabaseDownError):
        await session.write()
    session.enter(State.ENDING)
    await asyncio.sleep(0.1)
    folder.mkdir()
    database.upgrade()
    session.enter(State.ENDED)
    async with asyncio.timeout(5):
        await records._writing

    assert records.unfinished() == []
    with database.read() as reading:
        row = reading.get_one(rooms.SessionRow, session.id)
        assert (row.state, row.ending is not None) == ("ended", True)
