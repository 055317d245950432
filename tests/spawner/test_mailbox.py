"""What an administrator leaves for a session reaches its next pulse; what the session says reaches the console."""

from __future__ import annotations

import logging
import time

import pytest

from enclave.messages import Pulse
from spawner.authority.protocol import Account
from spawner.console.tables import ActivityRow, ExtensionRow, NoticeRow
from spawner.mailbox import Mailbox
from spawner.options import Request
from spawner.schedulers.base import UNKNOWN, JobState, JobStatus
from spawner.sessions import Saved, Session, Sessions
from spawner.store.database import Database, DatabaseDownError
from spawner.store.tables import SessionRow
from tests.store.test_database import row

ID = "a" * 16


class Watched:
    """What the watcher knows, by job."""

    def __init__(self, **known: JobStatus) -> None:
        self.known = known

    def status(self, job: str) -> JobStatus:
        return self.known.get(job, UNKNOWN)


@pytest.fixture
def database(tmp_path) -> Database:
    made = Database(f"sqlite:///{tmp_path}/renkei.sqlite")
    made.upgrade()
    with made.write() as session:
        session.add(row(ID, state="running", job="j17", deadline=5000.0))
    return made


@pytest.fixture
def live() -> Session:
    request = Request(resource_group="ct", destination="cloud", gpus=1, hours=1.0, language="ja")
    account = Account(destination="cloud", account="tanaka", folder="/srv/cloud/tanaka")
    saved = Saved(id=ID, user="tanaka", server="", account="rs-tanaka", uid=3001, request=request, cloud=account)
    saved.job, saved.deadline = "j17", 5000.0
    return Session(saved)


def mailbox(database: Database, live: Session, **known: JobStatus) -> Mailbox:
    sessions = Sessions()
    sessions.add(live)
    return Mailbox(database, sessions, Watched(**known), logging.getLogger("test"))


async def test_messages_are_in_sight_newest_last_and_twenty_at_most(database, live):
    with database.write() as session:
        session.add_all(NoticeRow(session=ID, text=f"text {number}", by="admin", at=1.0) for number in range(25))
    await mailbox(database, live).turn()
    assert [each.text for each in live.notices] == [f"text {number}" for number in range(5, 25)]


async def test_an_extension_moves_the_deadline_once_and_is_written_down_with_it(database, live):
    with database.write() as session:
        session.add(ExtensionRow(session=ID, seconds=600.0, by="admin", at=1.0))
    box = mailbox(database, live)
    await box.turn()
    await box.turn()
    assert live.saved.deadline == 5600.0
    with database.read() as session:
        assert session.get_one(SessionRow, ID).deadline == 5600.0


async def test_what_a_session_says_is_written_where_the_console_reads(database, live):
    live.pulse = Pulse(kernels_busy=2, browser_s=1.0, gpu_busy=0.25, sent=1)
    live.pulse_time = time.time()
    await mailbox(database, live, j17=JobStatus(state=JobState.RUNNING, node="cx01")).turn()
    with database.read() as session:
        found = session.get_one(ActivityRow, ID)
    assert (found.kernels_busy, found.gpu_busy, found.node, found.waits_for) == (2, 0.25, "cx01", "")


async def test_why_a_session_waits_is_written_too_and_gone_when_it_runs(database, live):
    box = mailbox(database, live, j17=JobStatus(state=JobState.PENDING, reason="Priority", before=3, starts=9000.0))
    await box.turn()
    with database.read() as session:
        found = session.get_one(ActivityRow, ID)
    assert (found.waits_for, found.before, found.expected) == ("Priority", 3, 9000.0)
    box._watcher.known["j17"] = JobStatus(state=JobState.RUNNING, node="cx02")
    await box.turn()
    with database.read() as session:
        found = session.get_one(ActivityRow, ID)
    assert (found.waits_for, found.before, found.expected, found.node) == ("", None, None, "cx02")


async def test_a_database_that_is_away_leaves_session_and_news_as_they_are(tmp_path, live):
    away = Database(f"sqlite:///{tmp_path}/nothing/renkei.sqlite")
    with pytest.raises(DatabaseDownError):
        await mailbox(away, live).turn()
    assert live.saved.deadline == 5000.0
