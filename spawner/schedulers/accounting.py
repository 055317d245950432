"""When jobs ran by the batch system's own accounting, which remembers them for longer than the batch system itself: sacct."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from enclave.messages import Reason
from spawner.schedulers.base import JobState, SchedulerError, Times
from spawner.schedulers.command import CommandError, run
from spawner.schedulers.slurm import ENVIRONMENT, STATES

SEPARATOR = "|"
COLUMNS = ("JobIDRaw", "Start", "End", "NodeList", "State")
"""Only what Slurm itself writes. The state is last: it may say who cancelled the job ("CANCELLED by 1001")."""

AT_ONCE = 500
"""Jobs asked for in one command; its argument stays below 10 kB."""

_NUMBER = re.compile(r"\d{1,18}", re.ASCII)


class Accounting:
    """Slurm's accounting (slurmdbd) as the hub's own account reaches it."""

    def __init__(self, commands: str) -> None:
        self._sacct = f"{commands}/sacct"

    async def times(self, jobs: Collection[str]) -> dict[str, Times]:
        """When each of `jobs` ran; those that the accounting does not know are missing. Raises SchedulerError."""
        wanted = sorted(job for job in jobs if _NUMBER.fullmatch(job))
        found: dict[str, Times] = {}
        for first in range(0, len(wanted), AT_ONCE):
            argv = (
                self._sacct, "--noheader", "--parsable2", "--allocations", "--allusers",
                f"--format={','.join(COLUMNS)}", f"--jobs={','.join(wanted[first : first + AT_ONCE])}",
            )  # fmt: skip
            try:
                answer = await run(argv, env=ENVIRONMENT, timeout_s=30.0)
            except CommandError as error:
                raise SchedulerError(Reason.SCHEDULER_DOWN, str(error)) from error
            if answer.code != 0:
                raise SchedulerError(Reason.SCHEDULER_DOWN, f"sacct: exit code {answer.code}: {answer.err.strip()[:500]!r}")
            found |= parse(answer.out)
        return found


def parse(text: str) -> Mapping[str, Times]:
    """Job → times out of sacct's lines (`COLUMNS`); a line that is none, and a state that nobody knows, is left out."""
    found = {}
    for line in text.splitlines():
        cells = line.strip().split(SEPARATOR, len(COLUMNS) - 1)
        if len(cells) != len(COLUMNS) or not _NUMBER.fullmatch(cells[0]):
            continue
        job, start, end, nodes, word = cells
        state = STATES.get(word.partition(" ")[0], JobState.UNKNOWN)
        began, ended = _time(start), _time(end)
        if state is JobState.UNKNOWN or (state is JobState.ENDED) != (ended is not None):
            continue
        # One that was cancelled in the queue has a start, the moment of its end, and no node.
        found[job] = Times(began=began if _is_node(nodes) else None, ended=ended)
    return found


def _is_node(name: str) -> bool:
    return bool(name) and name not in {"None assigned", "(null)"}


def _time(text: str) -> float | None:
    """Seconds since the epoch; Slurm prints Unknown or None where there is none."""
    return float(text) if text.isascii() and text.isdigit() and len(text) <= 12 else None
