"""The three slices through the middle of a packed case, kept once more beside its blocks: what is looked at first. Pure.

A slice touches whole blocks, so that three of them take a fifth of a file's bytes; kept alone they are one part in two hundred.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from ctlab.blocks import Grid, Shape
from ctlab.shards import SLACK, Shard

AXES = "xyz"


def name_of(array: str, axis: int) -> str:
    """What the slice across `axis` of `array` is called in the file."""
    return f"{array}-{AXES[axis]}"


def middle_of(shape: Shape, axis: int) -> int:
    """Which slice across `axis` that is."""
    return shape[axis] // 2


def slice_of(voxels: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
    """It, one voxel thick."""
    box = [slice(None)] * 3
    x, y, z = voxels.shape
    middle = middle_of((x, y, z), axis)
    box[axis] = slice(middle, middle + 1)
    return voxels[tuple(box)]


def shard_of(whole: Shard, axis: int) -> Shard:
    """How it is laid out: one block, as those of `whole` are."""
    sides = list(whole.grid.shape)
    sides[axis] = 1
    shape = sides[0], sides[1], sides[2]
    return Shard(Grid(shape, shape), whole.dtype, whole.fill)


def decoded(shard: Shard, content: bytes) -> npt.NDArray[Any] | None:
    """The slice in all bytes of its array, one voxel thick; None where all of it is the fill value. Raises BrokenError."""
    ((at, length),) = shard.index(content[: shard.index_bytes], len(content))
    return shard.decode(content[at : at + length]) if at >= 0 else None


def most_bytes(shard: Shard) -> int:
    """No array of one block is longer."""
    return shard.index_bytes + shard.block_bytes + SLACK
