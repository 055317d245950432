"""What pjstat prints, read into typed values; pure."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from zoneinfo import ZoneInfo

from enclave.messages import Reason
from spawner.schedulers.base import JobState, JobStatus, SchedulerError

QUEUE = ("jid", "st", "rscg", "sdt", "elpl", "elp", "ermsg")
HISTORY = ("jid", "st", "ec", "pc", "sn", "sdt", "elp", "ermsg")
NAMES = ("jid", "st", "jnam")
"""What pjstat is asked to print. What others may have written is last, so that a comma in it does no harm."""

STATES = {
    "ACC": JobState.PENDING,
    "QUE": JobState.PENDING,
    "RNA": JobState.PENDING,
    "RNP": JobState.PENDING,
    "HLD": JobState.PENDING,
    "RUN": JobState.RUNNING,
    "SPP": JobState.RUNNING,
    "SPD": JobState.RUNNING,
    "RSM": JobState.RUNNING,
    "RNE": JobState.ENDING,
    "RNO": JobState.ENDING,
    "ERR": JobState.ENDING,
    "EXT": JobState.ENDED,
    "CCL": JobState.ENDED,
    "RJT": JobState.ENDED,
}
"""PJM's job states (Command Reference, pjstat, ST); any other word is unknown."""
SUSPENDED = frozenset({"SPP", "SPD", "RSM"})
"""States of a job that has run, or that waits as if it had never begun."""

BROKEN, HELD = "JobBroken", "JobHeld"
"""Our word for ERR and for HLD: what PJM says beside them is a site's own text."""

CODES = {
    1: Reason.CANCELLED,
    2: Reason.SUBMIT_REFUSED,
    3: Reason.SUBMIT_REFUSED,
    4: Reason.CANCELLED,
    7: Reason.TIME_UP,
    8: Reason.SUBMIT_REFUSED,
    9: Reason.NODE_LOST,
    11: Reason.TIME_UP,
    16: Reason.INTERNAL,
    18: Reason.CANCELLED,
    20: Reason.NODE_LOST,
}
"""Why a job ended, by the PJM code (PC); 16: the folder or the output of the site file is not on the node."""

EXITS = {71: Reason.SANDBOX_IMPOSSIBLE, 72: Reason.INTERNAL}
"""Exit codes of the job script that say more than "failed"; see "The job script" in docs/architecture.md."""

SHOWN = 8
"""Characters of a resource group's name in a list; of a job's, it is 10."""
SHOWN_NAME = 10

_JOB = re.compile(r"\d{1,10}(?:\[\d{1,7}\]|_\d{1,7})?", re.ASCII)
"""A job's id, or a sub-job's of others' bulk and step jobs."""
_SPAN = re.compile(r"(\d{1,5}):(\d{2}):(\d{2})", re.ASCII)
_DATE = re.compile(r"(\()?(?:(\d{4})/)?(\d{2})/(\d{2})(?: (\d{2}):(\d{2})(?::(\d{2}))?)?\)?[<@#]?", re.ASCII)
_NUMBER = re.compile(r"\d{1,5}", re.ASCII)


def rows(text: str, count: int) -> list[tuple[str, ...]]:
    """The lines of `pjstat --data` with `count` items; messages and noise are left out.

    Raises SchedulerError when it printed other columns than it was asked for, or no such list at all: nothing may be read out of
    that, least of all that a job is gone. An answer without a word is an empty list.
    """
    found, headed, said = [], False, False
    for line in text.splitlines():
        if line.startswith("[") or not line.strip():
            continue
        said = True
        if line.startswith("H,"):
            headed = True
            if line.count(",") != count:
                raise SchedulerError(Reason.SCHEDULER_DOWN, f"pjstat prints other columns: {line[:200]!r}")
        elif headed and line.startswith(","):
            cells = tuple(cell.strip() for cell in line[1:].split(",", count - 1))
            if len(cells) == count and _JOB.fullmatch(cells[0]):
                found.append(cells)
    if said and not headed:
        raise SchedulerError(Reason.SCHEDULER_DOWN, f"pjstat prints no list: {text[:200]!r}")
    return found


