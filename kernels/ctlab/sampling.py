"""Which piece of which case comes next: patches around voxels of each label in turn, so that small structures are seen often.

Only numbers are drawn here. Where the voxels lie meanwhile, and when they are read, is `ctlab.tiers`' and `ctlab.feed`'s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctlab.regrid import Shape
from ctlab.resample import Prepared

MOST_POSITIONS = 20_000
"""Positions kept for each label of a case; more add memory, not variety."""


@dataclass(frozen=True, eq=False)
class Known:
    """What stays known of a case wherever its voxels are."""

    name: str
    shape: Shape
    """On the working grid, cropped to the body."""
    digest: str
    """Of its voxels, as `digest_of` makes it."""
    positions: Mapping[int, npt.NDArray[np.uint32]]
    """Label value → where voxels of it lie, in C order."""
    nbytes: int
    """What it takes in memory when it is whole."""

    @property
    def own_nbytes(self) -> int:
        """What this takes in memory."""
        return sum(each.nbytes for each in self.positions.values())


def known(case: Prepared) -> Known:
    """What there is to know of `case`."""
    flat = case.labels.numpy().ravel()
    positions = {}
    for value in np.unique(flat).tolist():
        found = np.flatnonzero(flat == value).astype(np.uint32)
        if len(found) > MOST_POSITIONS:
            # The same ones each time: a training that goes on has to see what it would have seen.
            found = np.random.default_rng(value).choice(found, MOST_POSITIONS, replace=False)
        positions[value] = found
    x, y, z = case.hu.shape
    return Known(case.name, (x, y, z), digest_of(case), positions, case.nbytes)


def digest_of(case: Prepared) -> str:
    """SHA-256 of what a network sees of `case`."""
    digest = hashlib.sha256(repr((case.name, tuple(case.hu.shape))).encode())
    digest.update(case.hu.numpy().data)
    digest.update(case.labels.numpy().data)
    return digest.hexdigest()


@dataclass(frozen=True)
class Place:
    """Where a patch lies."""

    case: int
    """Its number."""
    start: Shape
    """First voxel; below 0 along sides that are shorter than the patch, which air surrounds then."""
    side: int


class Sampler:
    """Endless places of patches with a side of `side` voxels; the same generator state gives the same places."""

    def __init__(self, cases: Sequence[Known], side: int, rng: np.random.Generator) -> None:
        """`side` may become smaller later."""
        self.side, self._rng = side, rng
        self._shapes = [case.shape for case in cases]
        self._positions: dict[int, list[tuple[int, npt.NDArray[np.uint32]]]] = {}
        for index, case in enumerate(cases):
            for value, positions in case.positions.items():
                self._positions.setdefault(value, []).append((index, positions))
        self._values = sorted(self._positions)

    def draw(self) -> Place:
        """The next place: a label, then a case that has it, then one of its voxels, all evenly."""
        rng, side = self._rng, self.side
        choices = self._positions[self._values[rng.integers(len(self._values))]]
        index, positions = choices[rng.integers(len(choices))]
        shape = self._shapes[index]
        centre = np.unravel_index(int(positions[rng.integers(len(positions))]), shape)
        shift = rng.integers(-side // 4, side // 4 + 1, 3)
        around = zip(centre, shift, shape, strict=True)
        x, y, z = (_start(int(at), int(by), length, side) for at, by, length in around)
        return Place(index, (x, y, z), side)

    def state(self) -> dict[str, Any]:
        """Where in its endless order this is."""
        return dict(self._rng.bit_generator.state)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state` was taken, by a sampler of the same cases."""
        self._rng.bit_generator.state = dict(state)


def _start(centre: int, shift: int, length: int, side: int) -> int:
    """Inside the case, or with the case in its middle where that is shorter."""
    if length < side:
        return -((side - length) // 2)
    return min(max(centre + shift - side // 2, 0), length - side)
