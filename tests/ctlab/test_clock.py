"""When the time is up, as the kernel's start-up says it."""

from __future__ import annotations

import math
import time

import ctlab
import pytest
from ctlab import clock


def in_a_minute() -> float:
    return time.time() + 60


def in_an_hour() -> float:
    return time.time() + 3600


@pytest.mark.parametrize("named", ["", "nonsense", "no_such_module:deadline", "ctlab.clock:nothing"])
def test_where_nobody_says_it_never_is(named, monkeypatch):
    monkeypatch.setenv("CTLAB_DEADLINE", named)
    assert ctlab.deadline() == math.inf
    assert not ctlab.should_stop()


@pytest.mark.parametrize(("name", "stop"), [("in_a_minute", True), ("in_an_hour", False)])
def test_a_loop_that_asks_stops_in_time(name, stop, monkeypatch):
    monkeypatch.setenv("CTLAB_DEADLINE", f"{__name__}:{name}")
    assert ctlab.should_stop() == stop
    assert clock.seconds_left() == pytest.approx(60 if stop else 3600, abs=1)
