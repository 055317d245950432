"""How values are written on pages. Pure."""

from __future__ import annotations

import datetime as dt

from phrases import N_

WORDS = {
    "wish": N_("asked for"),
    "reserved": N_("asked for"),
    "submitting": N_("handing in"),
    "queued": N_("waiting"),
    "starting": N_("starting"),
    "running": N_("running"),
    "ending": N_("ending"),
    "ended": N_("over"),
    "clean": N_("clean"),
    "ended-not-inspected": N_("ended, not inspected"),
    "residue": N_("something was left"),
    "unreadable": N_("unreadable"),
    "refuse": N_("refused"),
    "banner": N_("let pass with a notice"),
}
"""What stands for the program's own words; anything else stands as it is."""

SCOPES = (("group", N_("a group")), ("person", N_("one person")), ("everyone", N_("everyone")))
KINDS = (
    ("sessions", N_("sessions at once")),
    ("gpus", N_("GPUs at once")),
    ("hours", N_("hours a session")),
    ("gpu-hours", N_("GPU-hours in a window")),
    ("opening", N_("opening hours")),
    ("destinations", N_("destinations allowed")),
)
WINDOWS = (("day", N_("24 hours")), ("week", N_("7 days")), ("month", N_("30 days")))
SUMS = (("user", N_("person")), ("group", N_("group")), ("resource-group", N_("resource group")))
"""What stands in the choices of forms."""

NOTHING = "–"


def moment(when: float | str | None, zone: dt.tzinfo) -> str:
    """A time as people write it, to the minute, by the clock of `zone`: seconds since the epoch, or ISO 8601."""
    if when is None:
        return NOTHING
    try:
        then = dt.datetime.fromisoformat(when) if isinstance(when, str) else dt.datetime.fromtimestamp(when, dt.UTC)
        return then.astimezone(zone).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return NOTHING


def number(value: float | None) -> str:
    """A number with at most one decimal."""
    return NOTHING if value is None else f"{value:.1f}".removesuffix(".0")


def share(value: float | None) -> str:
    """A share of 1 in percent."""
    return NOTHING if value is None else f"{100 * value:.0f} %"
