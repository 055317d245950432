"""Which blocks a patch touches."""

from __future__ import annotations

import math

import numpy as np
import pytest
from ctlab.blocks import BLOCK_VOXELS, LONGEST, SHORTEST, Grid, block_shape
from hypothesis import given
from hypothesis import strategies as st

SIDES = st.integers(1, 40)
SHAPES = st.tuples(SIDES, SIDES, SIDES)
BLOCKS = st.tuples(*[st.sampled_from((4, 8, 16))] * 3)


@pytest.mark.parametrize(
    ("spacing", "block"),
    [
        ((1, 1, 1), (32, 32, 32)),
        ((0.7, 0.7, 1.0), (32, 32, 32)),
        ((0.7, 0.7, 5.0), (64, 64, 8)),
        ((0.7, 0.7, 2.5), (32, 64, 16)),
        ((3, 1, 1), (16, 32, 64)),
    ],
    ids=["cube", "chest", "thick slices", "between", "sagittal"],
)
def test_blocks_are_about_cubes_of_the_patient(spacing, block):
    assert block_shape(spacing) == block


@given(st.tuples(*[st.floats(0.05, 50)] * 3))
def test_a_block_has_the_asked_size_whatever_the_spacing(spacing):
    block = block_shape(spacing)

    assert math.prod(block) == BLOCK_VOXELS
    assert all(SHORTEST <= side <= LONGEST and side & (side - 1) == 0 for side in block)


@pytest.mark.parametrize("spacing", [(0, 1, 1), (-1, 1, 1), (math.nan, 1, 1), (math.inf, 1, 1)])
def test_a_spacing_that_is_none_is_refused(spacing):
    with pytest.raises(ValueError, match="no block"):
        block_shape(spacing)


@given(SHAPES, BLOCKS, st.data())
def test_pieces_put_together_are_the_box(shape, block, data):
    grid = Grid(shape, block)
    start = tuple(data.draw(st.integers(0, length - 1)) for length in shape)
    size = tuple(data.draw(st.integers(1, length - first)) for first, length in zip(start, shape, strict=True))
    array = np.arange(math.prod(shape)).reshape(shape)
    blocks = [array[box] for box in grid.boxes()]
    box = np.full(size, -1)
    for piece in grid.pieces(start, size):
        box[piece.target] = blocks[piece.number][piece.inside]

    assert len(blocks) == math.prod(grid.counts)
    assert np.array_equal(box, array[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))])


@given(SHAPES, BLOCKS)
def test_a_box_of_one_block_needs_that_block_alone(shape, block):
    grid = Grid(shape, block)
    size = tuple(min(side, length) for side, length in zip(block, shape, strict=True))

    assert [piece.number for piece in grid.pieces((0, 0, 0), size)] == [0]


@pytest.mark.parametrize(
    ("start", "size"),
    [((-1, 0, 0), (2, 2, 2)), ((0, 0, 0), (9, 2, 2)), ((0, 0, 0), (0, 2, 2)), ((8, 0, 0), (1, 1, 1))],
    ids=["before", "too long", "empty", "behind"],
)
def test_a_box_outside_is_refused(start, size):
    with pytest.raises(ValueError, match="doesn't lie inside"):
        list(Grid((8, 8, 8), (4, 4, 4)).pieces(start, size))
