"""What people are told of a session, without touching the mount."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

from cloudlink.wire import Kind, Status
from tests.cloudlink.peer import PATIENCE, text
from tests.cloudlink.test_cut import cut
from tests.cloudlink.test_session import CREATE


def until(path: Path, true: Callable[[dict], bool]) -> dict:
    """The state, as soon as that is true of it."""
    end = os.times().elapsed + PATIENCE
    while True:
        found = json.loads(path.read_text()) if path.exists() else {}
        if found and true(found):
            return found
        assert os.times().elapsed < end, found


def test_a_pause_is_told_while_it_lasts(start, orders, cloud, tmp_path):
    state = tmp_path / "state"
    link = start(f"--state={state}")
    link.greet()
    handle = link.open(cloud / "f", CREATE)
    assert link.write(handle, 0, bytes(10_000)) == Status.OK
    found = until(state, lambda found: found["written"] > 10_000)
    assert (found["line"], found["paused_since"], found["files"], found["unwritten"]) == ("up", None, 1, 0)
    assert stat.S_IMODE(state.stat().st_mode) == 0o600

    cut(link, orders, cloud)
    found = until(state, lambda found: found["line"] == "paused")
    assert found["paused_since"] > 0
    assert (found["waiting"], found["connections"]) == (1, 0)

    orders.accept()
    assert link.status(Kind.REMOVE, text(cloud / "f")) == Status.OK
    found = until(state, lambda found: found["line"] == "up")
    assert (found["cuts"], found["paused_since"], found["waiting"]) == (1, None, 0)


def test_a_state_that_cant_be_written_ends_nothing(start, cloud, tmp_path):
    link = start(f"--state={tmp_path}/none/state")
    link.greet()
    (cloud / "f").touch()

    assert link.ask(Kind.LSTAT, text(cloud / "f"))[0] == Kind.ATTRS
    assert "the state can't be written" in link.said.read_text()
