"""Which of the node's GPU devices are the job's own.

A batch system with cgroups lets a job open its own devices alone. Slurm without cgroups lets it open all of them, and only says
which are meant: then the sandbox shows those and hides the others. What is not shown can't be opened from inside.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

GPU_DEVICE = re.compile(r"^nvidia(\d+|ctl|-uvm|-uvm-tools|-caps)$")
_ONE = re.compile(r"^nvidia(\d+)$")
"""One GPU; the others are the driver's own, and useless without one."""
_NUMBERS = re.compile(r"\d+(,\d+)*", re.ASCII)


def devices(dev: Path, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The device files below `dev` that the job may use, by what it can open and by what the batch system says in `environment`."""
    openable = sorted(each for each in dev.iterdir() if GPU_DEVICE.match(each.name) and _opens(each))
    own = granted({int(found[1]) for each in openable if (found := _ONE.match(each.name))}, environment)
    shown = [each for each in openable if not (found := _ONE.match(each.name)) or int(found[1]) in own]
    return tuple(str(each) for each in shown) if own else ()


def granted(openable: set[int], environment: Mapping[str, str]) -> set[int]:
    """Which of the `openable` GPUs are the job's; Slurm names them in SLURM_JOB_GPUS, by the numbers of its gres.conf.

    Where no more can be opened than were granted, the batch system has closed the others itself, and knows best. Slurm without a
    word about GPUs granted none.
    """
    if "SLURM_JOB_ID" not in environment:
        return openable
    said = environment.get("SLURM_JOB_GPUS", "")
    named = {int(word) for word in said.split(",")} if _NUMBERS.fullmatch(said) else set()
    return openable if named and len(openable) <= len(named) else openable & named


def visible(said: str | None) -> str | None:
    """What CUDA_VISIBLE_DEVICES is to be inside, where the batch system `said` so outside.

    Numbers count among the devices that a program can open: inside that are the job's own, so that none has to be chosen. A name,
    as of a part of a GPU (MIG), stays what it is.
    """
    return None if said is None or not said or _NUMBERS.fullmatch(said) else said


def _opens(device: Path) -> bool:
    if device.is_dir():
        return True
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False  # another job's: the scheduler's cgroup refuses it
    return True
