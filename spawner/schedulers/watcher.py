"""One question to the batch system for everybody: whoever waits for a job or runs one reads the watcher's copy.

It asks every second while somebody's session starts or ends, four times a minute while sessions wait in the queue or run, and
not at all when there is none. The longer an answer takes, the later comes the next question. An answer that does not come
changes nothing: a job that nobody can see is unknown, never ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from logging import Logger

import msgspec

from enclave.messages import Reason
from spawner.schedulers.base import UNKNOWN, JobState, JobStatus, NodeStatus, Scheduler, SchedulerError

SLOW_S = 15.0
"""Seconds between two questions while nothing happens that a person waits for by the second."""

QUICK_FOR_S = {JobState.UNKNOWN: 15.0, JobState.PENDING: 10.0, JobState.RUNNING: 180.0, JobState.ENDING: 30.0, JobState.ENDED: 0.0}
"""How long seconds matter after a job that somebody waits for came to a state: a job in the queue calls the hub itself when it
starts, and one that does not end must not keep everybody's watch quick."""

SPACING_S = 0.25
"""Seconds between an answer and the next question at the least: all who ask meanwhile share it."""

SHARE = 4.0
"""How many times as long as an answer took the batch system is left alone after it: we are a fifth of its work at the most."""

WAIT_S = 5.0
"""The longest that such a pause keeps somebody waiting who asks, in seconds."""

BACK_OFF_S = 30.0
"""The longest pause between two questions of ours, and after questions that go wrong."""

STALE_S = 60.0
"""An answer older than this, in seconds, says nothing any more."""

MISSING_TWICE = 2
"""Good answers in a row without a job that end it: the first may have been taken before a fail-over had read its state."""

MISSING_APART_S = 30.0
"""Seconds between the first and the last of them at the least. Slurm lists a job for minutes after its end (MinJobAge): one that is
missing at once tells of a controller that says nothing and calls it an answer."""

LOOKED_S = 60.0
"""How long after somebody looked at the nodes they are asked about in each tick, in seconds."""

Told = Callable[[JobStatus], None]


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """The watcher's copy of nodes and queue."""

    nodes: tuple[NodeStatus, ...]
    queue: Mapping[str, JobStatus]
    at: float
    """When it was asked for, in seconds since the epoch; 0: never answered."""


class _Watched:
    """One job, who is told about it, and what is known."""

    def __init__(self, told: Told) -> None:
        self.told = told
        self.fast = True
        self.status = UNKNOWN
        self.since = time.monotonic()
        """When it came to its state, or somebody began to wait for it."""
        self.missing = 0
        self.missing_since = 0.0

    def learn(self, status: JobStatus) -> None:
        if status.state is not self.status.state:
            self.since = time.monotonic()
        self.status = status

    @property
    def quick(self) -> bool:
        return self.fast and time.monotonic() - self.since < QUICK_FOR_S[self.status.state]


