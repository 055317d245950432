"""Rules, refusals and what is left, as people read them."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping

from phrases import N_, translator
from spawner.quota.opening import Opening
from spawner.quota.policy import Kind, Refused, Rule, Scope, Standing, When, Window

WHOM: dict[tuple[Scope, bool], str] = {
    (Scope.EVERYONE, False): N_("everyone"),
    (Scope.EVERYONE, True): N_("everyone together"),
    (Scope.GROUP, False): N_("each member of the group {name}"),
    (Scope.GROUP, True): N_("the group {name} together"),
    (Scope.PERSON, False): N_("{name} alone"),
    (Scope.PERSON, True): N_("{name} alone"),
}
"""Whom a rule covers, and whether all of them share its limit."""

LIMITS: dict[Kind, str] = {
    Kind.SESSIONS: N_("at most {limit} sessions at once"),
    Kind.GPUS: N_("at most {limit} GPUs at once"),
    Kind.HOURS: N_("at most {limit} hours a session"),
    Kind.OPENING: N_("sessions begin {hours}"),
    Kind.DESTINATIONS: N_("cloud destinations: {names}"),
}
GPU_HOURS: dict[Window, str] = {
    Window.DAY: N_("at most {limit} GPU-hours in 24 hours"),
    Window.WEEK: N_("at most {limit} GPU-hours in 7 days"),
    Window.MONTH: N_("at most {limit} GPU-hours in 30 days"),
}
HERE = N_("{limit}, on {resource_group}")

DAYS = (N_("Monday"), N_("Tuesday"), N_("Wednesday"), N_("Thursday"), N_("Friday"), N_("Saturday"), N_("Sunday"))
ONE_DAY = N_("{day} {opens} to {closes}")
SOME_DAYS = N_("{first} to {last} {opens} to {closes}")

REFUSED = N_("The rule for {whom} ({rule}) does not allow this: {left} left, {wanted} asked for; {when}.")
CLOSED = N_("The rule for {whom} ({rule}) does not allow this; {when}.")
WHEN: dict[When, str] = {
    When.AT: N_("it fits again by {time}, if nothing else begins"),
    When.AFTER_WAITING: N_("it fits again when a session that is waiting or ending is over"),
    When.NEVER: N_("it can't fit as it is"),
}
LEFT = N_("{left} left of: {rule} ({whom})")
ONLY = N_("{rule} ({whom})")

Labels = Mapping[str, str]
"""Names of resource groups and destinations as the site shows them; a name that is missing is shown itself."""


def whom(rule: Rule, language: str) -> str:
    """Whom `rule` covers."""
    return translator(language)(WHOM[rule.scope, rule.shared]).format(name=rule.subject)


def limit(rule: Rule, language: str, labels: Labels | None = None) -> str:
    """What `rule` says, without whom it covers."""
    tell, known = translator(language), labels or {}
    text = GPU_HOURS[rule.window] if rule.window is not None else LIMITS[rule.kind]
    told = tell(text).format(
        limit=f"{rule.limit:g}",
        hours=_listed([_opening(each, language) for each in rule.openings], language),
        names=_listed([known.get(name, name) for name in rule.destinations], language),
    )
    where = rule.resource_group
    return tell(HERE).format(limit=told, resource_group=known.get(where, where)) if where else told


def refusal(refused: Refused, language: str, now: float, zone: dt.tzinfo, labels: Labels | None = None) -> str:
    """Which rule, how much of it is left, and when the wish will fit: one sentence."""
    tell, rule = translator(language), refused.rule
    when = tell(WHEN[refused.when]).format(time=_clock(refused.fits_at, now, zone) if refused.fits_at is not None else "")
    text = CLOSED if rule.kind in {Kind.OPENING, Kind.DESTINATIONS} else REFUSED
    return tell(text).format(
        whom=whom(rule, language),
        rule=limit(rule, language, labels),
        left=_down(refused.left),
        wanted=f"{refused.wanted:g}",
        when=when,
    )


def standing(each: Standing, language: str, labels: Labels | None = None) -> str:
    """One line: what is left of a rule."""
    counted = each.rule.kind in {Kind.SESSIONS, Kind.GPUS, Kind.GPU_HOURS}
    return translator(language)(LEFT if counted else ONLY).format(
        left=_down(each.left), rule=limit(each.rule, language, labels), whom=whom(each.rule, language)
    )


def _opening(each: Opening, language: str) -> str:
    tell = translator(language)
    clock = {"opens": f"{each.opens // 60:02}:{each.opens % 60:02}", "closes": f"{each.closes // 60:02}:{each.closes % 60:02}"}
    if len(each.days) == 1:
        return tell(ONE_DAY).format(day=tell(DAYS[each.days[0]]), **clock)
    return tell(SOME_DAYS).format(first=tell(DAYS[each.days[0]]), last=tell(DAYS[each.days[-1]]), **clock)


def _listed(parts: list[str], language: str) -> str:
    return ("、" if language == "ja" else ", ").join(parts)


def _down(number: float) -> str:
    """With one digit at most, and never more than there is."""
    return f"{math.floor(number * 10 + 1e-6) / 10:g}"


def _clock(moment: float, now: float, zone: dt.tzinfo) -> str:
    """The first whole minute when it is so, by the site's clock, with its day unless that is today."""
    then = dt.datetime.fromtimestamp(math.ceil(moment / 60) * 60, zone)
    same_day = then.date() == dt.datetime.fromtimestamp(now, zone).date()
    return then.strftime("%H:%M" if same_day else "%Y-%m-%d %H:%M")
