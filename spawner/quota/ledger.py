"""The ledger: what each session was reserved, what it used in the end, and by whose times.

Every call is one transaction and blocks; each raises DatabaseDownError where the database can't be reached. All of them may be
said again: a session has one charge, and what is settled stays settled.
"""

from __future__ import annotations

import datetime as dt
import enum
import functools
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import BindParameter, ColumnElement, Select, and_, bindparam, insert, or_, select, update
from sqlalchemy.orm import Session

from spawner.quota.policy import HOUR_S, Charge, Policy, Refused, Rule, Standing, Wish, longest_window
from spawner.quota.rulebook import Rulebook, read_exemptions, read_rules
from spawner.quota.tables import ChargeRow, DifferenceRow
from spawner.schedulers.base import Times
from spawner.store.database import Database
from spawner.store.tables import SessionRow

TOLERANCE_S = 1.0
"""Batch systems count whole seconds: below this, two times are the same."""


class State(enum.StrEnum):
    """What became of a charge."""

    RESERVED = "reserved"
    SETTLED = "settled"
    VOID = "void"
    """Its job never ran: it counts nothing."""


class Source(enum.StrEnum):
    """Whose times a settled charge has."""

    SCHEDULER = "scheduler"
    HUB = "hub"
    """The batch system could not tell; the nightly comparison asks again."""


class By(enum.StrEnum):
    """How usage is summed."""

    USER = "user"
    GROUP = "group"
    RESOURCE_GROUP = "resource-group"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One charge as it is written down."""

    charge: Charge
    state: State
    job: str
    source: Source | None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What one person, group or resource group used since a moment; what is reserved counts in full."""

    name: str
    sessions: int
    gpu_hours: float
    hours: float


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A charge that did not agree with the batch system's accounting, and was corrected."""

    session: str
    user: str
    job: str
    found: float
    charged_s: float
    counted_s: float


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """A session of the past that a rule would have refused."""

    charge: Charge
    refused: Refused


