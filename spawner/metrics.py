"""What the hub tells Prometheus, at JupyterHub's own /hub/metrics, for whoever has the scope `read:metrics`.

No label names a person, a session, a job or a file: labels are the site file's names, and words of a fixed set.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter as Tally
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from enclave.messages import Reason
from spawner.audit import Audit
from spawner.quota.policy import Refused
from spawner.residue.statement import CloudPart, Verdict
from spawner.sessions import WAITING, Session, State

if TYPE_CHECKING:
    from spawner.desk import Desk

PHASE_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60)
"""Bounds, in seconds, for one phase of a start."""
WAIT_S = (1, 10, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600)
"""Bounds, in seconds, for the wait in the queue."""

PHASE = Histogram("renkei_start_phase_seconds", "From one step of a start to the next", ["phase"], buckets=PHASE_S)
WAIT = Histogram("renkei_queue_wait_seconds", "From a job's submission to its first call", ["resource_group"], buckets=WAIT_S)
REFUSALS = Counter("renkei_refusals_total", "Wishes that became no session", ["reason"])
QUOTA_REFUSALS = Counter("renkei_quota_refusals_total", "Wishes that a rule forbade", ["rule", "kind"])
LINK = Counter("renkei_link_bytes_total", "Bytes of ended sessions, as the cloud counted them", ["destination", "direction"])


def started(session: Session) -> None:
    """`session` is ready: how long each step took, from what this process saw of it."""
    for one, other in itertools.pairwise(session.notes):
        if one.step is not other.step:
            PHASE.labels(one.step.value).observe(max(0.0, other.time - one.time))
    times = session.saved.times
    if State.QUEUED in times and State.STARTING in times:
        WAIT.labels(session.saved.request.resource_group).observe(max(0.0, times[State.STARTING] - times[State.QUEUED]))


def refused(reason: Reason) -> None:
    """A wish became no session because of `reason`."""
    REFUSALS.labels(reason.value).inc()


def forbidden(refusal: Refused) -> None:
    """A wish was forbidden by the rule of `refusal`."""
    QUOTA_REFUSALS.labels(str(refusal.rule.id), refusal.rule.kind.value).inc()


def transferred(destination: str, cloud: CloudPart) -> None:
    """The cloud's last word on what a session moved."""
    for direction, count in (("out", cloud.bytes_out), ("in", cloud.bytes_in)):
        LINK.labels(destination, direction).inc(count or 0)


class Board:
    """What is so at the moment when somebody asks; a collector of prometheus_client's."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def collect(self) -> Iterator[Metric]:
        """Every value that is read off the hub's own state."""
        desk = self._desk
        yield from self._sessions()
        yield _gauge("renkei_mounts_suspended", "Connections that the owner holds still", "destination", {
            each.name: sum(seen.state == "suspended" for seen in owner.seen) if (owner := desk.owners.find(each.name)) else 0
            for each in desk.site.destination
        })  # fmt: skip
        watcher = desk.watcher
        for name, text, value in (
            ("renkei_scheduler_answer_seconds", "How long the batch system's last answer took", watcher.took_s),
            ("renkei_scheduler_failing", "1 while the last question to the batch system went wrong", float(watcher.failing)),
            ("renkei_watcher_stale", "1 while jobs are watched and the last answer is too old to believe", float(watcher.overdue)),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        age = GaugeMetricFamily("renkei_watcher_age_seconds", "How old the last good answer is; nothing while no job is watched")
        if watcher.watching:
            age.add_metric([], watcher.age_s)
        yield age
        for name, text, count in (
            ("renkei_scheduler_queries", "Commands that the batch system was given", watcher.questions),
            ("renkei_scheduler_failures", "Questions to the batch system that went wrong", watcher.failed),
            ("renkei_browser_bytes", "Bytes that sessions said they sent to browsers", desk.outflows.total),
            ("renkei_audit_failures", "Lines that could not be written into the audit record", Audit.failures),
        ):
            yield CounterMetricFamily(name, text, value=count)
        statements = CounterMetricFamily("renkei_residue_statements", "Residue statements, by verdict", labels=["verdict"])
        for verdict in Verdict:
            statements.add_metric([verdict.value], desk.residue.counts[verdict])
        yield statements

    def _sessions(self) -> Iterator[Metric]:
        sessions, now = tuple(self._desk.sessions), time.time()
        states = Tally(each.saved.state for each in sessions)
        yield _gauge("renkei_sessions", "Sessions that are not over", "state", {state.value: states[state] for state in State})
        waiting: dict[str, list[float]] = {group.name: [] for group in self._desk.site.resource_group}
        for each in sessions:
            if each.saved.state in WAITING and each.saved.request.resource_group in waiting:
                waiting[each.saved.request.resource_group].append(now - each.saved.times.get(State.WISH, now))
        length = {name: len(waits) for name, waits in waiting.items()}
        oldest = {name: max(waits, default=0.0) for name, waits in waiting.items()}
        yield _gauge("renkei_queue_length", "Sessions that wait for a node", "resource_group", length)
        yield _gauge("renkei_queue_oldest_seconds", "How long the first of them has waited", "resource_group", oldest)


def _gauge(name: str, text: str, label: str, values: dict[str, int] | dict[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family
