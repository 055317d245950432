"""A cohort is packed: once, whole, and again after a kill."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import signal
from pathlib import Path

import numpy as np
import pytest
from ctlab.cohort import Cohort, PackedCase, open_case
from ctlab.errors import CohortError, StorageError
from ctlab.packed import ENDING, read_header
from ctlab.packing import pack
from ctlab.patients import patients_of

from tests.ctlab.samples import chest, series, write_case, write_series


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two training cases, one of them a DICOM series, and one for validation."""
    for name, stored in (("train/a", "LPS"), ("train/b", "RAS"), ("val/d", "LAS")):
        write_case(tmp_path / "lungs" / name, stored)
    (tmp_path / "lungs" / "train" / "b" / "ct.nii.gz").unlink()
    write_series(tmp_path / "lungs" / "train" / "b" / "dicom", series())
    (tmp_path / "lungs" / "labels.json").write_text(json.dumps({"1": {"en": "right lung", "ja": "右肺"}}), "utf-8")
    return tmp_path / "lungs"


def no_word(_: str) -> None:
    return None


def test_a_packed_cohort_is_a_cohort(folder, tmp_path):
    said: list[str] = []
    packing = pack(Cohort(folder), tmp_path / "packed", show=said.append)
    cohort = Cohort(tmp_path / "packed")

    assert packing.packed == ("a", "b", "d")
    assert sorted(text.partition(":")[0] for text in said) == ["1 of 3", "2 of 3", "3 of 3"]
    assert repr(packing) == f"{tmp_path / 'packed'}: 3 cases packed, 0 were packed already."
    assert [case.name for case in cohort.train] == ["a", "b"]
    assert [case.name for case in cohort.val] == ["d"]
    for case, ct, labels in [*cohort.loaded(cohort.train), *cohort.loaded(cohort.val)]:
        assert isinstance(case, PackedCase)
        assert np.array_equal(ct.voxels, chest().ct.voxels), case.name
        assert np.array_equal(labels.voxels, chest().labels.voxels), case.name
        assert labels.label_name(1) == "right lung"
    assert cohort.problems == ()
    assert cohort.train[1].ct.geometry.stored == "LPS"


def test_what_is_packed_already_is_kept_and_what_changed_is_packed_again(folder, tmp_path):
    pack(Cohort(folder), tmp_path / "packed", show=no_word)
    before = {path: path.stat().st_ino for path in (tmp_path / "packed").rglob(f"*{ENDING}")}
    ct = folder / "train" / "a" / "ct.nii.gz"
    os.utime(ct, ns=(1, 1))
    packing = pack(Cohort(folder), tmp_path / "packed", show=no_word)

    assert (packing.packed, packing.kept) == (("a",), ("b", "d"))
    changed = {path.name for path, number in before.items() if path.stat().st_ino != number}
    assert changed == {f"a{ENDING}"}


def test_a_damaged_packed_case_is_packed_again(folder, tmp_path):
    pack(Cohort(folder), tmp_path / "packed", show=no_word)
    path = tmp_path / "packed" / "train" / f"a{ENDING}"
    path.write_bytes(path.read_bytes()[:-100])

    assert pack(Cohort(folder), tmp_path / "packed", show=no_word).packed == ("a",)
    open_case(path).packed.verify()


def test_a_case_that_can_not_be_used_is_named_and_the_others_go_on(folder, tmp_path):
    (folder / "train" / "a" / "label.nii.gz").unlink()
    cohort = Cohort(folder)
    packing = pack(cohort, tmp_path / "packed", show=no_word)

    assert packing.packed == ("b", "d")
    assert [problem.text for problem in packing.problems] == ["a: there is no label image (label.nii.gz)."]
    assert cohort.problems == packing.problems
    assert "left out: a: there is no label image" in repr(packing)


def test_when_the_time_is_up_the_rest_is_left(folder, tmp_path):
    times = iter([False, True, True])
    packing = pack(Cohort(folder), tmp_path / "packed", workers=1, stop=lambda: next(times), show=no_word)

    assert (packing.packed, packing.left) == (("a",), ("b", "d"))
    assert "2 cases are not packed yet. Pack again to go on" in repr(packing)
    assert pack(Cohort(folder), tmp_path / "packed", show=no_word).packed == ("b", "d")


def _killed(folder: Path, target: Path) -> None:
    """Dies when the second case is about to appear."""
    made = []

    def die(_: str) -> None:
        made.append(_)
        (target / "train" / f".99999-1-b{ENDING}").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)

    pack(Cohort(folder), target, workers=1, show=die)


