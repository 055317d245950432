"""Fujitsu PJM (Technical Computing Suite): pjsub, pjstat and pjdel as the session's account through the hub's sudo rule.

Messages are known by their four-digit number, columns by their position; wordings differ from one version and site to the next.
"""

from __future__ import annotations

import asyncio
import pwd
import re
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from zoneinfo import ZoneInfo

from enclave.messages import Reason
from spawner.schedulers import pjm_text
from spawner.schedulers.base import UNKNOWN, Found, JobState, JobStatus, NodeStatus, SchedulerError
from spawner.schedulers.command import SUDO_REFUSES, Answer, CommandError, run
from spawner.schedulers.pjm_text import HISTORY, NAMES, QUEUE
from spawner.site import Scheduler as Settings

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C"}
"""All that the commands see of the hub's environment."""

DOUBT_S = 1800.0
"""How long after a submission its account is asked for jobs whose numbers nobody knows, in seconds."""

HISTORY_DAYS = 2
"""How far back a job is looked for that pjstat no longer lists; ended jobs are there at once."""

AT_ONCE = 100
"""Job ids in one command."""

GENTLE_S = 15.0
"""How long a job that was told to end may take, in seconds, before it is killed; a whole end is waited for no longer than 20 s."""

GENTLE_LOOK_S, GENTLE_LOOKS_S = 0.5, 4.0
"""Seconds between the first two looks whether it has, and between two at the most: each is a pjstat."""

TOGETHER = 4
"""Accounts asked at the same time."""

YIELDING = ("/usr/bin/nice", "-n", "10")
"""Before each pjstat: where every account is asked there are hundreds a minute, and the hub's answers to people go before them."""

LINE_LIMIT = 4096
"""Bytes of one line of a script, its end included (message 0025)."""

GONE = {"0112", "0119"}
"""pjdel: there is no such job; it was told to end before."""
NOT_NOW = "0113"
"""pjdel: the job is in a state in which it can't be deleted: over, or just being prepared."""

REFUSALS = {
    "0054": Reason.TOO_LARGE,
    "0057": Reason.TOO_LARGE,
    "0058": Reason.SUBMIT_REFUSED,
    "0059": Reason.GROUP_CLOSED,
    "0070": Reason.NOT_PERMITTED,
    "0071": Reason.NOT_PERMITTED,
    "0072": Reason.CENTRE_LIMIT,
    "0079": Reason.CENTRE_RULE,
}
"""Why pjsub takes no job, by the number of its message."""

_JOB = re.compile(r"\d{1,10}", re.ASCII)
_CODE = re.compile(r"\[ERR\.\] PJM (\d{4})\b", re.ASCII)
_SUBMITTED = re.compile(r"(?:\[INFO\] PJM 0000 pjsub Job )?(\d{1,10})(?: .*)?", re.ASCII)


