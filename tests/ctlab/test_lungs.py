"""Right and left lung of phantoms whose sides are known, however they are stored, joined, tilted or incomplete."""

from __future__ import annotations

import csv
from functools import cache

import numpy as np
import pytest
from ctlab.errors import LabelError
from ctlab.geometry import Geometry
from ctlab.lungs import Lung, LungReport, LungTable, lung_report, lung_table
from ctlab.lungsides import LEFT, RIGHT, sides
from ctlab.phantoms import Marking, Phantom, make_phantom
from ctlab.readers import load, load_labels
from ctlab.volume import Labels, Volume
from hypothesis import given
from hypothesis import strategies as st

from tests.ctlab.samples import series, write_nifti, write_series

SEED, SIZE = (3, 0, 2), (96, 96, 64)
ORIENTATIONS = ["RAS", "LAS", "RPS", "RAI", "LPS", "LAI", "RPI", "LPI", "SAR", "PIL"]


@cache
def chest() -> Phantom:
    """1 lung, 2 inflammation, as a network is taught them."""
    return make_phantom(SEED, SIZE, marking=Marking.INFLAMMATION, stored="RAS")


@cache
def known() -> Labels:
    """The same patient: 1 right lung, 2 left lung, 3 inflammation."""
    return make_phantom(SEED, SIZE, marking=Marking.SIDES, stored="RAS").labels


def report(labels: Labels | None = None, ct: Volume | None = None) -> LungReport:
    return lung_report(ct or chest().ct, labels or chest().labels)


def changed(voxels: np.ndarray) -> Labels:
    return Labels(voxels, chest().labels.geometry, "case")


def test_healthy_voxels_are_on_the_side_that_they_were_drawn_on():
    """But for some at the border, since these lungs touch in front of the heart."""
    found = sides(known().voxels > 0, known().geometry.affine, 0.0)
    assert np.mean(found[known().voxels == 1] == RIGHT) > 0.998
    assert np.mean(found[known().voxels == 2] == LEFT) > 0.998
    assert np.array_equal(found > 0, known().voxels > 0)


def test_the_volumes_are_those_of_the_labels():
    found = report()
    inflamed = known().volume_ml(3)
    assert found.both.affected_ml == pytest.approx(inflamed)
    assert found.both.lung_ml == pytest.approx(sum(map(known().volume_ml, (1, 2, 3))))
    assert found.right.lung_ml - found.right.affected_ml == pytest.approx(known().volume_ml(1), rel=0.002)
    assert found.left.lung_ml - found.left.affected_ml == pytest.approx(known().volume_ml(2), rel=0.002)
    assert found.right.lung_ml > 1.1 * found.left.lung_ml
    assert found.both.percent == pytest.approx(100 * inflamed / found.both.lung_ml)


@pytest.mark.parametrize("stored", ORIENTATIONS)
def test_right_stays_right_however_the_files_are_stored(tmp_path, stored):
    there = chest()
    ct = load(write_nifti(tmp_path / "ct.nii.gz", there.ct.voxels, there.ct.geometry, stored))
    labels = load_labels(write_nifti(tmp_path / "label.nii.gz", there.labels.voxels, there.labels.geometry, stored), name="phantom")
    assert ct.geometry.stored == stored
    same_ml(report(labels, ct), report(), rel=0.003)  # files keep places in single precision


def same_ml(found: LungReport, expected: LungReport, rel: float = 1e-4) -> None:
    for one, other in ((found.right, expected.right), (found.left, expected.left)):
        assert (one.lung_ml, one.affected_ml) == pytest.approx((other.lung_ml, other.affected_ml), rel=rel)


def test_right_stays_right_in_a_dicom_series(tmp_path):
    from tests.ctlab.samples import chest as small

    ct = load(write_series(tmp_path / "series", series()))
    found = lung_report(ct, Labels(small().labels.voxels, ct.geometry, "case"), lung=(1, 2), inflammation=(3,))
    assert found.right.lung_ml - found.right.affected_ml == pytest.approx(small().labels.volume_ml(1), rel=0.15)  # voxels of 17 mm
    assert found.left.lung_ml - found.left.affected_ml == pytest.approx(small().labels.volume_ml(2), rel=0.15)


def test_a_patient_in_the_mirror_has_the_sides_exchanged():
    ct, labels = chest().ct, chest().labels
    found = report(changed(labels.voxels[::-1].copy()), Volume(ct.voxels[::-1].copy(), ct.geometry, "case"))
    same_ml(LungReport("", found.left, found.right), report(), rel=0.003)


@pytest.mark.parametrize("degrees", [-30, 20])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_patient_who_lies_at_an_angle_has_the_same_lungs(axis, degrees):
    turn = np.eye(4)
    one, other = [each for each in range(3) if each != axis]
    angle = np.radians(degrees)
    turn[np.ix_([one, other], [one, other])] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    geometry = Geometry(chest().ct.geometry.shape, turn @ chest().ct.geometry.affine)
    same_ml(report(Labels(chest().labels.voxels, geometry, "case"), Volume(chest().ct.voxels, geometry, "case")), report())


@pytest.mark.parametrize("width", [1, 3, 6])
def test_two_lungs_are_parted_where_the_bridge_between_them_is_thinnest(width):
    voxels = np.zeros((60, 30, 40), np.uint8)
    voxels[2:25, 2:28, 2:38], voxels[33:58, 2:28, 2:38] = 1, 1
    voxels[25:33, 12 : 12 + width, 15 : 15 + width] = 1
    found = sides(voxels > 0, np.diag([1.5, 1.5, 1.5, 1.0]), 0.0)
    assert set(np.unique(found[:25])) == {0, LEFT}
    assert set(np.unique(found[33:])) == {0, RIGHT}
    assert np.array_equal(found > 0, voxels > 0)


