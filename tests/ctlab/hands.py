"""Processes that compute a training together with another one."""

from __future__ import annotations

import os
import time
from pathlib import Path


def hands(parent: int | None = None) -> set[int]:
    """Those that `parent` (default: this process) has begun and that live."""
    wanted, found = os.getpid() if parent is None else parent, set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
            if int(state[1]) == wanted and state[0] != "Z" and b"ctlab.hand" in (folder / "cmdline").read_bytes():
                found.add(int(folder.name))
        except OSError:
            continue
    return found


def alive(process: int) -> bool:
    """Whether there is a process with that number that has not ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(processes: set[int], within_s: float = 20.0) -> bool:
    """Whether all of them have ended, at the latest after `within_s`."""
    until = time.monotonic() + within_s
    while any(alive(each) for each in processes) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(alive(each) for each in processes)
