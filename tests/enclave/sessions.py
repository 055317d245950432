"""Sessions on the testbed: the spawner's job script, run by Slurm, against a stand-in for the hub."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from enclave.messages import Mechanism, Order, Phase
from spawner.jobscript import render
from spawner.schedulers.base import Job
from spawner.site import Node
from testbed.site import Testbed
from tests.enclave.standin import StandinHub

ACCOUNT = "rs-tanaka"
JOB = Job(name="renkei-test", partition="ct-link", gres="gpu", gpus=1, cpus=1, memory_mb=0, seconds=600, exclusive=False)
_NODE = Node(
    python="/opt/renkei/env/bin/python",
    source="/opt/renkei/src",
    software=("/opt/renkei",),
    presets="/opt/renkei/src/notebooks",
    kernels="/opt/renkei/src/kernels",
)
_SLURM = (
    *("/var/log/slurm/", "/var/spool/slurm", "/run/slurm/", "/run/lock", "/run/mount"),
    *("/var/log/munge/", "/run/munge/", "/var/lib/munge/"),
)
"""What the node's own services keep, and mount(8) when the node's root calls it."""


@dataclass
class OnNode:
    """A job on a node, and the hub that it talks to."""

    site: Testbed
    hub: StandinHub
    job: str = ""
    node: str = "cx01"
    mechanism: Mechanism = Mechanism.NAMESPACES
    asked: Job = JOB

    def submit(self, order: Order | None = None, change: Callable[[str], str] = str) -> None:
        script = change(render(self.asked, order or self.hub.order(mechanism=self.mechanism), _NODE))
        argv = ["sbatch", "--parsable", f"--nodelist={self.node}"]
        self.job = self.site.run("hub", argv, user=ACCOUNT, input=script, check=True).stdout.strip()

    def scontrol(self) -> dict[str, str]:
        """What Slurm says of the job."""
        said = self.site.run("hub", ["scontrol", "show", "job", self.job]).stdout
        return dict(word.split("=", 1) for word in said.split() if "=" in word)

    def ended(self, seconds: float = 30) -> str:
        """The job's exit code, once it has ended."""
        end = time.monotonic() + seconds
        while (known := self.scontrol())["JobState"] in {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING"}:
            assert time.monotonic() < end, known
            time.sleep(0.1)
        return known["ExitCode"]

    def processes(self) -> dict[int, str]:
        """All processes of the session's account on the node, however deep their namespaces: the node's number, command line."""
        node = self.site.host(self.node)
        uid = node.user(ACCOUNT).uid
        found = {}
        # The node's own list: going from parent to child misses whoever lives below one that is just ending.
        for folder in node.path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if folder.name.isdecimal() and f"\nUid:\t{uid}\t" in (folder / "status").read_text():
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
        return found

    def kill_first(self) -> None:
        """Kill the job's first process."""
        first = next(pid for pid, line in self.processes().items() if line.startswith("/usr/bin/unshare "))
        self.kill(first)

    def watchdog_and_enclave(self) -> tuple[int, int]:
        """The two processes of `enclave run` where there is a watchdog; the node's numbers."""
        own = [pid for pid, line in self.processes().items() if line.endswith(" -m enclave run ")]
        status = [(self.site.host(self.node).path("/proc") / str(pid) / "status").read_text() for pid in own]
        parents = {pid: int(text.partition("\nPPid:")[2].split()[0]) for pid, text in zip(own, status, strict=True)}
        enclave = next(pid for pid in own if parents[pid] in own)
        return parents[enclave], enclave

    def kill(self, *pids: int) -> None:
        """SIGKILL to all `pids` of the node, at once; whoever has died of another's death meanwhile needs none."""
        answer = self.site.run(self.node, ["kill", "-KILL", *map(str, pids)])
        others = [line for line in answer.stderr.splitlines() if not line.endswith("No such process")]
        assert others == [], others

    def gone(self, seconds: float = 10) -> bool:
        """Whether no process of the session's account is left on the node after `seconds` at most."""
        end = time.monotonic() + seconds
        while self.processes() and time.monotonic() < end:
            time.sleep(0.05)
        return not self.processes()

    def kept(self) -> list[str]:
        """What the node holds that its own services do not keep."""
        return [each.line() for each in self.site.kept(self.node) if not each.path.startswith(_SLURM)]

    def mounts(self) -> list[str]:
        """File systems of the cloud that the node itself sees."""
        seen = self.site.run(self.node, ["cat", "/proc/self/mountinfo"]).stdout
        return [line for line in seen.splitlines() if " - fuse." in line]

    def nothing_is_left(self) -> None:
        """Fails where a process, a mount or a file of the session is on the node after 10 s."""
        assert self.gone(), self.processes()
        left = self.mounts() + self.kept()
        assert left == [], left

    def cell(self, code: str, seconds: float = 60) -> str:
        """What `code` prints as a cell of a notebook in the own folder."""
        return self.hub.browse(lambda http, url: run_cell(http, url, code), seconds)


@contextlib.contextmanager
def on_node(
    site: Testbed, folder: Path, node: str = "cx01", mechanism: Mechanism = Mechanism.NAMESPACES
) -> Iterator[OnNode]:
    """A stand-in hub and no job yet; what is left of the job afterwards is cancelled."""
    hub = StandinHub(site, folder, node)
    session = OnNode(site, hub, node=node, mechanism=mechanism)
    try:
        yield session
    finally:
        if session.job:
            site.run("hub", ["scancel", "--signal=KILL", "--full", session.job])
            site.run("hub", ["scancel", session.job])
            session.ended()
        hub.close()


@contextlib.contextmanager
def ready(
    site: Testbed,
    folder: Path,
    node: str = "cx01",
    mechanism: Mechanism = Mechanism.NAMESPACES,
    *,
    seconds: float = 3600,
    lifetime: int = 3600,
    gpus: int = 0,
    pause_s: int = 1800,
    change: Callable[[str], str] = str,
) -> Iterator[OnNode]:
    """A session that is ready.

    `seconds` is its time, `lifetime` that of its certificates, `gpus` how many it asks for, `pause_s` how long a cut may last for
    its link (0: none), `change` what is done to its script.
    """
    with on_node(site, folder, node, mechanism) as session:
        session.hub.deadline = time.time() + seconds
        session.hub.lifetime = lifetime
        session.hub.destination_changes = {"pause_s": pause_s}
        session.submit(session.hub.order(mechanism=mechanism, gpus=gpus), change)
        event = session.hub.wait(Phase.READY, Phase.FAILED)
        assert event.phase is Phase.READY, event
        yield session


async def run_cell(http: aiohttp.ClientSession, url: str, code: str) -> str:
    """Starts a kernel, runs `code` in it, returns what it prints, and ends the kernel."""
    body = {"kernel": {"name": "ct"}, "name": "x.ipynb", "path": "people/jrs0017/x.ipynb", "type": "notebook"}
    async with http.post(f"{url}api/sessions", json=body) as answer:
        session = await answer.json()
    async with http.ws_connect(f"{url}api/kernels/{session['kernel']['id']}/channels") as ws:
        printed = await execute(ws, code)
    async with http.delete(f"{url}api/sessions/{session['id']}"):
        return printed


async def execute(ws: aiohttp.ClientWebSocketResponse, code: str) -> str:
    """What `code` prints, or the name and text of the error it raises."""
    header = dict.fromkeys(("username", "session", "date"), "") | {"msg_id": uuid.uuid4().hex, "version": "5.3"}
    header["msg_type"] = "execute_request"
    content = {"code": code, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
    request = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell", "buffers": []}
    await ws.send_json(request)
    printed = ""
    async for message in ws:
        reply: dict[str, Any] = json.loads(message.data)
        if reply["parent_header"].get("msg_id") == header["msg_id"]:
            if reply["msg_type"] == "stream":
                printed += reply["content"]["text"]
            elif reply["msg_type"] == "error":
                return f"{reply['content']['ename']}: {reply['content']['evalue']}"
            elif reply["msg_type"] == "status" and reply["content"]["execution_state"] == "idle":
                break
    return printed
