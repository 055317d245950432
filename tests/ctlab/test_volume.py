"""Volumes and label images as values."""

from __future__ import annotations

import numpy as np
import pytest
from ctlab.errors import LabelError
from ctlab.geometry import Geometry
from ctlab.volume import Labels, Volume

GRID = Geometry((4, 3, 2), np.diag([2.0, 2.0, 5.0, 1.0]), "LPS")


def labels(geometry: Geometry = GRID, *values: int) -> Labels:
    voxels = np.zeros(geometry.shape, np.uint8)
    voxels.ravel()[: len(values)] = values
    return Labels(voxels, geometry, "case", {1: "lung"})


def ct(geometry: Geometry = GRID) -> Volume:
    return Volume(np.linspace(-1000, 400, np.prod(geometry.shape)).astype(np.int16).reshape(geometry.shape), geometry, "case")


def test_voxels_can_not_be_written_to():
    for each in (ct(), labels()):
        with pytest.raises(ValueError, match="read-only"):
            each.voxels[0, 0, 0] = 1


@pytest.mark.parametrize("voxels", [np.zeros((4, 3, 2), np.float32), np.zeros((4, 2, 3), np.int16)], ids=["type", "shape"])
def test_a_volume_is_int16_on_its_grid(voxels):
    with pytest.raises(ValueError, match="expected int16 of shape"):
        Volume(voxels, GRID, "case")


def test_a_volume_introduces_itself():
    assert repr(ct()) == "case: 4 × 3 × 2 voxels of 2.00 × 2.00 × 5.00 mm, -1000 to 400 HU"


def test_a_volume_introduces_itself_in_japanese(monkeypatch):
    monkeypatch.setenv("LANGUAGE", "ja")

    assert repr(ct()) == "case：4 × 3 × 2 ボクセル、ボクセルの大きさ 2.00 × 2.00 × 5.00 mm、-1000～400 HU"


def test_labels_say_what_they_are_and_how_much():
    found = labels(GRID, 1, 1, 1, 7)

    assert found.values() == (1, 7)
    assert found.volume_ml(1) == pytest.approx(3 * 0.02)
    assert [found.label_name(1), found.label_name(7)] == ["lung", "label 7"]
    assert repr(found) == "case: lung 0 ml, label 7 0 ml"


def test_labels_of_another_size_are_refused():
    with pytest.raises(LabelError, match="case: the label image has 4 × 3 × 3 voxels, the CT 4 × 3 × 2"):
        labels(Geometry((4, 3, 3), GRID.affine)).check_fits(ct())


def test_labels_of_another_place_are_refused():
    affine = GRID.affine.copy()
    affine[0, 3] += 30

    with pytest.raises(LabelError, match=r"case: the label image lies up to 30\.0 mm beside the CT"):
        labels(Geometry(GRID.shape, affine)).check_fits(ct())


def test_labels_may_be_stored_in_another_orientation_than_the_ct():
    labels(Geometry(GRID.shape, GRID.affine, "RAS")).check_fits(ct())
