"""A trained network's marks: each validation case predicted, the prediction saved and held against the truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ctlab import scoretable
from ctlab.bootstrap import Estimate, estimate
from ctlab.cohort import Case, Cohort
from ctlab.errors import CohortError
from ctlab.inference import predict
from ctlab.metrics import TOLERANCE_MM, Finding, Marks, compare
from ctlab.patients import patients_of
from ctlab.readers import load_labels
from ctlab.volume import Labels, Volume
from phrases import N_

if TYPE_CHECKING:
    from ctlab.training import TrainingResult

PREDICTIONS = "predictions"
"""Folder beside the checkpoint."""

SCORES_FILE = "scores.csv"
"""Beside the checkpoint."""


@dataclass(frozen=True)
class Score:
    """One case: its marks, and where its prediction lies. Images are read when they are asked for, and not kept."""

    case: Case
    marks: Mapping[int, Marks]
    """Label value to marks on the CT's own grid, for every label that truth or prediction has."""
    path: Path
    """The prediction, NIfTI, on the grid of the case's CT file."""
    names: Mapping[int, str]
    patient: str = ""
    """Whose case it is; without a word its own."""

    @property
    def ct(self) -> Volume:
        """The case's CT."""
        return self.case.ct

    @property
    def truth(self) -> Labels:
        """The case's label image."""
        return self.case.labels

    @property
    def prediction(self) -> Labels:
        """What the network saw, as it was saved."""
        return load_labels(self.path, self.names, self.case.name)

    @property
    def dice(self) -> dict[int, float]:
        """Label value to Dice, for every label that truth or prediction has."""
        return {value: marks.dice for value, marks in self.marks.items()}

    @property
    def mean(self) -> float | None:
        """Mean Dice over the labels that truth or prediction has; None when they have none."""
        return sum(self.dice.values()) / len(self.marks) if self.marks else None


@dataclass(frozen=True)
class Summary:
    """One label over all cases; the means are None when no case has it."""

    findings: Mapping[Finding, int]
    """Cases of each kind; the others have the label neither in truth nor in prediction."""
    cases: int
    dice: Estimate | None
    hd95_mm: Estimate | None
    nsd: Estimate | None
    error_ml: Estimate | None
    """Too much (positive) or too little on the whole: errors of different signs cancel out."""
    distance_ml: Estimate | None
    """Size of the error, whatever its sign."""


@dataclass(frozen=True, repr=False)
class Scores:
    """The marks of some cases, the worst first; a notebook shows them as tables."""

    cases: tuple[Score, ...]
    names: Mapping[int, str]
    tolerance_mm: float = TOLERANCE_MM
    """Of NSD."""

    def __post_init__(self) -> None:
        ordered = sorted(self.cases, key=lambda score: (math.inf if score.mean is None else score.mean, score.case.name))
        object.__setattr__(self, "cases", tuple(ordered))

    @classmethod
    def joined(cls, parts: Sequence[Scores]) -> Scores:
        """All cases of `parts` (at least one) in one table."""
        names = {value: name for part in parts for value, name in part.names.items()}
        return cls(tuple(score for part in parts for score in part.cases), names, parts[0].tolerance_mm)

    @property
    def worst(self) -> Score:
        """The case with the lowest mean Dice: the one to look at first."""
        return self.cases[0]

    def mean(self, value: int) -> float:
        """Mean Dice of a label over the cases that have it; NaN when none has."""
        found = self.summary(value).dice
        return found.mean if found else math.nan

    def summary(self, value: int, *, seed: int = 0) -> Summary:
        """The label `value` over all cases, with intervals (`ctlab.bootstrap`)."""
        having = [score for score in self.cases if value in score.marks]
        patients = [score.patient or f"case {score.case.name}" for score in having]

        def over(mark: Callable[[Marks], float]) -> Estimate | None:
            return estimate([mark(score.marks[value]) for score in having], patients, seed=seed)

        return Summary(
            {kind: sum(score.marks[value].finding is kind for score in having) for kind in Finding},
            len(self.cases),
            over(lambda marks: marks.dice),
            over(lambda marks: marks.hd95_mm),
            over(lambda marks: marks.nsd),
            over(lambda marks: marks.error_ml),
            over(lambda marks: abs(marks.error_ml)),
        )

    def save(self, path: str | Path) -> Path:
        """Writes a table (CSV, a row a case and label) that a spreadsheet opens; it appears whole or not at all."""
        return scoretable.save(self, Path(path))

    def __repr__(self) -> str:
        return scoretable.text(self)

    def _repr_html_(self) -> str:
        return scoretable.html(self)


def evaluate(result: TrainingResult, cohort: Cohort, *, tolerance_mm: float = TOLERANCE_MM) -> Scores:
    """Predicts every validation case of `cohort`, saves predictions and SCORES_FILE beside the checkpoint, and scores them.

    `tolerance_mm` is that of NSD. A case that can't be used is reported in `cohort.problems`. Raises CohortError when none can.
    """
    names = result.model.names
    patients = patients_of(cohort.folder, cohort.val)
    scores = []
    for case, ct, truth in cohort.loaded(cohort.val):
        prediction = predict(result.model, ct)
        path = prediction.save(result.checkpoint.parent / PREDICTIONS / f"{case.name}.nii.gz")
        marks = compare(truth, prediction, tolerance_mm=tolerance_mm)
        # A label that the network was never taught is no fault of this prediction.
        known = {value: marks[value] for value in names if value in marks}
        scores.append(Score(case, known, path, names, patients[case.name]))
    if not scores:
        raise CohortError(N_("{folder} holds no validation case that can be used."), folder=cohort.folder.name)
    table = Scores(tuple(scores), names, tolerance_mm)
    table.save(result.checkpoint.parent / SCORES_FILE)
    return table
