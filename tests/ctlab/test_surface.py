"""Surface distances against the same definition written as loops over voxels, and against shapes whose answer is known."""

import itertools
import math

import numpy as np
import pytest
from ctlab.surface import ROUNDING_MM, distances, hd95_mm, surface, surface_dice
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

SPACINGS = st.tuples(*[st.sampled_from([0.7, 1.0, 1.25, 3.0, 5.0])] * 3)


@st.composite
def two_masks(draw):
    """Two masks of one shape, neither empty; small, so that most of them touch a border."""
    shape = draw(array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=5))
    masks = arrays(bool, shape, elements=st.booleans()).filter(np.any)
    return draw(masks), draw(masks)


def oracle_surface(mask):
    marked = {index for index in np.ndindex(mask.shape) if mask[index]}
    steps = [step for step in itertools.product((-1, 0, 1), repeat=3) if sum(map(abs, step)) == 1]
    return {at for at in marked if any(tuple(np.add(at, step)) not in marked for step in steps)}


def oracle_distances(one, other, spacing):
    to = oracle_surface(other)
    return [min(math.dist(np.multiply(a, spacing), np.multiply(b, spacing)) for b in to) for a in oracle_surface(one)]


def oracle_percentile(values, percent):
    ordered = sorted(values)
    at = (len(ordered) - 1) * percent / 100
    below = math.floor(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (at - below)


@given(two_masks())
def test_a_surface_voxel_has_a_neighbour_outside(masks):
    mask, _ = masks
    assert {tuple(map(int, at)) for at in np.argwhere(surface(mask))} == oracle_surface(mask)


@settings(max_examples=150)
@given(two_masks(), SPACINGS, st.sampled_from([0.0, 0.7, 1.0, 2.5, 4.0]))
def test_distances_are_those_of_the_definition(masks, spacing, tolerance):
    truth, prediction = masks
    ours = distances(truth, prediction, spacing)
    theirs = oracle_distances(truth, prediction, spacing), oracle_distances(prediction, truth, spacing)

    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(np.sort(mine), np.sort(other), atol=1e-5)
    assert hd95_mm(*ours) == pytest.approx(max(oracle_percentile(each, 95) for each in theirs), abs=1e-5)
    near = sum(distance <= tolerance + ROUNDING_MM for each in theirs for distance in each)
    assert surface_dice(*ours, tolerance) == pytest.approx(near / sum(map(len, theirs)))


def test_what_lies_around_both_masks_changes_nothing():
    rng = np.random.default_rng(3)
    truth, prediction = rng.random((2, 5, 6, 4)) < 0.4
    wide = [np.pad(mask, ((2, 3), (4, 1), (1, 5))) for mask in (truth, prediction)]

    for near, far in zip(distances(truth, prediction, (1, 2, 3)), distances(*wide, (1, 2, 3)), strict=True):
        np.testing.assert_array_equal(near, far)


@pytest.mark.parametrize(("axis", "expected"), [(0, 0.7), (1, 1.4), (2, 5.0)])
def test_a_shift_by_one_voxel_is_the_voxels_length_along_that_axis(axis, expected):
    truth = np.zeros((9, 9, 9), bool)
    truth[2:7, 2:7, 2:7] = True
    prediction = np.roll(truth, 1, axis)

    apart = distances(truth, prediction, (0.7, 1.4, 5.0))
    assert max(map(np.max, apart)) == pytest.approx(expected)
    assert surface_dice(*apart, expected) == 1
    assert surface_dice(*apart, expected - 0.01) < 1


def test_hd95_passes_over_a_stray_voxel():
    truth = np.zeros((40, 12, 12), bool)
    truth[2:12, 1:11, 1:11] = True
    prediction = truth.copy()
    prediction[39, 5, 5] = True

    apart = distances(truth, prediction, (1.0, 1.0, 1.0))
    assert max(map(np.max, apart)) == 28
    assert hd95_mm(*apart) == 0
