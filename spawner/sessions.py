"""The record of a session, from the wish to the end, and the registry that everybody in the hub finds it by.

A session is written down before its job is submitted. `Saved` is the part that outlives the hub process: it holds no secret,
only the hash of the session's key, so that a job can renew its certificate after the hub was restarted.
"""

from __future__ import annotations

import asyncio
import enum
import hashlib
import hmac
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Protocol

import msgspec

from enclave.messages import Check, Notice, Phase, Pulse, Reason, SessionId
from spawner.authority.protocol import Account
from spawner.options import Request

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"

MOVED_S = 300.0
"""An expected start that has moved by more than this is told again."""
HEARD = 12
"""What is kept of what is said about a session's end: so many sayings, each of so many characters."""
HEARD_LENGTH = 2000

Environment = Callable[[str, int], dict[str, str]]
"""(address, port) → the server's JUPYTERHUB_* variables, once it is known where it listens."""


class State(enum.StrEnum):
    """Where a session is; it only ever goes forward. Each is written down with its time before what it says is done."""

    WISH = "wish"
    """A person asked for it, and it may be had."""
    RESERVED = "reserved"
    """It is counted against the person."""
    SUBMITTING = "submitting"
    """The batch system is about to get its job, or has it and the answer is not here yet."""
    QUEUED = "queued"
    """Its job is known; its one `start` call is welcome."""
    STARTING = "starting"
    """Its job has proved itself and has its certificate."""
    RUNNING = "running"
    """The notebook answers."""
    ENDING = "ending"
    """Its job was told to end: it may still say how that went, and gets nothing more."""
    ENDED = "ended"
    """The batch system says that its job is over, or there never was one."""


WAITING = frozenset({State.WISH, State.RESERVED, State.SUBMITTING, State.QUEUED})
"""Before its job has proved itself."""


class Step(enum.StrEnum):
    """What the person who waits is told, in order; `reasons.step` has the sentences."""

    SUBMITTED = "submitted"
    QUEUED = "queued"
    SCHEDULER_SILENT = "scheduler-silent"
    RUNNING = "running"
    PREFLIGHT = "preflight"
    CERTIFICATE = "certificate"
    MOUNT = "mount"
    SERVER = "server"
    READY = "ready"


class Note(msgspec.Struct, frozen=True):
    """One step that a session reached: when (seconds since the epoch), and the batch system's word where there is one."""

    step: Step
    time: float
    word: str = ""
    expected: float | None = None
    """When the batch system expects it to start."""
    before: int | None = None
    """How many are before it in the queue."""


