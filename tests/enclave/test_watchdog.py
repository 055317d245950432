"""The watchdog: it sees every end of the enclave, and nothing that came from it stays."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ENCLAVE = """
import os, signal, subprocess, sys, time
from pathlib import Path
from enclave import watchdog

signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as the job script leaves it
watchdog.leave(lambda: Path("cleared").touch())
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
# One that has left its parent and its session.
orphan = subprocess.run(["/bin/sh", "-c", "setsid sleep 60 >/dev/null & echo $!"], stdout=subprocess.PIPE, text=True, check=True)
print(os.getpid(), int(orphan.stdout), flush=True)
"""


@dataclass
class Family:
    watchdog: subprocess.Popen[str]
    enclave: int
    orphan: int
    folder: Path

    def all_gone(self) -> bool:
        """Whether the three have gone after 5 s at most, and the watchdog has cleared up."""
        self.watchdog.wait(5)
        return (self.folder / "cleared").exists() and not any(Path(f"/proc/{pid}").exists() for pid in (self.enclave, self.orphan))


@contextlib.contextmanager
def family(folder: Path, then: str) -> Iterator[Family]:
    """A watchdog whose enclave has left an orphan, and does `then`."""
    argv = [sys.executable, "-c", ENCLAVE + then]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=folder) as watchdog:
        assert watchdog.stdout is not None
        enclave, orphan = map(int, watchdog.stdout.readline().split())
        yield Family(watchdog, enclave, orphan, folder)


@pytest.mark.parametrize(("then", "code"), [("sys.exit(0)", 0), ("sys.exit(71)", 71), ("os.kill(os.getpid(), 9)", 137)])
def test_its_exit_code_is_the_enclave_s(tmp_path, then, code):
    with family(tmp_path, then) as found:
        assert found.all_gone()
        assert found.watchdog.returncode == code


def test_the_batch_system_s_sigterm_reaches_the_enclave(tmp_path):
    with family(tmp_path, "time.sleep(60)") as found:
        found.watchdog.send_signal(signal.SIGTERM)
        assert found.all_gone()
        assert found.watchdog.returncode == 7


def test_a_signal_to_the_process_group_of_one_leaves_the_other(tmp_path):
    with family(tmp_path, "time.sleep(60)") as found:
        os.killpg(found.enclave, signal.SIGKILL)
        assert found.all_gone()


def test_the_enclave_ends_in_order_without_its_watchdog(tmp_path):
    with family(tmp_path, "try: time.sleep(60)\nfinally: Path('in-order').touch()") as found:
        found.watchdog.kill()
        found.watchdog.wait()
        end = time.monotonic() + 5
        while not (tmp_path / "in-order").exists():
            assert time.monotonic() < end
            time.sleep(0.01)
        os.kill(found.orphan, signal.SIGKILL)
