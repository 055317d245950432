"""What a compute node shows after a session: the same questions after every journey."""

from __future__ import annotations

import time

from testbed.layout import NODES
from testbed.site import Testbed
from tests.e2e.centre import jobs

SYSTEM = ("/var/log/munge/", "/var/log/slurm/", "/var/spool/slurmd/cred_state", "/var/spool/pjm")
"""Where the batch system itself writes, whoever's job it runs."""


def held(site: Testbed) -> set[str]:
    """Files and mounts that the nodes hold now, as lines."""
    found = set()
    for name in NODES:
        host = site.host(name)
        found |= {f"{name}: file {each.path}" for each in site.kept(name) if not each.path.startswith(SYSTEM)}
        mounts = host.run(["sh", "-c", "cat /proc/[0-9]*/mountinfo"]).stdout.splitlines()
        found |= {f"{name}: mount {line}" for line in mounts if " - fuse" in line}
    return found


def left_behind(site: Testbed, person: str, before: set[str]) -> set[str]:
    """What the nodes hold now and did not `before`, and processes of `person`'s sessions; empty is what a session promises."""
    found = held(site) - before
    for name in NODES:
        host = site.host(name)
        uid = host.user(f"rs-{person}").uid
        found |= {f"{name}: process {' '.join(each.argv)}" for each in host.processes() if each.uid == uid}
    return found


def wait_until_empty(site: Testbed, seconds: float = 30) -> None:
    """Return when no job is left in the batch system; AssertionError after `seconds`."""
    end = time.monotonic() + seconds
    while there := jobs(site):
        assert time.monotonic() < end, f"jobs are left: {there}"
        time.sleep(0.2)
