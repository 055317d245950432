"""Patches: the same again from the same state, of every label, from every case."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from ctlab.resample import Prepared, prepare
from ctlab.sampling import MOST_POSITIONS, Sampler, known
from ctlab.tiers import Patch, Tiers

from tests.ctlab.samples import chest

SIDE = 8


def cases() -> list[Prepared]:
    there, cube = chest(), (12, 12, 12)
    return [
        prepare("whole", there.ct.voxels, there.labels.voxels, (28, 24, 17)),
        Prepared("left lung only", torch.full(cube, -850, dtype=torch.int16), torch.full(cube, 2, dtype=torch.uint8)),
    ]


def draw(given: Sequence[Prepared], seed: int, count: int) -> list[Patch]:
    tiers = Tiers.of(given)
    sampler = Sampler(tiers.known, SIDE, np.random.default_rng(seed))
    return [tiers.patch(sampler.draw()) for _ in range(count)]


def test_the_same_state_gives_the_same_patches():
    one, other = (draw(cases(), 7, 20) for _ in range(2))

    for a, b in zip(one, other, strict=True):
        assert torch.equal(a.hu, b.hu)
        assert torch.equal(a.labels, b.labels)
    third = draw(cases(), 8, 20)
    assert any(not torch.equal(a.hu, b.hu) for a, b in zip(one, third, strict=True))


def test_every_label_is_seen_though_it_is_small():
    whole = cases()[:1]
    share = float((whole[0].labels == 3).float().mean())
    patches = draw(whole, 1, 200)

    assert share < 0.01
    for value in (0, 1, 2, 3):
        assert sum(bool((patch.labels == value).any()) for patch in patches) >= 200 / 4 * 0.7, value


def test_every_case_is_seen():
    patches = draw(cases(), 1, 100)

    assert sum(bool((patch.hu == -850).all()) for patch in patches) >= 10


def test_a_patch_is_cut_from_one_place_of_both_images():
    place = torch.arange(20**3).reshape(20, 20, 20)
    marked = Prepared("case", place.to(torch.int16), (place % 5).to(torch.uint8))

    for patch in draw([marked], 1, 50):
        assert patch.hu.shape == patch.labels.shape == (SIDE, SIDE, SIDE)
        assert torch.equal(patch.hu % 5, patch.labels.to(torch.int16))


def test_edges_are_reached():
    place = torch.arange(20**3).reshape(20, 20, 20)
    case = Prepared("case", place.to(torch.int16), torch.zeros_like(place, dtype=torch.uint8))
    patches = draw([case], 1, 300)

    corners = {int(patch.hu[0, 0, 0]) for patch in patches}
    assert len(corners) > 200
    assert min(corners) == 0
    assert max(int(patch.hu[-1, -1, -1]) for patch in patches) == 20**3 - 1


def test_a_case_smaller_than_a_patch_is_surrounded_with_air():
    tiny = Prepared("tiny", torch.full((3, 20, 5), 40, dtype=torch.int16), torch.ones(3, 20, 5, dtype=torch.uint8))
    [patch] = draw([tiny], 1, 1)

    assert patch.hu.shape == (SIDE, SIDE, SIDE)
    assert sorted(patch.hu.unique().tolist()) == [-1000, 40]
    assert torch.equal(patch.labels == 1, patch.hu == 40)
    assert int(patch.labels.sum()) == 3 * SIDE * 5


def test_of_a_large_label_the_same_voxels_are_kept_each_time():
    large = Prepared("large", torch.zeros(40, 40, 40, dtype=torch.int16), torch.ones(40, 40, 40, dtype=torch.uint8))
    one, other = (known(large).positions[1] for _ in range(2))

    assert len(np.unique(one)) == MOST_POSITIONS
    assert np.array_equal(one, other)
