"""What is free where: GPUs of a resource group now, when the next one is expected, and which choices can work at all.

Pure, out of the watcher's copy of nodes and queue. What the batch system has not told makes no choice impossible.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from spawner.schedulers.base import JobState, JobStatus, NodeStatus
from spawner.schedulers.watcher import Overview
from spawner.site import ResourceGroup

OLD_S = 90.0
"""A copy older than this, in seconds, is shown as old."""


class Free(msgspec.Struct, frozen=True, kw_only=True):
    """One resource group as it is now."""

    group: str
    gpus: int
    """How many GPUs its nodes have that are up."""
    free: int
    """How many of them nobody uses."""
    fits: tuple[int, ...]
    """Choices of GPUs that one node could serve at once, were nobody before."""
    possible: tuple[int, ...]
    """Choices of GPUs that some node could serve, now or when others have ended, nodes that are down included."""
    hours: tuple[float, ...]
    """Choices of hours that the batch system's own limit allows."""
    nodes: int
    nodes_down: int
    waiting: int
    """How many requests wait for its nodes."""
    next_free: float | None
    """When the next session or job is to end that frees what sessions here need, in seconds since the epoch; None: nobody knows."""


def free(group: ResourceGroup, overview: Overview, now: float) -> Free | None:
    """What is free in `group`; None when the batch system has told of no node of it."""
    nodes = [node for node in overview.nodes if node.partition == group.partition]
    if not nodes:
        return None
    up = [node for node in nodes if node.up]
    jobs = [job for job in overview.queue.values() if group.partition in job.partition.split(",")]
    limits = {node.limit_s for node in nodes}
    return Free(
        group=group.name,
        gpus=sum(node.gres.get(group.gres, 0) for node in up),
        free=sum(_idle(node, group) for node in up),
        fits=tuple(number for number in group.gpus if any(_fits(number, node, group) for node in up)),
        possible=tuple(number for number in group.gpus if any(_could(number, node, group) for node in nodes)),
        hours=tuple(each for each in group.hours if any(limit is None or each * 3600 <= limit for limit in limits)),
        nodes=len(nodes),
        nodes_down=len(nodes) - len(up),
        waiting=sum(job.before is not None for job in jobs),
        next_free=_next(jobs, now, gpus=any(group.gpus)),
    )


def overall(groups: Sequence[ResourceGroup], overview: Overview, now: float) -> Mapping[str, Free]:
    """Resource group → what is free in it, for those of which anything is known."""
    found = ((group.name, free(group, overview, now)) for group in groups)
    return {name: each for name, each in found if each is not None}


def _idle(node: NodeStatus, group: ResourceGroup) -> int:
    return max(0, node.gres.get(group.gres, 0) - node.gres_used.get(group.gres, 0))


def _fits(number: int, node: NodeStatus, group: ResourceGroup) -> bool:
    """Whether a session with `number` GPUs has room on `node` now."""
    if group.exclusive and node.cpus_idle < node.cpus:
        return False
    return _idle(node, group) >= number and node.cpus_idle >= max(1, number) * group.cpus_per_gpu


def _could(number: int, node: NodeStatus, group: ResourceGroup) -> bool:
    """Whether `node` is large enough for a session with `number` GPUs."""
    return node.gres.get(group.gres, 0) >= number and node.cpus >= max(1, number) * group.cpus_per_gpu


def _next(jobs: Sequence[JobStatus], now: float, *, gpus: bool) -> float | None:
    """When the next job ends by its own limit; where GPUs are what is short, one that holds some, if any can be seen to."""
    running = [job for job in jobs if job.state is JobState.RUNNING and job.ends is not None and job.ends > now]
    holders = [job for job in running if job.gpus] if gpus else []
    return min((job.ends for job in holders or running if job.ends is not None), default=None)