def queue(found: Iterable[Sequence[str]], now: float, zone: ZoneInfo) -> dict[str, JobStatus]:
    """Job id → status out of rows of QUEUE; `now` is in seconds since the epoch, `zone` the clock of the dates."""
    jobs = {}
    for job, word, group, date, limit, spent, reason in found:
        state, elapsed, span = STATES.get(word, JobState.UNKNOWN), _span(spent), _span(limit)
        if word in SUSPENDED and not elapsed:
            state = JobState.PENDING
        began = None if elapsed is None or state is not JobState.RUNNING else now - elapsed
        jobs[job] = JobStatus(
            state=state,
            reason={"ERR": BROKEN, "HLD": HELD}.get(word, reason[:200]),
            # How long it has run needs no clock of the centre's.
            starts=began if began is not None else _date(date, now, zone),
            ends=began + span if began is not None and span is not None else None,
            ending=Reason.JOB_DIED if state is JobState.ENDED else None,
            partition=group[:200],
        )
    return jobs


def history(found: Iterable[Sequence[str]], now: float, zone: ZoneInfo) -> dict[str, JobStatus]:
    """Job id → status out of rows of HISTORY: of jobs that are over, and why; a row of any other is left out."""
    jobs = {}
    for job, word, code, pjm_code, signal, date, spent, reason in found:
        if STATES.get(word) is not JobState.ENDED:
            continue
        began, elapsed = _date(date, now, zone), _span(spent)
        if not _has_begun(date):
            began = None
        jobs[job] = JobStatus(
            state=JobState.ENDED,
            reason=reason[:200],
            starts=began,
            ends=None if began is None or elapsed is None else began + elapsed,
            ending=why(word, _number(code), _number(pjm_code), _number(signal)),
        )
    return jobs


def names(found: Iterable[Sequence[str]], wanted: Mapping[str, str]) -> dict[str, tuple[JobState, str]]:
    """Job id → state and name, out of rows of NAMES, of the jobs called one of `wanted` (name at PJM → name)."""
    jobs: dict[str, tuple[JobState, str]] = {}
    for job, word, shown in found:
        for name, ours in wanted.items():
            if shown == name or (len(shown) == SHOWN_NAME and name.startswith(shown)):
                jobs.setdefault(job, (STATES.get(word, JobState.UNKNOWN), ours))
    return jobs


def why(word: str, code: int | None, pjm_code: int | None, signal: int | None = 0) -> Reason | None:
    """Why a job ended whose state is `word`, by its script's exit code and signal, and PJM's code; None when it ended as asked."""
    if word == "CCL":
        return Reason.CANCELLED
    if word == "RJT":
        return Reason.SUBMIT_REFUSED
    if pjm_code == 0:
        return None if (code, signal) == (0, 0) else EXITS.get(code or 0, Reason.JOB_DIED)
    return CODES.get(pjm_code if pjm_code is not None else -1, Reason.JOB_DIED)


def is_of(shown: str, groups: Collection[str]) -> bool:
    """Whether the resource group of which a list shows `shown` is one of `groups`."""
    return any(shown in {group, group[:SHOWN]} for group in groups)


def _number(text: str) -> int | None:
    return int(text) if _NUMBER.fullmatch(text) else None


def _span(text: str) -> float | None:
    """Seconds in `HHHH:MM:SS`, whatever follows; None where there is no limit."""
    found = _SPAN.match(text)
    if found is None:
        return None
    hours, minutes, seconds = map(int, found.groups())
    return float((hours * 60 + minutes) * 60 + seconds)


def _has_begun(text: str) -> bool:
    """Whether a start is a fact: a planned one stands in brackets."""
    found = _DATE.fullmatch(text)
    return found is not None and found[1] is None


def _date(text: str, now: float, zone: ZoneInfo) -> float | None:
    """Seconds since the epoch of `[(][YYYY/]MM/DD[ hh:mm[:ss]][)]`; without a year the one that brings it nearest to `now`."""
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    _, year, month, day, *clock = found.groups()
    hour, minute, second = (int(part or 0) for part in clock)
    here = dt.datetime.fromtimestamp(now, zone).year
    possible = []
    for each in (int(year),) if year else (here - 1, here, here + 1):
        with contextlib.suppress(ValueError, OverflowError):  # the 29th of February, say
            possible.append(dt.datetime(each, int(month), int(day), hour, minute, second, tzinfo=zone).timestamp())
    return min(possible, key=lambda time: abs(time - now), default=None)