def test_lungs_of_a_thin_slice_ct_are_decided_on_a_coarser_grid():
    voxels = np.zeros((120, 60, 200), np.uint8)
    voxels[4:50, 4:56, 4:190], voxels[70:117, 4:56, 4:190] = 1, 1
    voxels[59, 30, 77] = 1
    found = sides(voxels > 0, np.diag([0.7, 0.7, 0.4, 1.0]), 0.0)
    assert set(np.unique(found[:50])) == {0, LEFT}
    assert set(np.unique(found[70:])) == {0, RIGHT}
    assert np.array_equal(found > 0, voxels > 0)


@given(st.lists(st.tuples(*[st.integers(0, 5)] * 3), max_size=6), st.sampled_from([0.3, 1.0, 6.0]))
def test_every_voxel_of_any_mask_gets_a_side_and_no_other(marked, spacing):
    mask = np.zeros((6, 6, 6), bool)
    for at in marked:
        mask[at] = True
    found = sides(mask, np.diag([spacing] * 3 + [1.0]), 0.0)
    assert np.array_equal(found > 0, mask)
    assert set(np.unique(found)) <= {0, RIGHT, LEFT}


@pytest.mark.parametrize("value", [1, 2])
def test_one_lung_alone_keeps_its_side(value):
    found = report(changed((known().voxels == value).astype(np.uint8)))
    alone, missing = (found.right, found.left) if value == 1 else (found.left, found.right)
    assert alone.lung_ml == pytest.approx(known().volume_ml(value))
    assert (missing.lung_ml, missing.percent) == (0, None)


def test_lungs_that_cannot_be_parted_are_divided_in_the_middle_of_the_body():
    voxels = np.ones((20, 10, 10), np.uint8)
    geometry = Geometry(voxels.shape, np.diag([2.0, 2.0, 2.0, 1.0]))
    hu = np.full(voxels.shape, -1000, np.int16)
    hu[4:] = 0  # the body's middle lies between voxels 11 and 12
    found = lung_report(Volume(hu, geometry, "case"), Labels(voxels, geometry, "case"))
    assert (found.left.lung_ml, found.right.lung_ml) == pytest.approx((12 * 100 * 0.008, 8 * 100 * 0.008))


def test_crumbs_go_to_the_nearer_lung():
    voxels = np.zeros((40, 10, 10), np.uint8)
    voxels[2:14, 1:9, 1:9] = voxels[26:38, 1:9, 1:9] = 1
    voxels[17, 5, 5], voxels[22, 5, 5] = 2, 2
    found = sides(voxels > 0, np.diag([1.0, 1.0, 1.0, 1.0]), 20.0)
    assert (found[17, 5, 5], found[22, 5, 5]) == (LEFT, RIGHT)


@pytest.mark.parametrize("voxels", [np.zeros((2, 2, 2), np.uint8), np.full((2, 2, 2), 7, np.uint8)])
def test_an_image_without_lungs_is_refused(voxels):
    geometry = Geometry(voxels.shape, np.eye(4))
    with pytest.raises(LabelError, match="case 7: the label image marks neither"):
        lung_report(Volume(voxels.astype(np.int16), geometry, "case 7"), Labels(voxels, geometry, "case 7"))


def test_labels_of_another_ct_are_refused():
    moved = Geometry(chest().ct.geometry.shape, chest().ct.geometry.affine + np.array([[0, 0, 0, 50.0]] + [[0.0] * 4] * 3))
    with pytest.raises(LabelError, match=r"50\.0 mm"):
        report(ct=Volume(chest().ct.voxels, moved, "case"))


TABLE = LungTable((LungReport("<a>", Lung(2000, 500), Lung(1500, 0)), LungReport("=b", Lung(1000, 1000), Lung(0, 0))))


def test_the_table_says_each_side_and_both(monkeypatch):
    assert repr(TABLE).splitlines()[:4] == [
        "case\tside\tlung, ml\tinflamed, ml\tinflamed, %",
        "<a>\tright\t2000\t500.0\t25.0",
        "<a>\tleft\t1500\t0.0\t0.0",
        "<a>\tboth\t3500\t500.0\t14.3",
    ]
    assert repr(TABLE).splitlines()[5] == "=b\tleft\t0\t0.0\t–"
    assert "&lt;a&gt;" in TABLE._repr_html_()
    assert "<script" not in TABLE._repr_html_()
    monkeypatch.setenv("LANGUAGE", "ja")
    assert "右" in repr(TABLE)
    assert "right" not in TABLE._repr_html_()


def test_a_spreadsheet_gets_a_row_a_case(tmp_path):
    with TABLE.save(tmp_path / "lungs.csv").open(encoding="utf-8-sig", newline="") as stream:
        first, second = csv.DictReader(stream)
    assert (float(first["right_affected_percent"]), float(first["affected_percent"])) == (25.0, pytest.approx(100 / 7, rel=1e-4))
    assert (second["case"], second["left_affected_percent"]) == ("'=b", "")


def test_a_table_of_cases():
    assert [each.case for each in lung_table([(chest().ct, chest().labels)] * 2).reports] == ["phantom", "phantom"]
