"""Who runs what and waits for what; ending, extending, writing to a session."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta
from sqlalchemy import select
from sqlalchemy.orm import Session as Transaction

from phrases import N_
from spawner.console.access import Caller
from spawner.console.errors import ConsoleError
from spawner.console.office import Office
from spawner.console.people import END
from spawner.console.tables import TEXT_LIMIT, ActivityRow, ExtensionRow, NoticeRow
from spawner.quota.ledger import lengthen
from spawner.schedulers.base import SchedulerError
from spawner.store.tables import SessionRow

GONE = N_("There is no such session, or it has ended.")
NOT_RUNNING = N_("This session does not run yet. Please wait until it does.")
CANT_EXTEND = N_("The batch system of this site does not let the hub extend sessions. Nothing was changed.")

STALE_S = 120.0
"""Seconds after which what a session last said of itself is not shown any more."""

OVER = ("ended",)


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """One session as an administrator sees it; times are seconds since the epoch, UTC."""

    id: str
    user: str
    server: str
    state: str
    resource_group: str
    destination: str
    gpus: int
    hours: float
    job: str
    wished: float
    running: float | None
    deadline: float | None
    gpu_busy: float | None
    """Share of its GPUs' time in the last minute, 0 to 1; null where nobody can tell."""
    kernels_busy: int | None
    node: str
    waits_for: str
    """The batch system's own word for why it waits; empty while it does not."""
    before: int | None
    """How many requests are served first."""
    expected: float | None
    """When it is expected to start."""


class SessionList(msgspec.Struct, frozen=True, kw_only=True):
    """Every session that is not over."""

    sessions: tuple[SessionView, ...]


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sentence for whoever is in the session."""

    text: Annotated[str, Meta(min_length=1, max_length=TEXT_LIMIT, pattern=rf"^[^\x00-\x1f\x7f]+{END}")]


class Extension(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much longer a session may go on."""

    minutes: Annotated[int, Meta(ge=5, le=2880)]


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """It is done, or will be at the session's next word to the hub (every 30 s)."""

    session: str


def view(row: SessionRow, activity: ActivityRow | None, now: float) -> SessionView:
    """`row` as it is shown, with what the session said of itself not long ago."""
    fresh = activity if activity is not None and now - activity.at < STALE_S else None
    return SessionView(
        id=row.id,
        user=row.user,
        server=row.server,
        state=row.state,
        resource_group=row.resource_group,
        destination=row.destination,
        gpus=row.gpus,
        hours=row.hours,
        job=row.job,
        wished=row.wished,
        running=row.running,
        deadline=row.deadline or None,
        gpu_busy=fresh.gpu_busy if fresh else None,
        kernels_busy=fresh.kernels_busy if fresh else None,
        node=activity.node if activity else "",
        waits_for=activity.waits_for if activity else "",
        before=activity.before if activity else None,
        expected=activity.expected if activity else None,
    )


async def current(office: Office) -> SessionList:
    """Every session that is not over, those that wait first, the oldest first."""
    now = office.now()

    def ask(transaction: Transaction) -> tuple[SessionView, ...]:
        wanted = (
            select(SessionRow, ActivityRow)
            .outerjoin(ActivityRow, ActivityRow.session == SessionRow.id)
            .where(SessionRow.state.not_in(OVER))
            .order_by(SessionRow.running.is_not(None), SessionRow.wished)
        )
        return tuple(view(row, activity, now) for row, activity in transaction.execute(wanted))

    return SessionList(sessions=await office.look(ask))


async def _find(office: Office, session: str) -> SessionRow:
    row = await office.look(lambda transaction: transaction.get(SessionRow, session))
    if row is None or row.state in OVER:
        raise ConsoleError(404, GONE)
    return row


async def end(office: Office, caller: Caller, session: str) -> Accepted:
    """End `session`, by the hub and with the caller's own right to. Raises ConsoleError."""
    row = await _find(office, session)
    await office.record("session-end-ordered", caller.name, session=row.id, user=row.user)
    await office.hub.stop(caller.token, row.user, row.server)
    return Accepted(session=row.id)


async def write(office: Office, caller: Caller, session: str, message: Message) -> Accepted:
    """Leave `message` for whoever is in `session`. Raises ConsoleError."""
    row = await _find(office, session)
    await office.record("session-message", caller.name, session=row.id, user=row.user, length=len(message.text))
    notice = NoticeRow(session=row.id, text=message.text, by=caller.name, at=office.now())
    await office.change(lambda transaction: transaction.add(notice))
    return Accepted(session=row.id)


async def extend(office: Office, caller: Caller, session: str, extension: Extension) -> Accepted:
    """Give `session` more time, as far as the batch system lets the hub. Raises ConsoleError."""
    row = await _find(office, session)
    if row.running is None or not row.job:
        raise ConsoleError(409, NOT_RUNNING)
    await office.record("session-extended", caller.name, session=row.id, user=row.user, minutes=extension.minutes)
    try:
        await office.scheduler.extend(row.job, extension.minutes)
    except SchedulerError as error:
        await office.record("session-not-extended", caller.name, session=row.id, user=row.user)
        raise ConsoleError(409, CANT_EXTEND, str(error)) from error
    more = ExtensionRow(session=row.id, seconds=extension.minutes * 60.0, by=caller.name, at=office.now())

    def write(transaction: Transaction) -> None:
        transaction.add(more)
        lengthen(transaction, row.id, extension.minutes / 60)

    await office.change(write)
    return Accepted(session=row.id)
