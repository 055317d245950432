"""Slurm: sbatch and scancel as the session's account through the hub's sudo rule, squeue and scontrol as the hub itself."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Collection, Iterable, Mapping

from msgspec import structs

from enclave.messages import Reason
from spawner.schedulers import slurm_nodes
from spawner.schedulers.base import Found, JobState, JobStatus, NodeStatus, SchedulerError
from spawner.schedulers.command import SUDO_REFUSES, Answer, CommandError, run
from spawner.site import Scheduler as Settings

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "SLURM_TIME_FORMAT": "%s"}
"""All that the commands see of the hub's environment; the time format makes squeue print seconds since the epoch."""

SEPARATOR = "|"
COLUMNS = ("%i", "%T", "%U", "%N", "%S", "%e", "%P", "%Q", "%b", "%r")
"""id, state, uid, node, start, end, partition, priority, GPUs, reason: only what Slurm itself writes or has checked (a job's
name, say, may hold any character). The reason is last, so that a separator in it does no harm."""

ADDRESS_S = 60.0
"""How long a node's addresses are remembered, in seconds: many sessions start on one node."""

NOT_YET = ("JobHeld", "Dependency", "BeginTime", "Reservation")
"""What the reason begins with where a job waits for something else than nodes, and so is before nobody (`man squeue`, JOB
REASON CODES)."""

NAME_COLUMNS = ("%i", "%T", "%U", "%j")
"""id, state, uid, name: the name, which others choose, is last."""

STATES = {
    "PENDING": JobState.PENDING,
    "CONFIGURING": JobState.PENDING,
    "REQUEUED": JobState.PENDING,
    "REQUEUE_HOLD": JobState.PENDING,
    "REQUEUE_FED": JobState.PENDING,
    "SPECIAL_EXIT": JobState.PENDING,
    "RESV_DEL_HOLD": JobState.PENDING,
    "RUNNING": JobState.RUNNING,
    "COMPLETING": JobState.ENDING,
    "RESIZING": JobState.RUNNING,
    "SIGNALING": JobState.RUNNING,
    "STAGE_OUT": JobState.RUNNING,
    "STOPPED": JobState.RUNNING,
    "SUSPENDED": JobState.RUNNING,
    "COMPLETED": JobState.ENDED,
    "FAILED": JobState.ENDED,
    "CANCELLED": JobState.ENDED,
    "TIMEOUT": JobState.ENDED,
    "DEADLINE": JobState.ENDED,
    "NODE_FAIL": JobState.ENDED,
    "BOOT_FAIL": JobState.ENDED,
    "OUT_OF_MEMORY": JobState.ENDED,
    "PREEMPTED": JobState.ENDED,
    "REVOKED": JobState.ENDED,
}
"""Slurm's job states (`man squeue`, JOB STATE CODES); any other word is unknown."""

ENDINGS = {
    "COMPLETED": None,
    "CANCELLED": Reason.CANCELLED,
    "TIMEOUT": Reason.TIME_UP,
    "DEADLINE": Reason.TIME_UP,
    "NODE_FAIL": Reason.NODE_LOST,
    "BOOT_FAIL": Reason.NODE_LOST,
}

EXITS = {"71": Reason.SANDBOX_IMPOSSIBLE, "72": Reason.INTERNAL}
"""Exit codes of the job script that say more than "failed"; see "The job script" in docs/architecture.md."""

_NOT_PERMITTED = (
    "user's group not permitted",
    "invalid account or account/partition",
    "access/permission denied",
    "not permitted to use this partition",
    "user not in group",
)
_DOWN = (
    "unable to contact slurm controller",
    "socket timed out",
    "slurm_load_jobs error: zero bytes",
    "could not establish a configuration source",
    "connection refused",
    "slurm backup controller in standby",
    "unable to contact",
    "unexpected message received",
    "munge decode failed",
    "munge encode failed",
)
_LOST = ("socket timed out", "zero bytes", "unexpected message received")
"""Of those, the ones by which the controller may have done as asked before the answer was lost."""
_NO_ACCOUNT = (
    *SUDO_REFUSES,
    "invalid user id",
    "user id not found",
)
_JOB_ID = re.compile(r"(\d{1,18})(?:;[A-Za-z0-9_.-]+)?\s*", re.ASCII)
_NUMBER = re.compile(r"\d{1,18}", re.ASCII)
_DIGITS = re.compile(r"\d+", re.ASCII)
_JOB = re.compile(r"\d{1,18}(?:[_+][\w%\[\],.:-]{1,200})?", re.ASCII)
"""A job's id as squeue prints it; no session's job has an array's tasks (`12_[3-9%2]`) or a component's number (`12+1`)."""
_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}", re.ASCII)
_ADDRESS = re.compile(r"(?:^|\s)NodeAddr=(\S+)")
_EXIT = re.compile(r"(?:^|\s)ExitCode=(\d+):\d+")
_STATE = re.compile(r"(?:^|\s)JobState=([A-Z_]+)")


