"""What the rules say of a wish: allowed, or which rule forbids it, how much it leaves, and when the wish will fit. Pure.

Every rule that covers a wish has to allow it, so the tightest one wins. Times are seconds since the epoch (UTC).
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Iterable, Sequence

import msgspec

from spawner.quota.opening import Opening, closes_at, opens_at

HOUR_S = 3600.0


class Scope(enum.StrEnum):
    """Whom a rule covers."""

    EVERYONE = "everyone"
    GROUP = "group"
    """Members of a group of the hub."""
    PERSON = "person"


class Kind(enum.StrEnum):
    """What a rule limits."""

    SESSIONS = "sessions"
    """At once, those that wait in the queue too."""
    GPUS = "gpus"
    """At once, those of sessions that wait in the queue too."""
    HOURS = "hours"
    """Of one session."""
    GPU_HOURS = "gpu-hours"
    """In a rolling window."""
    OPENING = "opening"
    """When sessions may begin."""
    DESTINATIONS = "destinations"
    """Where a session's cloud area may be."""


class Window(enum.StrEnum):
    """How far back a limit of GPU-hours looks."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"

    @property
    def seconds(self) -> float:
        """Its length; a month is 30 days."""
        return _SECONDS[self]


_SECONDS = {Window.DAY: 24 * HOUR_S, Window.WEEK: 7 * 24 * HOUR_S, Window.MONTH: 30 * 24 * HOUR_S}


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One limit. `id` 0 is a rule that nobody has written down yet."""

    id: int = 0
    scope: Scope
    subject: str = ""
    """Name of the group or person; empty for everyone."""
    resource_group: str = ""
    """Only wishes for this one, and only what was used there; empty: all of them."""
    kind: Kind
    limit: float = 0.0
    """Sessions, GPUs, hours or GPU-hours."""
    window: Window | None = None
    """With GPU-hours, and only with them."""
    openings: tuple[Opening, ...] = ()
    destinations: tuple[str, ...] = ()
    shared: bool = False
    """One limit for all whom the rule covers together, instead of one for each of them."""

    def covers(self, user: str, groups: Sequence[str], resource_group: str) -> bool:
        """Whether it speaks of what `user`, a member of `groups`, does in `resource_group`."""
        if self.resource_group and self.resource_group != resource_group:
            return False
        if self.scope is Scope.EVERYONE:
            return True
        return self.subject == user if self.scope is Scope.PERSON else self.subject in groups


class Exemption(msgspec.Struct, frozen=True, kw_only=True):
    """An exception for one person with an end: until then a rule does not bind them, or binds them with another limit."""

    id: int = 0
    rule: int
    user: str
    until: float
    limit: float | None = None
    """Stands in the place of the rule's own; None: the rule does not bind them at all."""
    note: str = ""
    """Why; for administrators."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a start asks for, after its options were checked."""

    session: str
    user: str
    groups: tuple[str, ...] = ()
    resource_group: str
    destination: str
    gpus: int
    hours: float
    at: float
    """When it is asked."""

    @property
    def gpu_hours(self) -> float:
        """What it may use in the end."""
        return self.gpus * self.hours


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """What one session holds, or has used."""

    session: str
    user: str
    groups: tuple[str, ...] = ()
    """Those of the person when it was reserved."""
    resource_group: str
    destination: str = ""
    gpus: int
    hours: float
    """As reserved."""
    at: float
    """When it was reserved."""
    began: float | None = None
    """When its job started; None while it waits in the queue."""
    ended: float | None = None
    """None while it is not over."""

    @property
    def until(self) -> float | None:
        """When it is over at the latest; None while it waits in the queue."""
        if self.ended is not None or self.began is None:
            return self.ended
        return self.began + self.hours * HOUR_S

    def gpu_hours(self, since: float) -> float:
        """What it uses after `since`, all that is reserved for it included as long as it is not over."""
        if self.until is None:
            return self.gpus * self.hours
        began = self.until if self.began is None else self.began
        return self.gpus * max(0.0, self.until - max(began, since)) / HOUR_S


