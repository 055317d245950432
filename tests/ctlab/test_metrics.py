"""Dice against its own definition, counted voxel by voxel."""

import math

import numpy as np
import pytest
from ctlab.errors import LabelError
from ctlab.geometry import Geometry
from ctlab.metrics import Finding, compare, dice, dice_of
from ctlab.volume import Labels
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

MASKS = arrays(np.uint8, (3, 4, 2), elements=st.integers(0, 3))


def _counted(truth, prediction, value):
    both = sum(1 for a, b in zip(truth.ravel(), prediction.ravel(), strict=True) if a == value and b == value)
    each = sum(1 for a in truth.ravel() if a == value) + sum(1 for b in prediction.ravel() if b == value)
    return 2 * both / each if each else math.nan


@given(MASKS, MASKS)
def test_dice_is_twice_the_common_voxels_over_the_sum_of_both(truth, prediction):
    for value, score in dice_of(truth, prediction, [1, 2, 3]).items():
        assert score == pytest.approx(_counted(truth, prediction, value), abs=1e-6, nan_ok=True)


def _labels(voxels, shift=0.0, spacing=(1.0, 1.0, 1.0)):
    affine = np.diag([*spacing, 1.0])
    affine[0, 3] = shift
    return Labels(voxels, Geometry(voxels.shape, affine), "case")


def test_a_label_that_only_the_prediction_has_scores_0():
    truth, prediction = np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2, 2), np.uint8)
    prediction[0, 0, 0] = 2
    assert dice(_labels(truth), _labels(prediction)) == {2: 0.0}


def test_images_of_different_places_are_not_compared():
    ones = np.ones((2, 2, 2), np.uint8)
    with pytest.raises(LabelError, match=r"5\.0 mm"):
        dice(_labels(ones), _labels(ones, shift=5.0))


@given(MASKS, MASKS, st.tuples(*[st.sampled_from([0.7, 1.0, 5.0])] * 3))
def test_every_label_of_either_has_finite_marks(truth, prediction, spacing):
    one, other = _labels(truth, spacing=spacing), _labels(prediction, spacing=spacing)
    marks = compare(one, other)
    assert set(marks) == {int(value) for value in np.union1d(truth, prediction) if value}
    diagonal = math.hypot(*np.multiply(truth.shape, spacing))
    for value, each in marks.items():
        here, there = bool((truth == value).any()), bool((prediction == value).any())
        assert each.finding == {(True, True): "found", (True, False): "missed", (False, True): "invented"}[here, there]
        assert each.dice == pytest.approx(_counted(truth, prediction, value))
        assert 0 <= each.nsd <= 1
        assert 0 <= each.hd95_mm <= diagonal + 1e-6
        assert each.error_ml == pytest.approx(other.volume_ml(value) - one.volume_ml(value))
        if each.finding is not Finding.FOUND:
            assert (each.dice, each.nsd, each.hd95_mm) == (0, 0, pytest.approx(diagonal))


@given(MASKS)
def test_a_perfect_prediction_has_perfect_marks(truth):
    for marks in compare(_labels(truth), _labels(truth)).values():
        assert (marks.dice, marks.nsd, marks.hd95_mm, marks.error_ml) == (1, 1, 0, 0)
        assert f"{marks.hd95_mm:.1f}" == "0.0", "no distance of -0.0 mm"


def test_empty_images_have_nothing_to_mark():
    empty = _labels(np.zeros((3, 3, 3), np.uint8))
    assert compare(empty, empty) == {}


def test_marks_of_different_places_are_not_made():
    ones = np.ones((2, 2, 2), np.uint8)
    with pytest.raises(LabelError, match=r"5\.0 mm"):
        compare(_labels(ones), _labels(ones, shift=5.0))
