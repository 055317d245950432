"""Rules and exceptions, each with what it would have refused, or spared, in the last month."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import msgspec
from msgspec import Meta

from phrases import N_
from spawner.console.access import Caller
from spawner.console.errors import ConsoleError
from spawner.console.office import Office
from spawner.console.people import END, GROUP, PERSON, Member
from spawner.quota import opening
from spawner.quota.ledger import Preview, State, preview
from spawner.quota.policy import Exemption, Kind, Policy, Rule, Scope, Window, longest_window
from spawner.quota.rulebook import BadRuleError, checked

MONTH_S = 30 * 86_400.0
LONGEST = dt.timedelta(days=366)

BAD_OPENINGS = N_("Opening hours are written like mon-fri 08:00-20:00, sat 09:00-13:00.")
NO_RULE = N_("There is no such rule any more.")
NO_EXCEPTION = N_("There is no such exception, or it has ended.")
BAD_END = N_("The last day of an exception is today or later, within a year.")
NO_PLACE = N_("There is no such resource group or destination in the site file.")

SENTENCES = (
    N_("A rule for a group or a person needs its name, and a rule for everyone has none."),
    N_("A limit is a number from 0; of sessions and GPUs a whole one."),
    N_("A limit of GPU-hours needs its window, and no other limit has one."),
    N_("A rule about opening hours needs them, and no other rule has them."),
    N_("Only a rule about destinations names some."),
    N_("A destination is named as in the site file."),
    N_("Only sessions, GPUs and GPU-hours can be shared."),
    N_("An exception has a higher limit than its rule, or none."),
    N_("An exception needs a person, and its note is one line."),
)
"""What the rulebook says of a rule that makes no sense."""

Name = Annotated[str, Meta(max_length=64, pattern=rf"^({GROUP}|{PERSON})?{END}")]
Word = Annotated[str, Meta(max_length=31, pattern=rf"^[a-z0-9-]*{END}")]


class RuleWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One limit, as it is to be."""

    scope: Scope
    subject: Name = ""
    """The group or person; empty for everyone."""
    resource_group: Word = ""
    """Empty: all of them."""
    kind: Kind
    limit: Annotated[float, Meta(ge=0, lt=1e9)] = 0.0
    """Sessions, GPUs, hours or GPU-hours."""
    window: Window | None = None
    """With GPU-hours, and only with them."""
    openings: Annotated[str, Meta(max_length=500)] = ""
    """`mon-fri 08:00-20:00, sat 09:00-13:00`, by the hub's clock; with opening hours, and only with them."""
    destinations: Annotated[tuple[Word, ...], Meta(max_length=32)] = ()
    shared: bool = False
    """One limit for all whom it covers together."""


