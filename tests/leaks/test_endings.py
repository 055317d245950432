"""Nothing of an image is left on any host but its cloud, however a session ends: canaries go through every path first."""

from __future__ import annotations

import ast
import asyncio
import json
import time
from collections.abc import Callable

import pytest

from bench.person import Person
from testbed import processes
from testbed.site import Testbed
from tests.leaks.carry import cell
from tests.leaks.case import Planted, plant
from tests.leaks.places import leaks

pytestmark = [pytest.mark.site, pytest.mark.timeout(300)]

PERSON, ACCOUNT = "tanaka", "jrs0017"
WISH = {"resource_group": "ct-link", "destination": "cloud", "gpus": 1, "hours": 1, "language": "en"}


async def stop(_: Testbed, person: Person) -> None:
    """The person presses the button."""
    await person.stop()


async def scancel(site: Testbed, _: Person) -> None:
    """The centre cancels the job."""
    site.run("hub", ["scancel", job(site)], check=True)


async def kill(site: Testbed, _: Person) -> None:
    """The job's first process is killed: nothing of ours gets to say or do anything any more."""
    node = site.host(site.run("hub", ["squeue", "--noheader", "--format=%N"], check=True).stdout.strip())
    uid = node.user(f"rs-{PERSON}").uid
    first = [each.pid for each in node.processes() if each.uid == uid and each.argv[0] == "/usr/bin/unshare"]
    assert first
    processes.kill(first)


async def walltime(site: Testbed, _: Person) -> None:
    """The batch system's own limit comes, a minute from the start."""
    site.run("hub", ["scontrol", "update", f"JobId={job(site)}", "TimeLimit=1"], check=True)


def job(site: Testbed) -> str:
    """The number of the one job that there is."""
    return site.run("hub", ["squeue", "--noheader", "--format=%i"], check=True).stdout.strip()


async def until_ended(site: Testbed, seconds: float = 150) -> None:
    end = time.monotonic() + seconds
    while site.run("hub", ["squeue", "--noheader"]).stdout.strip():
        assert time.monotonic() < end
        await asyncio.sleep(0.3)


async def carry_everywhere(person: Person, planted: Planted) -> dict[str, str]:
    """Work with the planted case as a person does, in Lab and in a cell; what the cell told of each of its paths."""
    name = planted.path.rpartition("/")[2]
    own = f"people/{ACCOUNT}"
    async with person.kernel("ct") as kernel:
        mount = (await person.run_cell(kernel, "import os; os.environ['RENKEI_MOUNT']")).strip("'")
        told = await person.run_cell(kernel, cell(f"{mount}/{planted.path}", f"{mount}/{own}"), expression="told")
        notebook = {
            "cells": [{"cell_type": "code", "execution_count": 1, "id": "a", "metadata": {}, "source": name,
                       "outputs": [{"output_type": "stream", "name": "stdout", "text": planted.path}]}],
            "metadata": {}, "nbformat": 4, "nbformat_minor": 5,
        }  # fmt: skip
        path = f"api/contents/{own}/{name}.ipynb"
        assert await person.call("PUT", path, {"type": "notebook", "content": notebook}) in {200, 201}
        assert await person.call("POST", f"{path}/checkpoints") == 201
        assert await person.call("GET", f"api/contents/{own}/not-{name}") == 404
        assert await person.call("DELETE", path) == 204
        workspace = {"data": {"layout-restorer:data": {"main": path}}, "metadata": {"id": name}}
        assert await person.call("PUT", f"lab/api/workspaces/{name}", workspace) == 204
        # A save that the end interrupts: the server's copy of a notebook before it writes.
        await person.call("PUT", path, {"type": "notebook", "content": notebook})
    return dict(json.loads(ast.literal_eval(told)))


@pytest.mark.parametrize("end", [stop, scancel, kill, walltime], ids=lambda each: each.__name__)
async def test_nothing_is_left(site_with_hub: Testbed, end: Callable):
    site = site_with_hub
    planted = plant(site, ACCOUNT)
    async with Person(site.url, PERSON) as person:
        await person.log_in(site.passwords[PERSON])
        try:
            await person.ask_for_server(WISH)
            await person.wait_until_ready()
            await person.open_lab()
            told = await carry_everywhere(person, planted)
            assert told["a checkpoint on the cloud"] == "done"
            await end(site, person)
            await until_ended(site)
            # Lab goes on asking for what it showed: to whom, and who writes that down?
            await person.call("GET", f"api/contents/{planted.path}")
        finally:
            await person.stop()
    assert leaks(site, planted.canaries) == []