class Slurm:
    """A Slurm cluster as the hub's own account and its sudo rule reach it; a `spawner.schedulers.base.Scheduler`."""

    def __init__(self, settings: Settings, partitions: Collection[str] = ()) -> None:
        """`partitions` are those where sessions run: what else waits or runs there is told too."""
        self._commands = settings.commands
        self._sudo = settings.sudo
        self._partitions = frozenset(partitions)
        self._addresses: dict[str, tuple[float, tuple[str, ...]]] = {}

    def know(self, account: str, job: str = "") -> None:
        """Nothing: squeue shows the hub's own account everybody's jobs."""

    def apart(self, job: str) -> None:
        """Nobody."""

    async def submit(self, script: str, account: str) -> str:
        """Hand in `script` as `account`; the job's id. Raises SchedulerError."""
        answer = await self._run(*self._as(account), f"{self._commands}/sbatch", "--parsable", stdin=script)
        if answer.code != 0:
            raise refusal(answer)
        return parse_job_id(answer.out)

    async def cancel(self, job: str, account: str) -> None:
        """End `job`; one that is gone already is no error. Raises SchedulerError."""
        answer = await self._run(*self._as(account), f"{self._commands}/scancel", job)
        if answer.code != 0 and "invalid job id" not in answer.err.lower():
            raise refusal(answer)

    async def query(self, jobs: Collection[str]) -> Mapping[str, JobStatus]:
        """One squeue for everybody; of `jobs`, those it no longer knows are missing. Raises SchedulerError.

        A list of ids would spare slurmctld nothing: squeue fetches the whole queue for more than one, and chooses by itself.
        """
        format_ = f"--format={SEPARATOR.join(COLUMNS)}"
        answer = await self._run(f"{self._commands}/squeue", "--noheader", "--all", "--states=all", format_)
        if answer.code != 0:
            raise SchedulerError(Reason.SCHEDULER_DOWN, f"squeue: {_short(answer)}")
        return parse_queue(answer.out, jobs, self._partitions)

    async def capacity(self) -> tuple[NodeStatus, ...]:
        """One sinfo for every node of the sessions' partitions. Raises SchedulerError."""
        # sinfo takes no `--partition` beside `--all`, without which it hides what the hub's own account may not use.
        argv = (f"{self._commands}/sinfo", "--all", "--noheader", "--Node", f"--Format={slurm_nodes.FORMAT}")
        answer = await self._run(*argv)
        if answer.code != 0:
            raise SchedulerError(Reason.SCHEDULER_DOWN, f"sinfo: {_short(answer)}")
        return tuple(node for node in slurm_nodes.parse(answer.out) if node.partition in self._partitions)

    async def find(self, names: Collection[str]) -> tuple[Found, ...]:
        """One squeue for every job that is called one of `names`. Raises SchedulerError."""
        if not names:
            return ()
        argv = (
            f"{self._commands}/squeue",
            "--noheader",
            "--all",
            "--states=all",
            f"--format={SEPARATOR.join(NAME_COLUMNS)}",
            f"--name={','.join(sorted(names))}",
        )
        answer = await self._run(*argv)
        if answer.code != 0:
            raise SchedulerError(Reason.SCHEDULER_DOWN, f"squeue: {_short(answer)}")
        return tuple(each for each in parse_names(answer.out) if each.name in names)

    async def ending(self, job: str) -> Reason | None:
        """Why `job` ended, from its exit code too; None when Slurm no longer knows it. Raises SchedulerError."""
        answer = await self._run(f"{self._commands}/scontrol", "--all", "--oneliner", "show", "job", job)
        return parse_ending(answer.out) if answer.code == 0 else None

    async def extend(self, job: str, minutes: int) -> None:
        """Give `job` more time, which Slurm lets only an operator do. Raises SchedulerError."""
        answer = await self._run(f"{self._commands}/scontrol", "update", f"JobId={job}", f"TimeLimit+={minutes}")
        if answer.code != 0:
            raise refusal(answer)

    async def node_addresses(self, node: str) -> tuple[str, ...]:
        """The addresses of `node` by its NodeAddr, resolved where that is a name. Raises SchedulerError."""
        if not _NODE.fullmatch(node):
            raise SchedulerError(Reason.INTERNAL, f"not the name of one node: {node[:100]!r}")
        since, remembered = self._addresses.get(node, (-ADDRESS_S, ()))
        if time.monotonic() - since < ADDRESS_S:
            return remembered
        answer = await self._run(f"{self._commands}/scontrol", "--all", "--oneliner", "show", "node", node)
        found = _ADDRESS.search(answer.out)
        if answer.code != 0 or found is None:
            raise SchedulerError(Reason.SCHEDULER_DOWN, f"scontrol show node {node}: {_short(answer)}")
        try:
            known = await asyncio.get_running_loop().getaddrinfo(found[1], None, type=socket.SOCK_STREAM)
        except OSError as error:
            raise SchedulerError(Reason.INTERNAL, f"the address of node {node} can't be found: {error}") from error
        addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in known))
        self._addresses[node] = (time.monotonic(), addresses)
        return addresses

    def _as(self, account: str) -> tuple[str, ...]:
        return (self._sudo, "-n", "-u", account)

    async def _run(self, *argv: str, stdin: str = "") -> Answer:
        try:
            return await run(argv, env=ENVIRONMENT, stdin=stdin)
        except CommandError as error:
            raise SchedulerError(Reason.SCHEDULER_DOWN, str(error), lost=True) from error


