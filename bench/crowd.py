"""More people than the testbed's own, with accounts everywhere, and the hub before everything else on the machine."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from bench.batch import Batch
from testbed import accounts, owner
from testbed.host import Host
from testbed.layout import NODES
from testbed.site import Testbed

_FIRST_UID = 30_000
"""Far from the numbers of the testbed's own accounts: people, their sessions' accounts 1000 further on, 2000 at the cloud."""


def weighted() -> bool:
    """Whether this machine's scheduler gives sessions a weight of their own; where it doesn't, `favour` changes nothing."""
    try:
        return Path("/proc/sys/kernel/sched_autogroup_enabled").read_text().strip() == "1"
    except OSError:
        return False


def favour(host: Host) -> None:
    """Let what runs in `host` go before all else on the machine, as if the other hosts had processors of their own.

    By the weight of its sessions, without which the scheduler shares the processors out evenly among all sessions, whatever their
    processes' nice values (`man 7 sched`, autogroups).
    """
    for each in host.processes():
        with contextlib.suppress(OSError):
            Path(f"/proc/{each.pid}/autogroup").write_text("-20")


def people(testbed: Testbed, batch: Batch, count: int, password: str) -> tuple[str, ...]:
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
    batch.read_groups(testbed.host("hub"))
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


def _append(host: Host, path: str, text: str) -> None:
    with host.path(path).open("a") as stream:
        stream.write(text)
