"""More of everything than the testbed's own people need: processors in its Slurm, and people with accounts everywhere."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Sequence
from pathlib import Path

from testbed import accounts, owner, processes, slurm
from testbed.host import Host, TestbedError
from testbed.layout import CENTRE, NODES
from testbed.site import Testbed

_FIRST_UID = 30_000
"""Far from the numbers of the testbed's own accounts: people, their sessions' accounts 1000 further on, 2000 at the cloud."""


def processors(testbed: Testbed, each: int) -> None:
    """Give every node `each` processors by Slurm's word, and start Slurm again with them; nothing may run on it."""
    for name in CENTRE:
        host = testbed.host(name)
        text = host.path("/etc/slurm/slurm.conf").read_text()
        host.write("/etc/slurm/slurm.conf", re.sub(r"\bCPUs=\d+", f"CPUs={each}", text))
    daemons = {name: "slurmctld" if name == "hub" else "slurmd" for name in CENTRE}
    for name, daemon in daemons.items():
        found = _running(testbed.host(name), daemon)
        processes.kill(found)
        processes.wait_gone(found, 10)
    for name, daemon in daemons.items():
        testbed.host(name).run([f"/usr/sbin/{daemon}"], check=True)
    slurm.wait_ready(testbed.host("hub"))


def favour(host: Host) -> None:
    """Let what runs in `host` go before all else on the machine, as if the other hosts had processors of their own.

    By the weight of its sessions, without which the scheduler shares the processors out evenly among all sessions, whatever their
    processes' nice values (`man 7 sched`, autogroups).
    """
    for each in host.processes():
        with contextlib.suppress(OSError):
            Path(f"/proc/{each.pid}/autogroup").write_text("-20")


def people(testbed: Testbed, count: int, password: str) -> tuple[str, ...]:
    """Make `count` people with one password who may use the nodes and have an account at the cloud; their names.

    Before the hub is started: the authority reads its file then.
    """
    shadow = accounts.hashed({"all": password})["all"]
    names = tuple(f"p{number:03}" for number in range(1, count + 1))
    for host in ("hub", *NODES):
        _join(testbed.host(host), [(name, _FIRST_UID + at) for at, name in enumerate(names)], ("renkei-people",), shadow)
        sessions = [(f"rs-{name}", _FIRST_UID + 1000 + at) for at, name in enumerate(names)]
        _join(testbed.host(host), sessions, ("renkei-sessions", "ct-link"))
    cloud = testbed.host("cloud")
    _join(cloud, [(f"j{name}", _FIRST_UID + 2000 + at) for at, name in enumerate(names)], ())
    for name in names:
        cloud.folder(f"/srv/cloud/people/j{name}", 0o700, f"j{name}")
    _append(cloud, owner.SETTINGS, "".join(f"\n[account j{name}]\naccess = read-write\nuntil = 2099-12-31\n" for name in names))
    row = '\n[[account]]\nuser = "{name}"\ndestination = "cloud"\naccount = "j{name}"\nfolder = "people/j{name}"\n'
    _append(testbed.host("hub"), "/etc/renkei/authority.toml", "".join(row.format(name=name) for name in names))
    _known_to_slurm(testbed.host("hub"))
    return names


def _join(host: Host, names: Sequence[tuple[str, int]], groups: Sequence[str], shadow: str = "*") -> None:
    """Add accounts, (name, uid), to the host's files, as members of `groups`."""
    _append(host, "/etc/passwd", "".join(f"{name}:x:{uid}:{uid}::/home/{name}:/usr/sbin/nologin\n" for name, uid in names))
    _append(host, "/etc/shadow", "".join(f"{name}:{shadow}:20000:0:99999:7:::\n" for name, _ in names))
    path = host.path("/etc/group")
    members = [name for name, _ in names]
    lines = [accounts.with_members(line, members if line.split(":")[0] in groups else []) for line in path.read_text().splitlines()]
    path.write_text("\n".join([*lines, *(f"{name}:x:{uid}:" for name, uid in names)]) + "\n")
    for name, _ in names:
        host.folder(f"/home/{name}", 0o700, name)


def _known_to_slurm(hub: Host) -> None:
    """Wait until slurmctld has read the groups again (GroupUpdateTime)."""
    hub.run(["scontrol", "reconfigure"], check=True)
    time.sleep(1)


def _append(host: Host, path: str, text: str) -> None:
    with host.path(path).open("a") as stream:
        stream.write(text)


def _running(host: Host, program: str) -> list[int]:
    found = [each.pid for each in host.processes() if each.argv and each.argv[0].endswith(f"/{program}")]
    if not found:
        raise TestbedError(f"{host.name}: no {program} runs")
    return found