def parse_job_id(text: str) -> str:
    """The id in what `sbatch --parsable` prints: `ID` or `ID;CLUSTER`. Raises SchedulerError for anything else."""
    found = _JOB_ID.fullmatch(text)
    if found is None:
        raise SchedulerError(Reason.SCHEDULER_DOWN, f"sbatch answered no job id: {text[:200]!r}", lost=True)
    return found[1]


def parse_queue(text: str, jobs: Collection[str] = (), partitions: frozenset[str] | None = None) -> dict[str, JobStatus]:
    """Job id → status out of squeue's lines (`COLUMNS`): of `jobs` whatever is said, of others what is alive in `partitions`.

    With None as `partitions`, everything. A line that is none is left out, so its job stays unknown.
    """
    found, waiting = {}, []
    wanted = frozenset(jobs)
    for line in text.splitlines():
        cells = line.strip().split(SEPARATOR, len(COLUMNS) - 1)
        if len(cells) != len(COLUMNS) or not _JOB.fullmatch(cells[0]):
            continue
        job, state, uid, node, start, end, partition, priority, gres, reason = cells
        known = STATES.get(state, JobState.UNKNOWN)
        where = partition.split(",")
        if partitions is not None and job not in wanted and (known is JobState.ENDED or partitions.isdisjoint(where)):
            continue
        if known is JobState.PENDING and not reason.startswith(NOT_YET) and _NUMBER.fullmatch(priority):
            waiting.append((-int(priority), int(_DIGITS.match(job)[0]), job, where))  # type: ignore[index]
        found[job] = JobStatus(
            state=known,
            uid=int(uid) if uid.isascii() and uid.isdigit() and len(uid) <= 10 else None,
            node=node if _NODE.fullmatch(node) else "",
            reason=reason[:200],
            starts=_time(start),
            ends=_time(end),
            ending=ENDINGS.get(state, Reason.JOB_DIED) if known is JobState.ENDED else None,
            partition=partition[:200],
            gpus=slurm_nodes.gpus(gres),
        )
    return found | {job: structs.replace(found[job], before=before) for job, before in _places(waiting)}


def _places(waiting: Iterable[tuple[int, int, str, list[str]]]) -> Iterable[tuple[str, int]]:
    """How many stand before each job: by priority, the older number first where it is equal, as slurmctld sorts them.

    Partitions are counted apart; a job that would take several stands in the queue of each, and has its place in the shortest.
    """
    length: dict[str, int] = {}
    for _, _, job, partitions in sorted(waiting):
        yield job, min(length.get(each, 0) for each in partitions)
        for each in partitions:
            length[each] = length.get(each, 0) + 1


def parse_names(text: str) -> list[Found]:
    """The jobs in squeue's lines (`NAME_COLUMNS`); a line that is none is left out."""
    found = []
    for line in text.splitlines():
        cells = line.strip().split(SEPARATOR, len(NAME_COLUMNS) - 1)
        if len(cells) == len(NAME_COLUMNS) and _NUMBER.fullmatch(cells[0]) and _NUMBER.fullmatch(cells[2]):
            job, state, uid, name = cells
            found.append(Found(name=name, job=job, uid=int(uid), state=STATES.get(state, JobState.UNKNOWN)))
    return found


def parse_ending(text: str) -> Reason | None:
    """Why a job ended, out of `scontrol --oneliner show job`; None when it ended as asked, or the text does not tell."""
    state, code = _STATE.search(text), _EXIT.search(text)
    if state is None or STATES.get(state[1]) not in {JobState.ENDING, JobState.ENDED}:
        return None
    if state[1] in {"FAILED", "COMPLETING"} and code is not None and code[1] in EXITS:
        return EXITS[code[1]]
    return ENDINGS.get(state[1], Reason.JOB_DIED)


def refusal(answer: Answer) -> SchedulerError:
    """What a failed sbatch or scancel means, by its wording; what no wording tells is SUBMIT_REFUSED."""
    said = answer.err.lower()
    for reason, wordings in (
        (Reason.SCHEDULER_DOWN, _DOWN),
        (Reason.NOT_PERMITTED, _NOT_PERMITTED),
        (Reason.NO_UNIX_ACCOUNT, _NO_ACCOUNT),
    ):
        if any(wording in said for wording in wordings):
            return SchedulerError(reason, _short(answer), lost=any(wording in said for wording in _LOST))
    return SchedulerError(Reason.SUBMIT_REFUSED, _short(answer))


def _short(answer: Answer) -> str:
    return f"exit code {answer.code}: {answer.err.strip()[:500]!r}"


def _time(text: str) -> float | None:
    """Seconds since the epoch; Slurm prints N/A where it does not know."""
    return float(text) if text.isascii() and text.isdigit() and len(text) <= 12 else None
