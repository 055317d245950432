"""Validation cases predicted, saved and scored; the network is a threshold, so that the answer is known."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from ctlab.cohort import Case, Cohort
from ctlab.errors import CohortError
from ctlab.history import Epoch
from ctlab.metrics import Finding, Marks
from ctlab.scores import Score, Scores, evaluate
from ctlab.training import TrainingResult

from tests.ctlab.networks import NAMES, threshold_model
from tests.ctlab.samples import chest, write_case


@pytest.fixture
def result(tmp_path) -> TrainingResult:
    epoch = Epoch(1, 1.0, {1: 0.5}, 1.0)
    return TrainingResult(threshold_model(), (epoch,), epoch, tmp_path / "run" / "best.pt", stopped_early=False)


@pytest.fixture
def cohort(tmp_path) -> Cohort:
    folder = tmp_path / "cohort"
    for case, stored in (("train/a", "LPS"), ("val/b", "LPS"), ("val/c", "RAS"), ("val/d", "LAS")):
        write_case(folder / case, stored)
    return Cohort(folder)


def test_each_prediction_is_saved_on_the_grid_of_its_ct_file(result, cohort):
    scores = evaluate(result, cohort)
    assert [score.case.name for score in scores.cases] == ["b", "c", "d"]
    for score in scores.cases:
        ct, prediction = nib.load(score.case.folder / "ct.nii.gz"), nib.load(score.path)
        assert score.path == result.checkpoint.parent / "predictions" / f"{score.case.name}.nii.gz"
        assert prediction.shape == ct.shape
        np.testing.assert_allclose(prediction.affine, ct.affine, atol=1e-4)


def test_the_same_patient_scores_the_same_however_the_file_is_stored(result, cohort):
    first, *others = (score.dice for score in evaluate(result, cohort).cases)
    assert 0.1 < first[1] < 1
    assert set(first) == {1, 2}, "the phantom has label 2, which the network never marks"
    assert first[2] == 0
    for other in others:
        assert other[1] == pytest.approx(first[1], abs=1e-6)


def test_a_score_brings_its_images_back(result, cohort):
    score = evaluate(result, cohort).worst
    assert score.ct.geometry.fits(chest().ct.geometry)
    assert score.truth.voxels.tobytes() == chest().labels.voxels.tobytes()
    score.prediction.check_fits(score.ct)
    assert score.prediction.label_name(1) == "air"


def test_a_case_that_cannot_be_used_is_reported_and_the_rest_scored(result, cohort):
    (cohort.val[1].folder / "label.nii.gz").unlink()
    assert [score.case.name for score in evaluate(result, cohort).cases] == ["b", "d"]
    assert [problem.case for problem in cohort.problems] == ["c"]


def test_the_table_lies_beside_the_checkpoint(result, cohort):
    evaluate(result, cohort)
    lines = (result.checkpoint.parent / "scores.csv").read_text("utf-8-sig").splitlines()
    assert len(lines) == 1 + 3 * len(NAMES)
    assert lines[1].startswith("b,case b,1,air,found,0.")


def test_a_cohort_without_usable_validation_is_refused(result, cohort):
    for case in cohort.val:
        (case.folder / "ct.nii.gz").unlink()
    with pytest.raises(CohortError, match="cohort holds no validation case"):
        evaluate(result, cohort)


def marks(dice: float = 0.9, *, finding: Finding = Finding.FOUND, truth: float = 100.0, prediction: float = 90.0) -> Marks:
    return Marks(finding, dice, 3.0, 0.8, truth, prediction)


def table(*rows: dict[int, Marks], names: dict[int, str] | None = None) -> Scores:
    cases = [Score(Case(Path(f"case-{number}"), {}), row, Path("p"), NAMES) for number, row in enumerate(rows)]
    return Scores(tuple(cases), names or {1: "lung", 2: "<b>"})


def test_cases_come_worst_first_and_one_without_labels_last():
    scores = table({}, {1: marks(0.9), 2: marks(0.5)}, {1: marks(0.6)})
    assert [score.case.name for score in scores.cases] == ["case-2", "case-1", "case-0"]
    assert (scores.worst.mean, scores.cases[-1].mean) == (0.6, None)


def test_a_label_that_is_missed_or_invented_counts_and_one_that_nobody_has_does_not():
    missed, invented = marks(0.0, finding=Finding.MISSED, prediction=0.0), marks(0.0, finding=Finding.INVENTED, truth=0.0)
    summary = table({1: marks(0.9)}, {1: missed}, {1: invented}, {}).summary(1)
    assert dict(summary.findings) == {Finding.FOUND: 1, Finding.MISSED: 1, Finding.INVENTED: 1}
    assert summary.cases == 4
    assert (summary.dice.mean, summary.dice.count) == (pytest.approx(0.3), 3)
    assert summary.error_ml.mean == pytest.approx((-10 - 100 + 90) / 3)
    assert summary.distance_ml.mean == pytest.approx((10 + 100 + 90) / 3)


def test_a_label_without_any_case_has_no_mean():
    scores = table({1: marks()})
    assert scores.summary(2).dice is None
    assert math.isnan(scores.mean(2))
    assert "<b>\t0 of 1\t0\t0\t–\t–\t–\t–\t–" in repr(scores)


def test_the_page_says_every_number_and_runs_no_script():
    shown = table({1: marks(0.912)}, {1: marks(0.5)})._repr_html_()
    said = "<td>0.912</td>", "<td>2 of 2</td>", "<td>0.706 (0.500 – 0.912)</td>", "<td>-10.0</td>", "&lt;b&gt;", "NSD within 2 mm"
    for cell in said:
        assert cell in shown, cell
    assert "<script" not in shown
    assert not re.search(r"<[^>]*\son\w+=", shown)
    assert shown.index("case-1") < shown.index("case-0")


def test_the_page_speaks_japanese(monkeypatch):
    monkeypatch.setenv("LANGUAGE", "ja")
    shown = table({1: marks()})._repr_html_()
    assert "症例" in shown
    assert "worst" not in shown.lower()


def test_a_spreadsheet_gets_a_row_for_each_case_and_label(tmp_path):
    path = table({1: marks(0.25)}, {1: marks(0.75)}, names={1: "=1+1", 2: "肺"}).save(tmp_path / "scores.csv")
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["case"], row["label"], row["finding"]) for row in rows] == [
        ("case-0", "1", "found"), ("case-0", "2", "absent"), ("case-1", "1", "found"), ("case-1", "2", "absent"),
    ]  # fmt: skip
    assert (float(rows[0]["dice"]), float(rows[0]["error_ml"]), rows[1]["dice"]) == (0.25, -10.0, "")
    assert rows[0]["name"] == "'=1+1"


def test_joined_scores_are_one_table():
    one, other = table({1: marks(0.9)}), table({1: marks(0.1)})
    assert [score.mean for score in Scores.joined([one, other]).cases] == [0.1, 0.9]
