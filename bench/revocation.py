"""The owner's drill: a session that reads without pause is revoked. When does its last byte leave, when is its job gone?"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.person import Person
from bench.report import say
from testbed import owner
from testbed.host import Host, TestbedError
from testbed.site import Testbed

PERSON, ACCOUNT, DESTINATION = "tanaka", "jrs0017", "cloud"
FILE = f"people/{ACCOUNT}/drill"
SIZE_MB = 64
LISTED_S = 20.0
"""Seconds within which the owner's watcher has to have seen a connection that stays; it looks every half second."""
JOB_S = 60.0
"""Seconds after which a job that is still there has failed the drill."""
READ = f"""
import os, threading
def read():
    handle = os.open(os.environ["RENKEI_MOUNT"] + "/{FILE}", os.O_RDONLY)
    while True:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.lseek(handle, 0, os.SEEK_SET)
        while os.read(handle, 1 << 20):
            pass
threading.Thread(target=read, daemon=True).start()
1
"""
"""A cell that never stops reading the file from the cloud."""


@dataclass(frozen=True)
class Drill:
    """One round; seconds from the moment at which the owner's command is started."""

    last_byte: float
    """Until the session's connection carried its last data out of the cloud."""
    job_gone: float
    """Until the batch system no longer knew the job as running or ending."""
    megabytes: float
    """What had left over that connection: that it was reading at all."""


def prepare(testbed: Testbed) -> None:
    """A file of random bytes in the person's own area."""
    cloud = testbed.host(DESTINATION)
    target = cloud.path(f"/srv/cloud/{FILE}")
    with target.open("wb") as stream:
        for _ in range(SIZE_MB):
            stream.write(os.urandom(1_000_000))
    os.chown(target, cloud.user(ACCOUNT).uid, -1)


def sessions(cloud: Host) -> list[str]:
    """The sessions with a live connection, as the owner's watcher sees them."""
    seen = json.loads(cloud.path("/run/renkei-owner/live.json").read_text())["connections"]
    return [each["session"] for each in seen if each["account"] == ACCOUNT]


def drill(testbed: Testbed, rounds: int) -> list[Drill]:
    """`rounds` sessions, each revoked while it reads. The hub must be up, and the person without a session.

    Raises TestbedError when a job outlives its session by JOB_S.
    """
    prepare(testbed)
    found = []
    for number in range(rounds):
        found.append(asyncio.run(_round(testbed)))
        say(f"revocation {number + 1}/{rounds}: last byte {found[-1].last_byte:.2f} s, job gone {found[-1].job_gone:.1f} s")
    return found


def measure(testbed: Testbed, rounds: int) -> list[float]:
    """Seconds from the owner's command to the last byte, for each of `rounds` revocations."""
    return [each.last_byte for each in drill(testbed, rounds)]


@contextmanager
def sniffing(cloud: Host) -> Iterator[dict[int, tuple[int, float]]]:
    """Port at the gateway → bytes that left for it and when the last did; filled when the block ends."""
    left: dict[int, tuple[int, float]] = {}
    sniffer = cloud.popen(["/usr/bin/python3", "-I", "-S", "/opt/renkei/src/bench/sniff.py", "sinet"])
    assert sniffer.stdout is not None  # noqa: S101  (for the type checker)
    try:
        sniffer.stdout.readline()
        yield left
        said, _ = sniffer.communicate(timeout=30)
        left.update({int(port): (count, when) for port, (count, when) in json.loads(said).items()})
    finally:
        sniffer.kill()
        sniffer.wait()


async def _round(testbed: Testbed) -> Drill:
    cloud, hub = testbed.host(DESTINATION), testbed.host("hub")
    wish = {"resource_group": "ct-link", "destination": DESTINATION, "gpus": 0, "hours": 1, "language": "en"}
    async with Person(testbed.url, PERSON) as person:
        await person.log_in(testbed.passwords[PERSON])
        await person.ask_for_server(wish)
        await person.wait_until_ready()
        await person.open_lab()
        async with person.kernel("ct") as kernel:
            await person.run_cell(kernel, READ)
            session = await asyncio.to_thread(_listed, cloud)
            with sniffing(cloud) as left:
                await asyncio.sleep(1.0)
                begun = time.monotonic()
                await asyncio.to_thread(owner.command, cloud, "revoke", "session", session)
                gone = await asyncio.to_thread(_until_gone, hub, begun)
        await person.stop()
    # Of all connections the session's has carried most by far; a control connection carries statements' answers.
    count, last = max(left.values())
    return Drill(max(0.0, last - begun), gone, count / 1e6)


def _listed(cloud: Host) -> str:
    """The one session that reads, once the owner's watcher has seen its connection. Raises TestbedError when it never does."""
    end = time.monotonic() + LISTED_S
    while len(found := sessions(cloud)) != 1:
        if time.monotonic() > end:
            raise TestbedError(f"the owner's list holds {len(found)} sessions, not one, after {LISTED_S:.0f} s")
        time.sleep(0.1)
    return found[0]


def _until_gone(hub: Host, begun: float) -> float:
    while hub.run(["squeue", "--all", "--noheader", f"--user=rs-{PERSON}"]).stdout.strip():
        if time.monotonic() - begun > JOB_S:
            raise TestbedError(f"the job is still there {JOB_S:.0f} s after its session was revoked")
        time.sleep(0.1)
    return time.monotonic() - begun
