"""`python -m cloudlink`: see cloudlink.options, or `--help`."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys

from cloudlink.loop import Loop
from cloudlink.options import parse
from cloudlink.session import Session
from cloudlink.ssh import prepared
from cloudlink.state import StateFile
from cloudlink.wire import LIMIT

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""mallopt(3)."""
_KEPT_BYTES = 33_554_432


def say(text: str) -> None:
    """A line for whoever started sshfs; nobody may be listening any more."""
    try:
        os.write(2, (text + "\n").encode(errors="replace"))
    except OSError:
        return


def _go(_number: int, _frame: object) -> None:
    sys.exit(0)


def _keep_memory() -> None:
    """Keep freed memory for the next packets: glibc gives it back to the kernel at once, and new pages cost more than a packet."""
    with contextlib.suppress(AttributeError):
        # Another C library has no such word, and other habits.
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, 4 * LIMIT)


def main() -> int:
    """Until sshfs goes; the exit code."""
    _keep_memory()
    options = parse(sys.argv[1:], os.environ)
    ssh = prepared(options.command)
    loop = Loop()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        # Whoever started sshfs so that it ignores one of them wants the mount to stay.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _go)
    incoming = os.dup(0)
    # sshfs gives one socket as both; a shell gives two.
    outgoing = incoming if os.path.sameopenfile(0, 1) else os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    session = Session(loop, options, ssh, (incoming, outgoing), say)
    session.start()
    if options.state is not None:
        StateFile(loop, options.state, session.snapshot, say)
    return loop.run()


if __name__ == "__main__":
    sys.exit(main())
