"""What is pure in the console: plots, days, CSV, lines of the audit, how values are written."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spawner.console import plots, rules, shown, usage
from spawner.hub import HUB_PID
from spawner.quota.ledger import By, Usage
from spawner.quota.policy import Charge, Kind, Scope

TOKYO = ZoneInfo("Asia/Tokyo")
NOON = dt.datetime(2026, 11, 25, 12, tzinfo=TOKYO).timestamp()
HOUR = 3600.0


@example([5e-324])
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60))
def test_columns_stand_on_the_base_and_inside_the_picture(values):
    plot = plots.columns(values, [str(number) for number in range(len(values))])
    assert len(plot.bars) == len(values)
    for bar in plot.bars:
        assert bar.y >= plots.TOP - 0.02
        assert bar.y + bar.height == pytest.approx(plot.base, abs=0.05)
        assert plot.left <= bar.x
        assert bar.x + bar.width <= plots.WIDTH
    assert 2 <= len(plot.lines) <= plots.LINES + 1


def test_the_grid_has_round_numbers():
    assert [line.label for line in plots.columns([31.7], ["x"]).lines] == ["0", "10", "20", "30", "40"]
    assert [line.label for line in plots.columns([0.0], ["x"]).lines] == ["0", "1"]


def charge(began: float, ended: float | None, gpus: int = 2) -> Charge:
    return Charge(session="a", user="tanaka", resource_group="ct", gpus=gpus, hours=8, at=began, began=began, ended=ended)


def test_a_session_over_midnight_counts_on_both_days_and_one_that_runs_until_now():
    midnight = NOON - 12 * HOUR
    days = usage.by_day([charge(midnight - HOUR, midnight + 3 * HOUR), charge(NOON - HOUR, None, gpus=1)], 2, NOON, TOKYO)
    assert [(str(each.day), each.gpu_hours) for each in days] == [("2026-11-24", 2.0), ("2026-11-25", 7.0)]


def test_no_name_is_a_formula_to_a_spreadsheet():
    rows = tuple(Usage(name=name, sessions=1, gpu_hours=1.5, hours=1.0) for name in ("=cmd()", "+1", 'a"b', "tanaka"))
    text = usage.as_csv(usage.UsageTable(by=By.USER, since=0.0, rows=rows, days=()))
    assert [line.partition(",1,")[0] for line in text.splitlines()] == [
        "user,sessions,gpu_hours,hours", "'=cmd()", "'+1", '"a""b"', "tanaka",
    ]  # fmt: skip


@pytest.mark.parametrize("when", [None, "", "yesterday", 1e40, float("nan")])
def test_what_is_no_time_is_a_dash(when):
    assert shown.moment(when, TOKYO) == "–"


def test_times_are_by_the_site_s_clock():
    assert shown.moment(NOON, TOKYO) == shown.moment("2026-11-25T03:00:00+00:00", TOKYO) == "2026-11-25 12:00"


@pytest.mark.parametrize("text", ["tanaka\n", "Tanaka", "a" * 80, "a b", "-x"])
def test_a_name_with_anything_behind_it_is_none(text):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"scope": "person", "subject": text, "kind": "gpus", "limit": 1}, rules.RuleWish)


def test_a_rule_that_is_shown_is_the_rule_that_was_meant():
    wish = rules.RuleWish(scope=Scope.GROUP, subject="students", kind=Kind.OPENING, openings="mon-fri 18:00-08:00")
    assert rules.seen(rules.rule_of(wish, 7)) == rules.RuleView(**msgspec.structs.asdict(wish), id=7)


@pytest.mark.parametrize("started_by", [{}, {HUB_PID: "1"}])
def test_a_console_whose_hub_was_killed_while_it_was_starting_ends(started_by):
    """Its port would answer for the next hub's console, which does not know its word."""
    settings = {name: value for name, value in os.environ.items() if name != HUB_PID} | started_by
    done = subprocess.run(
        [sys.executable, "-m", "spawner.console"], env=settings, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (1, "the hub is gone\n")
