"""Cases in folders: what is there, what is left out and why."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from ctlab.cohort import Cohort, open_case
from ctlab.errors import CohortError, CtlabError, FolderMissingError, HounsfieldError, LabelError, UnreadableError
from ctlab.geometry import Geometry
from ctlab.volume import Labels

from tests.ctlab.samples import chest, series, write_case, write_nifti, write_series

NAMES = {"1": {"en": "right lung", "ja": "右肺"}, "2": {"en": "left lung", "ja": "左肺"}, "3": "inflammation"}


@pytest.fixture
def folder(tmp_path) -> Path:
    """A cohort of three training cases, each stored in its own way, and one for validation."""
    for name, stored in (("train/a", "LPS"), ("train/b", "RAS"), ("train/c", "LAS"), ("val/d", "LPS")):
        write_case(tmp_path / "lungs" / name, stored)
    (tmp_path / "lungs" / "labels.json").write_text(json.dumps(NAMES), "utf-8")
    return tmp_path / "lungs"


def test_cases_come_in_the_order_of_their_names(folder):
    cohort = Cohort(folder)

    assert [case.name for case in cohort.train] == ["a", "b", "c"]
    assert [case.name for case in cohort.val] == ["d"]
    assert repr(cohort) == "lungs: 3 training and 1 validation cases; labels: 1 right lung, 2 left lung, 3 inflammation"


def test_a_cohort_introduces_itself_in_japanese(folder, monkeypatch):
    monkeypatch.setenv("LANGUAGE", "ja")

    assert repr(Cohort(folder)) == "lungs：学習用 3 症例、検証用 1 症例。ラベル：1 右肺, 2 左肺, 3 inflammation"


def test_each_case_lies_the_same_way_however_it_is_stored(folder):
    cohort = Cohort(folder)

    for case, ct, labels in cohort.loaded(cohort.train):
        assert np.array_equal(ct.voxels, chest().ct.voxels), case.name
        assert np.array_equal(labels.voxels, chest().labels.voxels), case.name
        assert [labels.label_name(value) for value in labels.values()] == ["right lung", "left lung", "inflammation"]
    assert cohort.problems == ()


def no_label(case: Path) -> None:
    (case / "label.nii.gz").unlink()


def no_ct(case: Path) -> None:
    (case / "ct.nii.gz").unlink()


def not_hu(case: Path) -> None:
    write_nifti(case / "ct.nii.gz", chest().ct.voxels + np.int16(1024), chest().ct.geometry, "LPS")


def label_of_another_grid(case: Path) -> None:
    write_case(case, label=Labels(chest().labels.voxels[:-1], Geometry((27, 24, 17), chest().ct.geometry.affine), "label"))


def label_mirrored(case: Path) -> None:
    """Same array, another place: what a program does that forgets the orientation."""
    there = chest().labels
    affine = there.geometry.affine.copy()
    affine[0, 3] += 50
    write_case(case, label=Labels(there.voxels, Geometry(there.geometry.shape, affine), "label"))


def names_are_no_table(case: Path) -> None:
    (case / "labels.json").write_text("[1, 2]")


BAD = {
    "no label image": (no_label, LabelError, r"b: there is no label image \(label\.nii\.gz\)"),
    "no CT": (no_ct, UnreadableError, r"b: .*/train/b/ct\.nii\.gz isn't there"),
    "not HU": (not_hu, HounsfieldError, "b: .*1000 too high"),
    "another grid": (label_of_another_grid, LabelError, "b: the label image has 27 × 24 × 17 voxels, the CT 28 × 24 × 17"),
    "another place": (label_mirrored, LabelError, r"b: the label image lies up to 50\.0 mm beside the CT"),
    "no table of names": (names_are_no_table, LabelError, r"train/b/labels\.json isn't a table of label names"),
}


@pytest.mark.parametrize(("spoil", "kind", "words"), BAD.values(), ids=BAD)
def test_a_bad_case_is_left_out_and_the_others_go_on(folder, spoil, kind, words):
    spoil(folder / "train" / "b")
    cohort = Cohort(folder)

    assert [case.name for case, _ct, _labels in cohort.loaded(cohort.train)] == ["a", "c"]
    [problem] = cohort.problems
    assert problem.case == "b"
    assert repr(cohort).splitlines()[1] == f"left out: {problem.text}"
    with pytest.raises(kind, match=words) as refused:
        open_case(folder / "train" / "b").load()
    assert str(refused.value) == problem.text


def test_a_case_that_was_mended_is_no_problem_any_more(folder):
    no_label(folder / "train" / "b")
    cohort = Cohort(folder)
    list(cohort.loaded(cohort.train))
    write_case(folder / "train" / "b")

    assert [case.name for case, _ct, _labels in cohort.loaded(cohort.train)] == ["a", "b", "c"]
    assert cohort.problems == ()


def test_a_case_may_be_a_dicom_series(folder):
    (folder / "train" / "b" / "ct.nii.gz").unlink()
    write_series(folder / "train" / "b" / "dicom", series())
    ct, labels = Cohort(folder).train[1].load()

    assert np.array_equal(ct.voxels, chest().ct.voxels)
    assert np.array_equal(labels.voxels, chest().labels.voxels)


def test_a_case_may_name_its_labels_itself(folder, monkeypatch):
    (folder / "train" / "b" / "labels.json").write_text(json.dumps({"1": {"en": "lung", "ja": "肺"}}), "utf-8")
    assert [case.names[1] for case in Cohort(folder).train] == ["right lung", "lung", "right lung"]

    monkeypatch.setenv("LANGUAGE", "ja")
    assert [case.names[1] for case in Cohort(folder).train] == ["右肺", "肺", "右肺"]


def test_files_and_hidden_folders_beside_cases_are_no_cases(folder):
    (folder / "train" / "notes.txt").write_text("from Monday")
    (folder / "train" / ".snapshots").mkdir()

    assert [case.name for case in Cohort(folder).train] == ["a", "b", "c"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    for opens in (Cohort, open_case):
        with pytest.raises(FolderMissingError, match=f"^{re.escape(str(tmp_path))}/lungs isn't there"):
            opens(tmp_path / "lungs")


def test_a_cohort_without_cases_says_what_it_should_look_like(tmp_path):
    with pytest.raises(CohortError, match=r"holds no training cases\. Expected: .*/train/CASE/ct\.nii\.gz and label\.nii\.gz"):
        Cohort(tmp_path)


def test_validation_may_be_missing(folder):
    shutil.rmtree(folder / "val")

    assert Cohort(folder).val == ()


def test_a_patient_is_never_trained_on_and_validated_with(folder):
    (folder / "train" / "b").rename(folder / "val" / "a")

    with pytest.raises(CohortError, match=r"^a: in training and in validation"):
        Cohort(folder)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"lung": "1"}', '{"1": 5}', '{"1": {"de": "Lunge"}}', '{"1": {"en": 5}}', "[" * 100_000, "\udcff"],
    ids=["empty", "half", "list", "no number", "no name", "other language", "number as name", "deep", "no UTF-8"],
)
def test_label_names_that_are_no_table_are_refused(folder, text):
    (folder / "labels.json").write_bytes(text.encode("utf-8", "surrogateescape"))

    with pytest.raises(LabelError, match=r'labels\.json isn\'t a table of label names like {"1": "lung"}'):
        Cohort(folder)


def test_every_refusal_is_one_kind_of_error():
    for kind in (CohortError, FolderMissingError, HounsfieldError, LabelError, UnreadableError):
        assert issubclass(kind, CtlabError)
