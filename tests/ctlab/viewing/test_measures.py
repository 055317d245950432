"""Rulers, angles and regions, in the patient's millimetres."""

from __future__ import annotations

import numpy as np
import pytest
from ctlab.viewing.measures import MeasureError, angle_degrees, distance_mm, ellipse, polygon, region

MM = (0.5, 2.0)


def test_a_ruler_measures_the_patient_not_the_picture():
    assert distance_mm((0, 0), (6, 0), MM) == 3
    assert distance_mm((0, 0), (0, 2), MM) == 4
    assert distance_mm((1, 1), (7, 3), MM) == 5


def test_an_angle_is_that_of_the_patient():
    assert angle_degrees((4, 0), (0, 0), (0, 1), MM) == pytest.approx(90)
    assert angle_degrees((4, 0), (0, 0), (4, 1), MM) == pytest.approx(45)
    assert angle_degrees((4, 0), (0, 0), (-4, 0), MM) == pytest.approx(180)


def test_an_angle_without_an_arm_is_refused():
    with pytest.raises(MeasureError, match="three different points"):
        angle_degrees((1, 1), (1, 1), (2, 2), MM)


def test_a_region_has_mean_deviation_and_area():
    hu = np.zeros((10, 12), np.int16)
    hu[2:5, 3:6] = [[-10, 10, 10], [-10, 10, -10], [10, 10, -10]]
    mask = np.zeros(hu.shape, bool)
    mask[2:5, 3:6] = True
    found = region(hu, mask, MM)
    values = hu[2:5, 3:6].astype(float)
    assert (found.mean, found.sd) == pytest.approx((values.mean(), values.std()))
    assert (found.lowest, found.highest, found.voxels, found.area_mm2) == (-10, 10, 9, 9.0)


def test_an_empty_region_is_refused():
    with pytest.raises(MeasureError, match="holds no voxel"):
        region(np.zeros((4, 4), np.int16), np.zeros((4, 4), bool), MM)


def test_an_ellipse_holds_the_centres_inside_it_whichever_corners_were_given():
    mask = ellipse((20, 30), (5, 4), (15, 8))
    assert np.array_equal(mask, ellipse((20, 30), (15, 8), (5, 4)))
    rows, columns = np.nonzero(mask)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (5, 15, 4, 8)
    assert not mask[4, 5]


def test_a_large_ellipse_has_the_area_of_the_formula():
    assert ellipse((400, 400), (20, 50), (380, 350)).sum() == pytest.approx(np.pi * 180 * 150, rel=0.002)


def test_a_polygon_holds_the_centres_inside_it():
    square = polygon((10, 10), [(1.5, 2.5), (6.5, 2.5), (6.5, 5.5), (1.5, 5.5)])
    rows, columns = np.nonzero(square)
    assert (square.sum(), columns.min(), columns.max(), rows.min(), rows.max()) == (15, 2, 6, 3, 5)
    bow = polygon((10, 10), [(0, 0), (9, 9), (9, 0), (0, 9)])
    assert bow[4, 8]
    assert not bow[1, 4]
