"""What the spawner knows of a batch system: a few verbs, and typed answers.

An adapter (slurm.py) turns these into commands and reads the answers in one place; nothing past it sees a column.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from typing import Protocol

import msgspec

from enclave.messages import Reason


class JobState(enum.StrEnum):
    """Where a job is. UNKNOWN is never taken for ENDED: whoever can't tell waits."""

    PENDING = "pending"
    RUNNING = "running"
    ENDING = "ending"
    """Its first process is gone or told to go; the node is being cleaned. It never runs again."""
    ENDED = "ended"
    UNKNOWN = "unknown"


class JobStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the batch system said about one job; times are seconds since the epoch."""

    state: JobState
    uid: int | None = None
    """Unix uid that the job runs under."""
    node: str = ""
    """Name of its node; empty before it runs."""
    reason: str = ""
    """The batch system's own word for why it waits, as it came: hostile until `reasons.waiting` has read it."""
    starts: float | None = None
    """When it started, or is expected to."""
    ends: float | None = None
    """When its time is up."""
    ending: Reason | None = None
    """Why it ended, where the batch system can tell."""
    partition: str = ""
    """Where it waits or runs."""
    gpus: int = 0
    """How many GPUs of a node it asked for, where that can be seen."""
    before: int | None = None
    """How many requests for the same nodes the batch system will serve first; None where it does not wait for nodes."""


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the batch system said about one node in one partition; a node that is in two is said twice."""

    node: str
    partition: str
    up: bool
    """It takes jobs, now or when those are over that it runs."""
    cpus: int = 0
    cpus_idle: int = 0
    gres: Mapping[str, int] = {}
    """What it has of each resource, by name (`gpu`) and by name and type (`gpu:v100`)."""
    gres_used: Mapping[str, int] = {}
    limit_s: float | None = None
    """The longest that a job may last in the partition; None: without limit."""


UNKNOWN = JobStatus(state=JobState.UNKNOWN)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One job that was found by its name. Anybody may call a job so: whose it is, `uid` says."""

    name: str
    job: str
    uid: int
    state: JobState


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What a job asks for. Every value comes from the site file or from a checked request."""

    name: str
    partition: str
    gres: str
    """Name of the GPU resource."""
    gpus: int
    cpus: int
    memory_mb: int
    """0: does not ask for memory."""
    seconds: int
    exclusive: bool
    resources: tuple[str, ...] = ()
    """What PJM is asked for besides, `NAME=VALUE` each, with {gpus}, {cpus} or {memory_mb} in the place of a number."""


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """When a job ran, in seconds since the epoch."""

    began: float | None
    """None: it never did."""
    ended: float | None
    """None: it is not over."""


class SchedulerError(Exception):
    """The batch system did not do as asked. The text is for the log; `reason` picks the person's sentence."""

    def __init__(self, reason: Reason, text: str, *, lost: bool = False, again: bool = False) -> None:
        super().__init__(text)
        self.reason = reason
        self.lost = lost
        """Whether it may have done so all the same, and only the answer is missing."""
        self.again = again
        """Whether it certainly did not, and says itself that it soon may."""


class Lookup(Protocol):
    """Where single jobs and nodes are looked up: the batch system itself, or the watcher, whose questions are shared."""

    async def query(self, jobs: Collection[str]) -> Mapping[str, JobStatus]:
        """What is known of `jobs`, asked after this call. Raises SchedulerError."""

    async def node_addresses(self, node: str) -> tuple[str, ...]:
        """Every IP address of `node`. Raises SchedulerError."""


class Scheduler(Protocol):
    """The verbs of a batch system. Every one raises SchedulerError when there is no sensible answer in time."""

    def know(self, account: str, job: str = "") -> None:
        """`account` has sessions' jobs, `job` for one: where jobs are shown to their own account alone, it has to be asked."""

    def apart(self, job: str) -> str | None:
        """The account that has to be asked about `job` by itself; None where one question tells of everybody's jobs."""

    async def submit(self, script: str, account: str) -> str:
        """Hand in `script` as the Unix account `account`; the job's id."""

    async def query(self, jobs: Collection[str]) -> Mapping[str, JobStatus]:
        """What is known of `jobs`, and of everything else that waits or runs where sessions do, in one question.

        A job that the batch system no longer knows is missing from the answer.
        """

    async def capacity(self) -> tuple[NodeStatus, ...]:
        """Every node where sessions may run, in one question."""

    async def find(self, names: Collection[str]) -> tuple[Found, ...]:
        """Every job that is called one of `names`, also those lately over, in one question."""

    async def ending(self, job: str) -> Reason | None:
        """Why `job` ended, asked soon after; None when the batch system no longer knows."""

    async def cancel(self, job: str, account: str) -> None:
        """End `job`; one that is gone already is no error."""

    async def extend(self, job: str, minutes: int) -> None:
        """Give `job` so many minutes more; most batch systems let only their operators do it."""

    async def node_addresses(self, node: str) -> tuple[str, ...]:
        """Every IP address of `node`, as the batch system and the hub's resolver have it."""
