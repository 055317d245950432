"""The adapter that a site file asks for."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from spawner.schedulers.base import Scheduler
from spawner.schedulers.pjm import Pjm
from spawner.schedulers.slurm import Slurm
from spawner.site import Kind, Site


def adapter(site: Site) -> Scheduler:
    """The batch system of `site`, as the hub's own account reaches it."""
    partitions = {group.partition for group in site.resource_group}
    if site.scheduler.kind is Kind.PJM:
        return Pjm(site.scheduler, ZoneInfo(site.hub.time_zone), partitions)
    return Slurm(site.scheduler, partitions)
