"""PJM's daemon for one testbed, outside its hosts: listens on the hub's socket, has jobs run on nodes as whoever handed them in.

Run as `python3 -I -S daemon.py MARK` with JSON on stdin: the first processes of hub and nodes, their addresses. It answers `ready`.
What it knows of jobs lies in the hub's spool: killed and started again it goes on where it was, and so have the jobs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from testbed.host import Host
from testbed.pjm import switches
from testbed.pjm.centre import Centre
from testbed.pjm.job import Job
from testbed.pjm.on_node import SPOOL, OnNode
from testbed.pjm.verbs import Caller, Verbs

SOCKET, SWITCHES = "/run/pjm/socket", "/etc/pjm.json"
STEP_S = 0.05
QUESTION_LIMIT = 4 << 20


class Daemon:
    """The centre, its hosts, and one lock around all of it."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.lock = threading.Lock()
        self.hub = Host("hub", order["hub"])
        self.hosts = {name: Host(name, first) for name, first in order["nodes"].items()}
        self.addresses: dict[str, str] = order["addresses"]
        self.on_nodes: dict[int, OnNode] = {}
        self.kept: dict[int, tuple[object, ...]] = {}
        """What the spool has of each job."""
        self.centre = Centre(self._start)
        self.verbs = Verbs(self.centre, self.addresses.__getitem__)
        self._restore()

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
                said = self.verbs.answer(question["argv"], self.caller(uid, question), told)
                self._keep()
            with contextlib.suppress(OSError):
                line.sendall(json.dumps({"out": said.out, "err": said.err, "code": said.code}).encode())

    def _start(self, job: Job) -> OnNode:
        # Kept before: what runs must not be begun a second time by whoever comes after this daemon.
        self._keep()
        on_node = OnNode(self.hosts[job.node], job)
        on_node.begin(job, self.addresses[job.node])
        self.on_nodes[job.number] = on_node
        return on_node

    def _keep(self) -> None:
        """Write down what has changed of any job. Scripts are never taken away: whoever can read here has what they carry."""
        for number, job in self.centre.jobs.items():
            now = tuple(vars(job).values())
            if self.kept.get(number) == now:
                continue
            if number not in self.kept:
                self.hub.write(f"{SPOOL}/{number}.sh", job.script, 0o600)
            told = dataclasses.asdict(dataclasses.replace(job, script=""))
            self.hub.write(f"{SPOOL}/{number}.new", json.dumps(told), 0o600)
            self.hub.path(f"{SPOOL}/{number}.new").rename(self.hub.path(f"{SPOOL}/{number}.json"))
            self.kept[number] = now

    def _restore(self) -> None:
        """Take up the jobs of the daemon before this one."""
        for path in sorted(self.hub.path(SPOOL).glob("*.json")):
            job = Job(**{**json.loads(path.read_text()), "script": path.with_suffix(".sh").read_text()})
            if job.state == "RUN":
                self.on_nodes[job.number] = OnNode(self.hosts[job.node], job)
            self.centre.restore(job, self.on_nodes.get(job.number))

    def _look(self) -> None:
        """Which jobs have ended on their nodes, and which were lost with them."""
        for number, on_node in list(self.on_nodes.items()):
            end = on_node.end()
            if end is None:
                continue
            del self.on_nodes[number]
            if end.lost:
                self.centre.lost(number, on_node)
            else:
                self.centre.ended(number, on_node, end.code, end.signal, folder=end.folder)

    def run(self) -> None:
        """Go on for ever."""
        while True:
            with self.lock:
                self._look()
                self.centre.step(self.switches())
                self._keep()
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