class Ledger(Rulebook):
    """The ledger in `database`, for a site whose clock shows `zone`."""

    def __init__(self, database: Database, zone: dt.tzinfo) -> None:
        super().__init__(database)
        self.zone = zone

    def reserve(self, wish: Wish) -> Refused | None:
        """None where every rule allows `wish`, which is reserved then; asked again for the same session, it changes nothing."""
        with self._database.write() as session:
            if session.scalar(_KNOWN, {"session": wish.session}) is not None:
                return None
            policy = self._policy(session, wish.at)
            binding = [rule for rule in policy.rules if rule.covers(wish.user, wish.groups, wish.resource_group)]
            refused = policy.verdict(wish, _usage(session, wish.user, binding, wish.at), wish.at)
            if refused is None:
                session.execute(_RESERVE, _values(wish))
            return refused

    def standing(self, user: str, groups: tuple[str, ...], now: float) -> tuple[Standing, ...]:
        """How `user`, a member of `groups`, stands with every rule that binds them."""
        with self._database.read() as session:
            policy = self._policy(session, now)
            usage = _usage(session, user, policy.binding(user, groups, now), now)
        return policy.standing(user, groups, usage, now)

    def began(self, session_id: str, job: str, began: float) -> None:
        """The session's job has started."""
        with self._database.write() as session:
            wanted = and_(ChargeRow.session == session_id, ChargeRow.state == State.RESERVED.value)
            session.execute(update(ChargeRow).where(wanted).values(job=job, began=began))

    def settle(self, session_id: str, job: str, times: Times, source: Source) -> bool:
        """The session is over and ran by `times`; without `began` it is void. Whether that was news."""
        began, ended = times.began, times.ended
        values: dict[str, Any] = {"state": State.VOID.value, "ended": ended, "job": job, "source": source.value}
        if began is not None and ended is not None:
            values |= {"state": State.SETTLED.value, "began": began, "ended": max(began, ended)}
        elif ended is None:
            raise ValueError(f"session {session_id} is not over")
        with self._database.write() as session:
            wanted = and_(ChargeRow.session == session_id, ChargeRow.state == State.RESERVED.value)
            hours = session.scalar(select(ChargeRow.hours).where(wanted))
            if hours is None:
                return False
            if source is Source.HUB and began is not None and ended is not None:
                # The hub may have been away when it ended; no job is longer than what was asked for.
                values["ended"] = max(began, min(ended, began + hours * HOUR_S))
            session.execute(update(ChargeRow).where(wanted).values(**values))
            return True

    def void(self, session_id: str, now: float) -> bool:
        """The session never had a job; whether that was news."""
        return self.settle(session_id, "", Times(began=None, ended=now), Source.HUB)

    def open_charges(self) -> tuple[Entry, ...]:
        """What is reserved and not settled, with the job that the record of sessions knows."""
        wanted = (
            select(ChargeRow, SessionRow.job)
            .outerjoin(SessionRow, SessionRow.id == ChargeRow.session)
            .where(ChargeRow.state == State.RESERVED.value)
            .order_by(ChargeRow.at)
        )
        with self._database.read() as session:
            return tuple(
                msgspec.structs.replace(_entry(row), job=row.job or job or "") for row, job in session.execute(wanted)
            )  # fmt: skip

    def settled_since(self, since: float) -> tuple[Entry, ...]:
        """Charges of jobs that ended after `since`, void ones too."""
        wanted = and_(ChargeRow.state != State.RESERVED.value, ChargeRow.ended > since, ChargeRow.job != "")
        with self._database.read() as session:
            return tuple(_entry(row) for row in session.scalars(_charges(wanted)))

    def reconcile(self, accounting: Mapping[str, Times], since: float, now: float) -> tuple[Difference, ...]:
        """Correct what was settled since `since` by the batch system's `accounting` (job → times); write down what differed."""
        found = []
        with self._database.write() as session:
            wanted = and_(ChargeRow.state != State.RESERVED.value, ChargeRow.ended > since, ChargeRow.job != "")
            for row in session.scalars(_charges(wanted)):
                difference = _correct(row, accounting.get(row.job), now)
                if difference is not None:
                    found.append(difference)
                    values = {name: getattr(difference, name) for name in ("session", "job", "found", "charged_s", "counted_s")}
                    session.add(DifferenceRow(**values))
        return tuple(found)

    def differences(self, since: float) -> tuple[Difference, ...]:
        """What nightly comparisons found after `since`, newest first."""
        wanted = (
            select(DifferenceRow, ChargeRow.user)
            .join(ChargeRow, ChargeRow.session == DifferenceRow.session)
            .where(DifferenceRow.found > since)
            .order_by(DifferenceRow.found.desc(), DifferenceRow.id.desc())
        )
        with self._database.read() as session:
            return tuple(
                Difference(
                    session=row.session, user=user, job=row.job, found=row.found, charged_s=row.charged_s, counted_s=row.counted_s
                )
                for row, user in session.execute(wanted)
            )

    def charges(self, since: float) -> tuple[Entry, ...]:
        """Every charge that is not over or ended after `since`, in the order of their wishes; those of void jobs too."""
        with self._database.read() as session:
            return tuple(_entry(row) for row in session.scalars(_charges(_live_since(since))))

    def usage(self, by: By, since: float) -> tuple[Usage, ...]:
        """What was used after `since`, by name; a person of several groups counts in each of them."""
        sums: dict[str, Usage] = {}
        for entry in self.charges(since):
            charge = entry.charge
            if entry.state is State.VOID:
                continue
            names = {By.USER: (charge.user,), By.GROUP: charge.groups, By.RESOURCE_GROUP: (charge.resource_group,)}[by]
            hours = msgspec.structs.replace(charge, gpus=1).gpu_hours(since)
            for name in names:
                old = sums.get(name) or Usage(name=name, sessions=0, gpu_hours=0.0, hours=0.0)
                sums[name] = Usage(
                    name=name,
                    sessions=old.sessions + 1,
                    gpu_hours=old.gpu_hours + charge.gpu_hours(since),
                    hours=old.hours + hours,
                )
        return tuple(sums[name] for name in sorted(sums))

    def what_would_have_been_refused(self, rule: Rule, since: float, now: float) -> tuple[Preview, ...]:
        """Which wishes since `since` `rule` would have refused, had it been in force: each judged with what was held and used then.

        What it would have refused counts no further. No exception is thought of.
        """
        past = [each.charge for each in self.charges(since - longest_window((rule,))) if each.state is not State.VOID]
        return preview(Policy(rules=(rule,), zone=self.zone), past, since, now)

    def _policy(self, session: Session, now: float) -> Policy:
        return Policy(rules=read_rules(session), exemptions=read_exemptions(session, now), zone=self.zone)


def lengthen(transaction: Session, session_id: str, hours: float) -> None:
    """Reserve `hours` more for a session that an administrator lets go on, in a transaction of the caller's; no rule is asked."""
    wanted = and_(ChargeRow.session == session_id, ChargeRow.state == State.RESERVED.value)
    transaction.execute(update(ChargeRow).where(wanted).values(hours=ChargeRow.hours + hours))


