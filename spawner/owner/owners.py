"""The data owners of a site: every few seconds each is told which sessions live at its destination, and says which may not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from logging import Logger
from pathlib import Path

from enclave.messages import Reason
from spawner.owner.line import Line, LineDownError, LineRefusedError, command
from spawner.owner.protocol import (
    DOCUMENT_NAMESPACE,
    STATEMENT_NAMESPACE,
    Live,
    Push,
    Pushed,
    Seen,
    Store,
    Stored,
    Why,
    Witness,
    WitnessRequest,
    statement,
)
from spawner.owner.signing import SignatureError, sign
from spawner.site import DestinationSite, OwnerSite

PUSH_S = 3.0
"""Seconds between two statements."""
HOLDS_S = 15
"""Seconds that a statement holds: four that are lost in a row suspend a session."""
OVER_S = 600.0
"""Seconds for which a session that has ended is named as over."""
ANNOUNCE_S = 8.0
"""Seconds for which a start tries to tell the owner: the job waits for its answer meanwhile, 60 s at most."""
ASK_S = 5.0
"""Seconds for which any other question is tried."""


class OwnerDownError(Exception):
    """The owner's side can't be reached, or is in trouble; the text is for the log, `reason` says where it broke."""

    def __init__(self, text: str, reason: Reason = Reason.OWNER_DOWN) -> None:
        super().__init__(text)
        self.reason = reason


class OwnerRefusedError(Exception):
    """The owner's side does not take what it was told; the text is for the log."""


class OwnerEndedError(Exception):
    """The owner does not have this session."""

    def __init__(self, why: Why) -> None:
        super().__init__(f"the owner says: {why}")
        self.why = why


LiveSessions = Callable[[], Iterable[Live]]
"""Every session that is alive at the destination now."""
Ended = Callable[[str, Why], None]
"""Told, each time, of a session that is named as alive and that the owner does not have."""


