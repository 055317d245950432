"""What the line does when a connection ends or falls silent, on a clock of its own: no real time passes, and nobody is dialled."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from cloudlink import line, pool
from cloudlink.connection import Ending
from cloudlink.line import Line
from cloudlink.loop import Timer
from cloudlink.pool import Pool
from cloudlink.ssh import Ssh


@dataclass
class Clock:
    """The loop's timers, as far as the line needs a loop, and the time that they live in."""

    now: float = 1000.0
    timers: list[tuple[float, int, Timer]] = field(default_factory=list)
    count: itertools.count[int] = field(default_factory=itertools.count)

    def later(self, seconds: float, action: Callable[[], None]) -> Timer:
        timer = Timer(action)
        heapq.heappush(self.timers, (self.now + seconds, next(self.count), timer))
        return timer

    def pass_by(self, seconds: float) -> None:
        end = self.now + seconds
        while self.timers and self.timers[0][0] <= end:
            self.now, _, timer = heapq.heappop(self.timers)
            if timer.action is not None:
                timer.action()
        self.now = end

    def monotonic(self) -> float:
        return self.now


class Made:
    """A connection of the line's: what it was told, and ways to have it get on."""

    def __init__(self, begun: float, say, *, ready, ended, drained, connected) -> None:
        self.begun, self.say, self._ready, self._ended, self._connected = begun, say, ready, ended, connected
        self.dialled: bool | None = False
        self.patient: bool | None = None
        self.silence = 0.0
        self.open, self.greeted, self.tcp, self.aborted = True, False, False, False

    def dial(self, *, patient: bool) -> None:
        if not self.dialled:
            self.dialled, self.patient = True, patient

    def reach(self) -> None:
        """There is a TCP connection."""
        self.tcp = True
        self._connected(self)

    def greet(self) -> None:
        """The server has said VERSION."""
        self.greeted = True
        self._ready(self)

    def close(self, why: str, *, unbroken: bool = False) -> None:
        if self.open:
            self.open = False
            self._ended(self, Ending(why, 255, self.greeted, self.tcp, hostile=False, unbroken=unbroken))

    def abort(self) -> None:
        self.aborted = True


