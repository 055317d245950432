"""Where the voxels of a training's cases are: in the device's memory, in the job's, or only in the folder that they come from.

Each case lies as near as there is room for it when it comes. None is ever written anywhere: what has no room is read again when it
is asked for, of a packed case only the blocks that a patch touches. Where a case lies changes when its voxels are read, never what
they are.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

import torch

from ctlab.errors import CohortError, CtlabError
from ctlab.memory import free
from ctlab.regrid import Shape
from ctlab.resample import Prepared
from ctlab.sampling import Known, Place, digest_of, known
from phrases import N_

AIR = -1000
SHARE = 0.5
"""Of the memory that is free when a training begins, for its cases. The other half is for reading one, for the network, its
copies that are being saved, and whatever else a notebook holds."""


@dataclass(frozen=True)
class Patch:
    """A piece of one case: `hu` int16 and `labels` uint8, both cubes of the same side."""

    hu: torch.Tensor
    labels: torch.Tensor


class Far(Protocol):
    """A case in the folder that it comes from. Both methods may be called from several threads, and raise CtlabErrors."""

    @property
    def packed(self) -> bool:
        """Whether `patch` can be asked: a patch be read without the rest."""

    def whole(self) -> Prepared:
        """All of it, as it was when the training began."""

    def patch(self, start: Shape, side: int) -> Patch:
        """The same as `cut` of all of it."""


class Tier(StrEnum):
    """Where a case lies, the nearest first."""

    DEVICE, MEMORY, LINK = "device", "memory", "link"


def room_for_cases(others: int = 0) -> int:
    """Bytes of the job's memory for a training's cases beside processes that take `others` bytes; no end where nothing tells."""
    left = free()
    return 2**62 if left is None else int(SHARE * max(0, left - others))


class Room:
    """Bytes that are left; shared by whoever puts something there, from any thread."""

    def __init__(self, free: int) -> None:
        self.free = free
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Whether there was room for `size`, which is taken then."""
        with self._lock:
            fits = size <= self.free
            self.free -= size if fits else 0
            return fits

    def use(self, size: int) -> None:
        """`size` bytes are taken, room or not."""
        self.give(-size)

    def give(self, size: int) -> None:
        """`size` bytes are free again."""
        with self._lock:
            self.free += size


