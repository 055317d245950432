"""The process that stays when the enclave goes, where no namespace takes the session's processes and files away.

It is the job's first process and the enclave's parent. So whatever ends the enclave is seen by it, whoever loses its parent becomes
its child, and the batch system counts the job as over only when it has gone itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from enclave.ground import libc

# <sys/prctl.h>
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

_PATIENCE_S = 10.0
"""For killed processes to go: one that waits for the cloud goes when sshfs has."""


def leave(clear: Callable[[], None]) -> None:
    """Leaves the calling process behind as the watchdog; returns in a child, which is the enclave from now on.

    When that has ended, the watchdog kills every process that came from it, calls `clear` and exits with the enclave's exit code.
    Raises OSError.
    """
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    watchdog = os.getpid()
    enclave = os.fork()
    if enclave == 0:
        # A session of its own: a signal to one's process group leaves the other to clear up.
        os.setsid()
        # Whoever loses its parent falls to the enclave first, as in a pid namespace; ssh does, whose traffic is counted.
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        # The job script has ignored it; until the enclave heeds it there is nothing that would have to end in order.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != watchdog:
            os._exit(1)
        return
    _watch(enclave, clear)


def _watch(enclave: int, clear: Callable[[], None]) -> NoReturn:
    code = 1
    try:
        # Not every batch system tells all processes of a job.
        signal.signal(signal.SIGTERM, lambda *_: _pass_on(enclave))
        code = _until_ended(enclave)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _end_children()
    finally:
        try:
            clear()
        finally:
            os._exit(code)


def _pass_on(enclave: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(enclave, signal.SIGTERM)


def _until_ended(enclave: int) -> int:
    """The enclave's exit code, as a shell counts it; buries others meanwhile."""
    while True:
        pid, status = os.wait()
        if pid == enclave:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _end_children() -> None:
    """Kills all children until there are none: those of the killed become children too."""
    give_up = time.monotonic() + _PATIENCE_S
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < give_up:
            for pid in _children():
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
            time.sleep(0.01)


def _children() -> list[int]:
    own, found = os.getpid(), []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                # A process's name, in parentheses, may hold anything.
                state = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
                if int(state[1]) == own:
                    found.append(int(folder.name))
    return found
