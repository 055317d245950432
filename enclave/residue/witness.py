"""The enclave as a witness of its own session: what it notes down on the way, and the report that it makes of it in the end."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import time

from enclave import job
from enclave.children import Child
from enclave.keys import serial_of
from enclave.messages import DeviceScrub, EnclaveReport, Look, Scrub, Trace, Welcome
from enclave.residue import gpu, inventory
from enclave.residue.node import Node, read
from enclave.residue.traffic import SECONDS, Meter
from enclave.sandbox import Sandbox

_INSIDE = "sandbox"
"""What a look at the session's own processes is called; those of the node have no place."""


class Witness:
    """One session's. Nothing here raises: what could not be seen is reported as not seen."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._began = time.time()
        self._before: asyncio.Task[tuple[inventory.Place, ...]] | None = None
        self._welcome: Welcome | None = None
        self._serials: list[int] = []
        self._mounted: float | None = None
        self._unmounted: float | None = None
        self._meter: Meter | None = None
        self._sshfs: Child | None = None
        self._counting: asyncio.Task[None] | None = None
        self._gpus: tuple[DeviceScrub, ...] | None = None
        self._sandbox_gone = True

    def begin(self) -> None:
        """Takes the first inventory beside what else has to happen: nothing of the session's can reach the node meanwhile."""
        self._before = asyncio.create_task(asyncio.to_thread(inventory.take, self._node, os.getuid()))

    def welcomed(self, welcome: Welcome) -> None:
        """The hub said who the session is for, and gave the first certificate."""
        self._welcome = welcome
        self.certificate(welcome.ssh_certificate)

    def certificate(self, line: str) -> None:
        """The session was given a certificate."""
        with contextlib.suppress(ValueError):
            self._serials.append(serial_of(line))

    def mounting(self, sshfs: Child) -> None:
        """`sshfs` is about to mount the cloud."""
        if self._welcome is not None:
            self._sshfs, self._meter = sshfs, Meter(self._welcome.destination.port)

    def mounted(self) -> None:
        """The cloud is there; from now on its traffic is counted."""
        self._mounted = time.time()
        self._counting = asyncio.create_task(self._count())

    async def _count(self) -> None:
        while self._meter is not None and self._sshfs is not None and self._sshfs.running:
            await asyncio.to_thread(self._meter.look)
            await asyncio.sleep(SECONDS)

    async def before_unmount(self) -> None:
        """The last look at the mount's connections while they are there."""
        if self._counting is not None:
            self._counting.cancel()
        if self._meter is not None:
            await asyncio.to_thread(self._meter.look)

    def sandbox(self, *, gone: bool) -> None:
        """Whether nothing lives in the sandbox any more; where something does, nobody can say what it holds."""
        self._sandbox_gone = gone

    async def scrub(self, box: Sandbox) -> None:
        """Overwrites the memory of the session's GPUs, which nobody uses any more, in the sandbox `box`."""
        self._gpus = await gpu.scrub(box) if self._sandbox_gone else gpu.not_begun("the sandbox did not end")

    async def report(self, session: str) -> EnclaveReport | None:
        """What is left now that server, mount and doors are gone; None where nothing was ever entrusted to the session."""
        if self._welcome is None or self._before is None:
            return None
        destination = self._welcome.destination
        mountinfo = read(None, "/proc/self/mountinfo")
        if mountinfo is not None and self._sandbox_gone and not inventory.mounts(mountinfo, os.getuid()):
            self._unmounted = time.time()
        after = await asyncio.to_thread(inventory.take, self._node, os.getuid())
        looks = inventory.compare(await self._before, after)
        if not self._sandbox_gone:
            looks = (*looks, Look(trace=Trace.PROCESSES, place=_INSIDE, seen=False))
        return EnclaveReport(
            session=session,
            job=job.number() or "unknown",
            began=self._began,
            mounted=self._mounted,
            unmounted=self._unmounted,
            reported=time.time(),
            destination=destination.name,
            account=destination.account,
            path_digest=hashlib.sha256(destination.path.encode()).hexdigest(),
            certificates=len(self._serials),
            last_serial=self._serials[-1] if self._serials else 0,
            traffic=None if self._meter is None else self._meter.total(),
            looks=looks,
            gpu=Scrub.NOT_APPLICABLE if self._gpus is None else gpu.worst(self._gpus),
            devices=self._gpus or (),
        )
