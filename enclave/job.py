"""The batch system's number for the job that this process is part of."""

from __future__ import annotations

import os

SLURM, PJM = "SLURM_JOB_ID", "PJM_JOBID"


def number() -> str:
    """As the batch system calls the job in its environment; empty outside of one."""
    return os.environ.get(SLURM) or os.environ.get(PJM) or ""


def tells_jobs_apart() -> bool:
    """Whether a node's processes show to which job they belong: Slurm has a supervisor with the job's number above each."""
    return PJM not in os.environ