class Pjm:
    """PJM as the hub's own account and its sudo rule reach it; a `spawner.schedulers.base.Scheduler`."""

    def __init__(self, settings: Settings, zone: ZoneInfo, groups: Collection[str] = ()) -> None:
        """`zone` is the clock of pjstat; `groups` are the resource groups where sessions run."""
        self._commands = settings.commands
        self._sudo = settings.sudo
        self._pjm = settings.pjm
        self._zone = zone
        self._groups = frozenset(groups)
        self._owners: dict[str, str] = {}
        self._doubtful: dict[str, float] = {}

    def know(self, account: str, job: str = "") -> None:
        """`job` is `account`'s; without a number, `account` may have jobs that nobody knows yet."""
        if job:
            self._owners[job] = account
        else:
            self._doubtful[account] = time.monotonic() + DOUBT_S

    def apart(self, job: str) -> str | None:
        """The account that `job` is known to be of; None where the hub sees all jobs, or nobody has told."""
        return None if self._pjm.sees_all else self._owners.get(job)

    async def submit(self, script: str, account: str) -> str:
        """Hand in `script` as `account`; the job's id. Raises SchedulerError."""
        if any(len(line.encode()) >= LINE_LIMIT for line in script.splitlines()):
            raise SchedulerError(Reason.INTERNAL, f"the job script has a line of more than {LINE_LIMIT} bytes")
        self.know(account)
        answer = await self._run(account, "pjsub", "-z", "jid", stdin=script)
        if answer.code != 0:
            raise refusal(answer)
        job = parse_job_id(answer.out)
        self.know(account, job)
        return job

    async def cancel(self, job: str, account: str) -> None:
        """End `job`, gently at first; one that is gone already is no error. Raises SchedulerError."""
        if not _JOB.fullmatch(job):
            raise SchedulerError(Reason.INTERNAL, f"not the number of one job: {job[:100]!r}")
        self.know(account, job)
        if await self._has_ended_by_itself(job, account):
            return
        answer = await self._run(account, "pjdel", job)
        codes = set(_CODE.findall(answer.err))
        if answer.code == 0 or codes & GONE:
            return
        if NOT_NOW in codes:
            status = (await self._shown(account)).get(job)
            if status is None or status.state in {JobState.ENDING, JobState.ENDED}:
                return
        raise refusal(answer)

    async def _has_ended_by_itself(self, job: str, account: str) -> bool:
        """Whether `job` ran, was told to end, and did: pjdel kills at once, and nobody would unmount or say what is left."""
        if (await self._run(account, "pjsig", "-s", "TERM", job)).code != 0:
            return False
        until, pause = time.monotonic() + GENTLE_S, GENTLE_LOOK_S
        while time.monotonic() < until:
            status = (await self._shown(account)).get(job)
            if status is None or status.state is not JobState.RUNNING:
                return True
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, GENTLE_LOOKS_S)
        return False

    async def query(self, jobs: Collection[str]) -> Mapping[str, JobStatus]:
        """One pjstat where the hub sees all jobs, else one an account; what those no longer list is looked up among the ended.

        A job whose account nobody has told is unknown, not missing. Raises SchedulerError.
        """
        wanted = frozenset(jobs)
        if self._pjm.sees_all:
            return await self._of(None, wanted)
        by_account: dict[str, set[str]] = {}
        for job in wanted & self._owners.keys():
            by_account.setdefault(self._owners[job], set()).add(job)
        found = dict.fromkeys(wanted - self._owners.keys(), UNKNOWN)
        turns = asyncio.Semaphore(TOGETHER)

        async def ask(account: str, theirs: set[str]) -> Mapping[str, JobStatus] | SchedulerError:
            try:
                async with turns:
                    return await self._of(account, theirs)
            except SchedulerError as error:
                return error

        answers = await asyncio.gather(*(ask(*each) for each in by_account.items()))
        for answer, theirs in zip(answers, by_account.values(), strict=True):
            # One account that can't be asked must not blind the hub for all others.
            found |= dict.fromkeys(theirs, UNKNOWN) if isinstance(answer, SchedulerError) else answer
        if answers and all(isinstance(answer, SchedulerError) for answer in answers):
            raise next(answer for answer in answers if isinstance(answer, SchedulerError))
        return found

    async def capacity(self) -> tuple[NodeStatus, ...]:
        """Nothing: no documented output of PJM tells an ordinary account what is free ("What is free" in docs/pjm.md)."""
        return ()

    async def find(self, names: Collection[str]) -> tuple[Found, ...]:
        """Every job called one of `names` of the accounts that may have one, those lately over too. Raises SchedulerError."""
        now = time.monotonic()
        self._doubtful = {account: until for account, until in self._doubtful.items() if until > now}
        found = []
        for account in sorted(self._doubtful) if names else ():
            try:
                uid = (await asyncio.to_thread(pwd.getpwnam, account)).pw_uid
            except KeyError:
                continue
            rows = await self._stat(account, NAMES, (), ()) + await self._stat(account, NAMES, ("-H", f"day={HISTORY_DAYS}"), ())
            for job, (state, name) in pjm_text.names(rows, {job_name(each): each for each in names}).items():
                self.know(account, job)
                found.append(Found(name=name, job=job, uid=uid, state=state))
        return tuple(found)

    async def ending(self, job: str) -> Reason | None:
        """Why `job` ended, by PJM's own code and the script's; None when it is not among the ended. Raises SchedulerError."""
        status = (await self._ended(self.apart(job), {job})).get(job)
        return None if status is None else status.ending

    async def extend(self, job: str, minutes: int) -> None:
        """PJM gives a running job of these nodes no more time (message 0596). Raises SchedulerError."""
        raise SchedulerError(Reason.SUBMIT_REFUSED, f"PJM can't give job {job} {minutes} minutes more")

    async def node_addresses(self, node: str) -> tuple[str, ...]:
        """PJM knows numbers of nodes and neither names nor addresses. Raises SchedulerError."""
        raise SchedulerError(Reason.INTERNAL, f"PJM tells no address of {node[:100]!r}")

    async def _of(self, account: str | None, wanted: Collection[str]) -> Mapping[str, JobStatus]:
        found = await self._shown(account, wanted)
        for job, status in found.items():
            if job in wanted and status.reason == pjm_text.BROKEN:
                await self._clear(job)
        missing = set(wanted) - found.keys()
        return {**found, **(await self._ended(account, missing) if missing else {})}

    async def _shown(self, account: str | None, wanted: Collection[str] = ()) -> dict[str, JobStatus]:
        rows = await self._stat(account, QUEUE, (), ())
        found = pjm_text.queue(rows, time.time(), self._zone)
        if account is not None:
            return found
        return {job: each for job, each in found.items() if job in wanted or pjm_text.is_of(each.partition, self._groups)}

    async def _ended(self, account: str | None, jobs: Collection[str]) -> dict[str, JobStatus]:
        found: dict[str, JobStatus] = {}
        ids = sorted(job for job in jobs if _JOB.fullmatch(job))
        for first in range(0, len(ids), AT_ONCE):
            rows = await self._stat(account, HISTORY, ("-H", f"day={HISTORY_DAYS}"), ids[first : first + AT_ONCE])
            found |= pjm_text.history(rows, time.time(), self._zone)
        return {job: status for job, status in found.items() if job in jobs}

    async def _clear(self, job: str) -> None:
        """A job that broke stays in the queue, and holds its place there, until somebody deletes it."""
        account = self._owners.get(job)
        if account is not None:
            # Said again with the next question, should it not have been heard.
            await self._run(account, "pjdel", job)

    async def _stat(
        self, account: str | None, items: Sequence[str], options: Iterable[str], jobs: Iterable[str]
    ) -> list[tuple[str, ...]]:
        everybody = ("-A",) if account is None else ()
        argv = ("pjstat", *everybody, *options, "--data", f"--choose={','.join(items)}", *jobs)
        answer = await self._run(account, *argv)
        if answer.code != 0:
            raise SchedulerError(refusal(answer).reason, f"pjstat: {_short(answer)}")
        return pjm_text.rows(answer.out, len(items))

    async def _run(self, account: str | None, command: str, *arguments: str, stdin: str = "") -> Answer:
        yielding = YIELDING if command == "pjstat" else ()
        as_whom = () if account is None else (self._sudo, "-n", "-u", account)
        argv = (*yielding, *as_whom, f"{self._commands}/{command}", *arguments)
        try:
            return await run(argv, env=ENVIRONMENT, stdin=stdin, cwd=self._pjm.folder)
        except CommandError as error:
            raise SchedulerError(Reason.SCHEDULER_DOWN, str(error), lost=True) from error


