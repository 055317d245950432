"""What the operators of a site's batch system do, Slurm's or PJM's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from testbed.build import is_pjm
from testbed.pjm.install import turn
from testbed.site import Testbed


def on_pjm(site: Testbed) -> bool:
    """Whether the site's batch system is PJM."""
    return is_pjm(site.host("hub").path("/etc/renkei/site.toml").read_text())


@contextlib.contextmanager
def paused(site: Testbed) -> Iterator[None]:
    """The CT nodes begin no job meanwhile."""
    if on_pjm(site):
        turn(site.host("hub"), hold_queue=True)
    else:
        site.run("hub", ["scontrol", "update", "partition=ct-link", "state=down"], check=True)
    try:
        yield
    finally:
        if on_pjm(site):
            turn(site.host("hub"), hold_queue=False)
        else:
            site.run("hub", ["scontrol", "update", "partition=ct-link", "state=up"], check=True)


def jobs(site: Testbed) -> list[str]:
    """The numbers of all jobs that wait, run or are just ending."""
    if on_pjm(site):
        listed = site.run("hub", ["pjstat", "--data", "--choose=jid"], check=True).stdout.splitlines()
        return [line.removeprefix(",") for line in listed if line.startswith(",")]
    return site.run("hub", ["squeue", "--noheader", "--format=%i"], check=True).stdout.split()


def delete(site: Testbed, job: str) -> None:
    """End a job, whoever's it is."""
    site.run("hub", ["pjdel" if on_pjm(site) else "scancel", job], check=True)
