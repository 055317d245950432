"""A job's first process on its node, as root: starts the script as the account, passes signals on, cleans up, and tells.

Run as `python3 -I -S supervisor.py` with the order, JSON, on stdin. Lines in the pipe that the order names are numbers of signals
for every process of the job; how it ended is a file beside it. Neither needs the daemon that gave the order: as with PJM, a job
goes on without it. Standard library alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

_SUBREAPER = 36
NO_FOLDER = 120
"""Exit code of a first process that could not get to its folder or its output."""


def tell(path: str, **end: object) -> None:
    """Write how the job ended, whole or not at all."""
    Path(f"{path}.new").write_text(json.dumps(end))
    Path(f"{path}.new").rename(path)


def descendants() -> list[int]:
    """Every process of the job: whoever loses its parent falls to this one."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError, IndexError, ValueError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found: set[int] = set()
    new = {os.getpid()}
    while new:
        new = {pid for pid, parent in parents.items() if parent in new} - found
        found |= new
    return sorted(found)


def signal_all(number: int) -> None:
    """Send a signal to every process of the job."""
    for pid in descendants():
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def become(order: dict[str, Any]) -> NoReturn:
    """Turn into the script, as the account."""
    os.setsid()
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    os.initgroups(order["user"], order["gid"])
    os.setgid(order["gid"])
    os.setuid(order["uid"])
    os.umask(0o022)
    try:
        os.chdir(order["folder"])
        streams = [os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666) for name in ("output", "error")]
    except OSError:
        os._exit(NO_FOLDER)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    os.dup2(streams[0], 1)
    os.dup2(streams[1], 2)
    os.closerange(3, 256)
    first = order["script"].split("\n", 1)[0]
    interpreter = first[2:].split() if first.startswith("#!") else ["/bin/sh"]
    os.execve(interpreter[0], [*interpreter, order["path"]], order["environment"])  # noqa: S606  (that is what it is for)


def prepare(order: dict[str, Any]) -> None:
    """The script and the list of nodes, in a folder that the account can read and not change."""
    folder = Path(order["path"]).parent
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in ((Path(order["path"]), order["script"]), (Path(order["nodes"]), order["addresses"])):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
        os.chown(path, 0, order["gid"])


def clear(order: dict[str, Any]) -> None:
    """Nothing of the job stays on the node but what it wrote itself."""
    for path in (Path(order["path"]), Path(order["nodes"])):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        Path(order["path"]).parent.rmdir()


def wait(first: int, pipe: int) -> int:
    """The first process's status; meanwhile others are buried and signals out of `pipe` passed on."""
    reading, writing = os.pipe2(os.O_NONBLOCK)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing)
    left = b""
    while True:
        with contextlib.suppress(ChildProcessError):
            while (buried := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                if buried[0] == first:
                    signal.set_wakeup_fd(-1)
                    return buried[1]
        ready, _, _ = select.select([reading, pipe], [], [])
        if reading in ready:
            os.read(reading, 4096)
        if pipe in ready:
            *lines, left = (left + os.read(pipe, 4096)).split(b"\n")
            for line in lines:
                signal_all(int(line))


def end_all() -> None:
    """Kill what the script has left running, until there is nothing."""
    end = time.monotonic() + 30
    while descendants() and time.monotonic() < end:
        signal_all(signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        time.sleep(0.01)


def main() -> int:
    """One job."""
    order = json.load(sys.stdin)
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    prepare(order)
    os.mkfifo(order["signals"], 0o600)
    # For writing too: it does not end when whoever wrote last closes it.
    pipe = os.open(order["signals"], os.O_RDWR | os.O_NONBLOCK)
    first = os.fork()
    if first == 0:
        try:
            become(order)
        finally:
            os._exit(127)
    status = wait(first, pipe)
    end_all()
    clear(order)
    code = os.waitstatus_to_exitcode(status)
    tell(order["ended"], code=max(code, 0), signal=max(-code, 0), folder=code != NO_FOLDER)
    return 0


if __name__ == "__main__":
    sys.exit(main())
