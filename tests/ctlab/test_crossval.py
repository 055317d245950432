"""A cohort divided for cross-validation: by patient, evenly, and always in the same way."""

import json
from dataclasses import replace

import pytest
from ctlab import inference, network, trainer
from ctlab.cohort import Cohort
from ctlab.crossval import Member, cross_cohorts, cross_validate, divide
from ctlab.errors import CohortError
from ctlab.patients import patients_of
from ctlab.phantoms import make_cohort
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.ctlab.samples import series, write_case, write_series

MEMBERS = st.lists(
    st.tuples(st.integers(0, 12), st.frozensets(st.integers(1, 4))), min_size=2, max_size=30
).map(lambda drawn: [Member(f"c{index}", f"p{patient}", labels) for index, (patient, labels) in enumerate(drawn)])  # fmt: skip


@given(MEMBERS, st.integers(2, 6), st.integers(0, 5), st.randoms(use_true_random=False))
def test_every_case_is_in_one_part_and_no_patient_in_two(members, count, seed, random):
    if len({member.patient for member in members}) < count:
        with pytest.raises(CohortError, match="can't be divided"):
            divide(members, count, seed=seed)
        return
    parts = divide(members, count, seed=seed)
    assert sorted(case for part in parts for case in part) == sorted(member.case for member in members)
    patient = {member.case: member.patient for member in members}
    seen = [{patient[case] for case in part} for part in parts]
    assert all(seen)
    assert sum(map(len, seen)) == len(set().union(*seen))

    shuffled = random.sample(members, len(members))
    assert divide(shuffled, count, seed=seed) == parts


@given(st.integers(2, 5), st.integers(0, 12), st.integers(0, 12), st.integers(0, 5))
def test_single_cases_and_their_labels_are_spread_evenly(count, with_lesion, without, seed):
    members = [Member(f"a{i}", f"a{i}", frozenset({1, 2})) for i in range(with_lesion)]
    members += [Member(f"b{i}", f"b{i}", frozenset({1})) for i in range(without)]
    if len(members) < count:
        return
    parts = divide(members, count, seed=seed)
    sizes = [len(part) for part in parts]
    lesions = [sum(case.startswith("a") for case in part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert max(lesions) - min(lesions) <= 1


def test_another_seed_divides_otherwise():
    members = [Member(f"c{i}", f"p{i}") for i in range(12)]
    assert divide(members, 3, seed=1) != divide(members, 3, seed=2)


@pytest.fixture
def folder(tmp_path):
    for case in ("train/a", "train/b", "train/c", "val/d"):
        write_case(tmp_path / "cohort" / case)
    return tmp_path / "cohort"


def test_each_case_is_for_validation_once(folder):
    parts = cross_cohorts(Cohort(folder), 2)
    assert sorted(case.name for part in parts for case in part.val) == ["a", "b", "c", "d"]
    for part in parts:
        assert {case.name for case in part.train} | {case.name for case in part.val} == {"a", "b", "c", "d"}
        assert {case.name for case in part.train}.isdisjoint(case.name for case in part.val)
        assert all(case.labels.values() for case in part.val)


def test_a_case_that_cannot_be_used_is_reported_and_in_no_part(folder):
    (folder / "train" / "b" / "label.nii.gz").unlink()
    cohort = Cohort(folder)
    parts = cross_cohorts(cohort, 3)
    assert sorted(case.name for part in parts for case in part.val) == ["a", "c", "d"]
    assert [problem.case for problem in cohort.problems] == ["b"]


def test_the_table_of_patients_keeps_their_cases_together(folder):
    (folder / "patients.json").write_text(json.dumps({"a": "P", "d": "P"}))
    parts = cross_cohorts(Cohort(folder), 3)
    assert ("a", "d") in [tuple(case.name for case in part.val) for part in parts]


def test_dicom_files_say_whose_they_are(folder):
    for case in ("train/a", "train/c"):
        write_series(folder / case / "dicom", series()[:2])
    cohort = Cohort(folder)
    assert patients_of(folder, (*cohort.train, *cohort.val)) == {"a": "id 0", "b": "case b", "c": "id 0", "d": "case d"}


@pytest.mark.parametrize("content", ["[]", "{", '{"a": 1}', '{"a": ""}', "\udcff"])
def test_a_damaged_table_of_patients_is_not_passed_over(folder, content):
    (folder / "patients.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(CohortError, match=r"patients\.json"):
        cross_cohorts(Cohort(folder), 2)


def test_every_case_is_scored_by_the_network_that_does_not_know_it(tmp_path, monkeypatch):
    monkeypatch.setitem(network.PRESETS, "vnet", replace(network.PRESETS["vnet"], spacing_mm=14.0, patch=16, steps=1, epochs=1))
    for module in (inference, trainer):
        monkeypatch.setattr(module, "build", lambda classes, *_: nn.Conv3d(1, classes, 3, padding=1))
    make_cohort(tmp_path / "cohort", 2, 1, 5, (32, 32, 24))
    scores = cross_validate(Cohort(tmp_path / "cohort"), count=2, folder=tmp_path / "runs")
    assert sorted(score.case.name for score in scores.cases) == ["case-001", "case-002", "case-003"]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["part-1", "part-2"]
    for score in scores.cases:
        assert score.path.is_file()
        others = sorted(path.name for path in score.path.parent.iterdir())
        assert len(others) < 3, "a part's network judges its own part alone"
