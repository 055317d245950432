"""Puts the emulator into a testbed: commands and switches on the hub, a daemon beside the hosts."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from testbed import processes
from testbed.host import STANDALONE, Host, TestbedError
from testbed.layout import NODES, address
from testbed.pjm import switches
from testbed.pjm.daemon import SWITCHES
from testbed.pjm.on_node import SPOOL
from testbed.pjm.switches import Group, Switches
from testbed.slurm import GPU_NODES

ROLE = "pjm"
COMMANDS = ("pjsub", "pjstat", "pjdel", "pjhold", "pjrls", "pjsig", "pjmadm")
_HERE = Path(__file__).parent


def usual(gpus: int) -> Switches:
    """The centre as a testbed has it: two nodes for the sessions' accounts, one for everybody."""
    return Switches(groups={"ct-link": Group(GPU_NODES, gpus, "ct-link"), "open": Group(("cx03",), 0)})


def prepare(hub: Host, nodes: Mapping[str, Host], gpus: int) -> None:
    """Write the commands, the switches and the folders."""
    text = (_HERE / "command.py").read_text()
    for name in COMMANDS:
        hub.write(f"/usr/bin/{name}", text, 0o755)
    hub.write(SWITCHES, switches.text(usual(gpus)))
    hub.folder("/run/pjm")
    for host in (hub, *nodes.values()):
        host.folder(SPOOL, 0o711)


def start(name: str, hub: Host, nodes: Mapping[str, Host]) -> None:
    """Start the daemon of the testbed `name`, and return when it listens. Raises TestbedError."""
    order = {
        "hub": hub.first,
        "nodes": {each: nodes[each].first for each in NODES},
        "addresses": {each: str(address(each, "centre")) for each in NODES},
    }
    argv = ["setsid", "--fork", *STANDALONE, str(_HERE / "daemon.py"), processes.mark(name, ROLE)]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd="/") as starting:
        if starting.stdin is not None and starting.stdout is not None:
            starting.stdin.write(json.dumps(order))
            starting.stdin.close()
            if starting.stdout.readline() == "ready\n":
                return
        raise TestbedError(f"PJM did not start: {starting.stderr.read().strip() if starting.stderr else ''}")


def turn(hub: Host, **changes: object) -> None:
    """Set some switches; the next command sees them."""
    told = json.loads(hub.path(SWITCHES).read_text()) | changes
    # Beside and renamed: the daemon reads at any moment.
    hub.write(f"{SWITCHES}.new", json.dumps(told))
    hub.path(f"{SWITCHES}.new").rename(hub.path(SWITCHES))
