"""How often a destination is asked that does not answer."""

from __future__ import annotations

import sys
import time

from hypothesis import given
from hypothesis import strategies as st

from cloudlink import line
from cloudlink.connection import Connection
from cloudlink.line import Line, pause
from cloudlink.loop import Loop
from cloudlink.ssh import Ssh
from tests.cloudlink import lossy
from tests.cloudlink.conftest import SERVER
from tests.cloudlink.peer import PATIENCE


def test_the_first_time_at_once():
    assert pause(0, refused=False, dice=0.5) == 0


@given(st.integers(1, 2000), st.floats(0, 1))
def test_a_line_that_is_down_is_tried_every_second(failures, dice):
    assert 0.2 < pause(failures, refused=False, dice=dice) <= 1


@given(st.floats(0, 1))
def test_who_is_refused_asks_less_and_less_often(dice):
    waits = [pause(failures, refused=True, dice=dice) for failures in range(20)]

    assert waits == sorted(waits)
    assert waits[0] > 0.1
    assert 15 <= waits[-1] <= 30


def test_who_was_refused_asks_at_once_with_a_new_certificate(orders, tmp_path, monkeypatch):
    monkeypatch.setattr(line, "pause", lambda _failures, *, refused, dice: 10_000.0 if refused else 0.0)
    certificate = tmp_path / "key-cert.pub"
    certificate.write_text("expired")
    loop, said = Loop(), []
    ups: list[Connection] = []
    command = (sys.executable, lossy.__file__, str(orders.folder), *SERVER)
    link = Line(
        loop, Ssh(command, (certificate,)), 1800, said.append,
        up=ups.append, down=lambda: None, given_up=lambda: None, over=lambda _: None, drained=lambda: None,
    )  # fmt: skip

    def until(count: int, words: str) -> None:
        end = time.monotonic() + PATIENCE
        while len(ups) < count or words not in " ".join(said):
            loop.round()
            assert time.monotonic() < end

    link.start()
    until(1, "")
    (orders.folder / "deny").touch()
    ups[0].close("the line breaks")
    until(1, "Permission denied")
    (orders.folder / "deny").unlink()
    certificate.write_text("renewed")
    until(2, "the line is back")
    link.stop()
    loop.close()
