"""Patches in the order in which the sampler asks for them; those that are far away are read before their turn comes."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch

from ctlab.sampling import Place, Sampler
from ctlab.tiers import Patch, Tier, Tiers

READERS = 6
"""Patches that are read at once. Each asks for all its blocks at once already (`ctlab.far`); several hide the moment at which each
waits for its last block, and share the cores for decoding."""
AHEAD_BYTES = 256 * 2**20
"""What patches that were read before their turn may take."""
MOST_AHEAD = 512
"""How many places are drawn in advance at most, to find those that are far away among them."""
_VOXEL_BYTES = 3
"""HU and label."""


@dataclass(frozen=True)
class _Next:
    place: Place
    before: Mapping[str, Any]
    """The sampler's state before it drew this place."""
    coming: Future[Patch] | None
    """None for what is near."""


class Feed:
    """What the sampler asks for.

    It is asked in advance, and yet is where it would be if it weren't: nothing but time depends on how far ahead this is.
    """

    def __init__(self, sampler: Sampler, tiers: Tiers) -> None:
        self._sampler, self._tiers = sampler, tiers
        self._queue: deque[_Next] = deque()
        self._far = 0
        self._pool: ThreadPoolExecutor | None = None

    @property
    def side(self) -> int:
        """Of the patches, in voxels."""
        return self._sampler.side

    @side.setter
    def side(self, side: int) -> None:
        self.restore(self.state())
        self._sampler.side = side

    def take(self, count: int) -> list[Patch]:
        """The next `count` patches, waited for where they have to be. Raises a CtlabError when one can't be read."""
        patches = []
        for _ in range(count):
            self._look_ahead()
            head = self._queue[0] if self._queue else None
            if head is None:
                patches.append(self._tiers.patch(self._sampler.draw()))
                continue
            # It leaves the queue when it is there: after an error this is still where it was.
            patches.append(self._tiers.patch(head.place) if head.coming is None else head.coming.result())
            self._far -= head.coming is not None
            self._queue.popleft()
        self._look_ahead()
        return patches

    def batch(self, count: int, where: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """The next `count` patches on `where`: HU (patch, 1, x, y, z) and labels (patch, x, y, z). Raises as `take`."""
        patches = self.take(count)
        hu, labels = (_gathered(parts, where) for parts in ([each.hu for each in patches], [each.labels for each in patches]))
        return hu[:, None], labels

    def state(self) -> dict[str, Any]:
        """Where in its endless order the sampler would be without looking ahead."""
        return dict(self._queue[0].before) if self._queue else self._sampler.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state` was taken, with nothing read in advance."""
        for each in self._queue:
            if each.coming is not None:
                each.coming.cancel()
        self._queue.clear()
        self._far = 0
        self._sampler.restore(state)

    def close(self) -> None:
        """Nothing more is read."""
        self.restore(self.state())
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def _look_ahead(self) -> None:
        """Asks for what is far away among the next places."""
        if self._tiers.all_near:
            return
        most = max(2 * READERS, AHEAD_BYTES // (_VOXEL_BYTES * self.side**3))
        while self._far < most and len(self._queue) < MOST_AHEAD:
            before = self._sampler.state()
            place = self._sampler.draw()
            coming = None
            if self._tiers.tier(place.case) is Tier.LINK:
                self._pool = self._pool or ThreadPoolExecutor(READERS, thread_name_prefix="ctlab-patch")
                coming = self._pool.submit(self._tiers.patch, place)
                self._far += 1
            self._queue.append(_Next(place, before, coming))


def _gathered(parts: Sequence[torch.Tensor], where: torch.device) -> torch.Tensor:
    """All of them in one tensor on `where`; by one copy if they are all in one place."""
    if len({part.device for part in parts}) > 1:
        return torch.stack([part.to(where, non_blocking=True) for part in parts])
    return torch.stack(list(parts)).to(where, non_blocking=True)
