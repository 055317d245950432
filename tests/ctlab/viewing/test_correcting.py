"""Labels corrected by hand, and taken back."""

from __future__ import annotations

import numpy as np
import pytest
from ctlab.errors import LabelError
from ctlab.viewing.between import filled_between
from ctlab.viewing.correcting import STEPS, Correction, Limits, brush
from ctlab.viewing.measures import ellipse
from ctlab.viewing.planes import Plane, cut, place_of, voxel_at
from hypothesis import given
from hypothesis import strategies as st

from tests.ctlab.viewing.samples import FRONT, HU, RIGHT, SHAPE, body, boxes, grid

GIVEN = boxes((slice(10, 20), slice(10, 20), slice(5, 15)))


def correction() -> Correction:
    return Correction(GIVEN, body().voxels, grid())


def test_a_brush_is_round_in_the_patient():
    mask = brush((60, 80), [(40, 30)], 6.0, (0.5, 2.0))
    rows, columns = np.nonzero(mask)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (28, 52, 27, 33)
    assert mask.sum() * 0.5 * 2.0 == pytest.approx(np.pi * 36, rel=0.1)


def test_a_stroke_leaves_no_gap_between_two_points_of_a_fast_mouse():
    mask = brush((40, 100), [(10, 20), (90, 20)], 2.0, (1, 1))
    assert mask[18:23, 10:91].all()
    assert not mask[17].any()


def test_a_brush_smaller_than_a_voxel_still_marks_the_voxel_under_it():
    assert brush((9, 9), [(4.4, 3.3)], 0.01, (1, 1)).sum() == 1
    assert brush((9, 9), [(-5, 3)], 0.01, (1, 1)).sum() == 0


@pytest.mark.parametrize("plane", list(Plane), ids=lambda plane: plane.key)
def test_a_stroke_lands_on_the_voxels_under_it_in_every_plane(plane):
    made = correction()
    voxel = (33, 4, 17)
    made.stroke(plane, voxel[plane.axis], [place_of(voxel, SHAPE, plane)], 9, radius_mm=0.1)
    assert [tuple(each) for each in np.argwhere(made.voxels == 9).tolist()] == [voxel]


@pytest.mark.parametrize("plane", list(Plane), ids=lambda plane: plane.key)
def test_a_lasso_marks_what_it_encloses_in_every_plane(plane):
    made = correction()
    made.lasso(plane, 3, [(2.5, 3.5), (9.5, 3.5), (9.5, 8.5), (2.5, 8.5)], 9)
    expected = np.zeros(cut(GIVEN, plane, 3).shape, bool)
    expected[4:9, 3:10] = True
    assert np.array_equal(cut(made.voxels, plane, 3) == 9, expected)
    assert (made.voxels == 9).sum() == expected.sum()


def test_the_eraser_takes_away_one_label_only_when_told_so():
    made = correction()
    everywhere = [(0, 0), (39, 29)]
    assert made.stroke(Plane.AXIAL, 7, everywhere, 0, radius_mm=500, limits=Limits(only=2)) == 0
    assert made.stroke(Plane.AXIAL, 7, everywhere, 0, radius_mm=500, limits=Limits(only=1)) == 100


def test_a_brush_limited_by_hu_leaves_what_is_darker_or_brighter():
    made = correction()
    changed = made.stroke(Plane.AXIAL, RIGHT[2], [(0, 0), (39, 29)], 4, radius_mm=500, limits=Limits(hu=(250, 350)))
    assert changed == 9
    assert {tuple(each) for each in np.argwhere(made.voxels == 4).tolist()} == {
        (RIGHT[0] + dx, RIGHT[1] + dy, RIGHT[2]) for dx in (-1, 0, 1) for dy in (-1, 0, 1)
    }
    assert HU[FRONT] > 350


def test_what_was_given_is_never_written_to():
    before = GIVEN.copy()
    made = correction()
    made.stroke(Plane.AXIAL, 7, [(0, 0), (39, 29)], 3, radius_mm=500)
    assert np.array_equal(GIVEN, before)


@given(st.lists(st.tuples(st.integers(0, 39), st.integers(0, 29), st.integers(0, 3)), min_size=1, max_size=12))
def test_taking_everything_back_gives_the_start_and_making_it_again_the_end(strokes):
    made = correction()
    for column, row, value in strokes:
        made.stroke(Plane.AXIAL, 7, [(column, row)], value, radius_mm=6)
    end, count = made.voxels.copy(), made.count
    while made.undo():
        pass
    assert np.array_equal(made.voxels, GIVEN)
    assert made.count == 0
    while made.redo():
        pass
    assert np.array_equal(made.voxels, end)
    assert made.count == count


def test_a_new_stroke_forgets_what_was_taken_back():
    made = correction()
    made.stroke(Plane.AXIAL, 2, [(5, 5)], 1, radius_mm=3)
    made.undo()
    made.stroke(Plane.AXIAL, 2, [(25, 25)], 1, radius_mm=3)
    assert not made.redo()


def test_a_hundred_strokes_can_be_taken_back_and_no_more():
    made = correction()
    for step in range(STEPS + 5):
        made.stroke(Plane.AXIAL, 2, [(step % 40, step // 40)], 1, radius_mm=0.1)
    assert sum(made.undo() for _ in range(STEPS + 5)) == STEPS
    assert not made.undo()


def test_a_stroke_that_changes_nothing_is_no_correction():
    made = correction()
    assert made.stroke(Plane.AXIAL, 7, [(25, 15)], GIVEN[voxel_at(Plane.AXIAL, 7, 25, 15, SHAPE)], radius_mm=1) == 0
    assert (made.count, made.undo()) == (0, False)


@pytest.mark.parametrize("plane", list(Plane), ids=lambda plane: plane.key)
def test_between_two_outlines_the_label_goes_over_from_one_to_the_other(plane):
    spacing = (1.0, 1.0, 1.0)
    geometry, shape = grid((41, 41, 41), spacing), (41, 41, 41)
    labels = np.zeros(shape, np.uint8)
    for index, radius in ((10, 6), (18, 14)):
        stack = np.moveaxis(labels, plane.axis, 0)
        stack[index][ellipse((41, 41), (20 - radius, 20 - radius), (20 + radius, 20 + radius))] = 5
    mask, start = filled_between(labels, plane, 5, geometry)
    filled = np.moveaxis(mask, plane.axis, 0)
    assert (start, len(filled)) == (10, 9)
    assert not filled[0].any()
    assert not filled[-1].any()
    for step in range(1, 8):
        assert np.sqrt(filled[step].sum() / np.pi) == pytest.approx(6 + step, abs=0.6)


def test_filling_spares_other_labels_and_can_be_taken_back():
    labels = boxes((slice(5, 15), slice(5, 15), slice(2, 3)), (slice(8, 10), slice(8, 10), slice(4, 5)))
    labels[5:15, 5:15, 6] = 1
    made = Correction(labels, body().voxels, grid())
    mask, start = filled_between(made.voxels, Plane.AXIAL, 1, grid())
    made.put(mask, Plane.AXIAL.axis, start, 1)
    assert (made.voxels[:, :, 4] == 2).sum() == 4
    assert (made.voxels[:, :, 3] == 1).sum() == 100
    made.undo()
    assert np.array_equal(made.voxels, labels)


def test_without_a_gap_there_is_nothing_to_fill():
    with pytest.raises(LabelError, match="no gap to fill"):
        filled_between(GIVEN, Plane.AXIAL, 1, grid())
