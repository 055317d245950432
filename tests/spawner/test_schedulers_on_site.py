"""One suite over every adapter, each on its real batch system: what the rest of the hub relies on is the same on all."""

import asyncio
import contextlib
import time
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from enclave.messages import Reason
from spawner.schedulers import pjm
from spawner.schedulers.base import JobState, JobStatus, SchedulerError
from spawner.schedulers.pjm import Pjm, job_name
from spawner.schedulers.slurm import Slurm
from spawner.sessions import new_id
from spawner.site import Kind, Scheduler
from testbed.host import Host
from testbed.site import Testbed

pytestmark = pytest.mark.site

SCRIPT = """#!/bin/bash
#SBATCH --job-name={name} --partition={group} --gres=gpu:1 --output=/dev/null --error=/dev/null --chdir=/ --time=10
#PJM -N {short}
#PJM -L rscgrp={group},elapse=600,gpu=1
#PJM --norestart -j -o /dev/null
{what}
"""
IN_HUB = """#!/usr/bin/python3 -I
import os, pathlib, sys
command = pathlib.Path(sys.argv[0]).name
arguments = sys.argv[1:]
if command == "sudo":
    arguments[3] = "/usr/bin/" + pathlib.Path(arguments[3]).name
into = ["nsenter", "--target", "{first}", "--mount", "--uts", "--ipc", "--net", "--pid"]
as_hub = ["setpriv", "--reuid", "{uid}", "--regid", "{gid}", "--init-groups", "--"]
os.execvp("nsenter", [*into, "--", *as_hub, "/usr/bin/" + command, *arguments])
"""
KNOWN_S = 60


class Centre:
    """An adapter, reaching its batch system from where the hub is and as the hub."""

    def __init__(self, adapter: type[Slurm] | type[Pjm], site: Testbed, folder: Path) -> None:
        hub = site.host("hub")
        self.kind = Kind.PJM if adapter is Pjm else Kind.SLURM
        for name in ("sudo", "squeue", "scontrol", "sinfo", "pjstat"):
            self._wrap(folder / name, hub)
        settings = Scheduler(commands=str(folder), sudo=str(folder / "sudo"), kind=self.kind)
        self.batch = Pjm(settings, ZoneInfo("Asia/Tokyo"), {"ct-link"}) if adapter is Pjm else Slurm(settings, {"ct-link"})

    @staticmethod
    def _wrap(path: Path, hub: Host) -> None:
        who = hub.user("jupyterhub")
        path.write_text(IN_HUB.format(first=hub.first, uid=who.uid, gid=who.gid))
        path.chmod(0o755)

    async def submit(self, what: str, name: str = "", group: str = "ct-link", account: str = "rs-tanaka") -> str:
        name = name or f"renkei-{new_id()}"
        return await self.batch.submit(SCRIPT.format(name=name, short=job_name(name), group=group, what=what), account)

    async def until(self, job: str, *states: JobState) -> JobStatus:
        """What is known of `job` once it is in one of `states`; one that is gone has ended."""
        end = time.monotonic() + KNOWN_S
        while True:
            status = (await self.batch.query({job})).get(job, JobStatus(state=JobState.ENDED))
            if status.state in states:
                return status
            assert time.monotonic() < end, status
            await asyncio.sleep(0.1)


@pytest.fixture(params=[Slurm, Pjm], ids=["slurm", "pjm"])
def centre(request, tmp_path, monkeypatch):
    site = request.getfixturevalue("site" if request.param is Slurm else "site_on_pjm")
    # The hub's accounts are on the hub, and this test is not.
    monkeypatch.setattr(pjm.pwd, "getpwnam", lambda name: SimpleNamespace(pw_uid=site.host("hub").user(name).uid))
    return Centre(request.param, site, tmp_path)


async def test_a_job_runs_is_found_by_its_name_and_ends_when_it_is_told(centre):
    name = f"renkei-{new_id()}"
    job = await centre.submit("sleep 60", name)

    status = await centre.until(job, JobState.RUNNING)
    found = await centre.batch.find({name, "renkei-0000000000000000"})
    await centre.batch.cancel(job, "rs-tanaka")
    over = await centre.until(job, JobState.ENDED)
    await centre.batch.cancel(job, "rs-tanaka")

    assert status.ends is not None
    assert abs(status.ends - time.time() - 600) < KNOWN_S
    assert [(each.name, each.job) for each in found] == [(name, job)]
    assert over.ending is not None
    assert (await centre.batch.ending(job)) is not None


async def test_a_script_that_finds_no_walls_says_so_by_its_exit_code(centre):
    job = await centre.submit("exit 71")
    await centre.until(job, JobState.ENDED)

    assert await centre.batch.ending(job) is Reason.SANDBOX_IMPOSSIBLE


async def test_a_job_that_ends_as_asked_has_no_reason(centre):
    job = await centre.submit("exit 0")
    await centre.until(job, JobState.ENDED)

    assert await centre.batch.ending(job) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"account": "rs-yamada"}, Reason.NOT_PERMITTED),
        ({"account": "rs-mori"}, Reason.NO_UNIX_ACCOUNT),
        ({"account": "tanaka"}, Reason.NO_UNIX_ACCOUNT),
        ({"group": "nowhere"}, Reason.SUBMIT_REFUSED),
    ],
)
async def test_who_may_not_is_told_why(centre, changes, reason):
    with pytest.raises(SchedulerError) as caught:
        await centre.submit("exit 0", **changes)
    assert caught.value.reason is reason


async def test_a_job_that_nobody_knows_is_missing_or_unknown_and_never_ended(centre):
    found = await centre.batch.query({"99999"})
    assert found.get("99999", JobStatus(state=JobState.UNKNOWN)).state is JobState.UNKNOWN
    assert await centre.batch.find({"renkei-0000000000000000"}) == ()


async def test_a_job_of_an_account_is_deleted_by_that_account_alone(centre):
    job = await centre.submit("sleep 60")
    await centre.until(job, JobState.RUNNING)
    # To Slurm it is forbidden; to PJM there is no such job. Either way it goes on.
    with contextlib.suppress(SchedulerError):
        await centre.batch.cancel(job, "rs-suzuki")
    centre.batch.know("rs-tanaka", job)

    assert (await centre.until(job, JobState.RUNNING)).state is JobState.RUNNING
    await centre.batch.cancel(job, "rs-tanaka")
    await centre.until(job, JobState.ENDED)
