"""Opening hours: when sessions may begin, by weekday and the clock of the site's time zone. Pure."""

from __future__ import annotations

import datetime as dt
import re

import msgspec

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TEXT = re.compile(r"([a-z]{3})(?:-([a-z]{3}))? (\d{2}):(\d{2})-(\d{2}):(\d{2})", re.ASCII)
_DAY_MINUTES = 24 * 60


class Opening(msgspec.Struct, frozen=True, order=True):
    """Open on these weekdays between two minutes of the day; where `closes` is not after `opens`, it closes on the day after."""

    days: tuple[int, ...]
    """0 is Monday, as in `datetime.weekday`."""
    opens: int
    """Minutes since midnight, 0 to 1439."""
    closes: int
    """Minutes since midnight, 1 to 1440."""

    @property
    def text(self) -> str:
        """As `parse` reads it."""
        clock = f"{self.opens // 60:02}:{self.opens % 60:02}-{self.closes // 60:02}:{self.closes % 60:02}"
        first, last = DAYS[self.days[0]], DAYS[self.days[-1]]
        return f"{first} {clock}" if len(self.days) == 1 else f"{first}-{last} {clock}"


def parse(text: str) -> tuple[Opening, ...]:
    """Opening hours written as `mon-fri 08:00-20:00, sat 09:00-13:00`; `fri 22:00-06:00` ends on Saturday.

    Raises ValueError with a sentence for whoever typed it.
    """
    found = []
    for part in text.split(","):
        match = _TEXT.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"expected hours like mon-fri 08:00-20:00, not {part.strip()[:60]!r}")
        first, last = match[1], match[2] or match[1]
        if first not in DAYS or last not in DAYS:
            raise ValueError(f"expected days of {', '.join(DAYS)}, not {part.strip()[:60]!r}")
        begin, end = DAYS.index(first), DAYS.index(last)
        if end < begin:
            raise ValueError(f"the first day comes after the last in {part.strip()[:60]!r}")
        opens, closes = int(match[3]) * 60 + int(match[4]), int(match[5]) * 60 + int(match[6])
        if int(match[4]) > 59 or int(match[6]) > 59 or opens >= _DAY_MINUTES or not 0 < closes <= _DAY_MINUTES or opens == closes:
            raise ValueError(f"expected times of the day, 00:00 to 24:00, not {part.strip()[:60]!r}")
        found.append(Opening(tuple(range(begin, end + 1)), opens, closes))
    return tuple(found)


def text_of(openings: tuple[Opening, ...]) -> str:
    """`openings` as `parse` reads them."""
    return ", ".join(each.text for each in openings)


def closes_at(openings: tuple[Opening, ...], now: float, zone: dt.tzinfo) -> float | None:
    """When the hours that are open at `now` end (seconds since the epoch), those that follow at once included; None: closed."""
    spans = _spans(openings, now, zone)
    end = max((until for since, until in spans if since <= now < until), default=None)
    while end is not None:
        later = max((until for since, until in spans if since <= end < until), default=end)
        if later == end:
            return end
        end = later
    return None


def opens_at(openings: tuple[Opening, ...], now: float, zone: dt.tzinfo) -> float | None:
    """The first moment, not before `now`, when it is open (seconds since the epoch); None where it never is."""
    return min((max(since, now) for since, until in _spans(openings, now, zone) if until > now), default=None)


def _spans(openings: tuple[Opening, ...], now: float, zone: dt.tzinfo) -> list[tuple[float, float]]:
    """Every opening from the day before `now` to the eighth after it, by the zone's own clock."""
    today = dt.datetime.fromtimestamp(now, zone).date()
    spans = []
    for day in (today + dt.timedelta(days=number) for number in range(-1, 9)):
        for each in openings:
            if day.weekday() in each.days:
                closes = each.closes if each.closes > each.opens else each.closes + _DAY_MINUTES
                spans.append((_moment(day, each.opens, zone), _moment(day, closes, zone)))
    return spans


def _moment(day: dt.date, minutes: int, zone: dt.tzinfo) -> float:
    midnight = dt.datetime.combine(day + dt.timedelta(days=minutes // _DAY_MINUTES), dt.time())
    return (midnight + dt.timedelta(minutes=minutes % _DAY_MINUTES)).replace(tzinfo=zone).timestamp()
