"""Phantoms: the same from the same arguments, a body with a left and a right, and labels that are true."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK
from ctlab.anatomy import BLOOD, LUNG
from ctlab.cohort import Cohort
from ctlab.phantoms import ORIENTATIONS, Marking, make_cohort, make_phantom
from ctlab.phantoms import main as phantoms
from ctlab.volume import Labels

SIZE = (40, 40, 32)
SEEDS = [(seed, 0, 0) for seed in range(6)]


def test_the_same_arguments_give_the_same_files(tmp_path):
    for name in ("one", "other"):
        assert phantoms([str(tmp_path / name), "--train", "2", "--val", "1", "--seed", "3", "--size", "24", "24", "20"]) == 0
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())

    assert [str(path) for path in files] == [
        "labels.json",
        "train/case-001/ct.nii.gz",
        "train/case-001/label.nii.gz",
        "train/case-002/ct.nii.gz",
        "train/case-002/label.nii.gz",
        "val/case-003/ct.nii.gz",
        "val/case-003/label.nii.gz",
    ]
    for path in files:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "other" / path).read_bytes(), path


def test_every_case_is_another_patient():
    volumes = [make_phantom(seed, SIZE).labels.volume_ml(1) for seed in SEEDS]

    assert len(set(volumes)) == len(volumes)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_body_has_a_left_and_a_right(seed):
    phantom = make_phantom(seed, SIZE, marking=Marking.SIDES)
    hu, marks = phantom.ct.voxels, phantom.labels.voxels
    places = np.indices(marks.shape)[0]
    middle = places[marks > 0].mean()

    assert places[marks == 1].mean() > middle > places[marks == 2].mean(), "x grows to the patient's right"
    assert phantom.labels.volume_ml(1) > phantom.labels.volume_ml(2), "the heart takes its room from the left lung"
    heart = np.abs(hu - BLOOD) < 60
    at_heart_level = slice(marks.shape[2] // 3, marks.shape[2] // 2)
    between = heart & (np.abs(places - middle) < 8)
    left = between[: round(middle), :, at_heart_level].sum()
    assert left > 1.2 * between[round(middle) :, :, at_heart_level].sum()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_labels_are_true(seed):
    phantom = make_phantom(seed, SIZE)
    hu, marks = phantom.ct.voxels, phantom.labels.voxels

    assert phantom.labels.values() == (1, 2)
    assert np.median(hu[marks == 1]) == pytest.approx(LUNG, abs=80)
    assert hu[marks == 2].mean() > hu[marks == 1].mean() + 50, "inflammation is denser"
    assert 2000 < phantom.labels.volume_ml(1) < 9000
    assert hu.min() >= -1024
    assert hu.max() > 400, "bone"


@pytest.mark.parametrize("stored", sorted(set(ORIENTATIONS)))
def test_a_phantom_on_disk_is_what_another_program_reads(tmp_path, stored):
    phantom = make_phantom((1, 0, 0), (24, 20, 20), stored=stored)
    image = SimpleITK.ReadImage(phantom.labels.save(tmp_path / "label.nii.gz"))
    place = (phantom.labels.geometry.affine @ (7, 9, 10, 1))[:3] * (-1, -1, 1)
    seen = SimpleITK.GetArrayFromImage(SimpleITK.DICOMOrient(image, "RAS")).transpose(2, 1, 0)

    assert image[image.TransformPhysicalPointToIndex(place.tolist())] == phantom.labels.voxels[7, 9, 10]
    assert np.array_equal(seen, phantom.labels.voxels)
    assert "".join("RL"[image.GetDirection()[0] > 0]) == stored[0]


def test_the_demonstration_s_cohort_has_84_and_21_cases(tmp_path, monkeypatch):
    # Drawing 105 chests takes minutes; here each is the same small one.
    small = make_phantom((1, 0, 0), (16, 16, 16))
    drawn = []
    monkeypatch.setattr("ctlab.phantoms.make_phantom", lambda seed, size, *, marking: drawn.append(seed) or small)
    make_cohort(tmp_path / "chest", 84, 21, 1)
    cohort = Cohort(tmp_path / "chest")

    assert [len(cohort.train), len(cohort.val)] == [84, 21]
    assert [cohort.train[0].name, cohort.train[-1].name] == ["case-001", "case-084"]
    assert [cohort.val[0].name, cohort.val[-1].name] == ["case-085", "case-105"]
    assert len(set(drawn)) == 105


def test_what_is_complete_is_not_made_again(tmp_path):
    first, second = make_cohort(tmp_path, 2, 0, 1, (16, 16, 16))
    (second / "label.nii.gz").unlink()
    kept = (first / "ct.nii.gz").stat().st_mtime_ns
    make_cohort(tmp_path, 2, 0, 1, (16, 16, 16))

    assert (first / "ct.nii.gz").stat().st_mtime_ns == kept
    assert (second / "label.nii.gz").exists()


@pytest.mark.parametrize(
    ("marking", "names"),
    [
        (Marking.LUNGS, ["lung"]),
        (Marking.INFLAMMATION, ["lung", "inflammation"]),
        (Marking.SIDES, ["right lung", "left lung", "inflammation"]),
    ],
    ids=list(Marking),
)
def test_labels_are_named(tmp_path, marking, names):
    make_cohort(tmp_path, 1, 0, 1, (24, 24, 20), marking=marking)
    labels: Labels = Cohort(tmp_path).train[0].labels

    assert [labels.label_name(value) for value in labels.values()] == names
    assert all({"en", "ja"} == set(name) for name in json.loads((tmp_path / "labels.json").read_text("utf-8")).values())


@pytest.mark.parametrize("wrong", [["--train", "-1"], ["--size", "8", "64", "64"], ["--seed", "-4"]])
def test_wrong_arguments_are_refused(tmp_path, capsys, wrong):
    with pytest.raises(SystemExit) as refused:
        phantoms([str(tmp_path), *wrong])

    assert refused.value.code == 2
    assert "counts and seed can't be negative, and a side has at least 16 voxels" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