class Tiers:
    """The cases of one part of a cohort. Numbers are those in the order in which they were added."""

    def __init__(self, room: Room) -> None:
        """`room` is the job's memory."""
        self._room = room
        self._far: list[Far | None] = []
        self._near: dict[int, Prepared] = {}
        self._known: list[Known] = []
        self._closed = threading.Event()
        self._reading = threading.Lock()

    @classmethod
    def of(cls, cases: Sequence[Prepared]) -> Tiers:
        """Cases that are in memory, and stay there."""
        made = cls(Room(2**62))
        for case in cases:
            made.add(case, None)
        return made

    @property
    def known(self) -> Sequence[Known]:
        """What there is to know of each case."""
        return self._known

    def add(self, case: Prepared, far: Far | None) -> None:
        """Takes one more, which `far` can read again; without that there has to be room for it."""
        index = len(self._known)
        self._known.append(known(case))
        self._far.append(far)
        # A few MB a case with many labels, wherever its voxels are: of a thousand cases that is gigabytes.
        self._room.use(self._known[index].own_nbytes)
        if self._room.take(case.nbytes):
            self._near[index] = case

    def tier(self, index: int) -> Tier:
        """Where the case with that number lies now."""
        case = self._near.get(index)
        if case is None:
            return Tier.LINK
        return Tier.MEMORY if case.hu.device.type == "cpu" else Tier.DEVICE

    @property
    def all_near(self) -> bool:
        """Whether none is far away."""
        return len(self._near) == len(self._known)

    def count(self, tier: Tier) -> int:
        """How many cases lie in `tier`."""
        return sum(self.tier(index) is tier for index in range(len(self._known)))

    def far(self) -> list[Far]:
        """Those that are only in their folder now."""
        return [far for index, far in enumerate(self._far) if far is not None and index not in self._near]

    def patch(self, place: Place) -> Patch:
        """The voxels at `place`, on whatever device they lie. Raises a CtlabError when they can't be read."""
        case = self._near.get(place.case)
        if case is not None:
            return cut(case, place.start, place.side)
        far = self._reader(place.case)
        if far.packed:
            return far.patch(place.start, place.side)
        # One at a time: there is room beside the cases to read one. Copied, else the patch would hold all of it.
        with self._reading:
            found = cut(self._again(place.case), place.start, place.side)
            return Patch(found.hu.clone(), found.labels.clone())

    def wholes(self) -> Iterator[Prepared]:
        """Each case, in order; of those that are far away the next one is read meanwhile. Raises a CtlabError."""
        coming: Future[Prepared] | None = None
        with ThreadPoolExecutor(1, thread_name_prefix="ctlab-case") as pool:
            for index in range(len(self._known)):
                here, coming = coming, None
                case = here.result() if here else self._near.get(index) or self._again(index)
                if index + 1 < len(self._known) and self.tier(index + 1) is Tier.LINK:
                    coming = pool.submit(self._again, index + 1)
                yield case

    def to_device(self, where: torch.device, room: int) -> None:
        """Moves the first cases to the memory of `where`, `room` bytes in all, and reads others into the room that they leave."""
        for index, case in list(self._near.items()):
            if case.nbytes <= room and self.tier(index) is Tier.MEMORY:
                room -= case.nbytes
                self._move(index, where)
                self._room.give(case.nbytes)
        if not self.all_near:
            threading.Thread(target=self._fill, name="ctlab-fill", daemon=True).start()

    def leave_device(self) -> bool:
        """Moves all cases out of the device's memory; whether there were any."""
        moved = [index for index in list(self._near) if self.tier(index) is Tier.DEVICE]
        for index in moved:
            if self._room.take(self._known[index].nbytes):
                self._move(index, torch.device("cpu"))
            elif self._far[index] is not None:
                del self._near[index]
        return bool(moved)

    def close(self) -> None:
        """Nothing more is read in advance, and no case stays in memory though somebody still waits for the storage."""
        self._closed.set()
        self._near.clear()

    def _move(self, index: int, where: torch.device) -> None:
        case = self._near[index]
        self._near[index] = replace(case, hu=case.hu.to(where), labels=case.labels.to(where))

    def _fill(self) -> None:
        """Reads what is far away as long as there is room for it; what can't be read now is asked for again when it is needed."""
        for index, each in enumerate(self._known):
            if self._closed.is_set():
                return
            if index in self._near or not self._room.take(each.nbytes):
                continue
            try:
                case = self._again(index)
            except CtlabError:
                self._room.give(each.nbytes)
                continue
            if not self._closed.is_set():
                self._near[index] = case

    def _again(self, index: int) -> Prepared:
        case = self._reader(index).whole()
        if digest_of(case) != self._known[index].digest:
            raise changed(case.name)
        return case

    def _reader(self, index: int) -> Far:
        far = self._far[index]
        if far is None:
            raise ValueError(f"case {index} is nowhere")
        return far


def changed(name: str) -> CohortError:
    """What people hear of a case that isn't what it was: to go on with it would train something else."""
    return CohortError(
        N_("{case}: its files are others than when the training began, so the training ended; what was saved is kept. "
           "Train again with the cases as they were, or in another folder."),
        case=name,
    )  # fmt: skip


def cut(case: Prepared, start: Shape, side: int) -> Patch:
    """The cube of `side` voxels at `start`; what lies outside of the case is air without a label."""
    shape = case.hu.shape
    inside = tuple(slice(max(0, at), min(at + side, length)) for at, length in zip(start, shape, strict=True))
    return framed(case.hu[inside], case.labels[inside], start, side)


def framed(hu: torch.Tensor, labels: torch.Tensor, start: Shape, side: int) -> Patch:
    """A cube at `start` from the part of it that lies inside of the case."""
    if hu.shape == (side, side, side):
        return Patch(hu, labels)
    box = tuple(slice(max(0, -at), max(0, -at) + length) for at, length in zip(start, hu.shape, strict=True))
    whole = Patch(hu.new_full((side,) * 3, AIR), labels.new_zeros((side,) * 3))
    whole.hu[box], whole.labels[box] = hu, labels
    return whole
