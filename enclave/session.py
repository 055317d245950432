"""One session's life: keys, the call to the hub, mount and server side by side, the doorway, and the end.

Whatever happens after the hub has answered is reported to it; what happens before shows in the job's exit code.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import msgspec

from enclave import gpubusy, job, mount, presets, pulse
from enclave.budget import Budget
from enclave.callback import FINAL, Callback, RefusedError, connect, prove
from enclave.children import Child, bury, kill_boxed, no_more_boxed
from enclave.doorway import Doorway
from enclave.failure import SessionFailure
from enclave.hubdoor import HubDoor
from enclave.keys import SshKey, TlsKey, client_context, make_ssh_key, make_tls_key, server_context, valid_until
from enclave.messages import BadMessageError, Event, Finding, FindingLevel, Level, Outflow, Phase, Reason, Start, Welcome
from enclave.preflight.checks import judge, unprepared
from enclave.residue.witness import Witness
from enclave.run import Early, Stage, placeholder
from enclave.server_config import settings
from enclave.storage import Storage
from enclave.timeleft import TimeLeft
from enclave.wire import place_of

SERVER_SECONDS = 60.0
"""From the start of the sandbox to the server's first answer."""
_SERVER_PATIENCE = 5.0
"""Seconds that a server which people have used has to end by itself."""
_LIMIT = "the batch system's limit"
"""Why the session is cancelled when SIGXCPU comes: PJM sends it to every process at the limit, and kills them 10 s later."""
_LIMIT_PATIENCE = 1.0
"""What a server gets of those ten seconds."""
_SANDBOX_PATIENCE = 5.0
"""Seconds that a killed sandbox has to give back what it held, memory of GPUs above all."""
_EVENT_SECONDS = 2.0
_CALL_ERRORS = (RefusedError, BadMessageError, aiohttp.ClientError, TimeoutError)


