"""Usage by person, group and resource group, by day, as CSV; and everybody's own, with what is left."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta
from sqlalchemy import select
from sqlalchemy.orm import Session as Transaction

from phrases import N_
from spawner.console.access import Caller
from spawner.console.errors import ConsoleError
from spawner.console.office import Office
from spawner.console.rules import RuleView, seen
from spawner.console.sessions import OVER, SessionView, view
from spawner.console.tables import ActivityRow
from spawner.quota.ledger import By, State, Usage
from spawner.quota.policy import Charge
from spawner.store.tables import SessionRow

DAY_S = 86_400.0
MONTH_DAYS = 30

NO_GROUPS = N_("This token does not say in which groups you are: it needs the scope read:users:groups!user too.")


class UsageQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Summed how, and over how many days until now."""

    by: By = By.USER
    days: Annotated[int, Meta(ge=1, le=366)] = MONTH_DAYS


class DayUse(msgspec.Struct, frozen=True, kw_only=True):
    """GPU-hours of one day, by the hub's clock."""

    day: dt.date
    gpu_hours: float


class UsageTable(msgspec.Struct, frozen=True, kw_only=True):
    """What was used since a moment (what is reserved counts in full), and day by day as far as it has happened."""

    by: By
    since: float
    rows: tuple[Usage, ...]
    days: tuple[DayUse, ...]


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """How somebody stands with one rule."""

    rule: RuleView
    """With the limit that counts for them."""
    used: float
    left: float
    exempt_until: float | None


class Own(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller runs, has used in 30 days, and has left."""

    user: str
    groups: tuple[str, ...]
    sessions: tuple[SessionView, ...]
    gpu_hours: float
    left: tuple[Left, ...]
    days: tuple[DayUse, ...]


def by_day(charges: Iterable[Charge], days: int, now: float, zone: dt.tzinfo) -> tuple[DayUse, ...]:
    """GPU-hours on each of the last `days` days, today last, as far as they have happened. Pure."""
    today = dt.datetime.fromtimestamp(now, zone).date()
    first = [today - dt.timedelta(days=days - 1 - number) for number in range(days)]
    edges = [dt.datetime.combine(day, dt.time(), zone).timestamp() for day in (*first, today + dt.timedelta(days=1))]
    sums = [0.0] * days
    for each in charges:
        if each.began is None or each.gpus == 0:
            continue
        ended = min(now, each.ended if each.ended is not None else now)
        for number in range(days):
            overlap = min(ended, edges[number + 1]) - max(each.began, edges[number])
            sums[number] += each.gpus * max(0.0, overlap) / 3600
    return tuple(DayUse(day=day, gpu_hours=used) for day, used in zip(first, sums, strict=True))


async def table(office: Office, query: UsageQuery) -> UsageTable:
    """Everybody's usage. Raises ConsoleError."""
    now = office.now()
    since = now - query.days * DAY_S
    rows = await office.blocking(lambda: office.ledger.usage(query.by, since))
    rows = tuple(sorted(rows, key=lambda row: -row.gpu_hours))
    entries = await office.blocking(lambda: office.ledger.charges(since))
    counted = (each.charge for each in entries if each.state is not State.VOID)
    return UsageTable(by=query.by, since=since, rows=rows, days=by_day(counted, query.days, now, office.ledger.zone))


async def own(office: Office, caller: Caller) -> Own:
    """The caller's own. Raises ConsoleError."""
    if caller.groups is None:
        raise ConsoleError(403, NO_GROUPS)
    now, groups = office.now(), caller.groups
    standing = await office.blocking(lambda: office.ledger.standing(caller.name, groups, now))
    entries = await office.blocking(lambda: office.ledger.charges(now - MONTH_DAYS * DAY_S))
    mine = [each.charge for each in entries if each.state is not State.VOID and each.charge.user == caller.name]

    def ask(transaction: Transaction) -> tuple[SessionView, ...]:
        wanted = (
            select(SessionRow, ActivityRow)
            .outerjoin(ActivityRow, ActivityRow.session == SessionRow.id)
            .where(SessionRow.state.not_in(OVER), SessionRow.user == caller.name)
            .order_by(SessionRow.wished)
        )
        return tuple(view(row, activity, now) for row, activity in transaction.execute(wanted))

    days = by_day(mine, MONTH_DAYS, now, office.ledger.zone)
    return Own(
        user=caller.name,
        groups=groups,
        sessions=await office.look(ask),
        gpu_hours=sum(each.gpu_hours for each in days),
        left=tuple(Left(rule=seen(each.rule), used=each.used, left=each.left, exempt_until=each.exempt_until) for each in standing),
        days=days,
    )


def as_csv(found: UsageTable) -> str:
    """`found` for a spreadsheet: RFC 4180, with names that no spreadsheet takes for a formula."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow((str(found.by), "sessions", "gpu_hours", "hours"))
    for row in found.rows:
        name = f"'{row.name}" if row.name[:1] in "=+-@\t\r" else row.name
        writer.writerow((name, row.sessions, f"{row.gpu_hours:.3f}", f"{row.hours:.3f}"))
    return text.getvalue()
