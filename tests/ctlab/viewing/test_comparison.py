"""Where a prediction is wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from ctlab.viewing.comparison import agreement, mistakes, worst_slice, wrong_by_slice
from ctlab.viewing.overlays import Match
from ctlab.viewing.planes import Plane

from tests.ctlab.viewing.samples import SHAPE, boxes, grid

TRUTH = boxes((slice(10, 20), slice(10, 20), slice(5, 15)))
SHIFTED = boxes((slice(12, 22), slice(10, 20), slice(5, 15)))
EMPTY = np.zeros(SHAPE, np.uint8)


def test_a_perfect_prediction_has_dice_1_and_no_distance():
    found = agreement(TRUTH, TRUTH, 1, grid())
    assert (found.dice, found.hd95_mm) == (1.0, 0.0)
    assert (found.predicted_ml, found.true_ml) == pytest.approx((15, 15))
    assert worst_slice(TRUTH, TRUTH, Plane.AXIAL) is None
    assert mistakes(TRUTH, TRUTH, grid()) == []


def test_a_shifted_box_is_wrong_by_the_shift():
    found = agreement(SHIFTED, TRUTH, 1, grid())
    assert (found.dice, found.hd95_mm) == (0.8, 4.0)


def test_a_label_that_one_of_them_lacks_has_no_distance():
    found = agreement(EMPTY, TRUTH, 1, grid())
    assert (found.dice, found.predicted_ml) == (0.0, 0.0)
    assert math.isnan(found.hd95_mm)
    assert math.isnan(agreement(EMPTY, EMPTY, 1, grid()).dice)


def test_the_worst_slice_has_most_wrong_voxels():
    prediction = TRUTH.copy()
    prediction[10:14, 10:20, 7] = 0
    prediction[10:12, 10:20, 9] = 0
    assert worst_slice(prediction, TRUTH, Plane.AXIAL) == 7
    assert wrong_by_slice(prediction, TRUTH, Plane.AXIAL)[[6, 7, 9]].tolist() == [0, 40, 20]


def test_every_connected_mistake_is_listed_the_largest_first():
    prediction = TRUTH.copy()
    prediction[30:34, 3:5, 2:4] = 2  # 16 voxels too many
    prediction[12:15, 12:15, 8:11] = 0  # 27 missing
    prediction[16, 16, 12] = 2  # one with the wrong name
    found = mistakes(prediction, TRUTH, grid())
    assert [(each.kind, round(each.ml / grid().voxel_ml)) for each in found] == [
        (Match.ONLY_TRUE, 27), (Match.ONLY_PREDICTED, 16), (Match.OTHER_LABEL, 1),
    ]  # fmt: skip
    assert found[0].voxel[:2] == (13, 13)
    assert found[2].voxel == (16, 16, 12)
    for each in found:
        assert prediction[each.voxel] != TRUTH[each.voxel]
    assert len(mistakes(prediction, TRUTH, grid(), most=2)) == 2
