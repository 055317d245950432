"""Opening hours: written by an administrator, kept by the site's own clock."""

from __future__ import annotations

import contextlib
import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spawner.quota.opening import Opening, closes_at, opens_at, parse, text_of

TOKYO, BERLIN = ZoneInfo("Asia/Tokyo"), ZoneInfo("Europe/Berlin")
OFFICE = parse("mon-fri 08:00-20:00, sat 09:00-13:00")


def at(text: str, zone: ZoneInfo = TOKYO) -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


@st.composite
def openings(draw) -> Opening:
    first = draw(st.integers(0, 6))
    last = draw(st.integers(first, 6))
    opens = draw(st.integers(0, 1439))
    closes = draw(st.integers(1, 1440).filter(lambda minute: minute != opens))
    return Opening(tuple(range(first, last + 1)), opens, closes)


def test_a_friday_evening_opens_on_saturday_and_a_saturday_evening_on_monday():
    assert closes_at(OFFICE, at("2026-11-27 20:30"), TOKYO) is None
    assert opens_at(OFFICE, at("2026-11-27 20:30"), TOKYO) == at("2026-11-28 09:00")
    assert opens_at(OFFICE, at("2026-11-28 13:00"), TOKYO) == at("2026-11-30 08:00")


def test_while_it_is_open_it_tells_until_when():
    assert closes_at(OFFICE, at("2026-11-27 08:00"), TOKYO) == at("2026-11-27 20:00")
    assert opens_at(OFFICE, at("2026-11-27 09:00"), TOKYO) == at("2026-11-27 09:00")


def test_a_night_ends_on_the_next_day():
    night = parse("fri 22:00-06:00")

    assert closes_at(night, at("2026-11-28 05:59"), TOKYO) == at("2026-11-28 06:00")
    assert closes_at(night, at("2026-11-27 05:59"), TOKYO) is None


def test_hours_that_follow_at_once_are_one():
    assert closes_at(parse("fri 08:00-24:00, sat 00:00-12:00"), at("2026-11-27 23:00"), TOKYO) == at("2026-11-28 12:00")


def test_summer_time_moves_the_opening_with_the_clock_on_the_wall():
    assert opens_at(parse("sun 08:00-20:00"), at("2026-03-28 12:00", BERLIN), BERLIN) == at("2026-03-29 08:00", BERLIN)
    assert at("2026-03-29 08:00", BERLIN) - at("2026-03-28 08:00", BERLIN) == 23 * 3600


@pytest.mark.parametrize(
    "text", ["", "mon", "mon 8:00-20:00", "mo 08:00-20:00", "fri-mon 08:00-20:00", "mon 08:00-08:00", "mon 08:60-20:00",
             "mon 24:00-25:00", "mon 08:00-00:00", "mon 08:00-20:00;"],
)  # fmt: skip
def test_what_is_no_time_is_refused_with_a_sentence(text):
    with pytest.raises(ValueError, match=r"expected|first day"):
        parse(text)


@given(st.lists(openings(), min_size=1, max_size=4).map(tuple))
def test_what_is_written_is_read_again(hours):
    assert parse(text_of(hours)) == hours


@given(st.lists(openings(), min_size=1, max_size=4).map(tuple), st.integers(1_700_000_000, 1_900_000_000))
def test_it_is_open_from_the_moment_that_is_told_and_not_before(hours, now):
    opens = opens_at(hours, now, BERLIN)

    assert opens is not None
    assert opens >= now
    closes = closes_at(hours, opens, BERLIN)
    # An hour that summer time skips is one that never was.
    assert closes is not None
    assert closes > opens
    assert (closes_at(hours, now, BERLIN) is not None) == (opens == now)
    if opens > now:
        assert closes_at(hours, (now + opens) / 2, BERLIN) is None


@given(st.text(max_size=40))
def test_any_text_is_hours_or_a_sentence(text):
    with contextlib.suppress(ValueError):
        assert parse(text_of(parse(text))) == parse(text)
