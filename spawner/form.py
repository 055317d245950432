"""The form: what is free now, what the quota leaves, and the choices that can work for this person, as HTML.

What can't work is not offered: a destination without an account, more GPUs than any node has, more hours than the batch system
or the quota allows. `launch.prepare` checks the same again; the form only spares people the refusal.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

import jinja2
import msgspec

from phrases import N_, translator
from spawner.capacity import OLD_S, Free, overall
from spawner.desk import Desk
from spawner.launch import Person
from spawner.options import Choices
from spawner.quota import sentences
from spawner.quota.policy import Kind, Standing
from spawner.schedulers.watcher import Overview
from spawner.site import ResourceGroup, Site

FREE = N_("{free} of {gpus} GPUs are free now.")
ONE_SESSION = N_("One session could have up to {fits} of them at once.")
ROOM = N_("There is room now.")
FULL = N_("All nodes are in use now.")
NEXT = N_("The next is expected to be free at about {time}.")
WAITING = N_("Requests that wait: {waiting}.")
DOWN = N_("Nodes out of service: {down} of {nodes}.")
SILENT = N_("The computing centre does not say what is free just now; you can ask for a session all the same.")
AS_OF = N_("As of {time}.")
USED_UP = N_("Your quota allows no further session now. Please come back later, or ask the administrator for an exception.")
NOWHERE = N_(
    "You have no account at any of the clouds here, so no session can be started. Please ask the administrator to register you."
)


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What one resource group offers one person; no choice of it is empty."""

    group: ResourceGroup
    destinations: tuple[str, ...]
    gpus: tuple[int, ...]
    hours: tuple[float, ...]
    gpu_hours: float | None
    """What the tightest rule leaves for GPUs times hours; None where there is none. With the shortest time, all `gpus` fit."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the form is made of, besides the site."""

    choices: tuple[Choices, ...]
    """What the site offers this person by their accounts."""
    overview: Overview
    standings: tuple[Standing, ...] = ()
    """How they stand with every rule of the quota."""


def offers(choices: Sequence[Choices], free: Mapping[str, Free], standings: Sequence[Standing]) -> tuple[Offer, ...]:
    """Of `choices` those that can work: by the nodes, where anything is known of them, and by every rule of the quota."""
    found = (_offer(each, free.get(each.group.name), standings) for each in choices)
    return tuple(each for each in found if each.destinations and each.gpus and each.hours)


def _offer(choice: Choices, free: Free | None, standings: Sequence[Standing]) -> Offer:
    group = choice.group
    rules = [each for each in standings if each.rule.resource_group in {"", group.name}]
    destinations = choice.destinations
    gpus, hours = (group.gpus, group.hours) if free is None else (free.possible, free.hours)
    if any(each.left <= 0 for each in rules if each.rule.kind is Kind.OPENING):
        gpus = ()
    for each in rules:
        if each.rule.kind is Kind.DESTINATIONS:
            destinations = tuple(name for name in destinations if name in each.rule.destinations)
        elif each.rule.kind is Kind.SESSIONS and each.left < 1:
            gpus = ()
        elif each.rule.kind is Kind.GPUS:
            gpus = tuple(number for number in gpus if number <= _leeway(each))
        elif each.rule.kind is Kind.HOURS:
            hours = tuple(number for number in hours if number <= _leeway(each))
    for each in rules:
        if each.rule.kind is Kind.GPU_HOURS:
            # A choice stays while some other choice goes with it; the page's script lets only those be chosen together.
            gpus = tuple(number for number in gpus if number * min(hours, default=0) <= _leeway(each))
            hours = tuple(number for number in hours if number * min(gpus, default=0) <= _leeway(each))
    left = min((_leeway(each) for each in rules if each.rule.kind is Kind.GPU_HOURS), default=None)
    return Offer(group=group, destinations=destinations, gpus=gpus, hours=hours, gpu_hours=left)


