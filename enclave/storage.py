"""How the storage does, for people: what the link's state file says (docs/link.md, "What it tells"), as sentences.

The file is in memory, outside the sandbox and never on the mount: reading it waits for nothing. What can't be understood in it is
"unknown", and no error of anybody's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from enclave.wording import StorageWords

LIMIT = 4096
"""Bytes of a state file; a real one has some 300."""
UNKNOWN = "unknown"
PAUSED = "paused"

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_Moment = Annotated[float, msgspec.Meta(ge=0, le=1e11)]


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of the state file."""

    version: Literal[1]
    line: Literal["connecting", "up", "paused", "given-up"]
    paused_since: _Moment | None
    """Seconds since the epoch."""
    read: _Count
    """Bytes, as `written`; the rates are bytes a second."""
    written: _Count
    read_rate: _Count
    write_rate: _Count
    cuts: _Count


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What people are shown of it."""

    line: str = ""
    """As in the state file, or `unknown`; empty where the mount has no link."""
    text: str = ""
    """To stand somewhere quietly: bytes and rates."""
    warning: str = ""
    """To be seen: what happened, and what to do."""
    step: str = ""
    """Another one than before: the warning is to be said aloud."""


@dataclass(frozen=True)
class Storage:
    """One session's storage."""

    path: Path
    """The state file."""
    words: StorageWords
    now: Callable[[], float] = time.time

    def told(self) -> Told:
        """What is shown now."""
        return tell(read(self.path), self.words, self.now())


def read(path: Path) -> State | None:
    """What the state file says; None for anything else than a whole one."""
    try:
        # Whatever lies there, opening it waits for nobody.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(descriptor, "rb") as stream:  # noqa: PTH123  (it is open)
            text = stream.read(LIMIT + 1)
    except (OSError, ValueError):
        return None
    return parse(text or b"")


def parse(text: bytes) -> State | None:
    """The same of the file's content."""
    if len(text) > LIMIT:
        return None
    try:
        return msgspec.json.decode(text, type=State)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def tell(state: State | None, words: StorageWords, now: float) -> Told:
    """`state` for people, `now` seconds since the epoch."""
    if state is None:
        return Told(line=UNKNOWN, text=words.unknown)
    if state.line == "connecting":
        return Told(line=state.line)
    if state.line == "up":
        values = {
            "read": size(state.read),
            "written": size(state.written),
            "read_rate": size(state.read_rate),
            "write_rate": size(state.write_rate),
        }
        return Told(line=state.line, text=_fill(words.up, values))
    away = now - (now if state.paused_since is None else state.paused_since)
    sentence = words.paused if state.line == PAUSED else words.given_up
    return Told(line=state.line, warning=_fill(sentence, {"time": clock(away)}), step=f"{state.line}-{state.cuts}")


def size(count: int) -> str:
    """`count` bytes in decimal units, as disks and lines are sold."""
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.1f} {units[0]}" if value < 9.95 and units[0] != "B" else f"{value:.0f} {units[0]}"


def clock(seconds: float) -> str:
    """`seconds`, none below 0, as minutes and seconds, with hours when there are any."""
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _fill(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text