def preview(policy: Policy, charges: Iterable[Charge], since: float, now: float) -> tuple[Preview, ...]:
    """Which of `charges` (in the order of their wishes, from a window before `since` on) `policy` would have refused. Pure."""
    allowed: list[Charge] = []
    found = []
    for charge in charges:
        if charge.at > now:
            break
        wish = Wish(
            session=charge.session,
            user=charge.user,
            groups=charge.groups,
            resource_group=charge.resource_group,
            destination=charge.destination,
            gpus=charge.gpus,
            hours=charge.hours,
            at=charge.at,
        )
        refused = policy.verdict(wish, [_as_of(each, charge.at) for each in allowed], charge.at)
        if refused is None or charge.at < since:
            allowed.append(charge)
        else:
            found.append(Preview(charge=charge, refused=refused))
    return tuple(found)


def _as_of(charge: Charge, at: float) -> Charge:
    """`charge` as it was known at the moment `at`."""
    return msgspec.structs.replace(
        charge,
        began=charge.began if charge.began is not None and charge.began <= at else None,
        ended=charge.ended if charge.ended is not None and charge.ended <= at else None,
    )


def _usage(session: Session, user: str, rules: Iterable[Rule], now: float) -> list[Charge]:
    """What counts for `user` under `rules` at `now`: their own, and everybody's as far as a shared rule looks."""
    shared = [rule for rule in rules if rule.shared]
    values = {"user": user, "since": now - longest_window(rules), "everybodys": now - longest_window(shared)}
    return [_charge_of(*row) for row in session.execute(_EVERYBODYS if shared else _OWN, values)]


def _live_since(since: float | BindParameter[float]) -> ColumnElement[bool]:
    return or_(ChargeRow.ended.is_(None), ChargeRow.ended > since)


def _counting(wanted: ColumnElement[bool]) -> Select[Any]:
    columns = (getattr(ChargeRow, name) for name in Charge.__struct_fields__)
    return select(*columns).where(wanted, ChargeRow.state != State.VOID.value)


# Made once: putting them together takes longer than asking.
_KNOWN = select(ChargeRow.session).where(ChargeRow.session == bindparam("session"))
_RESERVE = insert(ChargeRow)
_MINE = and_(ChargeRow.user == bindparam("user"), _live_since(bindparam("since")))
_OWN = _counting(_MINE)
_EVERYBODYS = _counting(or_(_MINE, _live_since(bindparam("everybodys"))))


def _charges(wanted: ColumnElement[bool]) -> Select[ChargeRow]:
    return select(ChargeRow).where(wanted).order_by(ChargeRow.at, ChargeRow.session)


def _values(wish: Wish) -> dict[str, object]:
    same = ("session", "user", "resource_group", "destination", "gpus", "hours", "at")
    groups = msgspec.json.encode(wish.groups).decode()
    return {
        **{name: getattr(wish, name) for name in same},
        "groups": groups,
        "state": State.RESERVED.value,
        "job": "",
        "source": "",
    }


def _entry(row: ChargeRow) -> Entry:
    return Entry(charge=_charge(row), state=State(row.state), job=row.job, source=Source(row.source) if row.source else None)


def _charge(row: ChargeRow) -> Charge:
    return _charge_of(*(getattr(row, name) for name in Charge.__struct_fields__))


def _charge_of(*columns: Any) -> Charge:  # noqa: ANN401
    """A charge out of its columns, which are its fields."""
    values = dict(zip(Charge.__struct_fields__, columns, strict=True))
    return Charge(**{**values, "groups": _groups(values["groups"])})


@functools.lru_cache(maxsize=1024)
def _groups(text: str) -> tuple[str, ...]:
    return msgspec.json.decode(text, type=tuple[str, ...])


def _correct(row: ChargeRow, times: Times | None, now: float) -> Difference | None:
    """Give `row` the batch system's `times` where it knows them; what differed by more than TOLERANCE_S."""
    if times is None or times.ended is None:
        return None
    charged = 0.0 if row.began is None or row.ended is None else row.ended - row.began
    counted = 0.0 if times.began is None else max(0.0, times.ended - times.began)
    moved = max(abs((row.began or 0.0) - (times.began or 0.0)), abs((row.ended or 0.0) - times.ended))
    row.source = Source.SCHEDULER.value
    if moved <= TOLERANCE_S:
        return None
    row.state = (State.VOID if times.began is None else State.SETTLED).value
    row.began, row.ended = times.began, times.ended
    if abs(charged - counted) <= TOLERANCE_S:
        return None
    return Difference(session=row.session, user=row.user, job=row.job, found=now, charged_s=charged, counted_s=counted)
