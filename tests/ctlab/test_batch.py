"""A cohort segmented, killed, damaged and gone on with; the network is a threshold, so that the answer is known."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from ctlab import batch, provenance
from ctlab.batch import predict_cohort
from ctlab.clock import STOP_S
from ctlab.cohort import Cohort, open_case
from ctlab.errors import CheckpointError, CohortError, FolderMissingError
from ctlab.inference import predict
from ctlab.packing import pack
from ctlab.readers import load_labels

from tests.ctlab.networks import threshold_model
from tests.ctlab.samples import series, write_case, write_series


@pytest.fixture
def cases(tmp_path) -> Path:
    """Two NIfTI cases, and two of DICOM, one of them without a folder `dicom`."""
    folder = tmp_path / "cases"
    write_case(folder / "a", "LPS")
    write_case(folder / "b", "RAS")
    write_series(folder / "c" / "dicom", series())
    write_series(folder / "d", series())
    return folder


def run(cases, tmp_path, model=None, **given):
    lines: list[str] = []
    return predict_cohort(model or threshold_model(), cases, tmp_path / "out", report=lines.append, **given), lines


def test_every_case_comes_out_on_its_own_grid_with_its_provenance(cases, tmp_path):
    found, lines = run(cases, tmp_path)
    assert [each.case for each in found.done] == ["a", "b", "c", "d"]
    assert not found.problems
    assert [each.seg is not None for each in found.done] == [False, False, True, True]
    assert len(lines) == 4
    for each in found.done[:2]:
        ct, labels = nib.load(cases / each.case / "ct.nii.gz"), nib.load(each.path)
        assert labels.shape == ct.shape
        np.testing.assert_allclose(labels.affine, ct.affine, atol=1e-4)
        np.testing.assert_allclose(labels.get_qform(), labels.get_sform(), atol=1e-4)
        assert (labels.get_data_dtype(), int(labels.header["sform_code"]) > 0) == (np.uint8, True)
    expected = predict(threshold_model(), open_case(cases / "a").ct)
    assert np.array_equal(load_labels(found.done[0].path).voxels, expected.voxels)
    told = json.loads((tmp_path / "out" / "c.json").read_text())
    assert set(told["files"]) == {"c.nii.gz", "c.seg.dcm"}
    assert told["files"]["c.nii.gz"] == provenance.of_file(tmp_path / "out" / "c.nii.gz")
    assert told["labels"] == {"1": "air", "2": "nothing"}
    assert told["model"] == provenance.of_model(threshold_model())
    assert not list((tmp_path / "out").glob(".*"))


def test_no_patient_and_no_path_is_in_the_provenance(cases, tmp_path):
    assert str(pydicom.dcmread(next((cases / "d").iterdir())).PatientName) == "Phantom"
    run(cases, tmp_path)
    for story in (tmp_path / "out").glob("*.json"):
        assert "Phantom" not in story.read_text()
        assert str(tmp_path) not in story.read_text()


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in folder.iterdir()}


def test_what_is_done_is_not_done_again(cases, tmp_path):
    run(cases, tmp_path)
    before = stamps(tmp_path / "out")
    found, lines = run(cases, tmp_path)
    assert all(each.before for each in found.done)
    assert stamps(tmp_path / "out") == before
    assert "before" in lines[0]


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def touch(path: Path) -> None:
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 10**9))


CHANGES = {
    "a result is damaged": (lambda cases, out: damage(out / "a.nii.gz"), {"a"}),
    "a result is gone": (lambda cases, out: (out / "c.seg.dcm").unlink(), {"c"}),
    "the provenance is damaged": (lambda cases, out: damage(out / "b.json"), {"b"}),
    "the provenance is something else": (lambda cases, out: (out / "b.json").write_text("{}"), {"b"}),
    "the image is another": (lambda cases, out: touch(cases / "b" / "ct.nii.gz"), {"b"}),
    "a slice is another": (lambda cases, out: touch(next((cases / "c" / "dicom").iterdir())), {"c"}),
    "the truth is another": (lambda cases, out: touch(cases / "a" / "label.nii.gz"), set()),
    "a draft was left behind": (lambda cases, out: (out / ".1-a.nii.gz").write_bytes(b""), set()),
}


@pytest.mark.parametrize(("change", "again"), CHANGES.values(), ids=CHANGES)
def test_what_changed_and_only_that_is_done_again(cases, tmp_path, change, again):
    run(cases, tmp_path)
    change(cases, tmp_path / "out")
    found, _ = run(cases, tmp_path)
    assert {each.case for each in found.done if not each.before} == again
    assert all(each.before for each in run(cases, tmp_path)[0].done)


def test_another_network_or_other_parameters_do_it_again(cases, tmp_path):
    only = [open_case(cases / "a")]
    run(only, tmp_path)
    other = threshold_model()
    other.network.weight.data += 1
    assert not run(only, tmp_path, other)[0].done[0].before
    assert not run(only, tmp_path, other, mirror="x")[0].done[0].before
    assert run(only, tmp_path, other, mirror="x")[0].done[0].before


def test_one_case_that_fails_is_told_in_a_sentence_and_the_rest_goes_on(cases, tmp_path):
    next((cases / "c" / "dicom").iterdir()).unlink()
    (cases / "b" / "ct.nii.gz").write_bytes(b"nothing")
    found, _ = run(cases, tmp_path)
    assert [each.case for each in found.done] == ["a", "d"]
    assert [problem.case for problem in found.problems] == ["b", "c"]
    assert found.problems[0].text.startswith("b: ct.nii.gz can't be read")
    assert "2 cases are segmented (0 of them before), 2 failed" in repr(found)
    assert found.problems[1].text in found._repr_html_() or "&" in found._repr_html_()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(5, "Input/output error"), r"reading or writing failed \(Input/output error\).*run the same line again"),
        (MemoryError(), "not enough memory"),
        (RuntimeError("odd"), r"something unexpected went wrong \(RuntimeError: odd\)"),
    ],
)
def test_a_cut_line_and_other_accidents_are_told_and_made_good(cases, tmp_path, monkeypatch, error, words):
    def broken(model, ct, **given):
        if ct.name == "b":
            raise error
        return predict(model, ct, **given)

    monkeypatch.setattr(batch, "predict", broken)
    found, _ = run(cases, tmp_path)
    assert [each.case for each in found.done] == ["a", "c", "d"]
    (problem,) = found.problems
    assert problem.case == "b"
    assert re.search(words, problem.text)

    monkeypatch.undo()
    monkeypatch.setenv("LANGUAGE", "en")
    again, _ = run(cases, tmp_path)
    assert [each.case for each in again.done if not each.before] == ["b"]


def test_killed_between_result_and_provenance_it_is_done_again_and_right(cases, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(path, made):
        raise Killed

    monkeypatch.setattr(batch.provenance, "write", killed)
    with pytest.raises(Killed):
        run(cases, tmp_path)
    assert sorted(stamps(tmp_path / "out")) == ["a.nii.gz"]
    monkeypatch.undo()
    monkeypatch.setenv("LANGUAGE", "en")
    found, _ = run(cases, tmp_path)
    assert [each.before for each in found.done] == [False] * 4


def test_no_case_is_begun_that_the_session_could_not_end(cases, tmp_path):
    left = iter([1e6, 1e6, STOP_S])
    found, _ = run(cases, tmp_path, seconds_left=lambda: next(left))
    assert ([each.case for each in found.done], found.waiting) == (["a", "b"], ("c", "d"))
    assert "Run the same line again" in repr(found)


def test_a_segmentation_that_cannot_be_written_leaves_its_reason(tmp_path):
    slices = series()
    for made in slices:
        del made.StudyInstanceUID
    write_series(tmp_path / "cases" / "a", slices)
    found, _ = run(tmp_path / "cases", tmp_path)
    (done,) = found.done
    assert (done.path.is_file(), done.seg) == (True, None)
    assert "incomplete" in done.remark
    assert done.remark in repr(found)
    assert run(tmp_path / "cases", tmp_path)[0].done[0].before


def test_a_cohort_gives_all_its_cases(tmp_path):
    for case in ("train/a", "val/b"):
        write_case(tmp_path / "cohort" / case)
    assert [each.case for each in run(Cohort(tmp_path / "cohort"), tmp_path)[0].done] == ["a", "b"]
    assert [each.case for each in run(tmp_path / "cohort", tmp_path)[0].done] == ["a", "b"]


def test_where_there_is_nothing_to_do_one_sentence_says_so(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CohortError, match="holds no cases"):
        run(tmp_path / "empty", tmp_path)
    with pytest.raises(FolderMissingError, match="isn't there"):
        run(tmp_path / "nowhere", tmp_path)
    with pytest.raises(CheckpointError):
        run(tmp_path / "empty", tmp_path, model=tmp_path / "none.pt")


def test_packed_cases_are_segmented_like_the_files_they_came_from(tmp_path):
    for case in ("train/a", "val/b"):
        write_case(tmp_path / "cohort" / case)
    plain, _ = run(Cohort(tmp_path / "cohort"), tmp_path)
    pack(Cohort(tmp_path / "cohort"), tmp_path / "packed", workers=1)
    found = predict_cohort(threshold_model(), Cohort(tmp_path / "packed"), tmp_path / "again", report=lambda line: None)
    assert [each.case for each in found.done] == ["a", "b"]
    for one, other in zip(plain.done, found.done, strict=True):
        assert np.array_equal(load_labels(one.path).voxels, load_labels(other.path).voxels)


def test_a_truth_in_dicom_makes_no_series_of_a_nifti_case(cases, tmp_path):
    shutil.copy(next((cases / "d").iterdir()), cases / "a" / "label.dcm")
    found, _ = run([open_case(cases / "a")], tmp_path)
    assert [(each.case, each.seg, each.remark) for each in found.done] == [("a", None, "")]