class When(enum.StrEnum):
    """How a refused wish comes to fit, if nothing else is asked for meanwhile."""

    AT = "at"
    """By itself, at a time that is known."""
    AFTER_WAITING = "after-waiting"
    """Once a session is over of which nobody knows when that will be: it waits in the queue, or its end was not seen."""
    NEVER = "never"
    """Only as another wish."""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Which rule forbids a wish, how much it leaves, and when the same wish will fit."""

    rule: Rule
    """With the limit that counts for this person: an exception's, where there is one."""
    left: float
    """Of the rule's own unit; of opening hours and destinations nothing."""
    wanted: float
    when: When
    fits_at: float | None = None
    """With `When.AT`: at the latest then this rule allows it, if nothing else begins."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a person stands with one rule."""

    rule: Rule
    """With the limit that counts for this person: an exception's, where there is one."""
    used: float
    left: float
    exempt_until: float | None = None
    """There is an exception for this person, and it ends then."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """All rules and exceptions of a site whose clock shows `zone`."""

    rules: tuple[Rule, ...]
    exemptions: tuple[Exemption, ...] = ()
    zone: dt.tzinfo

    def verdict(self, wish: Wish, usage: Sequence[Charge], now: float) -> Refused | None:
        """None where every rule allows `wish`; else the tightest of those that don't: the one that holds it up longest.

        `usage` is what the person's other sessions, and under shared rules everybody's, hold and have used; the wish's own charge
        does not count against it.
        """
        others = [_overdue(each, now) for each in usage if each.session != wish.session]
        refusals = [
            refused
            for rule in self.binding(wish.user, wish.groups, now)
            if rule.covers(wish.user, wish.groups, wish.resource_group)
            and (refused := _judge(wish, rule, _counted(rule, wish.user, others), now, self.zone)) is not None
        ]
        return max(refusals, key=_tightness, default=None)

    def standing(self, user: str, groups: Sequence[str], usage: Sequence[Charge], now: float) -> tuple[Standing, ...]:
        """How `user`, a member of `groups`, stands with every rule that binds them, least left of its limit first."""
        exempt = {each.rule: each.until for each in self.exemptions if each.user == user and each.until > now}
        known = [_overdue(each, now) for each in usage]
        found = []
        for rule in self.binding(user, groups, now):
            used = _used(rule, _counted(rule, user, known), now)
            left = max(0.0, rule.limit - used)
            if rule.kind is Kind.OPENING:
                left = max(0.0, ((closes_at(rule.openings, now, self.zone) or now) - now) / HOUR_S)
            found.append(Standing(rule=rule, used=used, left=left, exempt_until=exempt.get(rule.id)))
        return tuple(sorted(found, key=lambda each: each.left / each.rule.limit if each.rule.limit > 0 else each.left))

    def binding(self, user: str, groups: Sequence[str], now: float) -> list[Rule]:
        """The rules that bind `user` somewhere, each with the limit that counts for them: the kindest of several exceptions."""
        exempt: dict[int, list[float | None]] = {}
        for each in self.exemptions:
            if each.user == user and each.until > now:
                exempt.setdefault(each.rule, []).append(each.limit)
        found = []
        for rule in self.rules:
            limits = exempt.get(rule.id, []) if rule.id else []
            if rule.covers(user, groups, rule.resource_group) and None not in limits:
                limit = max(rule.limit, *(each for each in limits if each is not None)) if limits else rule.limit
                found.append(msgspec.structs.replace(rule, limit=limit))
        return found


def longest_window(rules: Iterable[Rule]) -> float:
    """Seconds that `rules` look back; 0 where none does."""
    return max((rule.window.seconds for rule in rules if rule.window is not None), default=0.0)


def _counted(rule: Rule, user: str, usage: Iterable[Charge]) -> list[Charge]:
    """What of `usage` counts against `rule` for `user`."""
    return [
        each
        for each in usage
        if (each.user == user and (not rule.resource_group or rule.resource_group == each.resource_group))
        or (rule.shared and rule.covers(each.user, each.groups, each.resource_group))
    ]


def _used(rule: Rule, counted: Sequence[Charge], at: float) -> float:
    """What `counted` holds of `rule` at the moment `at`, if nothing else begins; it never grows with `at`."""
    if rule.kind is Kind.SESSIONS:
        return float(sum(_holds(each, at) for each in counted))
    if rule.kind is Kind.GPUS:
        return float(sum(each.gpus for each in counted if _holds(each, at)))
    if rule.kind is Kind.GPU_HOURS and rule.window is not None:
        return sum(each.gpu_hours(at - rule.window.seconds) for each in counted)
    return 0.0


def _overdue(charge: Charge, now: float) -> Charge:
    """A session whose time is up and whose end nobody has seen goes on holding what it holds, nobody knows how long."""
    late = charge.ended is None and charge.until is not None and charge.until <= now
    return msgspec.structs.replace(charge, began=None) if late else charge


def _holds(charge: Charge, at: float) -> bool:
    return charge.ended is None and (charge.until is None or charge.until > at)


def _judge(wish: Wish, rule: Rule, counted: Sequence[Charge], now: float, zone: dt.tzinfo) -> Refused | None:
    if rule.kind is Kind.OPENING:
        if closes_at(rule.openings, now, zone) is not None:
            return None
        opens = opens_at(rule.openings, now, zone)
        when = When.NEVER if opens is None else When.AT
        return Refused(rule=rule, left=0.0, wanted=wish.hours, when=when, fits_at=opens)
    if rule.kind is Kind.DESTINATIONS:
        allowed = wish.destination in rule.destinations
        return None if allowed else Refused(rule=rule, left=0.0, wanted=1.0, when=When.NEVER)
    wanted = {
        Kind.SESSIONS: 1.0,
        Kind.GPUS: float(wish.gpus),
        Kind.HOURS: wish.hours,
        Kind.GPU_HOURS: wish.gpu_hours,
    }[rule.kind]
    # A wish without GPUs takes nothing of them, even where others have taken more than there is.
    if wanted == 0 or _fits(wanted, _used(rule, counted, now), rule.limit):
        return None
    when, fits_at = _when(rule, wanted, counted, now)
    left = max(0.0, rule.limit - _used(rule, counted, now))
    return Refused(rule=rule, left=left, wanted=wanted, when=when, fits_at=fits_at)


def _fits(wanted: float, used: float, limit: float) -> bool:
    """A millionth of leeway, a few milliseconds of a GPU-hour, so that sums of fractions are not refused for their last digit."""
    return wanted + used <= limit + 1e-6


def _when(rule: Rule, wanted: float, counted: Sequence[Charge], now: float) -> tuple[When, float | None]:
    """When `wanted` fits below `limit`, if nothing else begins: exact, because what is held only falls, along straight lines."""
    if wanted > rule.limit + 1e-6:
        return When.NEVER, None
    bends = sorted(bend for charge in counted for bend in _bends(rule, charge) if bend > now)
    before = now
    for bend in bends:
        if _fits(wanted, _used(rule, counted, bend), rule.limit):
            return When.AT, bend if rule.window is None else _crossing(rule, counted, rule.limit - wanted, before, bend)
        before = bend
    return When.AFTER_WAITING, None


def _bends(rule: Rule, charge: Charge) -> tuple[float, ...]:
    """The moments where the line of what `charge` holds of `rule` bends or steps."""
    if charge.until is None:
        return ()
    if rule.window is None:
        return (charge.until,)
    began = charge.until if charge.began is None else charge.began
    return (began + rule.window.seconds, charge.until + rule.window.seconds)


def _crossing(rule: Rule, counted: Sequence[Charge], goal: float, before: float, after: float) -> float:
    """When the straight line of what is used falls to `goal`, between two bends of it."""
    high, low = _used(rule, counted, before), _used(rule, counted, after)
    return after if high <= low else before + (after - before) * min(1.0, max(0.0, (high - goal) / (high - low)))


def _tightness(refused: Refused) -> tuple[int, float, float]:
    order = {When.AT: 0, When.AFTER_WAITING: 1, When.NEVER: 2}[refused.when]
    return order, refused.fits_at or 0.0, refused.wanted - refused.left
