"""Which piece of which case comes next: patches around voxels of each label in turn, so that small structures are seen often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ctlab.resample import Prepared

AIR = -1000

MOST_POSITIONS = 20_000
"""Positions kept for each label of a case; more add memory, not variety."""


@dataclass(frozen=True)
class Patch:
    """A piece of one case: `hu` int16 and `labels` uint8, both cubes of the same side."""

    hu: torch.Tensor
    labels: torch.Tensor


class Sampler:
    """Endless patches with a side of `side` voxels from `cases`; the same generator state gives the same patches."""

    def __init__(self, cases: Sequence[Prepared], side: int, rng: np.random.Generator) -> None:
        """Remembers where each label lies. Cases smaller than a patch are surrounded with air; `side` may become smaller later."""
        self.side, self._rng = side, rng
        self._cases = [_padded(case, side) for case in cases]
        self._positions: dict[int, list[tuple[int, np.ndarray]]] = {}
        for index, case in enumerate(self._cases):
            flat = case.labels.numpy().ravel()
            for value in np.unique(flat):
                found = np.flatnonzero(flat == value)
                if len(found) > MOST_POSITIONS:
                    found = rng.choice(found, MOST_POSITIONS, replace=False)
                self._positions.setdefault(int(value), []).append((index, found))
        self._values = sorted(self._positions)

    def draw(self, count: int) -> list[Patch]:
        """The next `count` patches; each picks a label, then a case that has it, then one of its voxels, all evenly."""
        return [self._one() for _ in range(count)]

    def state(self) -> dict[str, Any]:
        """Where in its endless order this is."""
        return dict(self._rng.bit_generator.state)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state` was taken, by a sampler of the same cases."""
        self._rng.bit_generator.state = dict(state)

    def _one(self) -> Patch:
        rng, side = self._rng, self.side
        choices = self._positions[self._values[rng.integers(len(self._values))]]
        index, positions = choices[rng.integers(len(choices))]
        case = self._cases[index]
        centre = np.unravel_index(int(positions[rng.integers(len(positions))]), case.labels.shape)
        shift = rng.integers(-side // 4, side // 4 + 1, 3)
        around = zip(centre, shift, case.labels.shape, strict=True)
        starts = [int(np.clip(at + by - side // 2, 0, length - side)) for at, by, length in around]
        box = tuple(slice(start, start + side) for start in starts)
        return Patch(case.hu[box], case.labels[box])


def _padded(case: Prepared, side: int) -> Prepared:
    short = [max(0, side - length) for length in case.hu.shape]
    if not any(short):
        return case
    pads = [part for lack in reversed(short) for part in (lack // 2, lack - lack // 2)]
    return Prepared(case.name, functional.pad(case.hu, pads, value=AIR), functional.pad(case.labels, pads, value=0))