def _leeway(standing: Standing) -> float:
    """What is left, with the leeway that the policy has for sums of fractions."""
    return standing.left + 1e-6


def news(group: ResourceGroup, free: Free | None, language: str, zone: dt.tzinfo) -> tuple[str, ...]:
    """What a person should know about `group` before they choose, in sentences."""
    tell = translator(language)
    if free is None:
        return (tell(SILENT),)
    said = []
    if any(group.gpus):
        said.append(tell(FREE).format(free=free.free, gpus=free.gpus))
        if free.fits and max(free.fits) < free.free:
            said.append(tell(ONE_SESSION).format(fits=max(free.fits)))
    else:
        said.append(tell(ROOM if free.fits else FULL))
    if free.next_free is not None and not max(free.fits, default=0):
        said.append(tell(NEXT).format(time=_clock(free.next_free, zone)))
    if free.waiting:
        said.append(tell(WAITING).format(waiting=free.waiting))
    if free.nodes_down:
        said.append(tell(DOWN).format(down=free.nodes_down, nodes=free.nodes))
    return tuple(said)


async def make(desk: Desk, choices: Sequence[Choices], person: Person, *, remembered: object, language: str) -> str:
    """The form for `person`, who has `choices`. Raises DatabaseDownError."""
    overview, standings = await asyncio.gather(desk.watcher.overview(), desk.gate.standing(person.user, person.groups))
    known = Known(choices=tuple(choices), overview=overview, standings=standings)
    return render(desk.site, known, remembered=remembered, language=language)


def render(site: Site, known: Known, *, remembered: object, language: str) -> str:
    """The form's fields as HTML, the `remembered` choice selected; the sentence alone where nothing can work."""
    choices, overview, standings = known.choices, known.overview, known.standings
    now, zone, tell = time.time(), ZoneInfo(site.hub.time_zone), translator(language)
    free = overall(site.resource_group, overview, now)
    offered = offers(choices, free, standings)
    labels = {each.name: each.label.text(language) for each in site.resource_group}
    labels |= {each.name: each.label.text(language) for each in site.destination}
    as_of = tell(AS_OF).format(time=_clock(overview.at, zone)) if free and now - overview.at > OLD_S else ""
    return _template().render(
        _=tell,
        language=language,
        offered=offered,
        news=[(each.group, news(each.group, free.get(each.group.name), language, zone)) for each in choices],
        as_of=as_of,
        quota=[sentences.standing(each, language, labels) for each in standings],
        destinations=[(each, _where(offered, "destinations", each.name)) for each in site.destination],
        gpus=[(number, _where(offered, "gpus", number)) for number in _all(each.gpus for each in offered)],
        hours=[(number, _where(offered, "hours", number)) for number in _all(each.hours for each in offered)],
        gpu_hours=json.dumps({each.group.name: each.gpu_hours for each in offered if each.gpu_hours is not None}),
        chosen=remembered if isinstance(remembered, dict) else {},
        nothing=tell(USED_UP if choices else NOWHERE),
    )


@functools.cache
def _template() -> jinja2.Template:
    """Read once: to compile it for every page would hold up everybody."""
    loader = jinja2.FileSystemLoader(Path(__file__).with_name("templates"))
    environment = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, autoescape=True)
    return environment.get_template("options_form.html")


def _all(choices: Iterable[tuple[float, ...]]) -> list[float]:
    return list(dict.fromkeys(number for each in choices for number in each))


def _where(offered: Sequence[Offer], field: str, value: object) -> str:
    """Names of the groups that offer `value`, as the page's script reads them."""
    return " ".join(each.group.name for each in offered if value in getattr(each, field))


def _clock(moment: float, zone: dt.tzinfo) -> str:
    """The hour by the site's clock, with its day unless that is today."""
    then, now = dt.datetime.fromtimestamp(moment, zone), dt.datetime.now(zone)
    return then.strftime("%H:%M" if then.date() == now.date() else "%Y-%m-%d %H:%M")
