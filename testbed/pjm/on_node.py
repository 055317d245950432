"""A job's processes on its node, as the daemon reaches them: a pipe for signals and a file for the end, which outlive it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass

from testbed.host import STANDALONE, Host
from testbed.pjm.job import Job

SPOOL = "/var/spool/pjm"
SUPERVISOR = "/opt/renkei/src/testbed/pjm/supervisor.py"
PATIENCE_S = 2.0
"""How long a supervisor may take to be there that somebody else has started, in seconds."""


@dataclass(frozen=True)
class End:
    """How a job's first process ended; `lost`: nobody is left who could tell."""

    code: int = 1
    signal: int = int(signal.SIGKILL)
    folder: bool = True
    """Whether it got to its folder and its output at all."""
    lost: bool = False


class OnNode:
    """The processes of `job` on `host`: those that `begin` starts, or that another daemon had started."""

    def __init__(self, host: Host, job: Job) -> None:
        # A job that begins anew has other files than what is left of it.
        place = f"{SPOOL}/{job.number}.{round(job.begun * 1000)}"
        self._signals, self._ended = f"{place}.signals", f"{place}.ended"
        self._host = host
        self._waiting: list[int] = []
        self._starting: subprocess.Popen[str] | None = None
        self._patient_until = time.monotonic() + PATIENCE_S

    def begin(self, job: Job, address: str) -> None:
        """Start the supervisor with its order; it lives until the job has ended, whatever becomes of this process."""
        folder = f"{SPOOL}/{job.number}"
        nodes = f"{folder}/.d{job.number:010}_nodeinfo"
        order = {
            "user": job.user, "uid": job.uid, "gid": job.gid, "folder": job.folder, "script": job.script,
            "path": f"{folder}/script", "output": job.output, "error": job.error, "nodes": nodes, "addresses": f"{address}\n",
            "environment": {**job.environment, "PJM_O_NODEINF": nodes, "HOSTNAME": job.node},
            "signals": self._signals, "ended": self._ended,
        }  # fmt: skip
        command, environment = self._host.command([*STANDALONE, SUPERVISOR], tied=False)
        none = subprocess.DEVNULL
        self._starting = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=none, stderr=none, env=environment, cwd="/", text=True, start_new_session=True
        )
        if self._starting.stdin is not None:
            with contextlib.suppress(OSError):
                self._starting.stdin.write(json.dumps(order))
                self._starting.stdin.close()

    def signal(self, number: int) -> None:
        """Send a signal to every process of the job, as soon as somebody is there to pass it on."""
        self._waiting.append(int(number))
        self._pass_on()

    def end(self) -> End | None:
        """How the job ended; None while it goes on."""
        alive = self._pass_on()
        told = self._host.path(self._ended)
        try:
            end = End(**json.loads(told.read_text()))
        except FileNotFoundError:
            if alive:
                return None
            end = End(lost=True)
        told.unlink(missing_ok=True)
        self._host.path(self._signals).unlink(missing_ok=True)
        return end

    def _pass_on(self) -> bool:
        """Whether the supervisor is there, or about to be; it gets the signals that wait for it."""
        try:
            pipe = os.open(self._host.path(self._signals), os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            # There is no pipe yet, or nobody has it open.
            return time.monotonic() < self._patient_until or (self._starting is not None and self._starting.poll() is None)
        with os.fdopen(pipe, "w") as stream:
            stream.writelines(f"{number}\n" for number in self._waiting)
        self._waiting.clear()
        return True
