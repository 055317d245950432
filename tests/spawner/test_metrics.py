"""What Prometheus is told: names and labels that are known beforehand, and a board that asks for nothing else."""

from __future__ import annotations

import json
import logging
import re
import time
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from enclave.messages import Event, Phase, Reason, encode
from spawner import metrics
from spawner.desk import Desk
from spawner.owner.protocol import Seen
from spawner.residue.statement import Verdict
from spawner.sessions import Note, Session, State, Step
from tests.spawner.stage import DEMO, record
from tests.spawner.witnesses import CLOUD

BOARD = Path(__file__).parents[2] / "sites" / "grafana.json"
OURS = (metrics.PHASE, metrics.WAIT, metrics.REFUSALS, metrics.QUOTA_REFUSALS, metrics.LINK)


@pytest.fixture
def desk(tmp_path):
    hub = msgspec.structs.replace(DEMO.hub, audit_log=str(tmp_path / "audit.jsonl"), state=str(tmp_path))
    made = Desk(msgspec.structs.replace(DEMO, hub=hub), logging.getLogger("desk"))
    yield made
    made.close()


def told(desk) -> str:
    registry = CollectorRegistry()
    registry.register(metrics.Board(desk))
    for each in OURS:
        registry.register(each)
    return generate_latest(registry).decode()


def value(text: str, sample: str) -> float:
    [found] = [line.rsplit(" ", 1)[1] for line in text.splitlines() if line.rsplit(" ", 1)[0] == sample]
    return float(found)


def waiting(name: str, state: State, wished: float) -> Session:
    return Session(record(id=name, state=state, times={State.WISH: wished}))


def test_the_queue_by_resource_group_and_sessions_by_state(desk):
    now = time.time()
    for name, state in (("a" * 16, State.QUEUED), ("b" * 16, State.SUBMITTING), ("c" * 16, State.RUNNING)):
        desk.sessions.add(waiting(name, state, now - 100))
    text = told(desk)
    assert value(text, 'renkei_queue_length{resource_group="ct-link"}') == 2
    assert value(text, 'renkei_queue_oldest_seconds{resource_group="ct-link"}') == pytest.approx(100, abs=5)
    assert value(text, 'renkei_sessions{state="running"}') == 1
    assert value(text, 'renkei_sessions{state="ending"}') == 0


def test_suspended_mounts_are_those_that_the_owner_holds_still(desk, monkeypatch):
    class Cloud:
        seen = tuple(
            Seen(session="a" * 16, serial="1", access="rw", opened=1.0, state=state, bytes_out=None, bytes_in=None, last_byte=None)
            for state in ("live", "suspended", "suspended")
        )

    monkeypatch.setattr(desk.owners, "find", lambda name: Cloud if name == "cloud" else None)
    text = told(desk)
    assert value(text, 'renkei_mounts_suspended{destination="cloud"}') == 2
    assert value(text, 'renkei_mounts_suspended{destination="kashiwa"}') == 0


def test_counts_of_what_was_refused_moved_and_left(desk):
    before = told(desk)
    desk.refused("tanaka", Reason.QUEUE_TIMEOUT)
    metrics.transferred("cloud", msgspec.structs.replace(CLOUD, bytes_out=1000, bytes_in=None))
    desk.residue.counts[Verdict.CLEAN] += 1
    after = told(desk)
    assert value(after, 'renkei_refusals_total{reason="queue-timeout"}') == 1
    moved = 'renkei_link_bytes_total{destination="cloud",direction="out"}'
    assert value(after, moved) - (value(before, moved) if moved in before else 0) == 1000
    assert value(after, 'renkei_residue_statements_total{verdict="clean"}') == 1
    assert value(after, "renkei_audit_failures_total") == value(before, "renkei_audit_failures_total")
    assert value(after, "renkei_watcher_stale") == 0
    assert "\nrenkei_watcher_age_seconds " not in after  # nothing is watched


def test_how_long_each_step_of_a_start_took():
    session = Session(record(times={State.QUEUED: 10.0, State.STARTING: 50.0}))
    steps = ((Step.SUBMITTED, 10.0), (Step.QUEUED, 11.0), (Step.QUEUED, 20.0), (Step.RUNNING, 50.0))
    session.notes = [Note(step, when) for step, when in steps]
    sample = metrics.PHASE.labels("queued")._sum, metrics.WAIT.labels("ct-link")._sum
    before = [each.get() for each in sample]
    metrics.started(session)
    assert [each.get() - was for each, was in zip(sample, before, strict=True)] == [30.0, 40.0]


async def test_a_session_that_is_ready_is_written_down_and_counted(stage):
    key = await stage.started()
    count = metrics.PHASE.labels("certificate")._sum
    before = count.get()
    for phase in (Phase.MOUNT, Phase.READY, Phase.READY):
        assert (await stage.post("event", encode(Event(phase=phase)), key=key))[0] == 204
    events = [json.loads(line)["event"] for line in stage.audit.read_text().splitlines()]
    assert events == ["session-start", "session-mounted"]
    assert count.get() > before


async def test_a_session_whose_mount_can_not_be_written_down_is_none(stage):
    key = await stage.started()
    stage.audit.unlink()
    stage.audit.mkdir()
    assert (await stage.post("event", encode(Event(phase=Phase.READY)), key=key))[0] == 503
    assert stage.session.failure[0] is Reason.INTERNAL
    assert stage.session.saved.state is State.STARTING


def test_no_label_can_hold_a_person_a_session_or_a_file(desk):
    desk.sessions.add(waiting("a" * 16, State.QUEUED, 1.0))
    allowed = {"phase", "resource_group", "reason", "rule", "kind", "destination", "direction", "verdict", "state", "le"}
    text = told(desk)
    assert set(re.findall(r'([a-z_]+)="', text)) <= allowed
    assert not re.search("tanaka|aaaaaaaa|4711", text)


def test_the_board_asks_for_exactly_what_is_told(desk):
    board = json.loads(BOARD.read_text())
    asked = {
        name for panel in board["panels"] for target in panel["targets"] for name in re.findall(r"renkei_[a-z_]+", target["expr"])
    }
    exported = set(re.findall(r"^# TYPE (renkei_[a-z_]+) (?:gauge|counter|histogram)$", told(desk), re.MULTILINE))
    exported = {name for name in exported if not name.endswith("_created")}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked} == exported
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
