"""PJM's daemon for one testbed, outside its hosts: listens on the hub's socket, has jobs run on nodes as whoever handed them in.

Run as `python3 -I -S daemon.py MARK` with JSON on stdin: the first processes of hub and nodes, their addresses. It answers `ready`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from testbed.host import STANDALONE, Host
from testbed.pjm import switches
from testbed.pjm.centre import Centre
from testbed.pjm.job import Job
from testbed.pjm.verbs import Caller, Verbs

SOCKET, SPOOL, SWITCHES = "/run/pjm/socket", "/var/spool/pjm", "/etc/pjm.json"
SUPERVISOR = "/opt/renkei/src/testbed/pjm/supervisor.py"
STEP_S = 0.05
QUESTION_LIMIT = 4 << 20


class OnNode:
    """A job's supervisor, over its two pipes."""

    def __init__(self, daemon: Daemon, job: Job) -> None:
        host = daemon.hosts[job.node]
        folder = f"{SPOOL}/{job.number}"
        nodes = f"{folder}/.d{job.number:010}_nodeinfo"
        order = {
            "user": job.user, "uid": job.uid, "gid": job.gid, "folder": job.folder, "script": job.script,
            "path": f"{folder}/script", "output": job.output, "error": job.error, "nodes": nodes,
            "addresses": f"{daemon.addresses[job.node]}\n",
            "environment": {**job.environment, "PJM_O_NODEINF": nodes, "HOSTNAME": job.node},
        }  # fmt: skip
        command, environment = host.command([*STANDALONE, SUPERVISOR])
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=environment, cwd="/")
        self._write(json.dumps(order))
        threading.Thread(target=self._listen, args=(daemon, job.number), daemon=True).start()

    def signal(self, number: int) -> None:
        """Send a signal to every process of the job."""
        self._write(str(int(number)))

    def _write(self, line: str) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.write(f"{line}\n".encode())
                self._process.stdin.flush()

    def _listen(self, daemon: Daemon, number: int) -> None:
        last = {"code": 1, "signal": int(signal.SIGKILL), "folder": True}
        for line in self._process.stdout or ():
            told = json.loads(line)
            if told["event"] == "ended":
                last = told
        self._process.wait()
        with daemon.lock:
            daemon.centre.ended(number, self, last["code"], last["signal"], folder=bool(last["folder"]))


class Daemon:
    """The centre, its hosts, and one lock around all of it."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.lock = threading.Lock()
        self.hub = Host("hub", order["hub"])
        self.hosts = {name: Host(name, first) for name, first in order["nodes"].items()}
        self.addresses: dict[str, str] = order["addresses"]
        self.centre = Centre(lambda job: OnNode(self, job))
        self.verbs = Verbs(self.centre, self.addresses.__getitem__)

    def switches(self) -> switches.Switches:
        """As they stand now."""
        return switches.load(self.hub.path(SWITCHES))

    def caller(self, uid: int, question: dict[str, Any]) -> Caller:
        """The account `uid` of the hub, and what its command brought along."""
        accounts = (line.split(":") for line in self.hub.path("/etc/passwd").read_text().splitlines())
        entry = next(each for each in accounts if each[2] == str(uid))
        groups, own = set(), ""
        for line in self.hub.path("/etc/group").read_text().splitlines():
            name, _, number, members = line.split(":")
            if number == entry[3]:
                own = name
            if number == entry[3] or entry[0] in members.split(","):
                groups.add(name)
        return Caller(
            user=entry[0], uid=uid, gid=int(entry[3]), group=own, groups=frozenset(groups), home=entry[5],
            folder=question["folder"], environment=question["environment"], script=question["script"], files=question["files"],
        )  # fmt: skip

    def serve(self, line: socket.socket) -> None:
        """One command's question and answer."""
        with line:
            _, uid, _ = struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            text = b""
            while (piece := line.recv(65_536)) and len(text) < QUESTION_LIMIT:
                text += piece
            question = json.loads(text)
            told = self.switches()
            time.sleep(told.latency_s)
            with self.lock:
                known = set(self.centre.jobs)
                said = self.verbs.answer(question["argv"], self.caller(uid, question), told)
                for number in set(self.centre.jobs) - known:
                    self._spool(self.centre.jobs[number])
            with contextlib.suppress(OSError):
                line.sendall(json.dumps({"out": said.out, "err": said.err, "code": said.code}).encode())

    def _spool(self, job: Job) -> None:
        """A copy that is never taken away: whatever a script carries lies here for whoever can read it."""
        self.hub.write(f"{SPOOL}/{job.number}.sh", job.script, 0o600)

    def run(self) -> None:
        """Go on for ever."""
        while True:
            with self.lock:
                self.centre.step(self.switches())
            time.sleep(STEP_S)


def main() -> None:
    """Listen, say so, and go on."""
    order = json.load(sys.stdin)
    daemon = Daemon(order)
    listener = socket.socket(socket.AF_UNIX)
    path = daemon.hub.path(SOCKET)
    path.unlink(missing_ok=True)
    # Anybody may hand in a job; who it is, the kernel says.
    os.umask(0)
    listener.bind(str(path))
    os.umask(0o022)
    listener.listen(64)

    def accept() -> None:
        while True:
            line, _ = listener.accept()
            threading.Thread(target=daemon.serve, args=(line,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    daemon.run()


if __name__ == "__main__":
    main()
