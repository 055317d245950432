"""The testbed's own processes, found by a mark among their arguments: nothing has to be remembered, so nothing can be stale."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


def mark(name: str, role: str) -> str:
    """The argument by which the process `role` of the testbed `name` is known."""
    return f"renkei-testbed/{name}/{role}"


@dataclass(frozen=True)
class Process:
    """A process as the machine sees it."""

    pid: int
    """The machine's number for it; inside its host it has another."""
    argv: tuple[str, ...]
    uid: int


def _read(pid: int) -> Process | None:
    folder = _PROC / str(pid)
    end = time.monotonic() + 2
    try:
        while not (argv := (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]):
            # What has a program and no arguments is becoming another program just now, for as long as that takes to be read from
            # the disk. The dead and the kernel's own have no program: readlink raises.
            (folder / "exe").readlink()
            if time.monotonic() > end:
                return None
        return Process(pid, tuple(argv), folder.stat().st_uid)
    except OSError:
        return None


def everything() -> list[Process]:
    """All processes of the machine that have arguments: neither the kernel's own nor dead ones."""
    found = (_read(int(entry.name)) for entry in _PROC.iterdir() if entry.name.isdecimal())
    return [process for process in found if process is not None]


def marked(name: str) -> dict[int, str]:
    """Pid and role of every process of the testbed `name`."""
    prefix = mark(name, "")
    marks = ((each.pid, argument) for each in everything() for argument in each.argv[:8])
    return {pid: argument.removeprefix(prefix) for pid, argument in marks if argument.startswith(prefix)}


def is_marked(pid: int, wanted: str) -> bool:
    """Whether `pid` still is the process with this mark."""
    process = _read(pid)
    return process is not None and wanted in process.argv


def inside(first: int) -> list[Process]:
    """All processes of the host whose first process is `first`, without that one."""
    space = (_PROC / str(first) / "ns" / "pid").readlink()
    return [each for each in everything() if each.pid != first and _space(each.pid) == space]


def _space(pid: int) -> Path | None:
    try:
        return (_PROC / str(pid) / "ns" / "pid").readlink()
    except OSError:
        return None


def kill(pids: list[int], number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to each of `pids` that still is there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def wait_gone(pids: list[int], seconds: float) -> list[int]:
    """Wait until all `pids` have ended; those that have not after `seconds`."""
    end = time.monotonic() + seconds
    while (left := [pid for pid in pids if _read(pid) is not None]) and time.monotonic() < end:
        time.sleep(0.02)
    return left
