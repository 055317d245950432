"""The jobs of one centre: what becomes of each, step by step. What runs on nodes is the caller's to start and to end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from testbed.pjm.job import DELETED, ELAPSE, FULL, NO_FOLDER, NODE_DOWN, OVER, REASONS, STOPPED, WAITING, Job
from testbed.pjm.switches import Group, Switches


class Running(Protocol):
    """A job's processes on its node."""

    def signal(self, number: int) -> None:
        """Send a signal to all of them."""


Start = Callable[[Job], Running]


class Centre:
    """Not thread-safe: the caller holds one lock around everything. `start` begins a job's processes on `job.node`."""

    def __init__(self, start: Start, first: int = 2_080_001) -> None:
        self.jobs: dict[int, Job] = {}
        self._start = start
        self._next = first
        self._running: dict[int, Running] = {}

    def number(self) -> int:
        """The next job's."""
        self._next += 1
        return self._next - 1

    def accept(self, job: Job) -> None:
        """A job was handed in."""
        self.jobs[job.number] = job

    def restore(self, job: Job, running: Running | None) -> None:
        """A job as it was kept, and its processes where it has some: the daemon that began it is no more."""
        self.jobs[job.number] = job
        self._next = max(self._next, job.number + 1)
        if running is not None:
            self._running[job.number] = running

    def living(self, uid: int) -> int:
        """How many jobs of an account are not over."""
        return sum(job.uid == uid and job.state not in OVER for job in self.jobs.values())

    # What people do

    def delete(self, job: Job, switches: Switches) -> None:
        """Pjdel was accepted; it ends soon."""
        job.deleted = True
        now = time.time()
        if job.state == "ACC":
            self._over(job, "RJT", now)
        elif job.state in WAITING or job.state == "ERR":
            job.pjm_code = DELETED
            self._over(job, "CCL", now)
        elif job.number in self._running:
            job.pjm_code = DELETED
            self._end(job, switches)

    def hold(self, job: Job, switches: Switches) -> None:
        """A waiting job is kept from being begun; one that runs is ended and begins anew later."""
        now = time.time()
        if job.state == "QUE":
            job.enter("HLD", now)
        else:
            job.last = "HLD"
            job.reason = "held"
            self._end(job, switches)

    def release(self, job: Job) -> None:
        """It may begin again."""
        job.enter("QUE", time.time())

    def signal(self, job: Job, number: int) -> None:
        """To every process of a running job."""
        if job.number in self._running:
            self._running[job.number].signal(number)

    # What an operator and the world do

    def limit(self, job: Job, seconds: int) -> None:
        """Its limit is another from now on."""
        job.elapse = seconds

    def fail(self, job: Job) -> None:
        """PJM itself can't go on with it."""
        job.enter("ERR", time.time())
        job.reason = "INTERNAL ERROR"

    def lose(self, job: Job) -> None:
        """Its node is gone: it begins anew with the same number, or is over."""
        running = self._running.pop(job.number, None)
        if running is not None:
            running.signal(signal.SIGKILL)
        now = time.time()
        if job.restart:
            job.node, job.begun = "", 0.0
            job.enter("QUE", now)
        else:
            job.pjm_code = NODE_DOWN
            self._over(job, "EXT", now)

    def lost(self, number: int, running: Running) -> None:
        """A job's processes are gone from the node, and nobody there has told how."""
        if self._running.get(number) is running:
            self.lose(self.jobs[number])

    def ended(self, number: int, running: Running, code: int, signum: int, *, folder: bool) -> None:
        """The first process of a job has ended, and nothing of it is left on the node."""
        if self._running.get(number) is not running:
            return
        del self._running[number]
        job, now = self.jobs[number], time.time()
        job.kill_at = 0.0
        job.code, job.signal = code, signum
        if not folder:
            job.code, job.pjm_code = 0, NO_FOLDER
        if job.reason == "held":
            job.node, job.begun, job.reason = "", 0.0, "-"
            job.enter("HLD", now)
            return
        if job.warned and not job.deleted:
            job.pjm_code, job.signal = ELAPSE, int(signal.SIGXCPU)
        job.ended = now
        job.enter("RNE", now)

    # Time

    def step(self, switches: Switches) -> None:
        """Whatever is due now."""
        now = time.time()
        for job in sorted(self.jobs.values(), key=lambda each: each.number):
            self._step(job, now, switches)

    def _step(self, job: Job, now: float, switches: Switches) -> None:
        since = now - job.changed
        if job.state == "ACC":
            job.enter("QUE", now)
        elif job.state == "QUE":
            job.node = "" if switches.hold_queue else self._place(job, switches)
            job.reason = "-" if job.node else STOPPED if switches.hold_queue else FULL
            if job.node:
                job.enter("RNA", now)
        elif job.state == "RNA" and since >= switches.prologue_s:
            job.enter("RNP", now)
        elif job.state == "RNP" and since >= switches.prologue_s:
            self._begin(job, now)
        elif job.state == "RUN":
            self._watch(job, now, switches)
        elif job.state == "RNE" and since >= switches.epilogue_s:
            job.enter("RNO", now)
        elif job.state == "RNO" and since >= switches.epilogue_s:
            self._over(job, "CCL" if job.deleted else "EXT", now)

    def _begin(self, job: Job, now: float) -> None:
        if job.deleted:
            job.pjm_code = DELETED
            self._over(job, "CCL", now)
            return
        job.begun = now
        job.enter("RUN", now)
        self._running[job.number] = self._start(job)

    def _watch(self, job: Job, now: float, switches: Switches) -> None:
        if job.kill_at and job.kill_at <= now:
            job.kill_at = now + 1
            self.signal(job, signal.SIGKILL)
        elif job.elapse and not job.warned and now - job.begun >= job.elapse:
            job.warned = True
            job.kill_at = now + switches.grace_s
            self.signal(job, signal.SIGXCPU)

    def _end(self, job: Job, switches: Switches) -> None:
        if switches.deletion == "TERM":
            job.kill_at = time.time() + switches.grace_s
            self.signal(job, signal.SIGTERM)
        else:
            self.signal(job, signal.SIGKILL)

    def _over(self, job: Job, state: str, now: float) -> None:
        job.ended = job.ended or now
        job.reason = REASONS.get(job.pjm_code, "-")
        job.enter(state, now)

    def _place(self, job: Job, switches: Switches) -> str:
        """A node with room for `job`; none yet: an empty text."""
        group = switches.groups.get(job.rscgrp)
        for node in group.nodes if group else ():
            there = [each for each in self.jobs.values() if each.node == node and each.state not in OVER | {"QUE", "HLD", "ERR"}]
            whole = job.nodes > 0 or any(each.nodes for each in there)
            if (whole and not there) or (not whole and group and _has_room(group, there, job)):
                return node
        return ""


def _has_room(group: Group, there: Sequence[Job], job: Job) -> bool:
    """Whether a node of `group` has GPUs and cores enough for `job` beside those that are `there`."""
    gpus, cores = sum(each.gpus for each in (*there, job)), sum(each.cores for each in (*there, job))
    return gpus <= group.gpus and (not group.cores or cores <= group.cores)
