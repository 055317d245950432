"""How a volume is cut into blocks, so that a patch needs few bytes and few requests of a far-away file. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Shape = tuple[int, int, int]
Box = tuple[slice, slice, slice]

BLOCK_VOXELS = 2**15
"""Voxels of a block, a cube of 32 where voxels are cubes: 64 KiB of int16, about 32 KiB compressed, which is one packet of SFTP.

A patch of 96 touches 2.3 times its own voxels in such blocks, 4.5 times in cubes of 64, and a line that carries 100 MB/s brings
a packet in less time than it takes to decode it (docs/benchmarks.md).
"""
SHORTEST, LONGEST = 4, 128


def block_shape(spacing: Sequence[float], voxels: int = BLOCK_VOXELS) -> Shape:
    """Sides of a block for voxels of `spacing` mm (x, y, z): powers of two with the product `voxels`, as near to a cube of the
    patient as that allows, because patches are cubes of the patient once they are resampled.

    `voxels` is a power of two, at least SHORTEST ** 3. Raises ValueError for anything else, or a spacing that isn't positive.
    """
    bits = voxels.bit_length() - 1
    if voxels != 1 << bits or voxels < SHORTEST**3 or not all(math.isfinite(step) and step > 0 for step in spacing):
        raise ValueError(f"no block of {voxels} voxels at {spacing}")
    sides = [SHORTEST] * 3
    for _ in range(bits - 3 * (SHORTEST.bit_length() - 1)):
        free = [axis for axis in range(3) if sides[axis] < LONGEST] or [0, 1, 2]
        # The side that is shortest in the patient is doubled; of equal ones the last, along which a file is read in order.
        axis = min(free, key=lambda each: (sides[each] * spacing[each], -each))
        sides[axis] *= 2
    return sides[0], sides[1], sides[2]


@dataclass(frozen=True)
class Piece:
    """What one block gives to a box."""

    number: int
    """Of the block, in C order over the grid of blocks."""
    inside: Box
    """Voxels of the block."""
    target: Box
    """The same voxels in the box."""


@dataclass(frozen=True)
class Grid:
    """A volume of `shape` voxels cut into blocks of `block` voxels; those at the far ends reach beyond it."""

    shape: Shape
    block: Shape

    @property
    def counts(self) -> Shape:
        """Blocks along each axis."""
        x, y, z = (-(-length // side) for length, side in zip(self.shape, self.block, strict=True))
        return x, y, z

    def boxes(self) -> Iterator[Box]:
        """The voxels of each block, in C order; cut off at the volume's ends."""
        for start in _indices(self.counts):
            edges = zip(start, self.block, self.shape, strict=True)
            x, y, z = (slice(index * side, min(length, (index + 1) * side)) for index, side, length in edges)
            yield x, y, z

    def pieces(self, start: Shape, size: Shape) -> Iterator[Piece]:
        """What each block gives to the box of `size` voxels at `start`, in the blocks' order.

        Raises ValueError when the box doesn't lie inside the volume.
        """
        sides = list(zip(start, size, self.shape, strict=True))
        if any(first < 0 or count < 1 or first + count > length for first, count, length in sides):
            raise ValueError(f"a box of {size} voxels at {start} doesn't lie inside {self.shape}")
        along = [list(_cuts(first, count, side)) for (first, count, _), side in zip(sides, self.block, strict=True)]
        _, columns, planes = self.counts
        for x, in_x, to_x in along[0]:
            for y, in_y, to_y in along[1]:
                for z, in_z, to_z in along[2]:
                    yield Piece((x * columns + y) * planes + z, (in_x, in_y, in_z), (to_x, to_y, to_z))


def _indices(counts: Shape) -> Iterator[Shape]:
    for x in range(counts[0]):
        for y in range(counts[1]):
            for z in range(counts[2]):
                yield x, y, z


def _cuts(first: int, count: int, side: int) -> Iterator[tuple[int, slice, slice]]:
    """Index of each block along one axis that `count` voxels from `first` touch, with its own voxels and the box's."""
    for index in range(first // side, (first + count - 1) // side + 1):
        begin, end = max(first, index * side), min(first + count, (index + 1) * side)
        yield index, slice(begin - index * side, end - index * side), slice(begin - first, end - first)
