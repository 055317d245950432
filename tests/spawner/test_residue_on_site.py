"""The residue statement of real sessions: four witnesses, leftovers of the account, a launcher that is killed, and the cloud."""

import asyncio
import contextlib
import json
import time

import pytest

from bench.person import Person
from enclave.messages import Trace
from spawner.residue.statement import Doubt, Statement, Verdict, parse
from testbed import slurm
from testbed.site import Testbed

pytestmark = pytest.mark.site

ACCOUNT = "rs-tanaka"
AUDIT = "/var/log/renkei/audit.jsonl"
STATEMENTS = "/var/lib/renkei/hub/statements"
DOCUMENTS = "/var/lib/renkei-owner/documents"
NAME = "patient-4711-a-name"
PYTHON = "/opt/renkei/env/bin/python"
VERIFY = ["env", "PYTHONPATH=/opt/renkei/src", PYTHON, "-m", "spawner.residue", "verify"]


def audited(site: Testbed, event: str) -> list[dict]:
    lines = site.host("hub").path(AUDIT).read_text().splitlines()
    return [each for each in map(json.loads, lines) if each["event"] == event]


@contextlib.asynccontextmanager
async def session(site: Testbed):
    """A session of tanaka's that is ready, and the node that it is on."""
    async with Person(site.url, "tanaka") as tanaka:
        await tanaka.log_in(site.passwords["tanaka"])
        try:
            await tanaka.ask_for_server({"gpus": 1})
            await tanaka.wait_until_ready()
            yield tanaka, site.host(audited(site, "session-start")[-1]["node"])
        finally:
            await tanaka.stop()


async def stated(site: Testbed, seconds: float = 30) -> Statement:
    """The statement of the session that ended last."""
    name = audited(site, "session-request")[-1]["session"]
    path = site.host("hub").path(f"{STATEMENTS}/{name}.json")
    until = time.monotonic() + seconds
    while not path.exists() or site.host("hub").path(f"{STATEMENTS}/pending/{name}.json").exists():
        assert time.monotonic() < until
        await asyncio.sleep(0.2)
    return parse(path.read_bytes())


def verify(site: Testbed, path: str) -> int:
    signers = site.host("cloud").path("/etc/renkei-owner/allowed_signers").read_text()
    site.host("hub").write("/etc/renkei/statement_signers", signers)
    return site.run("hub", [*VERIFY, path]).returncode


def kill(node) -> None:
    """Kill the job's first process: nothing of the session's gets to say anything any more."""
    node.run(["pkill", "-KILL", "-u", ACCOUNT, "-x", "unshare"], check=True)


async def test_a_session_that_left_nothing_is_clean_by_four_witnesses_and_its_owner_can_read_it(site_with_hub):
    site = site_with_hub
    async with session(site) as (tanaka, _):
        await tanaka.open_lab()
        async with tanaka.kernel("ct") as kernel:
            await tanaka.run_cell(kernel, f"open('{NAME}', 'w').write('x' * 100000)")
        begun = time.monotonic()
        await tanaka.stop()
        assert time.monotonic() - begun < 8
    found = await stated(site)

    assert (found.verdict, found.doubts) == (Verdict.CLEAN, ())
    assert found.enclave is not None
    assert found.epilog is not None
    assert found.cloud is not None
    assert found.hub.ended
    assert found.cloud.open == 0
    assert found.cloud.last_byte <= found.cloud.closed
    assert found.cloud.serials == (str(found.enclave.last_serial),)
    # Two counts of one line: the cloud's and the node's.
    assert found.enclave.traffic.sent == pytest.approx(found.cloud.bytes_in, rel=0.05, abs=3000)
    cloud = site.host("cloud").path(f"{DOCUMENTS}/{found.session}")
    (document,) = [each for each in cloud.iterdir() if each.suffix != ".sig"]
    assert document.read_bytes() == site.host("hub").path(f"{STATEMENTS}/{found.session}.json").read_bytes()
    assert NAME not in document.read_text()
    assert audited(site, "residue-stored")[-1]["digest"] == document.name
    # The owner's own copy, checked with the owner's own list of signers.
    for name in (document.name, f"{document.name}.sig"):
        site.host("hub").write(f"/tmp/{name}", (cloud / name).read_text())
    assert verify(site, f"/tmp/{document.name}") == 0
    site.host("hub").write(f"/tmp/{document.name}", document.read_text().replace('"left": 0', '"left": 1', 1))
    assert verify(site, f"/tmp/{document.name}") == 1
    for name in (document.name, f"{document.name}.sig"):
        site.host("hub").path(f"/tmp/{name}").unlink()


async def test_what_the_account_left_outside_the_walls_turns_it_red_and_alarms(site_with_hub):
    site = site_with_hub
    async with session(site) as (tanaka, node):
        node.run(["sh", "-c", f"echo x > /var/tmp/{NAME}"], user=ACCOUNT, check=True)
        node.run(["ipcmk", "--shmem", "5000"], user=ACCOUNT, check=True)
        stray = node.popen(["sleep", "600"], user=ACCOUNT)
        try:
            await tanaka.stop()
            found = await stated(site)
        finally:
            stray.kill()
            node.path(f"/var/tmp/{NAME}").unlink()
            node.run(["ipcrm", "--all=shm"], user=ACCOUNT)

    assert found.verdict is Verdict.RESIDUE
    enclave, epilog = (
        {(look.trace, look.place): look.left for look in part.looks if look.left} for part in (found.enclave, found.epilog)
    )
    assert epilog == {(Trace.FILES, "/var/tmp"): 1, (Trace.IPC, ""): 1, (Trace.PROCESSES, ""): 1}
    # These nodes hide processes from each other's accounts, and from whoever lives in a user namespace.
    assert enclave == {(Trace.FILES, "/var/tmp"): 1, (Trace.IPC, ""): 1}
    path = f"{STATEMENTS}/{found.session}.json"
    assert NAME not in site.host("hub").path(path).read_text()
    assert audited(site, "residue-alarm")[-1]["session"] == found.session
    assert "RESIDUE: session" in site.host("hub").path("/var/log/renkei/hub.log").read_text()
    assert verify(site, path) == 1


async def test_a_launcher_that_is_killed_can_not_speak_but_the_epilog_can(site_with_hub):
    site = site_with_hub
    async with session(site) as (tanaka, node):
        kill(node)
        await tanaka.stop()
        found = await stated(site)

    assert found.enclave is None
    assert (found.verdict, found.doubts, found.epilog.node) == (Verdict.CLEAN, (), node.name)


async def test_where_nobody_looked_nobody_says_that_it_is_clean(site_with_hub):
    site = site_with_hub
    settings = [site.host(name).path(slurm.EPILOG_SETTINGS) for name in slurm.GPU_NODES]
    try:
        for path in settings:
            path.rename(f"{path}.away")
        async with session(site) as (tanaka, node):
            kill(node)
            await tanaka.stop()
            found = await stated(site)
    finally:
        for path in settings:
            path.with_name(f"{path.name}.away").rename(path)

    assert (found.enclave, found.epilog) == (None, None)
    assert found.verdict is Verdict.NOT_INSPECTED
    assert Doubt.NOBODY_LOOKED in found.doubts
    assert verify(site, f"{STATEMENTS}/{found.session}.json") == 2
