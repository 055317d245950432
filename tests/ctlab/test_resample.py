"""To the working grid and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ctlab.geometry import Geometry
from ctlab.resample import BODY_ABOVE_HU, MARGIN, body_box, prepare, resample_hu, resample_labels, winner, working_shape
from hypothesis import given
from hypothesis import strategies as st

from tests.ctlab.samples import chest


@given(st.tuples(*[st.integers(1, 600)] * 3), st.tuples(*[st.floats(0.2, 10)] * 3), st.floats(0.5, 8))
def test_the_working_grid_covers_the_same_box(shape, spacing, target):
    geometry = Geometry(shape, np.diag([*spacing, 1.0]))

    for count, old, step in zip(working_shape(geometry, target), shape, spacing, strict=True):
        assert count >= 1
        assert count == 1 or abs(count * target - old * step) <= target / 2 + 1e-6


def test_hu_are_averaged_where_the_grid_gets_coarser():
    voxels = np.zeros((4, 2, 2), np.int16)
    voxels[0], voxels[1], voxels[2:] = -1000, 0, 40
    coarse = resample_hu(voxels, (2, 1, 1))

    assert coarse.dtype == torch.int16
    assert coarse.flatten().tolist() == [-500, 40]


@pytest.mark.parametrize("shape", [(28, 24, 17), (14, 12, 9), (56, 48, 34), (7, 48, 17)])
def test_anatomy_stays_where_it_is(shape):
    """Centres of gravity, in parts of the box, on any grid."""
    there = chest()

    def centre(mask: np.ndarray) -> np.ndarray:
        return np.array([(places[mask].mean() + 0.5) / n for places, n in zip(np.indices(mask.shape), mask.shape, strict=True)])

    hu, labels = resample_hu(there.ct.voxels, shape).numpy(), resample_labels(there.labels.voxels, shape).numpy()
    assert hu.shape == labels.shape == shape
    for value in (1, 2):
        assert centre(labels == value) == pytest.approx(centre(there.labels.voxels == value), abs=0.03)
    assert centre(hu > -500) == pytest.approx(centre(there.ct.voxels > -500), abs=0.03)


@pytest.mark.parametrize("shape", [(14, 12, 9), (56, 48, 34), (28, 24, 17)])
def test_labels_stay_labels(shape):
    assert set(np.unique(resample_labels(chest().labels.voxels, shape))) <= {0, 1, 2, 3}


def test_the_box_holds_the_body_and_a_margin():
    hu = torch.full((30, 20, 10), -1000, dtype=torch.int16)
    hu[10:15, 1:19, 4:5] = BODY_ABOVE_HU + 1

    assert body_box(hu) == (slice(10 - MARGIN, 15 + MARGIN), slice(0, 20), slice(4 - MARGIN, 5 + MARGIN))


def test_the_box_of_air_alone_is_everything():
    assert body_box(torch.full((3, 4, 5), -1000, dtype=torch.int16)) == (slice(0, 3), slice(0, 4), slice(0, 5))


def test_a_prepared_case_is_cropped_alike():
    there = chest()
    made = prepare("case", there.ct.voxels, there.labels.voxels, (28, 24, 17))
    box = body_box(torch.from_numpy(there.ct.voxels.copy()))

    assert np.array_equal(made.hu, there.ct.voxels[box])
    assert np.array_equal(made.labels, there.labels.voxels[box])


def test_certain_labels_come_back_from_the_working_grid():
    """A perfect network's answer on the CT's own grid is the label image, to the last voxel."""
    labels = torch.from_numpy(chest().labels.voxels.copy())
    box = (slice(2, 27), slice(1, 24), slice(0, 17))
    probabilities = torch.nn.functional.one_hot(labels[box].long(), 4).permute(3, 0, 1, 2).float()

    found = winner(probabilities, box, (28, 24, 17), (28, 24, 17))
    expected = np.zeros_like(chest().labels.voxels)
    expected[box] = chest().labels.voxels[box]
    assert found.dtype == np.uint8
    assert np.array_equal(found, expected)


def test_outside_the_box_there_is_nothing():
    box = (slice(1, 2), slice(1, 2), slice(1, 2))
    certain = torch.tensor([0.0, 0.0, 1.0]).reshape(3, 1, 1, 1)
    found = winner(certain, box, (3, 3, 3), (9, 9, 9))

    assert found[4, 4, 4] == 2
    assert found[:3].max() == found[:, :3].max() == found[:, :, 6:].max() == 0