class Watcher:
    """Asks `scheduler` for every watched job at once; `fast_s` seconds between questions while somebody waits."""

    def __init__(self, scheduler: Scheduler, fast_s: float, log: Logger) -> None:
        self._scheduler = scheduler
        self._fast_s = fast_s
        self._log = log
        self._jobs: dict[str, _Watched] = {}
        self._others: set[str] = set()
        self._queue: Mapping[str, JobStatus] = {}
        self._nodes: tuple[NodeStatus, ...] = ()
        self._nodes_asked, self._nodes_at, self._looked = -BACK_OFF_S, 0.0, -LOOKED_S
        self._wake = asyncio.Event()
        self._next: asyncio.Future[bool] | None = None
        self._turn = asyncio.Lock()
        self._failures = 0
        self._answered = -STALE_S
        self._free_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self.questions = 0
        """How many commands the batch system was given."""
        self.failed = 0
        """How many questions for the queue went wrong."""
        self.took_s = 0.0
        """How long its last answer took, or the wait for one that did not come."""

    @property
    def age_s(self) -> float:
        """How old the copy is, in seconds: since the question to which it is the answer."""
        return time.monotonic() - self._answered

    @property
    def stale(self) -> bool:
        """Whether the last good answer is too old to believe."""
        return self.age_s > STALE_S

    @property
    def watching(self) -> int:
        """How many jobs it asks about; with none, it asks nothing."""
        return sum(watched.status.state is not JobState.ENDED for watched in self._jobs.values())

    @property
    def overdue(self) -> bool:
        """Whether there are jobs to ask about, and the last good answer is too old to believe."""
        return bool(self.watching) and self.stale

    @property
    def failing(self) -> bool:
        """Whether the last question went wrong."""
        return self._failures > 0

    def watch(self, job: str, told: Told, *, fast: bool = True) -> None:
        """Ask about `job` from now on, and tell `told` what comes of it; `fast` while somebody waits for it."""
        watched = self._jobs.setdefault(job, _Watched(told))
        if fast and not watched.fast:
            watched.since = time.monotonic()
        watched.told, watched.fast = told, fast
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        self._wake.set()

    def forget(self, job: str) -> None:
        """Ask about `job` no more."""
        self._jobs.pop(job, None)

    def status(self, job: str) -> JobStatus:
        """What is known of `job` now; UNKNOWN where nothing is, or nothing recent."""
        watched = self._jobs.get(job)
        if watched is None or (self.stale and watched.status.state is not JobState.ENDED):
            return UNKNOWN
        return watched.status

    async def ask(self) -> bool:
        """An answer to a question that is put after this call; all who call before it is put share it.

        Whether a good answer came; never raises SchedulerError.
        """
        if self._next is None:
            self._next = asyncio.ensure_future(self._ask_in_turn())
        return await asyncio.shield(self._next)

    async def query(self, jobs: Collection[str]) -> Mapping[str, JobStatus]:
        """What the batch system says of `jobs`, watched or not, asked after this call. Raises SchedulerError.

        The scheduler's verb of this name, but shared: two hundred who ask at once make one question.
        """
        self._others.update(jobs)
        if not await self.ask():
            raise SchedulerError(Reason.SCHEDULER_DOWN, "the batch system did not answer the watcher")
        return {job: self._queue[job] for job in jobs if job in self._queue}

    async def node_addresses(self, node: str) -> tuple[str, ...]:
        """The scheduler's verb of this name, as it is. Raises SchedulerError."""
        return await self._scheduler.node_addresses(node)

    async def overview(self) -> Overview:
        """Nodes and queue, as of SLOW_S seconds ago at the most while the batch system answers."""
        self._looked = time.monotonic()
        if self._looked - self._nodes_asked > SLOW_S:
            await self.ask()
        return self.copy

    @property
    def copy(self) -> Overview:
        """The same without a question, however old."""
        return Overview(nodes=self._nodes, queue=self._queue, at=self._nodes_at)

    def close(self) -> None:
        """Stop asking."""
        if self._task is not None:
            self._task.cancel()

    async def _ask_in_turn(self) -> bool:
        async with self._turn:
            await asyncio.sleep(min(self._free_at - time.monotonic(), WAIT_S))
            # Who calls from here on has to have a later answer.
            self._next = None
            began = time.monotonic()
            good = await self._ask(began)
            self.took_s = time.monotonic() - began
            self._free_at = time.monotonic() + max(min(SPACING_S, self._fast_s), SHARE * self.took_s)
            return good

    async def _ask(self, now: float) -> bool:
        jobs = {job for job, watched in self._jobs.items() if watched.status.state is not JobState.ENDED}
        wanted = jobs | self._others
        self._others = set()
        nodes = now - self._looked < LOOKED_S and now - self._nodes_asked > SLOW_S / 2
        if not wanted and not nodes:
            return True
        if nodes:
            await self._ask_nodes(now)
        try:
            self.questions += 1
            answer = await self._scheduler.query(wanted)
        except SchedulerError as error:
            self._failures += 1
            self.failed += 1
            self._log.warning("The batch system did not answer (%d in a row): %s", self._failures, error)
            self._tell_unknown()
            return False
        self._failures, self._answered, self._queue = 0, now, answer
        for job in jobs:
            self._learn(job, answer.get(job))
        return True

    async def _ask_nodes(self, now: float) -> None:
        self._nodes_asked = now
        try:
            self.questions += 1
            self._nodes, self._nodes_at = await self._scheduler.capacity(), time.time()
        except SchedulerError as error:
            self._log.warning("The batch system did not tell about its nodes: %s", error)

    def _learn(self, job: str, status: JobStatus | None) -> None:
        watched = self._jobs.get(job)
        if watched is None:
            return
        if status is None:
            watched.missing += 1
            watched.missing_since = watched.missing_since or time.monotonic()
            if watched.missing < MISSING_TWICE or time.monotonic() - watched.missing_since < MISSING_APART_S:
                return
        else:
            watched.missing, watched.missing_since = 0, 0.0
        watched.learn(status or JobStatus(state=JobState.ENDED))
        self._tell(watched, watched.status)

    def _tell_unknown(self) -> None:
        for watched in tuple(self._jobs.values()):
            if watched.status.state is not JobState.ENDED:
                self._tell(watched, UNKNOWN)

    def _tell(self, watched: _Watched, status: JobStatus) -> None:
        try:
            watched.told(status)
        except Exception:  # noqa: BLE001  (logged whole)
            # One session's trouble must not keep the others from their news.
            self._log.exception("Somebody who was told about a job failed")

    async def _run(self) -> None:
        while self._jobs:
            self._wake.clear()
            await self.ask()
            await self._rest()

    async def _rest(self) -> None:
        """Wait until the next question is due; a job that is watched anew may make that sooner."""
        began = time.monotonic()
        while (left := began + self._pause() - time.monotonic()) > 0:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._wake.wait()

    def _pause(self) -> float:
        if self._failures:
            base = float(self._fast_s * 2 ** min(self._failures, 10))
        else:
            base = self._fast_s if any(watched.quick or watched.missing for watched in self._jobs.values()) else SLOW_S
        return min(max(base, SHARE * self.took_s), BACK_OFF_S)
