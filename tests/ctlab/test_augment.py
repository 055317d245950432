"""Patches are changed as scanners and patients differ; label and image stay together."""

from __future__ import annotations

import torch
from ctlab.augment import NOISE_HU, augmented

SIDE = 24


def batch(count: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """A bright ball of 600 HU, labelled 2, in soft tissue."""
    at = torch.arange(SIDE) - SIDE / 2 + 0.5
    ball = (at[:, None, None] ** 2 + at[None, :, None] ** 2 + (at[None, None, :] + 3) ** 2) < 6**2
    labels = (ball * 2).to(torch.uint8).expand(count, -1, -1, -1)
    return (labels[:, None].to(torch.int16) * 300), labels


def changed(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    return augmented(*batch(), torch.Generator().manual_seed(seed))


def test_the_same_draw_changes_them_in_the_same_way_and_another_does_not():
    one, same, other = (changed(seed) for seed in (3, 3, 4))
    assert torch.equal(one[0], same[0])
    assert torch.equal(one[1], same[1])
    assert not torch.equal(one[0], other[0])


def test_each_patch_of_a_batch_is_changed_in_its_own_way():
    hu, _ = changed(1)
    assert not torch.allclose(hu[0], hu[1], atol=1.0)


def test_image_and_labels_are_moved_together():
    for seed in range(8):
        hu, labels = changed(seed)
        inside, outside = hu[:, 0][labels == 2], hu[:, 0][labels == 0]
        assert inside.mean() > 500
        assert outside.mean() < 100
        # A border is half a voxel wide at most; noise reaches no half of 600.
        assert ((hu[:, 0] > 300 + 4 * NOISE_HU) & (labels == 0)).float().mean() < 0.01


def test_shapes_types_and_values_are_those_of_patches():
    hu, labels = changed(2)
    assert (hu.shape, hu.dtype) == ((3, 1, SIDE, SIDE, SIDE), torch.float32)
    assert (labels.shape, labels.dtype) == ((3, SIDE, SIDE, SIDE), torch.uint8)
    assert set(labels.unique().tolist()) == {0, 2}


def test_sizes_stay_near_what_they_were():
    _, before = batch()
    for seed in range(8):
        _, after = changed(seed)
        ratio = (after == 2).sum((1, 2, 3)) / (before == 2).sum((1, 2, 3))
        assert ((ratio > 0.65) & (ratio < 1.5)).all()
