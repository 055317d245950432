"""How the session does, for people: a small JSON file that is replaced as a whole, so that who reads it never touches the mount."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from cloudlink.loop import Loop

TICK = 0.5
"""Seconds between two looks; the file is written when something has changed."""


@dataclass(frozen=True)
class Snapshot:
    """What is so now. Bytes since the session began."""

    line: str
    """connecting, up, paused, or given-up: the line has been away for longer than the budget."""
    paused_since: float | None
    """Seconds since the epoch."""
    read: int
    """Bytes given to the mount."""
    written: int
    """Bytes taken from the mount."""
    unwritten: int
    """Bytes of writes that the cloud has not acknowledged yet: they are kept, whatever happens to the line."""
    waiting: int
    """Requests without an answer."""
    ahead: int
    """Bytes that were read ahead."""
    files: int
    """Files that are open."""
    cuts: int
    """How often the line was lost."""
    round_trip: float
    """Seconds, the shortest lately; 0 while none is known."""
    connections: int


class StateFile:
    """Writes `take()` and the rates to `path` while the loop runs."""

    def __init__(self, loop: Loop, path: Path, take: Callable[[], Snapshot], say: Callable[[str], None]) -> None:
        self._loop, self._path, self._take, self._say = loop, path, take, say
        self._before: tuple[float, Snapshot] | None = None
        self._written: dict[str, object] = {}
        self._failed = False
        self._tick()

    def _tick(self) -> None:
        now, snapshot = time.monotonic(), self._take()
        read, written = self._rates(now, snapshot)
        self._before = now, snapshot
        found: dict[str, object] = {"version": 1, **asdict(snapshot), "read_rate": read, "write_rate": written}
        if found != self._written:
            self._written = found
            self._write(json.dumps(found))
        if not self._failed:
            self._loop.later(TICK, self._tick)

    def _rates(self, now: float, snapshot: Snapshot) -> tuple[int, int]:
        """Bytes a second since the look before."""
        if self._before is None:
            return 0, 0
        then, before = self._before
        seconds = max(now - then, TICK)
        return int((snapshot.read - before.read) / seconds), int((snapshot.written - before.written) / seconds)

    def _write(self, text: str) -> None:
        fresh = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "w", encoding="ascii") as stream:  # noqa: PTH123  (mode from the first byte)
                stream.write(text)
            fresh.replace(self._path)
        except OSError as error:
            # The session is worth more than what is told of it.
            self._failed = True
            self._say(f"cloudlink: the state can't be written: {error}")
            with contextlib.suppress(OSError):
                fresh.unlink()
