"""Packs a cohort: one file a case that patches can be read from, instead of files that have to be read whole.

Goes on where it was stopped: a packed case whose originals haven't changed since is kept as it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ctlab.clock import should_stop
from ctlab.cohort import NAMES_FILE, PARTS, Case, Cohort, PackedCase, Problem, read_table
from ctlab.errors import CohortError, CtlabError, StorageError
from ctlab.files import sweep, whole
from ctlab.packed import ENDING, Source, read_header, write_packed
from ctlab.patients import PATIENTS_FILE, patients_of
from ctlab.text import say
from phrases import N_

MOST_WORKERS = 4
"""Cases packed at once: each holds a volume in memory several times over while it is converted."""


@dataclass(frozen=True)
class Packing:
    """What `pack` did. A notebook shows it as sentences."""

    folder: Path
    packed: tuple[str, ...]
    """Cases that were packed now."""
    kept: tuple[str, ...]
    """Cases that were packed before, from the same originals."""
    problems: tuple[Problem, ...]
    """Cases that can't be used."""
    left: tuple[str, ...] = field(default=())
    """Cases that there was no time for."""

    def __repr__(self) -> str:
        lines = [
            say(
                N_("{folder}: {packed} cases packed, {kept} were packed already."),
                folder=self.folder, packed=len(self.packed), kept=len(self.kept),
            ),
            *(say(N_("left out: {text}"), text=problem.text) for problem in self.problems),
        ]  # fmt: skip
        if self.left:
            lines.append(
                say(
                    N_("The session's time is nearly up: {count} cases are not packed yet. Pack again to go on from here."),
                    count=len(self.left),
                )
            )
        return "\n".join(lines)


def pack(
    cohort: Cohort,
    folder: str | Path,
    *,
    workers: int | None = None,
    stop: Callable[[], bool] = should_stop,
    show: Callable[[str], None] = print,
) -> Packing:
    """Packs every case of `cohort` into `folder`, a cohort of its own then: `ctlab.Cohort(folder)`.

    HU stay int16 and labels as they are, on their own grid; the file says which files they came from. A case that can't be used
    is named in the result and in `cohort.problems`; the others go on. Each file appears whole or not at all, so that what is
    stopped or killed is taken up again by the same call. `workers` cases at once, by default as many as there are processors, at
    most MOST_WORKERS. Raises CohortError when `folder` is the cohort's own, and StorageError when a folder doesn't answer or is
    full.
    """
    target = Path(folder)
    if target.resolve() == cohort.folder.resolve():
        raise CohortError(N_("{folder} is the cohort's own folder. Choose another one for the packed cases."), folder=target)
    if cohort.table:
        _write_json(target / NAMES_FILE, cohort.table)
    _write_json(target / PATIENTS_FILE, _patients(cohort))
    parts = zip(PARTS, (cohort.train, cohort.val), strict=True)
    jobs = [(case, target / part / f"{case.name}{ENDING}") for part, cases in parts for case in cases]
    packed: list[str] = []
    kept: list[str] = []
    left: list[str] = []
    problems: list[Problem] = []
    count = min(MOST_WORKERS, workers or os.cpu_count() or 1)
    for case, outcome in _outcomes(jobs, count, cohort.table, stop):
        if outcome is None:
            left.append(case.name)
        elif isinstance(outcome, CtlabError):
            problems.append(Problem(case.name, str(outcome)))
            cohort.report_problem(case, outcome)
        else:
            (packed if outcome else kept).append(case.name)
        done = len(packed) + len(kept) + len(problems)
        if outcome:
            show(say(N_("{done} of {all}: {case} is packed"), done=done, all=len(jobs), case=case.name)
                 if outcome is True else say(N_("left out: {text}"), text=outcome))  # fmt: skip
    return Packing(target, tuple(sorted(packed)), tuple(sorted(kept)), tuple(problems), tuple(sorted(left)))


def _write_json(path: Path, table: Mapping[str, Any]) -> None:
    with whole(path) as draft:
        draft.write_text(json.dumps(table, ensure_ascii=False, indent=1) + "\n", "utf-8")


def _patients(cohort: Cohort) -> dict[str, str]:
    """Case → a word for its patient: packed files have no Patient ID, and scans of one person must stay known as such."""
    told = patients_of(cohort.folder, [*cohort.train, *cohort.val])
    return {case: hashlib.sha256(patient.encode()).hexdigest()[:16] for case, patient in told.items()}


Outcome = bool | CtlabError | None
"""Whether a case was packed now (else it was before), why it can't be, or None when there was no time."""


def _outcomes(
    jobs: list[tuple[Case, Path]], workers: int, table: Mapping[str, Any], stop: Callable[[], bool]
) -> Iterator[tuple[Case, Outcome]]:
    """Each case as it is done. No more than `workers` are begun at a time, so that one that fails, or an end, stops the rest."""
    waiting = iter(jobs)
    running: dict[Future[Outcome], Case] = {}
    with ThreadPoolExecutor(workers, thread_name_prefix="pack") as pool:
        while True:
            while len(running) < workers and (job := next(waiting, None)) is not None:
                running[pool.submit(_pack_one, *job, table, stop)] = job[0]
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.result()


def _pack_one(case: Case, path: Path, table: Mapping[str, Any], stop: Callable[[], bool]) -> Outcome:
    if stop():
        return None
    try:
        sources = sources_of(case)
        own = case.packed.header.label_names if isinstance(case, PackedCase) else read_table(case.folder / NAMES_FILE)
        names = dict(own or table)
        there = read_header(path)
        if there is not None and (there.sources, there.label_names) == (sources, names):
            return False
        if path.parent.is_dir():
            sweep(path.parent, re.compile(re.escape(path.name)))
        ct, labels = case.load()
        write_packed(path, ct, labels, names, sources)
    except CtlabError as error:
        return error
    except OSError as error:
        raise StorageError(
            N_("{case}: the storage doesn't answer or takes nothing ({error}). The cases that were packed before are whole. See "
               "that there is room and that you may write there, then pack again to go on from here."),
            case=case.name, error=error.strerror or error,
        ) from error  # fmt: skip
    return True


def sources_of(case: Case) -> tuple[Source, ...]:
    """The files that `case` is read from, as they are now; the slices of a series as one. Raises a CtlabError."""
    if isinstance(case, PackedCase):
        return case.packed.header.sources
    found = []
    for path in case.files():
        each = [path.stat()] if path.is_file() else [entry.stat() for entry in os.scandir(path) if entry.is_file()]
        newest = max((stat.st_mtime_ns for stat in each), default=0)
        found.append(Source(path.name, sum(stat.st_size for stat in each), newest, len(each)))
    return tuple(found)
