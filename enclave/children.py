"""Child processes whose output stays in memory, and the first process's duty to bury those that others left."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import IO

_TAIL_LINES = 200
_LINE_LIMIT = 1000
"""Characters of a line that are kept."""

_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}

_own: set[int] = set()
"""Process ids that somebody here waits for; `bury` leaves them alone."""


class Child:
    """A process that started; its output's last lines are kept in memory and go nowhere else.

    Its standard input stays open as long as it is wanted: a child that heeds that ends by itself when told to.
    """

    def __init__(self, argv: Sequence[str], *, environment: dict[str, str], descriptors: Sequence[int] = ()) -> None:
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd="/",
            pass_fds=descriptors,
        )
        _own.add(self._process.pid)
        self._tail: collections.deque[str] = collections.deque(maxlen=_TAIL_LINES)
        self._ended: Future[int] = Future()
        assert self._process.stdout is not None  # noqa: S101  (for the type checker: PIPE was asked for)
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()
        threading.Thread(target=self._wait, daemon=True).start()

    @property
    def pid(self) -> int:
        """The process id in the enclave's pid namespace."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return not self._ended.done()

    def output(self) -> str:
        """The last lines that it and its own children wrote."""
        return "\n".join(self._tail)

    def last_words(self) -> str:
        """The same, once it has ended, or after a second."""
        with contextlib.suppress(TimeoutError):
            self._ended.result(1.0)
        return self.output()

    def tell(self, line: bytes) -> None:
        """Writes `line` to its standard input; it is no fault when it has gone."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.write(line + b"\n")
                self._process.stdin.flush()

    async def ended(self) -> int:
        """Waits for its end; the exit code, negative for a signal."""
        return await asyncio.shield(asyncio.wrap_future(self._ended))

    async def end(self, *, patience: float) -> None:
        """Closes its standard input, and after `patience` seconds SIGKILL; returns when it has ended, or a second later."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.ended(), patience)
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.ended(), 1.0)

    def _read(self, stream: IO[bytes]) -> None:
        for line in iter(lambda: stream.readline(_LINE_LIMIT), b""):
            self._tail.append(line.decode("utf-8", "replace").rstrip("\n"))

    def _wait(self) -> None:
        code = self._process.wait()
        # What it said last belongs to why it ended; a grandchild that still holds the pipe must not keep us, though.
        self._reader.join(0.5)
        _own.discard(self._process.pid)
        self._ended.set_result(code)


async def converse(argv: Sequence[str], text: bytes, seconds: float) -> tuple[int, bytes, bytes]:
    """`ask` without keeping anybody waiting."""
    return await asyncio.to_thread(ask, argv, text, seconds)


def ask(argv: Sequence[str], text: bytes, seconds: float) -> tuple[int, bytes, bytes]:
    """Runs `argv` with `text` as its input to its end: exit code, output, errors.

    Raises OSError when it can't be started, and subprocess.TimeoutExpired after `seconds`.
    """
    process = _start(argv)
    try:
        output, errors = process.communicate(text, seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
    finally:
        _own.discard(process.pid)
    return process.returncode, output, errors


def _start(argv: Sequence[str]) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, env=_ENVIRONMENT, cwd="/")
    _own.add(process.pid)
    return process


def bury() -> None:
    """Takes the exit code of every ended process that nobody here waits for: orphans fall to the first process."""
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if found.si_pid in _own:
                return
            os.waitpid(found.si_pid, 0)


def boxed() -> dict[int, bool]:
    """Every process in a pid namespace below this one, ended ones that nobody buried included: whether it is the first there.

    Where this process is not the first of a pid namespace, of those alone that came from it: others are none of ours.
    """
    found: dict[int, bool] = {}
    for number in _everybody() if os.getpid() == 1 else _offspring():
        if inner := inner_ids(number):
            found[number] = inner[-1] == "1"
    return found


def _everybody() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdecimal()]


def _offspring() -> set[int]:
    """Every process that came from this one, if it takes in those who lose their parent (`enclave.watchdog`)."""
    children: dict[int, list[int]] = {}
    for number in _everybody():
        with contextlib.suppress(OSError, ValueError):
            # A program's name, in parentheses, may hold anything.
            parent = int(Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(number)
    found: set[int] = set()
    waiting = [os.getpid()]
    while waiting:
        new = [child for child in children.get(waiting.pop(), ()) if child not in found]
        found.update(new)
        waiting += new
    return found


def inner_ids(pid: int) -> list[str]:
    """The numbers that `pid` has in pid namespaces below that of /proc; none where it lives in that one itself, or has gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
    except OSError:
        return []
    # By "\n" alone: of a program's name, which it chooses itself, only that and the backslash are written as something else.
    line = next((line for line in status.split(b"\n") if line.startswith(b"NSpid:")), b"")
    return [word.decode("ascii") for word in line.split()[2:]]


def kill_boxed() -> None:
    """Kills the first process of every pid namespace below this one, and so all in it.

    Killing bubblewrap itself is not enough: its first process inside dies with it by a signal (`--die-with-parent`), which a cell,
    being of the same account, can switch off by debugging that process.
    """
    for number, first in boxed().items():
        if first:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)


async def no_more_boxed(seconds: float) -> bool:
    """Whether, after `seconds` at most, nobody is left in the pid namespaces below this one: what they held is given back then."""
    give_up = time.monotonic() + seconds
    while boxed():
        if time.monotonic() > give_up:
            return False
        kill_boxed()
        await asyncio.sleep(0.02)
        bury()
    return True