class Owner:
    """One destination's owner; `run` pushes until cancelled."""

    def __init__(self, destination: str, site: OwnerSite, line: Line, *, live: LiveSessions, ended: Ended, log: Logger) -> None:
        self.destination = destination
        self.site = site
        self.line = line
        self.seen: tuple[Seen, ...] = ()
        """The live connections of the sessions here, as the cloud saw them at the last push."""
        self._live = live
        self._ended = ended
        self._log = log
        self._over: dict[str, float] = {}
        self._number = 0
        self._down = ""
        self._pushing = asyncio.Lock()

    async def run(self) -> None:
        """Push every few seconds, and at once when the line is back, until cancelled."""
        while True:
            begun = time.monotonic()
            try:
                await self._push()
            except (OwnerDownError, OwnerRefusedError) as error:
                if str(error) != self._down:
                    self._down = str(error)
                    self._log.warning("The owner's side at %s: %s; until it answers no session goes on", self.destination, error)
                # Who says no will say it again; who can't be reached may be there any moment.
                await asyncio.sleep(PUSH_S if isinstance(error, OwnerRefusedError) else 0.2)
                continue
            except Exception:  # noqa: BLE001  (whatever it is: else the sessions here stayed suspended until the hub's restart)
                self._log.exception("The owner's side at %s could not be told", self.destination)
            if self._down:
                self._down = ""
                self._log.info("The owner's side at %s answers again", self.destination)
            await asyncio.sleep(max(0.0, PUSH_S - (time.monotonic() - begun)))

    async def announce(self, session: str) -> bool:
        """Return when the owner knows that `session`, which is among the live ones, is alive: now its mount can be made.

        Whether it may read only. Raises OwnerEndedError, OwnerDownError, OwnerRefusedError.
        """
        until = time.monotonic() + ANNOUNCE_S
        while True:
            try:
                pushed = await self._push()
                break
            except OwnerDownError as error:
                if error.reason is Reason.HOST_KEY_CHANGED or time.monotonic() > until:
                    raise
                await asyncio.sleep(0.2)
        for each in pushed.ended:
            if each.session == session:
                raise OwnerEndedError(each.why)
        return session in pushed.read_only

    def over(self, session: str) -> None:
        """`session` has ended: connections that it left behind may go."""
        self._over[session] = time.monotonic()

    async def witness(self, session: str) -> Witness:
        """What the cloud saw of `session`. Raises OwnerDownError, OwnerRefusedError."""
        answer = await self._ask(WitnessRequest(session=session))
        if not isinstance(answer, Witness):
            raise OwnerDownError(f"an answer to another question: {type(answer).__name__}")
        return answer

    async def store(self, session: str, document: str) -> Stored:
        """Sign `document` (64 KiB of text at most) and have the cloud keep it with `session`; the same again changes nothing.

        Raises OwnerDownError, OwnerRefusedError.
        """
        signature = await self.sign(document, DOCUMENT_NAMESPACE)
        answer = await self._ask(Store(session=session, document=document, signature=signature))
        if not isinstance(answer, Stored):
            raise OwnerDownError(f"an answer to another question: {type(answer).__name__}")
        return answer

    async def sign(self, text: str, namespace: str) -> str:
        """The hub's signature over `text`, armored SSHSIG. Raises OwnerDownError."""
        try:
            return await sign(text, key=self.site.statement_key, namespace=namespace)
        except SignatureError as error:
            raise OwnerDownError(str(error)) from error

    async def _push(self) -> Pushed:
        # One at a time: a statement must not overtake one with a higher number.
        async with self._pushing:
            self._number = max(self._number + 1, time.time_ns())
            self._over = {name: when for name, when in self._over.items() if time.monotonic() - when < OVER_S}
            live = tuple(self._live())
            text = statement(
                destination=self.destination,
                number=self._number,
                issued=int(time.time()),
                seconds=HOLDS_S,
                live=live,
                over=sorted(self._over.keys() - {each.session for each in live}),
            )
            answer = await self._ask(Push(statement=text, signature=await self.sign(text, STATEMENT_NAMESPACE)), patience=0.0)
        if not isinstance(answer, Pushed):
            raise OwnerDownError(f"an answer to another question: {type(answer).__name__}")
        self.seen = answer.seen
        for each in answer.ended:
            self._ended(each.session, each.why)
        return answer

    async def _ask(self, request: Push | WitnessRequest | Store, patience: float = ASK_S) -> object:
        try:
            return await self.line.ask(request, patience=patience)
        except LineDownError as error:
            raise OwnerDownError(str(error), error.reason) from error
        except LineRefusedError as error:
            raise OwnerRefusedError(str(error)) from error


class Owners:
    """The owner of each destination that has one."""

    def __init__(self, owners: Iterable[Owner]) -> None:
        self._owners = {owner.destination: owner for owner in owners}
        self._running: list[asyncio.Future[None]] = []

    def find(self, destination: str) -> Owner | None:
        """The owner at `destination`; None where the site file says that there is none."""
        return self._owners.get(destination)

    def start(self) -> None:
        """Push from now on."""
        self._running = [asyncio.ensure_future(owner.run()) for owner in self._owners.values()]

    def close(self) -> None:
        """Push no more."""
        for each in self._running:
            each.cancel()
        self._running = []


def line_to(destination: DestinationSite, owner: OwnerSite, state: str, known_hosts: Callable[[str, str], str]) -> Line:
    """The line to the control account of `destination`; its pinned host keys are put below the folder `state`.

    Raises OSError when they can't be read or written.
    """
    pinned = Path(state, f"known_hosts-{destination.name}")
    pinned.write_text(known_hosts(destination.name, Path(destination.host_keys).read_text()))
    argv = command(
        gateway=destination.gateway,
        port=destination.port,
        account=owner.control_account,
        alias=destination.name,
        key=owner.control_key,
        known_hosts=pinned,
    )
    return Line(argv, (destination.gateway, destination.port))
