"""Real CT, against the numbers that testbed/data/README.md states."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ctlab.cohort import open_case

from tests.ctlab.samples import REAL

CASES = {
    "chest": ((155, 111, 127), (2.25, 2.25, 2.25), "LPS", (-1031, 3126), {1: 352575, 3: 54770, 4: 21500, 5: 4230, 6: 2843}),
    "chest-dicom": ((64, 64, 79), (4.172, 4.172, 3.987), "LPS", (-1007, 1095), {1: 34858, 2: 30766, 4: 510}),
    "abdomen": ((122, 101, 112), (3, 3, 3), "RAS", (-1207, 3382), {1: 41602, 2: 9677, 3: 6993, 4: 5144, 5: 17744}),
    "leg-sarcoma": ((136, 134, 47), (0.977, 0.977, 3.27), "LPS", (-1000, 1478), {1: 5564}),
    "liver-seg": ((512, 512, 3), (0.811, 0.811, 1), "LPS", (-3024, 1381), {1: 107098}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_real_case_is_as_its_readme_says(name):
    shape, spacing, stored, hu, counts = CASES[name]
    ct, labels = open_case(REAL / name).load()

    assert ct.geometry.shape == shape
    assert ct.geometry.spacing == pytest.approx(spacing, abs=5e-4)
    assert ct.geometry.stored == stored
    assert (ct.voxels.min(), ct.voxels.max()) == hu
    assert {value: int((labels.voxels == value).sum()) for value in labels.values()} == counts
    assert set(labels.values()) == {int(value) for value in json.loads((REAL / name / "labels.json").read_text("utf-8"))}


def test_every_case_is_known_and_carries_its_licence():
    assert {path.name for path in REAL.iterdir() if path.is_dir()} == set(CASES)
    for name in CASES:
        assert list((REAL / name).glob("LICENSE-upstream.*")), name
        assert f"`{name}`" in (REAL / "README.md").read_text("utf-8")


def centre_x(name: str, value: int) -> float:
    """Where a structure lies between the patient's left (0) and right (1)."""
    labels = open_case(REAL / name).labels
    return float(np.indices(labels.voxels.shape)[0][labels.voxels == value].mean() / labels.voxels.shape[0])


@pytest.mark.parametrize(
    ("name", "right", "left"),
    [("chest-dicom", 1, 2), ("abdomen", 1, 2), ("abdomen", 3, 4), ("chest", 1, 3)],
    ids=["lungs", "liver and spleen", "kidneys", "heart"],
)
def test_left_and_right_of_a_patient(name, right, left):
    """The first structure lies to the patient's right of the second; the heart lies left of the middle of both lungs."""
    assert centre_x(name, right) > centre_x(name, left)
