"""Where things are in a picture: sides, places, slabs."""

from __future__ import annotations

import numpy as np
import pytest
from ctlab.readers import load, load_labels
from ctlab.viewing.planes import (
    Plane,
    Projection,
    Slab,
    cut,
    enlargement,
    picture_shape,
    pixel_mm,
    place_of,
    project,
    slab_range,
    voxel_at,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.ctlab.samples import REAL, chest, write_nifti
from tests.ctlab.viewing.samples import FRONT, HEAD, HU, RIGHT, SHAPE, body, grid

ALL_PLANES = pytest.mark.parametrize("plane", list(Plane), ids=lambda plane: plane.key)


@pytest.mark.parametrize(
    ("plane", "mark", "side"),
    [
        (Plane.AXIAL, RIGHT, "left"),
        (Plane.AXIAL, FRONT, "top"),
        (Plane.CORONAL, RIGHT, "left"),
        (Plane.CORONAL, HEAD, "top"),
        (Plane.SAGITTAL, FRONT, "left"),
        (Plane.SAGITTAL, HEAD, "top"),
    ],
)
def test_the_patients_sides_are_where_radiologists_look_for_them(plane, mark, side):
    picture = cut(body().voxels, plane, mark[plane.axis])
    rows, columns = np.nonzero(picture == HU[mark])
    share = {"left": columns.mean() / picture.shape[1], "top": rows.mean() / picture.shape[0]}[side]
    assert share < 0.2


@pytest.mark.parametrize("stored", ["RAS", "LPS", "LAS", "PIR", "SLA"])
@ALL_PLANES
def test_a_file_looks_the_same_in_whatever_order_it_is_stored(tmp_path, stored, plane):
    phantom = chest()
    ct = load(write_nifti(tmp_path / "ct.nii.gz", phantom.ct.voxels, phantom.ct.geometry, stored))
    label = load_labels(write_nifti(tmp_path / "label.nii.gz", phantom.labels.voxels, phantom.labels.geometry, stored))
    for index in range(phantom.ct.geometry.shape[plane.axis]):
        assert np.array_equal(cut(ct.voxels, plane, index), cut(phantom.ct.voxels, plane, index))
        assert np.array_equal(cut(label.voxels, plane, index), cut(phantom.labels.voxels, plane, index))
    assert pixel_mm(ct.geometry, plane) == pytest.approx(pixel_mm(phantom.ct.geometry, plane))


def test_liver_lies_left_and_spleen_right_in_a_real_axial_picture():
    labels = load_labels(REAL / "abdomen" / "label.nii.gz")
    columns = {value: np.nonzero(cut(labels.voxels, Plane.AXIAL, 100) == value)[1].mean() for value in (1, 2)}
    assert columns[1] < columns[2]


@ALL_PLANES
@given(data=st.data())
def test_a_place_in_the_picture_and_its_voxel_belong_together(plane, data):
    x, y, z = (data.draw(st.integers(0, count - 1)) for count in SHAPE)
    column, row = place_of((x, y, z), SHAPE, plane)
    volume = np.zeros(SHAPE, np.int16)
    volume[x, y, z] = 7
    assert cut(volume, plane, (x, y, z)[plane.axis])[row, column] == 7
    shift = data.draw(st.floats(-0.49, 0.49))
    assert voxel_at(plane, (x, y, z)[plane.axis], column + shift, row - shift, SHAPE) == (x, y, z)


@ALL_PLANES
def test_beside_the_picture_there_is_no_voxel(plane):
    rows, columns = picture_shape(SHAPE, plane)
    for column, row in ((-0.6, 0), (0, -0.6), (columns - 0.4, 0), (0, rows - 0.4)):
        assert voxel_at(plane, 0, column, row, SHAPE) is None


def test_a_slab_holds_the_slices_that_fit_into_it_and_ends_at_the_volume():
    geometry = grid()
    assert slab_range(Plane.AXIAL, 10, Slab(0), geometry) == range(10, 11)
    assert slab_range(Plane.AXIAL, 10, Slab(14.9), geometry) == range(10, 11)
    assert slab_range(Plane.AXIAL, 10, Slab(15), geometry) == range(9, 12)
    assert slab_range(Plane.AXIAL, 0, Slab(25), geometry) == range(3)
    assert slab_range(Plane.AXIAL, 19, Slab(25), geometry) == range(17, 20)


@ALL_PLANES
def test_a_slab_shows_its_maximum_minimum_or_mean(plane):
    rng = np.random.default_rng(3)
    voxels = rng.integers(-1024, 3000, SHAPE, dtype=np.int16)
    index, slab = SHAPE[plane.axis] // 2, 5 * grid().spacing[plane.axis]
    stack = np.stack([cut(voxels, plane, each) for each in range(index - 2, index + 3)]).astype(np.float64)
    for projection, expected in (
        (Projection.MAXIMUM, stack.max(axis=0)),
        (Projection.MINIMUM, stack.min(axis=0)),
        (Projection.MEAN, np.rint(stack.mean(axis=0))),
    ):
        found = project(voxels, plane, index, Slab(slab, projection), grid())
        assert found.dtype == np.int16
        assert np.array_equal(found, expected)


def test_pixels_of_slices_far_apart_are_repeated_until_they_are_about_square():
    assert [enlargement(grid(), plane) for plane in Plane] == [(1, 1), (1, 2), (1, 3)]
    assert enlargement(grid(spacing=(0.7, 0.7, 0.5)), Plane.CORONAL) == (1, 1)
    assert enlargement(grid(spacing=(3.0, 0.7, 0.7)), Plane.CORONAL) == (4, 1)