class Saved(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What of a session outlives the hub process."""

    id: SessionId
    user: str
    server: str
    account: str
    """Unix account of the job."""
    uid: int
    request: Request
    cloud: Account
    state: State = State.WISH
    reason: Reason | None = None
    """Why it ended; none when it ended as asked, or has not."""
    words: tuple[str, ...] = ()
    """The last lines about its end, as far as a page may show them; `lastwords` lets no more pass than the record has room for."""
    times: dict[State, float] = {}
    """When it came to each state, seconds since the epoch."""
    job: str = ""
    address: str = ""
    port: int = 0
    key_hash: str = ""
    ticket_hash: str = ""
    ticket_shown: bool = False
    """Somebody has shown its ticket, whatever came of it."""
    ssh_public_key: str = ""
    deadline: float = 0.0
    began: float = 0.0
    """When its job had proved itself."""
    certificates: int = 0
    """How many were signed for it, and the first and the last one's serial number."""
    first_serial: int = 0
    last_serial: int = 0


class Keeper(Protocol):
    """Who writes sessions down."""

    def later(self, saved: Saved) -> None:
        """Write it down soon, however often that has to be tried."""

    async def now(self, saved: Saved) -> None:
        """Write it down before this returns. Raises `spawner.store.database.DatabaseDownError`."""


class Session:
    """One session as the hub process holds it: what is saved, and what only the one who waits needs."""

    def __init__(self, saved: Saved, environment: Environment | None = None) -> None:
        self.saved = saved
        self.closed = False
        """Whether it is over for whoever calls: the batch system may still have its job."""
        self.claimed = environment is not None
        """Whether a server of JupyterHub's stands for it."""
        self.keeper: Keeper | None = None
        """Set once it is registered."""
        self.environment = environment
        """None after a restart of the hub: then the job can renew, but not start."""
        handed_in = saved.times.get(State.QUEUED)
        self.notes: list[Note] = [] if handed_in is None else [Note(Step.SUBMITTED, handed_in)]
        self.failure: tuple[Reason, str] | None = None
        """Why it can't become ready any more, and the log's text."""
        self.unfit: Check | None = None
        """What its node lacks, where that is why."""
        self.refused: tuple[Reason, str] | None = None
        """Why a `start` of its job was refused, and the log's text; a job that then dies died of that."""
        self.told_to_end: Reason | None = None
        """Why its job was told to end, once it was."""
        self.refusals = 0
        """How many of its calls were refused."""
        self.outflows = 0
        """How often it has told what it sent to the browser."""
        self.own_reason: Reason | None = None
        """Why it ends, by its job's own word."""
        self.heard: list[str] = []
        """What was said about its end, for the log; a page shows of it what `lastwords` lets pass."""
        self.pulse: Pulse | None = None
        """What it last said of what goes on in it; None until then, and after a restart of the hub until the next."""
        self.pulse_time = 0.0
        """When that was, in seconds since the epoch."""
        self.notices: tuple[Notice, ...] = ()
        """What administrators have to say to its person; the next pulse takes it along."""
        self._changed = asyncio.Event()

    @property
    def id(self) -> str:
        """Opaque and random; see `enclave.messages.SessionId`."""
        return self.saved.id

    @property
    def waiting(self) -> bool:
        """Whether its job has yet to prove itself."""
        return self.saved.state in WAITING

    @property
    def name(self) -> str:
        """What its job is called: no other is, so it is found by that when its number is not known."""
        return f"renkei-{self.id}"

    def enter(self, state: State) -> None:
        """It has come to `state`."""
        self.saved.state = state
        self.saved.times.setdefault(state, time.time())
        self.keep()

    def keep(self) -> None:
        """What of it is saved has changed: it is written down soon."""
        if self.keeper is not None:
            self.keeper.later(self.saved)

    async def write(self) -> None:
        """What of it is saved is written down when this returns. Raises `spawner.store.database.DatabaseDownError`."""
        if self.keeper is not None:
            await self.keeper.now(self.saved)

    @property
    def was_ready(self) -> bool:
        """Whether its notebook answered once."""
        return State.RUNNING in self.saved.times

    def note(self, step: Step, word: str = "", expected: float | None = None, before: int | None = None) -> None:
        """Write down that `step` was reached; saying the same again changes nothing, but for an `expected` that has moved."""
        last = self.notes[-1] if self.notes else None
        if last is None or (last.step, last.word, last.before) != (step, word, before) or _moved(last.expected, expected):
            self.notes.append(Note(step, time.time(), word, expected, before))
        self.wake()

    def fail(self, reason: Reason, text: str, unfit: Check | None = None) -> None:
        """It can't become ready any more; the first reason counts."""
        if self.failure is None:
            self.failure, self.unfit = (reason, text), unfit
        self.hear(text)
        self.wake()

    def hear(self, text: str) -> None:
        """Something was said about its end; the same again is nothing new."""
        self.heard = [*(each for each in self.heard if each != text[:HEARD_LENGTH]), text[:HEARD_LENGTH]][-HEARD:]

    def wake(self) -> None:
        """Something about it changed; whoever waits looks again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self, timeout_s: float) -> None:
        """Wait for the next change, `timeout_s` seconds at most."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return

    async def told(self) -> AsyncIterator[Note]:
        """Each of its notes, from the first one on and as they come, until it is over."""
        told = 0
        while not self.closed:
            if told < len(self.notes):
                yield self.notes[told]
                told += 1
            else:
                await self.changed(10.0)

    def give_key(self) -> str:
        """A fresh bearer key for the session's later calls; only its hash is kept."""
        key = secrets.token_urlsafe(32)
        self.saved.key_hash = _hash(key)
        self.keep()
        return key

    def give_ticket(self) -> str:
        """A fresh single-use ticket for its `start`; only its hash is kept."""
        ticket = secrets.token_urlsafe(32)
        self.saved.ticket_hash = _hash(ticket)
        return ticket

    def is_key(self, text: str) -> bool:
        """Whether `text` is this session's bearer key."""
        return bool(self.saved.key_hash) and hmac.compare_digest(_hash(text), self.saved.key_hash)

    def is_ticket(self, text: str) -> bool:
        """Whether `text` is this session's ticket, used or not."""
        return bool(self.saved.ticket_hash) and hmac.compare_digest(_hash(text), self.saved.ticket_hash)

    def take_ticket(self) -> bool:
        """Its ticket is being shown; whether that is the first time."""
        first = not self.saved.ticket_shown
        self.saved.ticket_shown = True
        self.keep()
        return first

    def reached(self, phase: Phase) -> None:
        """The enclave says that it has come to `phase`."""
        if phase is Phase.READY and self.saved.state is State.STARTING:
            self.enter(State.RUNNING)
        if phase.value in {step.value for step in Step}:
            self.note(Step(phase.value))
        self.wake()


class Sessions:
    """Every session that is not over, by its id."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._sessions.values()))

    def add(self, session: Session) -> None:
        """Write `session` down; from here on its calls are answered."""
        self._sessions[session.id] = session

    def find(self, session_id: str) -> Session | None:
        """The session called `session_id`, or None."""
        return self._sessions.get(session_id)

    def close(self, session: Session) -> None:
        """It is over: none of its calls is answered any more."""
        session.closed = True
        self._sessions.pop(session.id, None)
        session.wake()


def _moved(before: float | None, now: float | None) -> bool:
    """Whether an expected time is worth telling again."""
    return now is not None and (before is None or abs(now - before) > MOVED_S)


def new_id() -> str:
    """A random session id: 16 of 36 characters, 82 bits."""
    return "".join(secrets.choice(ALPHABET) for _ in range(16))


def _hash(secret: str) -> str:
    """SHA-256 (hex); the secrets are 256 random bits, so no salt and no slow hash is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()