class Session:
    """The session of `early.order`, on the ground that is prepared."""

    def __init__(self, early: Early) -> None:
        self._early = early
        self._hub: Callback | None = None
        self._doors: list[Doorway | HubDoor] = []
        self._sshfs: Child | None = None
        self._server = early.server
        self._mounted = asyncio.Event()
        self._begun = time.monotonic()
        self._used = False
        self._patience = _SERVER_PATIENCE
        self._telling: asyncio.Task[None] | None = None
        self._budget: Budget | None = None
        self._time_left = TimeLeft(0.0)
        self._beating: Callable[[], Awaitable[Reason]] | None = None
        self._witness = Witness(early.view)

    async def run(self) -> Event:
        """Lives the session to its end; what was last reported to the hub, or would have been."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, bury)
        life = asyncio.create_task(self._live())
        loop.add_signal_handler(signal.SIGTERM, life.cancel)
        loop.add_signal_handler(signal.SIGXCPU, life.cancel, _LIMIT)
        last = Event(phase=Phase.ENDED)
        try:
            last = Event(phase=Phase.ENDED, reason=await life)
        except asyncio.CancelledError as cancelled:
            if _LIMIT in cancelled.args:
                self._patience = _LIMIT_PATIENCE
                last = Event(phase=Phase.ENDED, reason=Reason.TIME_UP)
        except SessionFailure as failure:
            last = Event(phase=Phase.FAILED, reason=failure.reason, detail=failure.detail)
        except Exception as error:  # noqa: BLE001  (whatever it is: the walls come down in order, and the hub hears of it)
            last = Event(phase=Phase.FAILED, reason=Reason.INTERNAL, detail=repr(error))
        if last.phase is Phase.ENDED:
            self._tell(Event(phase=Phase.ENDING, reason=last.reason))
        await self._end()
        if self._budget is not None:
            self._tell_outflow(self._budget.level, self._budget.spent, patience=0.0)
        await self._testify()
        self._tell(last)
        if self._telling is not None:
            await asyncio.wait({self._telling}, timeout=2 * _EVENT_SECONDS)
        if self._hub is not None:
            await self._hub.http.close()
        return last

    async def _live(self) -> Reason | None:
        """From nothing to the end; why it ended, if there is more to say than that somebody wanted it."""
        self._witness.begin()
        ssh_key, tls_key = make_ssh_key(), make_tls_key()
        findings = await self._findings()
        refusal = next((each for each in findings if each.level is FindingLevel.REFUSE), None)
        if refusal is not None:
            # Before it is told: nothing was left is true when it is read.
            await self._end()
        with socket.create_server((self._early.order.listen, 0), backlog=128) as listening:
            welcome = await self._ask(ssh_key.public, tls_key, listening.getsockname()[1], findings)
            if refusal is not None:
                raise SessionFailure(Reason.NODE_UNFIT, f"{refusal.check}: {refusal.detail}")
            if isinstance(self._early.stage, SessionFailure):
                raise self._early.stage
            stage = self._early.stage
            doorway = await self._open_doors(welcome, stage, tls_key, listening)
        self._tell(Event(phase=Phase.MOUNT))
        sshfs, server = await self._mount_and_server(welcome, stage, ssh_key, doorway)
        self._used = True
        doorway.open()
        self._tell(Event(phase=Phase.READY, detail=f"{time.monotonic() - self._begun:.2f} s"), patience=60.0)
        return await self._until_the_end(welcome, stage, sshfs, server)

    async def _findings(self) -> tuple[Finding, ...]:
        """What is wrong with the node."""
        early = self._early
        if isinstance(early.stage, SessionFailure) and early.stage.reason is Reason.SANDBOX_IMPOSSIBLE:
            return (unprepared(early.stage, ()),)
        return () if early.facts is None else judge(await asyncio.wrap_future(early.facts), early.order.lowered)

    async def _ask(self, ssh_key: str, tls_key: TlsKey, port: int, findings: tuple[Finding, ...]) -> Welcome:
        order = self._early.order
        start = Start(
            session=order.session,
            job=job.number() or "unknown",
            ssh_public_key=ssh_key,
            tls_request=tls_key.request,
            port=port,
            findings=findings,
        )
        hub = Callback(order, connect(order))
        try:
            welcome = await hub.start(await prove(start, order))
        except BaseException:
            await hub.http.close()
            raise
        self._hub = hub
        self._witness.welcomed(welcome)
        return welcome

    async def _open_doors(self, welcome: Welcome, stage: Stage, tls_key: TlsKey, listening: socket.socket) -> Doorway:
        try:
            outward = server_context(welcome.tls_certificate, tls_key, welcome.tls_client_ca)
            hubward = client_context(welcome.tls_hub_ca, welcome.tls_certificate, tls_key)
        except (ssl.SSLError, ValueError) as error:
            raise SessionFailure(Reason.INTERNAL, f"the hub's certificates: {error}") from error
        assert self._hub is not None  # noqa: S101  (for the type checker: it has answered)
        self._budget = budget = Budget(welcome.allowance.byte_budget, self._tell_outflow)
        self._time_left = time_left = TimeLeft(welcome.deadline, welcome.clock)
        if welcome.destination.pause_s:
            time_left.storage = Storage(stage.ground.places.state, welcome.storage).told
        hub_door = HubDoor(welcome, hubward, budget, time_left)
        place = place_of(welcome.base_url, welcome.environment)
        doorway = Doorway(stage.ground.places.sockets / "server.sock", place, welcome.allowance, budget, time_left)
        self._doors = [doorway, hub_door]
        self._beating = functools.partial(
            pulse.beat,
            self._hub,
            time_left,
            functools.partial(doorway.kernels_busy, hub_door.key),
            functools.partial(gpubusy.busy, stage.gpu_numbers),
            lambda: budget.spent,
        )
        await hub_door.listen(stage.hub_socket)
        await doorway.listen(listening.dup(), outward)
        return doorway

    async def _mount_and_server(self, welcome: Welcome, stage: Stage, key: SshKey, doorway: Doorway) -> tuple[Child, Child]:
        """The mount's process and the server, when the cloud is mounted, the presets are there and the server answers.

        Raises SessionFailure when one of them can't be.
        """
        self._sshfs = sshfs = mount.start(welcome.destination, key, welcome.ssh_certificate, stage.ground.places)
        self._witness.mounting(sshfs)
        cloud = asyncio.create_task(self._prepare_cloud(welcome, stage, sshfs))
        serving = asyncio.create_task(self._serve(welcome, stage, doorway))
        try:
            _, server = await asyncio.gather(cloud, serving)
        finally:
            cloud.cancel()
            serving.cancel()
        return sshfs, server

    async def _serve(self, welcome: Welcome, stage: Stage, doorway: Doorway) -> Child:
        if self._server is None:
            await self._mounted.wait()
            self._server = stage.start_server()
        copied = self._presets(welcome)
        cards = () if copied is None else await asyncio.to_thread(presets.cards, copied)
        self._server.tell(msgspec.json.encode(settings(welcome, stage.home, placeholder(), cards)))
        await _answer(self._server, doorway)
        return self._server

    async def _prepare_cloud(self, welcome: Welcome, stage: Stage, sshfs: Child) -> None:
        own = await mount.verified(sshfs, welcome.destination, stage.ground.places.cloud)
        self._witness.mounted()
        self._mounted.set()
        self._tell(Event(phase=Phase.SERVER))
        if (copied := self._presets(welcome)) is not None:
            try:
                await asyncio.to_thread(presets.copy, copied, own)
            except OSError as error:
                said = f"the presets can't be written: {error.strerror}"
                if not sshfs.running:
                    raise SessionFailure(Reason.MOUNT_FAILED, said) from error
                # The folder is full, or something else is called like theirs: only a session lets its person put that in order.
                self._tell(Event(phase=Phase.SERVER, detail=said))

    def _presets(self, welcome: Welcome) -> Path | None:
        """The folder of the notebooks of which the person gets copies; None where nobody does."""
        if not self._early.order.presets or welcome.destination.read_only:
            return None
        return Path(self._early.order.presets, welcome.language)

    async def _until_the_end(self, welcome: Welcome, stage: Stage, sshfs: Child, server: Child) -> Reason | None:
        assert self._beating is not None  # noqa: S101  (for the type checker: the doors are open)
        deadline, beating = asyncio.create_task(self._time_left.over()), asyncio.ensure_future(self._beating())
        renewing = asyncio.create_task(self._renew(welcome, stage.ground.places.keys))
        server_ended, mount_ended = asyncio.create_task(server.ended()), asyncio.create_task(sshfs.ended())
        ends = (deadline, beating, renewing, server_ended, mount_ended)
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if deadline.done():
                return Reason.TIME_UP
            for told in (beating, renewing):
                if told.done():
                    return told.result()
            # What the two wrote may name files: only their exit codes leave the node.
            if mount_ended.done():
                raise SessionFailure(Reason.MOUNT_FAILED, f"sshfs ended with {mount_ended.result()}")
            if server_ended.result() != 0:
                raise SessionFailure(Reason.SERVER_FAILED, f"the server ended with {server_ended.result()}")
            return None
        finally:
            for task in ends:
                task.cancel()

    async def _renew(self, welcome: Welcome, keys: Path) -> Reason:
        """Keeps the certificate fresh; returns when the hub says that it will not, for good."""
        assert self._hub is not None  # noqa: S101  (for the type checker: it has answered)
        certificate = welcome.ssh_certificate
        while True:
            await asyncio.sleep(until_renewal(valid_until(certificate) - time.time()))
            try:
                renewal = await self._hub.renew()
            except RefusedError as refused:
                if refused.reason in FINAL:
                    return refused.reason
                continue
            except _CALL_ERRORS:
                continue
            certificate = renewal.ssh_certificate
            self._witness.certificate(certificate)
            mount.place_certificate(certificate, keys)

    def _tell(self, event: Event, *, patience: float = 0.0) -> None:
        """Tells the hub, after what it was told before, while the session goes on.

        An event gets one attempt, or attempts for `patience` seconds; a hub that does not hear is its watcher's business.
        """
        if self._hub is not None:
            self._say(functools.partial(self._hub.event, event), patience)

    def _tell_outflow(self, level: Level, sent: int, *, patience: float = 60.0) -> None:
        if self._hub is not None:
            self._say(functools.partial(self._hub.outflow, Outflow(level=level, sent=sent)), patience)

    def _say(self, call: Callable[[], Awaitable[None]], patience: float) -> None:
        self._telling = asyncio.create_task(_say(call, patience, after=self._telling))

    async def _end(self) -> None:
        """Server, mount, doors, in this order: what the server still wants to write goes to the cloud."""
        stage = None if isinstance(self._early.stage, SessionFailure) else self._early.stage
        if self._server is not None:
            await self._server.end(patience=self._patience if self._used else 0.0)
        kill_boxed()
        await self._witness.before_unmount()
        if stage is not None:
            await asyncio.to_thread(stage.ground.unmount)
        if self._sshfs is not None:
            await self._sshfs.end(patience=2.0)
        # Only now: who waits in the mount while the line is cut is freed by the end of sshfs.
        self._witness.sandbox(gone=await no_more_boxed(_SANDBOX_PATIENCE))
        if stage is not None and stage.gpus is not None:
            await self._witness.scrub(stage.gpus)
        for door in self._doors:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(door.close(), 2.0)
        if stage is not None:
            await asyncio.to_thread(stage.ground.clear)

    async def _testify(self) -> None:
        """Tells the hub what is left, now that all of it should be gone; a hub that does not hear asks other witnesses."""
        report = await self._witness.report(self._early.order.session)
        if self._hub is not None and report is not None:
            with contextlib.suppress(*_CALL_ERRORS):
                await asyncio.wait_for(self._hub.residue(report), _EVENT_SECONDS)


async def _answer(server: Child, doorway: Doorway) -> None:
    ended, answers = asyncio.create_task(server.ended()), asyncio.create_task(doorway.server_answers())
    try:
        await asyncio.wait({ended, answers}, return_when=asyncio.FIRST_COMPLETED, timeout=SERVER_SECONDS)
        if answers.done() and answers.exception() is None:
            return
        output = server.output()
        if not server.running and any(line.startswith(("bwrap:", "setpriv:")) for line in output.splitlines()):
            raise SessionFailure(Reason.SANDBOX_IMPOSSIBLE, output)
        raise SessionFailure(Reason.SERVER_FAILED, output[-1500:])
    finally:
        ended.cancel()
        answers.cancel()


async def _say(call: Callable[[], Awaitable[None]], patience: float, after: asyncio.Task[None] | None) -> None:
    if after is not None:
        await asyncio.wait({after})
    give_up = time.monotonic() + patience
    while True:
        try:
            await asyncio.wait_for(call(), _EVENT_SECONDS)
        except _CALL_ERRORS:
            if time.monotonic() >= give_up:
                return
            await asyncio.sleep(0.5)
        else:
            return


def until_renewal(left: float) -> float:
    """Seconds to wait before the next attempt, when the certificate is valid for `left` more.

    A fifth of what is left, 30 s at least and 5 min at most, remains for attempts while the line to the hub is cut.
    """
    return max(10.0, left - min(300.0, max(30.0, left / 5)))