class RuleView(RuleWish, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule that is in force."""

    id: int


class RuleList(msgspec.Struct, frozen=True, kw_only=True):
    """Every rule."""

    rules: tuple[RuleView, ...]


class ExceptionWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An exception from one rule for one person."""

    rule: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    person: Annotated[str, Meta(pattern=rf"^{PERSON}{END}")]
    last_day: dt.date
    """By the hub's clock; it ends with that day."""
    limit: Annotated[float, Meta(ge=0, lt=1e9)] | None = None
    """In the place of the rule's own; null: the rule does not bind them at all."""
    note: Annotated[str, Meta(max_length=255, pattern=rf"^[^\x00-\x1f\x7f]*{END}")] = ""


class ExceptionView(msgspec.Struct, frozen=True, kw_only=True):
    """An exception that is in force."""

    id: int
    rule: int
    person: str
    until: float
    limit: float | None
    note: str


class ExceptionList(msgspec.Struct, frozen=True, kw_only=True):
    """Every exception that is in force."""

    exceptions: tuple[ExceptionView, ...]


class WouldRefuse(msgspec.Struct, frozen=True, kw_only=True):
    """One session of the last month."""

    session: str
    user: str
    at: float
    resource_group: str
    gpus: int
    hours: float
    left: float
    wanted: float
    fits_at: float | None


class PreviewView(msgspec.Struct, frozen=True, kw_only=True):
    """What would have been refused in the last 30 days, of how many sessions."""

    refused: tuple[WouldRefuse, ...]
    sessions: int


def rule_of(wish: RuleWish, number: int = 0) -> Rule:
    """The rule that `wish` describes, whether it makes sense or not. Raises ConsoleError where its opening hours are none."""
    try:
        openings = opening.parse(wish.openings) if wish.openings else ()
    except ValueError as error:
        raise ConsoleError(400, BAD_OPENINGS, str(error)) from error
    return Rule(
        id=number,
        scope=wish.scope,
        subject=wish.subject,
        resource_group=wish.resource_group,
        kind=wish.kind,
        limit=wish.limit,
        window=wish.window,
        openings=openings,
        destinations=wish.destinations,
        shared=wish.shared,
    )


def wished(office: Office, wish: RuleWish, number: int = 0) -> Rule:
    """The rule that `wish` describes. Raises ConsoleError where it makes no sense at this site."""
    site = office.site
    if (wish.resource_group and site.group(wish.resource_group) is None) or any(
        site.find_destination(name) is None for name in wish.destinations
    ):
        raise ConsoleError(400, NO_PLACE)
    try:
        return checked(rule_of(wish, number))
    except BadRuleError as error:
        raise ConsoleError(400, str(error)) from error


def seen(rule: Rule) -> RuleView:
    """`rule` as it is shown."""
    return RuleView(
        id=rule.id,
        scope=rule.scope,
        subject=rule.subject,
        resource_group=rule.resource_group,
        kind=rule.kind,
        limit=rule.limit,
        window=rule.window,
        openings=opening.text_of(rule.openings),
        destinations=rule.destinations,
        shared=rule.shared,
    )


async def rules(office: Office) -> RuleList:
    """Every rule."""
    found = await office.blocking(office.ledger.rules)
    return RuleList(rules=tuple(seen(rule) for rule in found))


async def find(office: Office, number: int) -> Rule:
    """The rule `number`. Raises ConsoleError."""
    found = next((rule for rule in await office.blocking(office.ledger.rules) if rule.id == number), None)
    if found is None:
        raise ConsoleError(404, NO_RULE)
    return found


async def write(office: Office, caller: Caller, wish: RuleWish, number: int = 0) -> RuleView:
    """Write a new rule, or put another in the place of `number`. Raises ConsoleError."""
    rule = wished(office, wish, number)
    if number:
        await find(office, number)
    await office.record("rule-set", caller.name, rule=number, **_written(rule))
    try:
        return seen(await office.blocking(lambda: office.ledger.set_rule(rule)))
    except BadRuleError as error:
        raise ConsoleError(404, NO_RULE, str(error)) from error


async def remove(office: Office, caller: Caller, number: int) -> None:
    """Take a rule away, and its exceptions with it. Raises ConsoleError."""
    rule = await find(office, number)
    await office.record("rule-removed", caller.name, rule=number, **_written(rule))
    await office.blocking(lambda: office.ledger.remove_rule(number))


def _written(rule: Rule) -> dict[str, str | float | bool]:
    """What the audit says of `rule`."""
    return {
        "scope": str(rule.scope),
        "subject": rule.subject,
        "resource_group": rule.resource_group,
        "kind": str(rule.kind),
        "limit": rule.limit,
        "window": str(rule.window or ""),
        "openings": opening.text_of(rule.openings),
        "destinations": " ".join(rule.destinations),
        "shared": rule.shared,
    }


async def exceptions(office: Office) -> ExceptionList:
    """Every exception that is in force."""
    now = office.now()
    found = await office.blocking(lambda: office.ledger.exemptions(now))
    return ExceptionList(exceptions=tuple(_view(each) for each in found))


def _view(each: Exemption) -> ExceptionView:
    return ExceptionView(id=each.id, rule=each.rule, person=each.user, until=each.until, limit=each.limit, note=each.note)


def _exemption(office: Office, wish: ExceptionWish) -> Exemption:
    today = dt.datetime.fromtimestamp(office.now(), office.ledger.zone).date()
    if not today <= wish.last_day <= today + LONGEST:
        raise ConsoleError(400, BAD_END)
    over = dt.datetime.combine(wish.last_day + dt.timedelta(days=1), dt.time(), office.ledger.zone).timestamp()
    return Exemption(rule=wish.rule, user=wish.person, until=over, limit=wish.limit, note=wish.note)


async def grant(office: Office, caller: Caller, wish: ExceptionWish) -> ExceptionView:
    """Write an exception. Raises ConsoleError."""
    exemption = _exemption(office, wish)
    await find(office, wish.rule)
    await office.record(
        "exception-granted", caller.name, rule=wish.rule, user=wish.person, until=exemption.until, limit=wish.limit, note=wish.note
    )
    try:
        return _view(await office.blocking(lambda: office.ledger.grant_exemption(exemption)))
    except BadRuleError as error:
        raise ConsoleError(400, str(error)) from error


async def end_exception(office: Office, caller: Caller, number: int) -> None:
    """Let an exception end now. Raises ConsoleError."""
    now = office.now()
    if number not in {each.id for each in (await exceptions(office)).exceptions}:
        raise ConsoleError(404, NO_EXCEPTION)
    await office.record("exception-ended", caller.name, exception=number)
    await office.blocking(lambda: office.ledger.end_exemption(number, now))


async def preview_rule(office: Office, wish: RuleWish) -> PreviewView:
    """What the rule alone would have refused in the last 30 days. Raises ConsoleError."""
    return await _preview(office, (wished(office, wish),))


async def preview_exception(office: Office, wish: ExceptionWish) -> PreviewView:
    """What the rule alone would have refused of the person's last 30 days and the exception let be. Raises ConsoleError."""
    _exemption(office, wish)
    rule = await find(office, wish.rule)
    without = await _preview(office, (rule,), wish.person)
    kept = () if wish.limit is None else (msgspec.structs.replace(rule, limit=wish.limit),)
    still = {each.session for each in (await _preview(office, kept, wish.person)).refused}
    return PreviewView(refused=tuple(each for each in without.refused if each.session not in still), sessions=without.sessions)


async def preview_member(office: Office, group: str, member: Member) -> PreviewView:
    """What the group's rules would have refused of the person's last 30 days, had they been in it. Raises ConsoleError."""
    every = await office.blocking(office.ledger.rules)
    of_group = tuple(rule for rule in every if rule.scope is Scope.GROUP and rule.subject == group)
    return await _preview(office, of_group, member.person, group)


async def _preview(office: Office, of: tuple[Rule, ...], person: str = "", group: str = "") -> PreviewView:
    now = office.now()
    since = now - MONTH_S
    entries = await office.blocking(lambda: office.ledger.charges(since - longest_window(of)))
    past = [each.charge for each in entries if each.state is not State.VOID]
    if group:
        past = [msgspec.structs.replace(each, groups=(*each.groups, group)) if each.user == person else each for each in past]
    found = preview(Policy(rules=of, zone=office.ledger.zone), past, since, now)
    ours = [each for each in found if person in {"", each.charge.user}]
    asked = sum(each.at >= since and person in {"", each.user} for each in past)
    return PreviewView(refused=tuple(_would(each) for each in ours), sessions=asked)


def _would(each: Preview) -> WouldRefuse:
    charge, refused = each.charge, each.refused
    return WouldRefuse(
        session=charge.session,
        user=charge.user,
        at=charge.at,
        resource_group=charge.resource_group,
        gpus=charge.gpus,
        hours=charge.hours,
        left=refused.left,
        wanted=refused.wanted,
        fits_at=refused.fits_at,
    )
