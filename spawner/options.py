"""What a person may ask for: form data or REST body in, one checked `Request` out.

Pure. Options are hostile wherever they come from - the form, the REST API, a remembered choice - so they are checked where
they take effect, and only the five values of a `Request` ever go further.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from enclave.messages import Reason
from phrases import LANGUAGES
from spawner.authority.protocol import Account
from spawner.capacity import Free
from spawner.site import ResourceGroup, Site

FIELDS = ("resource_group", "destination", "gpus", "hours", "language")


class OptionsError(Exception):
    """These options can't become a session. The text is for the log; `reason` picks the person's sentence."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What one person asks for, checked against the site and against their accounts."""

    resource_group: str
    destination: str
    gpus: int
    hours: float
    language: str


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What the form offers in one resource group: only what can work for this person."""

    group: ResourceGroup
    destinations: tuple[str, ...]


class _Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The shape of options; whatever is left out takes the first choice that the site offers."""

    resource_group: Annotated[str, Meta(max_length=64)] | None = None
    destination: Annotated[str, Meta(max_length=64)] | None = None
    gpus: Annotated[int, Meta(ge=0, le=64)] | None = None
    hours: Annotated[float, Meta(gt=0, le=720)] | None = None
    language: Annotated[str, Meta(pattern=r"^(ja|en)\Z")] | None = None


def from_form(form: Mapping[str, Sequence[object]]) -> dict[str, object]:
    """The options in an HTML form's data (name → values): the fields of a `Request`, numbers read where they are numbers.

    Nothing is checked here: what is no number stays text, and `check` refuses it.
    """
    options: dict[str, object] = {}
    for name in FIELDS:
        values = form.get(name, ())
        if len(values) == 1 and values[0] != "":
            options[name] = _number(values[0]) if name in {"gpus", "hours"} else values[0]
    return options


def check(options: object, site: Site, accounts: Sequence[Account], free: Mapping[str, Free] | None = None) -> Request:
    """The request that `options` make, for a person who has `accounts` at the destinations.

    `free` is what is known of resource groups: what no node of theirs could ever serve is not offered either.

    Raises OptionsError: BAD_OPTIONS when they are anything but a choice that the site offers, NO_CLOUD_ACCOUNT when the
    person has no account where they want to go (or, having named no destination, nowhere).
    """
    try:
        asked = msgspec.convert(options, _Options)
    except msgspec.ValidationError as error:
        raise OptionsError(Reason.BAD_OPTIONS, str(error)) from error
    group = site.group(asked.resource_group) if asked.resource_group else _first_group(site, asked.destination, accounts)
    if group is None:
        raise OptionsError(Reason.BAD_OPTIONS, f"no resource group {asked.resource_group!r}")
    if asked.destination is not None and asked.destination not in group.destinations:
        raise OptionsError(Reason.BAD_OPTIONS, f"no destination {asked.destination!r} in {group.name}")
    reachable = destinations(group, accounts)
    destination = asked.destination if asked.destination is not None else next(iter(reachable), None)
    if destination is None or destination not in reachable:
        raise OptionsError(Reason.NO_CLOUD_ACCOUNT, f"no account at {destination or ', '.join(group.destinations)}")
    known = (free or {}).get(group.name)
    all_gpus, all_hours = (group.gpus, group.hours) if known is None else (known.possible, known.hours)
    gpus = next(iter(all_gpus), None) if asked.gpus is None else asked.gpus
    hours = next(iter(all_hours), 0.0) if asked.hours is None else asked.hours
    if gpus is None or gpus not in all_gpus:
        raise OptionsError(Reason.BAD_OPTIONS, f"{gpus} GPUs are not offered in {group.name}")
    if hours not in all_hours:
        raise OptionsError(Reason.BAD_OPTIONS, f"{hours:g} hours are not offered in {group.name}")
    return Request(
        resource_group=group.name,
        destination=destination,
        gpus=gpus,
        hours=hours,
        language=asked.language or site.hub.default_language,
    )


def ask_for(options: object, request: Request) -> bool:
    """Whether `options`, as far as they say anything, ask for what `request` is; the language does not matter."""
    try:
        asked = msgspec.convert(options, _Options)
    except msgspec.ValidationError:
        return False
    same = ((asked.resource_group, request.resource_group), (asked.destination, request.destination),
            (asked.gpus, request.gpus), (asked.hours, request.hours))  # fmt: skip
    return all(wanted in {None, there} for wanted, there in same)


def choices(site: Site, accounts: Sequence[Account]) -> tuple[Choices, ...]:
    """What the form offers a person with `accounts`; groups from which none of their destinations is reached are left out."""
    offered = (Choices(group=group, destinations=destinations(group, accounts)) for group in site.resource_group)
    return tuple(each for each in offered if each.destinations)


def destinations(group: ResourceGroup, accounts: Sequence[Account]) -> tuple[str, ...]:
    """Names of the destinations of `group` where the person has an account, in the site's order."""
    known = {account.destination for account in accounts}
    return tuple(name for name in group.destinations if name in known)


def language_of(options: object, default: str) -> str:
    """The language that `options` name, whatever else is wrong with them; for the sentence that refuses them."""
    found = options.get("language") if isinstance(options, dict) else None
    return found if isinstance(found, str) and found in LANGUAGES else default


def _first_group(site: Site, destination: str | None, accounts: Sequence[Account]) -> ResourceGroup:
    """The first group that can serve; the site's first where none can, so that the complaint is about the account."""
    for group in site.resource_group:
        if destination in destinations(group, accounts) or (destination is None and destinations(group, accounts)):
            return group
    return site.resource_group[0]


def _number(value: object) -> object:
    """`value` as a number where it is the usual decimal text of one, else as it came."""
    if not isinstance(value, str) or len(value) > 8 or not value.isascii():
        return value
    if value.isdigit():
        return int(value)
    whole, _, fraction = value.partition(".")
    return float(value) if whole.isdigit() and fraction.isdigit() else value