def job_name(name: str) -> str:
    """What the job of a session called `name` (`renkei-ID`) is called at PJM, whose lists may show ten characters of it only."""
    return f"r{name.removeprefix('renkei-')}"


def parse_job_id(text: str) -> str:
    """The id in what `pjsub -z jid` prints, or in message 0000, among other messages. Raises SchedulerError for anything else."""
    for line in text.splitlines():
        found = _SUBMITTED.fullmatch(line.strip())
        if found is not None and (line.strip() == found[1] or " PJM 0000 " in line):
            return found[1]
    raise SchedulerError(Reason.SCHEDULER_DOWN, f"pjsub answered no job id: {text[:200]!r}", lost=True)


def refusal(answer: Answer) -> SchedulerError:
    """What a failed command means, by the number of its message; without one it is sudo that speaks, or a site's own wrapper."""
    codes = _CODE.findall(answer.err)
    if any(code.endswith(("90", "91")) for code in codes):
        # 90: the daemon is not there. 91: something broke within it, so that the job may have been taken all the same.
        internal = any(code.endswith("91") for code in codes)
        return SchedulerError(Reason.SCHEDULER_DOWN, _short(answer), lost=internal, again=True)
    for code in codes:
        if code in REFUSALS:
            return SchedulerError(REFUSALS[code], _short(answer))
    said = answer.err.lower()
    if not codes and any(wording in said for wording in SUDO_REFUSES):
        return SchedulerError(Reason.NO_UNIX_ACCOUNT, _short(answer))
    return SchedulerError(Reason.SUBMIT_REFUSED, _short(answer))


def _short(answer: Answer) -> str:
    return f"exit code {answer.code}: {answer.err.strip()[:500]!r}"
