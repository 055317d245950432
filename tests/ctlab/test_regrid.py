"""The working grid of any box is that of the whole volume, to the last bit, and is what torch makes of it."""

from __future__ import annotations

import numpy as np
import torch
from ctlab import regrid
from hypothesis import event, given, settings
from hypothesis import strategies as st
from torch.nn import functional

SIDES = st.tuples(*[st.integers(1, 45)] * 3)


@settings(max_examples=80, deadline=None)
@given(st.data(), SIDES, SIDES, st.integers(0, 9))
def test_a_box_has_the_very_values_that_it_has_in_the_whole(data, fine, working, seed):
    draw = np.random.default_rng(seed)
    voxels, labels = draw.integers(-(2**15), 2**15, fine).astype(np.int16), draw.integers(0, 9, fine).astype(np.uint8)
    starts = [data.draw(st.integers(0, length - 1)) for length in working]
    ends = [data.draw(st.integers(start + 1, length)) for start, length in zip(starts, working, strict=True)]
    box = tuple(slice(start, end) for start, end in zip(starts, ends, strict=True))
    event(f"coarser axes: {sum(m < n for n, m in zip(fine, working, strict=True))}")

    part = regrid.needed(fine, working, box)

    whole = regrid.everything(working)
    assert np.array_equal(regrid.hu_of(voxels[part], fine, working, box), regrid.hu_of(voxels, fine, working, whole)[box])
    assert np.array_equal(regrid.labels_of(labels[part], fine, working, box), regrid.labels_of(labels, fine, working, whole)[box])


@settings(max_examples=40, deadline=None)
@given(SIDES, SIDES, st.integers(0, 9))
def test_values_are_those_of_torch_but_for_the_last_unit_where_it_rounds(fine, working, seed):
    voxels = np.random.default_rng(seed).integers(-1000, 1000, fine).astype(np.int16)
    values = torch.from_numpy(voxels.astype(np.float32))[None, None]
    averaged = functional.adaptive_avg_pool3d(values, [min(n, m) for n, m in zip(fine, working, strict=True)])
    theirs = functional.interpolate(averaged, working, mode="trilinear", align_corners=False)[0, 0].numpy()

    ours = regrid.hu_of(voxels, fine, working, regrid.everything(working))

    assert np.abs(ours - theirs).max() <= 0.51


def test_a_patch_needs_the_voxels_that_it_covers_and_no_more():
    box = (slice(96, 192), slice(0, 96), slice(10, 106))
    part = regrid.needed((512, 512, 300), (256, 512, 200), box)
    assert part == (slice(192, 384), slice(0, 96), slice(15, 159))
    finer = regrid.needed((10, 10, 10), (20, 20, 20), (slice(4, 8), slice(0, 1), slice(19, 20)))
    assert finer == (slice(1, 5), slice(0, 2), slice(9, 10))
