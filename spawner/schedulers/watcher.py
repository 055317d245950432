"""One question to the batch system for everybody: whoever waits for a job or runs one reads the watcher's copy.

Where a batch system shows jobs to their own account alone, that question is a round of all accounts, and what concerns one
session is asked of its account alone meanwhile.

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
from spawner.schedulers.shared import SHARE, SPACING_S, Shared

SLOW_S = 15.0
"""Seconds between two questions while nothing happens that a person waits for by the second."""

QUICK_FOR_S = {JobState.UNKNOWN: 15.0, JobState.PENDING: 10.0, JobState.RUNNING: 180.0, JobState.ENDING: 30.0, JobState.ENDED: 0.0}
"""How long seconds matter after a job that somebody waits for came to a state: a job in the queue calls the hub itself when it
starts, and one that does not end must not keep everybody's watch quick."""

ALONE = 4
"""Accounts that are asked by themselves at the same time, beside a round."""

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
        self.asked = -STALE_S
        """When the question was put whose answer is known."""

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
        self._queue: Mapping[str, JobStatus] = {}
        self._nodes: tuple[NodeStatus, ...] = ()
        self._nodes_asked, self._nodes_at, self._looked = -BACK_OFF_S, 0.0, -LOOKED_S
        self._wake = asyncio.Event()
        self._round = Shared(self._ask, min(SPACING_S, fast_s))
        self._alone: dict[str, Shared[Mapping[str, JobStatus] | None]] = {}
        self._slots = asyncio.Semaphore(ALONE)
        self._failures = 0
        self._answered = -STALE_S
        self._task: asyncio.Task[None] | None = None
        self.questions = 0
        """How many commands the batch system was given."""
        self.failed = 0
        """How many questions for the queue went wrong."""

    @property
    def took_s(self) -> float:
        """How long the last answer about everybody took, or the wait for one that did not come."""
        return self._round.took_s

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
        if watched is None:
            return UNKNOWN
        recent = not self.stale or time.monotonic() - watched.asked <= STALE_S
        return watched.status if recent or watched.status.state is JobState.ENDED else UNKNOWN

    async def ask(self) -> bool:
        """An answer to a question that is put after this call; all who call before it is put share it.

        Whether a good answer came; never raises SchedulerError.
        """
        return await self._round.ask()

    async def look(self, job: str) -> JobStatus:
        """What is known of `job`, which is watched, once it has been asked about anew; never raises SchedulerError."""
        with contextlib.suppress(SchedulerError):
            await self.query((job,))
        return self.status(job)

    async def query(self, jobs: Collection[str]) -> Mapping[str, JobStatus]:
        """What the batch system says of `jobs`, watched or not, asked after this call. Raises SchedulerError.

        The scheduler's verb of this name, but shared: two hundred who ask at once make one question, or one for each account that
        has to be asked by itself.
        """
        accounts: dict[str | None, set[str]] = {}
        for job in jobs:
            accounts.setdefault(self._scheduler.apart(job), set()).add(job)
        answers = await asyncio.gather(*(self._answer(account, theirs) for account, theirs in accounts.items()))
        if None in answers:
            raise SchedulerError(Reason.SCHEDULER_DOWN, "the batch system did not answer the watcher")
        return {job: answer[job] for answer in answers if answer for job in jobs if job in answer}

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

    async def _answer(self, account: str | None, jobs: Collection[str]) -> Mapping[str, JobStatus] | None:
        """What there is to know of `jobs`, of `account` alone or of everybody; None where nobody answers."""
        if account is None:
            return self._queue if await self._round.ask(jobs) else None

        async def put(jobs: frozenset[str]) -> Mapping[str, JobStatus] | None:
            return await self._ask_batch(jobs, jobs, time.monotonic())

        if account not in self._alone:
            self._alone[account] = Shared(put, min(SPACING_S, self._fast_s), self._slots)
        return await self._alone[account].ask(jobs)

    async def _ask(self, others: frozenset[str]) -> bool:
        now = time.monotonic()
        jobs = {job for job, watched in self._jobs.items() if watched.status.state is not JobState.ENDED}
        nodes = now - self._looked < LOOKED_S and now - self._nodes_asked > SLOW_S / 2
        if not jobs and not others and not nodes:
            return True
        if nodes:
            await self._ask_nodes(now)
        answer = await self._ask_batch(jobs | others, jobs, now)
        if answer is None:
            self._failures += 1
            self._tell_unknown()
            return False
        self._failures, self._answered, self._queue = 0, now, answer
        return True

    async def _ask_batch(self, wanted: Collection[str], jobs: Collection[str], now: float) -> Mapping[str, JobStatus] | None:
        """The answer about `wanted` to a question of `now`, learned for `jobs`; None where there is none."""
        try:
            self.questions += 1
            answer = await self._scheduler.query(wanted)
        except SchedulerError as error:
            self.failed += 1
            self._log.warning("The batch system did not answer (rounds in vain before this: %d): %s", self._failures, error)
            return None
        for job in jobs:
            self._learn(job, answer.get(job), now)
        return answer

    async def _ask_nodes(self, now: float) -> None:
        self._nodes_asked = now
        try:
            self.questions += 1
            self._nodes, self._nodes_at = await self._scheduler.capacity(), time.time()
        except SchedulerError as error:
            self._log.warning("The batch system did not tell about its nodes: %s", error)

    def _learn(self, job: str, status: JobStatus | None, asked: float) -> None:
        watched = self._jobs.get(job)
        if watched is None or asked < watched.asked:
            # A round that began before the job was asked about alone may end after that.
            return
        watched.asked = asked
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
