"""Cross-validation: every case is judged once by a network that has seen no scan of its patient."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ctlab.cohort import Case, Cohort
from ctlab.errors import CohortError
from ctlab.folders import work_folder
from ctlab.patients import patients_of
from phrases import N_

if TYPE_CHECKING:
    from ctlab.scores import Scores


@dataclass(frozen=True)
class Member:
    """What a case brings to the division of its cohort."""

    case: str
    patient: str
    labels: frozenset[int] = frozenset()
    """The labels that it has: the rare ones are spread first."""


def divide(members: Sequence[Member], count: int, *, seed: int = 0) -> tuple[tuple[str, ...], ...]:
    """The names of the cases in each of `count` parts, none empty: every case is in one part, a patient's cases all in the same.

    Labels and numbers of cases are spread evenly as far as whole patients allow: patients with the rarest label go first, each to
    the part that lacks it most (after K. Sechidis et al., "On the stratification of multi-label data", 2011). The same
    members in any order and the same seed give the same parts.

    Raises CohortError when there are fewer patients than parts.
    """
    patients: dict[str, list[Member]] = {}
    for member in sorted(members, key=lambda member: member.case):
        patients.setdefault(member.patient, []).append(member)
    if count < 2 or len(patients) < count:
        raise CohortError(
            N_(
                "{patients} patients can't be divided into {count} parts. Ask for 2 to {patients} parts. Cases count as one "
                "patient's when their DICOM files have the same Patient ID; {file} can say otherwise."
            ),
            patients=len(patients),
            count=count,
            file="patients.json",
        )
    return _spread(patients, count, seed)


def _spread(patients: dict[str, list[Member]], count: int, seed: int) -> tuple[tuple[str, ...], ...]:
    having = Counter(label for members in patients.values() for member in members for label in member.labels)
    rarest = {
        name: min((label for member in members for label in member.labels), key=lambda label: (having[label], label), default=None)
        for name, members in patients.items()
    }
    chance = dict(zip(sorted(patients), np.random.default_rng(seed).permutation(len(patients)).tolist(), strict=True))
    order = sorted(patients, key=lambda name: (_rarity(having, rarest[name]), -len(patients[name]), chance[name]))
    held = [Counter[int]() for _ in range(count)]
    parts: list[list[str]] = [[] for _ in range(count)]
    for left, name in zip(range(len(order), 0, -1), order, strict=True):
        empty = [index for index in range(count) if not parts[index]]
        choices = empty if len(empty) >= left else range(count)
        label = rarest[name]
        target = min(choices, key=lambda index: (held[index][label] if label is not None else 0, len(parts[index]), index))
        for member in patients[name]:
            held[target].update(member.labels)
            parts[target].append(member.case)
    return tuple(tuple(sorted(part)) for part in parts)


def _rarity(having: Counter[int], label: int | None) -> float:
    return np.inf if label is None else having[label]


def cross_cohorts(cohort: Cohort, count: int = 5, *, seed: int = 0) -> tuple[Cohort, ...]:
    """`cohort` divided anew `count` times: each time another part of all its cases is for validation, the others for training.

    Reads each case once, to spread the labels; one that can't be used is in no part, and in `cohort.problems`.
    Raises CohortError when there are too few patients.
    """
    loaded = [(case, frozenset(truth.values())) for case, _, truth in cohort.loaded((*cohort.train, *cohort.val))]
    cases = {case.name: case for case, _ in loaded}
    patients = patients_of(cohort.folder, tuple(cases.values()))
    members = [Member(case.name, patients[case.name], labels) for case, labels in loaded]
    return tuple(_cohort(cohort, cases, part) for part in divide(members, count, seed=seed))


def _cohort(cohort: Cohort, cases: dict[str, Case], part: Sequence[str]) -> Cohort:
    made = copy.copy(cohort)
    made.train = tuple(case for name, case in sorted(cases.items()) if name not in part)
    made.val = tuple(cases[name] for name in part)
    return made


def cross_validate(
    cohort: Cohort,
    preset: str = "vnet",
    *,
    count: int = 5,
    seed: int = 0,
    folder: str | Path | None = None,
    epochs: int | None = None,
) -> Scores:
    """Trains `count` networks, each without one part of the patients, and scores every case by the network that doesn't know it.

    Each training has a folder of its own, `part-1` and so on, in `folder` (default: `crossvalidation` in the work folder);
    called again, it goes on where it was. Raises CohortError as `cross_cohorts` and `ctlab.train` do.
    """
    from ctlab.scores import Scores, evaluate
    from ctlab.training import train  # both know networks, which dividing does not need

    target = Path(folder) if folder is not None else work_folder() / "crossvalidation"
    scored: list[Scores] = []
    for number, part in enumerate(cross_cohorts(cohort, count, seed=seed), start=1):
        result = train(part, preset, folder=target / f"part-{number}", epochs=epochs, seed=seed)
        scored.append(evaluate(result, part))
    return Scores.joined(scored)