class Stage:
    """A line, and every connection that it has made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, up: bool = True) -> None:
        self.clock = Clock()
        self.made: list[Made] = []
        self.said: list[str] = []
        self.over: list[int] = []

        def make(_loop, _ssh, say, **calls) -> Made:
            self.made.append(Made(self.clock.now, say, **calls))
            return self.made[-1]

        monkeypatch.setattr(line, "Connection", make)
        monkeypatch.setattr(line, "time", self.clock)
        self.ups: list[Made] = []
        self.line = Line(
            self.clock, Ssh(("ssh",), (), dials=True), 1800, self.said.append,
            up=self.ups.append, down=lambda: None, given_up=lambda: None, over=self.over.append, drained=lambda: None,
        )  # fmt: skip
        self.line.start()
        if up:
            self.last.reach()
            self.last.greet()

    @property
    def last(self) -> Made:
        return self.made[-1]

    def settle(self) -> None:
        """The line is up for long."""
        self.clock.pass_by(60)


@pytest.fixture
def stage(monkeypatch) -> Stage:
    return Stage(monkeypatch)


def test_the_first_connection_is_tried_once_and_later_ones_until_there_is_one(stage):
    assert stage.made[0].patient is False
    stage.settle()
    stage.made[0].close("reset")
    stage.clock.pass_by(0)

    assert stage.made[1].patient is True


def test_why_the_first_connection_was_given_up_is_said(monkeypatch):
    stage = Stage(monkeypatch, up=False)
    stage.last.reach()
    stage.last.close("the connection timed out in its handshake")

    assert stage.said == ["cloudlink: the connection timed out in its handshake"]
    assert stage.over == [255]


def test_cuts_that_follow_each_other_are_each_answered_at_once(stage):
    for _ in range(5):
        stage.clock.pass_by(3)
        cut = stage.clock.now
        stage.ups[-1].close("reset")
        stage.clock.pass_by(0)
        assert (stage.last.begun, stage.last.dialled) == (cut, True)
        stage.last.reach()
        stage.last.greet()


def test_who_is_hung_up_on_again_and_again_asks_less_often(stage):
    stage.settle()
    stage.ups[-1].close("reset")
    begins = []
    for _ in range(10):
        while not (stage.last.open and stage.last.dialled):
            stage.clock.pass_by(0.01)
        begins.append(stage.clock.now)
        stage.last.reach()
        stage.last.close("the server hangs up")

    gaps = [later - earlier for earlier, later in itertools.pairwise(begins)]
    assert all(0.24 < gap <= 1.02 for gap in gaps)


def test_the_next_ssh_has_started_when_the_line_is_cut(stage):
    stage.clock.pass_by(4)
    assert len(stage.made) == 1, "programs have the processor first"
    stage.settle()
    first, spare = stage.made
    assert not spare.dialled

    first.close("reset")
    stage.clock.pass_by(0)

    assert (len(stage.made), spare.dialled) == (2, True)
    spare.reach()
    spare.greet()
    assert stage.ups == [first, spare]
    assert first.aborted


def test_a_silent_connection_is_given_up_only_when_another_one_gets_through(stage):
    stage.settle()
    first, spare = stage.made
    first.silence = 2.0
    stage.clock.pass_by(1)
    assert not spare.dialled

    first.silence = 3.0
    stage.clock.pass_by(1)
    assert spare.dialled
    stage.clock.pass_by(100)
    assert first.open, "it may still live"

    spare.reach()
    assert not first.open
    assert not first.aborted, "a reset that is sent before the line is surely back is lost"
    spare.greet()
    assert stage.ups == [first, spare]
    assert first.aborted
    stage.clock.pass_by(1)
    assert len(stage.made) == 2


def test_a_connection_that_is_heard_again_stays(stage):
    stage.settle()
    first, spare = stage.made
    first.silence = 3.0
    stage.clock.pass_by(1)
    first.silence = 0.1
    spare.reach()

    assert first.open
    assert not spare.open
    assert spare.aborted
    assert stage.ups == [first]
    first.close("reset")
    stage.clock.pass_by(0)
    assert stage.last.dialled


def test_what_was_begun_in_silence_goes_on_when_ssh_gives_the_line_up(stage):
    stage.settle()
    first, spare = stage.made
    first.silence = 3.0
    stage.clock.pass_by(1)
    first.close("Timeout, server not responding")
    spare.reach()
    spare.greet()
    stage.clock.pass_by(20)

    assert stage.ups == [first, spare]
    assert spare.open


def test_a_started_ssh_that_dies_is_no_cut(stage):
    stage.settle()
    first, spare = stage.made
    spare.close("killed")

    assert stage.line.cuts == 0
    assert stage.line.paused_since is None
    first.close("reset")
    stage.clock.pass_by(0)
    assert (len(stage.made), stage.last.dialled) == (3, True)


def test_the_end_of_the_session_ends_both(stage):
    stage.settle()
    stage.line.stop()

    assert [each.open for each in stage.made] == [False, False]


def test_after_a_cut_connections_for_speed_are_made_when_everybody_has_gone_on(monkeypatch):
    clock, made = Clock(), []
    monkeypatch.setattr(pool, "time", clock)

    def make(_loop, _ssh, say, **calls) -> Made:
        made.append(Made(clock.now, say, connected=None, **calls))
        return made[-1]

    monkeypatch.setattr(pool, "Connection", make)
    several = Pool(SimpleNamespace(loop=None, ssh=None), 4)
    several.cut()
    several.resumed()
    for _ in range(10):
        several.consider(1e9)
        clock.pass_by(1)

    assert [each.begun - 1000 for each in made] == [6]
    assert made[0].patient is False, "reading goes on by the first one meanwhile"


def hang_up(stage: Stage, times: int, *, unbroken: bool, after: float) -> None:
    """Each connection, as soon as it is up, ends `after` so many seconds."""
    for _ in range(times):
        stage.clock.pass_by(after)
        stage.last.close("closed", unbroken=unbroken)
        stage.clock.pass_by(5)
        if stage.over:
            return
        stage.last.reach()
        stage.last.greet()


def test_a_server_that_hangs_up_whenever_it_is_asked_again_does_not_keep_everybody_waiting(stage):
    hang_up(stage, 4, unbroken=True, after=0.1)
    assert stage.over == []
    hang_up(stage, 1, unbroken=True, after=0.1)
    assert stage.over == [1]
    assert "hangs up" in stage.said[-1]


@pytest.mark.parametrize(("unbroken", "after"), [(False, 0.1), (True, 3.0)], ids=["the line breaks", "it serves in between"])
def test_what_is_no_hanging_up_is_waited_for(stage, unbroken, after):
    hang_up(stage, 20, unbroken=unbroken, after=after)
    assert stage.over == []
