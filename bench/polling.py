"""One arm of `bin/bench poll`: watch jobs for a while as we do, or as stock batchspawner does, and count the commands.

Run on the host `hub` as `python -m bench.polling`, with an `Arm` (JSON) on stdin; prints what was `Counted` (JSON). The commands
are wrappers that write a line each before they do their work.
"""

from __future__ import annotations

import asyncio
import logging
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

import msgspec
from batchspawner import SlurmSpawner
from batchspawner.batchspawner import BatchSpawnerRegexStates
from jupyterhub import orm
from jupyterhub.objects import Hub
from jupyterhub.user import User

from spawner.schedulers.base import JobStatus
from spawner.schedulers.base import Scheduler as Batch
from spawner.schedulers.pjm import Pjm
from spawner.schedulers.slurm import Slurm
from spawner.schedulers.watcher import SLOW_S, Watcher
from spawner.site import Kind, PjmSite, Scheduler

FOLDER = "/srv/poll"
LOG = f"{FOLDER}/log"
SETTLE_S = 35.0
"""Before the count: the quick questions of a beginning are over, and every stock loop has begun (they begin within 30 s)."""


class Arm(msgspec.Struct, frozen=True):
    """Whose loops watch which jobs, for how many seconds."""

    ours: bool
    running: Mapping[str, str]
    """Job → account, of jobs that run."""
    queued: Mapping[str, str]
    """The same, of jobs that wait."""
    seconds: float
    scheduler: Kind = Kind.SLURM
    hidden: bool = False
    """The batch system shows each job to its own account alone: each account is asked."""


class Counted(msgspec.Struct, frozen=True):
    """What came of it."""

    per_minute: float
    staleness_p95_s: float = 0.0
    """95th percentile of the copy's age, looked at twice a second; ours alone keeps one."""


async def ours(arm: Arm) -> Counted:
    """The hub's watcher with its adapter."""
    batch = _adapter(arm)
    for job, account in (*arm.running.items(), *arm.queued.items()):
        batch.know(account, job)
    watcher = Watcher(batch, 1.0, logging.getLogger("poll"))

    def told(_: JobStatus) -> None:
        return None

    for job in arm.running:
        watcher.watch(job, told, fast=False)
    for job in arm.queued:
        watcher.watch(job, told, fast=True)
    await asyncio.sleep(SETTLE_S)
    began, ages = time.time(), []
    while time.time() < began + arm.seconds:
        await asyncio.sleep(0.5)
        ages.append(watcher.age_s)
    watcher.close()
    times = _times(began, began + arm.seconds, lambda _: True)
    if len(times) < 2:
        raise SystemExit(f"{len(times)} questions in {arm.seconds:g} s: count for longer, they come every {SLOW_S:g} s")
    staleness = statistics.quantiles(ages, n=20)[-1]
    if arm.hidden:
        # One round has a command an account, and rounds are long: the count holds several.
        return Counted(len(times) / arm.seconds * 60, staleness)
    # Between the first and the last: the ends of the count must not cut a pause in two.
    return Counted((len(times) - 1) / (times[-1] - times[0]) * 60, staleness)


def _adapter(arm: Arm) -> Batch:
    """To the batch system of the arm, by commands that are counted: each question is one of them."""
    groups = {"ct-link"}
    if arm.scheduler is Kind.SLURM:
        return Slurm(Scheduler(commands=FOLDER), groups)
    # Where each account is asked, that is sudo's work, and it knows the command by its true path alone.
    hidden, shown = Scheduler(sudo=f"{FOLDER}/sudo"), Scheduler(commands=FOLDER, pjm=PjmSite(sees_all=True))
    return Pjm(hidden if arm.hidden else shown, ZoneInfo("Asia/Tokyo"), groups)


async def stock(arm: Arm) -> Counted:
    """Batchspawner's own loops, as they come: `start` for a job in the queue, JupyterHub's polling for one that runs."""
    make = _stock_spawners(arm.scheduler)
    starting = []
    for number, (job, account) in enumerate((*arm.running.items(), *arm.queued.items())):
        spawner = make(f"s{number}", account)
        spawner.job_id = job
        if number < len(arm.running):
            spawner.start_polling()
        else:
            spawner.waits_for = job
            starting.append(asyncio.ensure_future(spawner.start()))
    await asyncio.sleep(SETTLE_S)
    began = time.time()
    await asyncio.sleep(arm.seconds)
    query = {Kind.SLURM: "squeue", Kind.PJM: "pjstat"}[arm.scheduler]
    times = _times(began, began + arm.seconds, lambda command: query in command and command.startswith("sudo "))
    if any(task.done() for task in starting):
        raise SystemExit("a stock start ended while its job waits")
    return Counted(len(times) / arm.seconds * 60)


class PjmOfTraits(BatchSpawnerRegexStates):  # type: ignore[misc]  # batchspawner has no types
    """What a site writes that has batchspawner alone, which knows no PJM: its generic class with PJM's commands and states."""

    batch_query_cmd = "pjstat --data --choose=jid,st {job_id}"
    state_pending_re = r",\d+,(ACC|QUE|RNA|RNP|HLD)"
    state_running_re = r",\d+,(RUN|SPP|SPD|RSM)"
    state_exechost_re = r"(localhost)"


STOCK = {Kind.SLURM: SlurmSpawner, Kind.PJM: PjmOfTraits}


def _stock_spawners(scheduler: Kind) -> Callable[[str, str], BatchSpawnerRegexStates]:
    """Name and account → a stock spawner as a hub would make it, whose job is in the queue already; all else is the class's own."""
    base: Any = STOCK[scheduler]

    class InTheQueue(base):  # type: ignore[misc]  # batchspawner has no types
        waits_for = ""

        async def submit_batch_script(self) -> str:
            """The job was handed in before."""
            self.job_id = self.waits_for
            return str(self.job_id)

    database = orm.new_session_factory("sqlite:///:memory:")()
    people: dict[str, orm.User] = {}

    def make(name: str, account: str) -> BatchSpawnerRegexStates:
        if account not in people:
            people[account] = orm.User(name=account)
            database.add(people[account])
        database.add(orm.Spawner(name=name, user=people[account]))
        database.commit()
        return User(people[account], {})._new_spawner(name, spawner_class=InTheQueue, hub=Hub())

    return make


def _times(since: float, until: float, wanted: Callable[[str], bool]) -> list[float]:
    """When the commands that are `wanted` were run, of those between `since` and `until`."""
    lines = (line.partition(" ") for line in Path(LOG).read_text().splitlines())
    return [float(time_) for time_, _, command in lines if wanted(command) and since <= float(time_) <= until]


async def count(arm: Arm) -> NoReturn:
    """Watch, print what was counted, and end the process: the stock loops go on for ever, and would not let it end."""
    counted = await (ours(arm) if arm.ours else stock(arm))
    sys.stdout.write(msgspec.json.encode(counted).decode() + "\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(count(msgspec.json.decode(sys.stdin.buffer.read(), type=Arm)))