@pytest.mark.slow
def test_what_was_killed_goes_on_and_leaves_nothing_half(folder, tmp_path):
    target = tmp_path / "packed"
    child = multiprocessing.get_context("spawn").Process(target=_killed, args=(folder, target))
    child.start()
    child.join(60)

    assert child.exitcode == -signal.SIGKILL
    assert read_header(target / "train" / f"a{ENDING}") is not None
    packing = pack(Cohort(folder), target, show=no_word)
    assert (packing.packed, packing.kept) == (("b", "d"), ("a",))
    assert sorted(path.name for path in target.rglob("*") if path.is_file()) == [
        f"a{ENDING}", f"b{ENDING}", f"d{ENDING}", "labels.json", "patients.json",
    ]  # fmt: skip


def test_a_packed_cohort_is_not_packed_over_itself(folder, tmp_path):
    with pytest.raises(CohortError, match="is the cohort's own folder"):
        pack(Cohort(folder), folder)


def test_a_packed_cohort_may_be_copied_by_packing(folder, tmp_path):
    pack(Cohort(folder), tmp_path / "packed", show=no_word)
    packing = pack(Cohort(tmp_path / "packed"), tmp_path / "copy", show=no_word)

    assert packing.packed == ("a", "b", "d")
    one, other = (tmp_path / name / "train" / f"a{ENDING}" for name in ("packed", "copy"))
    assert read_header(one) == read_header(other)


def test_a_case_that_is_there_in_both_forms_is_refused(folder, tmp_path):
    pack(Cohort(folder), tmp_path / "packed", show=no_word)
    write_case(tmp_path / "packed" / "train" / "a")

    with pytest.raises(CohortError, match=r"^a: there as a folder and as a packed file"):
        Cohort(tmp_path / "packed")


def test_scans_of_one_patient_stay_known_as_such(folder, tmp_path):
    write_case(folder / "train" / "c")
    for name in ("a", "c"):  # the same person's DICOM files
        (folder / "train" / name / "ct.nii.gz").unlink()
        write_series(folder / "train" / name / "dicom", series())
    cohort = Cohort(folder)
    pack(cohort, tmp_path / "packed", show=no_word)
    packed = Cohort(tmp_path / "packed")
    before = patients_of(folder, [*cohort.train, *cohort.val])
    after = patients_of(tmp_path / "packed", [*packed.train, *packed.val])

    assert before["a"] == before["b"] == before["c"] != before["d"]
    assert after["a"] == after["b"] == after["c"] != after["d"]


def test_names_that_were_changed_are_packed_again(folder, tmp_path):
    pack(Cohort(folder), tmp_path / "packed", show=no_word)
    (folder / "labels.json").write_text(json.dumps({"1": "lung"}), "utf-8")

    assert pack(Cohort(folder), tmp_path / "packed", show=no_word).packed == ("a", "b", "d")
    assert Cohort(tmp_path / "packed").train[0].labels.label_name(1) == "lung"


def test_a_folder_that_takes_nothing_is_said(folder, tmp_path):
    pack(Cohort(folder), tmp_path / "packed", workers=1, stop=(tmp_path / "packed" / "train").exists, show=no_word)
    (tmp_path / "packed" / "val").write_text("a file in the folder's place")

    with pytest.raises(StorageError, match=r"^d: the storage doesn't answer or takes nothing \(.*\)\. The cases that were packed"):
        pack(Cohort(folder), tmp_path / "packed", show=no_word)
    assert open_case(tmp_path / "packed" / "train" / f"a{ENDING}").labels.values() == (1, 2, 3)


def test_a_packed_case_can_be_handed_to_another_process(folder, tmp_path):
    pack(Cohort(folder), tmp_path / "packed", show=no_word)
    case = Cohort(tmp_path / "packed").train[0]
    before = case.ct.voxels
    other = pickle.loads(pickle.dumps(case))  # noqa: S301  (our own)

    assert np.array_equal(other.ct.voxels, before)
    assert other.labels.label_name(1) == "right lung"


def test_a_case_keeps_the_names_of_its_own(folder, tmp_path):
    (folder / "train" / "a" / "labels.json").write_text(json.dumps({"1": {"en": "lung", "ja": "肺"}}), "utf-8")
    pack(Cohort(folder), tmp_path / "packed", show=no_word)
    a, b = Cohort(tmp_path / "packed").train

    assert a.labels.label_name(1) == "lung"
    assert open_case(b.folder).labels.label_name(1) == "right lung", "the file alone knows its names"
    assert b.labels.label_name(1) == "right lung"
