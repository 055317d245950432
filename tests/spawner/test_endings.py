"""What a person reads about a session that ended, and what their home page and waiting page say of those that did not."""

import dataclasses
import logging

import msgspec
import pytest

from enclave.messages import Check, Reason
from phrases import LANGUAGES
from spawner import overview, waiting
from spawner.endings import SAVED, Ending, Endings
from spawner.sessions import Note, Session, State, Step
from spawner.store.database import Database
from spawner.store.records import Records, values_of
from spawner.store.tables import SessionRow
from tests.spawner.stage import DEMO, record


@dataclasses.dataclass
class Server:
    """JupyterHub's side of a session."""

    name: str = ""
    pending: str | None = None
    active: bool = True


def ready(**values: object) -> Session:
    return Session(msgspec.structs.replace(record(state=State.RUNNING, times={State.RUNNING: 1.0}), **values))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("reason", [None, *Reason])
@pytest.mark.parametrize("ran", [True, False])
def test_every_end_has_a_sentence_in_the_language_of_the_page(reason, ran, language):
    told = Ending(session="a", at=0.0, reason=reason, ran=ran).told(language)

    assert told
    assert (told.isascii()) == (language == "en")


def test_a_session_that_ran_says_what_was_lost_and_who_ended_it():
    told = Ending(session="a", at=0.0, reason=Reason.REVOKED, ran=True).told("en")

    assert told.startswith("The data owner ended this session. ")
    assert SAVED in told


def test_one_that_never_ran_says_what_its_node_lacked():
    told = Ending(session="a", at=0.0, reason=Reason.NODE_UNFIT, ran=False, unfit=Check.SWAP).told("en")

    assert told.startswith("The compute node may write images from its memory to its disk.")


def test_the_last_end_is_remembered_by_person_and_name():
    endings = Endings()
    first, second = ready(), ready(id="b" * 16, server="session-2")
    second.hear("sshfs ended with 1")
    second.hear("read: /srv/cloud/people/jrs0017/Yamada Taro.nii.gz: Permission denied")
    endings.remember(first, Reason.TIME_UP)
    endings.remember(second, Reason.MOUNT_FAILED)

    assert endings.last("tanaka", "").reason is Reason.TIME_UP
    assert endings.last("tanaka", "session-2").words == ("sshfs ended with 1", "read: … Permission denied")
    assert endings.last("suzuki", "") is None


def test_what_the_record_says_is_known_after_a_restart(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/renkei.sqlite")
    database.upgrade()
    over = {"state": State.ENDED, "reason": Reason.REVOKED}
    older = record(id="a" * 16, times={State.WISH: 1.0, State.RUNNING: 2.0, State.ENDED: 3.0}, **over)
    newer = record(id="b" * 16, times={State.WISH: 4.0, State.ENDED: 5.0}, **over)
    with database.write() as session:
        session.add_all(SessionRow(**values_of(each)) for each in (newer, older))
    endings = Endings()
    endings.recall(Records(database, logging.getLogger("endings")).last_ended(10))

    assert endings.last("tanaka", "") == Ending(session="b" * 16, at=5.0, reason=Reason.REVOKED, ran=False)


async def test_the_last_lines_are_known_after_a_restart_without_what_was_hidden(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/renkei.sqlite")
    database.upgrade()
    records = Records(database, logging.getLogger("endings"))
    session = ready()
    session.keeper = records
    session.hear("read: /srv/cloud/people/jrs0017/Yamada Taro.nii.gz: Permission denied")
    session.enter(State.ENDED)
    Endings().remember(session, Reason.MOUNT_FAILED)
    await session.write()
    endings = Endings()
    endings.recall(records.last_ended(10))

    assert endings.last("tanaka", "").words == ("read: … Permission denied",)
    with database.read() as reading:
        assert "Yamada" not in str(vars(reading.get_one(SessionRow, session.id)))

    # A hub that ends it once more has heard nothing itself.
    endings.remember(Session(session.saved), Reason.MOUNT_FAILED)
    assert endings.last("tanaka", "").words == ("read: … Permission denied",)


def test_the_home_page_tells_a_session_that_waits_runs_and_ends():
    session = Session(record())
    session.note(Step.QUEUED, "Priority", before=2)
    waits = overview.row(Server(pending="spawn"), session, "", DEMO, "en")
    session.note(Step.RUNNING)
    starts = overview.row(Server(pending="spawn"), session, "", DEMO, "en")
    runs = overview.row(Server(), ready(deadline=5.0), "", DEMO, "en")

    assert (waits.state, starts.state, runs.state) == ("waiting", "starting", "running")
    assert waits.said == "Waiting for a compute node. Others are before you in the queue. You are number 3 in the queue."
    assert (runs.destination, runs.group, runs.gpus, runs.until) == ("Medical image cloud (Tokyo)", "CT nodes (GPU)", 1, 5.0)
    assert overview.row(Server(pending="stop"), ready(), "", DEMO, "en").state == "ending"
    assert overview.row(Server(active=False), None, "", DEMO, "en").state == "ended"


def test_the_home_page_of_a_hub_that_has_just_begun_tells_what_waits():
    waits = Session(record())
    waits.note(Step.QUEUED, "Priority", before=2)

    assert overview.row(Server(active=False), waits, "", DEMO, "en").state == "waiting"
    assert overview.row(Server(active=False), ready(), "", DEMO, "en").state == "ended"


def test_a_further_session_gets_the_first_free_name_within_the_sites_limit():
    assert overview.free_name([""], 2) == "session-2"
    assert overview.free_name(["", "session-2", "mine"], 3) == "session-3"
    assert overview.free_name(["", "session-3"], 2) == "session-2"
    assert overview.free_name(["", "mine", "session-2"], 2) is None
    assert overview.free_name([""], 0) is None


@pytest.mark.parametrize(
    ("server", "display", "label"), [("", "", "セッション"), ("session-2", "session-2", "セッション 2"), ("x", "肺", "肺")]
)
def test_a_session_is_called_by_its_persons_name_for_it_or_by_its_number(server, display, label):
    assert overview.label(server, display, "ja") == label


def test_the_waiting_page_ticks_off_every_step_that_there_is():
    assert {step for step, _ in waiting.STEPS} == set(Step) - {Step.SCHEDULER_SILENT}
    silent = waiting.event(Note(Step.SCHEDULER_SILENT, 7.0), "en")
    assert (silent["step"], silent["at"]) == ("queued", 7.0)


def test_an_expected_start_is_told_again_when_it_has_moved():
    session = Session(record())
    for expected in (1000.0, 1100.0, 2000.0):
        session.note(Step.QUEUED, "Priority", expected)

    assert [note.expected for note in session.notes] == [1000.0, 2000.0]
