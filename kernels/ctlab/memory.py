"""How much memory the job still has: the least of what the machine, the job's cgroups, the batch system and the session allow."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

MEMORY = "CTLAB_MEMORY"
"""Environment variable: bytes that this job may take, where only whoever started the kernel can know it."""
_SLURM_A_NODE, _SLURM_A_CPU, _SLURM_CPUS = "SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU", "SLURM_CPUS_ON_NODE"
"""MiB, MiB, and a number (sbatch(1), "OUTPUT ENVIRONMENT VARIABLES")."""
_ENDLESS = 2**60
"""cgroup version 1 writes a number as large as it can where there is no limit."""


def free(root: Path = Path("/"), environment: Mapping[str, str] | None = None) -> int | None:
    """Bytes that this process may still take; None where nothing tells. `root` has the files of /proc and /sys."""
    said = os.environ if environment is None else environment
    found = [_available(root), *_of_cgroups(root), *_of_job(root, said)]
    known = [each for each in found if each is not None]
    return max(0, min(known)) if known else None


def _available(root: Path) -> int | None:
    return _kibibytes(root / "proc/meminfo", "MemAvailable:")


def _of_job(root: Path, said: Mapping[str, str]) -> Iterator[int]:
    """What limits of the whole job leave. Of its processes this one is known: the others are small beside it."""
    limits = [_number(said.get(MEMORY, "")), _mebibytes(said.get(_SLURM_A_NODE, ""))]
    one, count = _mebibytes(said.get(_SLURM_A_CPU, "")), _number(said.get(_SLURM_CPUS, ""))
    limits.append(one * count if one and count else None)
    taken = _kibibytes(root / "proc/self/status", "VmRSS:") or 0
    # Slurm says 0 where a job has all of the node's memory.
    yield from (limit - taken for limit in limits if limit)


def _of_cgroups(root: Path) -> Iterator[int]:
    """What each cgroup that this process is in has left, from its own to the topmost that can be seen."""
    for line in _lines(root / "proc/self/cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            top, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            top = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        own = PurePosixPath(path.removeprefix("/"))
        if ".." in own.parts:
            continue
        yield from (left for each in (own, *own.parents) if (left := _left(top / each, *names)) is not None)


def _left(folder: Path, limit_file: str, taken_file: str, cache: str) -> int | None:
    limit, taken = (_number(next(_lines(folder / name), "")) for name in (limit_file, taken_file))
    if limit is None or taken is None or limit >= _ENDLESS:
        return None
    # The page cache counts as the group's, and makes way.
    stat = dict(line.split()[:2] for line in _lines(folder / "memory.stat") if len(line.split()) > 1)
    return limit - taken + (_number(stat.get(cache, "")) or 0)


def _kibibytes(path: Path, name: str) -> int | None:
    found = (_number(line.split()[1]) for line in _lines(path) if line.startswith(name) and len(line.split()) > 1)
    value = next(found, None)
    return None if value is None else value * 1024


def _mebibytes(text: str) -> int | None:
    value = _number(text)
    return None if value is None else value * 2**20


def _number(text: str) -> int | None:
    """A whole number; None for anything else, as `max`, which means that there is no limit."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _lines(path: Path) -> Iterator[str]:
    try:
        yield from path.read_text("ascii", "replace").splitlines()
    except OSError:
        return
